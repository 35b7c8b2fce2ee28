// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A status as Prometheus reads it: text exposition format, version 0.0.4.

use std::fmt::{self, Write};

use serde::Serialize;

use super::{RouteStatus, SourceStatus, Status};
use crate::report::Health;

/// What the text is, for whoever asks by HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Before each name.
const PREFIX: &str = "chmu_promotion_";

/// The status as text.
pub fn text(status: &Status) -> String {
    let mut page = Page::default();
    // Writing to a string cannot fail.
    let _ = page.write(status);
    page.text
}

/// How a metric changes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

#[derive(Debug, Default)]
struct Page {
    text: String,
}

/// A label's name and value.
type Label<'a> = (&'static str, &'a str);

impl Page {
    fn write(&mut self, status: &Status) -> fmt::Result {
        self.write_run(status)?;
        self.write_routes(status)?;
        self.write_circles(status)?;
        self.write_sources(status)
    }

    fn write_run(&mut self, status: &Status) -> fmt::Result {
        let program = status.program.as_deref().unwrap_or_default();
        self.family("info", Kind::Gauge, "What promotes; the value is 1.")?;
        let dry_run = status.dry_run.to_string();
        let labels = [
            ("version", program),
            ("actuator", &*status.actuator),
            ("dry_run", &*dry_run),
        ];
        self.sample("info", &labels, 1)?;
        let running = u64::from(status.program.is_some() && !status.has_ended);
        self.single(
            "running",
            Kind::Gauge,
            "1 while pages are promoted.",
            running,
        )?;
        let uptime_ns = status.time_ns.saturating_sub(status.started_ns);
        let help = "Time since the run began.";
        self.family("uptime_seconds", Kind::Gauge, help)?;
        self.sample("uptime_seconds", &[], seconds(uptime_ns))?;
        let help = "Batches handed to the actuator.";
        self.single("batches_total", Kind::Counter, help, status.batches)?;
        let help = "Times that a folio was put off to be tried again.";
        self.single("retries_total", Kind::Counter, help, status.retries)?;
        let help = "Folios that did not move and will be tried again.";
        self.single("retrying_folios", Kind::Gauge, help, status.folios_to_retry)
    }

    fn write_routes(&mut self, status: &Status) -> fmt::Result {
        type Value = fn(&RouteStatus) -> u64;
        let families: [(&str, Kind, &str, Value); 5] = [
            (
                "moved_pages_total",
                Kind::Counter,
                "Pages that arrived on a faster node.",
                |row| row.pages_moved.total,
            ),
            (
                "moved_folios_total",
                Kind::Counter,
                "Folios that arrived on a faster node.",
                |row| row.folios_moved,
            ),
            (
                "waiting_folios",
                Kind::Gauge,
                "Folios that wait for their first batch.",
                |row| row.folios_waiting,
            ),
            (
                "waiting_pages",
                Kind::Gauge,
                "Pages of the folios that wait.",
                |row| row.pages_waiting,
            ),
            (
                "moving_pages",
                Kind::Gauge,
                "Pages that an actuator has.",
                |row| row.pages_moving,
            ),
        ];
        for (name, kind, help, value) in families {
            self.family(name, kind, help)?;
            for row in &status.routes {
                self.route(name, row, value(row))?;
            }
        }
        let name = "longest_wait_seconds";
        self.family(name, Kind::Gauge, "How long a folio has waited, at most.")?;
        for row in &status.routes {
            self.route(name, row, seconds(row.oldest_ns))?;
        }
        Ok(())
    }

    fn route(&mut self, name: &str, row: &RouteStatus, value: impl fmt::Display) -> fmt::Result {
        let (from, to) = (row.route.source.to_string(), row.route.target.to_string());
        self.sample(name, &[("from", &*from), ("to", &*to)], value)
    }

    fn write_circles(&mut self, status: &Status) -> fmt::Result {
        let help = "Folios that were not promoted, by reason.";
        self.family("refused_folios_total", Kind::Counter, help)?;
        for (reason, folios) in &status.refused {
            let labels = [("reason", &*word(reason))];
            self.sample("refused_folios_total", &labels, folios.total)?;
        }
        let help = "Pages of reports that were not taken into account, by reason.";
        self.family("ignored_pages_total", Kind::Counter, help)?;
        for (reason, pages) in &status.ignored {
            self.sample("ignored_pages_total", &[("reason", &*word(reason))], pages)?;
        }
        let help = "Pages that went back from a faster node to slower memory.";
        self.family("demoted_pages_total", Kind::Counter, help)?;
        for demotions in &status.demotions {
            let labels = [("node", &*demotions.node.to_string())];
            self.sample("demoted_pages_total", &labels, demotions.pages.total)?;
        }
        let help = "Cold pages that were demoted to make room.";
        self.family("room_made_pages_total", Kind::Counter, help)?;
        for row in &status.room_made {
            let (from, to) = (row.route.source.to_string(), row.route.target.to_string());
            let labels = [("from", &*from), ("to", &*to)];
            self.sample("room_made_pages_total", &labels, row.pages.total)?;
        }
        let help = "Cold folios that were to make room and stayed.";
        let folios = status.folios_kept;
        self.single("room_kept_folios_total", Kind::Counter, help, folios)?;
        let help = "1 while fast memory is watched.";
        let watched = status.telemetry.as_ref();
        let watched = watched.is_some_and(|telemetry| telemetry.health == Health::Good);
        self.single("fast_memory_watched", Kind::Gauge, help, watched.into())?;
        let help = "Folios kept in place because they went there and back.";
        let folios = status.ping_pong_folios;
        self.single("ping_pong_folios_total", Kind::Counter, help, folios)?;
        let help = "Promoted pages that came back to slow memory while hot.";
        let pages = status.pages_came_back;
        self.single("came_back_pages_total", Kind::Counter, help, pages)?;
        // What nobody knows has no sample.
        if let Some(judged) = status.usefulness {
            let help = "Promoted pages that nobody used for a whole window afterwards.";
            let pages = judged.pages_wasted;
            self.single("wasted_pages_total", Kind::Counter, help, pages)?;
            let help = "Promoted pages that were used within the window.";
            let pages = judged.pages_used;
            self.single("useful_pages_total", Kind::Counter, help, pages)?;
        }
        if let Some(limit) = status.spill_limit {
            let help = "Pages a second while targets demote what is promoted.";
            self.single("spill_limit_pages_per_second", Kind::Gauge, help, limit)?;
        }
        Ok(())
    }

    fn write_sources(&mut self, status: &Status) -> fmt::Result {
        type Value = fn(&SourceStatus) -> u64;
        let families: [(&str, Kind, &str, Value); 7] = [
            (
                "source_reports_total",
                Kind::Counter,
                "Reports that said something.",
                |source| source.reports,
            ),
            (
                "source_units_total",
                Kind::Counter,
                "Hot units reported.",
                |source| source.units.total,
            ),
            (
                "source_last_units",
                Kind::Gauge,
                "Units of the last report.",
                |source| source.last_units,
            ),
            (
                "source_overflows_total",
                Kind::Counter,
                "Reports at which there was more than could be told.",
                |source| source.overflows,
            ),
            (
                "source_dropped_units_total",
                Kind::Counter,
                "Units that are known to be lost.",
                |source| source.units_dropped,
            ),
            (
                "source_outside_memory_units_total",
                Kind::Counter,
                "Units that lie in no memory of this machine.",
                |source| source.outside_memory,
            ),
            (
                "source_healthy",
                Kind::Gauge,
                "1 while the source does what it should.",
                |source| (source.health == Health::Good).into(),
            ),
        ];
        for (name, kind, help, value) in families {
            self.family(name, kind, help)?;
            for source in &status.sources {
                self.sample(name, &[("source", &*source.name)], value(source))?;
            }
        }
        Ok(())
    }

    fn single(&mut self, name: &str, kind: Kind, help: &str, value: u64) -> fmt::Result {
        self.family(name, kind, help)?;
        self.sample(name, &[], value)
    }

    fn family(&mut self, name: &str, kind: Kind, help: &str) -> fmt::Result {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        writeln!(self.text, "# HELP {PREFIX}{name} {help}")?;
        writeln!(self.text, "# TYPE {PREFIX}{name} {kind}")
    }

    fn sample(
        &mut self,
        name: &str,
        labels: &[Label<'_>],
        value: impl fmt::Display,
    ) -> fmt::Result {
        write!(self.text, "{PREFIX}{name}")?;
        for (place, (name, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            write!(self.text, "{before}{name}=\"{}\"", escaped(value))?;
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        writeln!(self.text, " {value}")
    }
}

/// A label's value between its quotation marks.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text
}

/// A name as the ledger writes it.
fn word(name: &impl Serialize) -> String {
    match serde_json::to_value(name) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn seconds(nanoseconds: u64) -> String {
    let (whole, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    format!("{whole}.{rest:09}")
}
