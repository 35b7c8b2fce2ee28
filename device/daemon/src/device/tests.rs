// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device without a process around it: order of events, and whatever clients may ask.

use std::fmt::Display;
use std::os::unix::net::UnixStream;

use chmu_ring::{Access, Hpa, Producer, RingProducer};
use proptest::prelude::*;

use super::*;
use crate::clock::ClockSource;
use crate::config::Config;
use crate::config::quantity::{Nanoseconds, Size};
use crate::server::{Backend, Command};

const CHMU_BAR: u32 = 4;
const BASE: u64 = 4 << 30;

fn device(clock: ClockSource) -> Device {
    let config = Config {
        memory: Size(256 << 20),
        ..Config::default()
    };
    let mut device = Device::new(&config.completed().function(), Clock::new(clock)).unwrap();
    device.add_feed(2).unwrap();
    device
}

fn producer(device: &mut Device) -> (Producer, RingProducer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    device.feed().unwrap().hand_over(ours).unwrap();
    let mut producer = Producer::attach(theirs).unwrap();
    let ring = producer.ring(0).unwrap();
    (producer, ring)
}

fn write(device: &mut Device, offset: u64, value: u64) {
    let written = device.write(CHMU_BAR, 0x10 + offset, &value.to_le_bytes());
    assert_eq!(written, Ok(()));
}

fn read(device: &mut Device, offset: u64) -> u64 {
    let mut data = [0; 8];
    device.read(CHMU_BAR, 0x10 + offset, &mut data).unwrap();
    u64::from_le_bytes(data)
}

/// Tracks everything in units of 4 KiB, hot from 1 on, in epochs of 1 ms.
fn enable(device: &mut Device) {
    let bitmap = read(device, 0x10);
    write(device, bitmap, 1);
    write(device, 0x48, 12 | 2 << 48 | 1 << 52);
    write(device, 0x40, 6 | 1 << 16 | 1 << 32);
}

/// Enables, and has the producer answer.
fn enable_with(device: &mut Device, producer: &Producer) {
    enable(device);
    producer.acknowledge(producer.arming());
    assert_eq!(read(device, STATUS) & 0xffff_ffff, ENABLED);
}

const STATUS: u64 = 0x60;
/// The first half of the status: enabled, or an enable in progress.
const ENABLED: u64 = 1;
const BEING_ENABLED: u64 = 1 << 16;

#[test]
fn an_enable_is_in_progress_until_the_producer_answers() {
    let mut device = device(ClockSource::Host);
    let (producer, mut ring) = producer(&mut device);
    enable(&mut device);
    assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, BEING_ENABLED);
    assert!(producer.arming().is_armed());
    assert!(ring.push(Access::read(Hpa(BASE))));
    assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, BEING_ENABLED);
    producer.acknowledge(producer.arming());
    assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, ENABLED);
    assert!(ring.push(Access::read(Hpa(BASE))));
    let statistics = device.statistics().function.blocks;
    assert_eq!(statistics[0][0].requests_counted, 1);

    // A producer that has stopped as it was asked to has to start again.
    write(&mut device, 0x40, 0);
    producer.acknowledge(producer.arming());
    assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, 0);
    enable(&mut device);
    assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, BEING_ENABLED);
    producer.acknowledge(producer.arming());
    assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, ENABLED);
}

#[test]
fn an_enable_waits_for_a_mute_producer_less_long_than_drivers_do() {
    let mut device = device(ClockSource::Manual);
    let (_producer, _ring) = producer(&mut device);
    enable(&mut device);
    device.pass_time(79_999_999);
    assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, BEING_ENABLED);
    device.pass_time(1);
    assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, ENABLED);
    write(&mut device, 0x40, 0);
    enable(&mut device);
    assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, BEING_ENABLED);
}

#[test]
fn an_enable_waits_for_nobody_who_is_not_there() {
    for clock in [ClockSource::Manual, ClockSource::Accesses(Nanoseconds(1))] {
        let mut device = device(clock);
        enable(&mut device);
        assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, ENABLED);
        write(&mut device, 0x40, 0);
        let attached = producer(&mut device);
        enable(&mut device);
        assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, BEING_ENABLED);
        drop(attached);
        assert!(!device.feed().unwrap().hear());
        device.feed().unwrap().detach();
        assert_eq!(read(&mut device, STATUS) & 0xffff_ffff, ENABLED);
    }
}

#[test]
fn an_idle_device_needs_no_wakeup() {
    let mut device = device(ClockSource::Host);
    let (producer, _ring) = producer(&mut device);
    assert_eq!(device.next_wakeup(), None);
    enable_with(&mut device, &producer);
    assert!(device.next_wakeup().unwrap() <= POLL_PERIOD);
    write(&mut device, 0x40, 0);
    assert_eq!(device.next_wakeup(), None);
}

#[test]
fn an_access_clock_needs_no_timer_but_polls() {
    let mut device = device(ClockSource::Accesses(Nanoseconds(1)));
    enable(&mut device);
    assert_eq!(device.next_wakeup(), None);
    let (_producer, _ring) = producer(&mut device);
    assert_eq!(device.next_wakeup(), Some(POLL_PERIOD));
}

#[test]
fn accesses_found_after_the_end_of_an_epoch_count_for_it() {
    let mut device = device(ClockSource::Host);
    let (producer, mut ring) = producer(&mut device);
    enable_with(&mut device, &producer);
    let deadline_ns = device.function.next_deadline_ns().unwrap();
    assert!(ring.push(Access::read(Hpa(BASE + 4096 * 9))));
    while device.clock.now_ns() < deadline_ns {
        std::hint::spin_loop();
    }
    device.catch_up();
    assert_eq!(read(&mut device, 0x68) >> 16, 1, "the tail");
    let statistics = device.statistics().function.blocks;
    assert_eq!(statistics[0][0].requests_counted, 1);
}

#[test]
fn epochs_that_cannot_be_told_apart_any_more_are_late() {
    let mut device = device(ClockSource::Manual);
    let (producer, mut ring) = producer(&mut device);
    enable_with(&mut device, &producer);
    let late = |device: &mut Device| device.statistics().feed.unwrap().epochs_late;
    for _ in 0..3 {
        assert!(ring.push(Access::read(Hpa(BASE))));
        device.pass_time(1_000_000);
    }
    // Nobody accessed anything in these.
    device.pass_time(10_000_000);
    assert_eq!(late(&mut device), 0);

    assert!(ring.push(Access::read(Hpa(BASE))));
    // As if the device had not come to look: the accesses may be of any of five epochs.
    device.clock.advance(5_000_000);
    device.catch_up();
    assert_eq!(late(&mut device), 4);
    let statistics = device.statistics().function.blocks;
    assert_eq!(statistics[0][0].epochs_closed, 18);
}

#[test]
fn unknown_commands_are_counted_together() {
    let mut device = device(ClockSource::Host);
    for number in 16..1016 {
        let refusal: Option<&dyn Display> = (number % 2 == 0).then_some(&"no");
        device.message_handled(Command::from(number), refusal);
    }
    let messages = device.statistics().messages;
    assert_eq!(messages.len(), 1);
    let count = messages["unknown"];
    assert_eq!((count.handled.0, count.refused.0), (1000, 500));
}

#[test]
fn the_mappable_areas_are_those_of_the_function() {
    let device = device(ClockSource::Host);
    for (index, region) in device.regions().iter().enumerate() {
        assert_eq!(region.file.is_some(), !region.mappable_areas.is_empty());
        let bar = device.function.bars().get(index);
        assert!(bar.is_none_or(|bar| bar.size_bytes == region.size_bytes));
    }
    assert_eq!(device.regions()[7].size_bytes, 4096);
    assert_eq!(device.regions().len(), 9);
}

/// What a client or a producer can do.
#[derive(Debug, Clone)]
enum Act {
    Read(u32, u64, usize),
    Write(u32, u64, Vec<u8>),
    Reset,
    Trigger(u16),
    Access(u64, bool),
    CatchUp,
    Leave,
    Answer,
}

fn act() -> impl Strategy<Value = Act> {
    let region =
        prop_oneof![4 => Just(CHMU_BAR), 1 => Just(0), 1 => Just(2), 2 => Just(7), 1 => 0..9_u32];
    let offset = prop_oneof![4 => 0..0x90_u64, 1 => 0..0x2000_u64, 1 => any::<u64>()];
    let place = (region, offset).boxed();
    prop_oneof![
        4 => (place.clone(), 0..32_usize).prop_map(|((region, offset), count)| {
            Act::Read(region, offset, count)
        }),
        8 => (place, prop::collection::vec(any::<u8>(), 0..17))
            .prop_map(|((region, offset), data)| Act::Write(region, offset, data)),
        1 => Just(Act::Reset),
        1 => (0..16_u16).prop_map(Act::Trigger),
        8 => (prop_oneof![BASE..BASE + (256 << 20), any::<u64>()], any::<bool>())
            .prop_map(|(address, write)| Act::Access(address, write)),
        1 => Just(Act::CatchUp),
        1 => Just(Act::Leave),
        2 => Just(Act::Answer),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The server checks ranges before it asks; within them everything goes.
    #[test]
    fn any_requests_are_survived(acts in prop::collection::vec(act(), 0..200)) {
        let mut device = device(ClockSource::Accesses(Nanoseconds(100_000)));
        let (producer, mut ring) = producer(&mut device);
        enable_with(&mut device, &producer);
        for act in acts {
            match act {
                Act::Read(region, offset, count) => {
                    let size = device.regions()[region as usize].size_bytes;
                    let offset = offset.checked_rem(size).unwrap_or(offset);
                    let count = count.min(usize::try_from(size.saturating_sub(offset)).unwrap());
                    let _ = device.read(region, offset, &mut vec![0; count]);
                }
                Act::Write(region, offset, mut data) => {
                    let size = device.regions()[region as usize].size_bytes;
                    let offset = offset.checked_rem(size).unwrap_or(offset);
                    data.truncate(usize::try_from(size.saturating_sub(offset)).unwrap());
                    let _ = device.write(region, offset, &data);
                }
                Act::Reset => device.reset(),
                Act::Trigger(vector) => device.trigger_vector(vector),
                Act::Access(address, false) => drop(ring.push(Access::read(Hpa(address)))),
                Act::Access(address, true) => drop(ring.push(Access::write(Hpa(address)))),
                Act::CatchUp => {
                    device.catch_up();
                }
                Act::Leave => device.client_left(),
                Act::Answer => producer.acknowledge(producer.arming()),
            }
            prop_assert_eq!(producer.arming().is_armed(), device.function.wants_accesses());
        }
        let statistics = device.statistics();
        serde_json::to_string(&statistics).unwrap();
        prop_assert_eq!(statistics.feed.unwrap().corrupt, 0);
    }
}
