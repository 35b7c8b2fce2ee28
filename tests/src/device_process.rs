// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The real `vfio-user-chmu` process, on a socket that exists before it starts.

use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::raw_client::{REPLY_TIMEOUT, RawClient};

/// How long the device may take to end once it is asked to.
pub const EXIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The name of a manual clock's socket in the device's folder.
const CLOCK_SOCKET: &str = "clock.sock";

/// A running device; killed and reaped when dropped.
#[derive(Debug)]
pub struct DeviceProcess {
    child: Child,
    folder: TempDir,
    socket_path: PathBuf,
}

impl DeviceProcess {
    /// Starts the device with `arguments` on a listening socket that it inherits as its standard
    /// input, so a client can connect at once. Its access and statistics sockets exist from the
    /// first reply on that a client gets.
    ///
    /// # Errors
    /// When the binary is missing (`cargo lab test` builds it) or does not start.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, arguments)
    }

    /// Starts the device as [`DeviceProcess::start`] does, with a clock that only moves by its
    /// socket.
    ///
    /// # Errors
    /// As for [`DeviceProcess::start`].
    pub fn start_with_manual_clock(arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let clock = folder.path().join(CLOCK_SOCKET);
        let clock = clock.to_str().context("The folder's name is no text")?;
        let words = ["--clock", "manual", "--clock-socket", clock];
        Self::start_in(folder, &[&words, arguments].concat())
    }

    fn start_in(folder: TempDir, arguments: &[&str]) -> Result<Self> {
        let socket_path = folder.path().join("device.sock");
        let listener = UnixListener::bind(&socket_path)?;
        let log = std::fs::File::create(folder.path().join("device.log"))?;
        let child = Command::new(device_program()?)
            .arg("--fd=0")
            .arg("--access-socket")
            .arg(folder.path().join("access.sock"))
            .arg("--statistics-socket")
            .arg(folder.path().join("statistics.sock"))
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

    /// The socket that producers of accesses attach to.
    pub fn access_socket(&self) -> PathBuf {
        self.folder.path().join("access.sock")
    }

    /// The socket that vfio-user clients connect to.
    pub fn device_socket(&self) -> &Path {
        &self.socket_path
    }

    /// The socket that moves a manual clock.
    pub fn clock_socket(&self) -> PathBuf {
        self.folder.path().join(CLOCK_SOCKET)
    }

    /// What the device has counted so far.
    ///
    /// # Errors
    /// When the device does not answer, or not with JSON.
    pub fn statistics(&self) -> Result<serde_json::Value> {
        let mut socket = UnixStream::connect(self.folder.path().join("statistics.sock"))?;
        socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        serde_json::from_str(&text).with_context(|| format!("The statistics are no JSON: {text}"))
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

    /// How many descriptors the device has open.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn open_descriptors(&self) -> Result<usize> {
        let folder = format!("/proc/{}/fd", self.child.id());
        Ok(std::fs::read_dir(folder)?.count())
    }

    /// Lets the device have so many descriptors open; returns how many it might before.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn limit_descriptors(&self, count: u64) -> Result<u64> {
        self.limit(libc::RLIMIT_NOFILE, count)
    }

    /// Lets the device have so many bytes of address space; returns how many it might before.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn limit_memory(&self, bytes: u64) -> Result<u64> {
        self.limit(libc::RLIMIT_AS, bytes)
    }

    fn limit(&self, resource: libc::__rlimit_resource_t, value: u64) -> Result<u64> {
        let process_id = libc::pid_t::try_from(self.child.id())?;
        let mut old = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: `old` is ours and lives through the call.
        let asked = unsafe { libc::prlimit(process_id, resource, std::ptr::null(), &raw mut old) };
        ensure!(asked == 0, std::io::Error::last_os_error());
        let new = libc::rlimit {
            rlim_cur: value,
            ..old
        };
        // SAFETY: `new` is ours and lives through the call.
        let set =
            unsafe { libc::prlimit(process_id, resource, &raw const new, std::ptr::null_mut()) };
        ensure!(set == 0, std::io::Error::last_os_error());
        Ok(old.rlim_cur)
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
    pub fn terminate(self) -> Result<ExitStatus> {
        self.end_by(libc::SIGTERM)
    }

    /// Sends the device a signal and waits for its end.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn end_by(self, signal: libc::c_int) -> Result<ExitStatus> {
        send_signal(&self.child, signal)?;
        self.wait()
    }

    /// Waits for the device to end by itself.
    ///
    /// # Errors
    /// When it does not end within [`EXIT_TIMEOUT`].
    pub fn wait(mut self) -> Result<ExitStatus> {
        wait_for_exit(&mut self.child)
    }
}

/// Sends a process that was not waited for a signal.
///
/// # Errors
/// When the kernel refuses.
pub fn send_signal(child: &Child, signal: libc::c_int) -> Result<()> {
    let process_id = libc::pid_t::try_from(child.id())?;
    // SAFETY: kill takes plain numbers; the child is ours and not yet reaped.
    let sent = unsafe { libc::kill(process_id, signal) };
    ensure!(
        sent == 0,
        "Signal {signal} was not sent: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}

/// Waits for a process to end.
///
/// # Errors
/// When it does not end within [`EXIT_TIMEOUT`].
pub fn wait_for_exit(child: &mut Child) -> Result<ExitStatus> {
    // SAFETY: pidfd_open takes plain numbers; the child is ours and not yet reaped.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    let number = libc::c_int::try_from(number)?;
    ensure!(
        number >= 0,
        "The process has no descriptor: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: the kernel just returned this descriptor and nobody else knows it.
    let process = unsafe { OwnedFd::from_raw_fd(number) };
    ensure!(
        is_readable(&process, EXIT_TIMEOUT)?,
        "The process does not end within {EXIT_TIMEOUT:?}"
    );
    Ok(child.wait()?)
}

/// Waits until a descriptor is readable, and says whether it is.
///
/// # Errors
/// When the descriptor cannot be polled.
pub fn is_readable(descriptor: &impl AsRawFd, timeout: Duration) -> Result<bool> {
    let mut request = libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let milliseconds = libc::c_int::try_from(timeout.as_millis())?;
    // SAFETY: `request` is one pollfd and lives through the call.
    let ready = unsafe { libc::poll(&raw mut request, 1, milliseconds) };
    ensure!(ready >= 0, std::io::Error::last_os_error());
    Ok(ready == 1)
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
///
/// # Errors
/// When there is none.
pub fn device_program() -> Result<PathBuf> {
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
