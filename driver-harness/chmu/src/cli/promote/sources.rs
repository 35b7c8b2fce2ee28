// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where hot pages are known from, by the command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::stop::StopFlag;
use chmu_promotion::source::registry::{Opener, SourceName};
use chmu_promotion::source::{HotnessSource, ListSource, ProgrammedUnits, StreamSource};
use chmu_promotion::tuner::Tuner;
use chmu_promotion::{Engine, SourceId, frame_list};

use super::super::files::Named;
use crate::cli::units::UnitOptions;

/// A stream that says nothing for so long does not keep other sources from beginning.
const FIRST_LINE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where hot pages are known from")]
pub(super) struct SourceOptions {
    /// A source, each once: chmu, chmu:UNIT, damon, accessed:PID, userfaultfd:PID, perf, perf:PMU,
    /// hint-faults, or stream:FILE for JSON lines, with stream:- those of standard input
    /// [default: chmu].
    #[arg(long = "source", value_name = "SOURCE", value_parser = SourceName::parse)]
    sources: Vec<SourceName>,
    /// With a stream and --dry-run: the tables HMAT, SRAT and SLIT of the machine that the frames are
    /// of [default: the stream's own description].
    #[arg(long, value_name = "FOLDER")]
    pub(super) from: Option<PathBuf>,
    /// Promotes the page frames listed in this file, once, and asks no device.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sources", "device", "unit", "transport",
        "unit_size", "threshold", "mode", "requests", "epochs", "seconds", "until_stable", "no_tune"])]
    frames: Option<PathBuf>,
    #[command(flatten)]
    units: UnitOptions,
    /// Leaves all settings of units as they are. Otherwise threshold, epoch, unit size and watched
    /// memory, as far as they are not given, are adapted so that lists seldom overflow and say
    /// something.
    #[arg(long)]
    no_tune: bool,
}

impl SourceOptions {
    /// Has the engine adapt what it may of these sources, which it knows by their place.
    pub(super) fn tune(&self, engine: &mut Engine, sources: &[Box<dyn HotnessSource>]) {
        if self.no_tune {
            return;
        }
        for (place, source) in (0..).zip(sources) {
            if let Some(tunable) = source.tunable() {
                engine.tune(SourceId(place), Tuner::new(tunable, self.units.fixed()));
            }
        }
    }

    /// Refuses settings of units where no unit is a source.
    pub(super) fn check(&self) -> Result<()> {
        let is_units = |source: &SourceName| matches!(source.kind.opener, Opener::Units);
        let has_units = self.sources.is_empty() || self.sources.iter().any(is_units);
        let given = self.units.given().or(self.no_tune.then_some("--no-tune"));
        match given.filter(|_| !has_units) {
            Some(option) => {
                bail!("{option} is a setting of a CHMU, and none is a source here; leave it out")
            }
            None => Ok(()),
        }
    }

    /// Files that are read.
    pub(super) fn files(&self) -> Vec<Named<'_>> {
        let streams = self.sources.iter();
        let streams = streams
            .filter(|source| matches!(source.kind.opener, Opener::Stream))
            .map(|source| Named {
                option: "--source",
                path: StreamSource::place(Path::new(&source.argument)),
            });
        let frames = self.frames.as_deref().map(|path| Named {
            option: "--frames",
            path,
        });
        streams.chain(frames).collect()
    }

    /// The stream, where it is the only source.
    pub(super) fn stream(&self) -> Option<&Path> {
        match (&*self.sources, &self.frames) {
            ([only], None) if matches!(only.kind.opener, Opener::Stream) => {
                Some(Path::new(&only.argument))
            }
            _ => None,
        }
    }
}

/// Sources that are ready, and do not count yet.
pub(super) struct Sources {
    ready: Vec<Box<dyn HotnessSource>>,
    units: Vec<ProgrammedUnits>,
}

impl Sources {
    /// Finds the sources, opens files and programs units.
    pub(super) fn find(
        options: &SourceOptions,
        allow_coarse_units: bool,
        stop: &StopFlag,
    ) -> Result<Sources> {
        let mut sources = Sources {
            ready: Vec::new(),
            units: Vec::new(),
        };
        if let Some(path) = &options.frames {
            let frames = frame_list::read(path)?;
            let name = path.display().to_string();
            sources.ready.push(Box::new(ListSource::new(name, frames)));
            return Ok(sources);
        }
        let default = [SourceName::chmu()];
        let named = match &*options.sources {
            [] => &default[..],
            named => named,
        };
        for (place, source) in named.iter().enumerate() {
            ensure!(!named[..place].contains(source), "{source} is named twice");
            let argument = &*source.argument;
            match source.kind.opener {
                Opener::Stream => {
                    let path = Path::new(argument);
                    let stream = StreamSource::open_within(path, stop, Some(FIRST_LINE))?;
                    ensure!(
                        stream.topology()?.is_none(),
                        "The stream {argument} describes a machine of its own, which takes --dry-run and no \
                         other source"
                    );
                    let name = &stream.facts().name;
                    ensure!(
                        sources
                            .ready
                            .iter()
                            .all(|other| other.facts().name != *name),
                        "Two streams are named {name:?}, so that nobody could tell their pages apart"
                    );
                    sources.ready.push(Box::new(stream));
                }
                Opener::Units => {
                    let units = match argument {
                        "" => options.units.find()?,
                        unit => options.units.find_named(unit)?,
                    };
                    check_units(&units, allow_coarse_units)?;
                    sources.units.push(units);
                }
                Opener::ByName(open) => sources.ready.push(open(argument)?),
            }
        }
        Ok(sources)
    }

    /// Lets the units count.
    pub(super) fn start(self) -> Result<Vec<Box<dyn HotnessSource>>> {
        let mut sources = self.ready;
        for units in self.units {
            sources.push(Box::new(units.start()?));
        }
        Ok(sources)
    }
}

/// Units must tell pages apart, unless it was said that they need not.
fn check_units(units: &ProgrammedUnits, allow_coarse_units: bool) -> Result<()> {
    let pages = units.pages_of_a_unit();
    ensure!(
        pages <= 1 || allow_coarse_units,
        "A unit covers {pages} pages of {PAGE_BYTES} bytes, and does not say which of them are hot; take a \
         smaller --unit-size where there is one, or --allow-coarse-units to promote all of them"
    );
    Ok(())
}
