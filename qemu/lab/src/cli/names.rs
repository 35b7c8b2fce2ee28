// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a user may have meant by a name that does not exist.

use strsim::jaro_winkler;

/// How alike two names are that one may stand for the other, out of 1; as clap has it.
const ALIKE: f64 = 0.8;
/// More would hide the right one.
const SHOWN: usize = 3;

/// The most similar of the names that exist, the best first; none when nothing is similar.
pub(super) fn nearest<'a>(name: &str, existing: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let scored = existing.map(|candidate| (jaro_winkler(name, candidate), candidate));
    let mut alike: Vec<_> = scored.filter(|(score, _)| *score > ALIKE).collect();
    alike.sort_by(|one, two| two.0.total_cmp(&one.0));
    alike.truncate(SHOWN);
    alike.into_iter().map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let names = ["count-wraps", "count-stays", "interrupt-once"];
        let found = |name| nearest(name, names.into_iter());
        assert_eq!(found("count-warps").first(), Some(&"count-wraps"));
        assert_eq!(found("interupt-once"), ["interrupt-once"]);
        assert!(found("xyz").is_empty());
    }
}
