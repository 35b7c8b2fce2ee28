// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The machine itself: processor, memory, disk, rights.

use std::fs;
use std::path::Path;

use super::{Finding, State};
use crate::cache::Cache;

const MIB: u64 = 1 << 20;
/// A demonstration takes 743 MiB at its peak, while the programs are built; its guest touches less
/// of its 3 GiB.
const NEEDED_MEMORY_BYTES: u64 = 1024 * MIB;
/// Fetching takes 619 MB at its peak.
const NEEDED_DISK_BYTES: u64 = 700 * MIB;

pub(super) fn architecture() -> Finding {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = format!(
        "{} {}, {processors} processors",
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        Finding::new("Machine", State::Ok, machine)
    } else {
        Finding::new("Machine", State::Missing, machine).fix("Use Linux on x86_64")
    }
}

pub(super) fn disk(cache: &Cache, fetches: bool) -> Finding {
    let folder = cache.folder();
    let used = cache.size_bytes() / MIB;
    // The folder itself may not exist yet.
    let existing = folder.ancestors().find(|ancestor| ancestor.exists());
    let free_bytes = existing.and_then(free_disk_bytes).unwrap_or(0);
    let detail = format!(
        "{}, {used} MiB used, {} MiB free",
        folder.display(),
        free_bytes / MIB
    );
    if fetches && free_bytes < NEEDED_DISK_BYTES {
        let needed = NEEDED_DISK_BYTES / MIB;
        Finding::new("Cache", State::Missing, detail).fix(format!(
            "Fetching needs {needed} MiB; name another folder in CHMU_CACHE_DIR"
        ))
    } else {
        Finding::new("Cache", State::Ok, detail)
    }
}

fn free_disk_bytes(folder: &Path) -> Option<u64> {
    let status = rustix::fs::statvfs(folder).ok()?;
    Some(status.f_bavail.saturating_mul(status.f_frsize))
}

pub(super) fn memory() -> Finding {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available_bytes = available_memory_bytes(&text).unwrap_or(0);
    let detail = format!("{} MiB available", available_bytes / MIB);
    if available_bytes < NEEDED_MEMORY_BYTES {
        let needed = NEEDED_MEMORY_BYTES / MIB;
        Finding::new("Memory", State::Missing, detail).fix(format!(
            "Building and the guest need about {needed} MiB; end other programs"
        ))
    } else {
        Finding::new("Memory", State::Ok, detail)
    }
}

fn available_memory_bytes(meminfo: &str) -> Option<u64> {
    let mut lines = meminfo.lines();
    let value = lines.find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

pub(super) fn user() -> Finding {
    let user = if rustix::process::geteuid().is_root() {
        "root; the lab needs neither root nor /dev/kvm"
    } else {
        "not root; the lab needs neither root nor /dev/kvm"
    };
    Finding::new("Rights", State::Ok, user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(available_memory_bytes(text), Some(2 * MIB));
        assert_eq!(available_memory_bytes("MemAvailable: many kB\n"), None);
        assert_eq!(available_memory_bytes(""), None);
    }
}
