// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `DEVICE_GET_IRQ_INFO` and `DEVICE_SET_IRQS`: MSI or MSI-X vectors as eventfds.
//!
//! QEMU emulates the MSI-X table and the MSI capability itself and only tells which eventfd
//! belongs to which vector.

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_TYPE_MASK,
    VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_IRQ_SET_DATA_TYPE_MASK,
    VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX,
};
use vmm_sys_util::eventfd::EventFd;
use zerocopy::IntoBytes;

use super::backend::Backend;
use super::error::RequestError;
use super::layout::checked_layout;
use super::protocol::{IrqInfo, IrqSet};

/// Answers `DEVICE_GET_IRQ_INFO`.
///
/// The error and request interrupts do not exist: with a count of 0 QEMU would warn, with 1 it
/// would stop the guest when one arrives.
///
/// # Errors
/// When the interrupt type does not exist.
pub(super) fn information(
    payload: &[u8],
    backend: &dyn Backend,
    reply: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let mut info = checked_layout::<IrqInfo>(payload, |info| info.argument_bytes)?;
    let vectors = vectors(info.index.get(), backend)?;
    info.count = u32::from(vectors).into();
    info.flags = if vectors == 0 {
        0.into()
    } else {
        VFIO_IRQ_INFO_EVENTFD.into()
    };
    reply.extend_from_slice(info.as_bytes());
    Ok(())
}

/// Carries `DEVICE_SET_IRQS` out.
///
/// Vectors of the message that get no eventfd lose the one they had: QEMU enables interrupts by
/// connecting vector 0 with nothing.
///
/// # Errors
/// When a vector does not exist, a descriptor is no eventfd, or the action is none we offer. The
/// vectors are as before then.
pub(super) fn set(
    payload: &[u8],
    descriptors: Vec<OwnedFd>,
    backend: &mut dyn Backend,
) -> Result<(), RequestError> {
    let request = checked_layout::<IrqSet>(payload, |request| request.argument_bytes)?;
    let (start, count) = (request.start.get(), request.count.get());
    let available = vectors(request.index.get(), backend)?;
    let out_of_range = RequestError::Vectors {
        start,
        count,
        vectors: available,
    };
    let end = match start.checked_add(count) {
        Some(end) if end <= u32::from(available) => end,
        _ => return Err(out_of_range),
    };
    let range = u16::try_from(start).ok().zip(u16::try_from(end).ok());
    let (first, end) = range.ok_or(out_of_range)?;

    let flags = request.flags.get();
    if flags & VFIO_IRQ_SET_ACTION_TYPE_MASK != VFIO_IRQ_SET_ACTION_TRIGGER {
        return Err(RequestError::InterruptFlags(flags));
    }
    match flags & VFIO_IRQ_SET_DATA_TYPE_MASK {
        VFIO_IRQ_SET_DATA_NONE if count == 0 => {
            (0..available).for_each(|vector| backend.connect_vector(vector, None));
        }
        VFIO_IRQ_SET_DATA_NONE => (first..end).for_each(|vector| backend.trigger_vector(vector)),
        VFIO_IRQ_SET_DATA_EVENTFD => {
            let given = descriptors.len();
            if given > usize::from(end.saturating_sub(first)) {
                return Err(RequestError::Descriptors {
                    descriptors: given,
                    count,
                });
            }
            let events: Vec<EventFd> = descriptors
                .into_iter()
                .map(event_fd)
                .collect::<Result<_, _>>()?;
            let mut events = events.into_iter();
            (first..end).for_each(|vector| backend.connect_vector(vector, events.next()));
        }
        _ => return Err(RequestError::InterruptFlags(flags)),
    }
    Ok(())
}

/// Vectors of an interrupt type.
fn vectors(index: u32, backend: &dyn Backend) -> Result<u16, RequestError> {
    let interrupts = backend.interrupts();
    match index {
        VFIO_PCI_INTX_IRQ_INDEX => Ok(0),
        VFIO_PCI_MSI_IRQ_INDEX => Ok(interrupts.msi),
        VFIO_PCI_MSIX_IRQ_INDEX => Ok(interrupts.msi_x),
        _ => Err(RequestError::UnknownInterrupt(index)),
    }
}

/// Takes a descriptor over as an eventfd. A pipe or a file in its place could block a later
/// write, and with it the device.
fn event_fd(descriptor: OwnedFd) -> Result<EventFd, RequestError> {
    let link = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let target = std::fs::read_link(link).map_err(|_| RequestError::NotAnEventFd)?;
    if target.as_os_str() != "anon_inode:[eventfd]" {
        return Err(RequestError::NotAnEventFd);
    }
    // SAFETY: the number is an open descriptor and given up by its only owner in this expression.
    Ok(unsafe { EventFd::from_raw_fd(descriptor.into_raw_fd()) })
}
