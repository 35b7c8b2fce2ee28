// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `VERSION`: the first message.

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{QEMU_CAPABILITIES, command, version_payload};

#[test]
fn qemu_capabilities_are_answered_within_the_size_of_the_request() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let reply = device.connect()?.negotiate()?;

    // QEMU receives into a buffer of the request's size.
    assert!(reply.payload.len() <= 4 + QEMU_CAPABILITIES.len());
    assert_eq!(&reply.payload[..4], &[0, 0, 0, 0]);
    assert_eq!(reply.payload.last(), Some(&0));
    let text = std::str::from_utf8(&reply.payload[4..reply.payload.len() - 1])?;
    let answer: serde_json::Value = serde_json::from_str(text)?;
    assert_eq!(answer["capabilities"]["max_data_xfer_size"], 1_048_576);
    assert_eq!(answer["capabilities"]["pgsizes"], 4096);
    Ok(())
}

#[test]
fn version_data_is_optional() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    for data in [&b""[..], b"{}\0", b"{\"capabilities\": {}}\0"] {
        let reply = device
            .connect()?
            .call(command::VERSION, &version_payload(0, 0, data))?;
        reply.success()?;
    }
    Ok(())
}

#[test]
fn another_major_version_is_refused() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let reply = device
        .connect()?
        .call(command::VERSION, &version_payload(1, 0, QEMU_CAPABILITIES))?;
    assert_eq!(reply.failure()?, libc::EINVAL.unsigned_abs());
    Ok(())
}

#[test]
fn a_later_minor_version_gets_ours() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let reply = device
        .connect()?
        .call(command::VERSION, &version_payload(0, 9, QEMU_CAPABILITIES))?;
    assert_eq!(&reply.success()?.payload[..4], &[0, 0, 0, 0]);
    Ok(())
}

#[test]
fn a_second_version_is_refused_and_the_first_stays() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    client
        .call(command::VERSION, &version_payload(0, 0, b""))?
        .failure()?;
    client.read_region(7, 0, 4)?;
    Ok(())
}
