// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the guest's kernel complains about, and whether it has found the CXL devices.
//!
//! To be asked after each scenario: a run whose result is right but whose kernel has complained is
//! not a good run.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::machine::Machine;
use crate::topology::Topology;

/// Listing a few files takes milliseconds in an idle guest.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// Linux' log levels (printk(9)): an error or worse.
const ERROR_LEVEL: u8 = 3;
const WARNING_LEVEL: u8 = 4;

/// Texts that mean a bug of the kernel or a crash, whatever the line's level.
const CRASHES: [&str; 14] = [
    "BUG: ",
    "Call Trace:",
    "INFO: possible",
    "INFO: task ",
    "KASAN: ",
    "Kernel panic",
    "Oops",
    "UBSAN: ",
    "WARNING: ",
    "detected stall",
    "general protection fault",
    "kernel BUG at",
    "possible recursive locking",
    "suspicious RCU usage",
];

/// Warnings count when they are about one of these, in lower case.
const SUBJECTS: [&str; 11] = [
    "acpi override",
    "cedt",
    "chmu",
    "cxl",
    "damon",
    "hmat",
    "memory tier",
    "numa:",
    "srat",
    "table upgrade",
    "vfio",
];

/// A complaint that does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// A part of the line.
    pub text: &'static str,
    /// Why it is harmless.
    pub reason: &'static str,
}

/// Seen in every guest of the lab.
pub const ALLOWANCES: [Allowance; 4] = [
    Allowance {
        text: "SLUB: Unable to allocate memory from node",
        reason: "The CXL nodes are movable as a whole, so the kernel keeps its objects elsewhere",
    },
    Allowance {
        text: "SLUB: Allocating a useless per node structure",
        reason: "Follows from the line before",
    },
    Allowance {
        text: ": resetting",
        reason: "VFIO resets a function for each of its users, and newer kernels say so",
    },
    Allowance {
        text: ": reset done",
        reason: "Follows from the line before",
    },
];

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The kernel crashed or met a bug of its own.
    Crash(String),
    /// The kernel logged an error.
    Error(String),
    /// The kernel warned about what the lab is about.
    Warning(String),
    /// Linux has not set up a CXL device or region as the topology has it.
    Missing(String),
}

/// The kind, then the line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(line) => write!(f, "crash: {line}"),
            Self::Error(line) => write!(f, "error: {line}"),
            Self::Warning(line) => write!(f, "warning: {line}"),
            Self::Missing(what) => write!(f, "missing: {what}"),
        }
    }
}

/// Reads the guest's kernel log and judges it; `allowed` adds to [`ALLOWANCES`].
///
/// # Errors
/// When the log cannot be read.
pub fn check(machine: &mut Machine, allowed: &[Allowance]) -> Result<Vec<Finding>> {
    let log = machine.run_checked(&["dmesg", "-r"], LIST_TIMEOUT)?;
    Ok(judge(&log, allowed))
}

/// Judges a log in the form of `dmesg -r`: each line starts with its level, as `<6>`.
pub fn judge(log: &str, allowed: &[Allowance]) -> Vec<Finding> {
    let is_allowed = |line: &str| {
        let mut all = ALLOWANCES.iter().chain(allowed);
        all.any(|allowance| line.contains(allowance.text))
    };
    let lines = log.lines().filter(|line| !is_allowed(line));
    lines.filter_map(judge_line).collect()
}

fn judge_line(line: &str) -> Option<Finding> {
    let (level, text) = split_level(line);
    let owned = || text.trim_end().to_owned();
    if CRASHES.iter().any(|crash| text.contains(crash)) {
        return Some(Finding::Crash(owned()));
    }
    if level <= ERROR_LEVEL {
        return Some(Finding::Error(owned()));
    }
    let lower = text.to_lowercase();
    let concerns = SUBJECTS.iter().any(|subject| lower.contains(subject));
    (level == WARNING_LEVEL && concerns).then(|| Finding::Warning(owned()))
}

/// The level is in the lower three bits; above is who wrote the line.
fn split_level(line: &str) -> (u8, &str) {
    let parts = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match parts.map(|(number, text)| (number.parse::<u8>(), text)) {
        Some((Ok(number), text)) => (number & 7, text),
        _ => (u8::MAX, line),
    }
}

/// Checks that Linux has every device and a committed region for every window.
///
/// # Errors
/// When the guest cannot be asked.
pub fn check_cxl_bus(machine: &mut Machine, topology: &Topology) -> Result<Vec<Finding>> {
    let script = "cd /sys/bus/cxl/devices && ls && grep -H . region*/commit";
    let listing = machine.run(&["sh", "-c", script], LIST_TIMEOUT)?.stdout;
    Ok(judge_cxl_bus(&listing, topology))
}

fn judge_cxl_bus(listing: &str, topology: &Topology) -> Vec<Finding> {
    let devices = topology.devices().len();
    let windows = topology.windows().len();
    let numbered = |prefix: &str, suffix: &str| {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let middles = listing.lines().filter_map(|line| {
            let line = line.trim();
            line.strip_prefix(prefix)?.strip_suffix(suffix)
        });
        middles.filter(|middle| is_number(middle)).count()
    };
    let mut findings = Vec::new();
    for (what, prefix, suffix, wanted) in [
        ("memory devices (memN)", "mem", "", devices),
        ("endpoints (endpointN)", "endpoint", "", devices),
        (
            "committed regions (regionN)",
            "region",
            "/commit:1",
            windows,
        ),
    ] {
        let found = numbered(prefix, suffix);
        if found != wanted {
            findings.push(Finding::Missing(format!(
                "Linux has {found} CXL {what}, and the topology {wanted}"
            )));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_guest_has_no_findings() {
        let log = "\
<5>[    0.000000] Linux version 7.3.4
<3>[    0.000000] SLUB: Unable to allocate memory from node 1
<3>[    0.000000] SLUB: Allocating a useless per node structure in order to be able to continue
<4>[    1.477220] pci_bus 0000:00: Unknown NUMA node; performance will be reduced
<4>[    1.780902] ACPI: IRQ 3 override to edge(!), high(!)
<6>[    1.875112] acpi ACPI0016:00: _OSC: OS now controls [CXLMemErrorReporting]
<6>[    0.000000] ACPI: Table Upgrade: override [CEDT-BOCHS -BXPC    ]
<4>[    4.532731] vfio-pci 0000:35:00.0: resetting
<4>[    4.652329] vfio-pci 0000:35:00.0: reset done
";
        assert_eq!(judge(log, &[]), []);
    }

    #[test]
    fn complaints_are_found_with_their_line() {
        let log = "\
<3>[    5.1] cxl_mem mem0: failed to find decoder mapping 0x140000000-0x1bfffffff
<4>[    5.2] cxl_port endpoint2: failed to attach decoder2.0 to region0: -6
<3>[    0.1] ACPI OVERRIDE: Checksum is wrong
<4>[    6.0] WARNING: drivers/cxl/core/region.c:235 at cxl_region_invalidate_memregion
<6>[    6.1] Call Trace:
<11>[    6.2] chmu-init: cannot load the module cxl_acpi
";
        let kinds: Vec<_> = judge(log, &[]).iter().map(ToString::to_string).collect();
        let starts = ["error", "warning", "error", "crash", "crash", "error"];
        assert_eq!(kinds.len(), starts.len());
        for (kind, start) in kinds.iter().zip(starts) {
            assert!(kind.starts_with(&format!("{start}: [  ")), "{kind}");
        }
    }

    #[test]
    fn a_caller_can_allow_more() {
        let log = "<4>[    1.0] cxl_pci 0000:35:00.0: something\n";
        assert_eq!(judge(log, &[]).len(), 1);
        let allowance = Allowance {
            text: "cxl_pci 0000:35:00.0: something",
            reason: "This test provokes it",
        };
        assert_eq!(judge(log, &[allowance]), []);
    }

    #[test]
    fn a_region_must_be_committed() {
        let topology = Topology::default();
        let all = "decoder0.0\nendpoint2\nmem0\nport1\nregion0\nroot0\nregion0/commit:1\n";
        assert_eq!(judge_cxl_bus(all, &topology), []);
        let uncommitted = all.replace("commit:1", "commit:0");
        let findings = judge_cxl_bus(&uncommitted, &topology);
        assert_eq!(
            findings,
            [Finding::Missing(
                "Linux has 0 CXL committed regions (regionN), and the topology 1".into()
            )]
        );
        assert_eq!(judge_cxl_bus("", &topology).len(), 3);
    }
}
