// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configurations that an instance does not offer.

use chmu_spec::chmu::{Configuration0, Configuration1, Mode, offset};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

use crate::bench::{Bench, Enabled, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, expect_equal, skip};

pub(super) const CASES: &[Case] = &[
    case(
        "configuration/refuses-request-code",
        "Enables with request codes 0, 7 and 255.",
        refuses_request_code,
    ),
    case(
        "configuration/refuses-request-filter",
        "Enables with a filter that the capabilities lack.",
        refuses_request_filter,
    ),
    case(
        "configuration/refuses-unit-size",
        "Enables with unit sizes that no device has or the capabilities lack.",
        refuses_unit_size,
    ),
    case(
        "configuration/refuses-mode-code",
        "Enables with mode codes 2, 128 and 255.",
        refuses_mode_code,
    ),
    case(
        "configuration/refuses-mode",
        "Enables with the mode that the capabilities lack.",
        refuses_mode,
    ),
    case(
        "configuration/refuses-epoch-codes",
        "Enables with reserved epoch scales and with multiplier 0.",
        refuses_epoch_codes,
    ),
    case(
        "configuration/refuses-short-epoch",
        "Enables with an epoch of half the shortest.",
        refuses_short_epoch,
    ),
    case(
        "configuration/refuses-long-epoch",
        "Enables with an epoch a second longer than the longest.",
        refuses_long_epoch,
    ),
    case(
        "configuration/refuses-down-sampling",
        "Enables with a down-sampling factor that the capabilities lack.",
        refuses_down_sampling,
    ),
    case(
        "configuration/refuses-randomised",
        "Enables randomised down-sampling where the capabilities lack it.",
        refuses_randomised,
    ),
    case(
        "configuration/refuses-threshold",
        "Enables with a threshold one above the largest count and looks what is hot.",
        refuses_threshold,
    ),
    case(
        "configuration/refuses-interrupts",
        "Enables with an interrupt that the capabilities lack.",
        refuses_interrupts,
    ),
    case(
        "configuration/recovers-from-refusal",
        "Has an enable refused, then enables a good configuration and makes a unit hot.",
        recovers_from_refusal,
    ),
];

const REFUSED: &str = "refused";

const ENABLED: &str = "enabled";

/// Writes raw configuration registers with the enable bit and says what came of it.
fn try_raw(
    bench: &mut Bench<'_>,
    setup: &Setup,
    configuration_0: Configuration0,
    configuration_1: Configuration1,
) -> Outcome {
    // An instance that takes no configuration does not refuse this one.
    let good = bench.setup()?;
    bench.start(&good)?;
    bench.stop()?;
    bench.configure(setup)?;
    bench.set_register(offset::CONFIGURATION_1, configuration_1.into())?;
    let before = bench.now();
    bench.set_register(
        offset::CONFIGURATION_0,
        configuration_0.with_enable(true).into(),
    )?;
    Ok(Passed::As(match bench.await_enabled(before)?.0 {
        Enabled::Refused => REFUSED,
        Enabled::Yes => ENABLED,
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
    let mut setup = bench.setup()?;
    match u32::try_from(setup.largest_count.saturating_add(1)) {
        Ok(threshold) => setup.threshold = threshold,
        Err(_) => return skip("every threshold fits the counter"),
    }
    let unit = bench.units(setup.unit_size, 1)?[0];
    if bench.try_start(&setup)? == Enabled::Refused {
        return Ok(Passed::As(REFUSED));
    }
    bench.touch(&setup, &[(unit, 3)])?;
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
        .observe(&setup, &[(unit, setup.hot())])?
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
