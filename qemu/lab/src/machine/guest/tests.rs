// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine without a guest: the agent serves in a thread, and processes that do nothing stand for
//! device and QEMU.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use super::super::command_line::CommandLine;
use super::super::launch::{Attendance, Launch};
use super::super::{Failure, MachineOptions, Software};
use super::*;
use crate::topology::Topology;

const TIMEOUT: Duration = Duration::from_secs(60);
const READY: &[u8] = b"{\"ready\":{\"kernel\":\"7.3.4\"}}\n";

fn machine(device: &str, guest: impl FnOnce(UnixStream) + Send + 'static) -> Machine {
    let options = MachineOptions::default();
    let software = Software {
        qemu: vec!["qemu".into()],
        device: "device".into(),
        plugin: None,
        kernel: "vmlinuz".into(),
        initramfs: Vec::new(),
    };
    let mut run = Run::create(false).unwrap();
    let folder = run.folder().to_owned();
    let topology = Topology::default();
    let launch =
        Launch::prepare(&topology, &options, &software, Attendance::Agent, &folder).unwrap();
    run.show_logs(launch.logs());
    let shell =
        |script: &str| CommandLine::from_words(["sh", "-c", script].map(str::to_owned).into());
    run.start("the device", &shell(device), &launch.devices[0].log)
        .unwrap();
    run.start("QEMU", &shell("exec sleep 1000"), &launch.qemu_log)
        .unwrap();
    let listener = UnixListener::bind(&launch.agent).unwrap();
    let socket = launch.agent.clone();
    thread::spawn(move || guest(UnixStream::connect(socket).unwrap()));
    let mut agent = AgentLine::accept(&listener).unwrap();
    let deadline = Instant::now() + TIMEOUT;
    let kernel = wait_until_ready(&mut run, &mut agent, deadline, TIMEOUT).unwrap();
    Machine {
        run,
        agent,
        launch,
        ready_timeout: TIMEOUT,
        kernel,
        boot_time: Duration::ZERO,
    }
}

fn serve(stream: UnixStream) {
    let output = stream.try_clone().unwrap();
    chmu::agent::serve(stream, output).unwrap();
}

/// The failure's cause; its folder, which stays, is removed.
fn cause(error: anyhow::Error) -> Cause {
    let failure = error.downcast::<Failure>().unwrap();
    std::fs::remove_dir_all(&failure.folder).unwrap();
    failure.cause
}

#[test]
fn programs_run_in_the_guest() {
    let mut machine = machine("exec sleep 1000", serve);
    let folder = machine.folder().to_owned();
    let output = machine
        .run(&["sh", "-c", "echo out; echo err >&2; exit 3"], TIMEOUT)
        .unwrap();
    assert_eq!((output.exit_code, output.timed_out), (3, false));
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("out\n", "err\n")
    );
    let error = machine
        .run_checked(&["sh", "-c", "echo no >&2; false"], TIMEOUT)
        .unwrap_err();
    assert!(
        error.to_string().ends_with("ended with code 1: no"),
        "{error}"
    );
    let sleeper = machine.spawn(&["sleep", "1000"]).unwrap();
    machine.signal(sleeper, libc::SIGTERM).unwrap();
    assert_eq!(
        machine.wait(sleeper, TIMEOUT).unwrap().exit_code,
        128 + libc::SIGTERM
    );
    assert_eq!(machine.read("/proc/self/comm").unwrap().lines().count(), 1);
    drop(machine);
    assert!(!folder.exists());
}

#[test]
fn a_request_that_the_agent_refuses_does_not_end_the_machine() {
    let mut machine = machine("exec sleep 1000", serve);
    let error = machine.read("/nowhere").unwrap_err();
    assert!(error.to_string().contains("/nowhere"), "{error}");
    assert_eq!(
        machine.run_checked(&["echo", "on"], TIMEOUT).unwrap(),
        "on\n"
    );
}

#[test]
fn a_program_that_takes_too_long_is_reported() {
    let mut machine = machine("exec sleep 1000", serve);
    let time = Duration::from_millis(100);
    assert!(machine.run(&["sleep", "1000"], time).unwrap().timed_out);
    let error = machine.run_checked(&["sleep", "1000"], time).unwrap_err();
    assert!(error.to_string().contains("was killed"), "{error}");
}

#[test]
fn a_device_that_dies_ends_the_wait_with_its_last_words() {
    // The guest answers nothing; the device ends when the request has arrived.
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    make_fifo(&fifo);
    let script = format!("echo broken >&2; read line <{}; exit 7", fifo.display());
    let mut machine = machine(&script, move |mut stream| {
        stream.write_all(READY).unwrap();
        let mut request = [0; 1];
        std::io::Read::read_exact(&mut stream, &mut request).unwrap();
        std::fs::write(&fifo, "go\n").unwrap();
        let _ = std::io::read_to_string(stream);
    });
    let error = machine.run(&["true"], TIMEOUT).unwrap_err();
    assert!(format!("{error}").contains("    broken\n"), "{error}");
    let Cause::Ended {
        name,
        status,
        activity,
    } = cause(error)
    else {
        panic!("another cause");
    };
    assert_eq!((name.as_str(), status.code()), ("the device", Some(7)));
    assert_eq!(activity, "ran `true` in the guest");
}

#[test]
fn a_guest_that_restarts_by_itself_is_noticed() {
    let mut machine = machine("exec sleep 1000", |mut stream| {
        stream.write_all(READY).unwrap();
        let mut request = [0; 1];
        std::io::Read::read_exact(&mut stream, &mut request).unwrap();
        stream.write_all(READY).unwrap();
        let _ = std::io::read_to_string(stream);
    });
    let error = machine.run(&["true"], TIMEOUT).unwrap_err();
    let activity = "ran `true` in the guest".to_owned();
    assert_eq!(cause(error), Cause::Restarted { activity });
}

#[test]
fn a_lost_line_is_noticed() {
    let mut machine = machine("exec sleep 1000", |mut stream| {
        stream.write_all(READY).unwrap();
        let mut request = [0; 1];
        std::io::Read::read_exact(&mut stream, &mut request).unwrap();
    });
    let error = machine.run(&["true"], TIMEOUT).unwrap_err();
    assert!(matches!(cause(error), Cause::Connection { .. }));
}

fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}
