// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Text for terminals.

/// Columns of a terminal, less the mark and the indent in front of a line.
const COLUMNS: usize = 76;

/// A text in lines that fit a terminal; later lines begin with `indent`. A word that fits no line has its own.
pub(super) fn wrap(text: &str, indent: &str) -> Vec<String> {
    let words = text.trim_start_matches(' ');
    let mut lines = Vec::new();
    let mut line = text[..text.len() - words.len()].to_owned();
    for word in words.split(' ') {
        let needed = line.chars().count() + 1 + word.chars().count();
        let is_begun = !line.trim().is_empty();
        if needed > COLUMNS && is_begun {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        } else if is_begun {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words() {
        let text = "one two ".repeat(20);
        let lines = wrap(text.trim(), "  ");
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|line| line.len() <= COLUMNS), "{lines:?}");
        let again: Vec<_> = lines.iter().map(|line| line.trim()).collect();
        assert_eq!(again.join(" "), text.trim());
        assert!(lines[1].starts_with("  one") || lines[1].starts_with("  two"));
        assert_eq!(wrap("  two  words", ""), ["  two  words"]);
        let long = "x".repeat(200);
        assert_eq!(wrap(&long, ""), [long]);
    }
}
