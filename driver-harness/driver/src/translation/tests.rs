// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Windows from fixtures, and pages against a walk over every granule.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use chmu_spec::interleave::Interleave;
use proptest::prelude::*;

use super::test_table::{cedt, cedt_at};
use super::*;
use crate::transport::fake::FakeFunction;

const GIB: u64 = 1 << 30;

fn window(ways: u8, granularity: u32, position: u8) -> DecoderWindow {
    DecoderWindow {
        base: Hpa(0x1_4000_0000),
        size_bytes: u64::from(ways) * GIB,
        interleave: Interleave::new(ways, granularity).unwrap(),
        position,
        dpa_base: Dpa(0),
    }
}

fn ranges(translation: &Translation, dpa: Range<u64>) -> Vec<(u64, u64)> {
    let pages = translation.pages(Dpa(dpa.start)..Dpa(dpa.end));
    pages
        .into_iter()
        .map(|range| (range.start.0, range.bytes))
        .collect()
}

#[test]
fn without_interleaving_a_unit_is_one_run_of_pages() {
    let translation = Translation::new(vec![window(1, 256, 0)]).unwrap();
    assert_eq!(
        ranges(&translation, 0x20_0000..0x40_0000),
        [(0x1_4020_0000, 0x20_0000)]
    );
    assert_eq!(
        ranges(&translation, 0x100..0x200),
        [(0x1_4000_0000, 0x1000)]
    );
    assert_eq!(
        ranges(&translation, GIB - 0x1000..GIB + 0x1000),
        [(0x1_7fff_f000, 0x1000)]
    );
    assert_eq!(ranges(&translation, GIB..2 * GIB), []);
    assert_eq!(ranges(&translation, 0x1000..0x1000), []);
}

#[test]
fn fine_granules_spread_a_unit_over_many_pages() {
    let translation = Translation::new(vec![window(4, 256, 3)]).unwrap();
    assert_eq!(
        ranges(&translation, 0x1000..0x2000),
        [(0x1_4000_4000, 0x4000)]
    );
    let translation = Translation::new(vec![window(2, 4096, 1)]).unwrap();
    assert_eq!(
        ranges(&translation, 0x1000..0x3000),
        [(0x1_4000_3000, 0x1000), (0x1_4000_5000, 0x1000)]
    );
    let translation = Translation::new(vec![window(12, 2048, 1)]).unwrap();
    assert_eq!(
        ranges(&translation, 0..0x1000),
        [(0x1_4000_0000, 0x1000), (0x1_4000_6000, 0x1000)]
    );
}

#[test]
fn windows_are_put_in_order_and_must_not_share_memory() {
    let second = DecoderWindow {
        base: Hpa(0x1_0000_0000),
        dpa_base: Dpa(GIB),
        ..window(1, 256, 0)
    };
    let translation = Translation::new(vec![second, window(1, 256, 0)]).unwrap();
    assert_eq!(
        translation.dpa_ranges(),
        [Dpa(0)..Dpa(GIB), Dpa(GIB)..Dpa(2 * GIB)]
    );
    assert_eq!(
        ranges(&translation, GIB - 0x1000..GIB + 0x1000),
        [(0x1_0000_0000, 0x1000), (0x1_7fff_f000, 0x1000)]
    );
    let overlapping = DecoderWindow {
        dpa_base: Dpa(GIB - 1),
        ..second
    };
    let error = Translation::new(vec![overlapping, window(1, 256, 0)]).unwrap_err();
    assert!(matches!(error, TranslationError::SharedMemory { .. }));
    let beyond = DecoderWindow {
        base: Hpa(u64::MAX - GIB + 2),
        ..second
    };
    let error = Translation::new(vec![beyond]).unwrap_err();
    assert!(matches!(error, TranslationError::Beyond { .. }));
}

#[test]
fn units_too_scattered_to_move_are_refused() {
    let translation = Translation::new(vec![window(2, 256, 0)]).unwrap();
    let size = |text: &str| text.parse::<UnitSize>().unwrap();
    translation.check_unit(size("2M")).unwrap();
    let message = translation.check_unit(size("1G")).unwrap_err().to_string();
    assert!(
        message.contains("4194304 granules of 256 bytes"),
        "{message}"
    );
    let plain = Translation::new(vec![window(1, 256, 0)]).unwrap();
    plain.check_unit(size("2G")).unwrap();
}

#[test]
fn the_end_of_the_address_space_is_no_page() {
    let last = DecoderWindow {
        base: Hpa(u64::MAX - 0x1fff),
        size_bytes: 0x1fff,
        ..window(1, 256, 0)
    };
    let translation = Translation::new(vec![last]).unwrap();
    assert_eq!(
        ranges(&translation, 0..0x1000),
        [(0xffff_ffff_ffff_e000, 0x1000)]
    );
    assert_eq!(ranges(&translation, 0x1000..0x1fff), []);
}

proptest! {
    /// Against the pages of every 256 bytes.
    #[test]
    fn pages_are_those_of_every_granule(
        ways in proptest::sample::select(vec![1_u8, 2, 3, 4, 6, 8, 12, 16]),
        granularity in (8_u32..15).prop_map(|log2| 1 << log2),
        position in 0_u8..16,
        dpa_base in (0_u64..4).prop_map(|quarter| quarter << 28),
        start in 0_u64..0x10_0000,
        bytes in 0_u64..0x1_0000,
    ) {
        let window = DecoderWindow {
            dpa_base: Dpa(dpa_base),
            ..window(ways, granularity, position % ways)
        };
        let start = dpa_base + start * 8;
        let end = start + bytes;
        let naive: BTreeSet<u64> = (start..end)
            .step_by(256)
            .chain((start < end).then(|| end - 1))
            .chain((start..end).filter(|dpa| dpa % 256 == 0))
            .filter_map(|dpa| window.hpa(Dpa(dpa)))
            .map(|hpa| hpa.pfn().0)
            .collect();
        let translation = Translation::new(vec![window]).unwrap();
        let pages = translation.pages(Dpa(start)..Dpa(end));
        for pair in pages.windows(2) {
            prop_assert!(pair[0].end() < pair[1].start);
        }
        let seen: BTreeSet<u64> = pages.iter().flat_map(|range| range.pages()).map(|pfn| pfn.0).collect();
        prop_assert_eq!(seen, naive);
    }
}

/// `bus/cxl/devices` as the kernel shows it: one memory device, one endpoint, one region.
struct Sysfs(tempfile::TempDir);

impl Sysfs {
    fn new() -> Sysfs {
        let sysfs = Sysfs(tempfile::tempdir().unwrap());
        sysfs.write("mem1/serial", "0xc4a00001");
        sysfs.write("endpoint2/uevent", "");
        symlink("../../pci/0000:0d:00.0/mem0", sysfs.path("endpoint2/uport")).unwrap();
        sysfs.write("endpoint3/uevent", "");
        symlink("../../pci/0000:0e:00.0/mem1", sysfs.path("endpoint3/uport")).unwrap();
        sysfs.decoder("decoder3.0", "region0", (0, GIB));
        sysfs.write("decoder3.1/dpa_size", "0x0\n");
        sysfs.write("decoder3.1/dpa_resource", "0xffffffffffffffff\n");
        sysfs.region(("2", "1024"), "0x80000000");
        sysfs.table(&cedt(0, 2, &[12, 13]));
        sysfs
    }

    /// The firmware's table of windows.
    fn table(&self, table: &[u8]) {
        let folder = self.0.path().join("firmware/acpi/tables");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("CEDT"), table).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("bus/cxl/devices").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn decoder(&self, name: &str, region: &str, (dpa, bytes): (u64, u64)) {
        self.write(&format!("{name}/dpa_resource"), &format!("{dpa:#x}\n"));
        self.write(&format!("{name}/dpa_size"), &format!("{bytes:#018x}\n"));
        self.write(&format!("{name}/region"), &format!("{region}\n"));
        self.write(&format!("{name}/start"), "0x140000000\n");
        self.write(&format!("{name}/size"), "0x80000000\n");
        self.write(&format!("{name}/interleave_ways"), "2\n");
        self.write(&format!("{name}/interleave_granularity"), "1024\n");
    }

    fn region(&self, (ways, granularity): (&str, &str), size: &str) {
        self.write("region0/resource", "0x140000000\n");
        self.write("region0/size", size);
        self.write("region0/interleave_ways", ways);
        self.write("region0/interleave_granularity", granularity);
        self.write("region0/target0", "decoder2.0\n");
        self.write("region0/target1", "decoder3.0\n");
    }

    fn translation(&self) -> Result<Option<Translation>, TranslationError> {
        sysfs::of_memory_device(self.0.path(), "mem1")
    }
}

#[test]
fn a_region_tells_ways_and_position() {
    let sysfs = Sysfs::new();
    let translation = sysfs.translation().unwrap().unwrap();
    assert_eq!(
        translation.windows(),
        [DecoderWindow {
            base: Hpa(0x1_4000_0000),
            size_bytes: 2 * GIB,
            interleave: Interleave::new(2, 1024).unwrap(),
            position: 1,
            dpa_base: Dpa(0),
        }]
    );
    let other = sysfs::of_memory_device(sysfs.0.path(), "mem7").unwrap();
    assert_eq!(other, None);
}

#[test]
fn without_a_region_the_decoder_tells_when_it_is_alone() {
    let sysfs = Sysfs::new();
    sysfs.decoder("decoder3.0", "", (0, 2 * GIB));
    let message = sysfs.translation().unwrap_err().to_string();
    assert!(
        message.contains("decoder3.0 is one of several ways"),
        "{message}"
    );
    sysfs.write("decoder3.0/interleave_ways", "1\n");
    let translation = sysfs.translation().unwrap().unwrap();
    assert_eq!(
        ranges(&translation, 0x1000..0x2000),
        [(0x1_4000_1000, 0x1000)]
    );
}

/// Such a region looks in sysfs as any other.
#[test]
fn regions_whose_arithmetic_is_another_are_refused() {
    let message = |table: &[u8]| {
        let sysfs = Sysfs::new();
        sysfs.table(table);
        sysfs.translation().unwrap_err().to_string()
    };
    let by_xor = message(&cedt(1, 2, &[12, 13]));
    assert!(
        by_xor.ends_with("0x140000000 cannot be translated: the firmware interleaves it by XOR"),
        "{by_xor}"
    );
    let reserved = message(&cedt(2, 2, &[12, 13]));
    assert!(
        reserved.ends_with("the reserved arithmetic 2"),
        "{reserved}"
    );
    // Within one host bridge there is nothing to choose by XOR.
    let sysfs = Sysfs::new();
    sysfs.table(&cedt(1, 2, &[13]));
    assert!(sysfs.translation().unwrap().is_some());
    let elsewhere = message(&cedt_at((GIB, GIB), 0, (1, 2), &[12, 13]));
    assert!(
        elsewhere.ends_with("no CXL window of the firmware contains it"),
        "{elsewhere}"
    );
    let sysfs = Sysfs::new();
    fs::remove_file(sysfs.0.path().join("firmware/acpi/tables/CEDT")).unwrap();
    let absent = sysfs.translation().unwrap_err().to_string();
    assert!(absent.contains("has no table CEDT"), "{absent}");
}

#[test]
fn regions_without_interleave_need_no_table() {
    let sysfs = Sysfs::new();
    fs::remove_file(sysfs.0.path().join("firmware/acpi/tables/CEDT")).unwrap();
    sysfs.decoder("decoder3.0", "", (0, 2 * GIB));
    sysfs.write("decoder3.0/interleave_ways", "1\n");
    assert!(sysfs.translation().unwrap().is_some());
}

/// 5 GiB are no multiple of three granules.
#[test]
fn regions_of_three_ways_that_start_elsewhere_are_refused() {
    let sysfs = Sysfs::new();
    sysfs.decoder("decoder3.0", "region0", (0, GIB));
    sysfs.region(("3", "1024"), "0xc0000000");
    sysfs.table(&cedt_at((0x1_4000_0000, 4 * GIB), 0, (0, 0), &[13]));
    let message = sysfs.translation().unwrap_err().to_string();
    assert!(
        message
            .ends_with("starts at 0x140000000, which is no multiple of 3 granules of 1024 bytes"),
        "{message}"
    );
    sysfs.write("region0/resource", "0xc0000000\n");
    sysfs.table(&cedt_at((3 * GIB, 4 * GIB), 0, (0, 0), &[13]));
    let translation = sysfs.translation().unwrap().unwrap();
    assert_eq!(
        translation.windows()[0].interleave,
        Interleave::new(3, 1024).unwrap()
    );
}

#[test]
fn contradictions_in_sysfs_are_sentences() {
    let sysfs = Sysfs::new();
    sysfs.region(("5", "1024"), "0x80000000");
    let message = sysfs.translation().unwrap_err().to_string();
    assert!(message.contains("interleaves 5 ways"), "{message}");
    sysfs.region(("2", "1024"), "0x40000000");
    let message = sysfs.translation().unwrap_err().to_string();
    assert!(
        message.contains("has 0x40000000 bytes of device memory for 0x40000000 bytes in 2 ways"),
        "{message}"
    );
    sysfs.write("decoder3.0/dpa_size", "0\n");
    let error = sysfs.translation().unwrap_err();
    assert!(matches!(error, TranslationError::NotCommitted { .. }));
    sysfs.write("decoder3.0/dpa_size", "many\n");
    let message = sysfs.translation().unwrap_err().to_string();
    assert!(message.contains("which is no number"), "{message}");
}

const COMPONENT: BarOffset = BarOffset { bar: 0, offset: 0 };
const DECODERS: usize = 0x1110;

/// Component registers with the values of the kernel's contract: one locked decoder.
fn component() -> FakeFunction {
    let function = FakeFunction::new(0x1000);
    function.resize(0, 0x1_0000);
    function.put_dword(0, 0x1000, 0x0211_0001);
    function.put_dword(0, 0x1004, 0x080 << 20 | 2 << 16 | 2);
    function.put_dword(0, 0x1008, 0x100 << 20 | 1 << 16 | 5);
    function.put_dword(0, 0x1100, 0x300);
    function.put_dword(0, 0x1104, 2);
    put_decoder(&function, 0, 0x1_4000_0000, 0x1700);
    function
}

/// A decoder of 1 GiB.
fn put_decoder(function: &FakeFunction, index: usize, base: u64, control: u32) {
    let at = DECODERS + index * 0x20;
    function.put(0, at, base);
    function.put(0, at + 8, GIB);
    function.put_dword(0, at + 0x10, control);
}

fn read_component(function: &FakeFunction) -> Result<Translation, TranslationError> {
    decoders::read(function, COMPONENT, |_| Ok(1))
}

#[test]
fn decoders_tell_windows_and_device_memory() {
    let function = component();
    function.put_dword(0, 0x1100, 0x301);
    put_decoder(&function, 1, 0x2_0000_0000, 0x1711);
    function.put(0, DECODERS + 0x20 + 0x14, 0x1000_0000);
    let translation = read_component(&function).unwrap();
    let second = DecoderWindow {
        base: Hpa(0x2_0000_0000),
        size_bytes: GIB,
        interleave: Interleave::new(2, 512).unwrap(),
        position: 1,
        dpa_base: Dpa(GIB + 0x1000_0000),
    };
    assert_eq!(translation.windows(), [window(1, 256, 0), second]);
}

/// A change of a function that is right otherwise.
type Change<'a> = &'a dyn Fn(&FakeFunction);

#[test]
fn broken_component_registers_are_sentences() {
    let message = |change: Change<'_>| {
        let function = component();
        change(&function);
        read_component(&function).unwrap_err().to_string()
    };
    let cases: [(Change<'_>, &str); 7] = [
        (
            &|f| f.put_dword(0, 0x1000, u32::MAX),
            "have 0xffffffff where the array of capabilities starts",
        ),
        (&|f| f.put_dword(0, 0x1008, 6), "have no HDM decoders"),
        (&|f| f.put_dword(0, 0x1100, 0xd), "name 13 as the code"),
        (
            &|f| put_decoder(f, 0, 0, 0),
            "No HDM decoder of 0000:35:00.0 is committed",
        ),
        (
            &|f| put_decoder(f, 0, 0, 0x17f0),
            "HDM decoder 0 of 0000:35:00.0 has reserved codes",
        ),
        (
            &|f| f.put(0, DECODERS + 0x14, u64::MAX),
            "ends beyond 64 bits of device memory",
        ),
        (&|f| f.resize(0, 0x1000), "are outside its 4096 bytes"),
    ];
    for (change, expected) in cases {
        let message = message(change);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn units_as_small_as_a_page_of_the_host_are_preferred() {
    let unit = |ways, granularity| {
        let translation = Translation::new(vec![window(ways, granularity, 0)]).unwrap();
        translation.page_unit().bytes()
    };
    assert_eq!(unit(1, 256), 4096);
    assert_eq!(unit(2, 256), 2048);
    assert_eq!(unit(16, 256), 256);
    assert_eq!(unit(4, 2048), 2048);
    assert_eq!(unit(2, 16384), 4096);
    assert_eq!(unit(3, 256), 256, "its granules end anywhere in a page");
    assert_eq!(unit(12, 4096), 4096);
}

proptest! {
    #[test]
    fn the_page_unit_lies_in_one_page_and_others_in_no_more_than_told(
        ways in prop::sample::select(vec![1_u8, 2, 3, 4, 6, 8, 12, 16]),
        granularity in (8_u32..15).prop_map(|log2| 1 << log2),
        position in any::<prop::sample::Index>(),
        log2 in 8_u32..20,
        number in 0..512_u64,
    ) {
        let position = u8::try_from(position.index(ways.into())).unwrap();
        let translation = Translation::new(vec![window(ways, granularity, position)]).unwrap();
        let pages = |size: UnitSize| -> u64 {
            let start = number * size.bytes();
            let unit = Dpa(start)..Dpa(start + size.bytes());
            let ranges = translation.pages(unit);
            ranges.iter().map(|range| range.bytes / PAGE_BYTES).sum()
        };
        prop_assert_eq!(pages(translation.page_unit()), 1);
        let size = UnitSize::from_log2_bytes(log2).unwrap();
        prop_assert!(pages(size) <= translation.pages_of_unit(size));
        if ways == 1 {
            prop_assert_eq!(pages(size), translation.pages_of_unit(size));
        }
    }
}

#[test]
fn a_unit_of_a_page_covers_as_many_pages_as_there_are_ways() {
    let pages = |ways, granularity| {
        let translation = Translation::new(vec![window(ways, granularity, 0)]).unwrap();
        translation.pages_of_unit(UnitSize::BASE_PAGE)
    };
    assert_eq!(pages(1, 256), 1);
    assert_eq!(pages(2, 256), 2);
    assert_eq!(pages(16, 256), 16);
    assert_eq!(pages(4, 4096), 1);
    // Their bytes may begin in the middle of a page.
    assert_eq!(pages(3, 256), 4);
}
