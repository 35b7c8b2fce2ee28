// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Several clients at once, and clients that connect and say nothing.

use std::io::Read;
use std::os::unix::net::UnixStream;

use anyhow::{Result, ensure};
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{
    QEMU_CAPABILITIES, REPLY_TIMEOUT, RawClient, command, raw_message, version_payload,
};

/// What the log calls this process.
fn own_name() -> Result<String> {
    let name = std::fs::read_to_string("/proc/self/comm")?;
    Ok(format!(
        "process {} ({})",
        std::process::id(),
        name.trim_end()
    ))
}

/// Waits until the device hangs up.
fn hung_up(client: &RawClient) -> Result<()> {
    let mut stream: &UnixStream = client.stream();
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    let count = stream.read(&mut [0; 64])?;
    ensure!(count == 0, "{count} bytes came");
    Ok(())
}

#[test]
fn a_silent_client_makes_room_and_the_log_names_both() -> Result<()> {
    let device = DeviceProcess::start(&["--client-timeout=100ms"])?;
    let silent = device.connect()?;
    let mut next = device.client()?;
    next.read_region(7, 0, 4)?;
    hung_up(&silent)?;
    let log = device.log()?;
    let own = own_name()?;
    for line in [
        format!("{own} waits: {own} is connected and has sent no VERSION"),
        format!("{own} is let go: it sent no VERSION within 100ms"),
    ] {
        assert!(log.contains(&line), "{line:?} is not in {log}");
    }
    Ok(())
}

#[test]
fn half_a_version_is_none() -> Result<()> {
    let device = DeviceProcess::start(&["--client-timeout=100ms"])?;
    let mut client = device.connect()?;
    let payload = version_payload(0, 0, QEMU_CAPABILITIES);
    client.send_bytes(&raw_message(1, command::VERSION, 200, 0, &payload[..9]))?;
    hung_up(&client)?;
    device.client()?;
    Ok(())
}

#[test]
fn half_a_message_is_waited_for_as_long() -> Result<()> {
    let device = DeviceProcess::start(&["--client-timeout=100ms"])?;
    let mut client = device.client()?;
    client.send_bytes(&raw_message(1, command::REGION_WRITE, 40, 0, &[0; 3]))?;
    hung_up(&client)?;
    let log = device.log()?;
    let expected = "is let go: the rest of a message did not come within 100ms";
    assert!(log.contains(expected), "{log}");
    Ok(())
}

#[test]
fn a_client_too_many_hears_that_the_device_is_busy() -> Result<()> {
    let device = DeviceProcess::start(&["--client-timeout=100ms"])?;
    let mut first = device.client()?;
    let mut second = device.connect()?;
    let payload = version_payload(0, 0, QEMU_CAPABILITIES);
    let reply = second.call(command::VERSION, &payload)?;
    assert_eq!(reply.failure()?, libc::EBUSY.unsigned_abs());
    hung_up(&second)?;
    first.read_region(7, 0, 4)?;
    let log = device.log()?;
    assert!(
        log.contains("is refused as one client too many: process "),
        "{log}"
    );
    Ok(())
}

#[test]
fn clients_wait_while_the_process_has_no_descriptor_for_them() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut first = device.client()?;
    let limit = device.limit_descriptors(0)?;
    let mut second = device.connect()?;
    // Whatever waits at one request is handled before the next is answered.
    for _ in 0..10 {
        first.read_region(7, 0, 4)?;
    }
    let complaint = "A client cannot be accepted and waits: Too many open files";
    assert_eq!(device.log()?.matches(complaint).count(), 1);
    device.limit_descriptors(limit)?;
    drop(first);
    second.negotiate()?;
    assert!(device.log()?.contains("A client can be accepted again"));
    Ok(())
}
