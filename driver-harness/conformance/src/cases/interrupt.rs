// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupts of overflow and fill level.

use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::Status;

use crate::bench::{Bench, Setup};
use crate::case::{Case, case};
use crate::outcome::{Findings, Outcome, Passed, Stop, expect, expect_equal, skip};

pub(super) const CASES: &[Case] = &[
    case(
        "interrupt/overflow",
        "Loses a unit and waits for the interrupt.",
        overflow,
    ),
    case(
        "interrupt/fill-level",
        "Raises the fill level and waits for the interrupt.",
        fill_level,
    ),
    case(
        "interrupt/not-enabled",
        "Sets each status bit with its interrupt not enabled.",
        not_enabled,
    ),
    case(
        "interrupt/message",
        "Causes each interrupt and listens to all messages.",
        message,
    ),
    case(
        "interrupt/edge",
        "Causes an interrupt, then lets its condition hold for another epoch.",
        edge,
    ),
    case(
        "interrupt/overflow-again",
        "Loses units three times with a drain and a clear in between.",
        overflow_again,
    ),
    case(
        "interrupt/fill-level-again",
        "Raises the fill level three times with a drain and a clear in between.",
        fill_level_again,
    ),
    case(
        "interrupt/silent-when-disabled",
        "Causes an interrupt, then disables and does what caused it once more.",
        silent_when_disabled,
    ),
];

/// Which interrupt a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Overflow,
    FillLevel,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::FillLevel => "fill-level",
        }
    }

    fn status(self) -> Status {
        match self {
            Self::Overflow => Status::new().with_overflow(true),
            Self::FillLevel => Status::new().with_fill_level(true),
        }
    }
}

/// A configuration whose interrupt comes, the units that cause it, and the message it comes with.
#[derive(Debug)]
struct Cause {
    kind: Kind,
    setup: Setup,
    units: Vec<UnitIndex>,
    message: u16,
}

/// Prepares an interrupt; skips the case where the instance or the path has none.
fn cause(bench: &mut Bench<'_>, kind: Kind) -> Result<Cause, Stop> {
    bench.need_interrupts()?;
    let (first, second) = (bench.capabilities_0()?, bench.capabilities_1()?);
    let mut setup = bench.setup()?;
    let room = bench.room()?;
    let (supported, count) = match kind {
        Kind::Overflow => (first.overflow_interrupt(), room + 1),
        Kind::FillLevel => (first.fill_level_interrupt(), 2.min(room)),
    };
    if !supported {
        return skip(format!("the instance has no {} interrupt", kind.name()));
    }
    match kind {
        Kind::Overflow if second.postponed_insertion() => {
            return skip("the instance postpones insertions instead of losing them");
        }
        Kind::Overflow => setup.overflow_interrupt = true,
        Kind::FillLevel => {
            setup.fill_level_interrupt = true;
            setup.fill_level = 0;
        }
    }
    Ok(Cause {
        kind,
        units: bench.units(setup.unit_size, count)?,
        setup,
        message: first.message_number().into(),
    })
}

fn heat(bench: &mut Bench<'_>, cause: &Cause) -> Result<(), Stop> {
    let hot = cause.setup.hot();
    let touches: Vec<_> = cause.units.iter().map(|unit| (*unit, hot)).collect();
    bench.touch(&cause.setup, &touches)?;
    bench.end_epoch(&cause.setup)
}

/// As [`heat`]; says whether the interrupt comes. That it must is for cases of its own.
fn comes_with_heat(bench: &mut Bench<'_>, cause: &Cause) -> Result<bool, Stop> {
    heat(bench, cause)?;
    Ok(bench.wait_for_interrupts(cause.message)? > 0)
}

/// The same; skips the case where it does not.
fn announce(bench: &mut Bench<'_>, cause: &Cause) -> Result<(), Stop> {
    match comes_with_heat(bench, cause)? {
        true => Ok(()),
        false => skip(format!("no {} interrupt came", cause.kind.name())),
    }
}

/// Skips the case where the status bit is not set whose interrupt is due then.
fn need_status(bench: &mut Bench<'_>, kind: Kind) -> Result<(), Stop> {
    let is_set = |status: Status| u64::from(status) & u64::from(kind.status()) != 0;
    match is_set(bench.status_once(is_set)?) {
        true => Ok(()),
        false => skip(format!(
            "{} is not set, so its interrupt is not due",
            kind.name()
        )),
    }
}

fn expect_interrupt(bench: &mut Bench<'_>, cause: &Cause, when: &str) -> Result<(), Stop> {
    let came = bench.wait_for_interrupts(cause.message)?;
    if came == 0 {
        need_status(bench, cause.kind)?;
    }
    let what = format!("interrupts at message {} {when}", cause.message);
    expect(came > 0, what, "0", "at least one")
}

fn expect_silence(bench: &Bench<'_>, message: u16, when: &str) -> Result<(), Stop> {
    let came = bench.unexpected_interrupts(message)?;
    expect_equal(format!("interrupts at message {message} {when}"), came, 0)
}

fn comes(bench: &mut Bench<'_>, kind: Kind) -> Outcome {
    let cause = cause(bench, kind)?;
    bench.start(&cause.setup)?;
    // Something of others may have happened.
    if bench.is_exact() {
        expect_silence(bench, cause.message, "before anything happened")?;
    }
    heat(bench, &cause)?;
    expect_interrupt(bench, &cause, &format!("after {} was set", kind.name()))?;
    need_status(bench, kind)?;
    Ok(Passed::Plainly)
}

fn overflow(bench: &mut Bench<'_>) -> Outcome {
    comes(bench, Kind::Overflow)
}

fn fill_level(bench: &mut Bench<'_>) -> Outcome {
    comes(bench, Kind::FillLevel)
}

/// The kinds that the instance has.
fn kinds(bench: &Bench<'_>) -> Result<Vec<Kind>, Stop> {
    let capabilities = bench.capabilities_0()?;
    let postponed = bench.capabilities_1()?.postponed_insertion();
    let overflow = capabilities.overflow_interrupt() && !postponed;
    let offered = [
        (overflow, Kind::Overflow),
        (capabilities.fill_level_interrupt(), Kind::FillLevel),
    ];
    let kinds: Vec<_> = offered
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, kind)| kind)
        .collect();
    match kinds.is_empty() {
        true => skip("the instance has no interrupts"),
        false => Ok(kinds),
    }
}

fn not_enabled(bench: &mut Bench<'_>) -> Outcome {
    let kinds = kinds(bench)?;
    let mut heard = false;
    bench.each(kinds, |bench, kind| {
        let mut cause = cause(bench, kind)?;
        // Its interrupt comes where it is enabled.
        bench.start(&cause.setup)?;
        if !comes_with_heat(bench, &cause)? {
            return bench.quiesce();
        }
        heard = true;
        let listed = bench.occupancy()?;
        bench.quiesce()?;
        cause.setup.overflow_interrupt = false;
        cause.setup.fill_level_interrupt = false;
        bench.start(&cause.setup)?;
        heat(bench, &cause)?;
        // Some set the status only with its interrupt, so that the list has to tell.
        if bench.occupancy()? < listed {
            return skip("fewer entries were listed than with the interrupt enabled");
        }
        let when = format!(
            "after what sets {}, with its interrupt not enabled",
            kind.name()
        );
        expect_silence(bench, cause.message, &when)?;
        bench.quiesce()
    })?;
    passed_if(heard)
}

fn passed_if(heard: bool) -> Outcome {
    match heard {
        true => Ok(Passed::Plainly),
        false => skip("no interrupt came that is enabled"),
    }
}

fn message(bench: &mut Bench<'_>) -> Outcome {
    let messages = bench.need_interrupts()?;
    let kinds = kinds(bench)?;
    let mut heard = false;
    bench.each(kinds, |bench, kind| {
        let cause = cause(bench, kind)?;
        bench.start(&cause.setup)?;
        heard |= comes_with_heat(bench, &cause)?;
        let mut findings = Findings::default();
        for other in (0..messages).filter(|other| *other != cause.message) {
            findings.note(expect_silence(
                bench,
                other,
                "that is not the instance's own",
            ))?;
        }
        findings.end()?;
        bench.quiesce()
    })?;
    passed_if(heard)
}

fn edge(bench: &mut Bench<'_>) -> Outcome {
    let kind = kinds(bench)?.remove(0);
    let cause = cause(bench, kind)?;
    bench.start(&cause.setup)?;
    announce(bench, &cause)?;
    heat(bench, &cause)?;
    Ok(Passed::As(
        match bench.unexpected_interrupts(cause.message)? {
            0 => "once per rise",
            _ => "while the condition holds",
        },
    ))
}

/// After a clear, the next rise is announced again. That the first one is, is another case's: an earlier case may
/// have cleared one.
fn comes_again(bench: &mut Bench<'_>, kind: Kind) -> Outcome {
    let cause = cause(bench, kind)?;
    let mut rises = 0;
    loop {
        bench.start(&cause.setup)?;
        heat(bench, &cause)?;
        rises += 1;
        if bench.wait_for_interrupts(cause.message)? > 0 {
            break;
        }
        if rises == 2 {
            return skip(format!(
                "no {} interrupt comes at a first rise",
                kind.name()
            ));
        }
        bench.quiesce()?;
    }
    for round in 0..3 {
        if round > 0 {
            heat(bench, &cause)?;
            let when = format!("after rise {round} of {}", kind.name());
            expect_interrupt(bench, &cause, &when)?;
        }
        bench.drain()?;
        bench.clear_status(kind.status())?;
        // Others may raise it again.
        if bench.is_exact() {
            let when = format!("after {} was drained and cleared", kind.name());
            expect_silence(bench, cause.message, &when)?;
        }
    }
    Ok(Passed::Plainly)
}

fn overflow_again(bench: &mut Bench<'_>) -> Outcome {
    comes_again(bench, Kind::Overflow)
}

fn fill_level_again(bench: &mut Bench<'_>) -> Outcome {
    comes_again(bench, Kind::FillLevel)
}

fn silent_when_disabled(bench: &mut Bench<'_>) -> Outcome {
    let kind = kinds(bench)?.remove(0);
    let cause = cause(bench, kind)?;
    bench.start(&cause.setup)?;
    announce(bench, &cause)?;
    bench.stop()?;
    bench.drain()?;
    bench.clear_status(kind.status())?;
    bench.drop_interrupts()?;
    heat(bench, &cause)?;
    expect_silence(bench, cause.message, "of a disabled instance")?;
    Ok(Passed::Plainly)
}
