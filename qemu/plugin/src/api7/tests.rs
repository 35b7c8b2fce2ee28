// SPDX-License-Identifier: GPL-2.0-or-later
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use chmu_ring::{Access, Feed, FeedConfig, Hpa, Window};
use tempfile::TempDir;

use super::fake_qemu::{self, FakeBlock, Target};

const BASE: u64 = 0x1_0000_0000;
const WINDOW: Window = Window {
    base: BASE,
    size: 0x1000_0000,
};
const ADDRESS: u64 = 0x7fff_0000_0000;
pub(super) const LOAD_CODE: &[u8] = &[0x48, 0x8b, 0x07];
const MOVE_TO_CR3: &[u8] = &[0x0f, 0x22, 0xd8];
/// More than the interrupts between two looks whether a device is there.
const MANY_INTERRUPTS: u32 = 1000;

mod accounts;
mod arming;

/// A device: an access socket and the feed behind it.
struct Device {
    feed: Feed,
    listener: UnixListener,
    path: PathBuf,
    _folder: TempDir,
}

impl Device {
    fn new(rings: u32, windows: &[Window]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.sock");
        let config = FeedConfig {
            rings,
            entries_per_ring: 1024,
            windows: windows.to_vec(),
        };
        Self {
            feed: Feed::create(&config).unwrap(),
            listener: UnixListener::bind(&path).unwrap(),
            path,
            _folder: folder,
        }
    }

    fn argument(&self) -> String {
        format!("socket={}", self.path.display())
    }

    fn drain(&mut self) -> Vec<Access<Hpa>> {
        let mut records = Vec::new();
        self.feed.drain(|batch| records.extend_from_slice(batch));
        records
    }
}

/// Installs the plugin for `devices`, which hand over their feeds meanwhile.
fn install(devices: &mut [&mut Device], options: &[&str]) {
    let sockets: Vec<String> = devices.iter().map(|device| device.argument()).collect();
    let arguments: Vec<&str> = sockets.iter().map(String::as_str).collect();
    let arguments = [&arguments, options].concat();
    std::thread::scope(|scope| {
        for device in devices {
            scope.spawn(|| {
                let (stream, _) = device.listener.accept().unwrap();
                device.feed.hand_over(stream).unwrap();
            });
        }
        assert_eq!(fake_qemu::install("x86_64", 4, &arguments), 0);
    });
}

fn arm(device: &mut Device) -> FakeBlock {
    device.feed.set_armed(true);
    fake_qemu::interrupt(0);
    assert!(device.feed.acknowledged());
    fake_qemu::translate(&[LOAD_CODE, MOVE_TO_CR3])
}

#[test]
fn wrong_installations_fail() {
    let install = fake_qemu::install;
    assert_ne!(install("x86_64", 1, &[]), 0);
    assert_ne!(
        install("x86_64", 1, &["socket=/nonexistent/access.sock"]),
        0
    );
    assert_ne!(
        install("aarch64", 1, &["socket=/nonexistent/access.sock"]),
        0
    );
    assert_eq!(fake_qemu::registered(), (false, None));
}

#[test]
fn a_device_that_is_armed_at_installation_misses_nothing() {
    let mut device = Device::new(4, &[WINDOW]);
    device.feed.set_armed(true);
    install(&mut [&mut device], &["cache=none"]);
    let block = fake_qemu::translate(&[LOAD_CODE]);
    block.load(0, ADDRESS, Target::Ram(BASE), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE))]);
}

#[test]
fn without_a_filter_every_access_to_ram_in_the_window_is_reported() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &["cache=none"]);
    let block = arm(&mut device);
    for _ in 0..2 {
        block.load(1, ADDRESS + 64, Target::Ram(BASE + 64), 3);
        block.store(2, ADDRESS + 64, Target::Ram(BASE + 64), 0);
    }
    block.load(0, ADDRESS + 0xfc0, Target::Ram(BASE - 64), 3);
    block.load(0, ADDRESS + 0x1000, Target::Ram(BASE + WINDOW.size), 3);
    block.load(0, ADDRESS + 0x2000, Target::Io(BASE), 3);
    block.load(0, ADDRESS + 0x3000, Target::Unknown, 3);
    let (read, write) = (Access::read(Hpa(BASE + 64)), Access::write(Hpa(BASE + 64)));
    assert_eq!(device.drain(), [read, read, write, write]);
}

#[test]
fn an_access_across_lines_touches_both_within_a_page() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &["cache=none"]);
    let block = arm(&mut device);
    block.load(0, ADDRESS + 56, Target::Ram(BASE + 56), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE))]);
    block.load(0, ADDRESS + 57, Target::Ram(BASE + 57), 3);
    assert_eq!(
        device.drain(),
        [Access::read(Hpa(BASE)), Access::read(Hpa(BASE + 64))]
    );
    block.store(0, ADDRESS + 49, Target::Ram(BASE + 49), 4);
    let both = [Access::write(Hpa(BASE)), Access::write(Hpa(BASE + 64))];
    assert_eq!(device.drain(), both);
    block.load(0, ADDRESS + 4095, Target::Ram(BASE + 4095), 1);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE + 4032))]);
}

#[test]
fn the_filter_reports_fills_and_write_backs() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &["cache=lines:64"]);
    let block = arm(&mut device);
    block.store(0, ADDRESS, Target::Ram(BASE), 3);
    block.load(0, ADDRESS + 8, Target::Ram(BASE + 8), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE))]);
    // RAM outside the window takes part in the cache, unreported.
    for page in 1..=4 {
        assert_eq!(device.drain(), [], "there is room for it");
        let frame = Target::Ram(page * 0x1000);
        block.load(0, ADDRESS + page * 0x1000, frame, 3);
    }
    assert_eq!(device.drain(), [Access::write(Hpa(BASE))]);
    block.load(0, ADDRESS, Target::Ram(BASE), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE))]);
    block.load(1, ADDRESS, Target::Ram(BASE), 3);
    assert_eq!(
        device.drain(),
        [Access::read(Hpa(BASE))],
        "another vCPU's cache"
    );
}

#[test]
fn the_last_level_is_shared_and_emptied_by_arming() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &["cache=l2:4K:4+llc:64K:16"]);
    let block = arm(&mut device);
    block.store(0, ADDRESS, Target::Ram(BASE), 3);
    block.load(1, ADDRESS, Target::Ram(BASE), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE))], "vCPU 1 hits");
    // The line leaves vCPU 0's cache for the last level, and that only after many more.
    for page in 1..=5 {
        block.load(0, ADDRESS + page * 0x1000, Target::Ram(page * 0x1000), 3);
    }
    assert_eq!(device.drain(), []);
    for page in 6..=0x80 {
        block.load(0, ADDRESS + page * 0x1000, Target::Ram(page * 0x1000), 3);
    }
    assert_eq!(device.drain(), [Access::write(Hpa(BASE))]);
    block.load(0, ADDRESS, Target::Ram(BASE), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE))]);
    device.feed.set_armed(false);
    fake_qemu::interrupt(0);
    let block = arm(&mut device);
    block.load(2, ADDRESS, Target::Ram(BASE), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE))]);
}

#[test]
fn a_new_address_space_costs_no_reports_and_hides_none() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &[]);
    let block = arm(&mut device);
    block.load(0, ADDRESS, Target::Ram(BASE), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE))]);
    block.execute(0, 1);
    block.load(0, ADDRESS, Target::Ram(BASE), 3);
    assert_eq!(device.drain(), []);
    block.execute(0, 1);
    block.load(0, ADDRESS, Target::Ram(BASE + 4096), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE + 4096))]);
}

#[test]
fn disarming_empties_the_filter_without_write_backs() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &["cache=lines:64"]);
    let block = arm(&mut device);
    block.store(0, ADDRESS, Target::Ram(BASE), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE))]);
    device.feed.set_armed(false);
    fake_qemu::interrupt(0);
    let block = arm(&mut device);
    assert_eq!(device.drain(), []);
    block.load(0, ADDRESS + 4096, Target::Ram(BASE + 4096), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE + 4096))]);
}

#[test]
fn accesses_of_vcpus_without_a_ring_are_counted_as_lost() {
    let mut device = Device::new(2, &[WINDOW]);
    install(&mut [&mut device], &["cache=none"]);
    assert_eq!(device.feed.ringless_vcpus(), 2);
    let block = arm(&mut device);
    for vcpu in [0, 1, 2, 3, 4, 1000] {
        fake_qemu::interrupt(vcpu);
        block.execute(vcpu, 1);
        block.load(vcpu, ADDRESS, Target::Ram(BASE), 3);
    }
    let mut records = Vec::new();
    let report = device.feed.drain(|batch| records.extend_from_slice(batch));
    assert_eq!(records, [Access::read(Hpa(BASE)); 2]);
    assert_eq!(report.lost, 2, "QEMU never said that there are more than 4");
}

#[test]
fn each_device_hears_of_its_own_windows_while_it_is_armed() {
    let far = Window {
        base: BASE + WINDOW.size,
        size: 4096,
    };
    let mut first = Device::new(4, &[WINDOW]);
    let mut second = Device::new(4, &[far, WINDOW]);
    install(&mut [&mut first, &mut second], &["cache=none"]);
    let block = arm(&mut first);
    let access_both = |block: &FakeBlock| {
        block.load(0, ADDRESS, Target::Ram(BASE), 3);
        block.load(0, ADDRESS + 0x1000, Target::Ram(far.base), 3);
    };
    access_both(&block);
    assert_eq!(first.drain(), [Access::read(Hpa(BASE))]);
    assert_eq!(second.drain(), []);
    let block = arm(&mut second);
    access_both(&block);
    assert_eq!(first.drain(), [Access::read(Hpa(BASE))]);
    assert_eq!(
        second.drain(),
        [Access::read(Hpa(BASE)), Access::read(Hpa(far.base))]
    );
}

#[test]
fn the_place_of_a_page_is_asked_for_once_until_translations_change() {
    for cache in ["cache=none", "cache=lines:64"] {
        let mut device = Device::new(4, &[WINDOW]);
        install(&mut [&mut device], &[cache]);
        let block = arm(&mut device);
        let before = fake_qemu::counts().questions;
        let load = |offset: u64, frame: u64| {
            let target = Target::Ram(frame + offset);
            block.load(0, ADDRESS + offset, target, 3);
        };
        for offset in [0, 128, 256, 380] {
            load(offset, BASE);
        }
        assert_eq!(fake_qemu::counts().questions - before, 1, "{cache}");
        let places = [0, 128, 256, 320, 384].map(|offset| Access::read(Hpa(BASE + offset)));
        assert_eq!(device.drain(), places, "{cache}");
        block.execute(0, 1);
        load(512, BASE + 4096);
        assert_eq!(device.drain(), [Access::read(Hpa(BASE + 4096 + 512))]);
        assert_eq!(fake_qemu::counts().questions - before, 2, "{cache}");
        block.load(0, 0x1000, Target::Io(BASE), 3);
        block.load(0, 0x1000, Target::Io(BASE), 3);
        assert_eq!(fake_qemu::counts().questions - before, 4, "no RAM, no page");
        assert_eq!(device.drain(), []);
    }
}

#[test]
fn memory_outside_all_windows_may_be_left_out() {
    for cache in ["cache=none", "cache=lines:64"] {
        let mut device = Device::new(4, &[WINDOW]);
        install(&mut [&mut device], &[cache, "filter=window"]);
        let block = arm(&mut device);
        block.store(0, ADDRESS, Target::Ram(BASE), 3);
        device.drain();
        // Rivals that do not compete.
        for round in 0..3 {
            for page in 1..=8 {
                let frame = Target::Ram(page * 0x1000);
                block.store(0, ADDRESS + page * 0x1000, frame, 3);
            }
            assert_eq!(device.drain(), [], "{cache} {round}");
        }
        // A frame of the window in place of one that was left out.
        block.execute(0, 1);
        block.load(0, ADDRESS + 0x1000, Target::Ram(BASE + 0x1000), 3);
        assert_eq!(device.drain(), [Access::read(Hpa(BASE + 0x1000))]);
        block.load(0, ADDRESS, Target::Ram(BASE), 3);
        let expected = if cache == "cache=none" { 1 } else { 0 };
        assert_eq!(device.drain().len(), expected);
    }
}
