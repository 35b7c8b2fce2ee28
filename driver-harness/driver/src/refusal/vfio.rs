// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why VFIO does not hand a function out.

use std::fs;
use std::io;
use std::path::Path;

use chmu_machine::refusal::{Capability, Host, Refusal};

/// The driver that hands functions out.
const DRIVER: &str = "vfio-pci";

/// What stands in the way before VFIO is even asked for the function in `folder`; none where
/// nothing is known to.
pub(crate) fn vfio_obstacle(host: &Host, folder: &Path) -> Option<Refusal> {
    driver_obstacle(host, folder)
        .or_else(|| group_obstacle(host, folder))
        .or_else(|| container_obstacle(host))
        .or_else(|| sharing_obstacle(host, folder))
}

/// The function must belong to vfio-pci.
fn driver_obstacle(host: &Host, folder: &Path) -> Option<Refusal> {
    let address = folder.file_name().unwrap_or_default().to_string_lossy();
    let bind = format!(
        "echo {DRIVER} > {0}/driver_override, unbind its driver, and echo {address} > \
         /sys/bus/pci/drivers_probe",
        folder.display()
    );
    let cause = match Host::driver_of(folder) {
        Some(driver) if driver == DRIVER => return None,
        Some(driver) => format!("it is bound to {driver}, not to {DRIVER}"),
        None => format!("it is not bound to {DRIVER}"),
    };
    let loaded = !host.has_pci() || host.sysfs().join("bus/pci/drivers").join(DRIVER).exists();
    Some(match loaded {
        true => Refusal::new(cause, bind),
        false => Refusal::new(
            format!("{cause}, and the kernel has no {DRIVER} loaded"),
            format!("modprobe {DRIVER} (CONFIG_VFIO_PCI), then {bind}"),
        ),
    })
}

/// The function must be in an IOMMU group.
pub(super) fn group_obstacle(host: &Host, folder: &Path) -> Option<Refusal> {
    if folder.join("iommu_group").exists() && !has_no_iommu_node(host, folder) {
        return None;
    }
    let unsafe_mode = host
        .sysfs()
        .join("module/vfio/parameters/enable_unsafe_noiommu_mode");
    let is_unsafe = fs::read_to_string(unsafe_mode).is_ok_and(|mode| mode.trim() == "Y");
    let groups = fs::read_dir(host.sysfs().join("kernel/iommu_groups"));
    let has_groups = groups.is_ok_and(|mut groups| groups.next().is_some());
    let switch_on = "switch the IOMMU on in the firmware and start the kernel with \
                     intel_iommu=on or amd_iommu=on (in a QEMU guest: -device \
                     intel-iommu,caching-mode=on,intremap=on), or take the sysfs path (list, \
                     watch, promote: --transport sysfs; conformance: --transport region)";
    Some(match (is_unsafe, has_groups) {
        (true, _) => Refusal::new(
            "VFIO runs without an IOMMU (enable_unsafe_noiommu_mode), which chmu does not use",
            switch_on,
        ),
        (false, true) => Refusal::new("it is in no IOMMU group though others are", switch_on),
        (false, false) => {
            Refusal::new("the machine has no IOMMU, or it is switched off", switch_on)
        }
    })
}

fn has_no_iommu_node(host: &Host, folder: &Path) -> bool {
    let group = group_of(folder);
    group.is_some_and(|group| {
        let node = host.devices().join("vfio").join(format!("noiommu-{group}"));
        node.exists()
    })
}

/// VFIO's own file must be there and open.
fn container_obstacle(host: &Host) -> Option<Refusal> {
    let file = host.devices().join("vfio/vfio");
    file_obstacle(
        host,
        &file,
        "modprobe vfio (CONFIG_VFIO), and give a container /dev/vfio",
    )
}

/// The group's file must be there and open, and all of the group must belong to VFIO.
fn sharing_obstacle(host: &Host, folder: &Path) -> Option<Refusal> {
    let others = others_in_group(folder);
    if !others.is_empty() {
        return Some(Refusal::new(
            format!(
                "its IOMMU group is not viable: it shares it with {}",
                others.join(", ")
            ),
            format!("bind {DRIVER} to these as well, or unbind their drivers"),
        ));
    }
    let file = host.devices().join("vfio").join(group_of(folder)?);
    file_obstacle(host, &file, "give a container /dev/vfio")
}

fn file_obstacle(host: &Host, file: &Path, when_missing: &str) -> Option<Refusal> {
    let opened = fs::OpenOptions::new().read(true).write(true).open(file);
    let error = opened.err()?;
    let shown = file.display();
    match error.kind() {
        io::ErrorKind::NotFound => Some(Refusal::new(
            format!("there is no {shown}"),
            when_missing.to_owned(),
        )),
        io::ErrorKind::ResourceBusy => Some(Refusal::new(
            format!("another program has {shown} open, such as QEMU or another chmu"),
            "end it",
        )),
        io::ErrorKind::PermissionDenied => Some(
            host.without_right(Capability::Override)
                .map(|refusal| {
                    Refusal::new(
                        format!("{shown} is not this user's: {}", refusal.cause()),
                        format!("run chmu as root, or chown {shown}"),
                    )
                })
                .unwrap_or_else(|| {
                    Refusal::new(
                        format!("{shown} is closed here: {error}"),
                        "give the container the right to use it (--device /dev/vfio)",
                    )
                }),
        ),
        _ => None,
    }
}

fn group_of(folder: &Path) -> Option<String> {
    let group = fs::read_link(folder.join("iommu_group")).ok()?;
    Some(group.file_name()?.to_string_lossy().into_owned())
}

/// Functions of the same group that a driver other than VFIO's has, with that driver. Bridges do
/// not count: the kernel looks after them.
fn others_in_group(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("iommu_group/devices"));
    let mut others: Vec<_> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let driver = Host::driver_of(&entry.path())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_harmless = driver.starts_with("vfio") || driver == "pcieport";
            (!is_harmless).then(|| format!("{name} ({driver})"))
        })
        .collect();
    others.sort();
    others
}
