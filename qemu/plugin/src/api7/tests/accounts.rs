// SPDX-License-Identifier: GPL-2.0-or-later
//! What each vCPU did to memory, as its account has it.

use chmu_ring::{Traffic, VcpuAccount};

use super::*;

const fn traffic(reads: u64, writes: u64) -> Traffic {
    Traffic { reads, writes }
}

#[test]
fn requests_count_for_their_window_and_instructions_until_the_last_interrupt() {
    let mut device = Device::new(4, &[WINDOW]);
    install(&mut [&mut device], &["cache=lines:64"]);
    let block = arm(&mut device);
    for vcpu in [1, 1, 3] {
        block.begin(vcpu);
        block.store(vcpu, ADDRESS, Target::Ram(BASE), 3);
        for page in 1..=4 {
            let frame = Target::Ram(page * 0x1000);
            block.load(vcpu, ADDRESS + page * 0x1000, frame, 3);
        }
        if vcpu == 1 {
            fake_qemu::interrupt(vcpu);
        }
    }
    let expected = [
        VcpuAccount {
            vcpu: 1,
            // The block in which the vCPU takes note that the device is armed was before that.
            instructions: 2,
            windows: vec![traffic(2, 2)],
            elsewhere: traffic(7, 0),
        },
        VcpuAccount {
            vcpu: 3,
            instructions: 0,
            windows: vec![traffic(1, 1)],
            elsewhere: traffic(4, 0),
        },
    ];
    let accounts = device.feed.accounts();
    let in_window = accounts.iter().flat_map(|account| &account.windows);
    let requests: u64 = in_window
        .map(|traffic| traffic.reads + traffic.writes)
        .sum();
    assert_eq!(device.drain().len() as u64, requests);
    assert_eq!(accounts, expected);
}

#[test]
fn a_device_has_no_account_of_what_was_before_it_was_armed_or_after() {
    let mut first = Device::new(4, &[WINDOW]);
    let mut second = Device::new(4, &[WINDOW]);
    install(&mut [&mut first, &mut second], &["cache=none"]);
    let block = arm(&mut first);
    let work = || {
        block.begin(0);
        block.load(0, ADDRESS, Target::Ram(BASE), 3);
        block.store(0, ADDRESS + 0x1000, Target::Ram(0x1000), 3);
    };
    work();
    arm(&mut second);
    work();
    first.feed.set_armed(false);
    fake_qemu::interrupt(0);
    work();
    fake_qemu::interrupt(0);
    let account = |instructions| VcpuAccount {
        vcpu: 0,
        instructions,
        windows: vec![traffic(2, 0)],
        elsewhere: traffic(0, 2),
    };
    // A block in which the vCPU takes note of a change was before that.
    assert_eq!(first.feed.accounts(), [account(4)]);
    assert_eq!(second.feed.accounts(), [account(2)]);
}
