// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is fetched of the three, and what is said when that fails.

use super::entry::LAYOUT;
use super::*;

const ALL: Packages = Packages {
    qemu: true,
    kernel: Some(KernelChoice::Lts612),
    busybox: true,
};

fn fill(cache: &Cache, entry: Entry, layout: u32) {
    let lock = cache.lock(|| ()).unwrap();
    let folder = cache.begin(entry.name(), &lock).unwrap();
    std::fs::write(folder.join("vmlinuz"), "half of it").unwrap();
    let contents = Contents {
        layout,
        version: "1.2.3".into(),
        packages: Vec::new(),
    };
    cache.complete(entry.name(), &contents, &lock).unwrap();
}

#[test]
fn what_the_cache_has_is_not_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    for entry in ALL.entries() {
        fill(&cache, entry, LAYOUT);
    }
    ALL.fetch(&cache, &Progress::hidden()).unwrap();
    let other = Packages {
        kernel: Some(KernelChoice::Backports),
        ..ALL
    };
    let lacking = lacking(other, &cache);
    assert_eq!(lacking, [Entry::Kernel(KernelChoice::Backports)]);
}

#[test]
fn entries_of_another_layout_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    fill(&cache, Entry::Qemu, LAYOUT + 1);
    assert!(lacking(ALL, &cache).contains(&Entry::Qemu));
}

fn lacking(packages: Packages, cache: &Cache) -> Vec<Entry> {
    let lacking = packages.lacking(cache).unwrap();
    lacking.into_iter().map(|lack| lack.entry).collect()
}

#[test]
fn a_damaged_entry_is_fetched_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    for entry in ALL.entries() {
        fill(&cache, entry, LAYOUT);
    }
    let image = cache
        .entry(Entry::Kernel(KernelChoice::Lts612).name())
        .join("vmlinuz");
    std::fs::write(&image, "half of i").unwrap();
    assert_eq!(lacking(ALL, &cache), [Entry::Kernel(KernelChoice::Lts612)]);
}

#[test]
fn the_advice_names_what_is_missing_only() {
    assert_eq!(
        advice(&[
            Lack {
                entry: Entry::Kernel(KernelChoice::Backports),
                damage: None,
            },
            Lack {
                entry: Entry::Busybox,
                damage: Some(Damage {
                    folder: "/c/busybox".into(),
                    file: "busybox".into(),
                }),
            }
        ]),
        "Cannot get the kernel, busybox from Debian's packages; \
         pass --kernel and --modules, --busybox instead; \
         busybox in /c/busybox is not as it was fetched"
    );
}
