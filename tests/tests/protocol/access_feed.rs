// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From an access in a ring to an entry in the hotlist and a signal on an eventfd.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chmu_ring::{Access, Hpa, Producer, RingProducer};
use chmu_tests::device_process::{DeviceProcess, is_readable};
use chmu_tests::raw_client::{RawClient, command};
use rustix::fs::FallocateFlags;
use serde_json::Value;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use crate::monitor::{self, BASE, MILLISECOND, Settings, TEN_SECONDS};

/// How long an interrupt, or the end of a connection, may take.
const EVENT_TIMEOUT: Duration = Duration::from_secs(20);
/// A nanosecond an access, so that no epoch ends.
const SLOW_TIME: &str = "--clock=accesses:1";
const UNIT_BYTES: u64 = 4096;

/// Message number of the first instance.
const VECTOR: u32 = 1;

/// A device with a client and a producer.
struct Bench {
    device: DeviceProcess,
    client: RawClient,
    producer: Producer,
    ring: RingProducer,
}

impl Bench {
    fn new(arguments: &[&str]) -> Result<Self> {
        Self::of(DeviceProcess::start(arguments)?)
    }

    fn of(device: DeviceProcess) -> Result<Self> {
        let client = device.client()?;
        let mut producer = Producer::connect(device.access_socket())?;
        let ring = producer.ring(0)?;
        Ok(Self {
            device,
            client,
            producer,
            ring,
        })
    }

    /// Enables the instance; the producer reports accesses from then on.
    fn enable(&mut self, settings: Settings) -> Result<()> {
        monitor::enable(&mut self.client, settings)?;
        self.producer.acknowledge(self.producer.arming());
        ensure!(monitor::is_enabled(&mut self.client)?, "It is not enabled");
        Ok(())
    }

    /// `count` reads of a unit.
    fn touch(&mut self, unit: u64, count: u64) {
        for line in 0..count {
            let address = BASE + unit * UNIT_BYTES + line % 64 * 64;
            assert!(self.ring.push(Access::read(Hpa(address))));
        }
    }

    fn statistic(&self, pointer: &str) -> Result<Value> {
        let statistics = self.device.statistics()?;
        let value = statistics.pointer(pointer);
        value
            .cloned()
            .with_context(|| format!("There is no {pointer} in {statistics:#}"))
    }
}

fn epochs(epoch: (u64, u64), threshold: u32) -> Settings {
    Settings {
        threshold,
        epoch,
        mode: 0,
        fill_level_interrupt: true,
    }
}

#[test]
fn the_hot_units_of_an_epoch_become_entries_and_one_interrupt() -> Result<()> {
    // A microsecond an access: a thousand of them are an epoch.
    let mut bench = Bench::new(&["--clock=accesses:1000"])?;
    let event = monitor::connect_message(&mut bench.client, VECTOR)?;
    bench.enable(epochs(MILLISECOND, 100))?;

    bench.touch(7, 300);
    bench.touch(3, 600);
    bench.touch(9, 99);
    assert_eq!(monitor::head_and_tail(&mut bench.client)?, (0, 0));
    bench.touch(9, 1);

    assert!(is_readable(&event, EVENT_TIMEOUT)?, "there is no interrupt");
    assert_eq!(monitor::signals(&event)?, 1);
    assert_eq!(monitor::head_and_tail(&mut bench.client)?, (0, 3));
    let file = monitor::mappable_file(&mut bench.client)?;
    for (index, expected) in (0..).zip([(3, 600), (7, 300), (9, 100)]) {
        let mapped = monitor::mapped_entry(&mut bench.client, &file, index)?;
        assert_eq!(mapped, expected, "mapped");
        assert_eq!(monitor::entry(&mut bench.client, index)?, expected, "read");
    }
    assert_eq!(bench.statistic("/interrupts/sent")?, 1);
    assert_eq!(bench.statistic("/blocks/0/0/epochs_closed")?, 1);
    assert_eq!(bench.statistic("/blocks/0/0/units_reported")?, 3);
    Ok(())
}

#[test]
fn the_same_accesses_give_the_same_list_again() -> Result<()> {
    let list = || -> Result<Vec<(u64, u64)>> {
        let mut bench = Bench::new(&["--clock=accesses:10000"])?;
        bench.enable(epochs(MILLISECOND, 3))?;
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..2000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bench.touch(random % 40, 1);
        }
        let (_, tail) = monitor::head_and_tail(&mut bench.client)?;
        (0..tail)
            .map(|index| monitor::entry(&mut bench.client, index))
            .collect()
    };
    let first = list()?;
    assert!(first.len() > 20, "{} entries", first.len());
    assert_eq!(list()?, first);
    Ok(())
}

#[test]
fn an_epoch_of_host_time_ends_without_anybody_looking() -> Result<()> {
    let mut bench = Bench::new(&[])?;
    let event = monitor::connect_message(&mut bench.client, VECTOR)?;
    let ten_milliseconds = (3, 1);
    bench.enable(epochs(ten_milliseconds, 1))?;
    bench.touch(5, 10);
    assert!(is_readable(&event, EVENT_TIMEOUT)?, "there is no interrupt");
    assert_eq!(monitor::entry(&mut bench.client, 0)?.0, 5);
    Ok(())
}

#[test]
fn an_always_on_unit_is_reported_while_the_doorbell_is_silent() -> Result<()> {
    let mut bench = Bench::new(&[])?;
    let event = monitor::connect_message(&mut bench.client, VECTOR)?;
    let settings = Settings {
        mode: 1,
        ..epochs(TEN_SECONDS, 4)
    };
    bench.enable(settings)?;
    // Far fewer records than the doorbell rings for.
    bench.touch(11, 4);
    assert!(is_readable(&event, EVENT_TIMEOUT)?, "there is no interrupt");
    assert_eq!(monitor::entry(&mut bench.client, 0)?, (11, 4));
    Ok(())
}

#[test]
fn accesses_are_counted_before_whatever_comes_after_them() -> Result<()> {
    let mut bench = Bench::new(&[SLOW_TIME])?;
    let settings = Settings {
        mode: 1,
        ..epochs(TEN_SECONDS, 2)
    };
    bench.enable(settings)?;
    for round in 1..=50 {
        bench.touch(round, 2);
        assert_eq!(monitor::head_and_tail(&mut bench.client)?.1, round);
    }
    bench.touch(51, 7);
    assert_eq!(bench.statistic("/blocks/0/0/requests_counted")?, 107);

    bench.touch(52, 1);
    monitor::disable(&mut bench.client)?;
    bench.touch(53, 100);
    bench.enable(settings)?;
    assert_eq!(
        bench.statistic("/blocks/0/0/requests_counted")?,
        108,
        "what came before the enable counts"
    );
    Ok(())
}

#[test]
fn the_producer_is_armed_while_an_instance_counts() -> Result<()> {
    // A clock that stands still does not run into the time limit of an enable.
    let mut bench = Bench::of(DeviceProcess::start_with_manual_clock(&[])?)?;
    assert!(!bench.producer.arming().is_armed());
    monitor::enable(&mut bench.client, epochs(TEN_SECONDS, 1))?;
    assert!(bench.producer.arming().is_armed());
    assert_eq!(bench.statistic("/feed/acknowledged")?, false);
    assert!(!monitor::is_enabled(&mut bench.client)?);
    bench.producer.acknowledge(bench.producer.arming());
    assert_eq!(bench.statistic("/feed/acknowledged")?, true);

    monitor::disable(&mut bench.client)?;
    assert!(!bench.producer.arming().is_armed());
    bench.enable(epochs(TEN_SECONDS, 1))?;
    bench.client.call(command::DEVICE_RESET, &[])?.success()?;
    assert!(!bench.producer.arming().is_armed());
    assert!(!monitor::is_enabled(&mut bench.client)?);
    Ok(())
}

#[test]
fn a_lost_producer_makes_room_for_the_next() -> Result<()> {
    let mut bench = Bench::new(&[SLOW_TIME])?;
    bench.enable(epochs(TEN_SECONDS, 1))?;
    let second = Producer::connect(bench.device.access_socket());
    assert!(matches!(second, Err(chmu_ring::Error::Refused)));

    bench.touch(1, 5);
    let Bench {
        device,
        producer,
        ring,
        mut client,
    } = bench;
    drop((producer, ring));

    let mut producer = Producer::connect(device.access_socket())?;
    assert!(producer.arming().is_armed());
    let ring = producer.ring(0)?;
    assert!(monitor::is_enabled(&mut client)?);
    let mut bench = Bench {
        device,
        client,
        producer,
        ring,
    };
    bench.touch(2, 6);
    assert_eq!(bench.statistic("/blocks/0/0/requests_counted")?, 11);
    assert_eq!(bench.statistic("/feed/producers")?, 2);
    assert_eq!(bench.statistic("/feed/lost")?, 0);
    Ok(())
}

/// Whatever a producer does to its socket, its memory and its counters: the device answers, and
/// the next producer finds everything in order.
#[test]
fn a_bad_producer_holds_up_nobody_and_bars_nobody() -> Result<()> {
    let device = DeviceProcess::start_with_manual_clock(&[])?;
    let mut client = device.client()?;
    monitor::enable(&mut client, epochs(TEN_SECONDS, 1))?;
    for _ in 0..3 {
        let socket = UnixStream::connect(device.access_socket())?;
        let (mut greeting, mut memory) = ([0; 16], None);
        while memory.is_none() {
            memory = socket.recv_with_fd(&mut greeting)?.1;
        }
        let memory = memory.context("No memory")?;
        (&socket).write_all(&[0; 50_000])?;
        assert!(monitor::is_enabled(&mut client)?);
        memory.write_all_at(&[0xff; 16_384], 0)?;
        assert!(monitor::is_enabled(&mut client)?);
        let size = memory.metadata()?.len();
        rustix::fs::fallocate(
            &memory,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            0,
            size,
        )?;
        assert!(monitor::is_enabled(&mut client)?);
        assert!(memory.set_len(0).is_err(), "its size is sealed");
        drop(socket);
        // The memory outlives the socket, and is nobody else's.
        let mut producer = connect(&device)?;
        memory.write_all_at(&[0xff; 4096], 4096)?;
        producer.acknowledge(producer.arming());
        assert!(producer.ring(0)?.push(Access::read(Hpa(BASE))));
        assert!(monitor::is_enabled(&mut client)?);
    }
    let statistics = device.statistics()?;
    // What it claims to have lost is believed as far as it can be.
    let lost = statistics["feed"]["lost"].as_u64();
    assert!(lost < Some(1000), "{lost:?}");
    assert_eq!(statistics["blocks"][0][0]["requests_counted"], 3);
    assert!(statistics["feed"]["corrupt"].as_u64() > Some(0));
    Ok(())
}

/// Attaches as soon as an earlier producer is let go.
fn connect(device: &DeviceProcess) -> Result<Producer> {
    loop {
        match Producer::connect(device.access_socket()) {
            Err(chmu_ring::Error::Refused) => std::thread::yield_now(),
            connected => return Ok(connected?),
        }
    }
}

#[test]
fn there_are_as_many_rings_as_were_asked_for() -> Result<()> {
    let count = |arguments: &[&str]| -> Result<u32> {
        let device = DeviceProcess::start(arguments)?;
        let _client = device.client()?;
        Ok(connect(&device)?.ring_count())
    };
    assert_eq!(count(&[])?, 64);
    assert_eq!(count(&["--access-rings=3"])?, 3);
    assert_eq!(count(&["--access-rings=256"])?, 256);
    Ok(())
}

#[test]
fn vcpus_without_a_ring_are_in_the_statistics() -> Result<()> {
    let mut bench = Bench::new(&[SLOW_TIME, "--access-rings=1"])?;
    bench.producer.set_ringless_vcpus(7);
    bench.enable(epochs(TEN_SECONDS, 1))?;
    bench.producer.ringless().drop_record();
    assert_eq!(bench.statistic("/feed/vcpus_without_ring")?, 7);
    assert_eq!(bench.statistic("/feed/lost")?, 1);
    Ok(())
}

#[test]
fn accesses_outside_of_the_windows_are_told_apart() -> Result<()> {
    let mut bench = Bench::new(&[SLOW_TIME, "--memory=512M"])?;
    let windows = bench.producer.windows();
    assert_eq!((windows[0].base, windows[0].size), (BASE, 512 << 20));
    bench.enable(epochs(TEN_SECONDS, 1))?;
    bench.touch(0, 3);
    assert!(bench.ring.push(Access::write(Hpa(BASE + (512 << 20)))));
    assert!(bench.ring.push(Access::read(Hpa(0))));
    assert_eq!(bench.statistic("/accesses")?, 5);
    assert_eq!(bench.statistic("/accesses_not_decoded")?, 2);
    assert_eq!(bench.statistic("/feed/records")?, 5);
    Ok(())
}

#[test]
fn more_accesses_than_a_ring_holds_all_arrive() -> Result<()> {
    let mut bench = Bench::new(&[SLOW_TIME])?;
    bench.enable(epochs(TEN_SECONDS, 1))?;
    let count = 3 * u64::from(chmu_ring::ENTRIES_PER_RING) + 1;
    bench.touch(8, count);
    assert_eq!(bench.statistic("/blocks/0/0/requests_counted")?, count);
    assert_eq!(bench.statistic("/feed/lost")?, 0);
    Ok(())
}
