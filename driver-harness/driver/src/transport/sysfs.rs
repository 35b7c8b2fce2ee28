// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers through `/sys/bus/pci/devices`, while a kernel driver is bound to the function.
//!
//! The base address registers are mapped, so an access is the processor's own load or store. There
//! are no interrupts on this path.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use chmu_machine::refusal::Host;

use super::mapping::{FileArea, Mapping};
use super::{BarOffset, MappedWords, Transport, TransportError, Width, check_range};
use crate::refusal::{area_refusal, config_refusal, short_config_refusal};

const BARS: usize = 6;
/// `IORESOURCE_MEM` of the `resource` file's flags.
const RESOURCE_MEMORY: u64 = 0x200;
/// Offset of the command register, and its memory-space bit (PCI 3.0 6.2.2).
const COMMAND: u16 = 4;
const COMMAND_MEMORY: u32 = 1 << 1;
/// A function whose files in sysfs are used.
#[derive(Debug)]
pub struct SysfsTransport {
    device: String,
    folder: PathBuf,
    config: File,
    host: Host,
    bar_bytes: [u64; BARS],
    mapped: [OnceLock<Mapping>; BARS],
}

impl SysfsTransport {
    /// Opens the function whose folder is `folder`, for example
    /// `/sys/bus/pci/devices/0000:35:00.0`.
    pub fn open(folder: &Path) -> Result<SysfsTransport, TransportError> {
        SysfsTransport::open_on(Host::this(), folder)
    }

    /// Opens a function of a machine whose facts are elsewhere.
    fn open_on(host: Host, folder: &Path) -> Result<SysfsTransport, TransportError> {
        let config_path = folder.join("config");
        let config = File::open(&config_path).map_err(|source| TransportError::Open {
            path: config_path,
            source,
        })?;
        let name = folder.file_name().unwrap_or_default();
        let transport = SysfsTransport {
            device: name.to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            config,
            host,
            bar_bytes: read_bar_sizes(&folder.join("resource"))?,
            mapped: Default::default(),
        };
        if transport.read_config(COMMAND, Width::Two)? & COMMAND_MEMORY == 0 {
            return Err(TransportError::MemoryOff {
                device: transport.device,
            });
        }
        Ok(transport)
    }

    /// The whole area of a base address register, mapped at its first use.
    fn bar(&self, bar: u8) -> Result<&Mapping, TransportError> {
        let bytes = self.bar_bytes(bar)?;
        let cell = &self.mapped[usize::from(bar)];
        if let Some(mapping) = cell.get() {
            return Ok(mapping);
        }
        let mapping = self.map_file(BarOffset { bar, offset: 0 }, bytes, true)?;
        Ok(cell.get_or_init(|| mapping))
    }

    fn map_file(
        &self,
        place: BarOffset,
        bytes: u64,
        writable: bool,
    ) -> Result<Mapping, TransportError> {
        let path = self.folder.join(format!("resource{}", place.bar));
        let file = OpenOptions::new()
            .read(true)
            .write(writable)
            .custom_flags(libc::O_SYNC)
            .open(&path)
            .map_err(|source| {
                self.area_refused(place.bar, source)
                    .unwrap_or_else(|source| TransportError::Open { path, source })
            })?;
        let bar = place.bar;
        let area = FileArea {
            file: file.as_fd(),
            offset: place.offset,
            bytes,
            writable,
        };
        Mapping::new(area, place).map_err(|error| match error {
            TransportError::Access {
                action,
                place,
                bytes,
                source,
            } => self
                .area_refused(bar, source)
                .unwrap_or_else(|source| TransportError::Access {
                    action,
                    place,
                    bytes,
                    source,
                }),
            error => error,
        })
    }

    /// Says why an area is closed, where that is known; hands the kernel's word back otherwise.
    fn area_refused(&self, bar: u8, source: io::Error) -> Result<TransportError, io::Error> {
        match area_refusal(&self.host, &self.folder, bar, &source) {
            Some(refusal) => Ok(TransportError::Refused {
                action: format!("map BAR{bar} of {}", self.device),
                refusal,
                source,
            }),
            None => Err(source),
        }
    }

    /// An access to configuration space failed.
    fn config_failed(
        &self,
        action: &'static str,
        (offset, width): (u16, Width),
        source: io::Error,
    ) -> TransportError {
        let refusal = match source.kind() {
            io::ErrorKind::UnexpectedEof => Some(short_config_refusal(&self.host)),
            _ => config_refusal(&self.host, &source),
        };
        match refusal {
            Some(refusal) => TransportError::Refused {
                action: format!(
                    "{action} configuration space of {} at {offset:#x}",
                    self.device
                ),
                refusal,
                source,
            },
            None => TransportError::Access {
                action,
                place: format!("configuration offset {offset:#x}"),
                bytes: width.bytes() as u64,
                source,
            },
        }
    }
}

impl Transport for SysfsTransport {
    fn device(&self) -> &str {
        &self.device
    }

    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError> {
        let mut bytes = [0; 4];
        let count = width.bytes().min(4);
        self.config
            .read_exact_at(&mut bytes[..count], offset.into())
            .map_err(|source| self.config_failed("read", (offset, width), source))?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn write_config(&self, offset: u16, width: Width, value: u32) -> Result<(), TransportError> {
        let bytes = value.to_le_bytes();
        let count = width.bytes().min(4);
        OpenOptions::new()
            .write(true)
            .open(self.folder.join("config"))
            .and_then(|file| file.write_all_at(&bytes[..count], offset.into()))
            .map_err(|source| self.config_failed("write", (offset, width), source))
    }

    fn bar_bytes(&self, bar: u8) -> Result<u64, TransportError> {
        let bytes = self.bar_bytes.get(usize::from(bar)).copied();
        bytes
            .filter(|&bytes| bytes > 0)
            .ok_or_else(|| TransportError::NoBar {
                device: self.device.clone(),
                bar,
            })
    }

    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        self.bar(place.bar)?.read(place.offset, width)
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        self.bar(place.bar)?.write(place.offset, width, value)
    }

    fn map(&self, place: BarOffset, bytes: u64) -> Result<Box<dyn MappedWords>, TransportError> {
        check_range(place, bytes, self.bar_bytes(place.bar)?)?;
        Ok(Box::new(self.map_file(place, bytes, false)?))
    }

    fn interrupt_messages(&self) -> u16 {
        0
    }

    fn wait_for_interrupt(
        &self,
        message: u16,
        _timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        Err(TransportError::NoInterrupt {
            device: self.device.clone(),
            message,
            available: 0,
        })
    }

    /// A function that a driver of the kernel uses is not reset behind its back.
    fn reset(&self) -> Result<bool, TransportError> {
        Ok(false)
    }
}

/// Sizes of the memory areas from the `resource` file: a line `start end flags` for each of the six
/// base address registers, and more lines that do not matter.
fn read_bar_sizes(path: &Path) -> Result<[u64; BARS], TransportError> {
    let text = fs::read_to_string(path).map_err(|source| TransportError::Open {
        path: path.to_owned(),
        source,
    })?;
    let wrong = |line: &str| TransportError::Content {
        path: path.to_owned(),
        reason: format!("{line:?} is no start, end and flags"),
    };
    let mut sizes = [0; BARS];
    for (size, line) in sizes.iter_mut().zip(text.lines()) {
        let numbers: Option<Vec<_>> = line.split_whitespace().map(hexadecimal).collect();
        let Some([start, end, flags]) = numbers.as_deref() else {
            return Err(wrong(line));
        };
        if flags & RESOURCE_MEMORY != 0 && end > start {
            *size = (end - start).saturating_add(1);
        }
    }
    Ok(sizes)
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function's folder with a memory BAR4 of 8 KiB and an I/O BAR0.
    fn folder(command: u8) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut config = vec![0; 4096];
        config[..5].copy_from_slice(&[0xf4, 0x1a, 0x93, 0x0d, command]);
        fs::write(folder.path().join("config"), config).unwrap();
        let none = "0x0 0x0 0x0\n";
        let resource = format!(
            "0xc000 0xc03f 0x40101\n{none}{none}{none}0x8000000000 0x8000001fff 0x14220c\n{none}"
        );
        fs::write(folder.path().join("resource"), resource).unwrap();
        fs::write(folder.path().join("resource4"), [0; 8192]).unwrap();
        folder
    }

    #[test]
    fn a_bar_is_read_written_and_mapped() {
        let folder = folder(6);
        let transport = SysfsTransport::open(folder.path()).unwrap();
        assert_eq!(transport.read_config(0, Width::Four).unwrap(), 0x0d93_1af4);
        assert_eq!(transport.bar_bytes(4).unwrap(), 8192);
        let place = BarOffset {
            bar: 4,
            offset: 0x1008,
        };
        transport.write(place, Width::Four, 0x1_2345_6789).unwrap();
        assert_eq!(transport.read(place, Width::Eight).unwrap(), 0x2345_6789);
        let page = BarOffset {
            bar: 4,
            offset: 0x1000,
        };
        let words = transport.map(page, 4096).unwrap();
        assert_eq!(words.read(1), Some(0x2345_6789));
        assert!(transport.map(page, 4097).is_err());
    }

    #[test]
    fn what_is_no_memory_is_named() {
        let folder = folder(6);
        let transport = SysfsTransport::open(folder.path()).unwrap();
        for bar in [0, 1, 5, 6, 255] {
            let place = BarOffset { bar, offset: 0 };
            let error = transport.read(place, Width::Four).unwrap_err();
            assert!(matches!(error, TransportError::NoBar { .. }), "{error}");
        }
        let error = transport.wait_for_interrupt(2, Duration::ZERO).unwrap_err();
        assert!(matches!(error, TransportError::NoInterrupt { .. }));
    }

    #[test]
    fn a_function_that_decodes_no_memory_is_refused() {
        let folder = folder(0);
        let error = SysfsTransport::open(folder.path()).unwrap_err();
        assert!(matches!(error, TransportError::MemoryOff { .. }));
    }

    #[test]
    fn a_strange_resource_file_is_a_sentence() {
        let folder = folder(6);
        fs::write(folder.path().join("resource"), "0x0 0x0\n").unwrap();
        let error = SysfsTransport::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("is no start, end and flags"));
    }

    #[test]
    fn a_missing_function_is_an_open_error() {
        let error = SysfsTransport::open(Path::new("/nowhere/0000:00:00.0")).unwrap_err();
        let TransportError::Open { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
    }
}
