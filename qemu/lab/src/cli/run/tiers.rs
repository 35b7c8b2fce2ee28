// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What each tier serves meanwhile.

use std::path::PathBuf;

use anyhow::Result;
use chmu::program;
use chmu_lab::machine::{Machine, MachineOptions};
use chmu_lab::tiers::{Figures, Recorder, Report};

use super::super::result_file::ResultFile;

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Tiers")]
pub(super) struct Options {
    /// Says at the end how many lines CXL memory and other memory served, and what all that would take on hardware:
    /// asic, fpga, study, or the times from a miss to its line in other and in CXL memory, in nanoseconds.
    #[arg(
        long,
        value_name = "OTHER_NS:CXL_NS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "asic",
        conflicts_with = "no_plugin"
    )]
    tiers: Option<Figures>,
    /// Where to write that as it was over time: a table (.csv), or all of it (.json).
    #[arg(long, value_name = "FILE", requires = "tiers", value_parser = form_of)]
    tiers_to: Option<(PathBuf, Form)>,
}

/// Where the result goes, and in which form.
type Place = (ResultFile, Form);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    Json,
}

fn form_of(text: &str) -> Result<(PathBuf, Form), String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => Ok((path, Form::Csv)),
        Some("json") => Ok((path, Form::Json)),
        _ => Err("its name ends neither in .csv nor in .json".to_owned()),
    }
}

/// Tiers that are being watched.
#[derive(Debug)]
pub(super) struct Watching {
    recorder: Recorder,
    figures: Figures,
    place: Option<Place>,
}

impl Options {
    pub(super) fn apply_to(&self, options: &mut MachineOptions) {
        options.oracle |= self.tiers.is_some();
    }

    /// Opens the file for the result, if there is to be one.
    pub(super) fn open(&self) -> Result<Option<Place>> {
        let place = self.tiers_to.as_ref();
        let place = place.map(|(path, form)| Ok((ResultFile::open(path)?, *form)));
        place.transpose()
    }

    /// Begins, if anybody wants to know.
    pub(super) fn start(
        &self,
        machine: &Machine,
        place: Option<Place>,
    ) -> Result<Option<Watching>> {
        let Some(figures) = self.tiers.clone() else {
            return Ok(None);
        };
        let recorder = Recorder::start(machine.device_sockets())?;
        Ok(Some(Watching {
            recorder,
            figures,
            place,
        }))
    }
}

impl Watching {
    /// Tells the user what was counted, on stderr: stdout is the program's.
    pub(super) fn finish(self) -> Result<()> {
        let series = self.recorder.finish()?;
        let report = Report::new(&series, self.figures);
        report.to_string().lines().for_each(program::say);
        let Some((file, form)) = self.place else {
            return Ok(());
        };
        file.write(&match form {
            Form::Csv => series.csv(),
            Form::Json => serde_json::to_string_pretty(&report)? + "\n",
        })
    }
}
