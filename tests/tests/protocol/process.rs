// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The process: its sockets, its end, and what it says when it cannot start.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chmu_tests::device_process::{
    DeviceProcess, device_program, is_readable, send_signal, wait_for_exit,
};
use chmu_tests::raw_client::RawClient;
use tempfile::TempDir;

/// How long the device may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A device that makes its own sockets and listens; killed when dropped.
struct Started {
    child: Child,
    socket: PathBuf,
    _log: BufReader<ChildStderr>,
}

impl Started {
    /// Starts the device and waits for the line by which it says that it is there.
    fn new(arguments: &[&str], socket: &Path) -> Result<Self> {
        Self::with(Command::new(device_program()?), arguments, socket)
    }

    fn with(mut command: Command, arguments: &[&str], socket: &Path) -> Result<Self> {
        let mut child = command
            .args(arguments)
            .arg("-v")
            .arg("--socket-path")
            .arg(socket)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = child.stderr.take().context("The device has no log")?;
        let mut log = BufReader::new(log);
        let mut line = String::new();
        while !line.contains("vfio-user-chmu ") {
            let readable = !log.buffer().is_empty() || is_readable(log.get_ref(), START_TIMEOUT)?;
            ensure!(readable, "the device does not start");
            line.clear();
            ensure!(log.read_line(&mut line)? > 0, "the device ended");
        }
        Ok(Self {
            child,
            socket: socket.to_owned(),
            _log: log,
        })
    }

    fn client(&self) -> Result<RawClient> {
        let mut client = RawClient::new(UnixStream::connect(&self.socket)?)?;
        client.negotiate()?;
        Ok(client)
    }

    fn terminate(&mut self) -> Result<Option<i32>> {
        send_signal(&self.child, libc::SIGTERM)?;
        Ok(wait_for_exit(&mut self.child)?.code())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(arguments: &[&str]) -> Result<Output> {
    let program = Command::new(device_program()?).args(arguments).output();
    program.context("The device does not start")
}

fn standard_error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the device says to a configuration file, with the file's folder left out.
fn refusal_of(config: &str) -> Result<String> {
    let folder = TempDir::new()?;
    let path = folder.path().join("device.toml");
    fs::write(&path, config)?;
    let path = path.to_str().context("The folder has an odd name")?;
    let output = run(&["--config", path, "--socket-path", "/nonexistent/s"])?;
    assert_eq!(output.status.code(), Some(1));
    Ok(standard_error(&output).replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn all_sockets_go_with_the_process() -> Result<()> {
    let folder = TempDir::new()?;
    let path = |name: &str| folder.path().join(name);
    let access = format!("--access-socket={}", path("access").display());
    let statistics = format!("--statistics-socket={}", path("statistics").display());
    let mut device = Started::new(&[&access, &statistics], &path("clients"))?;
    let _client = device.client()?;
    assert_eq!(fs::read_dir(folder.path())?.count(), 3);
    assert_eq!(device.terminate()?, Some(143));
    assert_eq!(fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}

#[test]
fn a_socket_that_a_killed_device_left_is_replaced() -> Result<()> {
    let folder = TempDir::new()?;
    let socket = folder.path().join("s");
    let first = Started::new(&[], &socket)?;
    first.client()?;
    drop(first);
    assert!(socket.exists(), "a killed process cannot remove its socket");
    Started::new(&[], &socket)?.client()?;
    Ok(())
}

#[test]
fn a_socket_in_use_is_left_alone() -> Result<()> {
    let folder = TempDir::new()?;
    let socket = folder.path().join("s");
    let first = Started::new(&[], &socket)?;
    let mut client = first.client()?;
    let name = socket.to_str().context("The folder has an odd name")?;
    let output = run(&["--socket-path", name])?;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        standard_error(&output),
        format!("0: Another process listens on {name}; stop it or choose another path\n")
    );
    client.read_region(7, 0, 4)?;
    Ok(())
}

#[test]
fn once_means_until_the_first_client_leaves() -> Result<()> {
    let device = DeviceProcess::start(&["--once"])?;
    drop(device.client()?);
    assert_eq!(device.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn the_exit_status_tells_the_signal() -> Result<()> {
    for (signal, status) in [
        (libc::SIGTERM, 143),
        (libc::SIGINT, 130),
        (libc::SIGHUP, 129),
    ] {
        let device = DeviceProcess::start(&[])?;
        let _client = device.client()?;
        assert_eq!(device.end_by(signal)?.code(), Some(status));
    }
    Ok(())
}

#[test]
fn a_device_in_the_background_of_a_script_does_not_end_by_its_ctrl_c() -> Result<()> {
    let folder = TempDir::new()?;
    let socket = folder.path().join("s");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' INT; exec \"$0\" \"$@\""]);
    shell.arg(device_program()?);
    let mut device = Started::with(shell, &[], &socket)?;
    send_signal(&device.child, libc::SIGINT)?;
    device.client()?;
    assert_eq!(device.terminate()?, Some(143));
    Ok(())
}

#[test]
fn a_device_that_shall_outlive_its_terminal_does() -> Result<()> {
    let folder = TempDir::new()?;
    let socket = folder.path().join("s");
    let mut nohup = Command::new("nohup");
    nohup.arg(device_program()?);
    let mut device = Started::with(nohup, &[], &socket)?;
    send_signal(&device.child, libc::SIGHUP)?;
    device.client()?;
    assert_eq!(device.terminate()?, Some(143));
    Ok(())
}

#[test]
fn a_connected_descriptor_is_served_until_it_closes() -> Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(device_program()?)
        .arg("--fd=0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut client = RawClient::new(ours)?;
    client.negotiate()?;
    client.read_region(7, 0, 4)?;
    drop(client);
    assert_eq!(wait_for_exit(&mut child)?.code(), Some(0));
    Ok(())
}

#[test]
fn a_log_file_gets_the_start_and_the_end() -> Result<()> {
    let folder = TempDir::new()?;
    let log = folder.path().join("log");
    let log_file = format!("--log-file={}", log.display());
    let device = DeviceProcess::start(&["-v", &log_file, "--memory=256M"])?;
    device.client()?;
    assert_eq!(device.terminate()?.code(), Some(143));
    let log = fs::read_to_string(log)?;
    let start = format!(
        "vfio-user-chmu {}: serial number 0xc4a00001, 256M of memory, 1 decoders",
        env!("CARGO_PKG_VERSION")
    );
    assert!(log.contains(&start), "{log}");
    assert!(log.contains("The device ends by signal 15"), "{log}");
    Ok(())
}

#[test]
fn a_hotlist_that_public_drivers_cannot_reach_is_a_warning() -> Result<()> {
    let folder = TempDir::new()?;
    let warnings = |profile: &str| -> Result<String> {
        let log = folder.path().join(profile);
        let log_file = format!("--log-file={}", log.display());
        let device = DeviceProcess::start(&[&log_file, &format!("--profile={profile}")])?;
        device.client()?;
        assert_eq!(device.terminate()?.code(), Some(143));
        Ok(fs::read_to_string(log)?)
    };
    let far = warnings("huge-list")?;
    let sentence =
        "CHMU 0: the hotlist of instance 0 has 65535 entries and lies behind all instances";
    assert!(far.contains(sentence), "{far}");
    assert!(far.contains("public Linux drivers"), "{far}");
    assert_eq!(warnings("default")?, "");
    Ok(())
}

#[test]
fn wrong_usage_ends_with_2() -> Result<()> {
    for arguments in [
        &[][..],
        &["--socket-path=/s", "--fd=3"],
        &["--fd=3", "--memory=lots"],
        &["--fd=3", "--clock=sundial"],
        &["--fd=3", "--quirk=unheard-of"],
        &["--print-config", "--list-quirks"],
        &["--list-profiles", "--list-quirks"],
        &["--fd=3", "--access-rings=8"],
    ] {
        let output = run(arguments)?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    Ok(())
}

#[test]
fn the_nearest_quirk_is_named() -> Result<()> {
    let output = run(&["--fd=3", "--quirk=count-warps"])?;
    let error = standard_error(&output);
    assert!(error.contains("did you mean count-wraps?"), "{error}");
    let error = standard_error(&run(&["--fd=3", "--quirk=xyz"])?);
    assert!(!error.contains("did you mean"), "{error}");
    assert!(error.contains("--list-quirks"), "{error}");
    Ok(())
}

#[test]
fn too_few_descriptors_for_anything_are_said_all_the_same() -> Result<()> {
    let limited = |descriptors: u32, stderr: Stdio| -> Result<Output> {
        let script = format!("ulimit -n {descriptors}; exec \"$0\" --socket-path /nonexistent/s");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg(device_program()?);
        let child = shell.stdout(Stdio::null()).stderr(stderr).spawn()?;
        Ok(child.wait_with_output()?)
    };
    for descriptors in [4, 5, 64] {
        let output = limited(descriptors, Stdio::piped())?;
        assert_eq!(output.status.code(), Some(1));
        let error = standard_error(&output);
        let named = format!("this process may have {descriptors} (RLIMIT_NOFILE)");
        assert!(
            error.starts_with("0: ") && error.contains(&named),
            "{error}"
        );
        assert!(!error.contains(" 0 vectors"), "{error}");
    }
    // With nobody to tell, it still ends.
    let folder = TempDir::new()?;
    let file = fs::File::create(folder.path().join("log"))?;
    assert_eq!(limited(4, file.into())?.status.code(), Some(1));
    let log = fs::read_to_string(folder.path().join("log"))?;
    assert!(log.starts_with("0: "), "{log}");
    let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
    assert_eq!(limited(4, full.into())?.status.code(), Some(1));
    Ok(())
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() -> Result<()> {
    assert_eq!(
        refusal_of("memory = \"1G\"\n\n[[decoder]]\nbse = 4\n")?,
        "0: device.toml:4:1: unknown field `bse`, expected one of `base`, `size`, `ways`, \
         `granularity`, `position`, `dpa_skip`, `tee`\n"
    );
    assert_eq!(
        refusal_of("memory = \"1Q\"\n")?,
        "0: device.toml:1:10: \"1Q\" is no size; write bytes, or a number with K, M, G or T, \
         such as 256M\n"
    );
    let refusal = refusal_of("[[block]]\n[[block.instance]]\nunit_sizes = []\n")?;
    assert!(refusal.starts_with("0: device.toml:3:14: "), "{refusal}");
    let refusal = refusal_of("memory = \n")?;
    assert!(refusal.starts_with("0: device.toml:1:10: "), "{refusal}");
    Ok(())
}

#[test]
fn the_printed_configuration_is_one() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("device.toml");
    let first = run(&["--print-config", "--memory=512M", "--base=8G"])?;
    assert_eq!(first.status.code(), Some(0));
    fs::write(&file, &first.stdout)?;
    let name = file.to_str().context("The folder has an odd name")?;
    let second = run(&["--print-config", "--config", name])?;
    assert_eq!(second.status.code(), Some(0), "{}", standard_error(&second));
    assert_eq!(second.stdout, first.stdout);
    assert!(String::from_utf8(first.stdout)?.contains("base = \"0x200000000\""));
    Ok(())
}

#[test]
fn quirks_are_listed_and_taken() -> Result<()> {
    let output = run(&["--list-quirks"])?;
    let list = String::from_utf8(output.stdout)?;
    let name = list.split(' ').next().context("The list is empty")?;
    let device = DeviceProcess::start(&["--quirk", name])?;
    device.client()?;
    Ok(())
}
