// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A block as a driver and its memory traffic see it: each row of the behaviour table by name,
//! and random use against a naive model.

mod capabilities;
mod configuration;
mod counting;
mod epochs;
mod fixture;
mod head_and_tail;
mod instances;
mod layout;
mod operations;
mod oracle;
mod overflow_and_backlog;
mod quirks;
mod random_use;
mod registers;
mod selection;
mod status;
mod strategies;
