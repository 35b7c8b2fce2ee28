// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the demo found, the verdict, and both for people.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// The least part of the hot pages that must be promoted.
pub const MINIMUM_RECALL: f64 = 0.95;

/// What guest and device said.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Report of `chmu promote`.
    pub promotion: Value,
    /// Result of `chmu prove`.
    pub proof: Value,
    /// The running workload's state file.
    pub state: Value,
    /// Result of `chmu workload`.
    pub verification: Value,
    /// What was found in the guest's kernel log, a sentence each.
    pub kernel_log: Vec<String>,
    /// The device's own counters.
    pub device: Value,
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

/// Whether the promotion was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that must hold holds.
    Pass,
    /// The reasons say what does not.
    Fail,
}

/// The demo's result. Times inside the guest are those of an emulated machine: they say nothing
/// about hardware.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are what a reader of the JSON sees")]
pub struct DemoResult {
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    pub target_node: u64,
    pub true_hot_pages: u64,
    pub reported_units: u64,
    pub promoted_pages: u64,
    pub wrong_pages_promoted: u64,
    pub precision: f64,
    pub recall: f64,
    pub placement_ok: bool,
    pub integrity_ok: bool,
    pub pages_checked: u64,
    pub corrupt_pages: u64,
    pub hotlist_overflows: u64,
    pub units_dropped: u64,
    pub batches: u64,
    pub epochs_closed: u64,
    pub requests_counted: u64,
    pub accesses_lost: u64,
    pub vcpus_without_ring: u64,
    pub epochs_late: u64,
    pub first_touch_to_first_report_ms: Option<u64>,
    pub first_touch_to_first_promotion_ms: Option<u64>,
    pub seconds_total: f64,
    pub guest_boot_seconds: f64,
    pub kernel: String,
    pub qemu: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
}

impl DemoResult {
    /// Reads the evidence and judges.
    pub fn judge(evidence: Evidence) -> Self {
        let Evidence {
            promotion,
            proof,
            state,
            verification,
            device,
            ..
        } = &evidence;
        let first_touch = time_ns(state, "first_touch_monotonic_ns");
        let since_first_touch = |key| {
            let later = time_ns(promotion, key)?;
            Some(later.saturating_sub(first_touch?) / 1_000_000)
        };
        let mut result = Self {
            verdict: Verdict::Fail,
            reasons: evidence.kernel_log.clone(),
            target_node: number(proof, "target_node"),
            true_hot_pages: number(proof, "true_hot_pages"),
            reported_units: number(promotion, "units_reported"),
            promoted_pages: number(proof, "promoted_pages"),
            wrong_pages_promoted: number(proof, "wrong_pages_promoted"),
            precision: part(proof, "precision"),
            recall: part(proof, "recall"),
            placement_ok: proof["placement_ok"] == true,
            integrity_ok: verification["corrupt_pages"] == 0,
            pages_checked: number(verification, "pages_checked"),
            corrupt_pages: number(verification, "corrupt_pages"),
            hotlist_overflows: number(promotion, "reports_with_lost_units"),
            units_dropped: instances(device, "units_dropped"),
            batches: number(promotion, "batches"),
            epochs_closed: instances(device, "epochs_closed"),
            requests_counted: instances(device, "requests_counted"),
            accesses_lost: number(&device["feed"], "lost"),
            vcpus_without_ring: number(&device["feed"], "vcpus_without_ring"),
            epochs_late: number(&device["feed"], "epochs_late"),
            first_touch_to_first_report_ms: since_first_touch("first_report_monotonic_ns"),
            first_touch_to_first_promotion_ms: since_first_touch("first_promotion_monotonic_ns"),
            seconds_total: evidence.total.as_secs_f64(),
            guest_boot_seconds: evidence.guest_boot.as_secs_f64(),
            kernel: evidence.kernel.clone(),
            qemu: evidence.qemu.clone(),
            kept: evidence.kept.clone(),
        };
        result.add_reasons();
        if result.reasons.is_empty() {
            result.verdict = Verdict::Pass;
        }
        result
    }

    fn add_reasons(&mut self) {
        let corrupt = self.corrupt_pages;
        let rules = [
            (
                self.recall >= MINIMUM_RECALL,
                format!(
                    "{:.1} % of the hot pages were promoted, not {:.0} %",
                    self.recall * 100.0,
                    MINIMUM_RECALL * 100.0
                ),
            ),
            (
                self.wrong_pages_promoted == 0,
                format!("{} cold pages were promoted", self.wrong_pages_promoted),
            ),
            (
                self.placement_ok,
                format!(
                    "Promoted pages are missing or not on node {}",
                    self.target_node
                ),
            ),
            (
                self.integrity_ok,
                format!("{corrupt} pages do not hold what was written to them"),
            ),
            (
                self.vcpus_without_ring == 0,
                format!(
                    "The accesses of {} vCPUs were not counted; the device needs more access_rings",
                    self.vcpus_without_ring
                ),
            ),
            (
                self.reported_units > 0,
                "The device reported no hot unit".to_owned(),
            ),
        ];
        let broken = rules.into_iter().filter(|(holds, _)| !holds);
        self.reasons.extend(broken.map(|(_, reason)| reason));
    }
}

fn number(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or(0)
}

fn part(object: &Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or(0.0)
}

fn time_ns(object: &Value, key: &str) -> Option<u64> {
    object[key].as_u64()
}

/// The sum of a counter over all instances of all blocks.
fn instances(device: &Value, key: &str) -> u64 {
    let blocks = device["blocks"].as_array().into_iter().flatten();
    let instances = blocks.filter_map(Value::as_array).flatten();
    instances.map(|instance| number(instance, key)).sum()
}

impl fmt::Display for DemoResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes_no = |holds| if holds { "yes" } else { "NO" };
        let milliseconds = |time: Option<u64>| {
            time.map_or_else(
                || "-".to_owned(),
                |time| format!("{time} ms of emulated time"),
            )
        };
        let rows = [
            (
                "platform",
                format!("QEMU {}, Linux {}", self.qemu, self.kernel),
            ),
            ("guest boot", format!("{:.1} s", self.guest_boot_seconds)),
            ("hot pages", self.true_hot_pages.to_string()),
            ("units reported", self.reported_units.to_string()),
            ("units dropped", self.units_dropped.to_string()),
            ("hotlist overflows", self.hotlist_overflows.to_string()),
            ("accesses lost", self.accesses_lost.to_string()),
            ("epochs late", self.epochs_late.to_string()),
            (
                "pages promoted",
                format!(
                    "{} in {} batches to node {}",
                    self.promoted_pages, self.batches, self.target_node
                ),
            ),
            (
                "wrong pages promoted",
                self.wrong_pages_promoted.to_string(),
            ),
            ("precision", format!("{:.3}", self.precision)),
            ("recall", format!("{:.3}", self.recall)),
            ("placement right", yes_no(self.placement_ok).to_owned()),
            (
                "content intact",
                format!(
                    "{} ({} pages checked)",
                    yes_no(self.integrity_ok),
                    self.pages_checked
                ),
            ),
            (
                "first touch to report",
                milliseconds(self.first_touch_to_first_report_ms),
            ),
            (
                "first touch to promotion",
                milliseconds(self.first_touch_to_first_promotion_ms),
            ),
            ("total", format!("{:.1} s", self.seconds_total)),
        ];
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in rows {
            writeln!(f, "{name:width$}  {value}")?;
        }
        match self.verdict {
            Verdict::Pass => writeln!(f, "{:width$}  PASS", "verdict")?,
            Verdict::Fail => writeln!(f, "{:width$}  FAIL", "verdict")?,
        }
        for reason in &self.reasons {
            writeln!(f, "{:width$}  {reason}", "")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn evidence() -> Evidence {
        Evidence {
            promotion: json!({"units_reported": 600, "reports_with_lost_units": 1, "batches": 4,
                "first_report_monotonic_ns": 5_200_000_000_u64}),
            proof: json!({"target_node": 0, "true_hot_pages": 512, "promoted_pages": 512,
                "wrong_pages_promoted": 0, "precision": 1.0, "recall": 1.0, "placement_ok": true}),
            state: json!({"first_touch_monotonic_ns": 5_000_000_000_u64}),
            verification: json!({"pages_checked": 4096, "corrupt_pages": 0}),
            device: json!({"blocks": [[{"units_dropped": 3}, {"units_dropped": 4}]],
                "feed": {"lost": 0}}),
            ..Evidence::default()
        }
    }

    #[test]
    fn good_evidence_passes() {
        let result = DemoResult::judge(evidence());
        assert_eq!(result.verdict, Verdict::Pass);
        assert_eq!(result.reasons, Vec::<String>::new());
        assert_eq!(result.units_dropped, 7);
        assert_eq!(result.first_touch_to_first_report_ms, Some(200));
        assert_eq!(result.first_touch_to_first_promotion_ms, None);
    }

    #[test]
    fn each_broken_rule_fails_with_its_reason() {
        type Spoil = fn(&mut Evidence);
        let broken: [(Spoil, &str); 7] = [
            (
                |evidence| evidence.proof["recall"] = json!(0.949),
                "94.9 % of the hot pages",
            ),
            (
                |evidence| evidence.proof["wrong_pages_promoted"] = json!(1),
                "1 cold pages",
            ),
            (
                |evidence| evidence.proof["placement_ok"] = json!(false),
                "not on node 0",
            ),
            (
                |evidence| evidence.verification["corrupt_pages"] = json!(2),
                "2 pages do not hold",
            ),
            (
                |evidence| evidence.device["feed"]["vcpus_without_ring"] = json!(8),
                "The accesses of 8 vCPUs were not counted",
            ),
            (
                |evidence| evidence.promotion["units_reported"] = json!(0),
                "no hot unit",
            ),
            (
                |evidence| evidence.kernel_log.push("A warning".into()),
                "A warning",
            ),
        ];
        for (spoil, expected) in broken {
            let mut evidence = evidence();
            spoil(&mut evidence);
            let result = DemoResult::judge(evidence);
            assert_eq!(result.verdict, Verdict::Fail, "{expected}");
            assert_eq!(result.reasons.len(), 1, "{:?}", result.reasons);
            assert!(result.reasons[0].contains(expected), "{:?}", result.reasons);
        }
    }

    #[test]
    fn no_evidence_is_no_pass() {
        assert_eq!(
            DemoResult::judge(Evidence::default()).verdict,
            Verdict::Fail
        );
    }

    #[test]
    fn the_table_is_aligned() {
        let table = DemoResult::judge(evidence()).to_string();
        let columns: Vec<_> = table.lines().map(|line| &line[..26]).collect();
        assert!(
            columns.iter().all(|column| column.ends_with("  ")),
            "{table}"
        );
        assert!(table.contains("PASS"));
    }
}
