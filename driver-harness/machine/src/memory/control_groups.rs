// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The control group that each frame's page is charged to: `/proc/kpagecgroup`, which kernels with the
//! memory controller have.

use std::fs::File;
use std::io;
use std::path::Path;

use chmu_spec::address::Pfn;

use super::frame_words;

/// What the kernel says of a page that is charged to no group.
const NONE: u64 = 0;

/// The open file: the inode of a group for each frame.
#[derive(Debug)]
pub struct ControlGroupsFile(File);

impl ControlGroupsFile {
    /// Opens `/proc/kpagecgroup`, or for tests a file of the same form.
    ///
    /// # Errors
    /// When the kernel has none, or does not show it to this user.
    pub fn open(path: &Path) -> io::Result<ControlGroupsFile> {
        File::open(path).map(ControlGroupsFile)
    }

    /// The inode of the group of each of `frames`, in their order; none for a page of no group.
    ///
    /// # Errors
    /// When the kernel does not let the file be read.
    pub fn read_each(&self, frames: &[Pfn]) -> io::Result<Vec<Option<u64>>> {
        let read = |range| frame_words::read(&self.0, range, NONE);
        let inodes = frame_words::each(frames, NONE, read)?;
        let group = |inode: u64| (inode != NONE).then_some(inode);
        Ok(inodes.into_iter().map(group).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_no_group_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kpagecgroup");
        let words = [0_u64, 77, 1];
        std::fs::write(&path, words.map(u64::to_ne_bytes).as_flattened()).unwrap();
        let groups = ControlGroupsFile::open(&path).unwrap();
        let frames = [2, 0, 1, 3, u64::MAX].map(Pfn);
        let expected = [Some(1), None, Some(77), None, None];
        assert_eq!(groups.read_each(&frames).unwrap(), expected);
        assert!(ControlGroupsFile::open(&folder.path().join("none")).is_err());
    }
}
