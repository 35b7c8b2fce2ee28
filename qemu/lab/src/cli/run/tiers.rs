// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What each tier serves meanwhile.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chmu::program;
use chmu_lab::machine::{Machine, MachineOptions};
use chmu_lab::tiers::{Figures, Recorder, Report};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
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

/// Where the result goes, open already: who cannot write there hears of it before the guest boots.
#[derive(Debug)]
pub(super) struct Place<'a> {
    path: &'a Path,
    form: Form,
    file: File,
}

/// Tiers that are being watched.
#[derive(Debug)]
pub(super) struct Watching<'a> {
    recorder: Recorder,
    figures: Figures,
    place: Option<Place<'a>>,
}

impl Options {
    pub(super) fn apply_to(&self, options: &mut MachineOptions) {
        options.oracle |= self.tiers.is_some();
    }

    /// Opens the file for the result, if there is to be one.
    pub(super) fn open(&self) -> Result<Option<Place<'_>>> {
        let place = self.tiers_to.as_ref().map(|(path, form)| {
            ensure!(!path.is_dir(), "{} is a folder", path.display());
            // What is there stays until there is something new.
            let open = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path);
            let file = open.with_context(|| format!("Cannot write {}", path.display()))?;
            let form = *form;
            Ok(Place { path, form, file })
        });
        place.transpose()
    }

    /// Begins, if anybody wants to know.
    pub(super) fn start<'a>(
        &self,
        machine: &Machine,
        place: Option<Place<'a>>,
    ) -> Result<Option<Watching<'a>>> {
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

impl Watching<'_> {
    /// Tells the user what was counted, on stderr: stdout is the program's.
    pub(super) fn finish(self) -> Result<()> {
        let series = self.recorder.finish()?;
        let report = Report::new(&series, self.figures);
        report.to_string().lines().for_each(program::say);
        let Some(mut place) = self.place else {
            return Ok(());
        };
        let text = match place.form {
            Form::Csv => series.csv(),
            Form::Json => serde_json::to_string_pretty(&report)? + "\n",
        };
        let written = place
            .file
            .set_len(0)
            .and_then(|()| place.file.write_all(text.as_bytes()));
        written.with_context(|| format!("Cannot write {}", place.path.display()))
    }
}
