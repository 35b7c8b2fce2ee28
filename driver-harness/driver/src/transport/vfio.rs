// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers through VFIO, with vfio-pci bound to the function: every access is a system call whose
//! error is seen, and interrupt messages arrive as events.
//!
//! Opening the function resets it where it can be reset.

use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chmu_machine::refusal::Host;
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_BAR5_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSI_IRQ_INDEX,
    VFIO_PCI_MSIX_IRQ_INDEX,
};
use vfio_ioctls::{VfioContainer, VfioDevice, VfioOps};

use super::mapping::{FileArea, Mapping};
use super::messages::Messages;
use super::reset::{function_level_reset, switch_on};
use super::{BarOffset, MappedWords, Transport, TransportError, Width, check_range};
use crate::refusal::vfio_obstacle;

/// A function handed out by VFIO.
pub struct VfioTransport {
    name: String,
    device: VfioDevice,
    messages: Messages,
}

impl VfioTransport {
    /// Opens the function whose sysfs folder is `folder`, for example
    /// `/sys/bus/pci/devices/0000:35:00.0`, switches on its memory and bus mastering (without which
    /// no interrupt message leaves it), and connects its MSI-X or MSI messages.
    pub fn open(folder: &Path) -> Result<VfioTransport, TransportError> {
        let name = folder.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let failed = |action, reason: String| TransportError::Vfio {
            device: name.clone(),
            action,
            reason,
        };
        if let Some(refusal) = vfio_obstacle(&Host::this(), folder) {
            return Err(failed("open", refusal.to_string()));
        }
        let container: Arc<dyn VfioOps> = match VfioContainer::new(None) {
            Ok(container) => Arc::new(container),
            Err(error) => return Err(failed("open a container for", error.to_string())),
        };
        let device = VfioDevice::new(folder, container, false)
            .map_err(|error| failed("open", error.to_string()))?;
        let mut transport = VfioTransport {
            name: name.clone(),
            device,
            messages: Messages::default(),
        };
        switch_on(&transport)?;
        transport
            .connect_messages()
            .map_err(|reason| failed("connect interrupts of", reason))?;
        Ok(transport)
    }

    /// Connects the messages of MSI-X, or of MSI where there is no MSI-X: as many as the kernel grants.
    fn connect_messages(&mut self) -> Result<(), String> {
        for index in [VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX] {
            let irq = self.device.get_irq_info(index);
            let available = irq.map_or(0, |irq| irq.count);
            let mut wanted = Messages::new(available).map_err(|error| error.to_string())?;
            while wanted.count() > 0 {
                self.device
                    .enable_irq(index, wanted.events().iter().collect())
                    .map_err(|error| error.to_string())?;
                if self.arrives(index, &wanted) {
                    self.messages = wanted;
                    return Ok(());
                }
                wanted.halve();
            }
        }
        Ok(())
    }

    /// Whether the kernel's own signal of the last message arrives. A kernel that grants fewer messages
    /// than it is asked for connects none and says so in a way that looks like success
    /// (`drivers/vfio/pci/vfio_pci_intrs.c`: a positive number).
    fn arrives(&self, index: u32, messages: &Messages) -> bool {
        let Some(last) = messages.count().checked_sub(1) else {
            return false;
        };
        let signalled = self.device.trigger_irq(index, last.into()).is_ok();
        signalled && messages.take(last)
    }

    fn region(&self, index: u32) -> Region {
        Region {
            offset: self.device.get_region_offset(index),
            bytes: self.device.get_region_size(index),
        }
    }

    fn bar(&self, bar: u8) -> Result<Region, TransportError> {
        let index = u32::from(bar);
        if index <= VFIO_PCI_BAR5_REGION_INDEX {
            let region = self.region(index);
            if region.bytes > 0 {
                return Ok(region);
            }
        }
        Err(TransportError::NoBar {
            device: self.name.clone(),
            bar,
        })
    }

    /// The place of an access in the device's file.
    fn place_in_file(&self, place: BarOffset, bytes: u64) -> Result<u64, TransportError> {
        let region = self.bar(place.bar)?;
        check_range(place, bytes, region.bytes)?;
        Ok(region.offset.saturating_add(place.offset))
    }

    /// The device's descriptor as a file that is never closed here.
    fn file(&self) -> ManuallyDrop<fs::File> {
        // SAFETY: the descriptor is open as long as `self.device`; ManuallyDrop leaves it open.
        ManuallyDrop::new(unsafe { fs::File::from_raw_fd(self.device.as_raw_fd()) })
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self.device`, which `self` owns.
        unsafe { BorrowedFd::borrow_raw(self.device.as_raw_fd()) }
    }
}

impl std::fmt::Debug for VfioTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VfioTransport")
            .field("name", &self.name)
            .field("messages", &self.messages.count())
            .finish_non_exhaustive()
    }
}

/// A region of the device's file.
#[derive(Debug, Clone, Copy)]
struct Region {
    offset: u64,
    bytes: u64,
}

impl Transport for VfioTransport {
    fn device(&self) -> &str {
        &self.name
    }

    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError> {
        let region = self.region(VFIO_PCI_CONFIG_REGION_INDEX);
        let mut bytes = [0; 4];
        let count = width.bytes().min(4);
        self.file()
            .read_exact_at(
                &mut bytes[..count],
                region.offset.saturating_add(offset.into()),
            )
            .map_err(|source| TransportError::Access {
                action: "read",
                place: format!("configuration offset {offset:#x}"),
                bytes: width.bytes() as u64,
                source,
            })?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn write_config(&self, offset: u16, width: Width, value: u32) -> Result<(), TransportError> {
        let region = self.region(VFIO_PCI_CONFIG_REGION_INDEX);
        let bytes = value.to_le_bytes();
        let count = width.bytes().min(4);
        self.file()
            .write_all_at(&bytes[..count], region.offset.saturating_add(offset.into()))
            .map_err(|source| TransportError::Access {
                action: "write",
                place: format!("configuration offset {offset:#x}"),
                bytes: width.bytes() as u64,
                source,
            })
    }

    fn bar_bytes(&self, bar: u8) -> Result<u64, TransportError> {
        self.bar(bar).map(|region| region.bytes)
    }

    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        let at = self.place_in_file(place, width.bytes() as u64)?;
        let mut bytes = [0; 8];
        let piece = &mut bytes[..width.bytes()];
        let outcome = whole(self.file().read_at(piece, at), width);
        outcome.map_err(|source| refused("read", place, width, source))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        let at = self.place_in_file(place, width.bytes() as u64)?;
        let bytes = value.to_le_bytes();
        let piece = &bytes[..width.bytes()];
        let outcome = whole(self.file().write_at(piece, at), width);
        outcome.map_err(|source| refused("write", place, width, source))
    }

    fn map(&self, place: BarOffset, bytes: u64) -> Result<Box<dyn MappedWords>, TransportError> {
        let area = FileArea {
            file: self.descriptor(),
            offset: self.place_in_file(place, bytes)?,
            bytes,
            writable: false,
        };
        Ok(Box::new(Mapping::new(area, place)?))
    }

    fn interrupt_messages(&self) -> u16 {
        self.messages.count()
    }

    fn wait_for_interrupt(
        &self,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        self.messages.wait(&self.name, message, timeout)
    }

    /// The kernel sees the write, resets the function and restores its configuration.
    fn reset(&self) -> Result<bool, TransportError> {
        let found = function_level_reset(self)?;
        switch_on(self)?;
        Ok(found)
    }

    fn interrupt_event(&self, message: u16) -> Option<BorrowedFd<'_>> {
        self.messages.descriptor(message)
    }
}

/// One access is one system call: a shorter one is a failure, never continued.
fn whole(outcome: io::Result<usize>, width: Width) -> io::Result<()> {
    match outcome? {
        count if count == width.bytes() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn refused(
    action: &'static str,
    place: BarOffset,
    width: Width,
    source: io::Error,
) -> TransportError {
    TransportError::Access {
        action,
        place: place.to_string(),
        bytes: width.bytes() as u64,
        source,
    }
}
