// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What every verb says of its run.

use serde::Serialize;

use super::Figure;
use crate::report::Section;

/// What came of a run, as it is kept, shown on a page and held against another.
pub trait Outcome: Serialize {
    /// Nothing went wrong.
    fn is_good(&self) -> bool;

    /// In a sentence.
    fn verdict(&self) -> String;

    /// In numbers.
    fn figures(&self) -> Vec<Figure>;

    /// On a page.
    fn sections(&self) -> Vec<Section>;
}
