// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where hot pages are known from, by the command line.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::names::instead;
use chmu_machine::stop::StopFlag;
use chmu_promotion::frame_list;
use chmu_promotion::source::{HotnessSource, ListSource, ProgrammedUnits, StreamSource};

use super::source_name;
use crate::cli::units::UnitOptions;

/// What sources are called on the command line.
const NAMES: [&str; 2] = ["chmu", "stream"];

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where hot pages are known from")]
pub(super) struct SourceOptions {
    /// A source, each once: chmu, chmu:UNIT, or stream:FILE for JSON lines, with stream:- those of
    /// standard input [default: chmu].
    #[arg(long = "source", value_name = "SOURCE", value_parser = source_name)]
    sources: Vec<SourceName>,
    /// With a stream and --dry-run: the tables HMAT, SRAT and SLIT of the machine that the frames are
    /// of [default: the stream's own description].
    #[arg(long, value_name = "FOLDER")]
    pub(super) from: Option<PathBuf>,
    /// Promotes the page frames listed in this file, once, and asks no device.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sources", "device", "unit", "transport",
        "unit_size", "threshold", "mode", "requests", "epochs", "seconds", "until_stable"])]
    frames: Option<PathBuf>,
    #[command(flatten)]
    units: UnitOptions,
}

/// A source that a user names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SourceName {
    /// Hotness monitoring units: one by name, or those that other options select.
    Chmu(Option<String>),
    /// Lines of a file, or of standard input.
    Stream(PathBuf),
}

impl SourceName {
    pub(super) fn parse(text: &str) -> Result<SourceName, String> {
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        match (name, rest) {
            ("chmu", None) => Ok(SourceName::Chmu(None)),
            ("chmu", Some(unit)) if !unit.is_empty() => Ok(SourceName::Chmu(Some(unit.to_owned()))),
            ("stream", Some(path)) if !path.is_empty() => Ok(SourceName::Stream(path.into())),
            ("stream", _) => Err("a stream is a file: write stream:FILE, or stream:-".to_owned()),
            ("chmu", _) => Err("name the unit after chmu:, as chmu list does".to_owned()),
            _ => Err(format!(
                "no source is called so; {}",
                instead(name, &NAMES, "")
            )),
        }
    }
}

impl SourceOptions {
    /// The stream, where it is the only source.
    pub(super) fn stream(&self) -> Option<&Path> {
        match (&*self.sources, &self.frames) {
            ([SourceName::Stream(path)], None) => Some(path),
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
        let default = [SourceName::Chmu(None)];
        let named = match &*options.sources {
            [] => &default[..],
            named => named,
        };
        for (place, source) in named.iter().enumerate() {
            ensure!(
                !named[..place].contains(source),
                "{source:?} is named twice"
            );
            match source {
                SourceName::Stream(path) => {
                    sources
                        .ready
                        .push(Box::new(StreamSource::open(path, stop)?));
                }
                SourceName::Chmu(unit) => {
                    let units = match unit {
                        Some(unit) => options.units.find_named(unit)?,
                        None => options.units.find()?,
                    };
                    check_units(&units, allow_coarse_units)?;
                    sources.units.push(units);
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_named() {
        let parse = SourceName::parse;
        assert_eq!(parse("chmu"), Ok(SourceName::Chmu(None)));
        assert_eq!(parse("chmu:x.0"), Ok(SourceName::Chmu(Some("x.0".into()))));
        assert_eq!(parse("stream:-"), Ok(SourceName::Stream("-".into())));
        assert_eq!(parse("stream:a:b"), Ok(SourceName::Stream("a:b".into())));
        for text in ["", "stream", "stream:", "chmu:", "steam:x"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(
            parse("steam:x")
                .unwrap_err()
                .contains("did you mean stream?")
        );
    }
}
