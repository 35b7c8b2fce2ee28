// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the program `chmu` shares with the lab that starts it in guests.

pub mod agent;
pub mod program;
