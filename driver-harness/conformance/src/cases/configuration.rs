// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What may be configured, and when.

use chmu_driver::transport::Width;
use chmu_spec::chmu::offset;
use chmu_spec::epoch::EpochLength;
use chmu_spec::hotlist::maximum_count;
use chmu_spec::request::RequestFilter;

use crate::bench::{Bench, HOT, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect_register, skip};

pub(super) const CASES: &[Case] = &[
    case(
        "configuration/locked-request",
        "Changes a read filter to a write filter while enabled and makes a unit hot by reads.",
        locked_request,
    ),
    case(
        "configuration/locked-threshold",
        "Raises the threshold while enabled and makes a unit hot by the old one.",
        locked_threshold,
    ),
    case(
        "configuration/locked-unit-size",
        "Writes another unit size or down-sampling while enabled and looks at the reported unit.",
        locked_unit_size,
    ),
    case(
        "configuration/locked-fill-level",
        "Writes another fill-level threshold while enabled and reads it back.",
        locked_fill_level,
    ),
    case(
        "configuration/locked-ranges",
        "Clears the range bitmap while enabled and looks whether a hot unit is reported.",
        locked_ranges,
    ),
    case(
        "configuration/survives-disable",
        "Enables, disables and reads the configuration back.",
        survives_disable,
    ),
    case(
        "configuration/every-unit-size",
        "Enables with each unit size of the capabilities.",
        every_unit_size,
    ),
    case(
        "configuration/epoch-limits",
        "Enables with the shortest and the longest epoch.",
        epoch_limits,
    ),
    case(
        "configuration/every-request-filter",
        "Enables with each request filter of the capabilities.",
        every_request_filter,
    ),
    case(
        "configuration/every-down-sampling",
        "Enables with each down-sampling factor of the capabilities.",
        every_down_sampling,
    ),
    case(
        "configuration/largest-threshold",
        "Enables with the largest count of the counter as the threshold.",
        largest_threshold,
    ),
];

const IGNORED_OLD: &str = "ignored, reads back the old value";

const IGNORED_NEW: &str = "ignored, reads back the new value";

const ACTS: &str = "acts at once";

/// Starts `setup`, writes `value` to a configuration register of the enabled instance, and looks
/// whether it counts as before: three accesses, which `setup` reports and the new value does not.
fn write_while_enabled(bench: &mut Bench<'_>, setup: &Setup, register: u64, value: u64) -> Outcome {
    bench.need_exact_traffic()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(setup)?;
    let before = bench.register(register)?;
    bench.set_register(register, value)?;
    let after = bench.register(register)?;
    bench.touch(setup, &[(unit, HOT)])?;
    bench.end_epoch(setup)?;
    let reported = bench.drain()?;
    let as_before = matches!(reported[..], [entry] if entry.unit == unit);
    Ok(Passed::As(match (as_before, after == before) {
        (true, true) => IGNORED_OLD,
        (true, false) => IGNORED_NEW,
        (false, _) => ACTS,
    }))
}

fn locked_request(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    let filters = bench.filters()?;
    let reads = [RequestFilter::NonTeeRead, RequestFilter::AllRead];
    let writes = [RequestFilter::NonTeeWrite, RequestFilter::AllWrite];
    let offered =
        |wanted: [RequestFilter; 2]| wanted.into_iter().find(|one| filters.contains(*one));
    let (Some(read), Some(write)) = (offered(reads), offered(writes)) else {
        return skip("the instance cannot track reads and writes apart");
    };
    setup.filter = read;
    let value = setup.configuration_0(true).with_request_code(write.code());
    write_while_enabled(bench, &setup, offset::CONFIGURATION_0, value.into())
}

fn locked_threshold(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let value = setup.configuration_0(true).with_hotness_threshold(100);
    write_while_enabled(bench, &setup, offset::CONFIGURATION_0, value.into())
}

fn locked_unit_size(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let other = bench
        .unit_sizes()?
        .iter()
        .find(|size| *size != setup.unit_size);
    let value = match other {
        Some(size) => setup
            .configuration_1()
            .with_unit_size_log2(size.log2_bytes().into()),
        // With one unit size there is still the down-sampling to change.
        None => setup.configuration_1().with_down_sampling_log2(15),
    };
    write_while_enabled(bench, &setup, offset::CONFIGURATION_1, value.into())
}

fn locked_fill_level(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    setup.fill_level = 7;
    bench.start(&setup)?;
    bench.set_register(offset::CONFIGURATION_2, 9)?;
    Ok(Passed::As(
        match bench.register(offset::CONFIGURATION_2)? & 0xffff {
            7 => IGNORED_OLD,
            _ => ACTS,
        },
    ))
}

fn locked_ranges(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let words = bench.range_bits()?.div_ceil(64);
    let place = bench.ranges_place()?;
    bench.start(&setup)?;
    let read = |bench: &Bench<'_>| -> Result<Vec<u64>, Stop> {
        let word = |word| bench.read_at(place.plus(word * 8), Width::Eight);
        (0..words).map(word).collect()
    };
    let before = read(bench)?;
    for word in 0..words {
        bench.write_at(place.plus(word * 8), Width::Eight, 0)?;
    }
    let after = read(bench)?;
    bench.touch(&setup, &[(unit, HOT)])?;
    bench.end_epoch(&setup)?;
    Ok(Passed::As(
        match (bench.drain()?.is_empty(), after == before) {
            (false, true) => IGNORED_OLD,
            (false, false) => IGNORED_NEW,
            (true, _) => ACTS,
        },
    ))
}

fn survives_disable(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.start(&setup)?;
    bench.stop()?;
    let expected = [
        (
            offset::CONFIGURATION_0,
            u64::from(setup.configuration_0(false)),
        ),
        (offset::CONFIGURATION_1, setup.configuration_1().into()),
        (offset::CONFIGURATION_2, setup.configuration_2().into()),
    ];
    for (register, value) in expected {
        expect_register(
            register,
            "after a disable",
            bench.register(register)?,
            value,
        )?;
    }
    Ok(Passed::Plainly)
}

/// Each of `setups` can be enabled.
fn all_enabled(bench: &mut Bench<'_>, setups: impl IntoIterator<Item = Setup>) -> Outcome {
    for setup in setups {
        bench.start(&setup)?;
        bench.stop()?;
    }
    Ok(Passed::Plainly)
}

fn every_unit_size(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let sizes: Vec<_> = bench.unit_sizes()?.iter().collect();
    all_enabled(
        bench,
        sizes.into_iter().map(|unit_size| Setup {
            unit_size,
            ..setup.clone()
        }),
    )
}

fn epoch_limits(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let capabilities = bench.capabilities_0()?;
    let limits: [Result<EpochLength, Stop>; 2] =
        [capabilities.minimum_epoch(), capabilities.maximum_epoch()]
            .map(|limit| limit.map_or_else(|| skip("the epoch limits are not defined"), Ok));
    let [shortest, longest] = limits;
    let limits = [shortest?, longest?];
    all_enabled(
        bench,
        limits.map(|epoch| Setup {
            epoch,
            ..setup.clone()
        }),
    )
}

fn every_request_filter(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let filters: Vec<_> = bench.filters()?.iter().collect();
    all_enabled(
        bench,
        filters.into_iter().map(|filter| Setup {
            filter,
            ..setup.clone()
        }),
    )
}

fn every_down_sampling(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let factors = bench.capabilities_1()?.down_sampling_factors();
    let offered = (0..16).filter(|log2| factors >> log2 & 1 == 1);
    all_enabled(
        bench,
        offered.map(|down_sampling_log2| Setup {
            down_sampling_log2,
            ..setup.clone()
        }),
    )
}

fn largest_threshold(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    bench.configure(&setup)?;
    let largest = maximum_count(bench.status()?.counter_width());
    setup.threshold = u32::try_from(largest).unwrap_or(u32::MAX);
    all_enabled(bench, [setup])
}
