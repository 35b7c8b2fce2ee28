// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The oracle's socket, line by line.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::thread;

use anyhow::{Context, Result};
use chmu_ring::{Access, Hpa, Producer};
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::REPLY_TIMEOUT;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::monitor::{self, BASE, Settings, TEN_SECONDS};

const PAGE_BYTES: u64 = 4096;
const FRAME: u64 = BASE / PAGE_BYTES;

struct Oracle {
    device: DeviceProcess,
    folder: TempDir,
    socket: BufReader<UnixStream>,
}

impl Oracle {
    fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        let path = folder.path().join("oracle.sock");
        let device = DeviceProcess::start(&[&format!("--oracle-socket={}", path.display())])?;
        // A client that is answered knows that all sockets are there.
        device.client()?;
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        let socket = UnixStream::connect(&path)?;
        socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Self {
            device,
            folder,
            socket: BufReader::new(socket),
        })
    }

    fn ask(&mut self, line: &str) -> Result<Value> {
        self.socket.get_mut().write_all(line.as_bytes())?;
        self.socket.get_mut().write_all(b"\n")?;
        let mut answer = String::new();
        self.socket.read_line(&mut answer)?;
        serde_json::from_str(&answer).with_context(|| format!("{answer:?} is no JSON"))
    }
}

#[test]
fn an_answer_is_written_as_documented() -> Result<()> {
    let mut oracle = Oracle::start()?;
    let mut producer = Producer::connect(oracle.device.access_socket())?;
    let mut ring = producer.ring(0)?;
    let nothing = oracle.ask(r#"{"v":1,"id":1,"request":"state"}"#)?;
    assert_eq!(nothing["state"]["mark"], Value::Null);
    let marked = oracle.ask(r#"{"v":1,"id":2,"request":"mark"}"#)?;
    assert_eq!(
        (&marked["id"], &marked["state"]["mark"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(marked["state"]["reporting"], false);
    producer.acknowledge(producer.arming());
    for page in [9, 2, 9, 9] {
        assert!(ring.push(Access::read(Hpa(BASE + page * PAGE_BYTES))));
    }
    producer.ringless().drop_record();
    let mut answer = oracle.ask(
        r#"{"v":1,"id":18446744073709551615,"request":"counts","mark":1,"from_frame":1048576,"until_frame":18446744073709551615,"limit":1}"#,
    )?;
    let time_ns = answer["state"]["time_ns"].take();
    assert!(time_ns.as_u64().is_some_and(|time| time > 0));
    let frames = (1 << 30) / PAGE_BYTES;
    let expected = json!({
        "v": 1,
        "id": u64::MAX,
        "state": {
            "time_ns": null,
            "mark": 1,
            "reporting": true,
            "gaps": 0,
            "accesses": 4,
            "accesses_lost": 1,
            "records_damaged": 0,
            "accesses_without_counter": 0,
            "windows": [[FRAME, FRAME + frames]],
        },
        "counts": [[FRAME + 2, 1]],
        "next_frame": FRAME + 9,
    });
    assert_eq!(answer, expected);
    let stopped = oracle.ask(r#"{"v":1,"id":5,"request":"stop","mark":1}"#)?;
    assert_eq!(stopped["state"]["mark"], Value::Null);
    let over = oracle.ask(r#"{"v":1,"id":6,"request":"counts","mark":1}"#)?;
    let refusal = json!({"v": 1, "id": 6, "error": "Mark 1 is over: nothing is counted now"});
    assert_eq!(over, refusal);
    Ok(())
}

#[test]
fn counts_go_on_while_instances_come_and_go() -> Result<()> {
    let mut oracle = Oracle::start()?;
    let mut producer = Producer::connect(oracle.device.access_socket())?;
    let mut ring = producer.ring(0)?;
    oracle.ask(r#"{"v":1,"id":1,"request":"mark"}"#)?;
    let arming = producer.arming();
    producer.acknowledge(arming);
    let mut client = oracle.device.client()?;
    let settings = Settings {
        threshold: 1,
        epoch: TEN_SECONDS,
        mode: 0,
        fill_level_interrupt: false,
    };
    for round in 0..3 {
        monitor::enable(&mut client, settings)?;
        // The producer reports already, so that nobody has to wait for it.
        assert!(monitor::is_enabled(&mut client)?);
        assert!(ring.push(Access::write(Hpa(BASE + round * PAGE_BYTES))));
        monitor::disable(&mut client)?;
        assert!(ring.push(Access::write(Hpa(BASE + round * PAGE_BYTES))));
        assert_eq!(producer.arming(), arming, "the gate stays as it is");
    }
    let answer = oracle.ask(r#"{"v":1,"id":2,"request":"counts","mark":1}"#)?;
    let expected = json!([[FRAME, 2], [FRAME + 1, 2], [FRAME + 2, 2]]);
    assert_eq!(
        (&answer["counts"], &answer["next_frame"]),
        (&expected, &Value::Null)
    );
    let statistics = oracle.device.statistics()?;
    assert_eq!(statistics["blocks"][0][0]["requests_counted"], 3);
    Ok(())
}

/// The program of a guest, with nothing between it and the device.
#[test]
fn the_harness_understands_the_device() -> Result<()> {
    let oracle = Oracle::start()?;
    let mut producer = Producer::connect(oracle.device.access_socket())?;
    let mut ring = producer.ring(0)?;
    let path = oracle.folder.path().join("oracle.sock");
    let answering = thread::spawn(move || {
        while !producer.arming().is_armed() {
            thread::yield_now();
        }
        producer.acknowledge(producer.arming());
        producer
    });
    let mut client = chmu_proof::observation::Oracle::mark(&[path])?;
    let producer = answering.join().expect("it does not panic");
    let frames = FRAME..FRAME + (1 << 30) / PAGE_BYTES;
    assert_eq!(client.windows(), std::slice::from_ref(&frames));
    // More pages than an answer has.
    for page in (0..10_000).chain([7]) {
        assert!(ring.push(Access::read(Hpa(BASE + page * PAGE_BYTES))));
    }
    let counts = client.counts(frames)?;
    assert_eq!(counts.len(), 10_000);
    assert_eq!((counts[&FRAME], counts[&(FRAME + 7)]), (1, 2));
    assert_eq!(client.counts(FRAME + 7..FRAME + 8)?.len(), 1);
    assert_eq!(client.missing(), (0, 0));
    client.stop()?;
    assert!(!producer.arming().is_armed());
    Ok(())
}
