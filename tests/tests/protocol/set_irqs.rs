// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `DEVICE_SET_IRQS`, in the forms that QEMU sends.

use std::fs::File;

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{RawClient, command, event_file, words};

const MSI_X: u32 = 2;
const TRIGGER: u32 = 1 << 5;
const DATA_EVENTFD: u32 = 1 << 2;
const DATA_NONE: u32 = 1;

fn set_irqs(client: &mut RawClient, fields: [u32; 4], files: &[&File]) -> Result<u32> {
    let [flags, index, start, count] = fields;
    let reply = client.call_with_files(
        command::DEVICE_SET_IRQS,
        &words(&[20, flags, index, start, count]),
        files,
    )?;
    Ok(if reply.flags & chmu_tests::raw_client::FLAG_ERROR == 0 {
        0
    } else {
        reply.errno
    })
}

#[test]
fn the_forms_that_qemu_sends() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let event = event_file()?;
    let assign = DATA_EVENTFD | TRIGGER;
    // MSI-X enabled without a vector, a vector assigned, the same replaced, all disabled.
    assert_eq!(set_irqs(&mut client, [assign, MSI_X, 0, 1], &[])?, 0);
    assert_eq!(set_irqs(&mut client, [assign, MSI_X, 0, 1], &[&event])?, 0);
    assert_eq!(set_irqs(&mut client, [assign, MSI_X, 0, 1], &[&event])?, 0);
    assert_eq!(
        set_irqs(
            &mut client,
            [assign, MSI_X, 1, 3],
            &[&event, &event, &event]
        )?,
        0
    );
    assert_eq!(
        set_irqs(&mut client, [DATA_NONE | TRIGGER, MSI_X, 0, 0], &[])?,
        0
    );
    Ok(())
}

#[test]
fn vectors_that_do_not_exist_are_refused() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let event = event_file()?;
    let assign = DATA_EVENTFD | TRIGGER;
    for fields in [
        [assign, MSI_X, 4096, 1],
        [assign, MSI_X, u32::MAX, 1],
        [assign, MSI_X, 0, u32::MAX],
        [assign, 17, 0, 1],
    ] {
        let errno = set_irqs(&mut client, fields, &[&event])?;
        assert_eq!(errno, libc::EINVAL.unsigned_abs(), "{fields:?}");
    }
    client.read_region(7, 0, 4)?;
    Ok(())
}
