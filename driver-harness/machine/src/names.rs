// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Names that do not exist, and what does.

/// Names are alike from this similarity on.
const ALIKE: f64 = 0.75;
/// Longer lists are not printed whole.
const LISTED_MAX: usize = 12;

/// The name that was most likely meant.
pub fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let rated = names
        .iter()
        .map(|&one| (strsim::jaro_winkler(&name, &one.to_lowercase()), one));
    let best = rated.max_by(|first, second| first.0.total_cmp(&second.0))?;
    (best.0 >= ALIKE).then_some(best.1)
}

/// What to say of a name that does not exist: what was meant, and what there is, or for long lists
/// which command prints it.
pub fn instead(name: &str, names: &[&str], command: &str) -> String {
    let there = match names.len() {
        0..=LISTED_MAX => format!("there are {}", names.join(", ")),
        count => format!("{command} prints all {count}"),
    };
    match nearest(name, names) {
        Some(nearest) => format!("did you mean {nearest}? {}", capitalised(&there)),
        None => there,
    }
}

fn capitalised(sentence: &str) -> String {
    // A command begins with the name of a program, which stays as it is.
    match sentence.strip_prefix("there") {
        Some(rest) => format!("There{rest}"),
        None => sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_and_the_others_are_told() {
        let names = ["default", "full", "minimal", "always-on-only"];
        assert_eq!(nearest("ful", &names), Some("full"));
        assert_eq!(nearest("Always-on", &names), Some("always-on-only"));
        assert_eq!(nearest("xyz", &names), None);
        assert_eq!(
            instead("defualt", &names, "cargo lab"),
            "did you mean default? There are default, full, minimal, always-on-only"
        );
        assert_eq!(
            instead("rich", &names[..2], "cargo lab"),
            "there are default, full"
        );
        let many: Vec<_> = (0..40).map(|number| format!("case-{number}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(
            instead("xyz", &many, "chmu conformance list"),
            "chmu conformance list prints all 40"
        );
    }
}
