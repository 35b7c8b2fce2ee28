// SPDX-License-Identifier: GPL-2.0-or-later
//! What is in effect, for whom, from when on, and what that costs.

use std::time::Duration;

use super::*;

const A_SECOND: Duration = Duration::from_secs(1);

#[test]
fn nothing_is_instrumented_until_a_device_is_armed_and_a_second_after() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &[]);
    assert!(device.feed.acknowledged(), "being disarmed is in effect");
    assert_eq!(fake_qemu::registered(), (true, Some(false)));
    fake_qemu::interrupt(0);
    assert!(!fake_qemu::translate(&[LOAD_CODE]).is_instrumented());
    assert!(arm(&mut device).is_instrumented());
    device.feed.set_armed(false);
    assert!(!device.feed.acknowledged());
    fake_qemu::interrupt(3);
    assert!(device.feed.acknowledged());
    fake_qemu::pass(A_SECOND - Duration::from_millis(1));
    fake_qemu::interrupt(1);
    assert!(fake_qemu::translate(&[LOAD_CODE]).is_instrumented());
    fake_qemu::pass(Duration::from_millis(1));
    fake_qemu::interrupt(2);
    assert!(!fake_qemu::translate(&[LOAD_CODE]).is_instrumented());
    assert!(device.feed.acknowledged());
    fake_qemu::pass(A_SECOND);
    fake_qemu::interrupt(2);
    assert_eq!(fake_qemu::counts().resets, 2, "armed, and a second after");
}

#[test]
fn a_device_that_is_armed_again_soon_finds_the_code_translated_and_its_lines_gone() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &["cache=l2:4K:4+llc:64K:16"]);
    let block = arm(&mut device);
    let both = |block: &FakeBlock, vcpu| {
        block.load(vcpu, ADDRESS, Target::Ram(BASE), 3);
        block.store(vcpu, ADDRESS + 0x1000, Target::Ram(0x1000), 3);
    };
    both(&block, 0);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE))]);
    device.feed.set_armed(false);
    fake_qemu::interrupt(0);
    assert!(device.feed.acknowledged());
    fake_qemu::pass(A_SECOND / 2);
    block.load(0, ADDRESS + 64, Target::Ram(BASE + 64), 3);
    assert_eq!(device.drain(), []);
    device.feed.set_armed(true);
    assert!(!device.feed.acknowledged());
    fake_qemu::interrupt(2);
    assert!(device.feed.acknowledged());
    assert_eq!(fake_qemu::counts().resets, 1);
    // No vCPU has had an interrupt but the third, and the first has these lines in its cache.
    both(&block, 0);
    both(&block, 1);
    block.load(0, ADDRESS + 64, Target::Ram(BASE + 64), 3);
    let expected = [Access::read(Hpa(BASE)), Access::read(Hpa(BASE + 64))];
    assert_eq!(device.drain(), expected);
}

/// No vCPU has a last access that is reported after a disarm, or a first that is not after an arm.
#[test]
fn what_is_acknowledged_holds_for_each_vcpu_at_once() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &["cache=none"]);
    let block = arm(&mut device);
    for round in 0..5 {
        device.feed.set_armed(round % 2 == 0);
        fake_qemu::interrupt(round % 4);
        assert!(device.feed.acknowledged());
        for vcpu in 0..4 {
            block.load(vcpu, ADDRESS, Target::Ram(BASE), 3);
        }
        let expected = if round % 2 == 0 { 4 } else { 0 };
        assert_eq!(device.drain().len(), expected, "{round}");
    }
    assert_eq!(fake_qemu::counts().resets, 1);
}

/// While nothing is instrumented, nobody sees that translations change.
#[test]
fn places_from_before_a_time_without_instrumentation_are_forgotten() {
    for options in [&["cache=none"][..], &["filter=window"]] {
        let mut device = Device::new(4, &[WINDOW]);
        install(&mut [&mut device], options);
        let block = arm(&mut device);
        block.load(0, ADDRESS, Target::Ram(0x1000), 3);
        assert_eq!(device.drain(), []);
        device.feed.set_armed(false);
        fake_qemu::interrupt(0);
        fake_qemu::pass(A_SECOND);
        fake_qemu::interrupt(0);
        let block = arm(&mut device);
        block.load(0, ADDRESS, Target::Ram(BASE), 3);
        assert_eq!(device.drain(), [Access::read(Hpa(BASE))], "{options:?}");
    }
}

#[test]
fn a_change_between_two_looks_is_one() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &[]);
    let block = arm(&mut device);
    block.store(1, ADDRESS, Target::Ram(BASE), 3);
    device.feed.set_armed(false);
    device.feed.set_armed(true);
    fake_qemu::interrupt(0);
    assert!(device.feed.acknowledged());
    block.store(1, ADDRESS, Target::Ram(BASE), 3);
    assert_eq!(device.drain(), [Access::read(Hpa(BASE)); 2]);
}

#[test]
fn a_vcpu_that_sleeps_through_changes_does_not_miss_them() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &[]);
    let block = arm(&mut device);
    for _ in 0..3 {
        block.store(3, ADDRESS, Target::Ram(BASE), 3);
        assert_eq!(device.drain(), [Access::read(Hpa(BASE))]);
        for armed in [false, true] {
            device.feed.set_armed(armed);
            fake_qemu::interrupt(0);
        }
    }
}

#[test]
fn arming_a_device_leaves_the_lines_of_another() {
    let far = Window {
        base: BASE + WINDOW.size,
        size: 4096,
    };
    let mut first = Device::new(4, &[WINDOW]);
    let mut second = Device::new(4, &[far]);
    // Of the same memory, as of two that are interleaved.
    let mut third = Device::new(4, &[WINDOW]);
    install(&mut [&mut first, &mut second, &mut third], &[]);
    let block = arm(&mut first);
    let access_both = |block: &FakeBlock| {
        block.load(0, ADDRESS, Target::Ram(BASE), 3);
        block.load(0, ADDRESS + 0x1040, Target::Ram(far.base + 64), 3);
    };
    access_both(&block);
    assert_eq!(first.drain(), [Access::read(Hpa(BASE))]);
    arm(&mut second);
    access_both(&block);
    assert_eq!(first.drain(), [], "its line is still there");
    assert_eq!(second.drain(), [Access::read(Hpa(far.base + 64))]);
    arm(&mut third);
    access_both(&block);
    assert_eq!((first.drain(), third.drain()), (vec![], vec![]));
    second.feed.set_armed(false);
    fake_qemu::interrupt(1);
    access_both(&block);
    assert_eq!((first.drain(), second.drain()), (vec![], vec![]));
    assert_eq!(fake_qemu::counts().resets, 1);
}

#[test]
fn a_device_that_leaves_ends_its_instrumentation() {
    let mut device = Device::new(4, &[WINDOW]);
    let mut other = Device::new(4, &[WINDOW]);
    install(&mut [&mut device, &mut other], &[]);
    arm(&mut device);
    arm(&mut other);
    drop(device);
    (0..MANY_INTERRUPTS).for_each(|_| fake_qemu::interrupt(0));
    assert_eq!(fake_qemu::registered(), (true, Some(true)));
    other.feed.set_armed(false);
    fake_qemu::interrupt(0);
    fake_qemu::pass(A_SECOND);
    fake_qemu::interrupt(0);
    assert_eq!(fake_qemu::registered(), (true, Some(false)));
    drop(other);
    (0..MANY_INTERRUPTS).for_each(|_| fake_qemu::interrupt(0));
    assert_eq!(fake_qemu::registered(), (false, Some(false)));
}

#[test]
fn armed_devices_that_leave_end_the_instrumentation_at_once() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &[]);
    let block = arm(&mut device);
    drop(device);
    (0..MANY_INTERRUPTS).for_each(|_| fake_qemu::interrupt(0));
    assert_eq!(fake_qemu::registered(), (false, Some(false)));
    block.load(0, ADDRESS, Target::Ram(BASE), 3);
}
