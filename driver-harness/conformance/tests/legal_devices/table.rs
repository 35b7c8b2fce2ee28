// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The honest devices.

use chmu_conformance::paths::in_process::{Clock, Front, Others, Pace, Surroundings};
use chmu_cxl::{Interrupts, Profile};
use chmu_model::{Capabilities, CounterWidths};
use chmu_spec::chmu::EpochType;
use chmu_spec::request::{RequestFilter, RequestFilters};
use chmu_spec::unit_size::UnitSize;

use crate::fronts::{
    FixedRanges, Hardwired, Moved, NoFactors, OneChoice, RangesBeyondMemory, Same, SlowTail,
    SlowToWake, StatusWithInterrupts, Tail,
};

/// What devices differ in from the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    Time,
    Traffic,
    Capabilities,
    Registers,
}

/// An honest device on some machine.
#[derive(Debug)]
pub(crate) struct Legal {
    pub(crate) name: &'static str,
    pub(crate) area: Area,
    pub(crate) blocks: fn() -> Vec<Vec<Capabilities>>,
    pub(crate) interrupts: Interrupts,
    pub(crate) surroundings: Surroundings,
    pub(crate) front: fn() -> Box<dyn Front>,
    /// Instances to look at.
    pub(crate) instances: &'static [(usize, u8)],
    /// It follows this project's decisions.
    pub(crate) strict: bool,
    /// Cases that pass at least.
    pub(crate) least_passed: usize,
}

const RUNNING: Surroundings = Surroundings {
    clock: Clock::Running { slower: 0 },
    pace: Pace::QUICK,
    others: Others::NONE,
    resets: true,
};
pub(crate) const BY_HAND: Surroundings = Surroundings {
    clock: Clock::ByHand,
    ..RUNNING
};
const FIRST: &[(usize, u8)] = &[(0, 0)];
const BOTH: &[(usize, u8)] = &[(0, 0), (0, 1)];

pub(crate) const USUAL: Legal = Legal {
    name: "",
    area: Area::Capabilities,
    blocks: || vec![vec![usual()]],
    interrupts: Interrupts::MsiX(8),
    surroundings: RUNNING,
    front: || Box::new(Same),
    instances: FIRST,
    strict: false,
    least_passed: 100,
};

pub(crate) fn usual() -> Capabilities {
    Capabilities {
        message_number: 1,
        hotlist_entries: 64,
        ..Capabilities::default()
    }
}

pub(crate) fn delayed(operation_delay_ns: u64) -> Vec<Vec<Capabilities>> {
    vec![vec![Capabilities {
        operation_delay_ns,
        ..usual()
    }]]
}

fn wide(bits: u8) -> Vec<Vec<Capabilities>> {
    vec![vec![Capabilities {
        counter_widths: CounterWidths::uniform(bits),
        ..usual()
    }]]
}

pub(crate) fn long(hotlist_entries: u16) -> Vec<Vec<Capabilities>> {
    vec![vec![Capabilities {
        hotlist_entries,
        ..usual()
    }]]
}

fn sampling(down_sampling_factors: u16) -> Vec<Vec<Capabilities>> {
    vec![vec![Capabilities {
        down_sampling_factors,
        ..usual()
    }]]
}

fn sized(least_log2: u8, most_log2: u8) -> Vec<Vec<Capabilities>> {
    vec![vec![Capabilities {
        unit_sizes: UnitSize::all()
            .filter(|size| (least_log2..=most_log2).contains(&size.log2_bytes()))
            .collect(),
        ..usual()
    }]]
}

fn tracking(filters: &[RequestFilter]) -> Capabilities {
    Capabilities {
        trackable_requests: filters.iter().copied().collect::<RequestFilters>(),
        ..usual()
    }
}

pub(crate) fn per_counter() -> Capabilities {
    Capabilities {
        epoch_type: EpochType::PerCounter,
        ..usual()
    }
}

fn always_on() -> Vec<Vec<Capabilities>> {
    vec![vec![Capabilities {
        epoch_mode: false,
        ..usual()
    }]]
}

const fn others(hot_units: u32, repeats: u8) -> Surroundings {
    Surroundings {
        others: Others { hot_units, repeats },
        ..RUNNING
    }
}

const fn slower(slower: u8) -> Surroundings {
    Surroundings {
        clock: Clock::Running { slower },
        ..RUNNING
    }
}

const fn at_pace(access_ns: u64, request_ns: u64) -> Surroundings {
    Surroundings {
        pace: Pace {
            access_ns,
            request_ns,
            stalls: None,
        },
        ..RUNNING
    }
}

/// A device with so long a list, on a machine that stalls now and then.
pub(crate) const fn stalled(blocks: fn() -> Vec<Vec<Capabilities>>, pace: Pace) -> Legal {
    Legal {
        name: "a machine that stalls",
        area: Area::Time,
        blocks,
        surroundings: Surroundings { pace, ..RUNNING },
        least_passed: 120,
        ..USUAL
    }
}

pub(crate) const LEGAL: &[Legal] = &[
    // Time.
    Legal {
        name: "usual on a running clock",
        area: Area::Time,
        strict: true,
        least_passed: 140,
        ..USUAL
    },
    Legal {
        name: "register accesses of 20 us and a long list",
        area: Area::Time,
        blocks: || long(2048),
        surroundings: at_pace(20_000, 2_000),
        least_passed: 140,
        ..USUAL
    },
    Legal {
        name: "register accesses of 60 us and a long list",
        area: Area::Time,
        blocks: || long(2048),
        surroundings: at_pace(60_000, 2_000),
        least_passed: 130,
        ..USUAL
    },
    Legal {
        name: "operations of 150 ms",
        area: Area::Time,
        blocks: || delayed(150_000_000),
        least_passed: 140,
        ..USUAL
    },
    Legal {
        name: "operations of 150 ms, clock by hand",
        area: Area::Time,
        blocks: || delayed(150_000_000),
        surroundings: BY_HAND,
        ..USUAL
    },
    Legal {
        name: "operations of 1 s",
        area: Area::Time,
        blocks: || delayed(1_000_000_000),
        least_passed: 140,
        ..USUAL
    },
    Legal {
        name: "tail 15 ms late",
        area: Area::Time,
        front: || Box::new(SlowTail::new(Tail::LateBy(15_000_000))),
        ..USUAL
    },
    Legal {
        name: "entries one by one",
        area: Area::Time,
        front: || Box::new(SlowTail::new(Tail::OneEach(100_000))),
        ..USUAL
    },
    Legal {
        name: "epochs 5 % long",
        area: Area::Time,
        surroundings: slower(5),
        ..USUAL
    },
    Legal {
        name: "epochs per counter, 5 % long",
        area: Area::Time,
        blocks: || vec![vec![per_counter()]],
        surroundings: slower(5),
        ..USUAL
    },
    Legal {
        name: "drifting clock",
        area: Area::Time,
        surroundings: Surroundings {
            clock: Clock::Drifting { by: 3 },
            ..RUNNING
        },
        ..USUAL
    },
    Legal {
        name: "always-on, tail 15 ms late",
        area: Area::Time,
        blocks: always_on,
        front: || Box::new(SlowTail::new(Tail::LateBy(15_000_000))),
        least_passed: 70,
        ..USUAL
    },
    Legal {
        name: "always-on, entries one by one",
        area: Area::Time,
        blocks: always_on,
        front: || Box::new(SlowTail::new(Tail::OneEach(100_000))),
        least_passed: 70,
        ..USUAL
    },
    // Traffic.
    Legal {
        name: "eight other hot units",
        area: Area::Traffic,
        blocks: || Profile::Full.blocks(),
        surroundings: others(8, 1),
        least_passed: 130,
        ..USUAL
    },
    Legal {
        name: "eight other hot units, all kinds of instances",
        area: Area::Traffic,
        blocks: || Profile::Full.blocks(),
        surroundings: others(8, 0),
        instances: &[(0, 1), (0, 2), (0, 3), (1, 0)],
        least_passed: 60,
        ..USUAL
    },
    Legal {
        name: "eight other hot units, epochs 5 % long, tail late",
        area: Area::Traffic,
        surroundings: Surroundings {
            clock: Clock::Running { slower: 5 },
            ..others(8, 1)
        },
        front: || Box::new(SlowTail::new(Tail::LateBy(15_000_000))),
        ..USUAL
    },
    Legal {
        name: "4,000 other hot units",
        area: Area::Traffic,
        surroundings: others(4000, 1),
        least_passed: 60,
        ..USUAL
    },
    Legal {
        name: "4,000 other hot units, always-on",
        area: Area::Traffic,
        blocks: always_on,
        surroundings: others(4000, 0),
        least_passed: 40,
        ..USUAL
    },
    Legal {
        name: "eight other hot units, always-on",
        area: Area::Traffic,
        blocks: always_on,
        surroundings: others(8, 1),
        least_passed: 60,
        ..USUAL
    },
    Legal {
        name: "eight other hot units, counters of 3 bits",
        area: Area::Traffic,
        blocks: || wide(3),
        surroundings: others(8, 2),
        ..USUAL
    },
    // Capabilities.
    Legal {
        name: "counters of 1 bit",
        blocks: || wide(1),
        surroundings: BY_HAND,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "counters of 2 bits",
        blocks: || wide(2),
        surroundings: BY_HAND,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "counters of 3 bits",
        blocks: || wide(3),
        surroundings: BY_HAND,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "counters of 4 bits",
        blocks: || wide(4),
        surroundings: BY_HAND,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "counters of 5 bits",
        blocks: || wide(5),
        strict: true,
        ..USUAL
    },
    Legal {
        name: "counters of 8 bits",
        blocks: || wide(8),
        strict: true,
        ..USUAL
    },
    Legal {
        name: "counters of 32 bits",
        blocks: || wide(32),
        surroundings: BY_HAND,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "counters too narrow for the usual threshold, always-on",
        blocks: || {
            vec![vec![Capabilities {
                epoch_mode: false,
                counter_widths: CounterWidths::uniform(1),
                ..usual()
            }]]
        },
        surroundings: BY_HAND,
        least_passed: 60,
        ..USUAL
    },
    Legal {
        name: "units of 8 MiB and up",
        blocks: || sized(23, 31),
        surroundings: BY_HAND,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "units of 2 MiB alone",
        blocks: || sized(21, 21),
        surroundings: BY_HAND,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "units of 256 B alone",
        blocks: || sized(8, 8),
        surroundings: BY_HAND,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "a list of 2",
        blocks: || long(2),
        strict: true,
        least_passed: 90,
        ..USUAL
    },
    Legal {
        name: "a list of 3",
        blocks: || long(3),
        strict: true,
        least_passed: 90,
        ..USUAL
    },
    Legal {
        name: "a list of 65,535",
        blocks: || long(u16::MAX),
        surroundings: BY_HAND,
        ..USUAL
    },
    Legal {
        name: "instances that track reads and writes apart",
        blocks: || {
            let reads = tracking(&[RequestFilter::NonTeeRead]);
            let writes = tracking(&[RequestFilter::NonTeeWrite]);
            vec![vec![reads, writes]]
        },
        surroundings: BY_HAND,
        instances: BOTH,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "blocks that track reads and writes apart",
        blocks: || {
            let reads = tracking(&[RequestFilter::AllRead]);
            let writes = tracking(&[RequestFilter::NonTeeWrite]);
            vec![vec![writes], vec![reads]]
        },
        instances: &[(0, 0), (1, 0)],
        ..USUAL
    },
    Legal {
        name: "trackers of requests that are not TEE, beside a TEE window",
        blocks: || {
            vec![vec![tracking(&[
                RequestFilter::NonTeeRead,
                RequestFilter::NonTeeReadWrite,
            ])]]
        },
        surroundings: BY_HAND,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "down-sampling of 4 and 8 only",
        blocks: || sampling(1 << 2 | 1 << 3),
        surroundings: BY_HAND,
        ..USUAL
    },
    Legal {
        name: "down-sampling of 16384 and 32768 only",
        blocks: || sampling(1 << 14 | 1 << 15),
        surroundings: BY_HAND,
        ..USUAL
    },
    Legal {
        name: "no down-sampling at all",
        front: || Box::new(NoFactors::default()),
        surroundings: BY_HAND,
        ..USUAL
    },
    Legal {
        name: "no function level reset",
        surroundings: Surroundings {
            resets: false,
            ..BY_HAND
        },
        strict: true,
        ..USUAL
    },
    Legal {
        name: "255 instances",
        blocks: || {
            let small = Capabilities {
                hotlist_entries: 8,
                ..usual()
            };
            vec![vec![small; 255]]
        },
        surroundings: BY_HAND,
        instances: &[(0, 254)],
        strict: true,
        ..USUAL
    },
    Legal {
        name: "one message for all instances and the event logs",
        blocks: || {
            let first = Capabilities {
                message_number: 0,
                ..usual()
            };
            vec![vec![first; 2]]
        },
        interrupts: Interrupts::MsiX(1),
        surroundings: BY_HAND,
        instances: BOTH,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "polled",
        blocks: || Profile::NoInterrupts.blocks(),
        interrupts: Interrupts::None,
        strict: true,
        ..USUAL
    },
    Legal {
        name: "everything, on a running clock",
        blocks: || Profile::Full.blocks(),
        instances: &[(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)],
        strict: true,
        ..USUAL
    },
    Legal {
        name: "neighbours that track other requests",
        blocks: || {
            vec![vec![
                tracking(&[RequestFilter::AllWrite]),
                usual(),
                tracking(&[RequestFilter::AllRead]),
            ]]
        },
        surroundings: BY_HAND,
        instances: &[(0, 0), (0, 1), (0, 2)],
        ..USUAL
    },
    Legal {
        name: "neighbours that sample otherwise",
        blocks: || {
            let other = || sampling(1 << 3).remove(0);
            vec![[other(), vec![usual()]].concat(), other()]
        },
        surroundings: BY_HAND,
        instances: &[(0, 0), (0, 1), (1, 0)],
        ..USUAL
    },
    Legal {
        name: "a list of 2 entries, of one request of 4096",
        blocks: || {
            let mut blocks = long(2);
            blocks[0][0].down_sampling_factors = 1 << 12;
            blocks
        },
        surroundings: BY_HAND,
        least_passed: 80,
        ..USUAL
    },
    // Registers.
    Legal {
        name: "fields with one value on offer hardwired to it",
        area: Area::Registers,
        blocks: || {
            let mut blocks = always_on();
            let only = &mut blocks[0][0];
            only.unit_sizes = UnitSize::all()
                .filter(|size| size.log2_bytes() == 21)
                .collect();
            only.trackable_requests = [RequestFilter::NonTeeReadWrite].into_iter().collect();
            blocks
        },
        front: || Box::new(OneChoice::always_on()),
        surroundings: BY_HAND,
        least_passed: 60,
        ..USUAL
    },
    Legal {
        name: "a fixed range bitmap",
        area: Area::Registers,
        front: || Box::new(FixedRanges::default()),
        surroundings: BY_HAND,
        ..USUAL
    },
    Legal {
        name: "range bits beyond the memory hardwired to one",
        area: Area::Registers,
        front: || Box::new(RangesBeyondMemory::default()),
        surroundings: BY_HAND,
        ..USUAL
    },
    Legal {
        name: "unsupported bits hardwired to zero",
        area: Area::Registers,
        front: || Box::new(Hardwired::default()),
        surroundings: BY_HAND,
        ..USUAL
    },
    Legal {
        name: "unsupported bits of a minimal device hardwired to zero",
        area: Area::Registers,
        blocks: || Profile::Minimal.blocks(),
        front: || Box::new(Hardwired::default()),
        instances: BOTH,
        ..USUAL
    },
    Legal {
        name: "instances side by side, hotlists and bitmaps far away",
        area: Area::Registers,
        blocks: || vec![vec![usual(), usual(), usual()]],
        front: || Box::new(Moved::default()),
        surroundings: BY_HAND,
        instances: &[(0, 0), (0, 2)],
        strict: true,
        ..USUAL
    },
    Legal {
        name: "status bits only while their interrupts are enabled",
        area: Area::Registers,
        front: || Box::new(StatusWithInterrupts::default()),
        surroundings: BY_HAND,
        ..USUAL
    },
    Legal {
        name: "all ones for 80 ms after a reset",
        area: Area::Registers,
        front: || Box::new(SlowToWake::new(80_000_000)),
        strict: true,
        ..USUAL
    },
    Legal {
        name: "all ones for 900 ms after a reset, on a clock that is moved",
        area: Area::Registers,
        front: || Box::new(SlowToWake::new(900_000_000)),
        surroundings: BY_HAND,
        strict: true,
        ..USUAL
    },
];
