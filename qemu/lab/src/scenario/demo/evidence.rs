// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What guest and device said. A field that is missing is an error: nothing is taken for zero.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use chmu_proof::verdict;
use chmu_proof::workload::report::WorkloadReport;
use chmu_proof::workload::state::State;
use serde::Deserialize;
use serde_json::Value;

/// What programs in the guest said.
#[derive(Debug, Clone)]
pub struct GuestEvidence {
    /// Report of `chmu promote`.
    pub promotion: Promotion,
    /// Result of `chmu prove`.
    pub proof: verdict::Verdict,
    /// The running workload's state file.
    pub state: State,
    /// Result of `chmu workload`.
    pub report: WorkloadReport,
}

/// What guest, device and lab said.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// What programs in the guest said.
    pub guest: GuestEvidence,
    /// What was found in the guest's kernel log, a sentence each.
    pub kernel_log: Vec<String>,
    /// The device's own counters.
    pub device: Device,
    /// The guest's kernel release.
    pub kernel: String,
    /// QEMU's version.
    pub qemu: String,
    /// From the first process to the agent's first word.
    pub guest_boot: Duration,
    /// From the user's command to here.
    pub total: Duration,
    /// The run's folder, if it was kept.
    pub kept: Option<PathBuf>,
}

/// What the demo reads of a promotion's report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Promotion {
    /// Hot units reported.
    pub units_reported: u64,
    /// Reports at which the source had found more units than it could tell.
    pub reports_with_lost_units: u64,
    /// Batches handed to the actuator.
    pub batches: u64,
    /// When the first hot unit was reported, on the guest's `CLOCK_MONOTONIC`.
    #[serde(deserialize_with = "Option::deserialize")]
    pub first_report_monotonic_ns: Option<u64>,
    /// When the first page had arrived.
    #[serde(deserialize_with = "Option::deserialize")]
    pub first_promotion_monotonic_ns: Option<u64>,
}

/// What the demo reads of the device's counters: sums over all its instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Device {
    /// Hot units for which the list had no room.
    pub units_dropped: u64,
    /// Epochs that ended.
    pub epochs_closed: u64,
    /// Requests that counted.
    pub requests_counted: u64,
    /// Accesses that did not reach the device.
    pub accesses_lost: u64,
    /// Virtual processors whose accesses did not reach the device.
    pub vcpus_without_ring: u64,
    /// Epochs that ended later than they should.
    pub epochs_late: u64,
}

impl Device {
    /// Reads what the device's statistics socket said.
    pub(super) fn read(statistics: &Value) -> Result<Device> {
        #[derive(Deserialize)]
        struct Statistics {
            blocks: Vec<Vec<Instance>>,
            feed: Feed,
        }
        #[derive(Deserialize)]
        struct Instance {
            units_dropped: u64,
            epochs_closed: u64,
            requests_counted: u64,
        }
        #[derive(Deserialize)]
        struct Feed {
            lost: u64,
            vcpus_without_ring: u64,
            epochs_late: u64,
        }
        let statistics = Statistics::deserialize(statistics);
        let Statistics { blocks, feed } =
            statistics.context("The device's statistics are incomplete")?;
        let instances: Vec<_> = blocks.into_iter().flatten().collect();
        let sum = |counter: fn(&Instance) -> u64| instances.iter().map(counter).sum();
        Ok(Device {
            units_dropped: sum(|instance| instance.units_dropped),
            epochs_closed: sum(|instance| instance.epochs_closed),
            requests_counted: sum(|instance| instance.requests_counted),
            accesses_lost: feed.lost,
            vcpus_without_ring: feed.vcpus_without_ring,
            epochs_late: feed.epochs_late,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn statistics() -> Value {
        let instance = json!({"units_dropped": 3, "epochs_closed": 5, "requests_counted": 7});
        let feed = json!({"lost": 1, "vcpus_without_ring": 2, "epochs_late": 4});
        json!({"blocks": [[instance, instance], [instance]], "feed": feed})
    }

    #[test]
    fn counters_are_summed_over_all_instances() {
        let expected = Device {
            units_dropped: 9,
            epochs_closed: 15,
            requests_counted: 21,
            accesses_lost: 1,
            vcpus_without_ring: 2,
            epochs_late: 4,
        };
        assert_eq!(Device::read(&statistics()).unwrap(), expected);
    }

    #[test]
    fn a_counter_that_is_missing_is_no_zero() {
        for counter in ["lost", "vcpus_without_ring", "epochs_late"] {
            let mut statistics = statistics();
            statistics["feed"].as_object_mut().unwrap().remove(counter);
            assert!(Device::read(&statistics).is_err(), "{counter}");
        }
        assert!(Device::read(&json!({})).is_err());
        let promotion = json!({"units_reported": 1, "reports_with_lost_units": 0, "batches": 1,
            "first_report_monotonic_ns": null});
        assert!(Promotion::deserialize(promotion).is_err());
    }
}
