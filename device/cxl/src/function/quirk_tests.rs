// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Each quirk of the function breaks its rule, and no other quirk does.

use chmu_model::{Capabilities, Layer, Quirk};

use crate::testing::{Bench, GIB, config, enable, read_at};
use crate::{FunctionConfig, Region};

const BAR: Region = Region::Bar(4);

/// Where the second block lies.
const SECOND: u64 = 0x1_0000;

/// Two blocks whose instances have message numbers 1 and 2.
fn bench(quirk: Option<Quirk>) -> Bench {
    let block = |message_number| {
        vec![Capabilities {
            message_number,
            ..Capabilities::default()
        }]
    };
    Bench::new(&FunctionConfig {
        blocks: vec![block(1), block(2)],
        quirks: quirk.into_iter().collect(),
        ..config()
    })
}

/// All that a driver can tell of a device, in words that name the rules.
fn view(quirk: Option<Quirk>) -> Vec<(&'static str, Vec<u64>)> {
    let mut device = bench(quirk);
    let locator = [0x158, 0x15c, 0x164, 0x16c, 0x174, 0x17c];
    let locator = locator.map(|offset| device.read_u64(Region::Config, offset));
    enable(&mut device, 0, 1);
    let second_enabled = device.read_u64(BAR, SECOND + 0x70) & 1;
    enable(&mut device, SECOND, 1);
    let accesses = [read_at(4 * GIB + 0x5000)];
    device.function.access(0, &accesses, &mut device.host);
    let heads = [0x78, SECOND + 0x78].map(|offset| device.read_u64(BAR, offset));
    let entries = [0x1000, SECOND + 0x1000].map(|offset| device.read_u64(BAR, offset));
    let interrupts = device.host.interrupts.iter().copied().map(u64::from);
    let interrupts = interrupts.collect();
    device.write(Region::Config, 0x49, &[0x80]);
    let enabled = [0x70, SECOND + 0x70].map(|offset| device.read_u64(BAR, offset) & 1);
    let control = device.read_u32(Region::Bar(0), 0x1120);
    let mem_enable = device.read_u32(Region::Config, 0x11c);
    vec![
        ("locator", locator.to_vec()),
        ("second block alone", vec![second_enabled]),
        ("heads and tails", heads.to_vec()),
        ("entries", entries.to_vec()),
        ("interrupts", interrupts),
        ("enabled after reset", enabled.to_vec()),
        ("decoder after reset", vec![control.into()]),
        ("CXL.mem after reset", vec![mem_enable.into()]),
    ]
}

/// Names of the parts in which a device with the quirk differs from one without.
fn broken(quirk: Quirk) -> Vec<&'static str> {
    let pairs = view(None).into_iter().zip(view(Some(quirk)));
    pairs
        .filter(|(right, wrong)| right != wrong)
        .map(|(right, _)| right.0)
        .collect()
}

#[test]
fn each_quirk_breaks_its_rule_and_no_other() {
    let expected: [(Quirk, &[&str]); 12] = [
        (Quirk::LocatorMissing, &["locator"]),
        (Quirk::LocatorOldBlockId, &["locator"]),
        (Quirk::LocatorUpperBar, &["locator"]),
        (Quirk::LocatorOffsetTooHigh, &["locator"]),
        (Quirk::LocatorEntryTwice, &["locator"]),
        (Quirk::FunctionResetIgnored, &["enabled after reset"]),
        (Quirk::FunctionResetLosesDecoders, &["decoder after reset"]),
        (Quirk::FunctionResetLosesMemEnable, &["CXL.mem after reset"]),
        (
            Quirk::DecodersIgnored,
            &["heads and tails", "entries", "interrupts"],
        ),
        (Quirk::VectorsShared, &["interrupts"]),
        (
            Quirk::BlocksMirrored,
            &["second block alone", "entries", "interrupts"],
        ),
        (
            Quirk::BlocksShareAccesses,
            &["heads and tails", "entries", "interrupts"],
        ),
    ];
    for (quirk, parts) in expected {
        assert_eq!(broken(quirk), parts, "{}", quirk.name());
    }
    let function_quirks = Quirk::ALL
        .iter()
        .filter(|quirk| matches!(quirk.layer(), Layer::Discovery | Layer::Function));
    assert!(function_quirks.eq(expected.iter().map(|(quirk, _)| quirk)));
}

/// What the locator says, by hand.
#[test]
fn locators_of_quirks_equal_a_hand_transcription() {
    let entries = |quirk| {
        let mut device = bench(Some(quirk));
        let length = u64::from(device.read_u32(Region::Config, 0x154)) >> 20;
        let places = [0x16c, 0x174, 0x17c];
        (length, places.map(|at| device.read_u64(Region::Config, at)))
    };
    assert_eq!(
        entries(Quirk::LocatorOldBlockId),
        (0x2c, [0x404, 0x1_0404, 0])
    );
    assert_eq!(
        entries(Quirk::LocatorUpperBar),
        (0x2c, [0x505, 0x1_0505, 0])
    );
    assert_eq!(
        entries(Quirk::LocatorOffsetTooHigh),
        (0x2c, [0x1_0504, 0x2_0504, 0])
    );
    assert_eq!(
        entries(Quirk::LocatorEntryTwice),
        (0x34, [0x504, 0x1_0504, 0x1_0504])
    );
    let mut device = bench(Some(Quirk::LocatorMissing));
    assert_eq!(device.read(Region::Config, 0x158, 2), [5, 0]);
}
