// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What each tier of the guest's memory served while a program ran, and what that would take on hardware.
//!
//! Counts are those of QEMU's plugin and exact: lines that were filled from memory and written back to it, by whatever
//! the guest ran, past what stands for its caches. Time is a model of them, as that of an emulated processor says
//! nothing.

mod counted;
mod figures;
mod modelled;
mod recorder;
mod report;
mod series;

pub use counted::{Counted, Requests};
pub use figures::{Figures, FiguresError};
pub use modelled::{Modelled, Span};
pub use recorder::Recorder;
pub use report::Report;
pub use series::{Sample, Series};
