// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What may be configured, and when.

use chmu_spec::chmu::{Configuration0, Configuration1, Mode, offset};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::hotlist::maximum_count;
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

use crate::conformance::bench::{Bench, Enabled, HOT, Setup};
use crate::conformance::case::{
    Case, Outcome, Passed, Stop, case, expect_bits, expect_equal, skip,
};
use crate::transport::Width;

pub(super) const CASES: &[Case] = &[
    case("configuration/locked-request", locked_request),
    case("configuration/locked-threshold", locked_threshold),
    case("configuration/locked-unit-size", locked_unit_size),
    case("configuration/locked-fill-level", locked_fill_level),
    case("configuration/locked-ranges", locked_ranges),
    case("configuration/refuses-request-code", refuses_request_code),
    case(
        "configuration/refuses-request-filter",
        refuses_request_filter,
    ),
    case("configuration/refuses-unit-size", refuses_unit_size),
    case("configuration/refuses-mode-code", refuses_mode_code),
    case("configuration/refuses-mode", refuses_mode),
    case("configuration/refuses-epoch-codes", refuses_epoch_codes),
    case("configuration/refuses-short-epoch", refuses_short_epoch),
    case("configuration/refuses-long-epoch", refuses_long_epoch),
    case("configuration/refuses-down-sampling", refuses_down_sampling),
    case("configuration/refuses-randomised", refuses_randomised),
    case("configuration/refuses-threshold", refuses_threshold),
    case("configuration/refuses-interrupts", refuses_interrupts),
    case("configuration/recovers-from-refusal", recovers_from_refusal),
    case("configuration/survives-disable", survives_disable),
    case("configuration/every-unit-size", every_unit_size),
    case("configuration/epoch-limits", epoch_limits),
    case("configuration/every-request-filter", every_request_filter),
    case("configuration/every-down-sampling", every_down_sampling),
    case("configuration/largest-threshold", largest_threshold),
];

const IGNORED_OLD: &str = "ignored, reads back the old value";
const IGNORED_NEW: &str = "ignored, reads back the new value";
const ACTS: &str = "acts at once";
const REFUSED: &str = "refused";
const ENABLED: &str = "enabled";

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

/// Writes raw configuration registers with the enable bit and says what came of it.
fn try_raw(
    bench: &mut Bench<'_>,
    setup: &Setup,
    configuration_0: Configuration0,
    configuration_1: Configuration1,
) -> Outcome {
    bench.configure(setup)?;
    bench.set_register(offset::CONFIGURATION_1, configuration_1.into())?;
    bench.set_register(
        offset::CONFIGURATION_0,
        configuration_0.with_enable(true).into(),
    )?;
    Ok(Passed::As(match bench.settle("enable")?.enabled() {
        false => REFUSED,
        true => ENABLED,
    }))
}

/// As [`try_raw`], with everything else as in `setup`.
fn try_0(bench: &mut Bench<'_>, setup: &Setup, configuration_0: Configuration0) -> Outcome {
    try_raw(bench, setup, configuration_0, setup.configuration_1())
}

fn try_1(bench: &mut Bench<'_>, setup: &Setup, configuration_1: Configuration1) -> Outcome {
    try_raw(bench, setup, setup.configuration_0(false), configuration_1)
}

/// The reading that all of several attempts share; an instance that takes one of them has it.
fn all_refused(outcomes: Vec<Passed>) -> Outcome {
    match outcomes.contains(&Passed::As(ENABLED)) {
        true => Ok(Passed::As(ENABLED)),
        false => Ok(Passed::As(REFUSED)),
    }
}

fn refuses_request_code(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let mut outcomes = Vec::new();
    for code in [0, 7, 0xff] {
        outcomes.push(try_0(
            bench,
            &setup,
            setup.configuration_0(false).with_request_code(code),
        )?);
        bench.stop()?;
    }
    all_refused(outcomes)
}

fn refuses_request_filter(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    let filters = bench.filters()?;
    match RequestFilter::ALL
        .into_iter()
        .find(|filter| !filters.contains(*filter))
    {
        Some(filter) => setup.filter = filter,
        None => return skip("the instance can track every kind of request"),
    }
    try_0(bench, &setup, setup.configuration_0(false))
}

fn refuses_unit_size(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let sizes = bench.unit_sizes()?;
    let missing = UnitSize::all().find(|size| !sizes.contains(*size));
    let mut outcomes = Vec::new();
    let outside = missing.map(|size| u32::from(size.log2_bytes()));
    for log2 in [0, 7, 32, 64].into_iter().chain(outside) {
        let configuration = setup.configuration_1().with_unit_size_log2(log2);
        outcomes.push(try_1(bench, &setup, configuration)?);
        bench.stop()?;
    }
    all_refused(outcomes)
}

fn refuses_mode_code(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let mut outcomes = Vec::new();
    for code in [2, 0x80, 0xff] {
        outcomes.push(try_1(
            bench,
            &setup,
            setup.configuration_1().with_mode_code(code),
        )?);
        bench.stop()?;
    }
    all_refused(outcomes)
}

fn refuses_mode(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    let capabilities = bench.capabilities_1()?;
    setup.mode = match (capabilities.epoch_mode(), capabilities.always_on_mode()) {
        (true, true) => return skip("the instance has both modes"),
        (true, false) => Mode::AlwaysOn,
        (false, _) => Mode::Epoch,
    };
    try_1(bench, &setup, setup.configuration_1())
}

fn refuses_epoch_codes(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let good = setup.configuration_1();
    let mut outcomes = Vec::new();
    for bad in [
        good.with_epoch_scale(0),
        good.with_epoch_scale(6),
        good.with_epoch_scale(15),
        good.with_epoch_multiplier(0),
    ] {
        outcomes.push(try_1(bench, &setup, bad)?);
        bench.stop()?;
    }
    all_refused(outcomes)
}

fn refuses_short_epoch(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.epoch_setup()?;
    let shortest = bench
        .capabilities_0()?
        .minimum_epoch()
        .map_or(0, EpochLength::nanoseconds);
    let least = EpochScale::HundredMicroseconds.nanoseconds();
    let shorter = (shortest / 2).max(least) / least * least;
    match EpochLength::from_nanoseconds(shorter).filter(|_| shorter < shortest) {
        Some(epoch) => setup.epoch = epoch,
        None => return skip("no epoch is shorter than the instance's shortest"),
    }
    try_1(bench, &setup, setup.configuration_1())
}

fn refuses_long_epoch(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.epoch_setup()?;
    let longest = bench
        .capabilities_0()?
        .maximum_epoch()
        .map_or(0, EpochLength::nanoseconds);
    let second = EpochScale::Second.nanoseconds();
    let longer = (longest / second + 1).saturating_mul(second);
    match EpochLength::from_nanoseconds(longer) {
        Some(epoch) => setup.epoch = epoch,
        None => return skip("no epoch is longer than the instance's longest"),
    }
    try_1(bench, &setup, setup.configuration_1())
}

fn refuses_down_sampling(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    let factors = bench.capabilities_1()?.down_sampling_factors();
    match (0..16).find(|log2| factors >> log2 & 1 == 0) {
        Some(log2) => setup.down_sampling_log2 = log2,
        None => return skip("the instance has every down-sampling factor"),
    }
    try_1(bench, &setup, setup.configuration_1())
}

fn refuses_randomised(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    if bench.capabilities_1()?.randomised_down_sampling() {
        return skip("the instance has randomised down-sampling");
    }
    setup.randomise = true;
    try_0(bench, &setup, setup.configuration_0(false))
}

fn refuses_threshold(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let mut setup = bench.setup()?;
    bench.configure(&setup)?;
    let largest = maximum_count(bench.status()?.counter_width());
    match u32::try_from(largest.saturating_add(1)) {
        Ok(threshold) => setup.threshold = threshold,
        Err(_) => return skip("every threshold fits the counter"),
    }
    let unit = bench.units(setup.unit_size, 1)?[0];
    if bench.try_start(&setup)? == Enabled::Refused {
        return Ok(Passed::As(REFUSED));
    }
    bench.touch(&setup, &[(unit, HOT)])?;
    bench.end_epoch(&setup)?;
    Ok(Passed::As(match bench.drain()?.is_empty() {
        true => "enabled, nothing is hot",
        false => ENABLED,
    }))
}

fn refuses_interrupts(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    let capabilities = bench.capabilities_0()?;
    setup.overflow_interrupt = !capabilities.overflow_interrupt();
    setup.fill_level_interrupt = !capabilities.fill_level_interrupt();
    if !setup.overflow_interrupt && !setup.fill_level_interrupt {
        return skip("the instance has both interrupts");
    }
    try_0(bench, &setup, setup.configuration_0(false))
}

fn recovers_from_refusal(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let bad = setup.configuration_1().with_mode_code(0xff);
    if try_1(bench, &setup, bad)? != Passed::As(REFUSED) {
        return skip("the instance takes a reserved mode");
    }
    expect_equal(
        "operation in progress after a refusal",
        bench.status()?.operation_code(),
        0,
    )?;
    let enable = Configuration0::from(bench.register(offset::CONFIGURATION_0)?).enable();
    expect_equal("enable bit after a refusal", enable, false)?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let reported: Vec<_> = bench
        .observe(&setup, &[(unit, HOT)])?
        .iter()
        .map(|entry| entry.unit)
        .collect();
    expect_equal(
        "unit reported after a refusal",
        reported.contains(&unit),
        true,
    )?;
    Ok(Passed::Plainly)
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
        let what = format!("register {register:#x} after a disable");
        expect_bits(what, bench.register(register)?, value)?;
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
