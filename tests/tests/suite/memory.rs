// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What `chmu conformance run` takes of the machine's memory, and what it does where there is no more.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use chmu_tests::device_process::{DeviceProcess, wait_for_exit};

use crate::cut_short::{chmu, fill_levels};

/// What a run may take: address space, so all that it allocates or maps.
const LIMIT_BYTES: u64 = 512 << 20;

/// Sets how much address space a process may have from now on; 0 is the calling one.
fn limit(process: u32, bytes: u64) -> std::io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    let process = libc::pid_t::try_from(process).map_err(std::io::Error::other)?;
    // SAFETY: prlimit reads the new limit and writes nothing where the old one is not asked for.
    let outcome = unsafe { libc::prlimit(process, libc::RLIMIT_AS, &limit, std::ptr::null_mut()) };
    match outcome {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// A run on a device whose clock is moved by hand.
fn run(device: &DeviceProcess, cases: &[&str]) -> Result<Command> {
    let mut command = Command::new(chmu()?);
    command
        .args(["conformance", "run", "--transport", "socket", "--socket"])
        .arg(device.device_socket())
        .arg("--access-socket")
        .arg(device.access_socket())
        .arg("--clock-socket")
        .arg(device.clock_socket())
        .args(cases)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

fn device(profile: &str) -> Result<DeviceProcess> {
    let device = DeviceProcess::start_with_manual_clock(&["--profile", profile])?;
    // Once a client is answered, all sockets are there.
    drop(device.client()?);
    Ok(device)
}

#[test]
fn a_whole_run_on_the_longest_list_takes_less_than_512_mib() -> Result<()> {
    let device = device("huge-list")?;
    let mut command = run(&device, &[])?;
    // SAFETY: between fork and exec the closure calls prlimit alone, and allocates nothing.
    unsafe { command.pre_exec(|| limit(0, LIMIT_BYTES)) };
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(0),
        "{}: {text}{words}",
        output.status
    );
    ensure!(text.contains("# Totals: pass:"), "{text}");
    Ok(())
}

#[test]
fn a_run_that_has_too_little_from_the_start_says_what_is_missing() -> Result<()> {
    let run = |bytes: u64| {
        let mut command = Command::new(chmu()?);
        command.args(["conformance", "run", "--transport", "in-process"]);
        command.args(["--profile", "minimal", "discovery/locator-present"]);
        // SAFETY: as above.
        unsafe { command.pre_exec(move || limit(0, bytes)) };
        anyhow::Ok(command.output()?)
    };
    let mut refused = 0;
    // From where a loader has no room to where a run has enough.
    for mib in (4..160).step_by(2) {
        let output = run(mib << 20)?;
        let words = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => continue,
            // The program did not begin.
            None | Some(127) => {}
            Some(code) => {
                ensure!([4, 5].contains(&code), "{mib} MiB, {code}: {words}");
                ensure!(words.contains("kernel refuses"), "{mib} MiB: {words}");
                refused += 1;
            }
        }
    }
    ensure!(refused > 0, "No run was short of memory");
    Ok(())
}

/// The kernel's word for what a process has mapped, in bytes.
fn mapped_bytes(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("There is no VmSize")?.parse::<u64>()? << 10)
}

#[test]
fn a_run_without_memory_puts_the_device_back_and_says_so() -> Result<()> {
    let device = device("huge-list")?;
    assert_eq!(fill_levels(&device, Some(5))?, [5]);
    let mut child = run(&device, &[])?.spawn()?;
    let mut output = BufReader::new(child.stdout.take().context("There is no output")?);
    let mut text = String::new();
    // Before any case that fills the list.
    while !text.contains("\nok 60 ") {
        ensure!(output.read_line(&mut text)? > 0, "It ended: {text}");
    }
    limit(child.id(), mapped_bytes(child.id())?)?;
    output.read_to_string(&mut text)?;
    let mut words = String::new();
    let errors = child.stderr.take();
    errors
        .context("There are no errors")?
        .read_to_string(&mut words)?;
    let code = wait_for_exit(&mut child)?.code();
    ensure!(code == Some(5), "{code:?}: {text}{words}");
    ensure!(
        text.contains("\nBail out! The run was ended in case "),
        "{text}"
    );
    ensure!(
        words.contains("the kernel refuses this process memory"),
        "{words}"
    );
    ensure!(!text.contains("# Totals:"), "{text}");
    assert_eq!(fill_levels(&device, None)?, [5], "{text}");
    Ok(())
}
