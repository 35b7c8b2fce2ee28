// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The image is read back with an own reader of the newc layout (`cpio`(5)).

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    path: String,
    mode: u32,
    device: (u32, u32),
    content: Vec<u8>,
}

fn entries(archive: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut offset = 0;
    loop {
        let header = std::str::from_utf8(&archive[offset..offset + 110]).unwrap();
        assert_eq!(&header[..6], "070701");
        let field = |index: usize| {
            let start = 6 + 8 * index;
            u32::from_str_radix(&header[start..start + 8], 16).unwrap()
        };
        let size = field(6) as usize;
        let name_length = field(11) as usize;
        let name = &archive[offset + 110..offset + 110 + name_length - 1];
        let path = String::from_utf8(name.to_vec()).unwrap();
        let start = (offset + 110 + name_length).next_multiple_of(4);
        if path == "TRAILER!!!" {
            return entries;
        }
        assert_eq!(field(5), 0, "{path} has a time");
        entries.push(Entry {
            path,
            mode: field(1),
            device: (field(9), field(10)),
            content: archive[start..start + size].to_vec(),
        });
        offset = (start + size).next_multiple_of(4);
    }
}

fn module(name: &str) -> Module {
    Module {
        name: name.into(),
        content: name.as_bytes().to_vec(),
    }
}

fn kernel() -> Kernel {
    Kernel {
        image: "/vmlinuz".into(),
        release: "7.3.4".into(),
        region_modules: vec![module("einj"), module("cxl_pci")],
        dax_modules: vec![module("kmem")],
        vfio_modules: vec![module("einj"), module("vfio_pci")],
        storage_modules: vec![module("ext4")],
        own_modules: vec![module("cxl_pci"), module("mine")],
    }
}

/// The smallest program without a loader: an ELF header only.
fn program(folder: &Path) -> PathBuf {
    let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    header.resize(16, 0);
    header.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    header.resize(52, 0);
    header.extend([64, 0, 56, 0, 0, 0, 64, 0, 0, 0, 0, 0]);
    let program = folder.join("program");
    fs::write(&program, header).unwrap();
    program
}

fn image() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let program = program(folder.path());
    let image = GuestImage {
        kernel: &kernel(),
        busybox: &program,
        program: &program,
        packages: None,
        files: &[],
    };
    image.build().unwrap()
}

#[test]
fn every_file_comes_after_its_folder() {
    let entries = entries(&image());
    let mut folders = vec![String::new()];
    for entry in &entries {
        let parent = entry.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        assert!(
            folders.iter().any(|folder| folder == parent),
            "{}",
            entry.path
        );
        if entry.mode & 0o170_000 == 0o040_000 {
            assert!(!folders.contains(&entry.path), "{} twice", entry.path);
            folders.push(entry.path.clone());
        }
    }
    let found = |path: &str| entries.iter().find(|entry| entry.path == path).unwrap();
    assert_eq!(found("init").mode, 0o100_755);
    assert_eq!(found("init").content, INIT.as_bytes());
    assert_eq!(found("dev/console").mode, 0o020_600);
    assert_eq!(found("dev/console").device, (5, 1));
    assert_eq!(found("usr/lib/modules/region.order").mode, 0o100_644);
}

#[test]
fn modules_are_there_once_with_each_modes_order() {
    let entries = entries(&image());
    let content = |path: &str| {
        let mut found = entries.iter().filter(|entry| entry.path == path);
        let text = String::from_utf8(found.next().unwrap().content.clone()).unwrap();
        assert_eq!(found.next(), None);
        text
    };
    assert_eq!(content("usr/lib/modules/region.order"), "einj\ncxl_pci\n");
    assert_eq!(content("usr/lib/modules/dax.order"), "kmem\n");
    assert_eq!(content("usr/lib/modules/vfio.order"), "einj\nvfio_pci\n");
    assert_eq!(content("usr/lib/modules/own.order"), "cxl_pci\nmine\n");
    for name in ["einj", "cxl_pci", "kmem", "vfio_pci"] {
        assert_eq!(content(&format!("usr/lib/modules/7.3.4/{name}.ko")), name);
    }
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    assert_eq!(image(), image());
}

#[test]
fn a_program_that_needs_libraries_is_refused() {
    let test = std::env::current_exe().unwrap();
    let image = GuestImage {
        kernel: &kernel(),
        busybox: &test,
        program: &test,
        packages: None,
        files: &[],
    };
    let error = image.build().unwrap_err();
    assert!(error.to_string().contains("not statically linked"));
}

#[test]
fn init_is_a_valid_script() {
    let check = Command::new("sh")
        .args(["-n", "-c", INIT])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{errors}");
}

#[test]
fn a_users_files_come_last_with_their_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let program = program(folder.path());
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("notes"), "text").unwrap();
    fs::copy(&program, tools.join("run")).unwrap();
    fs::set_permissions(tools.join("run"), Permissions::from_mode(0o750)).unwrap();
    let files = [
        format!("{}:/opt/", tools.display()).parse().unwrap(),
        GuestFile::program("/script", b"#!/bin/sh".to_vec()),
    ];
    let with_files = GuestImage {
        kernel: &kernel(),
        busybox: &program,
        program: &program,
        packages: None,
        files: &files,
    };
    let whole = with_files.build().unwrap();
    // The trailer ends the first archive; the second starts at the next block.
    let end = image().len().next_multiple_of(ALIGNMENT_BYTES);
    let found: Vec<_> = entries(&whole[end..])
        .into_iter()
        .map(|entry| (entry.path, entry.mode))
        .collect();
    let file = |path: &str, mode: u32| (path.to_owned(), mode);
    assert_eq!(
        found,
        [
            file("opt", 0o040_755),
            file("opt/tools", 0o040_755),
            file("opt/tools/notes", 0o100_644),
            file("opt/tools/run", 0o100_750),
            file("script", 0o100_755),
        ]
    );
}
