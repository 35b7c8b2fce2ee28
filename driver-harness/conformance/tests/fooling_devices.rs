// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices that are made to fool the suite: each fails, and for what it does not do.

use std::collections::BTreeSet;

use chmu_conformance::catalogue::Catalogue;
use chmu_conformance::fools::FOOLS;

#[test]
fn none_of_them_fools_the_suite() {
    let wrong: Vec<_> = FOOLS
        .iter()
        .map(|fool| fool.judge())
        .filter(|fooled| !fooled.is_rightly_failed())
        .map(|fooled| {
            format!(
                "{}: {:?} for {:?} and not for one of {:?}",
                fooled.fool.name, fooled.case, fooled.requirements, fooled.fool.requirements
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_pretends_something_of_its_own() {
    assert!(FOOLS.len() >= 40, "{}", FOOLS.len());
    let names: BTreeSet<_> = FOOLS.iter().map(|fool| fool.name).collect();
    assert_eq!(names.len(), FOOLS.len());
    let catalogue = Catalogue::load().unwrap();
    for fool in FOOLS.iter() {
        assert!(!fool.requirements.is_empty(), "{}", fool.name);
        for requirement in fool.requirements {
            let mut all = catalogue.requirements().iter();
            assert!(all.any(|known| known.id == *requirement), "{requirement}");
        }
    }
}
