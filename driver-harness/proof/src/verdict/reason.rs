// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The claims of a proof, and the reasons for which they fail.

use serde::{Deserialize, Serialize};

/// Something that a right promotion makes true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Enough of the hot pages are promoted.
    Recall,
    /// No cold page was moved, or no more than allowed.
    Precision,
    /// Every promoted page is on a node that is a target for it, and no page is absent.
    Placement,
    /// Every page holds what was written to it, now and at each access.
    Content,
    /// The ledger is whole and agrees with itself.
    Ledger,
    /// What the ledger says and where pages are agree, both ways: nobody else moved any.
    Attribution,
    /// Each folio was reported before it was moved, and by a report about what its frames held.
    Order,
    /// Nothing moved faster than the policy allows.
    Rate,
}

impl Claim {
    /// All of them.
    pub const ALL: [Claim; 8] = [
        Claim::Recall,
        Claim::Precision,
        Claim::Placement,
        Claim::Content,
        Claim::Ledger,
        Claim::Attribution,
        Claim::Order,
        Claim::Rate,
    ];

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Claim::Recall => "enough hot pages are promoted",
            Claim::Precision => "no cold page was moved",
            Claim::Placement => "promoted pages are where they belong",
            Claim::Content => "pages hold what was written to them",
            Claim::Ledger => "the ledger is whole",
            Claim::Attribution => "ledger and placement agree",
            Claim::Order => "each page was reported before it moved",
            Claim::Rate => "the rate was kept",
        }
    }

    /// It takes a ledger to prove it.
    pub fn needs_ledger(self) -> bool {
        matches!(
            self,
            Claim::Ledger | Claim::Attribution | Claim::Order | Claim::Rate
        )
    }
}

/// Why a claim fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A hot page is not promoted, and too many are not.
    NotPromoted,
    /// A page was moved that was never hot before, whether it came back or not.
    ColdPageMoved,
    /// A page was moved that had been hot, but no longer was.
    StalePageMoved,
    /// A page was moved before it became hot.
    MovedBeforeHot,
    /// A page was demoted to make room while it was hot.
    HotPageDemoted,
    /// A page of which no truth is known was promoted, although nothing else was allowed to be.
    ForeignPageMoved,
    /// A page is on a node that is neither where it started nor a target for it.
    ThirdNode,
    /// A page is nowhere in memory.
    PageGone,
    /// The ledger says that a page was sent to a node that is no target for it.
    NotATarget,
    /// A page does not hold what was written to it.
    WrongContent,
    /// An access found what an earlier write had left: a later write was lost, or the read was of an
    /// old copy.
    OutdatedWord,
    /// An access found what was never written to that word.
    WrongWord,
    /// The ledger has no end.
    LedgerUnfinished,
    /// The ledger's sums are not those of its lines.
    LedgerTotals,
    /// Lines of the ledger are not in an order in which they can be written.
    LedgerOrder,
    /// The ledger's first line does not tell what later ones depend on.
    LedgerBeginning,
    /// The ledger does not say that a folio waited before its batch, or who reported it.
    LedgerCauseMissing,
    /// The ledger does not say what became of a folio.
    LedgerFateMissing,
    /// The ledger says what became of a folio that was not in that batch, or says it twice.
    LedgerFateInvented,
    /// A batch is larger, or a folio waited that was colder, than the ledger's own policy allows.
    LedgerPolicy,
    /// A page moved of which the ledger says nothing: somebody else moved it.
    MovedByOthers,
    /// The ledger says that a page stayed, and it moved.
    SaidStayedButMoved,
    /// The ledger says that a page moved, and it is where it was.
    SaidMovedButStayed,
    /// Part of a folio moved, and the rest stayed.
    FolioTorn,
    /// A page is on another node than the ledger says.
    OtherNodeThanSaid,
    /// A page was promoted and came back, and the ledger knows of no demotion.
    CameBack,
    /// A folio moved that was never reported.
    NeverReported,
    /// A folio moved before it was reported.
    MovedBeforeReported,
    /// A folio moved twice for one report: the second time its frames held something else.
    MovedTwice,
    /// More pages moved in a time than the policy allows.
    OverRate,
}

impl Reason {
    /// The claim that it breaks.
    pub fn claim(self) -> Claim {
        match self {
            Reason::NotPromoted => Claim::Recall,
            Reason::ColdPageMoved
            | Reason::StalePageMoved
            | Reason::MovedBeforeHot
            | Reason::HotPageDemoted
            | Reason::ForeignPageMoved => Claim::Precision,
            Reason::ThirdNode | Reason::PageGone | Reason::NotATarget => Claim::Placement,
            Reason::WrongContent | Reason::OutdatedWord | Reason::WrongWord => Claim::Content,
            Reason::LedgerUnfinished
            | Reason::LedgerTotals
            | Reason::LedgerOrder
            | Reason::LedgerBeginning
            | Reason::LedgerCauseMissing
            | Reason::LedgerFateMissing
            | Reason::LedgerFateInvented
            | Reason::LedgerPolicy => Claim::Ledger,
            Reason::MovedByOthers
            | Reason::SaidStayedButMoved
            | Reason::SaidMovedButStayed
            | Reason::FolioTorn
            | Reason::OtherNodeThanSaid
            | Reason::CameBack => Claim::Attribution,
            Reason::NeverReported | Reason::MovedBeforeReported | Reason::MovedTwice => {
                Claim::Order
            }
            Reason::OverRate => Claim::Rate,
        }
    }

    /// One of them and several, in words.
    pub fn text(self) -> (&'static str, &'static str) {
        match self {
            Reason::NotPromoted => ("hot page is not promoted", "hot pages are not promoted"),
            Reason::ColdPageMoved => ("cold page was moved", "cold pages were moved"),
            Reason::StalePageMoved => (
                "page was moved when it was no longer hot",
                "pages were moved when they were no longer hot",
            ),
            Reason::MovedBeforeHot => (
                "page was moved before it became hot",
                "pages were moved before they became hot",
            ),
            Reason::HotPageDemoted => (
                "hot page was demoted to make room",
                "hot pages were demoted to make room",
            ),
            Reason::ForeignPageMoved => ("page of others was moved", "pages of others were moved"),
            Reason::ThirdNode => (
                "page is on a node that is neither source nor target",
                "pages are on a node that is neither source nor target",
            ),
            Reason::PageGone => ("page is nowhere in memory", "pages are nowhere in memory"),
            Reason::NotATarget => (
                "folio was sent to a node that is no target for it",
                "folios were sent to a node that is no target for them",
            ),
            Reason::WrongContent => (
                "page does not hold what was written to it",
                "pages do not hold what was written to them",
            ),
            Reason::OutdatedWord => (
                "access found an outdated word: a write was lost, or an old copy read",
                "accesses found an outdated word: a write was lost, or an old copy read",
            ),
            Reason::WrongWord => (
                "access found a word that was never written there",
                "accesses found a word that was never written there",
            ),
            Reason::LedgerUnfinished => ("ledger has no end", "ledgers have no end"),
            Reason::LedgerTotals => (
                "sum of the ledger disagrees with its lines",
                "sums of the ledger disagree with its lines",
            ),
            Reason::LedgerOrder => (
                "line of the ledger cannot come where it does",
                "lines of the ledger cannot come where they do",
            ),
            Reason::LedgerPolicy => (
                "line of the ledger does what its own policy forbids",
                "lines of the ledger do what its own policy forbids",
            ),
            Reason::LedgerBeginning => (
                "line of the ledger lacks what its beginning must tell",
                "lines of the ledger lack what its beginning must tell",
            ),
            Reason::LedgerCauseMissing => (
                "line is about a folio of which an earlier line is missing",
                "lines are about folios of which earlier lines are missing",
            ),
            Reason::LedgerFateMissing => (
                "batch has folios of which nothing more is said",
                "batches have folios of which nothing more is said",
            ),
            Reason::LedgerFateInvented => (
                "line is about a folio that was not in its batch",
                "lines are about folios that were not in their batch",
            ),
            Reason::MovedByOthers => (
                "page was moved by somebody else: the ledger does not know of it",
                "pages were moved by somebody else: the ledger does not know of it",
            ),
            Reason::SaidStayedButMoved => (
                "page moved although the ledger says that it stayed",
                "pages moved although the ledger says that they stayed",
            ),
            Reason::SaidMovedButStayed => (
                "page stayed although the ledger says that it moved",
                "pages stayed although the ledger says that they moved",
            ),
            Reason::FolioTorn => (
                "page stayed behind when its folio moved",
                "pages stayed behind when their folio moved",
            ),
            Reason::OtherNodeThanSaid => (
                "page is on another node than the ledger says",
                "pages are on another node than the ledger says",
            ),
            Reason::CameBack => (
                "page was promoted and came back, which the ledger does not know",
                "pages were promoted and came back, which the ledger does not know",
            ),
            Reason::NeverReported => (
                "folio was moved that was never reported",
                "folios were moved that were never reported",
            ),
            Reason::MovedBeforeReported => (
                "folio was moved before it was reported",
                "folios were moved before they were reported",
            ),
            Reason::MovedTwice => (
                "folio was moved twice for one report",
                "folios were moved twice for one report",
            ),
            Reason::OverRate => (
                "batch went beyond the policy's rate",
                "batches went beyond the policy's rate",
            ),
        }
    }
}
