// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A driver's session, as the trace tells it.

use std::path::Path;

use chmu_spec::chmu::{BLOCK_TABLE, INSTANCE_TABLE};
use chmu_spec::register::Field;

use super::*;
use crate::clock::{Clock, ClockSource};
use crate::config::Config;
use crate::config::quantity::Size;
use crate::device::Device;
use crate::server::Backend;

const CONFIG: u32 = 7;
const COMPONENT_BAR: u32 = 0;
const DEVICE_BAR: u32 = 2;
const CHMU_BAR: u32 = 4;

/// The trace of a session, and the trace that it ought to have.
const GOLDEN: &str = include_str!("golden.txt");

fn device(trace: &Path) -> Device {
    let config = Config {
        memory: Size(256 << 20),
        ..Config::default()
    };
    let function = config.completed().function();
    let mut device = Device::new(&function, Clock::new(ClockSource::Manual)).unwrap();
    let sink = Sink::append_to(trace).unwrap();
    device.start_trace(RegisterTrace::new(&function, sink));
    device
}

fn read(device: &mut Device, region: u32, offset: u64, bytes: usize) -> u64 {
    let mut data = vec![0; bytes];
    device.read(region, offset, &mut data).unwrap();
    number(&data)
}

fn write(device: &mut Device, region: u32, offset: u64, bytes: usize, value: u64) {
    let data = value.to_le_bytes();
    device.write(region, offset, &data[..bytes]).unwrap();
}

/// What a driver does from its first look to its end, and some things that it should not do.
fn session(device: &mut Device) {
    device.client_arrived(&"process 42 (driver)");
    read(device, CONFIG, 0x04, 4);
    write(device, CONFIG, 0x04, 2, 0x406);
    read(device, COMPONENT_BAR, 0x1000, 4);
    device.pass_time(1_500_000);
    let instance = 0x10;
    read(device, CHMU_BAR, 0, 8);
    read(device, CHMU_BAR, 8, 8);
    for offset in [0x00, 0x08, 0x60] {
        read(device, CHMU_BAR, instance + offset, 8);
    }
    let bitmap = read(device, CHMU_BAR, instance + 0x10, 8);
    read(device, CHMU_BAR, instance + 0x18, 8);
    write(device, CHMU_BAR, instance + bitmap, 8, 1);
    write(device, CHMU_BAR, instance + 0x48, 8, 12 | 4 << 48 | 1 << 52);
    write(device, CHMU_BAR, instance + 0x50, 8, 8);
    // No such request code, then a right one.
    write(device, CHMU_BAR, instance + 0x40, 8, 9 | 1 << 16 | 16 << 32);
    write(
        device,
        CHMU_BAR,
        instance + 0x40,
        8,
        3 | 3 << 9 | 1 << 16 | 16 << 32,
    );
    for _ in 0..100 {
        read(device, CHMU_BAR, instance + 0x60, 8);
    }
    device.pass_time(1_000_000);
    // Locked while it counts, read-only, and beyond the tail.
    write(device, CHMU_BAR, instance + 0x48, 8, 21);
    write(device, CHMU_BAR, instance, 8, u64::MAX);
    write(device, CHMU_BAR, instance + 0x68, 2, 77);
    read(device, CHMU_BAR, instance + 0x68, 4);
    write(device, CHMU_BAR, instance + 0x60, 8, 3 << 40);
    write(device, CHMU_BAR, instance + 0x40, 4, 3 | 3 << 9);
    write(device, CHMU_BAR, instance + 0x40, 4, 1 << 17);
    // Half a register, an odd access, a long one, and one to nothing.
    read(device, CHMU_BAR, instance + 0x44, 4);
    read(device, CHMU_BAR, instance + 0x41, 2);
    read(device, CHMU_BAR, instance, 0x70);
    read(device, CHMU_BAR, instance + 0x38, 8);
    device.message_handled(
        crate::server::Command::RegionRead,
        Some(&"Region 4 has no such bytes"),
    );
    device.reset();
    device.client_left();
}

#[test]
fn a_session_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    session(&mut device(&path));
    let trace = std::fs::read_to_string(path).unwrap();
    assert_eq!(trace, GOLDEN, "the trace is\n{trace}");
}

#[test]
fn registers_of_all_parts_have_names() {
    let function = Config::default().completed().function();
    let map = walk::map(&function);
    let touched = |region, offset| {
        let places = map.touched(region, &(offset..offset + 1));
        places
            .first()
            .map(|place| format!("{} {}", place.part, place.name))
    };
    let parts = |region| -> Vec<String> {
        let mut names: Vec<String> = (0..0x2_0000).filter_map(|at| touched(region, at)).collect();
        names.dedup();
        names
    };
    let config = parts(Region::Config);
    for name in ["PCI COMMAND", "PCI MSI_X", "PCI REGISTER_LOCATOR_DVSEC"] {
        assert!(
            config.iter().any(|known| known == name),
            "{name} in {config:?}"
        );
    }
    let component = parts(Region::Bar(0));
    for name in ["RAS CORRECTABLE_ERROR_STATUS", "HDM 0 HDM_DECODER_CONTROL"] {
        assert!(
            component.iter().any(|known| known == name),
            "{name} in {component:?}"
        );
    }
    let device = parts(Region::Bar(2));
    for name in ["mailbox COMMAND", "mailbox PAYLOAD", "device MEMORY_STATUS"] {
        assert!(
            device.iter().any(|known| known == name),
            "{name} in {device:?}"
        );
    }
    let monitors = parts(Region::Bar(4));
    for name in ["CHMU 0 BLOCK_HEADER", "CHMU 0.0 HOTLIST", "MSI-X TABLE"] {
        assert!(
            monitors.iter().any(|known| known == name),
            "{name} in {monitors:?}"
        );
    }
}

#[test]
fn every_field_that_is_set_has_a_word() {
    for register in BLOCK_TABLE.iter().chain(INSTANCE_TABLE) {
        let all = Lanes {
            value: u64::MAX,
            mask: u64::MAX,
        };
        let place = Place {
            range: 0..8,
            part: "".into(),
            name: register.name.into(),
            kind: Kind::Register(register),
        };
        let words = words::words(&place, all, None);
        // What other words of the register, or its number, say already.
        let is_told =
            |field: &&Field| field.name.ends_with("epoch scale") || field.name == "offset";
        let told = register.fields.iter().filter(is_told).count();
        let count = words.split(", ").filter(|word| !word.is_empty()).count();
        assert!(
            count >= register.fields.len() - told,
            "{}: {words}",
            register.name
        );
    }
}

#[test]
fn nothing_that_a_client_may_do_stops_the_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = device(&folder.path().join("trace"));
    for region in [CONFIG, COMPONENT_BAR, DEVICE_BAR, CHMU_BAR] {
        let size = device.regions()[usize::try_from(region).unwrap()].size_bytes;
        for bytes in [1, 2, 3, 4, 5, 8, 9, 64] {
            for offset in (0..0x2000).step_by(7).chain([size - bytes]) {
                let bytes = usize::try_from(bytes).unwrap();
                if offset + 64 <= size {
                    read(&mut device, region, offset, bytes);
                }
                if offset + 8 <= size && bytes <= 8 {
                    write(&mut device, region, offset, bytes, u64::MAX / 3);
                }
            }
        }
    }
}
