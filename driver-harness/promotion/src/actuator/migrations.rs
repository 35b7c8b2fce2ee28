// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many pages the machine has moved, whoever asked for it: `pgmigrate_success` in `/proc/vmstat`
//! (mm/vmstat.c, mm/migrate.c).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use chmu_machine::sysfs_file::SysfsError;

/// The kernel prints less than this.
const TEXT_MAX: usize = 1 << 14;

pub(super) fn open(procfs: &Path) -> Result<File, SysfsError> {
    let path = procfs.join("vmstat");
    File::open(&path).map_err(|source| SysfsError::Read { path, source })
}

/// Pages moved since the machine started; none where the kernel does not count them.
pub(super) fn pages(vmstat: &File) -> Option<u64> {
    let mut text = vec![0; TEXT_MAX];
    let mut filled = 0;
    while filled < text.len() {
        match vmstat.read_at(&mut text[filled..], filled as u64).ok()? {
            0 => break,
            read => filled += read,
        }
    }
    let text = str::from_utf8(&text[..filled]).ok()?;
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("pgmigrate_success "))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_where_the_kernel_counts_them() {
        let procfs = tempfile::tempdir().unwrap();
        let path = procfs.path().join("vmstat");
        std::fs::write(&path, "nr_free_pages 7\npgmigrate_success 42\nx 1\n").unwrap();
        assert_eq!(pages(&open(procfs.path()).unwrap()), Some(42));
        std::fs::write(&path, "nr_free_pages 7\n").unwrap();
        assert_eq!(pages(&open(procfs.path()).unwrap()), None);
        // This machine's own file is read whole.
        let vmstat = open(Path::new("/proc")).unwrap();
        let text = std::fs::read_to_string("/proc/vmstat").unwrap();
        assert!(text.len() < TEXT_MAX);
        assert_eq!(pages(&vmstat).is_some(), text.contains("pgmigrate_success"));
    }
}
