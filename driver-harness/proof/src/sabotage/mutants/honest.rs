// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs in which everything is right: whoever fails these accuses the innocent.

use std::ops::Range;

use chmu_promotion::Policy;

use super::super::HonestRun;
use super::super::run::Parts;
use crate::evidence::Demands;

/// Pages of a process without a truth: those that come after the first two processes'.
const FREED: Range<usize> = 256..264;
/// When they are given back: after they were reported, and before they move.
const FREED_AT: u64 = 11;

pub(in super::super) fn all() -> Vec<HonestRun> {
    let run = |name, explanation, arrange| HonestRun {
        name,
        explanation,
        arrange,
    };
    vec![
        run(
            "plain",
            "a workload, a cold neighbour and a stranger",
            |_| {},
        ),
        run(
            "shared-pages",
            "a second process maps the workload's pages",
            |parts| {
                parts.others = Box::new(|shared, step| {
                    if step == 0 {
                        shared.world().share(1);
                    }
                });
            },
        ),
        run(
            "pinned-page",
            "one hot page cannot move, and less is demanded",
            |parts| {
                parts.others = Box::new(|shared, step| {
                    let mut world = shared.world();
                    let page = world.processes[1].pages[33];
                    world.pages[page].pinned |= step == 0;
                });
            },
        ),
        run("rate-limited", "a rate that is claimed and kept", |parts| {
            parts.policy = Policy {
                pages_per_second: Some(100),
                ..Policy::default()
            };
        }),
        run("small-batches", "one folio at a time", |parts| {
            parts.policy = Policy {
                batch_folios: 1,
                ..Policy::default()
            };
        }),
        run(
            "held-for-a-while",
            "a least heat, small batches, and a page that is held for a while",
            |parts| {
                parts.policy = Policy {
                    minimum_heat: 20,
                    batch_folios: 3,
                    ..Policy::default()
                };
                parts.others = Box::new(|shared, step| {
                    let mut world = shared.world();
                    let page = world.processes[1].pages[33];
                    world.pages[page].pinned = step < 30;
                });
            },
        ),
        run(
            "moving-hot-set",
            "the hot set moves, and promotion follows",
            |parts| {
                parts.moving = true;
            },
        ),
        run(
            "pages-freed",
            "hot pages of others are given back before they move",
            |parts| {
                parts.demands = Demands {
                    exclusive: false,
                    ..parts.demands
                };
                parts.others = Box::new(|shared, step| {
                    let mut world = shared.world();
                    if step == 0 {
                        let foreign = world.spawn(8, (0, 1));
                        world.processes.truncate(foreign);
                    }
                    for number in FREED {
                        if step == FREED_AT {
                            world.free(number);
                        }
                        if let Some(frame) = world.pages[number].frame {
                            *world.counts.entry(frame).or_default() += 99;
                        }
                    }
                });
            },
        ),
        run(
            "makes-room",
            "cold pages of a program that fills the fast node make room for hot ones",
            |parts| *parts = Parts::full(),
        ),
        run(
            "demoted",
            "a page is demoted again, which the kernel counts",
            |parts| {
                parts.moving = true;
                parts.others = Box::new(|shared, step| {
                    let mut world = shared.world();
                    if step == 60 {
                        let page = world.processes[1].pages[33];
                        world.migrate(&[page], super::super::world::SLOW);
                        world.demoted += 1;
                        world.pages[page].pinned = true;
                    }
                });
            },
        ),
    ]
}
