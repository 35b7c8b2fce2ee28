// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! File descriptors over the life of a device.

use std::fs::File;
use std::process::Command;

use anyhow::{Context, Result};
use chmu_tests::device_process::{DeviceProcess, device_program};
use chmu_tests::raw_client::{FLAG_NO_REPLY, FLAG_REPLY, command, event_file, words};

/// Clients that come and go.
const CLIENTS: u16 = 1000;
/// Connects the vectors from 0 on with eventfds.
const CONNECT: u32 = 0x24;

/// Every client sends one message of some kind with descriptors, half of them after they connected
/// vectors, and leaves without a word.
#[test]
fn a_thousand_clients_leave_none_behind() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let file = File::open("/dev/null")?;
    let event = event_file()?;
    let mut first = device.client()?;
    first.read_region(7, 0, 4)?;
    let before = device.open_descriptors()?;
    drop(first);
    for number in 0..CLIENTS {
        let mut client = device.client()?;
        if number % 2 == 0 {
            let connect = words(&[20, CONNECT, 2, 0, 2]);
            client
                .call_with_files(command::DEVICE_SET_IRQS, &connect, &[&event, &event])?
                .success()?;
        }
        let flags = [0, FLAG_NO_REPLY, FLAG_REPLY, 2][usize::from(number / 18 % 4)];
        let payload = [0; 24];
        client.send_with_files(number % 18, flags, &payload, &[&file, &file, &file])?;
    }
    // One client at a time: when this one is answered, all others are gone.
    let mut last = device.client()?;
    last.read_region(7, 0, 4)?;
    assert_eq!(device.open_descriptors()?, before);
    assert_eq!(
        device.statistics()?["clients"]["served"],
        u64::from(CLIENTS) + 2
    );
    Ok(())
}

/// The most vectors that a device can have, more than a process may usually have descriptors.
const MOST_VECTORS: &str = "vectors = 2048\n";

#[test]
fn as_many_vectors_as_can_be_are_connected() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.toml");
    std::fs::write(&config, MOST_VECTORS)?;
    let config = config.to_str().context("The folder has an odd name")?;
    let device = DeviceProcess::start(&["--config", config])?;
    let mut client = device.client()?;
    let event = event_file()?;
    for first in (0..2048).step_by(16) {
        let connect = words(&[20, CONNECT, 2, first, 16]);
        client
            .call_with_files(command::DEVICE_SET_IRQS, &connect, &[&event; 16])?
            .success()?;
    }
    assert!(device.open_descriptors()? > 2048);
    Ok(())
}

#[test]
fn more_vectors_than_the_process_can_take_are_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.toml");
    std::fs::write(&config, MOST_VECTORS)?;
    let output = Command::new("sh")
        .arg("-c")
        .arg("ulimit -n 1024; exec \"$0\" --config \"$1\" --socket-path /nonexistent/s")
        .arg(device_program()?)
        .arg(&config)
        .output()?;
    let text = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{text}");
    let start = format!(
        "0: {}:1:11: 2048 interrupt vectors need as many",
        config.display()
    );
    assert!(text.starts_with(&start), "{text}");
    Ok(())
}
