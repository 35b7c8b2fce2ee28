// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the program `chmu` shares with the lab that starts it in guests.
//!
//! The roof of the harness: the program on top of every other floor, which none of them imports.

pub mod agent;
pub mod program;
