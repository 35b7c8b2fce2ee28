// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::fs;

use super::*;
use crate::memory::{Buffer, numa};

/// Page 10 to 14 of process 7: absent, present, absent, present, present.
fn small_tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let process = folder.path().join("7");
    fs::create_dir(&process).unwrap();
    let mut words = vec![0_u64; 10];
    words.extend([
        0,
        PRESENT | 100,
        1 << 62 | 5,
        PRESENT | 1 << 61 | 99,
        PRESENT | 7,
    ]);
    let bytes: Vec<_> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
    fs::write(process.join("pagemap"), bytes).unwrap();
    let smaps = "a000-f000 rw-p 00000000 00:00 0 [heap]\nSize: 20 kB\nRss:      12 kB\n\
                 7000000000-17000000000 ---p 00000000 00:00 0\nSize: 9 kB\nRss:       0 kB\n";
    fs::write(process.join("smaps"), smaps).unwrap();
    folder
}

#[test]
fn only_present_pages_have_a_frame() {
    assert_eq!(
        frame_of((1 << 63) | (1 << 61) | 0x12345),
        Some(Pfn(0x12345))
    );
    assert_eq!(frame_of((1 << 62) | 0x12345), None);
}

#[test]
fn a_plain_file_is_read_whole_and_ends_where_it_ends() {
    let tree = small_tree();
    let map = PageMap::open_below(tree.path(), 7).unwrap();
    let frames = map.frames(10 * PAGE_BYTES, 7).unwrap();
    let expected = [None, Some(100), None, Some(99), Some(7), None, None];
    assert_eq!(frames, expected.map(|frame| frame.map(Pfn)));
    assert_eq!(map.frame(11 * PAGE_BYTES + 5).unwrap(), Some(Pfn(100)));
    let mut seen = Vec::new();
    map.each_present(0..20 * PAGE_BYTES, |address, frame| {
        seen.push((address / PAGE_BYTES, frame.0));
        seen.len() < 2
    })
    .unwrap();
    assert_eq!(seen, [(11, 100), (13, 99)]);
    let error = PageMap::open_below(tree.path(), 8).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Cannot read where the pages of process 8 lie"
    );
}

#[test]
fn areas_are_read_as_the_kernel_prints_them() {
    let area = |line: &str, resident: &str| {
        populated_areas(&format!(
            "{line}\nSize: 8 kB\nRss:   {resident}\nPss: 1 kB\n"
        ))
    };
    let line = "7f0000001000-7f0000003000 rw-p 00000000 00:00 0    [heap]";
    assert_eq!(area(line, "4 kB"), vec![0x7f00_0000_1000..0x7f00_0000_3000]);
    assert_eq!(area(line, "0 kB"), []);
    let kernel = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]";
    assert_eq!(area(kernel, "4 kB"), []);
    assert_eq!(area("", "4 kB"), []);
}

#[test]
fn the_areas_of_this_process_hold_its_pages() {
    let local = 0_u8;
    let address = std::ptr::from_ref(&local).addr() as u64;
    let map = PageMap::open(std::process::id()).unwrap();
    let populated = map.populated(&(0..u64::MAX)).unwrap();
    assert!(populated.iter().any(|area| area.contains(&address)));
}

#[test]
fn a_reservation_of_a_tebibyte_is_passed_over_and_its_pages_found() {
    let pages = (1 << 40) / PAGE_BYTES;
    let Ok(mut buffer) = Buffer::reserve(pages) else {
        // The machine grants no such reservation.
        return;
    };
    let written = [0, 12_345, pages / 2, pages - 1];
    for page in written {
        buffer.write(page, 0, 1);
    }
    let map = PageMap::open(std::process::id()).unwrap();
    let area = buffer.address()..buffer.address() + (1 << 40);
    match page_scan::present(&map.file, area.clone()) {
        // A kernel without the scan would read 2 GiB here.
        Ok(None) => return,
        found => assert!(found.unwrap().unwrap().len() >= written.len()),
    }
    let mut seen = Vec::new();
    let looked = map.each_present(area, |address, frame| {
        seen.push((address - buffer.address()) / PAGE_BYTES);
        frame != Pfn(0)
    });
    match looked {
        Ok(()) => assert_eq!(seen, written),
        Err(PageMapError::Hidden { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    // The kernel agrees: each has a node.
    let addresses = written.map(|page| buffer.address() + page * PAGE_BYTES);
    if let Ok(places) = numa::query_pages(std::process::id(), &addresses) {
        assert!(
            places
                .iter()
                .all(|place| matches!(place, numa::Placement::Node(_)))
        );
    }
}
