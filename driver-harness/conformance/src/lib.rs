// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The conformance suite: the same cases against the in-process model, a `vfio-user-chmu` process,
//! a guest's device and real hardware.
//!
//! A floor on top of `chmu-driver` and `chmu-machine`; beside them it imports the model
//! (`chmu-cxl`, `chmu-model`) and the producer of accesses (`chmu-ring`), never promotion or proof.
//!
//! - [`catalogue`]: what is required, from `specs/requirements.toml`.
//! - [`cases`]: what checks it, a file per area. [`outcome`]: what can come of one. [`shown`] and
//!   [`registers`]: values in words.
//! - [`mod@bench`]: what a case works with. [`subject`]: what the bench needs of a path to a device.
//! - [`paths`]: the paths.
//! - [`run`]: runs cases and judges. [`report`]: KTAP, `JUnit` and JSON.
//! - [`mutants`]: breaks the model's rules one by one. [`fools`]: devices that only pretend.
//!   [`attribution`]: what each must be blamed for. [`trace`]: the page that ties it all together.

mod accesses;
pub mod attribution;
pub mod bench;
pub mod case;
pub mod cases;
pub mod catalogue;
pub mod fools;
mod guard;
pub mod judge;
pub mod mutants;
pub mod outcome;
pub mod paths;
pub mod registers;
pub mod report;
mod restore;
pub mod run;
pub mod shown;
pub mod subject;
pub mod trace;

pub use accesses::AccessLog;
