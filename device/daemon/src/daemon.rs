// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The process: puts the device, its sockets and its event loop together.

use std::cell::RefCell;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use chmu_cxl::FunctionConfig;
use chmu_model::Capabilities;
use event_manager::{EventManager, EventSubscriber, SubscriberOps};

use crate::access_socket::AccessSocket;
use crate::arguments::{Arguments, STANDARD_ERROR};
use crate::clock::{Clock, ClockSource};
use crate::clock_socket;
use crate::config::Config;
use crate::device::{Device, Wakeup};
use crate::event_socket;
use crate::inherited_socket::InheritedSocket;
use crate::line_socket::LineSocket;
use crate::logging::Sink;
use crate::oracle;
use crate::register_trace::RegisterTrace;
use crate::server::Server;
use crate::signals::Signals;
use crate::socket_file::SocketFile;
use crate::statistics_socket::StatisticsSocket;

/// Why the device has ended, other than by a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The last client that was to be served is gone.
    Served,
    /// The signal of this number came.
    Signal(u8),
}

impl Ending {
    /// The exit status that says so: 0, or 128 and the number of the signal, as a shell has it.
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Served => 0,
            Self::Signal(number) => number.saturating_add(128),
        }
    }
}

/// Serves the device until a signal, or the client's end with `--once`, ends it.
///
/// # Errors
/// When a socket cannot be used, the configuration describes no device, or the kernel refuses
/// what the event loop needs.
pub fn run(arguments: &Arguments, config: &Config) -> anyhow::Result<Ending> {
    let mut process = Process::new(arguments, config)?;
    log::info!(
        "vfio-user-chmu {}: {}",
        env!("CARGO_PKG_VERSION"),
        config.summary()
    );
    let ending = process.serve();
    // The kernel takes the memory of all counters back at once; freeing them would take longer.
    std::mem::forget(process.device.clone());
    ending
}

/// Everything that lives as long as the process.
struct Process {
    events: EventManager<Rc<dyn EventSubscriber>>,
    device: Rc<RefCell<Device>>,
    server: Rc<RefCell<Server<Device>>>,
    wakeup: Rc<RefCell<Wakeup>>,
    signals: Rc<RefCell<Signals>>,
    /// Names of the sockets; they go with the process.
    _socket_files: Vec<SocketFile>,
}

impl Process {
    fn new(arguments: &Arguments, config: &Config) -> anyhow::Result<Self> {
        let mut events: EventManager<Rc<dyn EventSubscriber>> =
            EventManager::new().context("The event loop cannot be made")?;
        // The signals come first: from here on the sockets' names are removed at the end.
        let signals = shared(Signals::new().context("The signals cannot be handled")?);
        let clock = Clock::new(arguments.clock);
        let function = config.function();
        check_operations_end(arguments.clock, &function)?;
        let mut device = Device::new(&function, clock)?;
        if let Some(path) = &arguments.trace_registers {
            device.start_trace(RegisterTrace::new(&function, trace_sink(path)?));
        }
        let device = shared(device);
        let mut sockets = Sockets {
            device: &device,
            events: &mut events,
            files: Vec::new(),
        };
        sockets.add_all(arguments, config.access_rings)?;
        // The clients' socket comes last: once it is there, all others are.
        let server = shared(sockets.server(arguments)?);
        let socket_files = sockets.files;
        let wakeup = Wakeup::new(device.clone()).context("The timer cannot be made")?;
        let wakeup = shared(wakeup);
        events.add_subscriber(server.clone());
        events.add_subscriber(wakeup.clone());
        events.add_subscriber(signals.clone());
        Ok(Self {
            events,
            device,
            server,
            wakeup,
            signals,
            _socket_files: socket_files,
        })
    }

    fn serve(&mut self) -> anyhow::Result<Ending> {
        loop {
            if let Some(number) = self.signals.borrow().arrived() {
                log::info!("The device ends by signal {number}");
                return Ok(Ending::Signal(number));
            }
            if self.server.borrow().is_finished() {
                log::info!("The device ends");
                return Ok(Ending::Served);
            }
            self.wakeup.borrow_mut().prepare();
            self.events.run().context("The event loop fails")?;
        }
    }
}

fn shared<T>(value: T) -> Rc<RefCell<T>> {
    Rc::new(RefCell::new(value))
}

/// The sockets of a device, as they are made.
struct Sockets<'a> {
    device: &'a Rc<RefCell<Device>>,
    events: &'a mut EventManager<Rc<dyn EventSubscriber>>,
    files: Vec<SocketFile>,
}

impl Sockets<'_> {
    /// Makes all sockets but the clients'.
    fn add_all(&mut self, arguments: &Arguments, access_rings: u32) -> anyhow::Result<()> {
        if let Some(path) = &arguments.access_socket {
            self.device.borrow_mut().add_feed(access_rings)?;
            let socket = AccessSocket::new(self.listen(path)?, self.device.clone())?;
            self.events.add_subscriber(shared(socket));
        }
        if let Some(path) = &arguments.statistics_socket {
            let socket = StatisticsSocket::new(self.listen(path)?, self.device.clone())?;
            self.events.add_subscriber(shared(socket));
        }
        if let Some(path) = &arguments.clock_socket {
            let listener = self.listen(path)?;
            self.add_line_socket(listener, "A client of the clock", clock_socket::answer)?;
        }
        if let Some(path) = &arguments.event_socket {
            let listener = self.listen(path)?;
            self.add_line_socket(listener, "A source of events", event_socket::answer)?;
        }
        if let Some(path) = &arguments.oracle_socket {
            let (listener, file) = SocketFile::bind_for_user(path)?;
            self.files.push(file);
            self.add_line_socket(listener, "A client of the oracle", oracle::answer)?;
        }
        Ok(())
    }

    fn add_line_socket(
        &mut self,
        listener: UnixListener,
        who: &'static str,
        answer: fn(&mut Device, &str) -> String,
    ) -> anyhow::Result<()> {
        let device = self.device.clone();
        let answer = move |line: &str| answer(&mut device.borrow_mut(), line);
        let socket = LineSocket::new(listener, who, Box::new(answer))?;
        self.events.add_subscriber(shared(socket));
        Ok(())
    }

    fn server(&mut self, arguments: &Arguments) -> anyhow::Result<Server<Device>> {
        let (device, once) = (self.device.clone(), arguments.once);
        let timeout = Duration::from_nanos(arguments.client_timeout.0);
        let inherited = arguments.fd.map(InheritedSocket::take).transpose()?;
        let server = match (inherited, &arguments.socket_path) {
            (Some(InheritedSocket::Connected(socket)), _) => Server::connected(socket, device),
            (Some(InheritedSocket::Listening(listener)), _) => {
                Server::listening(listener, once, timeout, device)
            }
            (None, Some(path)) => Server::listening(self.listen(path)?, once, timeout, device),
            (None, None) => {
                anyhow::bail!("There is no socket to serve; give --socket-path or --fd")
            }
        };
        server.context("The clients' socket cannot be used")
    }

    fn listen(&mut self, path: &Path) -> anyhow::Result<UnixListener> {
        let (listener, file) = SocketFile::bind(path)?;
        self.files.push(file);
        Ok(listener)
    }
}

/// Opens what a trace is written to, stderr or a file.
fn trace_sink(path: &Path) -> anyhow::Result<Sink> {
    if path == Path::new(STANDARD_ERROR) {
        return Ok(Sink::standard_error());
    }
    Sink::append_to(path)
        .with_context(|| format!("The trace file {} cannot be opened", path.display()))
}

/// Refuses a device whose operations would never end: a clock of accesses stands still while
/// nothing is counted, and nothing is counted before an instance is enabled.
fn check_operations_end(clock: ClockSource, config: &FunctionConfig) -> anyhow::Result<()> {
    let takes_time = |instance: &Capabilities| instance.operation_delay_ns > 0;
    if matches!(clock, ClockSource::Accesses(_)) && config.blocks.iter().flatten().any(takes_time) {
        anyhow::bail!(
            "With a clock of accesses no operation that takes time would ever end; set every \
             operation_delay to \"0\" or use another clock"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::quantity::Nanoseconds;
    use chmu_cxl::Profile;

    #[test]
    fn a_clock_of_accesses_ends_no_operation() {
        let config = |profile: Profile| FunctionConfig {
            blocks: profile.blocks(),
            ..Config::default().completed().function()
        };
        let accesses = ClockSource::Accesses(Nanoseconds(100));
        check_operations_end(accesses, &config(Profile::Default)).unwrap();
        check_operations_end(ClockSource::Manual, &config(Profile::Full)).unwrap();
        check_operations_end(ClockSource::Host, &config(Profile::Full)).unwrap();
        check_operations_end(accesses, &config(Profile::Full)).unwrap_err();
    }
}
