// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The mailbox behind BAR2, as a driver finds and uses it.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{REPLY_TIMEOUT, RawClient, command, event_file, words};

const BAR: u32 = 2;
const PRIMARY_MAILBOX: u16 = 2;
const IDENTIFY_MEMORY_DEVICE: u64 = 0x4000;
const GET_EVENT_RECORDS: u64 = 0x0100;
const SET_EVENT_INTERRUPT_POLICY: u64 = 0x0103;
const GET_HEALTH_INFO: u64 = 0x4200;
const GET_POISON_LIST: u64 = 0x4300;
const CLEAR_POISON: u64 = 0x4302;
const DOORBELL: u32 = 1;
/// Connects MSI-X vector 0 with an eventfd.
const CONNECT_VECTOR_0: [u32; 5] = [20, 0x24, 2, 0, 1];

fn read_u64(client: &mut RawClient, offset: u64) -> Result<u64> {
    let bytes = client.read_region(BAR, offset, 8)?;
    Ok(u64::from_le_bytes(
        bytes.try_into().expect("eight bytes were asked for"),
    ))
}

/// Offset of a capability's registers, through the array at the start of the BAR.
fn capability(client: &mut RawClient, wanted: u16) -> Result<u64> {
    let count = read_u64(client, 0)? >> 32 & 0xffff;
    for index in 1..=count {
        let header = client.read_region(BAR, 16 * index, 16)?;
        let id = u16::from_le_bytes([header[0], header[1]]);
        if id == wanted {
            let offset = header[4..8].try_into().expect("four bytes");
            return Ok(u32::from_le_bytes(offset).into());
        }
    }
    None.with_context(|| format!("Capability {wanted} is not among {count}"))
}

/// Runs a command; returns its return code and its output.
fn run(client: &mut RawClient, mailbox: u64, opcode: u64, input: &[u8]) -> Result<(u64, Vec<u8>)> {
    if !input.is_empty() {
        client.write_region(BAR, mailbox + 0x20, input)?;
    }
    let command = opcode | (input.len() as u64) << 16;
    client.write_region(BAR, mailbox + 8, &command.to_le_bytes())?;
    client.write_region(BAR, mailbox + 4, &DOORBELL.to_le_bytes())?;
    let control = client.read_region(BAR, mailbox + 4, 4)?;
    ensure!(control[0] & 1 == 0, "the doorbell is still set");
    let return_code = read_u64(client, mailbox + 0x10)? >> 32 & 0xffff;
    let length = read_u64(client, mailbox + 8)? >> 16 & 0x1f_ffff;
    let output = match u32::try_from(length)? {
        0 => Vec::new(),
        length => client.read_region(BAR, mailbox + 0x20, length)?,
    };
    Ok((return_code, output))
}

#[test]
fn identify_tells_the_capacity() -> Result<()> {
    let device = DeviceProcess::start(&["--memory=512M"])?;
    let mut client = device.client()?;
    let mailbox = capability(&mut client, PRIMARY_MAILBOX)?;
    let (return_code, output) = run(&mut client, mailbox, IDENTIFY_MEMORY_DEVICE, &[])?;
    assert_eq!(return_code, 0);
    assert_eq!(output.len(), 0x45);
    let total = u64::from_le_bytes(output[16..24].try_into()?);
    assert_eq!(total * (256 << 20), 512 << 20);
    assert_eq!(device.statistics()?["mailbox_commands"], 1);
    Ok(())
}

#[test]
fn a_command_that_does_not_exist_is_refused_and_the_mailbox_goes_on() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let mailbox = capability(&mut client, PRIMARY_MAILBOX)?;
    let unsupported = 3;
    assert_eq!(run(&mut client, mailbox, 0xfefe, &[])?.0, unsupported);
    assert_eq!(run(&mut client, mailbox, IDENTIFY_MEMORY_DEVICE, &[])?.0, 0);
    Ok(())
}

/// A device that is told what goes wrong, and the answers of its event socket.
struct Sufferer {
    device: DeviceProcess,
    source: UnixStream,
    answers: Lines<BufReader<UnixStream>>,
    _folder: tempfile::TempDir,
}

impl Sufferer {
    /// A device with a client: once the client is served, the event socket is there.
    fn start() -> Result<(Self, RawClient)> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("events");
        let argument = format!("--event-socket={}", socket.display());
        let device = DeviceProcess::start(&[&argument])?;
        let client = device.client()?;
        let source = UnixStream::connect(&socket)?;
        source.set_read_timeout(Some(REPLY_TIMEOUT))?;
        let sufferer = Self {
            device,
            answers: BufReader::new(source.try_clone()?).lines(),
            source,
            _folder: folder,
        };
        Ok((sufferer, client))
    }

    fn tell(&mut self, line: &str) -> Result<String> {
        self.source.write_all(format!("{line}\n").as_bytes())?;
        let answer = self.answers.next();
        Ok(answer.context("An answer is missing")??)
    }
}

#[test]
fn an_error_of_the_memory_reaches_interrupt_and_log() -> Result<()> {
    let (mut sufferer, mut client) = Sufferer::start()?;
    let mailbox = capability(&mut client, PRIMARY_MAILBOX)?;
    let mut event = event_file()?;
    client
        .call_with_files(
            command::DEVICE_SET_IRQS,
            &words(&CONNECT_VECTOR_0),
            &[&event],
        )?
        .success()?;
    // Messages for all four logs.
    let policy = run(&mut client, mailbox, SET_EVENT_INTERRUPT_POLICY, &[1; 4])?;
    assert_eq!(policy.0, 0);

    let error = "media-error fatal 0x12340 uncorrectable host-read";
    assert_eq!(sufferer.tell(error)?, "recorded");
    let refusal = sufferer.tell("nonsense")?;
    assert!(
        refusal.starts_with("error: write media-error "),
        "{refusal}"
    );

    let mut count = [0; 8];
    event.read_exact(&mut count)?;
    assert_eq!(u64::from_le_bytes(count), 1);
    let fatal = 3;
    let (return_code, output) = run(&mut client, mailbox, GET_EVENT_RECORDS, &[fatal])?;
    assert_eq!(return_code, 0);
    assert_eq!(output.len(), 0x20 + 0x80);
    let address = u64::from_le_bytes(output[0x50..0x58].try_into()?);
    assert_eq!(address, 0x12340 | 1, "volatile memory");
    assert_eq!((output[0x58], output[0x5a]), (1, 1));
    assert_eq!(sufferer.device.statistics()?["event_records"], 1);

    // The whole memory in lines of 64 bytes: one record, of internal source.
    let all = [0, (1 << 30) / 64].map(u64::to_le_bytes).concat();
    let (_, list) = run(&mut client, mailbox, GET_POISON_LIST, &all)?;
    let expected = [0x42, 0x23, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!((list[0x0a], &list[0x20..]), (1, &expected[..]));
    let mut line = [0; 0x48];
    line[..2].copy_from_slice(&[0x40, 0x23]);
    line[2] = 1;
    assert_eq!(run(&mut client, mailbox, CLEAR_POISON, &line)?.0, 0);
    let (_, list) = run(&mut client, mailbox, GET_POISON_LIST, &all)?;
    assert_eq!(list, [0; 0x20]);
    Ok(())
}

#[test]
fn a_warm_device_says_so() -> Result<()> {
    let (mut sufferer, mut client) = Sufferer::start()?;
    let mailbox = capability(&mut client, PRIMARY_MAILBOX)?;
    assert_eq!(sufferer.tell("temperature 91")?, "set");
    let (return_code, health) = run(&mut client, mailbox, GET_HEALTH_INFO, &[])?;
    // A warning of the temperature.
    assert_eq!((return_code, health[2], health[4]), (0, 0x04, 91));
    let warning = 1;
    let (_, output) = run(&mut client, mailbox, GET_EVENT_RECORDS, &[warning])?;
    assert_eq!(output.len(), 0x20 + 0x80);
    let temperature_change = 3;
    assert_eq!((output[0x50], output[0x55]), (temperature_change, 91));
    Ok(())
}
