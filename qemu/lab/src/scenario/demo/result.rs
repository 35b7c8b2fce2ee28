// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the demo found, the verdict, and both for people.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use chmu_machine::node::NodeId;
use chmu_machine::words;
use chmu_proof::verdict::{Claim, Outcome};
use serde::Serialize;

use super::evidence::{Evidence, GuestEvidence};
use super::timeline::Timeline;
use crate::topology::Topology;

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
    pub pages_by_node: BTreeMap<NodeId, u64>,
    pub true_hot_pages: u64,
    pub reported_units: u64,
    pub promoted_pages: u64,
    pub promoted_folios: u64,
    pub wrong_pages_promoted: u64,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub placement_ok: bool,
    pub integrity_ok: bool,
    pub words_checked: u64,
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
    #[serde(skip)]
    pub timeline: Option<Timeline>,
    #[serde(skip)]
    pub machine: Option<Topology>,
}

impl DemoResult {
    /// Reads the evidence and judges.
    pub fn judge(evidence: &Evidence) -> Self {
        let GuestEvidence {
            promotion,
            proof,
            state,
            report,
        } = &evidence.guest;
        let (device, counts) = (&evidence.device, &proof.counts);
        let since_first_touch = |later: Option<u64>| {
            let passed_ns = later?.saturating_sub(state.first_touch_monotonic_ns?);
            Some(passed_ns / 1_000_000)
        };
        let mut result = Self {
            verdict: Verdict::Fail,
            reasons: evidence.kernel_log.clone(),
            pages_by_node: counts.pages_by_node.clone(),
            true_hot_pages: counts.true_hot_pages,
            reported_units: promotion.units_reported,
            promoted_pages: counts.promoted_pages,
            promoted_folios: counts.promoted_folios,
            wrong_pages_promoted: counts.wrong_pages_promoted,
            precision: proof.precision,
            recall: proof.recall,
            placement_ok: proof.outcome(Claim::Placement) == Outcome::Pass,
            integrity_ok: proof.outcome(Claim::Content) == Outcome::Pass && report.is_right(),
            words_checked: report.checks.words_checked,
            pages_checked: report.verification.pages_checked,
            corrupt_pages: report.verification.corrupt_pages,
            hotlist_overflows: promotion.reports_with_lost_units,
            units_dropped: device.units_dropped,
            batches: promotion.batches,
            epochs_closed: device.epochs_closed,
            requests_counted: device.requests_counted,
            accesses_lost: device.accesses_lost,
            vcpus_without_ring: device.vcpus_without_ring,
            epochs_late: device.epochs_late,
            first_touch_to_first_report_ms: since_first_touch(promotion.first_report_monotonic_ns),
            first_touch_to_first_promotion_ms: since_first_touch(
                promotion.first_promotion_monotonic_ns,
            ),
            seconds_total: evidence.total.as_secs_f64(),
            guest_boot_seconds: evidence.guest_boot.as_secs_f64(),
            kernel: evidence.kernel.clone(),
            qemu: evidence.qemu.clone(),
            kept: evidence.kept.clone(),
            timeline: None,
            machine: None,
        };
        result
            .reasons
            .extend(crate::scenario::proof::reasons(proof, &Claim::ALL));
        result.add_reasons();
        if result.reasons.is_empty() {
            result.verdict = Verdict::Pass;
        }
        result
    }

    fn add_reasons(&mut self) {
        let (corrupt, vcpus) = (self.corrupt_pages, self.vcpus_without_ring);
        let rules = [
            (
                self.integrity_ok || corrupt == 0,
                format!("{corrupt} pages do not hold what was written to them"),
            ),
            (
                self.integrity_ok || corrupt > 0,
                "The workload found wrong words when it accessed them".to_owned(),
            ),
            (
                vcpus == 0,
                format!(
                    "The accesses of {vcpus} vCPUs were not counted; the device needs more access_rings"
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

impl DemoResult {
    /// What is told of it, a name and a value each.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let part =
            |part: Option<f64>| part.map_or_else(|| "-".to_owned(), |part| format!("{part:.3}"));
        let yes_no = |holds| if holds { "yes" } else { "NO" };
        let milliseconds = |time: Option<u64>| {
            time.map_or_else(
                || "-".to_owned(),
                |time| format!("{time} ms of emulated time"),
            )
        };
        vec![
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
                    "{} in {}",
                    self.promoted_pages,
                    words::count(self.batches, "batch", "batches")
                ),
            ),
            (
                "wrong pages promoted",
                self.wrong_pages_promoted.to_string(),
            ),
            ("precision", part(self.precision)),
            ("recall", part(self.recall)),
            ("placement right", yes_no(self.placement_ok).to_owned()),
            (
                "content intact",
                format!(
                    "{} ({} pages and {} accesses checked)",
                    yes_no(self.integrity_ok),
                    self.pages_checked,
                    self.words_checked
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
        ]
    }
}

impl fmt::Display for DemoResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
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
pub(super) mod tests;
