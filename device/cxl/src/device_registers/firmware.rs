// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The firmware: one slot, which no host can write.

use chmu_spec::cxl::firmware::info;

use crate::bytes::put;

/// Revision: the version of this crate, in at most 16 bytes.
pub(super) const REVISION: &str = concat!("chmu ", env!("CARGO_PKG_VERSION"));
const _: () = assert!(REVISION.len() <= 16);

/// The output of Get FW Info.
pub(super) fn output() -> Vec<u8> {
    let mut output = vec![0; info::BYTES];
    put(&mut output, info::SLOTS, &[1]);
    put(&mut output, info::ACTIVE_SLOT, &[1]);
    put(&mut output, info::SLOT_1_REVISION, REVISION.as_bytes());
    output
}
