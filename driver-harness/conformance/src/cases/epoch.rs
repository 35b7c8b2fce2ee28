// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Epochs: when counters are compared, and when they start again.

use std::ops::RangeInclusive;
use std::time::Duration;

use chmu_spec::chmu::EpochType;
use chmu_spec::epoch::{EpochLength, EpochScale};

use crate::bench::{Bench, LISTING_WAIT, Setup, TOLERANCE};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect_equal, fail, skip};
use crate::shown::Shown;

pub(super) const CASES: &[Case] = &[
    case(
        "epoch/hot-unit-reported",
        "Makes a unit hot, lets the epoch end and looks for it on the list.",
        hot_unit_reported,
    ),
    case(
        "epoch/not-before-its-end",
        "Makes a unit hot and looks at the list at once and in the middle of the epoch.",
        not_before_its_end,
    ),
    case(
        "epoch/counters-cleared",
        "Makes a unit hot in three epochs and reads each count.",
        counters_cleared,
    ),
    case(
        "epoch/cold-unit-forgotten",
        "Accesses a unit too seldom in each of two epochs, often enough in both together.",
        cold_unit_forgotten,
    ),
    case(
        "epoch/length",
        "Looks at the list at 90 % and at 106 % of an epoch, and of four epochs.",
        length,
    ),
    case(
        "epoch/change-of-length",
        "Measures an epoch, one three times as long, and where the clock is moved by hand one of 1.9 ms.",
        change_of_length,
    ),
    case(
        "epoch/every-scale",
        "Measures an epoch in each scale in which the instance has some of about half a second.",
        every_scale,
    ),
    case(
        "epoch/silent-epoch",
        "Lets an epoch without accesses follow one with a hot unit.",
        silent_epoch,
    ),
    case(
        "epoch/once-per-epoch",
        "Makes a unit hot in three epochs and drains once.",
        once_per_epoch,
    ),
    case(
        "epoch/per-counter-start",
        "Spreads the accesses of a hot unit around the time at which an epoch from the enable would end.",
        per_counter_start,
    ),
    case(
        "epoch/per-counter-end",
        "Accesses a unit too seldom in each of two epochs of its own.",
        per_counter_end,
    ),
    case(
        "epoch/per-counter-independent",
        "Makes two units hot at different times and looks when each is listed.",
        per_counter_independent,
    ),
    case(
        "epoch/global-end-for-all",
        "Makes a unit hot late in an epoch and looks at the list after the epoch's end.",
        global_end_for_all,
    ),
];

/// A part of an epoch after which it may be over, and one after which it must be, in hundredths.
const EARLIEST: u32 = 100 - TOLERANCE;
const LATEST: u32 = 100 + TOLERANCE;
/// Multiplier of an epoch of hundreds of microseconds that is not of whole milliseconds.
const ODD_MULTIPLIER: u16 = 19;
/// The last epoch after an enable whose end is measured: what clocks differ by adds up, and must leave
/// most of the epoch for its traffic.
const LAST_MEASURED: u32 = 4;

/// A configuration with epochs of a type; skips the case where the instance has another.
fn setup_of(bench: &mut Bench<'_>, wanted: EpochType) -> Result<Setup, Stop> {
    let setup = bench.epoch_setup()?;
    match bench.capabilities_0()?.epoch_type() {
        Some(found) if found == wanted => Ok(setup),
        _ => skip(match wanted {
            EpochType::Global => "the instance has no global epochs",
            EpochType::PerCounter => "the instance has no epochs per counter",
        }),
    }
}

/// A part of the epoch, in hundredths.
fn part(setup: &Setup, hundredths: u32) -> Duration {
    setup.epoch_duration() * hundredths / 100
}

/// The entries at `moment`, which is before the end of an epoch that began at `start` or later.
fn entries_before_end(
    bench: &mut Bench<'_>,
    setup: &Setup,
    start: Duration,
    moment: Duration,
) -> Result<usize, Stop> {
    bench.pass_until(moment)?;
    let entries = bench.peek()?.len();
    // The device's clock may be faster.
    bench.need_before(start + part(setup, 94))?;
    Ok(entries)
}

fn hot_unit_reported(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let accesses = setup.hot();
    let seen: Vec<_> = bench
        .observe(&setup, &[(unit, accesses)])?
        .iter()
        .map(|entry| entry.unit)
        .collect();
    match seen.contains(&unit) {
        true => Ok(Passed::Plainly),
        false => fail(
            format!(
                "units reported after {accesses} accesses to unit {unit} and the end of the epoch"
            ),
            seen.shown(),
            format!("unit {unit} among them"),
        ),
    }
}

fn not_before_its_end(bench: &mut Bench<'_>) -> Outcome {
    let setup = setup_of(bench, EpochType::Global)?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let start = bench.now();
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    let now = bench.now();
    let entries = entries_before_end(bench, &setup, start, now)?;
    expect_equal("entries right after the accesses", entries, 0)?;
    let middle = start + part(&setup, 50);
    let entries = entries_before_end(bench, &setup, start, middle)?;
    expect_equal("entries in the middle of the epoch", entries, 0)?;
    bench.end_epoch(&setup)?;
    match bench.drain()?.is_empty() {
        false => Ok(Passed::Plainly),
        true => skip("nothing was listed after the end of the epoch either"),
    }
}

fn counters_cleared(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let setup = setup_of(bench, EpochType::Global)?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    let touches = [(unit, setup.hot())];
    let mut first = None;
    for round in 0..3 {
        bench.touch(&setup, &touches)?;
        bench.end_epoch(&setup)?;
        let seen = bench.drain()?;
        // Whatever a count is, it is the same again.
        expect_equal(
            format!("entries of epoch {round} and of the first, with the same accesses"),
            &seen,
            first.get_or_insert_with(|| seen.clone()),
        )?;
        let what = format!("entries of epoch {round} with a hot unit");
        expect_equal(what, seen.len(), 1)?;
    }
    Ok(Passed::Plainly)
}

fn cold_unit_forgotten(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = setup_of(bench, EpochType::Global)?;
    // No epoch reaches the threshold, all together pass it.
    let dose = bench.dose(&setup)?;
    setup.threshold = dose.threshold;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    for round in 0..dose.parts {
        bench.touch(&setup, &[(unit, dose.cold)])?;
        bench.end_epoch(&setup)?;
        let what = format!(
            "entries after epoch {round} with {} accesses at threshold {}",
            dose.cold, dose.threshold
        );
        expect_equal(what, bench.drain()?.len(), 0)?;
    }
    bench.touch(&setup, &[(unit, dose.hot)])?;
    bench.end_epoch(&setup)?;
    let what = format!("entries after an epoch with {} accesses", dose.hot);
    expect_equal(what, bench.drain()?.len(), 1)?;
    Ok(Passed::Plainly)
}

/// An epoch, also as the registers have it.
fn in_its_scale(epoch: EpochLength) -> String {
    match (EpochLength::new(epoch.scale(), 1), epoch.multiplier()) {
        (Some(step), 2..) => format!("{epoch}, {} times {step}", epoch.multiplier()),
        _ => epoch.to_string(),
    }
}

/// The epoch with this number after an enable ends when it should: nothing at 90 % of as many
/// epochs, an entry after 106 %, give or take what an entry takes to be seen.
fn ends_in_time(bench: &mut Bench<'_>, setup: &Setup, number: u32) -> Result<(), Stop> {
    let unit = bench.units(setup.unit_size, 1)?[0];
    let after = match number {
        1 => format!("of an epoch of {}", in_its_scale(setup.epoch)),
        _ => format!("of {number} epochs of {} each", setup.epoch),
    };
    bench.start(setup)?;
    let [earliest, latest] = bench.began();
    bench.pass_until(latest + part(setup, (number - 1) * LATEST))?;
    if number > 1 {
        // What others had listed until now would take the room.
        bench.drain()?;
    }
    bench.touch(setup, &[(unit, setup.hot())])?;
    bench.pass_until(earliest + part(setup, number * 90))?;
    let early = bench.peek()?.len();
    bench.need_before(earliest + part(setup, number * EARLIEST))?;
    expect_equal(format!("entries after 90 % {after}"), early, 0)?;
    bench.pass_until(latest + part(setup, number * LATEST))?;
    bench.await_listing()?;
    // How often is for other cases.
    let is_listed = !bench.peek()?.is_empty();
    let what = format!("whether a hot unit is listed after {LATEST} % {after}");
    expect_equal(what, is_listed, true)?;
    bench.stop()
}

/// A configuration whose epochs are long beside what an entry takes to be seen, and a wait for an
/// operation, where the instance has such epochs.
fn measurable_setup(bench: &mut Bench<'_>) -> Result<Setup, Stop> {
    let setup = setup_of(bench, EpochType::Global)?;
    measurable(bench, setup)
}

/// The same with epochs that are so long, in epoch mode.
pub(super) fn measurable(bench: &Bench<'_>, mut setup: Setup) -> Result<Setup, Stop> {
    let longest = bench.capabilities_0()?.maximum_epoch();
    let wanted = setup.epoch_duration().max(LISTING_WAIT * 12);
    let wanted = u64::try_from(wanted.as_nanos()).unwrap_or(u64::MAX);
    let longest_ns = longest.map_or(0, EpochLength::nanoseconds);
    if let Some(epoch) = EpochLength::from_nanoseconds(wanted.min(longest_ns)) {
        setup.epoch = epoch;
    }
    Ok(setup)
}

fn length(bench: &mut Bench<'_>) -> Outcome {
    let setup = measurable_setup(bench)?;
    ends_in_time(bench, &setup, 1)?;
    bench.quiesce()?;
    ends_in_time(bench, &setup, LAST_MEASURED)?;
    Ok(Passed::Plainly)
}

/// The lengths of the epochs on offer, in nanoseconds; an empty range where the limits are not defined.
fn offered(bench: &Bench<'_>) -> Result<RangeInclusive<u64>, Stop> {
    let capabilities = bench.capabilities_0()?;
    let limits = capabilities
        .minimum_epoch()
        .zip(capabilities.maximum_epoch());
    Ok(match limits {
        Some((shortest, longest)) => shortest.nanoseconds()..=longest.nanoseconds(),
        None => RangeInclusive::new(1, 0),
    })
}

/// An epoch that is far from whole milliseconds; none where the instance has longer ones only.
fn odd_epoch(bench: &Bench<'_>) -> Result<Option<EpochLength>, Stop> {
    let offered = offered(bench)?;
    let epoch = EpochLength::new(EpochScale::HundredMicroseconds, ODD_MULTIPLIER);
    Ok(epoch.filter(|epoch| offered.contains(&epoch.nanoseconds())))
}

fn change_of_length(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = measurable_setup(bench)?;
    let longest = bench
        .capabilities_0()?
        .maximum_epoch()
        .map_or(0, EpochLength::nanoseconds);
    let tripled = setup.epoch.nanoseconds().saturating_mul(3);
    let Some(longer) = EpochLength::from_nanoseconds(tripled).filter(|_| tripled <= longest) else {
        return skip("the instance has no longer epoch to change to");
    };
    ends_in_time(bench, &setup, 1)?;
    bench.quiesce()?;
    setup.epoch = longer;
    ends_in_time(bench, &setup, 1)?;
    // What an entry takes to be seen hides so little on clocks that run by themselves.
    if bench.subject().has_manual_clock()
        && let Some(odd) = odd_epoch(bench)?
    {
        bench.quiesce()?;
        setup.epoch = odd;
        ends_in_time(bench, &setup, 1)?;
    }
    Ok(Passed::Plainly)
}

/// Of each scale that has one, an epoch that the instance offers and that is as long as `wanted`, or comes close.
fn of_every_scale(bench: &Bench<'_>, wanted: EpochLength) -> Result<Vec<EpochLength>, Stop> {
    let offered = offered(bench)?;
    let of_scale = |scale: EpochScale| {
        let most = offered.end() / scale.nanoseconds();
        let multiplier = wanted.nanoseconds().div_ceil(scale.nanoseconds()).min(most);
        let epoch = EpochLength::new(scale, u16::try_from(multiplier).ok()?)?;
        offered.contains(&epoch.nanoseconds()).then_some(epoch)
    };
    Ok(EpochScale::ALL.into_iter().filter_map(of_scale).collect())
}

/// Epochs whose multiplier is so small that each of its bits makes a difference.
fn of_small_multipliers(bench: &Bench<'_>) -> Result<Vec<EpochLength>, Stop> {
    let offered = offered(bench)?;
    let of_scale = |scale| [3, 5].map(|multiplier| EpochLength::new(scale, multiplier));
    let epochs = EpochScale::ALL.into_iter().flat_map(of_scale).flatten();
    let epochs = epochs.filter(|epoch| offered.contains(&epoch.nanoseconds()));
    Ok(epochs.collect())
}

fn every_scale(bench: &mut Bench<'_>) -> Outcome {
    let setup = measurable_setup(bench)?;
    let mut epochs = of_every_scale(bench, setup.epoch)?;
    if bench.subject().has_manual_clock() {
        epochs.extend(bench.capabilities_0()?.maximum_epoch());
        epochs.extend(of_small_multipliers(bench)?);
    }
    bench.each(epochs, |bench, epoch| {
        let setup = Setup {
            epoch,
            ..setup.clone()
        };
        ends_in_time(bench, &setup, 1)?;
        bench.quiesce()
    })?;
    Ok(Passed::Plainly)
}

fn silent_epoch(bench: &mut Bench<'_>) -> Outcome {
    let setup = setup_of(bench, EpochType::Global)?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    if bench.drain()?.is_empty() {
        return skip("nothing was listed in an epoch with a hot unit either");
    }
    bench.end_epoch(&setup)?;
    expect_equal(
        "entries after an epoch without accesses",
        bench.drain()?.len(),
        0,
    )?;
    Ok(Passed::Plainly)
}

fn once_per_epoch(bench: &mut Bench<'_>) -> Outcome {
    let setup = setup_of(bench, EpochType::Global)?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let rounds = 3.min(bench.room()?);
    bench.start(&setup)?;
    for _ in 0..rounds {
        bench.touch(&setup, &[(unit, setup.hot())])?;
        bench.end_epoch(&setup)?;
    }
    let units: Vec<_> = bench.drain()?.iter().map(|entry| entry.unit).collect();
    expect_equal(
        format!("entries after {rounds} epochs in which one unit is hot"),
        units,
        vec![unit; rounds],
    )?;
    Ok(Passed::Plainly)
}

fn per_counter_start(bench: &mut Bench<'_>) -> Outcome {
    let setup = setup_of(bench, EpochType::PerCounter)?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    // An epoch that began with the enable would end before all accesses are made.
    bench.pass(part(&setup, 70))?;
    let first = bench.now();
    bench.touch(&setup, &[(unit, 1)])?;
    bench.pass_until(first + part(&setup, 60))?;
    bench.touch(&setup, &[(unit, setup.hot() - 1)])?;
    bench.need_before(first + part(&setup, 94))?;
    bench.end_epoch(&setup)?;
    let listed: Vec<_> = bench.drain()?.iter().map(|entry| entry.unit).collect();
    expect_equal(
        "units listed after accesses to one within one epoch from its first access on",
        listed,
        vec![unit],
    )?;
    Ok(Passed::Plainly)
}

fn per_counter_end(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = setup_of(bench, EpochType::PerCounter)?;
    let dose = bench.dose(&setup)?;
    setup.threshold = dose.threshold;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    for round in 0..dose.parts {
        bench.touch(&setup, &[(unit, dose.cold)])?;
        bench.end_epoch(&setup)?;
        let what = format!(
            "entries after the unit's epoch {round} with {} accesses at threshold {}",
            dose.cold, dose.threshold
        );
        expect_equal(what, bench.drain()?.len(), 0)?;
    }
    bench.touch(&setup, &[(unit, dose.hot)])?;
    bench.end_epoch(&setup)?;
    match bench.drain()?.is_empty() {
        false => Ok(Passed::Plainly),
        true => skip("nothing was listed after an epoch with a hot unit either"),
    }
}

fn per_counter_independent(bench: &mut Bench<'_>) -> Outcome {
    let setup = setup_of(bench, EpochType::PerCounter)?;
    let units = bench.units(setup.unit_size, 2)?;
    bench.start(&setup)?;
    bench.touch(&setup, &[(units[0], setup.hot())])?;
    bench.pass(part(&setup, 60))?;
    let start = bench.now();
    bench.touch(&setup, &[(units[1], setup.hot())])?;
    bench.pass_until(start + part(&setup, 50))?;
    bench.await_listing()?;
    let first: Vec<_> = bench.drain()?.iter().map(|entry| entry.unit).collect();
    bench.need_before(start + part(&setup, 94))?;
    expect_equal(
        "units listed after the first one's epoch",
        first,
        vec![units[0]],
    )?;
    bench.pass(part(&setup, 60))?;
    bench.await_listing()?;
    let second: Vec<_> = bench.drain()?.iter().map(|entry| entry.unit).collect();
    expect_equal(
        "units listed after the second one's epoch",
        second,
        vec![units[1]],
    )?;
    Ok(Passed::Plainly)
}

fn global_end_for_all(bench: &mut Bench<'_>) -> Outcome {
    let setup = setup_of(bench, EpochType::Global)?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let before = bench.now();
    bench.start(&setup)?;
    let after = bench.now();
    bench.pass_until(before + part(&setup, 70))?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.need_before(before + part(&setup, 95))?;
    bench.pass_until(after + part(&setup, 120))?;
    bench.await_listing()?;
    let what = "entries after 120 % of an epoch with accesses at 70 %";
    expect_equal(what, bench.drain()?.len(), 1)?;
    Ok(Passed::Plainly)
}
