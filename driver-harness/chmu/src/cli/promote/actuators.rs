// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What moves pages, by the command line.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use chmu_machine::memory::owners::Owners;
use chmu_promotion::actuator::{Actuator, Damon, DryRun, MovePages, Places};
use chmu_proof::workload::state::State;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What moves them")]
pub(super) struct ActuatorOptions {
    /// What moves pages.
    #[arg(long, value_enum, default_value = "damon")]
    actuator: ActuatorName,
    /// Moves nothing; the same as --actuator dry-run.
    #[arg(long)]
    dry_run: bool,
    /// With move-pages: the state file of the workload whose pages are promoted [default: every
    /// process is searched for the owner of each page].
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ActuatorName {
    /// DAMON, by physical address: also pages that no process maps.
    Damon,
    /// The system call of that name: pages of processes.
    MovePages,
    /// Nothing.
    DryRun,
}

/// An actuator whose files were read, and that has touched nothing yet.
pub(super) enum Prepared {
    Damon,
    MovePages(Owners),
    DryRun,
}

impl ActuatorOptions {
    /// Nothing is to be moved.
    pub(super) fn is_dry(&self) -> bool {
        self.dry_run || self.actuator == ActuatorName::DryRun
    }

    /// Refuses what no actuator but another would heed.
    pub(super) fn check(&self) -> Result<()> {
        let is_used = self.actuator == ActuatorName::MovePages && !self.dry_run;
        ensure!(
            self.state.is_none() || is_used,
            "--state is of use only with --actuator move-pages, without --dry-run; leave it out"
        );
        Ok(())
    }

    pub(super) fn prepare(&self) -> Result<Prepared> {
        Ok(match self.actuator {
            _ if self.is_dry() => Prepared::DryRun,
            ActuatorName::Damon => Prepared::Damon,
            ActuatorName::MovePages => {
                let state = self.state.as_deref().map(State::read).transpose()?;
                Prepared::MovePages(owners(state))
            }
            ActuatorName::DryRun => Prepared::DryRun,
        })
    }
}

impl Prepared {
    pub(super) fn start(self) -> Result<Box<dyn Actuator>> {
        Ok(match self {
            Prepared::Damon => Box::new(Damon::set_up(Places::default())?),
            Prepared::MovePages(owners) => Box::new(MovePages::new(owners, Places::default())?),
            Prepared::DryRun => Box::new(DryRun),
        })
    }
}

fn owners(state: Option<State>) -> Owners {
    match state {
        None => Owners::every_process(),
        Some(state) => {
            let end = state.end().unwrap_or(state.address);
            Owners::Area {
                process_id: state.process_id,
                addresses: state.address..end,
            }
        }
    }
}
