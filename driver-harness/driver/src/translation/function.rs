// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Who knows where a function's memory appears.

use std::path::Path;

use super::{Translation, TranslationError, decoders, position, sysfs};
use crate::device::PciFunction;
use crate::transport::{BarOffset, Transport};

/// Where the machine's physical memory is a file.
const PHYSICAL_MEMORY: &str = "/dev/mem";

/// Finds out where a function's memory appears in the host.
///
/// The kernel's decoders say it while its drivers are bound; otherwise the function's own do, with
/// `component` as the place of its component registers.
pub fn of_function(
    sysfs: &Path,
    function: &PciFunction,
    transport: &dyn Transport,
    component: Option<BarOffset>,
) -> Result<Translation, TranslationError> {
    if let Some(memdev) = &function.memdev
        && let Some(translation) = sysfs::of_memory_device(sysfs, memdev)?
    {
        return Ok(translation);
    }
    let component = component.ok_or_else(|| TranslationError::NoDecoders {
        device: function.address.clone(),
    })?;
    let memory = Path::new(PHYSICAL_MEMORY);
    decoders::read(transport, component, |window| {
        position::of_function(sysfs, memory, function, window)
    })
}
