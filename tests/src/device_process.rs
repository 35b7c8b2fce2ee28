// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The real `vfio-user-chmu` process, on a socket that exists before it starts.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::raw_client::RawClient;

/// A running device; killed and reaped when dropped.
#[derive(Debug)]
pub struct DeviceProcess {
    child: Child,
    folder: TempDir,
    socket_path: PathBuf,
}

impl DeviceProcess {
    /// Starts the device with `arguments` on a listening socket that it inherits as its standard
    /// input, so a client can connect at once.
    ///
    /// # Errors
    /// When the binary is missing (`cargo lab test` builds it) or does not start.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket_path = folder.path().join("device.sock");
        let listener = UnixListener::bind(&socket_path)?;
        let log = std::fs::File::create(folder.path().join("device.log"))?;
        let child = Command::new(device_binary()?)
            .arg("--fd=0")
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("The device does not start")?;
        Ok(Self {
            child,
            folder,
            socket_path,
        })
    }

    /// Connects a client.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn connect(&self) -> Result<RawClient> {
        RawClient::new(UnixStream::connect(&self.socket_path)?)
    }

    /// Connects a client and negotiates.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn client(&self) -> Result<RawClient> {
        let mut client = self.connect()?;
        client.negotiate()?;
        Ok(client)
    }

    /// A folder of this device's own, for files that a test hands it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the device wrote to its standard error so far.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(
            self.folder.path().join("device.log"),
        )?)
    }

    /// Whether the process still runs.
    ///
    /// # Errors
    /// When its state cannot be asked.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Asks the device to end and waits for it.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        let process_id = libc::pid_t::try_from(self.child.id())?;
        // SAFETY: kill takes plain numbers; the child is ours and not yet reaped.
        let sent = unsafe { libc::kill(process_id, libc::SIGTERM) };
        ensure!(
            sent == 0,
            "SIGTERM was not sent: {}",
            std::io::Error::last_os_error()
        );
        Ok(self.child.wait()?)
    }
}

impl Drop for DeviceProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- device log\n{}", self.log().unwrap_or_default());
        }
    }
}

/// The device that `cargo lab test` built, or the one beside this test.
fn device_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHMU_DEVICE") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let profile = test
        .parent()
        .and_then(Path::parent)
        .context("The test is in no target folder")?;
    let binary = profile.join("vfio-user-chmu");
    ensure!(
        binary.exists(),
        "{} is missing; build it with `cargo build -p vfio-user-chmu`",
        binary.display()
    );
    Ok(binary)
}
