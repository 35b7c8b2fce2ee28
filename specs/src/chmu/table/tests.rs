// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The table against the views and against a hand transcription.

use super::super::views::{
    BlockHeader, Capabilities0, Capabilities1, Configuration0, Configuration1, Configuration2,
    InstanceLength, Status,
};
use super::*;
use crate::register::find;

/// The bits that a table entry names.
fn defined(table: &'static [Register], offset: u64) -> u64 {
    !find(table, offset).unwrap().reserved()
}

#[test]
fn views_and_table_name_the_same_bits_of_header_and_capabilities() {
    let all = u64::MAX;
    assert_eq!(
        u64::from(BlockHeader::new().with_version(0xf).with_instances(u8::MAX)),
        defined(BLOCK_TABLE, 0)
    );
    assert_eq!(
        u64::from(InstanceLength::new().with_bytes(u16::MAX)),
        defined(BLOCK_TABLE, 8)
    );
    assert_eq!(defined(INSTANCE_TABLE, 0), all);
    assert_eq!(Capabilities0::from(all).hotlist_entries(), u16::MAX);
    assert_eq!(
        u64::from(
            Capabilities1::new()
                .with_unit_sizes(u32::MAX)
                .with_down_sampling_factors(u16::MAX)
                .with_epoch_mode(true)
                .with_always_on_mode(true)
                .with_randomised_down_sampling(true)
                .with_overlapping_ranges(true)
                .with_postponed_insertion(true)
        ),
        defined(INSTANCE_TABLE, 8)
    );
}

#[test]
fn views_and_table_name_the_same_bits_of_configuration_and_status() {
    assert_eq!(
        u64::from(
            Configuration0::new()
                .with_request_code(u8::MAX)
                .with_randomise_down_sampling(true)
                .with_overflow_interrupt(true)
                .with_fill_level_interrupt(true)
                .with_enable(true)
                .with_reset(true)
                .with_hotness_threshold(u32::MAX)
        ),
        defined(INSTANCE_TABLE, 0x40)
    );
    assert_eq!(
        u64::from(
            Configuration1::new()
                .with_unit_size_log2(u32::MAX)
                .with_down_sampling_log2(0xf)
                .with_mode_code(u8::MAX)
                .with_epoch_scale(0xf)
                .with_epoch_multiplier(0xfff)
        ),
        defined(INSTANCE_TABLE, 0x48)
    );
    assert_eq!(
        u64::from(Configuration2::new().with_fill_level_threshold(u16::MAX)),
        defined(INSTANCE_TABLE, 0x50)
    );
    assert_eq!(
        u64::from(
            Status::new()
                .with_enabled(true)
                .with_operation_code(u16::MAX)
                .with_counter_width(u8::MAX)
                .with_overflow(true)
                .with_fill_level(true)
        ),
        defined(INSTANCE_TABLE, 0x60)
    );
}

/// Written from chmu-registers by hand: offset, width, writable, locked, write-1-to-clear.
#[test]
fn access_masks_equal_a_hand_transcription() {
    let expected: [(u64, u8, u64, u64, u64); 10] = [
        (0x00, 64, 0, 0, 0),
        (0x08, 64, 0, 0, 0),
        (0x10, 64, 0, 0, 0),
        (0x18, 64, 0, 0, 0),
        (0x40, 64, 0x1_0000, 0xffff_ffff_0000_07ff, 0),
        (0x48, 64, 0, 0xffff_ff0f_ffff_ffff, 0),
        (0x50, 64, 0, 0xffff, 0),
        (0x60, 64, 0, 0, 0x300_0000_0000),
        (0x68, 16, 0xffff, 0, 0),
        (0x6a, 16, 0, 0, 0),
    ];
    let seen: Vec<_> = INSTANCE_TABLE
        .iter()
        .map(|register| {
            (
                register.offset,
                register.width,
                register.mask(ReadWrite),
                register.mask(ReadWriteUnlocked),
                register.mask(WriteOneToClear),
            )
        })
        .collect();
    assert_eq!(seen, expected);
}
