// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a device must be blamed for: the requirement that it breaks, and not one that others break.

use chmu_model::{Quirk, QuirkSet};

pub mod elsewhere;

/// For each broken rule the requirements, without `CHMU-`, of which one must be the cause of what fails. Several are right
/// where nobody who sees the registers only can tell them apart.
const EXPECTED: &[(&str, &str)] = &[
    ("header-version-zero", "DISCOVERY-006"),
    ("header-instances-one-more", "DISCOVERY-011"),
    ("header-length-of-registers", "DISCOVERY-011"),
    ("header-reserved-bits", "DISCOVERY-009"),
    ("capability-reserved-bits", "CAPABILITY-012"),
    ("hotlist-size-one-more", "HOTLIST-002"),
    (
        "hotlist-size-one-less",
        "HOTLIST-002 HOTLIST-004 HOTLIST-005",
    ),
    ("unit-size-refused", "CONFIGURATION-020"),
    ("unit-sizes-shifted", "CAPABILITY-001"),
    ("epoch-bounds-swapped", "CAPABILITY-004"),
    ("epoch-scale-from-zero", "CAPABILITY-003"),
    ("trackable-requests-shifted", "CAPABILITY-005"),
    ("down-sampling-factors-shifted", "CAPABILITY-006"),
    ("counter-width-one-more", "COUNTER-005 CONFIGURATION-024"),
    ("counter-width-never", "COUNTER-001"),
    ("range-offset-from-block", "CAPABILITY-011"),
    ("hotlist-offset-from-block", "COUNTER-002 COUNTER-005"),
    ("power-on-request-code", "RESET-001"),
    ("power-on-fill-level", "RESET-001"),
    ("power-on-ranges-set", "RESET-001"),
    ("power-on-status-set", "REGISTER-009"),
    ("function-reset-keeps-configuration", "RESET-001"),
    ("function-reset-keeps-ranges", "RESET-001"),
    ("function-reset-keeps-list", "RESET-002"),
    ("function-reset-keeps-enabled", "RESET-001"),
    ("requests-writable-while-enabled", "CONFIGURATION-001"),
    ("unit-writable-while-enabled", "CONFIGURATION-003"),
    ("fill-level-writable-while-enabled", "CONFIGURATION-004"),
    ("ranges-writable-while-enabled", "CONFIGURATION-005"),
    ("configuration-reserved-bits", "REGISTER-005"),
    ("half-write-clobbers", "REGISTER-002"),
    ("narrow-write-ignored", "REGISTER-003"),
    ("range-narrow-write-ignored", "REGISTER-015"),
    ("threshold-truncated", "REGISTER-004"),
    ("reset-bit-sticks", "OPERATION-003"),
    ("refused-enable-bit-sticks", "CONFIGURATION-018"),
    ("accepts-reserved-request-code", "CONFIGURATION-006"),
    ("accepts-untrackable-request", "CONFIGURATION-007"),
    ("accepts-unit-size", "CONFIGURATION-008"),
    ("accepts-mode", "CONFIGURATION-009"),
    ("accepts-epoch-codes", "CONFIGURATION-011"),
    ("accepts-short-epoch", "CONFIGURATION-012"),
    ("accepts-long-epoch", "CONFIGURATION-013"),
    ("accepts-down-sampling", "CONFIGURATION-014"),
    ("accepts-wide-threshold", "CONFIGURATION-016"),
    ("accepts-unsupported-interrupt", "CONFIGURATION-017"),
    ("accepts-overlapping-range", "RANGE-007"),
    ("refuses-largest-threshold", "CONFIGURATION-024"),
    ("refuses-shortest-epoch", "CONFIGURATION-021"),
    ("refuses-longest-epoch", "CONFIGURATION-021"),
    ("in-progress-never-clears", "OPERATION-001"),
    ("operation-codes-swapped", "OPERATION-004"),
    ("operation-takes-a-second", "OPERATION-001"),
    ("enabled-before-done", "OPERATION-014"),
    ("enable-restarts-epoch", "OPERATION-013"),
    ("enable-empties-list", "OPERATION-015"),
    ("disable-empties-list", "OPERATION-006"),
    ("disable-keeps-counting", "OPERATION-005"),
    ("disable-keeps-counters", "OPERATION-012 ALWAYSON-002"),
    ("disable-loses-configuration", "CONFIGURATION-019"),
    ("reset-keeps-list", "OPERATION-007"),
    ("reset-keeps-status", "OPERATION-008"),
    ("reset-keeps-counters", "OPERATION-010"),
    ("reset-keeps-enabled", "OPERATION-002"),
    ("reset-loses-configuration", "OPERATION-009"),
    ("reset-loses-ranges", "OPERATION-009"),
    ("reset-ignored", "OPERATION-003 OPERATION-007"),
    ("reads-and-writes-swapped", "FILTER-001"),
    ("filter-ignored", "FILTER-002"),
    ("filter-reads-and-writes", "FILTER-002"),
    ("tee-tracked", "FILTER-006"),
    ("tee-dropped", "FILTER-007"),
    ("range-ignored", "RANGE-001"),
    ("range-inverted", "RANGE-001 RANGE-002"),
    ("range-shifted", "RANGE-002 RANGE-003"),
    ("range-granularity-doubled", "RANGE-002"),
    ("down-sampling-ignored", "SAMPLING-001"),
    ("down-sampling-doubled", "SAMPLING-001 SAMPLING-003"),
    ("down-sampling-halved", "SAMPLING-001"),
    ("down-sampling-scaled-back", "SAMPLING-001 SAMPLING-002"),
    ("randomised-not-random", "SAMPLING-006"),
    ("randomised-always", "SAMPLING-001 SAMPLING-003"),
    ("instances-share-counters", "INSTANCE-005"),
    ("count-wraps", "COUNTER-004"),
    ("count-saturates-early", "COUNTER-004"),
    ("count-one-less", "COUNTER-002"),
    ("count-zero", "COUNTER-002 ALWAYSON-004"),
    ("threshold-exclusive", "THRESHOLD-001"),
    ("threshold-ignored", "THRESHOLD-003"),
    ("always-on-reports-twice", "ALWAYSON-003 HOTLIST-011"),
    ("always-on-keeps-counter", "ALWAYSON-003"),
    ("always-on-reports-once", "ALWAYSON-003"),
    ("always-on-count-wrong", "ALWAYSON-004"),
    ("unit-shifted", "COUNTER-005"),
    ("unit-is-address", "COUNTER-005"),
    ("unit-fields-swapped", "COUNTER-005 COUNTER-002"),
    ("unit-random", "COUNTER-005"),
    ("entry-is-address", "COUNTER-005 COUNTER-002"),
    ("unit-size-ignored", "COUNTER-005"),
    ("large-units-capped", "COUNTER-005"),
    ("small-units-rounded", "COUNTER-005"),
    ("epoch-twice-as-long", "EPOCH-005"),
    ("epoch-half-as-long", "EPOCH-005 EPOCH-002"),
    ("epoch-multiplier-ignored", "EPOCH-006 EPOCH-005"),
    ("epoch-in-milliseconds", "EPOCH-006 EPOCH-005 EPOCH-002"),
    ("epoch-drifts", "EPOCH-005"),
    ("epoch-keeps-counters", "EPOCH-003"),
    ("epoch-keeps-cold-counters", "EPOCH-004"),
    ("epoch-per-counter-is-global", "EPOCH-011"),
    ("epoch-global-is-per-counter", "EPOCH-012"),
    ("epoch-reports-at-threshold", "EPOCH-002"),
    ("full-one-early", "HOTLIST-002"),
    ("full-looks-empty", "HOTLIST-008"),
    ("full-overwrites", "HOTLIST-008"),
    ("head-past-tail", "HOTLIST-007"),
    ("head-out-of-range", "HOTLIST-006"),
    ("head-reads-zero", "REGISTER-012"),
    ("head-short-write-ignored", "REGISTER-012"),
    ("head-wide-write-ignored", "REGISTER-012"),
    ("head-of-first-instance", "REGISTER-012"),
    ("tail-writable", "REGISTER-008"),
    ("entry-after-tail", "COUNTER-002 EPOCH-003"),
    ("entry-bytes-swapped", "COUNTER-005 COUNTER-002"),
    ("entry-twice", "HOTLIST-011 EPOCH-008"),
    ("coldest-first", "HOTLIST-009"),
    ("lowest-first", "HOTLIST-009"),
    ("backlog-lost", "HOTLIST-013"),
    ("backlog-reversed", "HOTLIST-013"),
    ("status-plain-write", "STATUS-003"),
    ("status-never-clears", "STATUS-003"),
    ("status-clears-both", "STATUS-008"),
    ("status-clears-by-any-write", "STATUS-004 STATUS-008"),
    ("status-clears-on-read", "REGISTER-010 STATUS-004"),
    ("status-bits-swapped", "STATUS-001"),
    ("overflow-never-set", "STATUS-001"),
    ("overflow-when-waiting", "STATUS-011"),
    ("overflow-when-full", "STATUS-002 STATUS-001"),
    ("status-needs-interrupts", "STATUS-012"),
    ("overflow-each-epoch", "STATUS-001 STATUS-002"),
    ("fill-level-never-set", "STATUS-005"),
    ("fill-level-at-half", "STATUS-005 STATUS-007"),
    ("fill-level-never-rearmed", "STATUS-005 STATUS-009"),
    ("fill-level-not-latched", "STATUS-008"),
    ("interrupt-not-for-overflow", "INTERRUPT-001"),
    ("interrupt-not-for-fill-level", "INTERRUPT-002"),
    ("interrupt-though-disabled", "INTERRUPT-003"),
    ("interrupt-enables-swapped", "INTERRUPT-001 INTERRUPT-003"),
    ("interrupt-wrong-message", "INTERRUPT-004 INTERRUPT-001"),
    ("interrupt-once", "INTERRUPT-006"),
    ("interrupt-each-insertion", "INTERRUPT-005"),
    ("interrupt-each-epoch", "INTERRUPT-003"),
    ("locator-missing", "DISCOVERY-001"),
    ("locator-old-block-id", "DISCOVERY-002"),
    ("locator-upper-bar", "DISCOVERY-003"),
    ("locator-offset-too-high", "DISCOVERY-004"),
    ("locator-entry-twice", "DISCOVERY-005"),
    ("function-reset-ignored", "RESET-001 RESET-002"),
    ("function-reset-loses-decoders", "RESET-004"),
    ("function-reset-loses-mem-enable", "RESET-004"),
    ("decoders-ignored", "ADDRESS-001"),
    ("vectors-shared", "INTERRUPT-004 INTERRUPT-001"),
    ("blocks-mirrored", "DISCOVERY-011"),
    ("blocks-share-accesses", "INSTANCE-008"),
];

/// Whether a device that breaks these rules, and keeps all others, is blamed for one of them by being failed for these
/// requirements.
pub fn is_right_for_one(quirks: QuirkSet, blamed: &[String]) -> bool {
    quirks.iter().any(|quirk| is_right(quirk, blamed))
}

/// Whether a device that breaks this rule is blamed for what it breaks by being failed for these requirements.
pub fn is_right(quirk: Quirk, blamed: &[String]) -> bool {
    let name = quirk.name();
    let Some((_, expected)) = EXPECTED.iter().find(|(quirk, _)| *quirk == name) else {
        return false;
    };
    let is_expected = |id: &String| {
        let id = id.strip_prefix("CHMU-").unwrap_or(id);
        expected.split(' ').any(|wanted| wanted == id)
    };
    blamed.iter().any(is_expected)
}

#[cfg(test)]
mod tests {
    use chmu_model::Emulation;

    use super::*;
    use crate::catalogue::{Agreement, Catalogue};

    #[test]
    fn every_rule_has_requirements_that_there_are() {
        let catalogue = Catalogue::load().unwrap();
        assert_eq!(EXPECTED.len(), Quirk::ALL.len());
        for (quirk, expected) in EXPECTED {
            assert!(Quirk::from_name(quirk).is_some(), "{quirk}");
            for id in expected.split(' ').filter(|id| !id.is_empty()) {
                let id = format!("CHMU-{id}");
                let mut all = catalogue.requirements().iter();
                assert!(all.any(|known| known.id == id), "{quirk}: {id}");
            }
        }
    }

    /// That a hot unit is not listed says nothing of why: where nobody can know more, [`elsewhere`] says so.
    #[test]
    fn no_rule_is_taken_for_a_unit_that_is_not_listed() {
        for (quirk, expected) in EXPECTED {
            let mut ids = expected.split(' ');
            assert!(
                !ids.any(|id| matches!(id, "EPOCH-001" | "ALWAYSON-001")),
                "{quirk}"
            );
        }
    }

    /// Agreed is what every public implementation does.
    #[test]
    fn what_an_emulation_breaks_is_not_agreed() {
        let catalogue = Catalogue::load().unwrap();
        for emulation in Emulation::ALL {
            for quirk in emulation.quirks().iter() {
                let mut all = EXPECTED.iter();
                let (_, expected) = all.find(|(name, _)| *name == quirk.name()).unwrap();
                let first = expected.split(' ').next().unwrap();
                let requirement = catalogue.find(&format!("CHMU-{first}")).unwrap();
                assert_ne!(
                    requirement.status,
                    Agreement::Agreed,
                    "{first}: {} breaks it",
                    emulation.name
                );
            }
        }
    }

    #[test]
    fn another_requirement_is_wrong() {
        let blamed = |id: &str| vec![id.to_owned()];
        let right = |id| is_right(Quirk::ALL[0], &blamed(id));
        assert!(right("CHMU-DISCOVERY-006"));
        assert!(!right("CHMU-EPOCH-001"));
        assert!(!is_right(Quirk::ALL[0], &[]));
    }
}
