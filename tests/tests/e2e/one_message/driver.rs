// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! For the guest of a test: a driver in user space that asks Linux for one MSI message, whatever the
//! device offers, has the first CHMU instance count, and waits for the message.

use std::error::Error;
use std::ffi::{c_int, c_ulong};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

// linux/vfio.h
const VFIO_SET_IOMMU: c_ulong = 0x3b66;
const VFIO_GROUP_SET_CONTAINER: c_ulong = 0x3b68;
const VFIO_GROUP_GET_DEVICE_FD: c_ulong = 0x3b6a;
const VFIO_DEVICE_SET_IRQS: c_ulong = 0x3b6e;
const VFIO_TYPE1V2_IOMMU: c_int = 3;
const VFIO_IRQ_SET_DATA_EVENTFD: u32 = 1 << 2;
const VFIO_IRQ_SET_ACTION_TRIGGER: u32 = 1 << 5;
const VFIO_PCI_MSI_IRQ_INDEX: u32 = 1;
const VFIO_PCI_CONFIG_REGION: u64 = 7;

// PCI
const COMMAND: u64 = 4;
const MEMORY_AND_BUS_MASTER: u16 = 6;

// The CHMU, in its BAR
const CHMU_BAR: u64 = 4;
const INSTANCE: u64 = 0x10;
const MESSAGE_NUMBER_MASK: u64 = 0xf;
const ALL_REQUESTS_FILL_LEVEL_THRESHOLD_1: u64 = 6 | 1 << 10 | 1 << 32;
const ENABLE: u64 = 1 << 16;
/// Units of 4 KiB, epochs of 1 x 100 ms.
const UNITS_AND_EPOCHS: u64 = 12 | 4 << 48 | 1 << 52;
const FILL_LEVEL: u64 = 8;

const TIMEOUT: Duration = Duration::from_secs(60);

unsafe extern "C" {
    fn eventfd(initial: u32, flags: c_int) -> c_int;
    fn ioctl(file: c_int, request: c_ulong, ...) -> c_int;
}

/// `struct vfio_irq_set` with one event.
#[repr(C)]
struct IrqSet {
    size_bytes: u32,
    flags: u32,
    index: u32,
    start: u32,
    count: u32,
    event: c_int,
}

struct Device(File);

impl Device {
    /// The device of this PCI address, which vfio-pci has.
    fn open(address: &str) -> Result<Self, Box<dyn Error>> {
        let open = |path: &str| OpenOptions::new().read(true).write(true).open(path);
        let group = fs::read_link(format!("/sys/bus/pci/devices/{address}/iommu_group"))?;
        let group = group.file_name().and_then(|name| name.to_str());
        let container = open("/dev/vfio/vfio")?;
        let group = open(&format!("/dev/vfio/{}", group.ok_or("No group")?))?;
        let container_fd = container.as_raw_fd();
        // SAFETY: the request reads one number.
        call(unsafe { ioctl(group.as_raw_fd(), VFIO_GROUP_SET_CONTAINER, &container_fd) })?;
        // SAFETY: the request takes a number.
        call(unsafe { ioctl(container_fd, VFIO_SET_IOMMU, VFIO_TYPE1V2_IOMMU) })?;
        let name = std::ffi::CString::new(address)?;
        // SAFETY: the request reads a C string.
        let device = unsafe { ioctl(group.as_raw_fd(), VFIO_GROUP_GET_DEVICE_FD, name.as_ptr()) };
        // Both stay open until the end.
        std::mem::forget((container, group));
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { File::from_raw_fd(call(device)?) }))
    }

    fn read<const N: usize>(&self, region: u64, offset: u64) -> Result<[u8; N], Box<dyn Error>> {
        let mut bytes = [0; N];
        self.0.read_exact_at(&mut bytes, (region << 40) + offset)?;
        Ok(bytes)
    }

    fn write(&self, region: u64, offset: u64, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        Ok(self.0.write_all_at(bytes, (region << 40) + offset)?)
    }

    fn register(&self, offset: u64) -> Result<u64, Box<dyn Error>> {
        Ok(u64::from_le_bytes(self.read(CHMU_BAR, INSTANCE + offset)?))
    }

    fn set_register(&self, offset: u64, value: u64) -> Result<(), Box<dyn Error>> {
        self.write(CHMU_BAR, INSTANCE + offset, &value.to_le_bytes())
    }

    /// Has Linux grant one message, and returns the event that it becomes.
    fn take_one_message(&self) -> Result<File, Box<dyn Error>> {
        // SAFETY: the call takes two numbers.
        let event = call(unsafe { eventfd(0, 0) })?;
        let set = IrqSet {
            size_bytes: u32::try_from(size_of::<IrqSet>())?,
            flags: VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
            index: VFIO_PCI_MSI_IRQ_INDEX,
            start: 0,
            count: 1,
            event,
        };
        // SAFETY: the request reads as many bytes as the structure says that it has.
        let granted = call(unsafe { ioctl(self.0.as_raw_fd(), VFIO_DEVICE_SET_IRQS, &set) })?;
        if granted != 0 {
            return Err("Linux grants no message".into());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(unsafe { File::from_raw_fd(event) })
    }
}

fn call(result: c_int) -> Result<c_int, Box<dyn Error>> {
    match result {
        0.. => Ok(result),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("Name a PCI address")?;
    let device = Device::open(&address)?;
    let command = u16::from_le_bytes(device.read(VFIO_PCI_CONFIG_REGION, COMMAND)?);
    let command = (command | MEMORY_AND_BUS_MASTER).to_le_bytes();
    device.write(VFIO_PCI_CONFIG_REGION, COMMAND, &command)?;
    println!(
        "offered message {}",
        device.register(0)? & MESSAGE_NUMBER_MASK
    );
    let mut event = device.take_one_message()?;
    println!(
        "granted message {}",
        device.register(0)? & MESSAGE_NUMBER_MASK
    );

    let (bitmap, hotlist) = (device.register(0x10)?, device.register(0x18)?);
    for place in (bitmap..hotlist).step_by(8) {
        device.set_register(place, u64::MAX)?;
    }
    device.set_register(0x40, ALL_REQUESTS_FILL_LEVEL_THRESHOLD_1)?;
    device.set_register(0x48, UNITS_AND_EPOCHS)?;
    device.set_register(0x50, FILL_LEVEL)?;
    device.set_register(0x40, ALL_REQUESTS_FILL_LEVEL_THRESHOLD_1 | ENABLE)?;

    let (sender, arrived) = mpsc::channel();
    thread::spawn(move || sender.send(event.read_exact(&mut [0; 8])));
    match arrived.recv_timeout(TIMEOUT) {
        Ok(read) => println!("interrupted {}", read.map_or("not", |()| "once")),
        Err(_) => println!(
            "never interrupted, status {:#x}, tail and head {:#x}",
            device.register(0x60)?,
            device.register(0x68)?
        ),
    }
    Ok(())
}
