// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The kernel's NUMA hint faults, of which it shows no more than numbers.
//!
//! NUMA balancing makes pages inaccessible for a while, and sees by the fault that follows who uses them.
//! The kernel counts these faults (`/proc/vmstat`), and its trace points tell of tasks and of batches of
//! pages that moved: none tells a page. Page faults can be traced with their addresses, but a hint
//! fault looks there like the first use of any page. So there is nothing that a source could report, and
//! this one says so rather than report nothing.

use std::path::Path;

use chmu_machine::sysfs_file;

use super::SourceError;

/// What the kernel counts of them.
const COUNTERS: [&str; 3] = [
    "numa_hint_faults",
    "numa_hint_faults_local",
    "pgpromote_candidate",
];

/// Why no source can be made of hint faults, with what the kernel counts of them.
pub(super) fn refusal(procfs: &Path) -> SourceError {
    let shown = sysfs_file::text(&procfs.join("vmstat")).map_or_else(
        |_| Vec::new(),
        |text| {
            let lines = text.lines().filter(|line| {
                let name = line.split_whitespace().next();
                name.is_some_and(|name| COUNTERS.contains(&name))
            });
            lines.map(str::to_owned).collect()
        },
    );
    SourceError::HintFaults {
        shown: match shown.is_empty() {
            true => "counts none of them, as without CONFIG_NUMA_BALANCING".to_owned(),
            false => format!("only counts them ({})", shown.join(", ")),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_the_kernel_shows_of_them_is_told() {
        let procfs = tempfile::tempdir().unwrap();
        let text = |procfs: &Path| refusal(procfs).to_string();
        assert_eq!(
            text(procfs.path()),
            "NUMA hint faults cannot be a source: this kernel counts none of them, as without \
             CONFIG_NUMA_BALANCING, and tells of none which page it hit; take damon or accessed:PID"
        );
        fs::write(
            procfs.path().join("vmstat"),
            "nr_free_pages 7\nnuma_hint_faults 12\npgpromote_candidate 3\n",
        )
        .unwrap();
        assert!(
            text(procfs.path())
                .contains("only counts them (numa_hint_faults 12, pgpromote_candidate 3)")
        );
    }
}
