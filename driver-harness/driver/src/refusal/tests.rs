// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Machines as the kernel shows them, and what is said of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use chmu_machine::refusal::Host;

use super::*;

const ADDRESS: &str = "0000:35:00.0";

/// A machine with one function.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        let machine = Machine {
            root: tempfile::tempdir().unwrap(),
        };
        machine.user(0, u64::MAX);
        machine.write(
            &format!("sys/bus/pci/devices/{ADDRESS}/resource"),
            "0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n\
             0x8000000000 0x800001ffff 0x14220c\n",
        );
        machine
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Who asks, with which rights.
    fn user(&self, user: u32, rights: u64) {
        let status = format!("Name:\tchmu\nUid:\t{user}\t{user}\t0\t0\nCapEff:\t{rights:016x}\n");
        self.write("proc/self/status", &status);
    }

    fn bind(&self, driver: &str) {
        let link = format!("sys/bus/pci/devices/{ADDRESS}/driver");
        self.link(&link, &format!("../../../bus/pci/drivers/{driver}"));
        self.write(&format!("sys/bus/pci/drivers/{driver}/bind"), "");
    }

    fn host(&self) -> Host {
        Host::at(self.root.path())
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("sys/bus/pci/devices").join(ADDRESS)
    }

    fn area_refusal(&self, error: i32) -> String {
        let error = io::Error::from_raw_os_error(error);
        let refusal = area_refusal(&self.host(), &self.folder(), 4, &error);
        refusal.map_or_else(String::new, |refusal| refusal.to_string())
    }

    fn vfio_obstacle(&self) -> String {
        let refusal = vfio_obstacle(&self.host(), &self.folder());
        refusal.map_or_else(String::new, |refusal| refusal.to_string())
    }
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn an_area_that_a_driver_claims_is_the_drivers() {
    let machine = Machine::new();
    machine.bind("cxl_pci");
    machine.write(
        "proc/iomem",
        "8000000000-80ffffffff : PCI Bus 0000:35\n  8000000000-800001ffff : 0000:35:00.0\n    \
         8000000000-8000002fff : hmu_mem0.0\n8100000000-81ffffffff : CXL Window 0\n",
    );
    assert_says(
        &machine.area_refusal(libc::EINVAL),
        &[
            "keeps BAR4 to the claim \"hmu_mem0.0\" of driver cxl_pci",
            "iomem=relaxed",
            "echo 0000:35:00.0 > /sys/bus/pci/drivers/cxl_pci/unbind",
        ],
    );
    // Others than root see no addresses.
    machine.write("proc/iomem", "00000000-00000000 : hmu_mem0.0\n");
    assert_says(
        &machine.area_refusal(libc::EINVAL),
        &["keeps BAR4 to driver cxl_pci;"],
    );
}

#[test]
fn the_way_to_a_claimed_area_is_the_one_that_this_machine_has() {
    let machine = Machine::new();
    machine.bind("cxl_pci");
    let text = machine.area_refusal(libc::EINVAL);
    let parts = ["; start the kernel with iomem=relaxed, or switch the IOMMU on"];
    assert_says(&text, &parts);
    machine.write("sys/kernel/iommu_groups/7/type", "DMA\n");
    let group = format!("sys/bus/pci/devices/{ADDRESS}/iommu_group");
    machine.link(&group, "../../../../kernel/iommu_groups/7");
    machine.write("proc/cmdline", "ro iomem=relaxed quiet\n");
    let text = machine.area_refusal(libc::EINVAL);
    let parts = ["; iomem=relaxed is in effect and does not help, or bind vfio-pci, or take"];
    assert_says(&text, &parts);
}

#[test]
fn a_locked_down_kernel_is_named() {
    let machine = Machine::new();
    let lockdown = "sys/kernel/security/lockdown";
    machine.write(lockdown, "none [integrity] confidentiality\n");
    let text = machine.area_refusal(libc::EPERM);
    assert_says(
        &text,
        &["locked down for integrity", "secure boot", "vfio-pci"],
    );
    let error = io::Error::from_raw_os_error(libc::EPERM);
    let config = config_refusal(&machine.host(), &error).unwrap().to_string();
    assert_says(
        &config,
        &["locked down for integrity", "configuration space"],
    );
    machine.write(lockdown, "[none] integrity confidentiality\n");
    assert_eq!(machine.area_refusal(libc::EPERM), "");
}

#[test]
fn rights_that_are_missing_are_named() {
    let machine = Machine::new();
    machine.user(1000, 0);
    for error in [libc::EACCES, libc::EPERM] {
        assert_says(
            &machine.area_refusal(error),
            &["this needs root", "run chmu as root"],
        );
    }
    assert_says(
        &short_config_refusal(&machine.host()).to_string(),
        &["this needs root, or the right CAP_SYS_ADMIN"],
    );
    let container = 0xa804_25fb;
    machine.user(0, container);
    assert_says(
        &short_config_refusal(&machine.host()).to_string(),
        &["root has not the right CAP_SYS_ADMIN here, as in a container"],
    );
    let error = io::Error::from_raw_os_error(libc::EPERM);
    assert_says(
        &memory_refusal(&machine.host(), &error).unwrap().to_string(),
        &["CAP_SYS_RAWIO", "container"],
    );
    assert_says(
        &machine.area_refusal(libc::EROFS),
        &["read-only", "container", "--privileged"],
    );
}

#[test]
fn a_machine_without_rights_missing_has_a_short_function() {
    let text = short_config_refusal(&Machine::new().host()).to_string();
    assert_says(&text, &["no extended configuration space", "MMCONFIG"]);
}

#[test]
fn vfio_needs_its_driver() {
    let machine = Machine::new();
    let text = machine.vfio_obstacle();
    assert_says(
        &text,
        &["no vfio-pci loaded", "modprobe vfio-pci (CONFIG_VFIO_PCI)"],
    );
    machine.write("sys/bus/pci/drivers/vfio-pci/bind", "");
    assert_says(&machine.vfio_obstacle(), &["it is not bound to vfio-pci"]);
    machine.bind("cxl_pci");
    let text = machine.vfio_obstacle();
    assert_says(
        &text,
        &["it is bound to cxl_pci, not to vfio-pci", "driver_override"],
    );
}

#[test]
fn vfio_needs_an_iommu() {
    let machine = Machine::new();
    machine.bind("vfio-pci");
    let text = machine.vfio_obstacle();
    assert_says(
        &text,
        &["the machine has no IOMMU", "intel_iommu=on", "sysfs"],
    );
    machine.write("sys/kernel/iommu_groups/3/type", "DMA\n");
    assert_says(
        &machine.vfio_obstacle(),
        &["no IOMMU group though others are"],
    );
    let mode = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
    machine.write(mode, "Y\n");
    assert_says(&machine.vfio_obstacle(), &["enable_unsafe_noiommu_mode"]);
    machine.write(mode, "N\n");
    assert_says(
        &machine.vfio_obstacle(),
        &["no IOMMU group though others are"],
    );
}

#[test]
fn vfio_needs_its_files_and_all_of_a_group() {
    let machine = Machine::new();
    machine.bind("vfio-pci");
    let group = "sys/kernel/iommu_groups/3";
    machine.write(&format!("{group}/type"), "DMA\n");
    let link = format!("sys/bus/pci/devices/{ADDRESS}/iommu_group");
    machine.link(&link, "../../../../kernel/iommu_groups/3");
    assert_says(
        &machine.vfio_obstacle(),
        &[
            "there is no ",
            "/dev/vfio/vfio;",
            "CONFIG_VFIO",
            "container",
        ],
    );
    machine.write("dev/vfio/vfio", "");
    assert_says(&machine.vfio_obstacle(), &["there is no ", "/dev/vfio/3;"]);
    machine.write("dev/vfio/3", "");
    assert_eq!(machine.vfio_obstacle(), "");

    for (address, driver) in [
        (ADDRESS, "vfio-pci"),
        ("0000:35:00.1", "nvme"),
        ("0000:34:00.0", "pcieport"),
    ] {
        let driver = format!("../../../../../bus/pci/drivers/{driver}");
        machine.link(&format!("{group}/devices/{address}/driver"), &driver);
    }
    assert_says(
        &machine.vfio_obstacle(),
        &["group is not viable: it shares it with 0000:35:00.1 (nvme);"],
    );
}

#[test]
fn a_kernel_without_sockets_names_the_option() {
    let text = |error| without_sockets(&io::Error::from_raw_os_error(error));
    let text = |error| text(error).map(|refusal| refusal.to_string());
    assert_says(
        &text(libc::EAFNOSUPPORT).unwrap(),
        &["it lacks CONFIG_UNIX;"],
    );
    assert_says(
        &text(libc::ENOSYS).unwrap(),
        &["CONFIG_NET and CONFIG_UNIX"],
    );
    assert_eq!(text(libc::ECONNREFUSED), None);
}
