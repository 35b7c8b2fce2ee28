// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the machine counts of pages that move, whoever asked for it, in `/proc/vmstat` (`mm/vmstat.c`, `mm/migrate.c`,
//! `mm/page_alloc.c`).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use chmu_machine::sysfs_file::SysfsError;

/// The kernel prints less than this.
const TEXT_MAX: usize = 1 << 14;

/// Counts since the machine started, or what they rose by; none where the kernel does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Pages moved (`pgmigrate_success`).
    pub(super) moved: Option<u64>,
    /// Pages that were wanted of one node and taken of another (`numa_foreign`).
    pub(super) taken_elsewhere: Option<u64>,
}

impl Counts {
    /// Those of now.
    pub(super) fn read(vmstat: &File) -> Counts {
        let text = text(vmstat).unwrap_or_default();
        let count = |name: &str| {
            let mut words = text.lines().filter_map(|line| line.split_once(' '));
            let (_, count) = words.find(|(word, _)| *word == name)?;
            count.trim().parse().ok()
        };
        Counts {
            moved: count("pgmigrate_success"),
            taken_elsewhere: count("numa_foreign"),
        }
    }

    /// What they rose by since then.
    pub(super) fn since(self, before: Counts) -> Counts {
        let rise = |before: Option<u64>, after: Option<u64>| {
            let both = before.zip(after);
            both.map(|(before, after)| after.saturating_sub(before))
        };
        Counts {
            moved: rise(before.moved, self.moved),
            taken_elsewhere: rise(before.taken_elsewhere, self.taken_elsewhere),
        }
    }
}

pub(super) fn open(procfs: &Path) -> Result<File, SysfsError> {
    let path = procfs.join("vmstat");
    File::open(&path).map_err(|source| SysfsError::Read { path, source })
}

fn text(vmstat: &File) -> Option<String> {
    let mut text = vec![0; TEXT_MAX];
    let mut filled = 0;
    while filled < text.len() {
        match vmstat.read_at(&mut text[filled..], filled as u64).ok()? {
            0 => break,
            read => filled += read,
        }
    }
    text.truncate(filled);
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_where_the_kernel_counts_them() {
        let procfs = tempfile::tempdir().unwrap();
        let path = procfs.path().join("vmstat");
        let read = || Counts::read(&open(procfs.path()).unwrap());
        let counts = |moved, taken_elsewhere| Counts {
            moved,
            taken_elsewhere,
        };
        std::fs::write(
            &path,
            "nr_free_pages 7\nnuma_foreign 5\npgmigrate_success 42\nx 1\n",
        )
        .unwrap();
        let before = read();
        assert_eq!(before, counts(Some(42), Some(5)));
        std::fs::write(&path, "numa_foreign 5\npgmigrate_success 44\n").unwrap();
        assert_eq!(read().since(before), counts(Some(2), Some(0)));
        std::fs::write(&path, "nr_free_pages 7\n").unwrap();
        assert_eq!(read(), Counts::default());
        assert_eq!(read().since(before), Counts::default());
        // This machine's own file is read whole.
        let vmstat = open(Path::new("/proc")).unwrap();
        let text = std::fs::read_to_string("/proc/vmstat").unwrap();
        assert!(text.len() < TEXT_MAX);
        let is_counted = |name| text.lines().any(|line| line.starts_with(name));
        let now = Counts::read(&vmstat);
        assert_eq!(now.moved.is_some(), is_counted("pgmigrate_success "));
        assert_eq!(now.taken_elsewhere.is_some(), is_counted("numa_foreign "));
    }
}
