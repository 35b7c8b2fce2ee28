// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why the kernel keeps a function's registers from a driver in user space, and the way out.

use std::io;

use chmu_machine::refusal::Refusal;

mod mapping;
mod reset;
mod vfio;

pub(crate) use mapping::{area_refusal, config_refusal, memory_refusal, short_config_refusal};
pub(crate) use reset::reset_danger;
pub(crate) use vfio::vfio_obstacle;

/// Why the kernel does not know an address family, in words; none for other errors.
pub(crate) fn without_sockets(error: &io::Error) -> Option<Refusal> {
    let missing = match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT) => "CONFIG_UNIX",
        Some(libc::ENOSYS) => "CONFIG_NET and CONFIG_UNIX",
        _ => return None,
    };
    Some(Refusal::new(
        format!("the kernel has no UNIX sockets: it lacks {missing}"),
        "the transport in-process and those of this machine's devices need none",
    ))
}

#[cfg(test)]
mod tests;
