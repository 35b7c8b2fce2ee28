// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which units a verb uses, and what they are told to do.

use std::path::Path;
use std::time::Duration;

use chmu_spec::chmu::Mode;
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

use chmu_harness::device::{Access, Selection, Wishes};
use chmu_harness::source::{ChmuSource, OpenError};

use super::duration;

#[derive(Debug, clap::Args)]
pub(super) struct UnitOptions {
    /// The device: a PCI address or a memory device such as mem0 [default: every device].
    #[arg(long)]
    device: Option<String>,
    /// The unit, as chmu list names it [default: the first of each device].
    #[arg(long)]
    unit: Option<String>,
    /// How registers are reached [default: vfio when vfio-pci is bound, else sysfs].
    #[arg(long, value_enum)]
    transport: Option<Access>,
    /// Size of a unit, for example 4K or 2M [default: 4K where supported].
    #[arg(long, value_name = "SIZE")]
    unit_size: Option<UnitSize>,
    /// Accesses within one epoch that make a unit hot [default: 32].
    #[arg(long, value_name = "COUNT")]
    threshold: Option<u32>,
    /// Length of an epoch, for example 100ms.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "100ms")]
    pub(super) epoch: Duration,
    /// When hot units are reported [default: at the end of each epoch where supported].
    #[arg(long, value_enum)]
    mode: Option<ModeName>,
    /// Which requests count, for example non-tee-read [default: reads and writes].
    #[arg(long, value_name = "REQUESTS", value_parser = parse_requests)]
    requests: Option<RequestFilter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ModeName {
    /// At the end of each epoch, with counts.
    Epoch,
    /// As soon as a unit is hot.
    AlwaysOn,
}

impl UnitOptions {
    /// Programs the units and lets them count.
    pub(super) fn open(&self) -> Result<ChmuSource, OpenError> {
        let selection = Selection {
            device: self.device.clone(),
            unit: self.unit.clone(),
            access: self.transport,
        };
        let wishes = Wishes {
            unit_size: self.unit_size,
            threshold: self.threshold,
            epoch_ns: Some(u64::try_from(self.epoch.as_nanos()).unwrap_or(u64::MAX)),
            filter: self.requests,
            mode: self.mode.map(|mode| match mode {
                ModeName::Epoch => Mode::Epoch,
                ModeName::AlwaysOn => Mode::AlwaysOn,
            }),
            ..Wishes::default()
        };
        ChmuSource::open(Path::new("/sys"), &selection, &wishes)
    }
}

fn parse_requests(text: &str) -> Result<RequestFilter, String> {
    let mut filters = RequestFilter::ALL.into_iter();
    filters.find(|filter| filter.name() == text).ok_or_else(|| {
        let names = RequestFilter::ALL.map(RequestFilter::name).join(", ");
        format!("There are no such requests; there are {names}")
    })
}
