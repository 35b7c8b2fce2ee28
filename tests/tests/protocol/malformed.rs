// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What no sane client sends: the device answers or hangs up, stays in step and stays alive.

use std::net::Shutdown;

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{
    HEADER_BYTES, QEMU_CAPABILITIES, RawClient, command, raw_message, region_access,
    version_payload,
};

/// The device must still serve: on this connection if it kept it, else on a new one.
fn still_serves(device: &mut DeviceProcess) -> Result<()> {
    assert!(device.is_running()?, "the device ended: {}", device.log()?);
    let id = device.client()?.read_region(7, 0, 4)?;
    assert_ne!(id, [0xff; 4]);
    Ok(())
}

fn in_step(client: &mut RawClient) -> Result<()> {
    client.call(command::DEVICE_RESET, &[])?.success()?;
    Ok(())
}

#[test]
fn version_without_data() -> Result<()> {
    let mut device = DeviceProcess::start(&[])?;
    let mut client = device.connect()?;
    client
        .call(command::VERSION, &version_payload(0, 0, b""))?
        .success()?;
    in_step(&mut client)?;
    drop(client);
    still_serves(&mut device)
}

#[test]
fn version_data_without_its_final_nul() -> Result<()> {
    let mut device = DeviceProcess::start(&[])?;
    let mut client = device.connect()?;
    let data = &QEMU_CAPABILITIES[..QEMU_CAPABILITIES.len() - 1];
    let _either = client.call(command::VERSION, &version_payload(0, 0, data));
    drop(client);
    still_serves(&mut device)
}

#[test]
fn version_data_that_is_no_json() -> Result<()> {
    let mut device = DeviceProcess::start(&[])?;
    let mut client = device.connect()?;
    let reply = client.call(command::VERSION, &version_payload(0, 0, b"\xff{{{\0"))?;
    assert_eq!(reply.failure()?, libc::EINVAL.unsigned_abs());
    drop(client);
    still_serves(&mut device)
}

#[test]
fn version_shorter_than_its_fields() -> Result<()> {
    let mut device = DeviceProcess::start(&[])?;
    let mut client = device.connect()?;
    assert_eq!(
        client.call(command::VERSION, &[])?.failure()?,
        libc::EINVAL.unsigned_abs()
    );
    drop(client);
    still_serves(&mut device)
}

#[test]
fn a_read_of_one_gibibyte() -> Result<()> {
    let mut device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let reply = client.call(command::REGION_READ, &region_access(4, 0, 1 << 30, &[]))?;
    assert_eq!(reply.failure()?, libc::EINVAL.unsigned_abs());
    in_step(&mut client)?;
    drop(client);
    still_serves(&mut device)
}

#[test]
fn unknown_commands_with_payload_stay_in_step() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    for unknown in [0, 11, 12, 16, 99, u16::MAX] {
        let reply = client.call(unknown, &[0x5a; 40])?;
        assert_ne!(reply.failure()?, 0, "command {unknown}");
        in_step(&mut client)?;
    }
    Ok(())
}

#[test]
fn unsupported_commands_with_payload_stay_in_step() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    for unsupported in [
        command::DEVICE_GET_REGION_IO_FDS,
        command::DIRTY_PAGES,
        command::REGION_WRITE_MULTI,
    ] {
        let reply = client.call(unsupported, &[0; 24])?;
        assert_ne!(reply.failure()?, 0, "command {unsupported}");
        in_step(&mut client)?;
    }
    Ok(())
}

#[test]
fn a_write_to_a_region_that_does_not_exist_stays_in_step() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let reply = client.call(command::REGION_WRITE, &region_access(42, 0, 8, &[1; 8]))?;
    assert_eq!(reply.failure()?, libc::EINVAL.unsigned_abs());
    in_step(&mut client)
}

#[test]
fn a_write_whose_count_is_not_its_data_stays_in_step() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    for count in [0, 4, 9, 1 << 20] {
        let reply = client.call(
            command::REGION_WRITE,
            &region_access(2, 0x110, count, &[1; 8]),
        )?;
        assert_eq!(
            reply.failure()?,
            libc::EINVAL.unsigned_abs(),
            "count {count}"
        );
        in_step(&mut client)?;
    }
    Ok(())
}

#[test]
fn every_error_carries_an_errno() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    for (number, payload) in [
        (command::DEVICE_GET_REGION_INFO, vec![]),
        (command::DEVICE_GET_IRQ_INFO, vec![1, 2, 3]),
        (command::REGION_READ, region_access(7, u64::MAX, 4, &[])),
        (command::DMA_MAP, vec![0; 7]),
        (command::DEVICE_SET_IRQS, vec![0; 3]),
    ] {
        assert_ne!(
            client.call(number, &payload)?.failure()?,
            0,
            "command {number}"
        );
    }
    in_step(&mut client)
}

#[test]
fn a_header_in_single_bytes_is_one_message() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    for byte in raw_message(7, command::REGION_READ, 32, 0, &region_access(7, 0, 4, &[])) {
        client.send_bytes(&[byte])?;
    }
    let reply = client.receive()?.success()?;
    assert_eq!((reply.id, reply.payload.len()), (7, 20));
    in_step(&mut client)
}

#[test]
fn three_messages_in_one_piece_are_answered_in_order() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let piece: Vec<u8> = [11, 12, 13]
        .into_iter()
        .flat_map(|id| {
            raw_message(
                id,
                command::REGION_READ,
                32,
                0,
                &region_access(7, 0, 4, &[]),
            )
        })
        .collect();
    client.send_bytes(&piece)?;
    for id in [11, 12, 13] {
        assert_eq!(client.receive()?.success()?.id, id);
    }
    Ok(())
}

#[test]
fn anything_before_version_is_refused() -> Result<()> {
    let mut device = DeviceProcess::start(&[])?;
    let mut client = device.connect()?;
    let reply = client.call(command::DEVICE_RESET, &[]);
    assert!(
        !reply.is_ok_and(|reply| reply.failure().is_err()),
        "reset came before VERSION"
    );
    drop(client);
    still_serves(&mut device)
}

#[test]
fn a_header_that_is_smaller_than_itself_ends_the_connection() -> Result<()> {
    let mut device = DeviceProcess::start(&[])?;
    for size in [0, 1, 15] {
        let mut client = device.client()?;
        client.send_bytes(&raw_message(1, command::DEVICE_RESET, size, 0, &[]))?;
        let answer = client.receive();
        assert!(
            !answer.is_ok_and(|reply| reply.failure().is_err()),
            "size {size} was served"
        );
    }
    still_serves(&mut device)
}

#[test]
fn a_header_that_announces_four_gibibytes_costs_no_memory() -> Result<()> {
    let mut device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    client.send_bytes(&raw_message(1, command::REGION_WRITE, u32::MAX, 0, &[]))?;
    let answer = client.receive();
    assert!(
        !answer.is_ok_and(|reply| reply.failure().is_err()),
        "four gibibytes were served"
    );
    drop(client);
    still_serves(&mut device)
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_message() -> Result<()> {
    let mut device = DeviceProcess::start(&[])?;
    for length in [1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 5] {
        let mut client = device.client()?;
        let bytes = raw_message(
            1,
            command::REGION_WRITE,
            40,
            0,
            &region_access(7, 4, 8, &[0; 8]),
        );
        client.send_bytes(&bytes[..length])?;
        client.stream().shutdown(Shutdown::Both)?;
    }
    still_serves(&mut device)
}
