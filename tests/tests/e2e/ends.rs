// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! When something ends in the middle of a run, the lab says what and why, leaves nothing running
//! and keeps the logs.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chmu_lab::machine::{Cause, Failure};
use chmu_tests::guest::{Guest, PROGRAM_TIMEOUT, Setup};
use chmu_tests::processes;

/// Far more than any of these runs may take.
const SLEEP_SECONDS: &str = "10000";
/// What the guest prints when it is in the middle of something.
const MARKER: &str = "in the middle";
/// How long the lab may take to notice and clean up.
const END_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

#[test]
fn the_death_of_the_device_ends_the_run() -> Result<()> {
    let failure = kill_in_the_middle("vfio-user-chmu")?;
    let Cause::Ended { name, status, .. } = &failure.cause else {
        anyhow::bail!("Another cause: {}", failure.cause);
    };
    assert_eq!(name, "the device");
    assert!(status.to_string().contains("SIGKILL"), "{status}");
    let device_log = failure.folder.join("device-0.log");
    let shown = failure.to_string();
    assert!(shown.contains("the device ended"), "{shown}");
    check_logs(&failure, &[device_log])
}

#[test]
fn the_death_of_qemu_ends_the_run() -> Result<()> {
    let failure = kill_in_the_middle("qemu-system")?;
    let Cause::Ended { name, status, .. } = &failure.cause else {
        anyhow::bail!("Another cause: {}", failure.cause);
    };
    assert_eq!(name, "QEMU");
    assert!(status.to_string().contains("SIGKILL"), "{status}");
    check_logs(&failure, &[failure.folder.join("console.log")])
}

#[test]
fn a_panic_of_the_guest_ends_the_run() -> Result<()> {
    let mut guest = Guest::boot(&Setup::default())?;
    let processes = processes_of(&guest)?;
    let begin = Instant::now();
    let crash = ["sh", "-c", "echo c >/proc/sysrq-trigger"];
    let error = guest.run(&crash, PROGRAM_TIMEOUT).expect_err("it panics");
    let failure = ended(guest, error, processes, begin)?;
    let said = failure.crash.join("\n");
    assert!(said.contains("sysrq triggered crash"), "{failure}");
    let Cause::Ended { name, .. } = &failure.cause else {
        anyhow::bail!("Another cause: {}", failure.cause);
    };
    assert_eq!(name, "QEMU");
    check_logs(&failure, &[failure.folder.join("console.log")])
}

/// Kills the child whose command line has this word while the lab waits for the guest.
fn kill_in_the_middle(word: &'static str) -> Result<Failure> {
    let mut guest = Guest::boot(&Setup::default())?;
    let processes = processes_of(&guest)?;
    let victim = processes::child(word)?;
    let console = guest.console_log().to_owned();
    let killer = thread::spawn(move || {
        wait_for_marker(&console)?;
        processes::kill(victim)?;
        anyhow::Ok(Instant::now())
    });
    let script = format!("echo {MARKER} >/dev/console; sleep {SLEEP_SECONDS}");
    let error = guest
        .run(&["sh", "-c", &script], PROGRAM_TIMEOUT)
        .expect_err("a part of the machine was killed");
    let killed = killer.join().expect("the thread does not panic")?;
    ended(guest, error, processes, killed)
}

/// The device and QEMU: whose command lines name the run's folder.
fn processes_of(guest: &Guest) -> Result<Vec<u32>> {
    let folder = guest.folder().display().to_string();
    let children = processes::children()?.into_iter();
    let own: Vec<_> = children
        .filter(|(_, command)| command.contains(&folder))
        .map(|(process_id, _)| process_id)
        .collect();
    assert_eq!(own.len(), 2, "{own:?}");
    Ok(own)
}

fn wait_for_marker(console: &Path) -> Result<()> {
    let deadline = Instant::now() + PROGRAM_TIMEOUT;
    loop {
        let text = fs::read(console)?;
        if String::from_utf8_lossy(&text).contains(MARKER) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "The guest prints nothing");
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Lets the guest go after its failure: none of its processes may be left, nor what they started.
fn ended(
    guest: Guest,
    error: anyhow::Error,
    processes: Vec<u32>,
    since: Instant,
) -> Result<Failure> {
    drop(guest);
    assert!(since.elapsed() < END_TIMEOUT, "{:?}", since.elapsed());
    let left = processes::children()?;
    for process_id in processes {
        assert!(!left.contains_key(&process_id), "{left:?}");
        assert!(processes::group_is_gone(process_id)?, "{process_id}");
    }
    error
        .downcast::<Failure>()
        .context("The error is no failure of the machine")
}

/// The failure shows the logs' last lines and where everything is; the folder is still there.
fn check_logs(failure: &Failure, expected: &[PathBuf]) -> Result<()> {
    let shown = failure.to_string();
    println!("{shown}");
    assert!(shown.contains(&failure.folder.display().to_string()));
    for path in expected {
        let content = fs::read_to_string(path)?;
        assert!(!content.is_empty(), "{}", path.display());
        let log = failure.logs.iter().find(|log| log.path == *path);
        let log = log.with_context(|| format!("{} is not shown", path.display()))?;
        assert!(!log.lines.is_empty(), "{}", path.display());
        assert!(shown.contains(&log.lines[log.lines.len() - 1]), "{shown}");
    }
    fs::remove_dir_all(&failure.folder)?;
    Ok(())
}
