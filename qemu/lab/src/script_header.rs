// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Shell scripts whose first lines are comments that say what they are: `# key: text`.

use std::fs;
use std::io;

/// The script of one of the lab's names, or of a path of the user's.
///
/// # Errors
/// When it is neither such a name nor a file that can be read.
pub(crate) fn script(name: &str, own: &[(&str, &str)]) -> io::Result<String> {
    match own.iter().find(|(known, _)| *known == name) {
        Some((_, script)) => Ok((*script).to_owned()),
        None => fs::read_to_string(name),
    }
}

/// What a script says of itself under a key; none where it says nothing.
pub(crate) fn field<'a>(script: &'a str, key: &str) -> Option<&'a str> {
    let lines = script.lines().map_while(|line| line.strip_prefix('#'));
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let (_, text) = fields.find(|(name, _)| name.trim() == key)?;
    Some(text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_comments_is_no_header() {
        let script = "# summary: mine: it is\n#empty:\n#  place :slow\nset -e\n# late: no\n";
        assert_eq!(field(script, "summary"), Some("mine: it is"));
        assert_eq!(field(script, "place"), Some("slow"));
        assert_eq!(field(script, "empty"), None);
        assert_eq!(field(script, "late"), None);
    }
}
