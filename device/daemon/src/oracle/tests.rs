// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The oracle in a device without a process around it.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;

use chmu_ring::{Producer, RingProducer};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::clock::{Clock, ClockSource};
use crate::config::quantity::{Hexadecimal, Nanoseconds, Size};
use crate::config::{Config, DecoderTable};
use crate::device::Device;
use crate::server::Backend;

use super::*;

const CHMU_BAR: u32 = 4;
const BASE: u64 = 4 << 30;
const FRAME: u64 = BASE / PAGE_BYTES;

/// One of two devices that share a window by 256 bytes, or one alone.
fn device(ways: u8, position: u8, clock: ClockSource) -> Device {
    let config = Config {
        memory: Size(256 << 20),
        decoders: Some(vec![DecoderTable {
            base: Hexadecimal(BASE),
            ways,
            position,
            ..DecoderTable::default()
        }]),
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

fn ask(device: &mut Device, request: &Value) -> Value {
    serde_json::from_str(&answer(device, &request.to_string())).unwrap()
}

fn mark(device: &mut Device) -> u64 {
    let answer = ask(device, &json!({"v": 1, "id": 1, "request": "mark"}));
    answer["state"]["mark"].as_u64().unwrap()
}

fn state(device: &mut Device) -> Value {
    ask(device, &json!({"v": 1, "id": 1, "request": "state"}))["state"].clone()
}

/// All counts of a mark.
fn counts(device: &mut Device, mark: u64) -> Value {
    let request = json!({"v": 1, "id": 9, "request": "counts", "mark": mark});
    ask(device, &request)["counts"].clone()
}

/// Tracks all reads and writes in units of 4 KiB, hot from `threshold` on.
fn enable(device: &mut Device, request_class: u64) {
    let mut bitmap = [0; 8];
    device.read(CHMU_BAR, 0x20, &mut bitmap).unwrap();
    for (offset, value) in [
        (u64::from_le_bytes(bitmap), 1_u64),
        (0x48, 12 | 2 << 48 | 1 << 52),
        (0x40, request_class | 1 << 16 | 1 << 32),
    ] {
        device
            .write(CHMU_BAR, 0x10 + offset, &value.to_le_bytes())
            .unwrap();
    }
}

#[test]
fn it_counts_without_any_instance_and_stops_when_told() {
    let mut device = device(1, 0, ClockSource::Manual);
    let (producer, mut ring) = producer(&mut device);
    assert!(!producer.arming().is_armed());
    assert!(ring.push(Access::read(Hpa(BASE))));
    let first = mark(&mut device);
    assert!(producer.arming().is_armed(), "the gate is open");
    assert_eq!(state(&mut device)["reporting"], false);
    producer.acknowledge(producer.arming());
    for (page, accesses) in [(3_u64, 5_u64), (0, 2), (600, 1)] {
        for line in 0..accesses {
            let hpa = Hpa(BASE + page * PAGE_BYTES + line * 64);
            assert!(ring.push(Access::write(hpa)));
        }
    }
    let expected = json!([[FRAME, 2], [FRAME + 3, 5], [FRAME + 600, 1]]);
    assert_eq!(counts(&mut device, first), expected);
    let state_now = state(&mut device);
    assert_eq!(state_now["reporting"], true);
    assert_eq!(state_now["accesses"], 8);
    assert_eq!(state_now["accesses_lost"], 0);
    let frames = (256 << 20) / PAGE_BYTES;
    assert_eq!(state_now["windows"], json!([[FRAME, FRAME + frames]]));

    let second = mark(&mut device);
    assert_ne!(first, second);
    assert_eq!(counts(&mut device, second), json!([]));
    let stop = json!({"v": 1, "id": 2, "request": "stop", "mark": second});
    assert_eq!(ask(&mut device, &stop)["state"]["mark"], Value::Null);
    assert!(!producer.arming().is_armed(), "nobody needs accesses");
    let over = ask(&mut device, &stop)["error"].clone();
    assert_eq!(
        over,
        format!("Mark {second} is over: nothing is counted now")
    );
}

#[test]
fn an_oracle_changes_nothing_that_a_driver_sees() {
    let seen = |observed: bool| {
        let mut device = device(1, 0, ClockSource::Accesses(Nanoseconds(1000)));
        let (producer, mut ring) = producer(&mut device);
        let mark = observed.then(|| mark(&mut device));
        producer.acknowledge(producer.arming());
        let mut push = |device: &mut Device, pages: u64| {
            for page in (0..pages).flat_map(|page| vec![page; 40]) {
                assert!(ring.push(Access::read(Hpa(BASE + page * PAGE_BYTES))));
            }
            device.catch_up();
        };
        push(&mut device, if observed { 100 } else { 0 });
        // Writes only: the oracle counts what the instance does not.
        enable(&mut device, 5);
        producer.acknowledge(producer.arming());
        device.catch_up();
        push(&mut device, 50);
        let statistics = device.statistics();
        let counted = mark.map(|mark| counts(&mut device, mark).as_array().unwrap().len());
        assert_eq!(counted, observed.then_some(100));
        (statistics.time_ns, statistics.function)
    };
    assert_eq!(seen(true), seen(false));
}

#[test]
fn what_is_missing_is_said() {
    let mut device = device(1, 0, ClockSource::Manual);
    let (first, _ring) = producer(&mut device);
    first.acknowledge(first.arming());
    mark(&mut device);
    let lacks = |device: &mut Device| {
        let state = state(device);
        (state["reporting"].clone(), state["gaps"].clone())
    };
    assert_eq!(lacks(&mut device), (json!(false), json!(0)));
    first.acknowledge(first.arming());
    assert_eq!(lacks(&mut device), (json!(true), json!(0)));
    drop((first, _ring));
    assert!(!device.feed().unwrap().hear());
    device.feed().unwrap().detach();
    assert_eq!(lacks(&mut device), (json!(false), json!(1)));
    let (second, _ring) = producer(&mut device);
    assert_eq!(lacks(&mut device), (json!(false), json!(1)));
    second.acknowledge(second.arming());
    assert_eq!(lacks(&mut device), (json!(true), json!(1)));
}

#[test]
fn requests_that_make_no_sense_are_refused_in_a_sentence() {
    let mut device = device(1, 0, ClockSource::Manual);
    let mark = mark(&mut device);
    for (line, id, error) in [
        ("", Value::Null, "This is no request: EOF"),
        ("{}", Value::Null, "This is no request: missing field `v`"),
        (
            r#"{"v":1,"id":3,"request":"forget"}"#,
            Value::Null,
            "This is no request: unknown variant `forget`",
        ),
        (
            r#"{"v":1,"id":3,"request":"state","marks":1}"#,
            Value::Null,
            "This is no request: unknown field `marks`",
        ),
        (
            r#"{"v":2,"id":3,"request":"state"}"#,
            json!(3),
            "Version 2 is not known here; write 1",
        ),
        (
            r#"{"v":1,"id":4,"request":"counts"}"#,
            json!(4),
            "Name the mark whose counts are meant",
        ),
        (
            r#"{"v":1,"id":4,"request":"mark","mark":1}"#,
            json!(4),
            "A mark is named to get its counts, or to stop them",
        ),
        (
            r#"{"v":1,"id":4,"request":"stop","mark":1,"limit":3}"#,
            json!(4),
            "Only counts are asked for by from_frame, until_frame and limit",
        ),
        (
            r#"{"v":1,"id":4,"request":"counts","mark":1,"limit":0}"#,
            json!(4),
            "An answer without pages answers nothing; limit starts at 1",
        ),
        (
            r#"{"v":1,"id":5,"request":"counts","mark":77}"#,
            json!(5),
            "Mark 77 is over: somebody has set mark 1, from which is counted now",
        ),
    ] {
        let answer: Value = serde_json::from_str(&answer(&mut device, line)).unwrap();
        assert_eq!(answer["id"], id, "{line}");
        let said = answer["error"].as_str().unwrap();
        assert!(said.starts_with(error), "{line}: {said}");
    }
    assert_eq!(counts(&mut device, mark), json!([]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Of a window that two devices share, each counts its own lines; in bounded answers.
    #[test]
    fn counts_are_those_of_the_accesses_that_reach_the_device(
        ways in 1..3_u8,
        position in 0..2_u8,
        accesses in prop::collection::vec(
            (prop_oneof![0..0x4000_u64, 0x7f_0000..0x7f_8000_u64, any::<u64>()], any::<bool>()),
            0..400,
        ),
        limit in 1..5_usize,
    ) {
        let position = position % ways;
        let mut device = device(ways, position, ClockSource::Manual);
        let (producer, mut ring) = producer(&mut device);
        let mark = mark(&mut device);
        producer.acknowledge(producer.arming());
        let mut naive = BTreeMap::<u64, u64>::new();
        for (offset, write) in accesses {
            let hpa = BASE.wrapping_add(offset);
            let line = hpa / 64 * 64;
            let is_inside = line >= BASE && line < BASE + u64::from(ways) * (256 << 20);
            if is_inside && (line - BASE) / 256 % u64::from(ways) == u64::from(position) {
                *naive.entry(hpa / PAGE_BYTES).or_default() += 1;
            }
            let access = if write { Access::write(Hpa(hpa)) } else { Access::read(Hpa(hpa)) };
            prop_assert!(ring.push(access));
        }
        let mut found = Vec::new();
        let mut next = json!(0);
        while !next.is_null() {
            let request = json!({
                "v": 1, "id": 7, "request": "counts", "mark": mark, "from_frame": next,
                "limit": limit,
            });
            let answer = ask(&mut device, &request);
            found.extend(serde_json::from_value::<Vec<(u64, u64)>>(answer["counts"].clone())?);
            next = answer["next_frame"].clone();
        }
        prop_assert_eq!(state(&mut device)["accesses"].as_u64(), Some(naive.values().sum()));
        prop_assert_eq!(found, naive.into_iter().collect::<Vec<_>>());
    }
}
