// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The listing for people: a tree of devices, blocks and instances with aligned values.

use std::fmt::{self, Display, Formatter};

use chmu_spec::chmu::Operation;
use chmu_spec::epoch::EpochLength;
use chmu_spec::unit_size::UnitSize;

use super::{
    ListedBlock, ListedCapabilities, ListedConfiguration, ListedDevice, ListedInstance,
    ListedStatus,
};

/// Columns of a value's name.
const NAME_COLUMNS: usize = 14;

/// Devices in the form for people.
#[derive(Debug)]
pub struct Table<'a>(pub &'a [ListedDevice]);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|device| write_device(f, device))
    }
}

fn write_device(f: &mut Formatter<'_>, device: &ListedDevice) -> fmt::Result {
    f.write_str(&device.device)?;
    if let Some(memdev) = &device.memdev {
        write!(f, "  {memdev}")?;
    }
    if let Some(serial) = device.serial {
        write!(f, "  serial {serial:#x}")?;
    }
    match &device.driver {
        Some(driver) => write!(f, "  driver {driver}")?,
        None => write!(f, "  no driver")?,
    }
    if let Some(node) = device.numa_node {
        write!(f, "  node {node}")?;
    }
    writeln!(f)?;
    write_error(f, 1, device.error.as_deref())?;
    for (index, block) in device.blocks.iter().enumerate() {
        write_block(f, index, block)?;
    }
    Ok(())
}

fn write_block(f: &mut Formatter<'_>, index: usize, block: &ListedBlock) -> fmt::Result {
    write!(f, "  block {index} at BAR{}+{:#x}", block.bar, block.offset)?;
    if let Some(version) = block.version {
        write!(f, "  version {version}")?;
    }
    if let Some(length) = block.instance_length {
        let instances = match block.instances.len() {
            1 => "1 instance".to_owned(),
            count => format!("{count} instances"),
        };
        write!(f, "  {instances} of {length:#x} bytes")?;
    }
    writeln!(f)?;
    write_error(f, 2, block.error.as_deref())?;
    block
        .instances
        .iter()
        .try_for_each(|instance| write_instance(f, instance))
}

fn write_instance(f: &mut Formatter<'_>, instance: &ListedInstance) -> fmt::Result {
    writeln!(f, "    {}", instance.name)?;
    if let Some(capabilities) = &instance.capabilities {
        write_capabilities(f, capabilities)?;
    }
    if let Some(configuration) = &instance.configuration {
        write_value(f, "configured", configured(configuration))?;
    }
    if let Some(status) = &instance.status {
        write_value(f, "status", doing(status))?;
    }
    write_error(f, 3, instance.error.as_deref())
}

fn write_capabilities(f: &mut Formatter<'_>, capabilities: &ListedCapabilities) -> fmt::Result {
    write_value(f, "unit sizes", powers(&capabilities.unit_sizes, size))?;
    write_value(f, "requests", join(capabilities.requests.iter()))?;
    write_value(
        f,
        "epochs",
        format!(
            "{} to {}, {}",
            length(capabilities.minimum_epoch_ns),
            length(capabilities.maximum_epoch_ns),
            capabilities.epoch_type.unwrap_or("of a reserved type"),
        ),
    )?;
    write_value(f, "modes", join(capabilities.modes.iter()))?;
    let randomised = match capabilities.randomised_down_sampling {
        true => ", randomised on demand",
        false => "",
    };
    let factors = powers(&capabilities.down_sampling_factors, |factor| {
        factor.to_string()
    });
    write_value(f, "down-sampling", format!("{factors}{randomised}"))?;
    write_value(
        f,
        "hotlist",
        format!(
            "{} entries at {:#x}, range bitmap at {:#x}",
            capabilities.hotlist_entries,
            capabilities.hotlist_offset,
            capabilities.range_bitmap_offset
        ),
    )?;
    let interrupts = names(&[
        (capabilities.overflow_interrupt, "overflow"),
        (capabilities.fill_level_interrupt, "fill level"),
    ]);
    write_value(
        f,
        "interrupts",
        format!("{interrupts}, message {}", capabilities.message_number),
    )?;
    let features = names(&[
        (capabilities.overlapping_ranges, "overlapping ranges"),
        (capabilities.postponed_insertion, "postponed insertion"),
    ]);
    write_value(f, "features", features)
}

fn configured(configuration: &ListedConfiguration) -> String {
    let mut parts = vec![
        match configuration.unit_size {
            Some(bytes) => format!("units of {}", size(bytes)),
            None => "no unit size".into(),
        },
        format!("threshold {}", configuration.hotness_threshold),
        configuration.requests.unwrap_or("no requests").into(),
        match (configuration.mode, configuration.epoch_ns) {
            (Some("epoch"), epoch_ns) => format!("epoch {}", length(epoch_ns)),
            (mode, _) => mode.unwrap_or("no mode").into(),
        },
        format!("down-sampling {}", configuration.down_sampling_factor),
    ];
    if configuration.randomised_down_sampling {
        parts.push("randomised".into());
    }
    if configuration.overflow_interrupt {
        parts.push("interrupt on overflow".into());
    }
    if configuration.fill_level_interrupt {
        let threshold = configuration.fill_level_threshold;
        parts.push(format!("interrupt above {threshold} entries"));
    }
    parts.join(", ")
}

fn doing(status: &ListedStatus) -> String {
    let mut parts = vec![match status.enabled {
        true => "counting".to_owned(),
        false => "disabled".to_owned(),
    }];
    match (
        status.operation_in_progress,
        Operation::from_code(status.operation_in_progress),
    ) {
        (0, _) => {}
        (_, Some(Operation::Enable)) => parts.push("being enabled".into()),
        (_, Some(Operation::Disable)) => parts.push("being disabled".into()),
        (_, Some(Operation::Reset)) => parts.push("being reset".into()),
        (code, None) => parts.push(format!("operation {code} in progress")),
    }
    parts.push(format!("counters of {} bits", status.counter_width));
    parts.push(format!(
        "head {}, tail {}",
        status.hotlist_head, status.hotlist_tail
    ));
    if status.overflow {
        parts.push("units were lost".into());
    }
    if status.fill_level {
        parts.push("fill level passed".into());
    }
    parts.join(", ")
}

fn write_value(f: &mut Formatter<'_>, name: &str, value: String) -> fmt::Result {
    writeln!(f, "      {name:NAME_COLUMNS$}{value}")
}

fn write_error(f: &mut Formatter<'_>, depth: usize, error: Option<&str>) -> fmt::Result {
    match error {
        Some(error) => writeln!(f, "{:1$}error: {error}", "", depth * 2),
        None => Ok(()),
    }
}

fn names(flags: &[(bool, &str)]) -> String {
    let set = flags.iter().filter(|(set, _)| *set).map(|(_, name)| name);
    join(set)
}

fn join(names: impl Iterator<Item = impl Display>) -> String {
    let names: Vec<_> = names.map(|name| name.to_string()).collect();
    match names.is_empty() {
        true => "none".into(),
        false => names.join(", "),
    }
}

/// Ascending powers of two; a run without gaps by its ends.
fn powers<T: Copy + Into<u64>>(values: &[T], name: impl Fn(u64) -> String) -> String {
    let values: Vec<u64> = values.iter().map(|&value| value.into()).collect();
    let without_gaps = values.windows(2).all(|pair| pair[1] == pair[0] * 2);
    match *values {
        [first, _, .., last] if without_gaps && values.len() > 3 => {
            format!("{} to {}", name(first), name(last))
        }
        _ => join(values.into_iter().map(name)),
    }
}

fn size(bytes: u64) -> String {
    UnitSize::from_bytes(bytes).map_or_else(|| bytes.to_string(), |size| size.to_string())
}

fn length(nanoseconds: Option<u64>) -> String {
    let length = nanoseconds.and_then(EpochLength::from_nanoseconds);
    length.map_or_else(|| "undefined".into(), |length| length.to_string())
}
