// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The configuration file of a device, from the memory that the topology gives it.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::size::ByteSize;
use crate::topology::PlacedDevice;

/// What an interleaved device offers.
const FINE_UNITS: [&str; 14] = [
    "256B", "512B", "1K", "2K", "4K", "8K", "16K", "32K", "64K", "128K", "256K", "512K", "1M", "2M",
];
const FINE_HOTLIST_ENTRIES: i64 = 4096;

/// The configuration of `vfio-user-chmu` for `device`; `settings` are top-level keys that the
/// topology says nothing of, such as `vectors` and `block`. Unless they say otherwise, there is a
/// ring for the accesses of each processor, and an interleaved device has units that are small
/// enough to belong to one page.
///
/// # Errors
/// When `settings` has a key that follows from the topology, or a number is too large for TOML.
pub fn device_config(device: &PlacedDevice<'_>, settings: &Table) -> Result<String> {
    let performance = device.performance;
    let mut config = settings.clone();
    config
        .entry("access_rings")
        .or_insert_with(|| i64::from(device.processors).into());
    let is_chosen = config.contains_key("block") || config.contains_key("profile");
    if device.window.window.devices.len() > 1 && !is_chosen {
        config.insert("block".to_owned(), fine_block());
    }
    let size = Value::String(ByteSize(device.memory_bytes()).to_string());
    for (key, value) in [
        ("serial_number", number(device.device.serial_number)?),
        ("memory", size),
        ("latency", format!("{}ns", performance.latency_ns).into()),
        (
            "bandwidth",
            format!("{}M", performance.bandwidth_mib_per_s).into(),
        ),
        ("decoder", Value::Array(vec![decoder(device)?.into()])),
    ] {
        if config.insert(key.to_owned(), value).is_some() {
            bail!("The device's settings contain {key}, which follows from the topology");
        }
    }
    Ok(toml::to_string(&config)?)
}

/// One instance as usual, but with every unit size from the finest granule on, and a hotlist that
/// has room for as many more of them.
fn fine_block() -> Value {
    let mut instance = Table::new();
    instance.insert("unit_sizes".into(), FINE_UNITS.to_vec().into());
    instance.insert("hotlist_entries".into(), FINE_HOTLIST_ENTRIES.into());
    let mut block = Table::new();
    block.insert("instance".into(), Value::Array(vec![instance.into()]));
    Value::Array(vec![block.into()])
}

fn decoder(device: &PlacedDevice<'_>) -> Result<Table> {
    let window = &device.window;
    let mut decoder = Table::new();
    decoder.insert("base".into(), number(window.base.0)?);
    decoder.insert(
        "size".into(),
        ByteSize(window.size_bytes).to_string().into(),
    );
    let ways = i64::try_from(window.window.devices.len())?;
    decoder.insert("ways".into(), ways.into());
    let granularity = i64::from(window.window.granularity_bytes);
    decoder.insert("granularity".into(), granularity.into());
    decoder.insert("position".into(), i64::try_from(device.position)?.into());
    Ok(decoder)
}

fn number(value: u64) -> Result<Value> {
    let number = i64::try_from(value)
        .with_context(|| format!("{value:#x} cannot be written in TOML; at most 2^63-1 can"))?;
    Ok(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Device, Topology};

    #[test]
    fn the_default_device_serves_its_whole_window() {
        let topology = Topology::default();
        let mut settings = Table::new();
        settings.insert("vectors".into(), 4.into());
        let config = device_config(&topology.devices()[0], &settings).unwrap();
        let expected = "access_rings = 2\nbandwidth = \"20480M\"\nlatency = \"198ns\"\n\
                        memory = \"1G\"\nserial_number = 3298820097\nvectors = 4\n\n\
                        [[decoder]]\nbase = 4294967296\ngranularity = 256\nposition = 0\n\
                        size = \"1G\"\nways = 1\n";
        assert_eq!(config, expected);
    }

    #[test]
    fn interleaved_devices_share_the_window() {
        let mut topology = Topology::default();
        let window = topology.nodes[1].window.as_mut().unwrap();
        window.devices = [7, 8].map(|serial_number| Device { serial_number }).into();
        window.granularity_bytes = 1024;
        let config = device_config(&topology.devices()[1], &Table::new()).unwrap();
        for line in [
            "memory = \"512M\"",
            "serial_number = 8",
            "size = \"1G\"",
            "ways = 2",
            "granularity = 1024",
            "position = 1",
            "hotlist_entries = 4096",
        ] {
            assert!(
                config.lines().any(|found| found == line),
                "{line}: {config}"
            );
        }
    }

    #[test]
    fn a_chosen_device_is_left_as_it_is() {
        let mut topology = Topology::default();
        let window = topology.nodes[1].window.as_mut().unwrap();
        window.devices = [7, 8].map(|serial_number| Device { serial_number }).into();
        for text in [
            "profile = \"minimal\"",
            "[[block]]\n[[block.instance]]\nseed = 3",
        ] {
            let config = device_config(&topology.devices()[1], &text.parse().unwrap()).unwrap();
            assert!(!config.contains("4096"), "{config}");
        }
    }

    #[test]
    fn settings_cannot_contradict_the_topology() {
        let topology = Topology::default();
        let mut settings = Table::new();
        settings.insert("memory".into(), "2G".into());
        let error = device_config(&topology.devices()[0], &settings).unwrap_err();
        assert!(error.to_string().contains("contain memory"), "{error}");
    }
}
