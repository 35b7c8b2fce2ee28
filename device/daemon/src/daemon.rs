// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The process: puts the device, its sockets and its event loop together.

use std::cell::RefCell;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;
use event_manager::{EventManager, EventSubscriber, SubscriberOps};

use crate::access_socket::AccessSocket;
use crate::arguments::Arguments;
use crate::clock::Clock;
use crate::clock_socket::ClockSocket;
use crate::config::Config;
use crate::device::Device;
use crate::endpoint::{InheritedSocket, SocketFile};
use crate::server::Server;
use crate::signals::Signals;
use crate::statistics_socket::StatisticsSocket;
use crate::timer::Timer;

/// Serves the device until a signal, or the client's end with `--once`, ends it.
///
/// # Errors
/// When a socket cannot be used, the configuration describes no device, or the kernel refuses
/// what the event loop needs.
pub fn run(arguments: &Arguments, config: &Config) -> anyhow::Result<()> {
    let mut process = Process::new(arguments, config)?;
    log::info!(
        "vfio-user-chmu {}: {}",
        env!("CARGO_PKG_VERSION"),
        config.summary()
    );
    process.serve()
}

/// Everything that lives as long as the process.
struct Process {
    events: EventManager<Rc<dyn EventSubscriber>>,
    device: Rc<RefCell<Device>>,
    server: Rc<RefCell<Server<Device>>>,
    timer: Rc<RefCell<Timer>>,
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
        let device = shared(Device::new(
            &config.function(),
            Clock::new(arguments.clock),
        )?);
        let mut socket_files = Vec::new();
        if let Some(path) = &arguments.access_socket {
            device.borrow_mut().add_feed()?;
            let listener = listen(path, &mut socket_files)?;
            let socket = AccessSocket::new(listener, device.clone())?;
            events.add_subscriber(shared(socket));
        }
        if let Some(path) = &arguments.statistics_socket {
            let listener = listen(path, &mut socket_files)?;
            let socket = StatisticsSocket::new(listener, device.clone())?;
            events.add_subscriber(shared(socket));
        }
        if let Some(path) = &arguments.clock_socket {
            let listener = listen(path, &mut socket_files)?;
            let socket = ClockSocket::new(listener, device.clone())?;
            events.add_subscriber(shared(socket));
        }
        // The clients' socket comes last: once it is there, all others are.
        let server = shared(server(arguments, &device, &mut socket_files)?);
        let timer = Timer::new(device.clone()).context("The timer cannot be made")?;
        let timer = shared(timer);
        events.add_subscriber(server.clone());
        events.add_subscriber(timer.clone());
        events.add_subscriber(signals.clone());
        Ok(Self {
            events,
            device,
            server,
            timer,
            signals,
            _socket_files: socket_files,
        })
    }

    fn serve(&mut self) -> anyhow::Result<()> {
        while !self.server.borrow().is_finished() && !self.signals.borrow().arrived() {
            let wakeup = self.device.borrow().next_wakeup();
            self.timer.borrow_mut().expire_within(wakeup);
            self.events.run().context("The event loop fails")?;
        }
        log::info!("The device ends");
        Ok(())
    }
}

fn shared<T>(value: T) -> Rc<RefCell<T>> {
    Rc::new(RefCell::new(value))
}

fn listen(path: &Path, socket_files: &mut Vec<SocketFile>) -> anyhow::Result<UnixListener> {
    let (listener, file) = SocketFile::bind(path)?;
    socket_files.push(file);
    Ok(listener)
}

fn server(
    arguments: &Arguments,
    device: &Rc<RefCell<Device>>,
    socket_files: &mut Vec<SocketFile>,
) -> anyhow::Result<Server<Device>> {
    let (device, once) = (device.clone(), arguments.once);
    let inherited = arguments.fd.map(InheritedSocket::take).transpose()?;
    let server = match (inherited, &arguments.socket_path) {
        (Some(InheritedSocket::Connected(socket)), _) => Server::connected(socket, device),
        (Some(InheritedSocket::Listening(listener)), _) => {
            Server::listening(listener, once, device)
        }
        (None, Some(path)) => Server::listening(listen(path, socket_files)?, once, device),
        (None, None) => anyhow::bail!("There is no socket to serve; give --socket-path or --fd"),
    };
    server.context("The clients' socket cannot be used")
}
