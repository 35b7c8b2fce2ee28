// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Positions from a table, a host bridge's decoder and a function's place below it.

use chmu_spec::address::Dpa;

use super::*;
use crate::translation::test_table::{cedt, cedt_at, seal};

const GIB: u64 = 1 << 30;
const BASE: u64 = 0x1_4000_0000;

fn window(ways: u8, granularity: u32) -> DecoderWindow {
    DecoderWindow {
        base: Hpa(BASE),
        size_bytes: u64::from(ways) * GIB,
        interleave: Interleave::new(ways, granularity).unwrap(),
        position: 0,
        dpa_base: Dpa(0),
    }
}

/// Physical memory with the component registers of a host bridge: one decoder with this control
/// register, and targets.
fn memory(control: u32, targets: [u8; 8]) -> Vec<u8> {
    let mut memory = vec![0; 0x2_0000];
    let mut put = |offset: usize, bytes: &[u8]| {
        let at = 0x1_0000 + offset;
        memory[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(0x1000, &0x0111_0001_u32.to_le_bytes());
    put(0x1004, &(0x128_u32 << 20 | 1 << 16 | 5).to_le_bytes());
    put(0x1128, &0x382_u32.to_le_bytes());
    put(0x1138, &BASE.to_le_bytes());
    put(0x1140, &(4 * GIB).to_le_bytes());
    put(0x1148, &control.to_le_bytes());
    put(0x114c, &targets);
    memory
}

/// A machine as far as a position depends on it; the function hangs on port 7 of host bridge 13.
struct Machine {
    folder: tempfile::TempDir,
    function: PciFunction,
}

impl Machine {
    fn new(table: &[u8], memory: &[u8]) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let bridge = folder.path().join("devices/pci0000:0d");
        let port = bridge.join("0000:0d:00.0");
        let function = port.join("0000:0e:00.0");
        fs::create_dir_all(&function).unwrap();
        fs::create_dir_all(bridge.join("firmware_node")).unwrap();
        fs::write(bridge.join("firmware_node/uid"), "13\n").unwrap();
        let mut config = vec![0; 256];
        config[0x34] = 0x50;
        config[0x50..0x52].copy_from_slice(&[5, 0x80]);
        config[0x80] = 0x10;
        config[0x8f] = 7;
        fs::write(port.join("config"), config).unwrap();
        let tables = folder.path().join("firmware/acpi/tables");
        fs::create_dir_all(&tables).unwrap();
        fs::write(tables.join("CEDT"), table).unwrap();
        fs::write(folder.path().join("mem"), memory).unwrap();
        Machine {
            folder,
            function: PciFunction {
                address: "0000:0e:00.0".into(),
                folder: function,
                class: 0x05_0210,
                driver: None,
                numa_node: None,
                memdev: None,
            },
        }
    }

    fn position(&self, window: &DecoderWindow) -> Result<u8, TranslationError> {
        let memory = self.folder.path().join("mem");
        of_function(self.folder.path(), &memory, &self.function, window)
    }
}

/// The position by the firmware's table alone.
fn by_table(table: &[u8], window: &DecoderWindow) -> Result<u8, TranslationError> {
    Machine::new(table, &[]).position(window)
}

#[test]
fn the_firmware_tells_the_position_among_host_bridges() {
    let table = cedt(0, 2, &[12, 13]);
    assert_eq!(by_table(&table, &window(2, 1024)).unwrap(), 1);
    let later = DecoderWindow {
        base: Hpa(BASE + 0x400),
        size_bytes: GIB,
        ..window(2, 1024)
    };
    assert_eq!(by_table(&table, &later).unwrap(), 0);
}

#[test]
fn the_host_bridge_tells_the_position_among_its_root_ports() {
    // Two ways of 256 bytes.
    let memory = memory(0x1710, [3, 7, 0, 0, 0, 0, 0, 0]);
    let machine = Machine::new(&cedt(0, 0, &[13]), &memory);
    assert_eq!(machine.position(&window(2, 256)).unwrap(), 1);
}

#[test]
fn both_levels_together_tell_the_position() {
    // Over two host bridges every 256 bytes, over two root ports every 512 bytes.
    let memory = memory(0x1711, [7, 3, 0, 0, 0, 0, 0, 0]);
    let machine = Machine::new(&cedt(0, 0, &[12, 13]), &memory);
    assert_eq!(machine.position(&window(4, 256)).unwrap(), 1);
    let machine = Machine::new(&cedt(0, 0, &[13, 12]), &memory);
    assert_eq!(machine.position(&window(4, 256)).unwrap(), 0);
}

#[test]
fn what_the_host_bridge_leaves_open_is_a_sentence() {
    let message = |control, targets| {
        let memory = memory(control, targets);
        let machine = Machine::new(&cedt(0, 0, &[13]), &memory);
        machine.position(&window(2, 256)).unwrap_err().to_string()
    };
    let none = message(0x1710, [1, 2, 0, 0, 0, 0, 0, 0]);
    assert!(none.ends_with("0 of its 2 granules lead to the device"));
    let uncommitted = message(0x1310, [3, 7, 0, 0, 0, 0, 0, 0]);
    assert!(uncommitted.ends_with("no committed decoder of the host bridge contains it"));
    let reserved = message(0x17f0, [3, 7, 0, 0, 0, 0, 0, 0]);
    assert!(reserved.ends_with("the host bridge's decoder has reserved codes"));
    let machine = Machine::new(&cedt(0, 0, &[13]), &vec![0; 0x2_0000]);
    let blank = machine.position(&window(2, 256)).unwrap_err().to_string();
    assert!(
        blank.contains("registers at 0x10000 have 0x0 where"),
        "{blank}"
    );
}

#[test]
fn what_the_firmware_leaves_open_is_a_sentence() {
    let wrong = |table: &[u8], window: DecoderWindow| {
        let error = by_table(table, &window).unwrap_err();
        error.to_string()
    };
    let two = window(2, 256);
    assert!(wrong(&cedt(1, 0, &[12, 13]), two).ends_with("interleaves it by XOR"));
    assert!(wrong(&cedt(0, 99, &[12, 13]), two).ends_with("window has reserved codes"));
    let far = DecoderWindow {
        base: Hpa(BASE + 4 * GIB),
        ..two
    };
    let message = wrong(&cedt(0, 0, &[12, 13]), far);
    assert!(message.ends_with("no CXL window of the firmware contains it"));
    let message = wrong(&cedt(0, 0, &[12, 14]), two);
    assert!(message.ends_with("0 of its 2 granules lead to the device"));
    for length in [0, 35, 70, 100] {
        let message = wrong(&cedt(0, 0, &[12, 13])[..length], two);
        assert!(message.ends_with("CEDT is broken"), "{message}");
    }
    let mut endless = cedt(0, 0, &[12, 13]);
    endless[38] = 0;
    seal(&mut endless);
    assert!(wrong(&endless, two).ends_with("CEDT is broken"));
}

#[test]
fn three_ways_that_start_elsewhere_are_refused() {
    let three = DecoderWindow {
        base: Hpa(3 * GIB),
        size_bytes: 3 * GIB,
        ..window(3, 256)
    };
    let table = cedt_at((2 * GIB, 6 * GIB), 0, (8, 0), &[12, 13, 14]);
    let message = by_table(&table, &three).unwrap_err().to_string();
    let expected = "it has 3 ways and starts at 0x80000000, which is no multiple of 3 granules of \
                    256 bytes";
    assert!(message.ends_with(expected), "{message}");
    let aligned = cedt_at((3 * GIB, 6 * GIB), 0, (8, 0), &[12, 13, 14]);
    assert_eq!(by_table(&aligned, &three).unwrap(), 1);
    let later = DecoderWindow {
        base: Hpa(3 * GIB + 256),
        size_bytes: GIB,
        ..three
    };
    let message = by_table(&aligned, &later).unwrap_err().to_string();
    assert!(message.contains("starts at 0xc0000100"), "{message}");
}
