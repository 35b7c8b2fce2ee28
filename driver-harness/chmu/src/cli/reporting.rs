// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a run of promotion tells while it runs: to `chmu status`, to Prometheus, to a service manager.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use chmu_machine::words;
use chmu_promotion::ledger::{Action, Event};
use chmu_promotion::status::{Board, Chore, MetricsFile, Server, Sites, Status, Time};

use super::service_manager::ServiceManager;
use super::status;

/// How old the metrics in a file may be.
const METRICS_EVERY: Duration = Duration::from_secs(5);
/// How often a service manager is told what goes on.
const DESCRIBED_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What it tells while it runs")]
pub(super) struct ReportingOptions {
    /// Answers chmu status on this socket [default: chmu/promote.sock in the user's runtime folder,
    /// or else in /run, where that is possible].
    #[arg(long, value_name = "PATH")]
    status_socket: Option<PathBuf>,
    /// Keeps metrics for Prometheus in this file, for the textfile collector of its node exporter.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Answers Prometheus on this UNIX socket, by HTTP.
    #[arg(long, value_name = "PATH")]
    metrics_socket: Option<PathBuf>,
}

/// Tells it until it is dropped.
#[derive(Debug)]
pub(super) struct Reporting {
    board: Board,
    manager: Arc<ServiceManager>,
    /// How often the engine has shown that it lives.
    turns: Arc<AtomicU64>,
    _servers: Vec<Server>,
}

impl ReportingOptions {
    /// The file for metrics.
    pub(super) fn metrics(&self) -> Option<&Path> {
        self.metrics.as_deref()
    }

    /// The sockets that are named, by the options that name them.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let named = [
            ("--status-socket", &self.status_socket),
            ("--metrics-socket", &self.metrics_socket),
        ];
        let there = named.into_iter();
        there.filter_map(|(option, path)| Some((option, path.as_deref()?)))
    }

    /// Opens what is asked for. A run by the machine's time listens where `chmu status` looks even if it
    /// was not asked to, where it can.
    ///
    /// # Errors
    /// When a socket or file that was asked for cannot be had.
    pub(super) fn start(&self, time: Time) -> Result<Reporting> {
        let board = Board::new(time);
        let manager = Arc::new(ServiceManager::of_this_process());
        let turns = Arc::new(AtomicU64::new(0));
        let mut chores = chores_for(&manager, &turns, time);
        chores.extend(
            self.metrics
                .as_deref()
                .map(|path| keep(path, &board))
                .transpose()?,
        );
        let asked_for = Sites {
            status: self.status_socket.clone(),
            metrics: self.metrics_socket.clone(),
            chores,
        };
        let mut servers = vec![Server::start(asked_for, board.clone())?];
        if self.status_socket.is_none() && time == Time::Machine {
            servers.extend(listen_as_usual(&board));
        }
        Ok(Reporting {
            board,
            manager,
            turns,
            _servers: servers,
        })
    }
}

impl Reporting {
    /// Takes events of the ledger into account; none show at least that the engine lives. The first of
    /// them means that sources count and the actuator stands, the last that nothing is promoted any more.
    pub(super) fn note(&self, events: &[Event]) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.board.note(events);
        for event in events {
            match event.action {
                Action::Begin(_) => self.manager.tell("READY=1"),
                Action::End(_) => self.manager.tell("STOPPING=1"),
                _ => {}
            }
        }
    }
}

/// Keeps metrics in a file, which can be written, as is seen at once.
fn keep(path: &Path, board: &Board) -> Result<Chore> {
    let file = MetricsFile::new(path);
    file.write(&board.status())?;
    Ok(Chore::new(METRICS_EVERY, move |status| {
        if let Err(error) = file.write(status) {
            log::warn!("{}", words::describe(&error));
        }
    }))
}

/// What a service manager wants to hear.
fn chores_for(manager: &Arc<ServiceManager>, turns: &Arc<AtomicU64>, time: Time) -> Vec<Chore> {
    let mut chores = Vec::new();
    if manager.listens() {
        let manager = Arc::clone(manager);
        chores.push(Chore::new(DESCRIBED_EVERY, move |status| {
            manager.describe(&summary(status));
        }));
    }
    if let Some(interval) = manager.watchdog() {
        let (manager, turns) = (Arc::clone(manager), Arc::clone(turns));
        let mut seen = None;
        // Twice in the time, as `sd_watchdog_enabled(3)` wants it, and only while the engine goes on. One
        // that lives by its stream's time may wait for that as long as it takes.
        chores.push(Chore::new(interval / 2, move |_| {
            let now = Some(turns.load(Ordering::Relaxed));
            if time == Time::Events || now != std::mem::replace(&mut seen, now) {
                manager.tell("WATCHDOG=1");
            }
        }));
    }
    chores
}

/// Listens where `chmu status` looks, which another run may do already.
fn listen_as_usual(board: &Board) -> Option<Server> {
    let sites = Sites {
        status: Some(status::usual_place()?),
        ..Sites::default()
    };
    Server::start(sites, board.clone())
        .inspect_err(|error| {
            let reason = words::describe(error);
            log::warn!(
                "chmu status will not find this run: {reason}; --status-socket chooses a place"
            );
        })
        .ok()
}

fn summary(status: &Status) -> String {
    let (mut moved, mut waiting) = (0_u64, 0_u64);
    for row in &status.routes {
        moved = moved.saturating_add(row.pages_moved.total);
        waiting = waiting.saturating_add(row.pages_waiting);
    }
    format!(
        "{} promoted, {} waiting",
        words::count(moved, "page", "pages"),
        words::count(waiting, "page", "pages")
    )
}
