// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration: what is kept, what is locked and what is refused.

use chmu_model::{Capabilities, CounterWidths, Event, Fault, Refusal};
use chmu_spec::chmu::{Configuration0, Configuration1};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

use super::fixture::{Bench, MS, RANGES, Setup};

/// What is refused when a default unit, changed, is asked for a default setup, changed.
fn refusal(
    capabilities: impl FnOnce(&mut Capabilities),
    setup: impl FnOnce(&mut Setup),
    registers: impl FnOnce(&mut Configuration0, &mut Configuration1),
) -> Option<Refusal> {
    let mut bench = Bench::with(capabilities);
    let mut wanted = Setup::default();
    setup(&mut wanted);
    let mut registers_0 = wanted.configuration_0();
    let mut registers_1 = wanted.configuration_1();
    registers(&mut registers_0, &mut registers_1);
    let mut unit = bench.unit();
    unit.write(0x48, registers_1.into_bits());
    unit.write(0x40, registers_0.with_enable(true).into_bits());
    let enabled = unit.status().enabled();
    assert_eq!(
        unit.read(0x40),
        registers_0.with_enable(enabled).into_bits()
    );
    assert_eq!(unit.read(0x48), registers_1.into_bits());
    assert_eq!(unit.status().operation_code(), 0);
    let statistics = unit.statistics();
    assert_eq!(statistics.enables, u64::from(enabled));
    assert_eq!(statistics.enables_refused, u64::from(!enabled));
    let refusals = bench.refusals();
    assert_eq!(refusals.len(), usize::from(!enabled));
    refusals.first().copied()
}

fn keep<T>(_: &mut T) {}

#[test]
fn a_supported_configuration_is_accepted() {
    assert_eq!(refusal(keep, keep, |_, _| {}), None);
}

#[test]
fn an_unsupported_configuration_is_refused() {
    let refused = [
        (
            refusal(
                |one| {
                    one.trackable_requests = [RequestFilter::NonTeeRead].into_iter().collect();
                },
                keep,
                |_, _| {},
            ),
            Refusal::RequestFilter(RequestFilter::AllReadWrite),
        ),
        (
            refusal(keep, |setup| setup.unit_size = UnitSize::MINIMUM, |_, _| {}),
            Refusal::UnitSize(8),
        ),
        (
            refusal(|one| one.epoch_mode = false, keep, |_, _| {}),
            Refusal::Mode(0),
        ),
        (
            refusal(
                |one| one.down_sampling_factors = 1,
                |setup| setup.down_sampling_log2 = 1,
                |_, _| {},
            ),
            Refusal::DownSampling(1),
        ),
        (
            refusal(
                |one| one.randomised_down_sampling = false,
                |setup| setup.randomise = true,
                |_, _| {},
            ),
            Refusal::RandomisedDownSampling,
        ),
        (
            refusal(|one| one.overflow_interrupt = false, keep, |_, _| {}),
            Refusal::OverflowInterrupt,
        ),
        (
            refusal(|one| one.fill_level_interrupt = false, keep, |_, _| {}),
            Refusal::FillLevelInterrupt,
        ),
    ];
    for (seen, expected) in refused {
        assert_eq!(seen, Some(expected));
    }
}

#[test]
fn epochs_outside_of_the_capabilities_are_refused() {
    let length = |scale, multiplier| EpochLength::new(scale, multiplier).unwrap();
    for (epoch, accepted) in [
        (length(EpochScale::HundredMicroseconds, 9), false),
        (length(EpochScale::HundredMicroseconds, 10), true),
        (length(EpochScale::Millisecond, 1), true),
        (length(EpochScale::Second, 10), true),
        (length(EpochScale::HundredMilliseconds, 100), true),
        (length(EpochScale::HundredMilliseconds, 101), false),
    ] {
        let seen = refusal(keep, |setup| setup.epoch = epoch, |_, _| {});
        let expected = (!accepted).then_some(Refusal::EpochLength(epoch));
        assert_eq!(seen, expected, "{epoch}");
    }
}

#[test]
fn reserved_codes_are_unsupported() {
    for code in [0, 7, 255] {
        let seen = refusal(keep, keep, |registers, _| registers.set_request_code(code));
        assert_eq!(seen, Some(Refusal::RequestCode(code)));
    }
    for code in [2, 255] {
        let seen = refusal(keep, keep, |_, registers| registers.set_mode_code(code));
        assert_eq!(seen, Some(Refusal::Mode(code)));
    }
    for (scale, multiplier) in [(0, 1), (6, 1), (15, 1), (2, 0)] {
        let seen = refusal(keep, keep, |_, registers| {
            registers.set_epoch_scale(scale);
            registers.set_epoch_multiplier(multiplier);
        });
        assert_eq!(seen, Some(Refusal::EpochCodes { scale, multiplier }));
    }
    for log2_bytes in [0, 7, 32, u32::MAX] {
        let seen = refusal(keep, keep, |_, registers| {
            registers.set_unit_size_log2(log2_bytes);
        });
        assert_eq!(seen, Some(Refusal::UnitSize(log2_bytes)));
    }
}

#[test]
fn a_threshold_that_does_not_fit_the_counter_is_unsupported() {
    let narrow = |one: &mut Capabilities| one.counter_widths = CounterWidths::uniform(8);
    assert_eq!(
        refusal(narrow, |setup| setup.threshold = 255, |_, _| {}),
        None
    );
    assert_eq!(
        refusal(narrow, |setup| setup.threshold = 256, |_, _| {}),
        Some(Refusal::Threshold {
            threshold: 256,
            counter_width: 8
        })
    );
    let wide = |one: &mut Capabilities| one.counter_widths = CounterWidths::uniform(32);
    assert_eq!(
        refusal(wide, |setup| setup.threshold = u32::MAX, |_, _| {}),
        None
    );
}

#[test]
fn always_on_mode_needs_no_epoch() {
    let seen = refusal(keep, keep, |_, registers| {
        registers.set_mode_code(1);
        registers.set_epoch_scale(0);
        registers.set_epoch_multiplier(0);
    });
    assert_eq!(seen, None);
}

#[test]
fn configuration_written_while_enabled_is_ignored() {
    let mut bench = Bench::new();
    let mut unit = bench.unit();
    unit.run(&Setup::default());
    let before = [0x40, 0x48, 0x50, RANGES].map(|offset| unit.read(offset));
    let kept = Configuration0::new().with_enable(true).into_bits();
    unit.write(0x40, (!before[0] & !0x2_0000) | kept);
    unit.write(0x48, !before[1]);
    unit.write(0x50, !before[2]);
    unit.write(RANGES, !before[3]);
    let after = [0x40, 0x48, 0x50, RANGES].map(|offset| unit.read(offset));
    assert_eq!(after, before);
    let locked: Vec<u64> = bench
        .host
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Fault {
                instance: Some(0),
                fault: Fault::Locked { offset },
            } => Some(*offset),
            _ => None,
        })
        .collect();
    assert_eq!(locked, [0x40, 0x48, 0x50, RANGES]);
}

#[test]
fn disabling_or_resetting_by_a_register_of_zeroes_is_no_fault() {
    for (offset, bytes) in [(0x40, 8), (0x40, 4), (0x42, 1)] {
        for resets in [false, true] {
            let mut bench = Bench::new();
            let mut unit = bench.unit();
            unit.run(&Setup::default());
            let value = Configuration0::new().with_reset(resets).into_bits();
            let value = value >> ((offset - 0x40) * 8);
            unit.write_bytes(offset, &value.to_le_bytes()[..bytes]);
            assert!(!unit.status().enabled());
            let kept = Setup::default().configuration_0().into_bits();
            assert_eq!(unit.read(0x40), kept, "{offset:#x}, {bytes} bytes");
            assert_eq!(bench.faults(), 0);
        }
    }
}

#[test]
fn disabling_and_configuring_at_once_is_a_fault() {
    let mut bench = Bench::new();
    bench.unit().run(&Setup::default());
    let other = Configuration0::new().with_hotness_threshold(7);
    bench.unit().write(0x40, other.into_bits());
    assert!(!bench.unit().status().enabled());
    assert_eq!(bench.faults(), 1);
}

#[test]
fn a_switch_that_an_operation_in_progress_swallows_is_a_fault() {
    let mut bench = Bench::with(|one| one.operation_delay_ns = 5 * MS);
    let mut unit = bench.unit();
    unit.configure(&Setup::default());
    unit.enable();
    unit.enable();
    assert_eq!(bench.faults(), 0);
    bench.unit().write(0x40, 0);
    assert_eq!(bench.faults(), 1);
    bench.unit().reset();
    assert_eq!(bench.faults(), 1);
    assert!(bench.unit().status().operation().is_some());
}

#[test]
fn writing_the_same_configuration_while_enabled_is_no_fault() {
    let mut bench = Bench::new();
    bench.unit().run(&Setup::default());
    for offset in [0x40, 0x48, 0x50, RANGES] {
        let value = bench.unit().read(offset);
        bench.unit().write(offset, value);
    }
    assert_eq!(bench.faults(), 0);
    assert_eq!(bench.unit().statistics().enables, 1);
}

#[test]
fn configuration_is_locked_while_an_operation_is_in_progress() {
    let mut bench = Bench::with(|one| one.operation_delay_ns = 5 * MS);
    let mut unit = bench.unit();
    unit.configure(&Setup::default());
    unit.enable();
    let before = unit.read(0x48);
    unit.write(0x48, 0);
    assert_eq!(unit.read(0x48), before);
    bench.pass(5 * MS);
    bench.unit().disable();
    bench.unit().write(0x48, 0);
    assert_eq!(bench.unit().read(0x48), before);
    bench.pass(5 * MS);
    bench.unit().write(0x48, 0);
    assert_eq!(bench.unit().read(0x48), 0);
}

#[test]
fn reserved_bits_read_as_zero() {
    let mut bench = Bench::new();
    let mut unit = bench.unit();
    unit.write(0x48, u64::MAX);
    unit.write(0x50, u64::MAX);
    unit.write(0x40, !0x3_0000);
    assert_eq!(unit.read(0x48), 0xffff_ff0f_ffff_ffff);
    assert_eq!(unit.read(0x50), 0xffff);
    assert_eq!(unit.read(0x40), 0xffff_ffff_0000_07ff);
    for offset in [0x20, 0x38, 0x58] {
        unit.write(offset, u64::MAX);
        assert_eq!(unit.read(offset), 0);
    }
}

#[test]
fn one_write_may_configure_and_enable() {
    let mut bench = Bench::new();
    let mut unit = bench.unit();
    unit.write(0x48, Setup::default().configuration_1().into_bits());
    let value = Setup::default().configuration_0().with_enable(true);
    unit.write(0x40, value.into_bits());
    assert!(unit.status().enabled());
    assert_eq!(unit.read(0x40), value.into_bits());
}
