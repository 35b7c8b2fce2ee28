// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices that are legal and not like the ready-made ones, as processes whose clocks run: none of them is accused.

use anyhow::Result;
use chmu_conformance::cases;
use chmu_conformance::run::RunOptions;

use crate::device::{Device, failures, ran};

/// A device, as its instances are written in a configuration file.
struct Odd {
    name: &'static str,
    instances: usize,
    keys: &'static str,
}

const ODD: [Odd; 7] = [
    Odd {
        name: "operations of 150 ms",
        instances: 1,
        keys: "operation_delay = \"150ms\"",
    },
    Odd {
        name: "counters of 3 bits",
        instances: 1,
        keys: "counter_widths = 3",
    },
    Odd {
        name: "units of 2 MiB alone",
        instances: 1,
        keys: "unit_sizes = [\"2M\"]",
    },
    Odd {
        name: "no epochs, and a list of 4 entries",
        instances: 1,
        keys: "epoch_mode = false\nhotlist_entries = 4",
    },
    Odd {
        name: "an epoch for each counter",
        instances: 1,
        keys: "epoch_type = \"per-counter\"",
    },
    Odd {
        name: "reads only, one factor, and a backlog",
        instances: 2,
        keys: "trackable_requests = [\"all-read\"]\ndown_sampling_factors = [1]\npostponed_insertion = true",
    },
    Odd {
        name: "255 instances",
        instances: 255,
        keys: "hotlist_entries = 16",
    },
];

/// What a driver does first and most; the other areas run on odd devices in process.
const AREAS: [&str; 3] = ["discovery", "operation", "counter"];

#[test]
fn none_is_accused() -> Result<()> {
    let areas: Vec<_> = AREAS.map(str::to_owned).into();
    let cases = cases::matching(&areas);
    let mut accused = Vec::new();
    for Odd {
        name,
        instances,
        keys,
    } in ODD
    {
        let instance = format!("[[block.instance]]\n{keys}\n");
        let blocks = format!("[[block]]\n{}", instance.repeat(instances));
        let mut device = Device::start_odd(&blocks)?;
        let last = instances.saturating_sub(1).try_into()?;
        let options = RunOptions {
            instance: Some((0, last)),
            ..RunOptions::default()
        };
        let results = device.run_with(&cases, &options)?;
        assert!(
            ran(&results).len() >= cases.len() / 2,
            "{name}: {:?}",
            ran(&results)
        );
        for (case, verdict) in failures(&results) {
            accused.push(format!("{name}: {case}: {verdict:?}"));
        }
    }
    assert!(accused.is_empty(), "{}", accused.join("\n"));
    Ok(())
}
