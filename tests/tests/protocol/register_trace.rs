// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `--trace-registers`: a client's accesses as people read them.

use std::fs;

use anyhow::{Context, Result};
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{command, region_access};

/// CHMU block 0, instance 0, first configuration register.
const CONFIGURATION_0: u64 = 0x10 + 0x40;

#[test]
fn accesses_are_written_down_in_words() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trace");
    let option = format!("--trace-registers={}", path.display());
    let device = DeviceProcess::start(&[&option, "--clock=accesses:1"])?;
    let mut client = device.client()?;
    client.write_region(4, CONFIGURATION_0, &0x10_0000_0103_u64.to_le_bytes())?;
    let beyond = region_access(4, 1 << 40, 8, &[]);
    client.call(command::REGION_READ, &beyond)?.failure()?;
    let trace = fs::read_to_string(path)?;
    let mut lines = trace.lines();
    let head = lines.next().context("The trace is empty")?;
    assert!(head.ends_with("register and meaning"), "{head}");
    let connected = lines.next().context(trace.clone())?;
    assert!(connected.contains("client     process "), "{connected}");
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "   0.000000  write      BAR4+0x0050         8  CHMU 0.0   CONFIGURATION_0 <- \
             non-tee-read-write, randomise down-sampling, hotness threshold 16  \
             (0x0 -> 0x1000000103)",
            "   0.000000  client     asks for region_read and is refused: \
             Region 4 has no 8 bytes at 0x10000000000",
        ]
    );
    Ok(())
}

#[test]
fn without_a_file_the_trace_is_on_stderr() -> Result<()> {
    let device = DeviceProcess::start(&["--trace-registers"])?;
    device.client()?.read_region(7, 0, 2)?;
    let log = device.log()?;
    assert!(log.contains("PCI        VENDOR_ID = 0x"), "{log}");
    Ok(())
}

#[test]
fn a_trace_file_that_cannot_be_is_refused() -> Result<()> {
    let device = DeviceProcess::start(&["--trace-registers=/nonexistent/trace"])?;
    let folder = device.folder().to_owned();
    let log = folder.join("device.log");
    let kept = fs::File::open(&log)?;
    assert_eq!(device.wait()?.code(), Some(1));
    let text = std::io::read_to_string(kept)?;
    let expected = "The trace file /nonexistent/trace cannot be opened";
    assert!(text.contains(expected), "{text}");
    Ok(())
}
