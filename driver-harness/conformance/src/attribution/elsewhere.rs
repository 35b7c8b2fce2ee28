// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a device is blamed for at a setting that does not let a broken rule show itself as it does elsewhere.

use chmu_model::Quirk;

use super::is_right;

/// Rules that are blamed on other requirements at some settings.
#[derive(Debug, Clone, Copy)]
pub struct Elsewhere {
    /// The broken rules, each of which is blamed so.
    pub quirks: &'static [&'static str],
    /// The settings, as [`crate::mutants::Setting::name`] names them.
    pub settings: &'static [&'static str],
    /// The requirement that is blamed, without `CHMU-`.
    pub blamed: &'static str,
    /// Why.
    pub why: &'static str,
}

/// The requirements that are blamed here are broken as well, and nothing at this setting tells more.
pub const ALSO_RIGHT: &[Elsewhere] = &[
    Elsewhere {
        quirks: &["decoders-ignored"],
        settings: &[
            "full 0.0",
            "minimal 0.0",
            "full 0.1",
            "full 0.2",
            "full 1.0",
            "no-interrupts 0.0",
            "default 0.0",
        ],
        blamed: "EPOCH-001",
        why: "No unit is ever listed: which of the rules between a request and an entry is broken, no register tells.",
    },
    Elsewhere {
        quirks: &["decoders-ignored"],
        settings: &["always-on-only 0.0"],
        blamed: "ALWAYSON-001",
        why: "As above, without epochs.",
    },
    Elsewhere {
        quirks: &["down-sampling-doubled"],
        settings: &["always-on-only 0.0"],
        blamed: "ALWAYSON-001",
        why: "No entry tells how many requests were counted: what is seen is that as many as the threshold are not enough.",
    },
    Elsewhere {
        quirks: &["count-one-less"],
        settings: &["always-on-only 0.0"],
        blamed: "ALWAYSON-004",
        why: "The only count that there is to see is that of an entry at the threshold.",
    },
    Elsewhere {
        quirks: &["count-saturates-early"],
        settings: &["always-on-only 0.0"],
        blamed: "THRESHOLD-002",
        why: "No count is listed that is above the threshold: what can be seen is that a high threshold is never reached.",
    },
    Elsewhere {
        quirks: &["entry-after-tail"],
        settings: &["always-on-only 0.0"],
        blamed: "COUNTER-005",
        why: "What is read before the entry is written has another unit, and no count that would be wrong in any case.",
    },
    Elsewhere {
        quirks: &["entry-twice"],
        settings: &["always-on-only 0.0"],
        blamed: "ALWAYSON-003",
        why: "Nobody can tell an entry that is there twice from a unit that is reported twice.",
    },
    Elsewhere {
        quirks: &["unit-sizes-shifted"],
        settings: &[
            "always-on-only 0.0",
            "no-interrupts 0.0",
            "default 0.0",
            "huge-list 0.0",
        ],
        blamed: "CONFIGURATION-020",
        why: "No reserved bit is set, so what is seen is that a unit size on offer is refused.",
    },
    Elsewhere {
        quirks: &[
            "unit-sizes-shifted",
            "unit-size-refused",
            "trackable-requests-shifted",
        ],
        settings: &["minimal 0.0"],
        blamed: "OPERATION-001",
        why: "There is one choice, and it is refused: nothing that the capabilities offer can be enabled, whichever is wrong.",
    },
    Elsewhere {
        quirks: &["epoch-scale-from-zero"],
        settings: &[
            "minimal 0.0",
            "no-interrupts 0.0",
            "default 0.0",
            "huge-list 0.0",
        ],
        blamed: "CONFIGURATION-021",
        why: "The codes are defined, and those of another epoch: the shortest one that is told is refused, others are not.",
    },
    Elsewhere {
        quirks: &["range-offset-from-block"],
        settings: &["huge-list 0.0"],
        blamed: "REGISTER-014",
        why: "The list lies elsewhere, so that nothing overlaps: where the bitmap is said to be nothing can be written.",
    },
    Elsewhere {
        quirks: &["filter-ignored"],
        settings: &["minimal 0.0"],
        blamed: "FILTER-006",
        why: "There is one filter, for reads and writes that are not TEE requests: it lets the others in.",
    },
    Elsewhere {
        quirks: &["requests-writable-while-enabled"],
        settings: &["minimal 0.0"],
        blamed: "CONFIGURATION-002",
        why: "The whole register is not locked, and there is one filter: what can be seen is its threshold.",
    },
    Elsewhere {
        quirks: &["status-needs-interrupts"],
        settings: &["minimal 0.0"],
        blamed: "STATUS-005",
        why: "The instance has no fill-level interrupt: there is no status bit with it that this one could be compared with.",
    },
    Elsewhere {
        quirks: &["status-needs-interrupts"],
        settings: &["no-interrupts 0.0"],
        blamed: "STATUS-001",
        why: "The instance has no interrupts: there is no status bit with them that this one could be compared with.",
    },
    Elsewhere {
        quirks: &["threshold-truncated"],
        settings: &["full 0.1"],
        blamed: "CONFIGURATION-016",
        why: "Thresholds that fit the narrow counters are kept whole, and what does not fit is enabled.",
    },
    Elsewhere {
        quirks: &["epoch-half-as-long"],
        settings: &["full 0.1"],
        blamed: "EPOCH-011",
        why: "EPOCH-005 is tried with global epochs: here a unit is listed in the middle of its epoch.",
    },
    Elsewhere {
        quirks: &["epoch-twice-as-long"],
        settings: &["full 0.1"],
        blamed: "EPOCH-010",
        why: "EPOCH-005 is tried with global epochs: here what was accessed in two epochs of a unit is counted together.",
    },
    Elsewhere {
        quirks: &["epoch-in-milliseconds"],
        settings: &["full 0.1"],
        blamed: "EPOCH-001",
        why: "EPOCH-005 is tried with global epochs: here no unit is listed when its epoch ends, and none at a wrong time.",
    },
    Elsewhere {
        quirks: &["epoch-reports-at-threshold"],
        settings: &["full 0.1"],
        blamed: "EPOCH-010",
        why: "EPOCH-002 is tried with global epochs: here a unit is listed whose own epochs were all cold.",
    },
    Elsewhere {
        quirks: &["fill-level-not-latched"],
        settings: &["full 0.2"],
        blamed: "STATUS-010",
        why: "Nothing is lost, so there is no overflow to clear: the bit is set again without an insertion.",
    },
    Elsewhere {
        quirks: &["status-never-clears", "status-plain-write"],
        settings: &["full 0.2"],
        blamed: "STATUS-008",
        why: "Nothing is lost, so fill level is the only bit that can be cleared.",
    },
    Elsewhere {
        quirks: &["status-bits-swapped"],
        settings: &["full 0.2"],
        blamed: "STATUS-005",
        why: "Nothing is lost, so fill level is the only bit that is due.",
    },
    Elsewhere {
        quirks: &["interrupt-once"],
        settings: &["full 0.2"],
        blamed: "INTERRUPT-007",
        why: "Nothing is lost, so fill level is the only thing that interrupts again.",
    },
    Elsewhere {
        quirks: &[
            "interrupt-enables-swapped",
            "interrupt-wrong-message",
            "vectors-shared",
        ],
        settings: &["full 0.2"],
        blamed: "INTERRUPT-002",
        why: "Nothing is lost, so fill level is the only thing that interrupts: it does not, at the message where it should.",
    },
];

/// The same of runs that are not strict, which accept what strict ones blame first.
pub const LENIENT: &[Elsewhere] = &[
    Elsewhere {
        quirks: &["in-progress-never-clears"],
        settings: &[
            "full 0.0",
            "minimal 0.0",
            "full 0.1",
            "full 0.2",
            "full 1.0",
            "no-interrupts 0.0",
            "always-on-only 0.0",
            "default 0.0",
        ],
        blamed: "OPERATION-004",
        why: "That an operation takes long is accepted; that its code does not come back to zero is this requirement.",
    },
    Elsewhere {
        quirks: &["down-sampling-factors-shifted"],
        settings: &["minimal 0.0"],
        blamed: "OPERATION-001",
        why: "That there is no factor 1 is accepted, and there is one choice, which is refused.",
    },
];

/// Whether a device that breaks this rule is blamed for what it breaks at a setting, by being failed for these
/// requirements.
pub fn is_right_at(quirk: Quirk, setting: &str, blamed: &[String]) -> bool {
    is_right(quirk, blamed) || is_in(ALSO_RIGHT, quirk, setting, blamed)
}

/// The same of a run that is not strict.
pub fn is_right_leniently(quirk: Quirk, setting: &str, blamed: &[String]) -> bool {
    is_right_at(quirk, setting, blamed) || is_in(LENIENT, quirk, setting, blamed)
}

fn is_in(table: &[Elsewhere], quirk: Quirk, setting: &str, blamed: &[String]) -> bool {
    table.iter().any(|row| row.is_seen(quirk, setting, blamed))
}

impl Elsewhere {
    /// Whether this is what a device that breaks a rule was blamed for at a setting.
    pub fn is_seen(&self, quirk: Quirk, setting: &str, blamed: &[String]) -> bool {
        let is_blamed = |id: &String| id.strip_prefix("CHMU-") == Some(self.blamed);
        self.is_about(quirk, setting) && blamed.iter().any(is_blamed)
    }

    /// Whether it says what a device that breaks a rule may be blamed for at a setting.
    pub fn is_about(&self, quirk: Quirk, setting: &str) -> bool {
        self.settings.contains(&setting) && self.quirks.contains(&quirk.name())
    }
}
