// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A signal ends the lab with its own code, and with everything that the lab has started and made.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::{PROGRAM_TIMEOUT, Turn};
use chmu_tests::lab_program::lab_program;
use chmu_tests::processes;

const LOOK_INTERVAL: Duration = Duration::from_millis(20);

#[test]
fn a_signal_ends_the_lab_with_its_code_and_leaves_nothing() -> Result<()> {
    let _turn = Turn::take(KernelChoice::Backports)?;
    let script = tempfile::NamedTempFile::new()?;
    fs::write(script.path(), "sleep 10000\n")?;
    for (signal, code) in [
        (libc::SIGINT, 130),
        (libc::SIGTERM, 143),
        (libc::SIGHUP, 129),
    ] {
        let mut with_script = Command::new(lab_program()?);
        with_script.args(["boot", "--run"]).arg(script.path());
        let mut on_terminal = Command::new(lab_program()?);
        on_terminal.arg("boot");
        for command in [with_script, on_terminal] {
            assert_eq!(ended_by(command, signal)?, Some(code), "signal {signal}");
        }
    }
    Ok(())
}

/// The lab's exit code after a signal while its guest runs. Nothing of the run may be left.
fn ended_by(mut command: Command, signal: i32) -> Result<Option<i32>> {
    let runtime = tempfile::tempdir()?;
    let mut lab = command
        .env("XDG_RUNTIME_DIR", runtime.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let started = wait_for_guest(&mut lab, runtime.path())?;
    processes::signal(lab.id(), signal)?;
    let status = lab.wait()?;
    for process_id in started {
        assert!(processes::is_gone(process_id)?, "{process_id} is left");
    }
    let left: Vec<_> = fs::read_dir(runtime.path())?.collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(status.code())
}

/// Waits for the device and QEMU, which name the run's folder.
fn wait_for_guest(lab: &mut Child, runtime: &Path) -> Result<Vec<u32>> {
    let runtime = runtime.display().to_string();
    let deadline = Instant::now() + PROGRAM_TIMEOUT;
    loop {
        let children = processes::children_of(lab.id())?.into_iter();
        let own: Vec<_> = children
            .filter(|(_, command)| command.contains(&runtime))
            .map(|(process_id, _)| process_id)
            .collect();
        if own.len() == 2 {
            return Ok(own);
        }
        ensure!(lab.try_wait()?.is_none(), "The lab ended before its guest");
        ensure!(Instant::now() < deadline, "The lab starts no guest");
        thread::sleep(LOOK_INTERVAL);
    }
}
