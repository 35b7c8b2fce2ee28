// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu conformance run` over a socket that a signal ends, and on a device that is killed.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use chmu_conformance::bench::BlockPlace;
use chmu_conformance::paths::socket::{SocketSubject, Sockets};
use chmu_conformance::subject::Subject;
use chmu_driver::device::block_places;
use chmu_driver::transport::{BarOffset, Width};
use chmu_tests::device_process::{DeviceProcess, device_program, send_signal, wait_for_exit};

/// Offset of the fill-level threshold in an instance.
const CONFIGURATION_2: u64 = 0x50;
/// The case after which something happens: many before it have configured the device.
const MIDDLE: &str = "ok 60 ";

/// The program that was built beside the device's.
pub(crate) fn chmu() -> Result<PathBuf> {
    let program = device_program()?.with_file_name("chmu");
    ensure!(
        program.exists(),
        "{} is missing; build it with `cargo build -p chmu`",
        program.display()
    );
    Ok(program)
}

/// A run on a device whose clock runs by itself.
struct Run {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    text: String,
}

impl Run {
    fn start(device: &DeviceProcess, cases: &[&str]) -> Result<Self> {
        let mut child = Command::new(chmu()?)
            .args(["conformance", "run", "--transport", "socket", "--socket"])
            .arg(device.device_socket())
            .arg("--access-socket")
            .arg(device.access_socket())
            .args(cases)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().context("There is no output")?;
        Ok(Self {
            child,
            output: BufReader::new(output),
            text: String::new(),
        })
    }

    /// Reads on until a line begins so.
    fn read_until(&mut self, begin: &str) -> Result<()> {
        loop {
            let start = self.text.len();
            let bytes = self.output.read_line(&mut self.text)?;
            ensure!(bytes > 0, "No line begins with {begin:?}:\n{}", self.text);
            if self.text[start..].starts_with(begin) {
                return Ok(());
            }
        }
    }

    /// Waits for the end; the exit code and all that was written.
    fn end(mut self) -> Result<(Option<i32>, String)> {
        self.output.read_to_string(&mut self.text)?;
        Ok((wait_for_exit(&mut self.child)?.code(), self.text))
    }
}

/// The fill-level thresholds of all instances, after `write` was written to them, each one more than the one before.
pub(crate) fn fill_levels(device: &DeviceProcess, write: Option<u64>) -> Result<Vec<u64>> {
    let subject = SocketSubject::connect(&Sockets {
        device: device.device_socket().to_owned(),
        access: None,
        clock: None,
        position: None,
        tee_windows: Vec::new(),
        read_only: false,
    })?;
    let transport = subject.transport();
    let mut places: Vec<BarOffset> = Vec::new();
    for (block, start) in block_places(transport)?.into_iter().enumerate() {
        let block = BlockPlace::read(transport, block, start)?;
        places.extend(block.instances().map(|one| one.start.plus(CONFIGURATION_2)));
    }
    for (number, place) in (0..).zip(&places) {
        if let Some(first) = write {
            transport.write(*place, Width::Eight, first + number)?;
        }
    }
    let read = places
        .iter()
        .map(|place| transport.read(*place, Width::Eight));
    Ok(read.collect::<Result<_, _>>()?)
}

fn device() -> Result<DeviceProcess> {
    let device = DeviceProcess::start(&["--profile", "full"])?;
    // Once a client is answered, all sockets are there.
    drop(device.client()?);
    Ok(device)
}

#[test]
fn a_signal_ends_the_run_and_every_instance_is_put_back() -> Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        let device = device()?;
        let before = fill_levels(&device, Some(5))?;
        assert_eq!(before, [5, 6, 7, 8, 9]);
        let mut run = Run::start(&device, &[])?;
        run.read_until(MIDDLE)?;
        send_signal(&run.child, signal)?;
        let (code, text) = run.end()?;
        assert_eq!(code, Some(130), "{text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("Bail out! The run was ended in case "),
            "{last}"
        );
        assert!(!text.contains("could not be restored"), "{text}");
        assert!(!text.contains("# Totals"), "{text}");
        assert_eq!(fill_levels(&device, None)?, before);
    }
    Ok(())
}

#[test]
fn a_device_that_is_killed_is_said_to_be_gone_and_nothing_to_be_wrong() -> Result<()> {
    let killed = device()?;
    let mut run = Run::start(&killed, &[])?;
    run.read_until(MIDDLE)?;
    killed.end_by(libc::SIGKILL)?;
    let (code, text) = run.end()?;
    // Nothing failed, and not all was judged.
    assert_eq!(code, Some(5), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("Bail out! The device is gone since case "),
        "{last}"
    );
    assert_eq!(
        text.matches("none of its instances could be put back")
            .count(),
        1,
        "{text}"
    );
    assert!(!text.contains("# Totals"), "{text}");
    let failed = |line: &&str| line.starts_with("not ok ") && !line.contains("# ERROR");
    assert_eq!(text.lines().filter(failed).count(), 0, "{text}");

    // Whoever starts it again finds a device that is judged, and left as it was.
    let restarted = device()?;
    let before = fill_levels(&restarted, Some(3))?;
    let (code, text) = Run::start(&restarted, &["configuration", "operation"])?.end()?;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(fill_levels(&restarted, None)?, before);
    Ok(())
}
