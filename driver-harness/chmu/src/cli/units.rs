// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which units a verb uses, and what they are told to do.

use std::path::Path;
use std::time::Duration;

use chmu_driver::device::ownership::Registry;
use chmu_driver::device::{Selection, Wishes};
use chmu_machine::names::instead;
use chmu_promotion::report::Fixed;
use chmu_promotion::source::{Claims, OpenError, ProgrammedUnits};
use chmu_spec::chmu::Mode;
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

use super::transport::Reach;
use super::values::{self, positive};

/// Length of an epoch that nobody asked for.
const DEFAULT_EPOCH: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(super) struct UnitOptions {
    /// The device: a PCI address or a memory device such as mem0 [default: every device].
    #[arg(long)]
    device: Option<String>,
    /// The unit, as chmu list names it [default: the first of each device].
    #[arg(long)]
    unit: Option<String>,
    #[command(flatten)]
    reach: Reach,
    /// Size of a unit, for example 4K or 2M [default: 4K where supported].
    #[arg(long, value_name = "SIZE")]
    unit_size: Option<UnitSize>,
    /// Accesses within one epoch that make a unit hot [default: 32; chmu promote adapts it].
    #[arg(long, value_name = "COUNT", value_parser = positive::<u32>)]
    threshold: Option<u32>,
    /// Length of an epoch, for example 200ms; where a unit has no such length, the closest it has
    /// [default: 100ms; chmu promote adapts it].
    #[arg(long, value_name = "TIME", value_parser = values::epoch)]
    epoch: Option<Duration>,
    /// When hot units are reported [default: at the end of each epoch where supported].
    #[arg(long, value_enum)]
    mode: Option<ModeName>,
    /// Which requests count, for example non-tee-read [default: reads and writes].
    #[arg(long, value_name = "REQUESTS", value_parser = parse_requests)]
    requests: Option<RequestFilter>,
    /// Takes units that somebody else uses, such as the kernel's driver or an unknown program; never
    /// those of another chmu that runs.
    #[arg(long)]
    take_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ModeName {
    /// At the end of each epoch, with counts.
    Epoch,
    /// As soon as a unit is hot.
    AlwaysOn,
}

impl UnitOptions {
    /// Length of an epoch that the user wishes.
    pub(super) fn wished_epoch_ns(&self) -> u64 {
        let epoch = self.epoch.unwrap_or(DEFAULT_EPOCH);
        u64::try_from(epoch.as_nanos()).unwrap_or(u64::MAX)
    }

    /// An option that the user gave.
    pub(super) fn given(&self) -> Option<&'static str> {
        let options = [
            ("--device", self.device.is_some()),
            ("--unit", self.unit.is_some()),
            ("--unit-size", self.unit_size.is_some()),
            ("--threshold", self.threshold.is_some()),
            ("--epoch", self.epoch.is_some()),
            ("--mode", self.mode.is_some()),
            ("--requests", self.requests.is_some()),
            ("--take-over", self.take_over),
        ];
        let given = options.into_iter().find(|(_, is_given)| *is_given);
        given.map(|(option, _)| option).or(self.reach.given())
    }

    /// Settings that the user named, and so are not to be adapted.
    pub(super) fn fixed(&self) -> Fixed {
        Fixed {
            threshold: self.threshold.is_some(),
            epoch: self.epoch.is_some(),
            unit: self.unit_size.is_some(),
            ranges: false,
        }
    }

    /// What the user selects.
    pub(super) fn selection(&self) -> Selection {
        Selection {
            device: self.device.clone(),
            unit: self.unit.clone(),
            opening: self.reach.opening(),
        }
    }

    /// Finds, claims and programs the units; says where these cannot do quite what they should.
    pub(super) fn find(&self) -> Result<ProgrammedUnits, OpenError> {
        self.claim(self.selection(), false)
    }

    /// Like [`UnitOptions::find`], with a unit that is named otherwise than by these options.
    pub(super) fn find_named(&self, unit: &str) -> Result<ProgrammedUnits, OpenError> {
        let selection = Selection {
            unit: Some(unit.to_owned()),
            ..self.selection()
        };
        self.claim(selection, false)
    }

    /// Like [`UnitOptions::find`], with another unit of a device whose first one is in use.
    pub(super) fn find_beside(&self) -> Result<ProgrammedUnits, OpenError> {
        self.claim(self.selection(), self.unit.is_none())
    }

    fn claim(&self, selection: Selection, step_aside: bool) -> Result<ProgrammedUnits, OpenError> {
        let wishes = Wishes {
            unit_size: self.unit_size,
            threshold: self.threshold,
            epoch_ns: Some(self.wished_epoch_ns()),
            filter: self.requests,
            mode: self.mode.map(|mode| match mode {
                ModeName::Epoch => Mode::Epoch,
                ModeName::AlwaysOn => Mode::AlwaysOn,
            }),
            ..Wishes::default()
        };
        let claims = Claims {
            registry: Registry::default(),
            take_over: self.take_over,
            step_aside,
        };
        let units = ProgrammedUnits::find(Path::new("/sys"), &selection, &wishes, &claims)?;
        for unit in units.units() {
            let granted = unit.settings().map(|settings| settings.epoch);
            if let Some(granted) = granted.filter(|one| one.nanoseconds() != self.wished_epoch_ns())
            {
                log::warn!(
                    "{} has no epoch of {:?}; it takes the closest it has, {granted}",
                    unit.name(),
                    self.epoch.unwrap_or(DEFAULT_EPOCH)
                );
            }
        }
        Ok(units)
    }
}

fn parse_requests(text: &str) -> Result<RequestFilter, String> {
    let mut filters = RequestFilter::ALL.into_iter();
    filters.find(|filter| filter.name() == text).ok_or_else(|| {
        let names = RequestFilter::ALL.map(RequestFilter::name);
        format!("no requests are called so; {}", instead(text, &names, ""))
    })
}
