// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether a granule's number tells where it belongs, which is what every translation here counts on.
//!
//! Two kinds of windows are different, and neither a device's decoder nor the kernel's files show
//! it: the firmware may choose the host bridge by XOR of address bits (CXL r3.2 9.18.1.5), and the
//! hardware's modulo of 3 is that of the address, not of the place in a window that starts
//! elsewhere (CXL r3.2 8.2.4.20.13). Such windows are refused: a translation by number would name
//! the pages of another device.

use std::path::Path;

use chmu_machine::acpi::cedt::{Arithmetic, Cedt, Window};
use chmu_machine::acpi::tables::read_table;
use chmu_spec::address::Hpa;
use chmu_spec::interleave::{DecoderWindow, Interleave};

use super::TranslationError;

/// What the firmware says of the surroundings of an interleaved window.
pub(super) struct HostWindow {
    pub(super) cedt: Cedt,
    pub(super) window: Window,
    pub(super) interleave: Interleave,
}

/// The firmware's window around an interleaved one.
///
/// # Errors
/// When the table is not there or broken, has no such window, or positions do not follow from
/// numbers of granules.
pub(super) fn host_window(
    sysfs: &Path,
    window: &DecoderWindow,
) -> Result<HostWindow, TranslationError> {
    let refused = |reason: String| TranslationError::Arithmetic {
        base: window.base,
        reason,
    };
    let folder = sysfs.join("firmware/acpi/tables");
    let cedt = read_table(&folder, "CEDT", Cedt::parse)?;
    let cedt = cedt.ok_or_else(|| {
        let folder = folder.display();
        refused(format!("{folder} has no table CEDT, which tells how"))
    })?;
    let host = cedt.window_of(window.base, window.size_bytes).cloned();
    let host = host.ok_or_else(|| refused("no CXL window of the firmware contains it".into()))?;
    let interleave = host
        .interleave
        .ok_or_else(|| refused("the firmware's window has reserved codes".into()))?;
    match (host.arithmetic, interleave.ways()) {
        // One and three ways have no XOR maps.
        (Arithmetic::Modulo, _) | (Arithmetic::Xor, 1 | 3) => {}
        (Arithmetic::Xor, _) => return Err(refused("the firmware interleaves it by XOR".into())),
        (Arithmetic::Reserved(code), _) => {
            let reason = format!("the firmware interleaves it by the reserved arithmetic {code}");
            return Err(refused(reason));
        }
    }
    check_alignment(window.base, window.interleave).map_err(refused)?;
    check_alignment(host.base, interleave).map_err(refused)?;
    Ok(HostWindow {
        cedt,
        window: host,
        interleave,
    })
}

/// Numbers of granules in a window are those of addresses modulo 3 only when it starts at a multiple.
fn check_alignment(base: Hpa, interleave: Interleave) -> Result<(), String> {
    let ways = u64::from(interleave.ways());
    let stride = ways * u64::from(interleave.granularity_bytes());
    match ways.is_multiple_of(3) && !base.0.is_multiple_of(stride) {
        true => Err(format!(
            "it has {ways} ways and starts at {base}, which is no multiple of {ways} granules of \
             {} bytes",
            interleave.granularity_bytes()
        )),
        false => Ok(()),
    }
}
