// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A verdict as people read it.

use std::fmt;

use chmu_machine::words;

use super::{Example, Finding, LedgerCounts, Outcome, Verdict};

/// Examples that a reason shows.
const SHOWN: usize = 3;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "FAIL",
            Outcome::Unproved => "unproved",
            Outcome::NotClaimed => "not claimed",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let part =
            |part: Option<f64>| part.map_or_else(|| "-".to_owned(), |part| format!("{part:.3}"));
        writeln!(
            f,
            "{} of {} hot pages are promoted (recall {}), and {} (precision {})",
            counts.promoted_hot_pages,
            counts.true_hot_pages,
            part(self.recall),
            words::count(counts.wrong_pages_promoted, "cold one", "cold ones"),
            part(self.precision)
        )?;
        if counts.promoted_pages != counts.promoted_folios {
            writeln!(
                f,
                "{} in {}: large folios took {} along (precision by pages {})",
                words::count(counts.promoted_pages, "page", "pages"),
                words::count(counts.promoted_folios, "folio", "folios"),
                words::count(counts.pages_taken_along, "cold page", "cold pages"),
                part(self.page_precision)
            )?;
        }
        if counts.unclear_pages > 0 {
            writeln!(
                f,
                "{} neither clearly hot nor clearly cold, {} of them moved",
                words::count(counts.unclear_pages, "page is", "pages are"),
                counts.unclear_pages_moved
            )?;
        }
        for (node, pages) in &counts.pages_by_node {
            writeln!(f, "node {node}: {pages} of {} pages", counts.pages)?;
        }
        if let Some(ledger) = &self.ledger {
            write_ledger(f, ledger)?;
        }
        writeln!(f, "truth: {}", self.truth)?;
        for judgement in &self.claims {
            let text = judgement.claim.text();
            write!(f, "{:<11}  {text}", judgement.outcome.to_string())?;
            match &judgement.missing {
                Some(missing) => writeln!(f, ": {missing}")?,
                None => writeln!(f)?,
            }
            for finding in self
                .findings
                .iter()
                .filter(|one| one.claim == judgement.claim)
            {
                write_finding(f, finding)?;
            }
        }
        writeln!(f, "verdict: {}", self.verdict)
    }
}

fn write_ledger(f: &mut fmt::Formatter<'_>, ledger: &LedgerCounts) -> fmt::Result {
    write!(
        f,
        "ledger: {} of {} reported; {} of {} moved in {}",
        words::count(ledger.units_reported, "unit", "units"),
        words::count(ledger.pages_reported, "page", "pages"),
        words::count(ledger.folios_moved, "folio", "folios"),
        words::count(ledger.pages_moved, "page", "pages"),
        words::count(ledger.batches, "batch", "batches"),
    )?;
    if ledger.foreign_pages_moved > 0 {
        write!(f, "; {} of them of others", ledger.foreign_pages_moved)?;
    }
    writeln!(f)
}

fn write_finding(f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
    let (one, several) = finding.reason.text();
    writeln!(
        f,
        "             {}",
        words::count(finding.count, one, several)
    )?;
    for example in finding.examples.iter().take(SHOWN) {
        writeln!(f, "               {example}")?;
    }
    let shown = finding.examples.len().min(SHOWN) as u64;
    match finding.count.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(f, "               and {more} more"),
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut places = Vec::new();
        places.extend(self.process_id.map(|id| format!("process {id}")));
        places.extend(self.page.map(|page| format!("page {page}")));
        places.extend(self.address.map(|address| format!("address {address:#x}")));
        places.extend(self.frame.map(|frame| format!("frame {frame:#x}")));
        places.extend(self.line.map(|line| format!("ledger line {line}")));
        match places.is_empty() {
            true => f.write_str(&self.detail),
            false => write!(f, "{}: {}", places.join(" "), self.detail),
        }
    }
}
