// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A status on one screen of a terminal.

use std::fmt::{self, Display, Write};

use chmu_machine::words;

use super::{Decided, Decision, Flow, RouteStatus, SourceStatus, Status};
use crate::batch::{Folio, Route};
use crate::ledger::TunedSetting;
use crate::report::Health;

/// Characters of a line.
const COLUMNS: usize = 80;
/// Lines.
const LINES: usize = 24;
/// Routes and sources that are shown; others are counted.
const ROWS: usize = 4;

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![self.headline(), String::new()];
        self.add_routes(&mut lines);
        lines.push(self.pressure());
        lines.push(self.circles());
        self.add_room(&mut lines);
        self.add_sources(&mut lines);
        self.add_reasons(&mut lines);
        self.add_decisions(&mut lines);
        for line in lines.iter().take(LINES) {
            writeln!(f, "{}", fitted(line))?;
        }
        Ok(())
    }
}

impl Status {
    fn headline(&self) -> String {
        let Some(program) = &self.program else {
            return "chmu has not begun to promote".to_owned();
        };
        let time = words::span(self.time_ns.saturating_sub(self.started_ns));
        let verb = match (self.has_ended, self.dry_run) {
            (true, _) => "has ended after",
            (false, true) => "decides what it would promote, for",
            (false, false) => "promotes for",
        };
        format!("chmu {program} {verb} {time}, by {}", self.actuator)
    }

    fn add_routes(&self, lines: &mut Vec<String>) {
        if self.routes.is_empty() {
            lines.push("no page on its way to a faster tier yet".to_owned());
            return;
        }
        let moved = match self.dry_run {
            true => "would move",
            false => "moved",
        };
        lines.push(format!(
            "tiers       waiting    pages   longest   moving {moved:>10}     pages/s"
        ));
        lines.extend(self.routes.iter().take(ROWS).map(route_row));
        add_others(lines, self.routes.len(), "route", "routes");
    }

    /// What waits in all, and what was tried.
    fn pressure(&self) -> String {
        let partial = match self.backlog_is_partial {
            true => "at least ",
            false => "",
        };
        let waiting = self.routes.iter().fold(0, |sum: u64, route| {
            sum.saturating_add(route.folios_waiting)
        });
        format!(
            "pressure: {partial}{}, {} to try again; {} so far",
            words::count(waiting, "folio waits", "folios wait"),
            self.folios_to_retry,
            words::count(self.batches, "batch", "batches"),
        )
    }

    /// What was promoted for nothing.
    fn circles(&self) -> String {
        let spill = match self.spill_limit {
            Some(limit) => format!("spill: held to {limit} pages/s"),
            None => "no spill".to_owned(),
        };
        let mut line = format!(
            "ping-pong: {}; came back hot: {}; {spill}",
            words::count(self.ping_pong_folios, "folio", "folios"),
            words::count(self.pages_came_back, "page", "pages"),
        );
        for demotions in self.demotions.iter().take(ROWS) {
            let (node, pages) = (demotions.node, amount(demotions.pages));
            // Writing to a string cannot fail.
            let _ = write!(line, "; node {node} demoted {pages}");
        }
        line
    }

    /// What was demoted to make room, and whether promotions were of use.
    fn add_room(&self, lines: &mut Vec<String>) {
        lines.push(match self.usefulness {
            Some(judged) => format!("wasted: {judged}"),
            None => "wasted: not known, as nothing watches fast memory".to_owned(),
        });
        let made = self.room_made.iter().take(ROWS);
        lines.extend(made.map(|room| {
            let (way, pages) = (way(room.route), amount(room.pages));
            format!("room made: {way} {pages}")
        }));
    }

    fn add_sources(&self, lines: &mut Vec<String>) {
        lines.push(String::new());
        lines.push("source               units   units/s  last list   fullest  overflows".into());
        for source in self.sources.iter().take(ROWS) {
            lines.push(source_row(source));
        }
        add_others(lines, self.sources.len(), "source", "sources");
    }

    fn add_reasons(&self, lines: &mut Vec<String>) {
        let mut refused: Vec<_> = self.refused.iter().collect();
        refused.sort_by_key(|(_, flow)| std::cmp::Reverse(flow.total));
        let refused = refused
            .into_iter()
            .map(|(reason, flow)| format!("{reason} {}", amount(*flow)));
        let mut ignored: Vec<_> = self.ignored.iter().collect();
        ignored.sort_by_key(|(_, pages)| std::cmp::Reverse(**pages));
        let ignored = ignored
            .into_iter()
            .map(|(reason, pages)| format!("{reason} {pages}"));
        for (what, reasons) in [
            ("refused", refused.collect::<Vec<_>>()),
            ("not counted", ignored.collect()),
        ] {
            if !reasons.is_empty() {
                lines.push(format!("{what}: {}", reasons.join(", ")));
            }
        }
    }

    fn add_decisions(&self, lines: &mut Vec<String>) {
        if self.decisions.is_empty() {
            return;
        }
        lines.push(String::new());
        let newest = self.decisions.iter();
        lines.extend(newest.map(|decision| decision_row(decision, self.time_ns, self.dry_run)));
    }
}

fn add_others(lines: &mut Vec<String>, all: usize, one: &str, several: &str) {
    let others = all.saturating_sub(ROWS) as u64;
    if others > 0 {
        lines.push(format!("and {} more", words::count(others, one, several)));
    }
}

fn route_row(row: &RouteStatus) -> String {
    format!(
        "{:11}{:>8} {:>8} {:>9} {:>8} {:>10} {:>11.1}",
        way(row.route),
        row.folios_waiting,
        row.pages_waiting,
        words::span(row.oldest_ns),
        row.pages_moving,
        row.pages_moved.total,
        row.pages_moved.per_second,
    )
}

fn source_row(source: &SourceStatus) -> String {
    let health = match &source.health {
        Health::Good => String::new(),
        Health::Degraded(reason) => format!("  {reason}"),
        Health::Gone(reason) => format!("  gone: {reason}"),
    };
    format!(
        "{:16} {:>9} {:>9.1} {:>10} {:>9} {:>10}{health}",
        source.name,
        source.units.total,
        source.units.per_second,
        source.last_units,
        source.most_units,
        source.overflows,
    )
}

fn decision_row(decision: &Decision, now_ns: u64, is_dry: bool) -> String {
    let ago = words::span(now_ns.saturating_sub(decision.time_ns));
    format!("{ago:>9} ago  {}", decided(&decision.what, is_dry))
}

fn sizes(folios: u64, pages: u64) -> String {
    let folios = words::count(folios, "folio", "folios");
    format!("{folios}, {}", words::count(pages, "page", "pages"))
}

fn decided(what: &Decided, is_dry: bool) -> String {
    match what {
        Decided::Moved {
            route,
            batch,
            folios,
            pages,
        } => {
            let moved = match is_dry {
                true => "would move",
                false => "moved",
            };
            let sizes = sizes(*folios, *pages);
            format!("batch {batch}, {}: {moved} {sizes}", way(*route))
        }
        Decided::Refused {
            reason,
            folios,
            last,
        } => format!("refused {}: {reason}", several(*folios, *last)),
        Decided::Retried {
            reason,
            folios,
            last,
        } => format!("to try again {}: {reason}", several(*folios, *last)),
        Decided::Demoted { node, pages } => {
            format!(
                "node {node} demoted {}",
                words::count(*pages, "page", "pages")
            )
        }
        Decided::MadeRoom {
            route,
            batch,
            folios,
            pages,
        } => {
            let sizes = sizes(*folios, *pages);
            format!("batch {batch}, {}: demoted {sizes}", way(*route))
        }
        Decided::Tuned {
            source,
            setting,
            to,
            reason,
            ..
        } => {
            let whose = source.as_deref().unwrap_or("engine");
            format!("{whose}: {} {to}: {reason}", setting_name(*setting))
        }
        Decided::Health { source, health } => match health {
            Health::Good => format!("{source} is well"),
            Health::Degraded(reason) => format!("{source}: {reason}"),
            Health::Gone(reason) => format!("{source} is gone: {reason}"),
        },
        Decided::Ended => "the run ended".to_owned(),
    }
}

fn several(folios: u64, last: Folio) -> String {
    match folios {
        1 => format!("frame {:#x}", last.head.0),
        _ => format!("{folios} folios, the last at frame {:#x}", last.head.0),
    }
}

fn setting_name(setting: TunedSetting) -> &'static str {
    match setting {
        TunedSetting::Threshold => "threshold",
        TunedSetting::EpochNs => "epoch in ns",
        TunedSetting::UnitBytes => "bytes of a unit",
        TunedSetting::WatchedBytes => "bytes watched",
        TunedSetting::PagesPerSecond => "pages a second",
    }
}

fn way(route: Route) -> String {
    format!("{} -> {}", route.source, route.target)
}

fn amount(flow: Flow) -> String {
    match flow.per_second > 0.0 {
        true => format!("{} ({:.1}/s)", flow.total, flow.per_second),
        false => flow.total.to_string(),
    }
}

/// A line that fits, without anything that a terminal obeys.
fn fitted(line: &str) -> String {
    let printable = line.chars().map(|character| match character.is_control() {
        true => '?',
        false => character,
    });
    let mut text: String = printable.clone().take(COLUMNS).collect();
    if printable.count() > COLUMNS {
        text.pop();
        text.push('~');
    }
    text.truncate(text.trim_end().len());
    text
}
