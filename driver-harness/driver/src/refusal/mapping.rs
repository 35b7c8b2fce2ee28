// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Areas and configuration space of a function that the kernel keeps closed, and physical memory
//! (drivers/pci/pci-sysfs.c, kernel/resource.c, drivers/char/mem.c).

use std::fs;
use std::io;
use std::path::Path;

use chmu_machine::refusal::{Capability, Host, Refusal};

use super::vfio::group_obstacle;

/// Why a base address register's area of the function in `folder` cannot be mapped.
pub(crate) fn area_refusal(
    host: &Host,
    folder: &Path,
    bar: u8,
    error: &io::Error,
) -> Option<Refusal> {
    match error.raw_os_error()? {
        libc::EINVAL => Some(claimed(host, folder, bar)),
        libc::EPERM => host
            .locked_down("the registers of PCI functions")
            .or_else(|| host.without_right(Capability::Admin)),
        libc::EACCES => host.without_right(Capability::Override),
        libc::EROFS => Host::read_only(error),
        libc::ENOENT => Some(Refusal::new(
            format!("the kernel shows no file for BAR{bar}"),
            "the area has no address yet, or the kernel or the container hides it; bind \
             vfio-pci",
        )),
        _ => None,
    }
}

/// The refusal of an area that the kernel keeps to whoever claimed it.
fn claimed(host: &Host, folder: &Path, bar: u8) -> Refusal {
    let address = folder.file_name().unwrap_or_default().to_string_lossy();
    let driver = Host::driver_of(folder);
    let claimant = claimant(host, folder, bar, &address);
    let whom = match (&claimant, &driver) {
        (Some(claimant), Some(driver)) => {
            format!("the claim {claimant:?} of driver {driver}")
        }
        (Some(claimant), None) => format!("the claim {claimant:?}"),
        (None, Some(driver)) => format!("driver {driver}"),
        (None, None) => "a driver".into(),
    };
    Refusal::new(
        format!("the kernel (CONFIG_IO_STRICT_DEVMEM) keeps BAR{bar} to {whom}"),
        way_to_claimed(host, folder, &address, driver.as_deref()),
    )
}

/// What leads to an area that a driver claimed, on this machine: a kernel started otherwise, VFIO, or no driver.
fn way_to_claimed(host: &Host, folder: &Path, address: &str, driver: Option<&str>) -> String {
    let line = fs::read_to_string(host.procfs().join("cmdline")).unwrap_or_default();
    let is_relaxed = line.split_whitespace().any(|word| word == "iomem=relaxed");
    let mut ways = Vec::new();
    match is_relaxed {
        true => ways.push("iomem=relaxed is in effect and does not help".to_owned()),
        false => ways.push("start the kernel with iomem=relaxed".to_owned()),
    }
    ways.push(match group_obstacle(host, folder) {
        None => "or bind vfio-pci".to_owned(),
        Some(_) => "or switch the IOMMU on, without which there is no VFIO here, and bind vfio-pci"
            .to_owned(),
    });
    ways.extend(driver.map(|driver| {
        format!("or take the driver off: echo {address} > /sys/bus/pci/drivers/{driver}/unbind")
    }));
    ways.join(", ")
}

/// Who has claimed the beginning of an area, as the kernel names it; only root sees where.
fn claimant(host: &Host, folder: &Path, bar: u8, address: &str) -> Option<String> {
    let &(start, _) = areas(folder).get(usize::from(bar))?;
    let text = fs::read_to_string(host.procfs().join("iomem")).ok()?;
    let mut claimant = None;
    for line in text.lines() {
        let (place, name) = line.split_once(" : ")?;
        let (first, last) = place.trim().split_once('-')?;
        let first = u64::from_str_radix(first, 16).ok()?;
        let last = u64::from_str_radix(last, 16).ok()?;
        if first <= start && start <= last {
            // Inner areas follow the areas that they lie in.
            claimant = Some(name);
        }
    }
    claimant
        .filter(|&name| name != address && !name.starts_with("PCI Bus"))
        .map(str::to_owned)
}

/// Why configuration space ends after its first 64 bytes.
pub(crate) fn short_config_refusal(host: &Host) -> Refusal {
    host.without_right(Capability::Admin).unwrap_or_else(|| {
        Refusal::new(
            "the function has no extended configuration space, or its bridges do not pass it",
            "look at the kernel's log for MMCONFIG (a QEMU machine needs -M q35)",
        )
    })
}

/// Why configuration space cannot be written.
pub(crate) fn config_refusal(host: &Host, error: &io::Error) -> Option<Refusal> {
    match error.raw_os_error()? {
        libc::EPERM => host
            .locked_down("configuration space")
            .or_else(|| host.without_right(Capability::Admin)),
        libc::EACCES => host.without_right(Capability::Override),
        libc::EROFS => Host::read_only(error),
        _ => None,
    }
}

/// Why physical memory cannot be mapped.
pub(crate) fn memory_refusal(host: &Host, error: &io::Error) -> Option<Refusal> {
    match error.raw_os_error()? {
        libc::ENOENT => Some(Refusal::new(
            "there is no such file",
            "the kernel lacks CONFIG_DEVMEM, or a container hides it",
        )),
        libc::EACCES => host.without_right(Capability::Override),
        libc::EPERM => host
            .without_right(Capability::RawIo)
            .or_else(|| host.locked_down("physical memory"))
            .or_else(|| {
                Some(Refusal::new(
                    "the kernel (CONFIG_STRICT_DEVMEM) keeps this area to its driver",
                    "start the kernel with iomem=relaxed",
                ))
            }),
        _ => None,
    }
}

/// The memory areas of a function, by its `resource` file: first and last address of each.
fn areas(folder: &Path) -> Vec<(u64, u64)> {
    let text = fs::read_to_string(folder.join("resource")).unwrap_or_default();
    let number = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let area = |line: &str| {
        let mut numbers = line.split_whitespace().map(number);
        Some((numbers.next()??, numbers.next()??))
    };
    text.lines()
        .map(|line| area(line).unwrap_or((0, 0)))
        .collect()
}
