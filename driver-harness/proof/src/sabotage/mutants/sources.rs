// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Sources that report something else than what was hot.

use std::collections::VecDeque;
use std::fmt;

use chmu_promotion::StopFlag;
use chmu_promotion::report::{Facts, Place, Report};
use chmu_promotion::source::{HotnessSource, SourceError};
use chmu_spec::address::Pfn;

use super::super::machine::{CountingSource, Shared, extent};
use super::super::run::Parts;
use super::super::{Mutant, Part};
use crate::verdict::Reason;

/// Changes a report.
type Change = fn(&Shared, &mut VecDeque<Report>, Report) -> Report;

struct Liar {
    honest: CountingSource,
    shared: Shared,
    kept: VecDeque<Report>,
    change: Change,
}

impl fmt::Debug for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Liar")
    }
}

impl HotnessSource for Liar {
    fn facts(&self) -> &Facts {
        self.honest.facts()
    }

    fn poll(&mut self, deadline_ns: u64, stop: &StopFlag) -> Result<Report, SourceError> {
        let report = self.honest.poll(deadline_ns, stop)?;
        Ok((self.change)(&self.shared, &mut self.kept, report))
    }
}

fn replace(parts: &mut Parts, change: Change) {
    parts.source = Box::new(Liar {
        honest: CountingSource::new(parts.shared.clone()),
        shared: parts.shared.clone(),
        kept: VecDeque::new(),
        change,
    });
}

/// Reports of so many epochs are kept back.
const LATE_EPOCHS: usize = 32;

/// The frames of all pages of a process that are still somewhere.
fn frames_of(shared: &Shared, process: usize) -> Vec<Pfn> {
    let world = shared.world();
    let pages = world.processes[process].pages.iter();
    pages
        .filter_map(|number| world.pages[*number].frame)
        .collect()
}

fn shift(place: Place) -> Place {
    match place {
        Place::Frames { start, pages } => Place::Frames {
            start: Pfn(start.0 + 1),
            pages,
        },
        other => other,
    }
}

pub(super) fn all() -> Vec<Mutant> {
    let mutant = |name, explanation, reason, sabotage| Mutant {
        name,
        part: Part::Source,
        explanation,
        reason,
        sabotage,
    };
    vec![
        mutant(
            "freed-frame-reused",
            "calls reports newer than they are, so that they name frames that others use by now",
            Reason::ColdPageMoved,
            |parts| {
                replace(parts, |_, _, report| Report {
                    earliest_access_ns: report.handed_out_ns,
                    ..report
                });
            },
        ),
        mutant(
            "late-reports",
            "hands reports out so late that the hot set has moved on",
            Reason::StalePageMoved,
            |parts| {
                parts.moving = true;
                replace(parts, |_, kept, report| {
                    kept.push_back(report.clone());
                    let due = (kept.len() > LATE_EPOCHS)
                        .then(|| kept.pop_front())
                        .flatten();
                    due.unwrap_or(Report {
                        extents: Vec::new(),
                        earliest_access_ns: 0,
                        ..report
                    })
                });
            },
        ),
        mutant(
            "prophet",
            "reports pages that become hot later",
            Reason::MovedBeforeHot,
            |parts| {
                parts.moving = true;
                replace(parts, |shared, kept, mut report| {
                    // Page 35 is the first of the second hot set.
                    let frame = frames_of(shared, 1).get(35).copied();
                    if !report.extents.is_empty() && kept.is_empty() {
                        kept.push_back(Report::default());
                        report.extents.extend(frame.map(|frame| extent(frame, 99)));
                    }
                    report
                });
            },
        ),
        mutant(
            "off-by-one",
            "reports the frame after each hot one",
            Reason::ColdPageMoved,
            |parts| {
                replace(parts, |_, _, mut report| {
                    report
                        .extents
                        .iter_mut()
                        .for_each(|one| one.place = shift(one.place));
                    report
                });
            },
        ),
        mutant(
            "coarse",
            "reports blocks of two pages as if both were hot",
            Reason::ColdPageMoved,
            |parts| {
                replace(parts, |_, _, mut report| {
                    let mut others = report.extents.clone();
                    others
                        .iter_mut()
                        .for_each(|one| one.place = shift(one.place));
                    report.extents.extend(others);
                    report
                });
            },
        ),
        mutant("silent", "reports nothing", Reason::NotPromoted, |parts| {
            replace(parts, |_, _, report| Report {
                extents: Vec::new(),
                ..report
            });
        }),
        mutant(
            "foreign-pages",
            "reports pages of a process of which no truth is known",
            Reason::ForeignPageMoved,
            |parts| {
                replace(parts, |shared, kept, mut report| {
                    if kept.is_empty() {
                        kept.push_back(Report::default());
                        let mut world = shared.world();
                        let foreign = world.spawn(4, (0, 1));
                        let process = world.processes.remove(foreign);
                        let frames = process
                            .pages
                            .iter()
                            .filter_map(|number| world.pages[*number].frame);
                        report.extents.extend(frames.map(|frame| extent(frame, 99)));
                    }
                    report
                });
            },
        ),
    ]
}
