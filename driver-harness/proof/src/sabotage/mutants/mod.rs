// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The list of mutants, and of honest runs that look odd.

mod actuators;
mod demotions;
mod honest;
mod ledgers;
mod queues;
mod sources;
mod surroundings;

use super::Mutant;

pub(super) use honest::all as honest;

pub(super) fn all() -> Vec<Mutant> {
    let lists = [
        actuators::all(),
        demotions::all(),
        queues::all(),
        sources::all(),
        surroundings::all(),
        ledgers::all(),
    ];
    lists.into_iter().flatten().collect()
}
