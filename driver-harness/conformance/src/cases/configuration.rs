// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What may be configured, and when.

use chmu_driver::transport::Width;
use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::offset;
use chmu_spec::epoch::EpochLength;
use chmu_spec::hotlist::Entry;
use chmu_spec::request::RequestFilter;

use crate::bench::{Bench, Enabled, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, each, expect_equal, expect_register, fail, skip};
use crate::registers;
use crate::shown::{Shown as _, bits};

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

/// What an enabled instance makes of a configuration register that is written.
struct Attempt {
    register: u64,
    value: u64,
    /// The bits of the field that changes.
    field: u64,
    /// The unit that the new value reports in place of the touched one; none where it reports none.
    other_unit: Option<UnitIndex>,
}

/// Starts `setup` and shows that it reports a hot unit, then writes a configuration register of the
/// enabled instance and looks whether it counts as before or by the new value.
fn write_while_enabled(bench: &mut Bench<'_>, setup: &Setup, attempt: &Attempt) -> Outcome {
    let unit = bench.units(setup.unit_size, 1)?[0];
    let touches = [(unit, setup.hot())];
    bench.start(setup)?;
    bench.touch(setup, &touches)?;
    bench.end_epoch(setup)?;
    let units = |entries: Vec<Entry>| -> Vec<_> {
        let mut units: Vec<_> = entries.iter().map(|entry| entry.unit).collect();
        units.dedup();
        units
    };
    expect_equal(
        "units reported before the write",
        units(bench.drain()?),
        vec![unit],
    )?;
    let before = bench.register(attempt.register)?;
    if (before ^ setup.register(attempt.register)) & attempt.field != 0 {
        return skip(
            "the register does not read as it was configured while the instance is enabled",
        );
    }
    bench.set_register(attempt.register, attempt.value)?;
    let after = bench.register(attempt.register)?;
    bench.touch(setup, &touches)?;
    bench.end_epoch(setup)?;
    // A new unit size may make the touched unit's entry one of another unit.
    let mut reported = units(bench.peek_all()?);
    if !bench.is_exact() {
        reported.retain(|one| *one == unit || Some(*one) == attempt.other_unit);
    }
    bench.drain()?;
    let old: Vec<_> = vec![unit];
    let new: Vec<_> = attempt.other_unit.into_iter().collect();
    let shows_new = (after ^ attempt.value) & attempt.field == 0;
    match reported {
        reported if reported == old && after == before => Ok(Passed::As(IGNORED_OLD)),
        reported if reported == old && shows_new => Ok(Passed::As(IGNORED_NEW)),
        reported if reported == new && shows_new => Ok(Passed::As(ACTS)),
        reported => fail(
            format!(
                "{} after a write of {:#x} while enabled, and the units reported then",
                registers::name(attempt.register),
                attempt.value
            ),
            format!("{after:#x} and {}", reported.shown()),
            format!(
                "{before:#x} and {} (or {:#x} and either that or {})",
                old.shown(),
                attempt.value,
                new.shown()
            ),
        ),
    }
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
    let attempt = Attempt {
        register: offset::CONFIGURATION_0,
        value: value.into(),
        field: 0xff,
        other_unit: None,
    };
    write_while_enabled(bench, &setup, &attempt)
}

fn locked_threshold(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    // The largest threshold that fits, where the accesses of the case do not reach it.
    let threshold = setup.largest_count.min(1000);
    if threshold <= setup.hot() || (!bench.is_exact() && threshold < 16 * setup.hot()) {
        return skip("the counter is too narrow for a threshold that is not reached");
    }
    let threshold = u32::try_from(threshold).unwrap_or(u32::MAX);
    let value = setup
        .configuration_0(true)
        .with_hotness_threshold(threshold);
    let attempt = Attempt {
        register: offset::CONFIGURATION_0,
        value: value.into(),
        field: 0xffff_ffff_0000_0000,
        other_unit: None,
    };
    write_while_enabled(bench, &setup, &attempt)
}

fn locked_unit_size(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    // Counters of one width, so that entries of either size are read alike.
    let mut other = None;
    for size in bench.unit_sizes()?.iter() {
        let as_wide = bench.with_unit_size(&setup, size)?.largest_count == setup.largest_count;
        if size != setup.unit_size && as_wide {
            other.get_or_insert(size);
        }
    }
    let Some(size) = other else {
        return skip("the instance has no other unit size with counters as wide");
    };
    let value = setup
        .configuration_1()
        .with_unit_size_log2(size.log2_bytes().into());
    // Where the touched unit lies in units of the other size: requests to several of them are not
    // hot each.
    let start = bench
        .reachable(false)?
        .iter()
        .map(|range| range.start.0.max(unit.0 * setup.unit_size.bytes()))
        .next();
    let start = start.unwrap_or(0);
    let lines = setup.hot() * 64;
    let first = start / size.bytes();
    let last = (start + lines - 1) / size.bytes();
    let attempt = Attempt {
        register: offset::CONFIGURATION_1,
        value: value.into(),
        field: 0xffff_ffff,
        other_unit: (first == last).then_some(UnitIndex(first)),
    };
    write_while_enabled(bench, &setup, &attempt)
}

fn locked_fill_level(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    // Every list can be told from a shorter one by these.
    setup.fill_level = 0;
    bench.start(&setup)?;
    bench.set_register(offset::CONFIGURATION_2, 1)?;
    match bench.register(offset::CONFIGURATION_2)? & 0xffff {
        0 => Ok(Passed::As(IGNORED_OLD)),
        1 => Ok(Passed::As(ACTS)),
        read => fail(
            "fill-level threshold after a write of 1 to 0 while enabled",
            read.to_string(),
            "0 (or 1)",
        ),
    }
}

fn locked_ranges(bench: &mut Bench<'_>) -> Outcome {
    bench.need_writable_ranges()?;
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let words = bench.range_bits()?.div_ceil(64);
    let place = bench.ranges_place()?;
    bench.start(&setup)?;
    let listed = |bench: &mut Bench<'_>| -> Result<bool, Stop> {
        bench.touch(&setup, &[(unit, setup.hot())])?;
        bench.end_epoch(&setup)?;
        Ok(bench.drain()?.iter().any(|entry| entry.unit == unit))
    };
    expect_equal(
        "whether a hot unit is listed before the write",
        listed(bench)?,
        true,
    )?;
    let read = |bench: &Bench<'_>| -> Result<Vec<u64>, Stop> {
        let word = |word| bench.read_at(place.plus(word * 8), Width::Eight);
        (0..words).map(word).collect()
    };
    let before = read(bench)?;
    if before.iter().all(|word| *word == 0) {
        return skip(
            "the range bitmap does not read as it was written while the instance is enabled",
        );
    }
    for word in 0..words {
        bench.write_at(place.plus(word * 8), Width::Eight, 0)?;
    }
    let after = read(bench)?;
    let is_clear = after.iter().all(|word| *word == 0);
    match (listed(bench)?, after == before, is_clear) {
        (true, true, _) => Ok(Passed::As(IGNORED_OLD)),
        (true, false, true) => Ok(Passed::As(IGNORED_NEW)),
        (false, _, true) => Ok(Passed::As(ACTS)),
        (listed, ..) => fail(
            "range bitmap after it was cleared while enabled, and whether a hot unit is listed then",
            format!("{}, and {}", bits(&after), listed.shown()),
            format!("{}, and yes (or zeros, and either)", bits(&before)),
        ),
    }
}

fn survives_disable(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.configure(&setup)?;
    let registers = [
        offset::CONFIGURATION_0,
        offset::CONFIGURATION_1,
        offset::CONFIGURATION_2,
    ];
    let configured = registers.map(|register| bench.register(register));
    // Nothing of a configuration that is all zeros could be lost.
    let shown = configured.iter().flatten().any(|value| *value != 0);
    expect_equal("whether a configuration reads back", shown, true)?;
    bench.start(&setup)?;
    bench.stop()?;
    each(
        registers.into_iter().zip(configured),
        |(register, value)| {
            let read = bench.register(register)?;
            expect_register(register, "after a disable", read, value?)
        },
    )?;
    Ok(Passed::Plainly)
}

/// Each of `setups` can be enabled.
fn all_enabled(bench: &mut Bench<'_>, setups: impl IntoIterator<Item = Setup>) -> Outcome {
    bench.each(setups, |bench, setup| {
        bench.must_start(&setup)?;
        bench.stop()
    })?;
    Ok(Passed::Plainly)
}

fn every_unit_size(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.working_setup()?;
    let sizes: Vec<_> = bench.unit_sizes()?.iter().collect();
    let setups: Result<Vec<_>, _> = sizes
        .into_iter()
        .map(|unit_size| bench.with_unit_size(&setup, unit_size))
        .collect();
    all_enabled(bench, setups?)
}

fn epoch_limits(bench: &mut Bench<'_>) -> Outcome {
    bench.epoch_setup()?;
    let setup = bench.working_setup()?;
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
    let setup = bench.working_setup()?;
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
    let setup = bench.working_setup()?;
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
    setup.threshold = u32::try_from(setup.largest_count).unwrap_or(u32::MAX);
    // Where a count must pass the threshold, none can pass this one.
    match bench.try_start(&setup)? {
        Enabled::Yes => Ok(Passed::As("enabled")),
        Enabled::Refused => Ok(Passed::As("refused")),
    }
}
