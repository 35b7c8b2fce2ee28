// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The options of QEMU and of the kernel that make a topology.
//!
//! The order matters in one place: the virtual IOMMU comes before the devices.

use std::path::{Path, PathBuf};

use chmu_proof::observation::PORT_NAME;
use serde_json::json;

use super::device_sockets::DeviceSockets;
use super::options::{MachineOptions, MemoryAs, Root};
use super::storage::put_storage;
use super::terminal_window::TerminalWindow;
use crate::size::ByteSize;
use crate::topology::{Node, PlacedWindow, Topology};

/// How long QEMU waits for an answer of the device before it gives the device up. A guest's
/// access waits as well, so this is far beyond what a slow host may take.
const DEVICE_TIMEOUT_MS: u32 = 60_000;

/// The files and sockets that QEMU's options name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MachineFiles {
    pub(super) kernel: PathBuf,
    pub(super) initramfs: PathBuf,
    /// The host bridges' register blocks.
    pub(super) register_blocks: PathBuf,
    /// The plugin, if there is one.
    pub(super) plugin: Option<PathBuf>,
    /// For each device, in the order of root ports.
    pub(super) sockets: Vec<DeviceSockets>,
    pub(super) console: Console,
}

/// Where the guest's serial ports lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Console {
    /// The first to the user's terminal, and to a file; there is no second.
    Terminal {
        log: PathBuf,
        window: Option<TerminalWindow>,
    },
    /// The first to a file; the second to a socket that the lab listens on.
    Unattended { log: PathBuf, agent: PathBuf },
}

/// All options of QEMU for this machine.
pub(super) fn qemu_options(
    topology: &Topology,
    options: &MachineOptions,
    files: &MachineFiles,
) -> Vec<String> {
    let mut list = OptionList::default();
    put_machine(&mut list, topology);
    put_memory(&mut list, topology);
    put_console(&mut list, &files.console);
    if !options.may_reboot {
        list.flag("-no-reboot");
    }
    if options.mode.has_iommu() {
        // VFIO's notifications need the caching mode, its interrupts need remapping.
        list.put("-device", "intel-iommu,intremap=on,caching-mode=on");
    }
    put_oracles(&mut list, &files.sockets);
    put_storage(&mut list, &options.disks, &options.shares);
    let (busless, others) = split_busless_devices(&options.qemu_arguments);
    list.0.extend(busless);
    put_devices(&mut list, topology, files);
    if let Some(plugin) = &files.plugin {
        list.put("-plugin", plugin_option(plugin, options, files));
    }
    list.put("-kernel", files.kernel.to_string_lossy());
    list.put("-initrd", files.initramfs.to_string_lossy());
    let mut words = kernel_command_line(topology, options);
    if let Console::Terminal {
        window: Some(window),
        ..
    } = &files.console
    {
        words.push_str(&format!(" {window}"));
    }
    list.put("-append", words);
    list.0.extend(others);
    list.0
}

/// Takes the devices that name no bus out of `arguments`. QEMU gives such a device the newest bus
/// that takes it: before the CXL host bridge that is the machine's own, after it the CXL bus, on
/// which Linux would look for a root port.
fn split_busless_devices(arguments: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut busless, mut others) = (Vec::new(), Vec::new());
    let mut words = arguments.iter().cloned();
    while let Some(word) = words.next() {
        if !matches!(word.as_str(), "-device" | "--device") {
            others.push(word);
            continue;
        }
        let Some(device) = words.next() else {
            others.push(word);
            break;
        };
        let list = match names_bus(&device) {
            true => &mut others,
            false => &mut busless,
        };
        list.extend([word, device]);
    }
    (busless, others)
}

/// Whether a device's description, in either of QEMU's forms, has a bus.
fn names_bus(device: &str) -> bool {
    match serde_json::from_str::<serde_json::Value>(device) {
        Ok(description) => description.get("bus").is_some(),
        Err(_) => device.split(',').any(|part| part.starts_with("bus=")),
    }
}

/// The kernel's command line.
pub(super) fn kernel_command_line(topology: &Topology, options: &MachineOptions) -> String {
    let blocks = topology.register_blocks();
    let size = ByteSize(blocks.bytes);
    let mut words = vec![
        "console=ttyS0".to_owned(),
        // The guest ends or restarts at once when its kernel panics, and any oops is a panic.
        "oops=panic".to_owned(),
        "panic=-1".to_owned(),
        // Keeps the kernel off the hot-pluggable nodes; kernel and initramfs are placed by
        // QEMU's SRAT, which does not mark them, so the kernel must not choose its own place.
        "movable_node".to_owned(),
        "nokaslr".to_owned(),
        // The host bridges' registers are no memory.
        format!("memmap={size}${:#x}", blocks.start.0),
        // On a busy host the kernel's test of the timer finds no ticks in time, and gives it up.
        "no_timer_check".to_owned(),
        // There a processor of the guest's may have to wait for half a minute: no lockup of its programs.
        "watchdog_thresh=60".to_owned(),
        "rcupdate.rcu_cpu_stall_timeout=300".to_owned(),
        // Only what is under test moves pages.
        "numa_balancing=disable".to_owned(),
        "transparent_hugepage=never".to_owned(),
        "damon_stat.enabled=0".to_owned(),
    ];
    if options.mode.has_iommu() {
        words.push("intel_iommu=on iommu=pt".to_owned());
    }
    words.push(format!("chmu.mode={}", options.mode));
    words.extend(root_words(options));
    if options.memory_as == MemoryAs::Dax {
        words.push("chmu.memory=dax".to_owned());
        // Else the kernel takes the memory before daxctl does, which daxctl refuses.
        words.push("memhp_default_state=offline".to_owned());
        words.extend(topology.windows().iter().map(soft_reserved));
    }
    words.extend(options.append.iter().cloned());
    words.join(" ")
}

/// How the guest's init finds the root file system.
fn root_words(options: &MachineOptions) -> Vec<String> {
    let words: &[&str] = match options.root {
        Root::Initramfs => &[],
        Root::Disk => &["chmu.root=/dev/vda"],
        Root::GrowingDisk => &["chmu.root=/dev/vda", "chmu.grow"],
        Root::Share => &["chmu.root=share0"],
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

/// What firmware says of memory that is for drivers to give out: it turns from RAM (1) into
/// soft-reserved memory (Linux `arch/x86/include/asm/e820/types.h`). QEMU's firmware cannot say it.
fn soft_reserved(window: &PlacedWindow<'_>) -> String {
    let size = ByteSize(window.size_bytes);
    format!("memmap={size}%{:#x}-1+0xefffffff", window.base.0)
}

fn put_machine(list: &mut OptionList, topology: &Topology) {
    list.flag("-no-user-config");
    list.flag("-nodefaults");
    list.put("-display", "none");
    let low = ByteSize(topology.low_memory_bytes());
    list.put(
        "-machine",
        format!("q35,cxl=on,hmat=on,max-ram-below-4g={low}"),
    );
    list.put("-accel", "tcg,thread=multi");
    list.put("-cpu", "max");
    let processors: u32 = topology.nodes.iter().map(|node| node.processors).sum();
    list.put(
        "-smp",
        format!("{processors},sockets={processors},cores=1,threads=1"),
    );
    list.put("-m", ByteSize(topology.memory_bytes()).to_string());
}

fn put_memory(list: &mut OptionList, topology: &Topology) {
    for (index, node) in topology.nodes.iter().enumerate() {
        let size = ByteSize(node.memory_bytes);
        list.put(
            "-object",
            format!("memory-backend-memfd,id=memory{index},size={size},share=on"),
        );
    }
    let mut next_processor = 0;
    for (index, node) in topology.nodes.iter().enumerate() {
        let processors = processor_range(&mut next_processor, node);
        let initiator = node.initiator;
        list.put(
            "-numa",
            format!("node,nodeid={index},memdev=memory{index},initiator={initiator}{processors}"),
        );
    }
    for (from, row) in topology.distances.iter().enumerate() {
        for (to, distance) in row.iter().enumerate().filter(|(to, _)| *to != from) {
            list.put("-numa", format!("dist,src={from},dst={to},val={distance}"));
        }
    }
    for (target, node) in topology.nodes.iter().enumerate() {
        put_access(list, target, node);
    }
}

fn processor_range(next: &mut u32, node: &Node) -> String {
    if node.processors == 0 {
        return String::new();
    }
    let first = *next;
    *next += node.processors;
    format!(",cpus={first}-{}", *next - 1)
}

fn put_access(list: &mut OptionList, target: usize, node: &Node) {
    for access in &node.access {
        let pair = format!(
            "hmat-lb,initiator={},target={target},hierarchy=memory",
            access.initiator
        );
        let latency = access.latency_ns;
        list.put(
            "-numa",
            format!("{pair},data-type=access-latency,latency={latency}"),
        );
        let bandwidth = access.bandwidth_mib_per_s;
        list.put(
            "-numa",
            format!("{pair},data-type=access-bandwidth,bandwidth={bandwidth}M"),
        );
    }
}

fn put_console(list: &mut OptionList, console: &Console) {
    match console {
        Console::Terminal { log, .. } => {
            // Ctrl-C goes to the guest; Ctrl-A x ends QEMU.
            let log = option_value(log);
            list.put(
                "-chardev",
                format!("stdio,id=console,mux=on,signal=off,logfile={log}"),
            );
            list.put("-serial", "chardev:console");
            list.put("-mon", "chardev=console,mode=readline");
        }
        Console::Unattended { log, agent } => {
            list.put("-monitor", "none");
            list.put(
                "-chardev",
                format!("file,id=console,path={}", option_value(log)),
            );
            list.put("-serial", "chardev:console");
            list.put(
                "-chardev",
                format!("socket,id=agent,path={}", option_value(agent)),
            );
            list.put("-serial", "chardev:agent");
        }
    }
}

/// A port of the guest's for each oracle, whose socket QEMU connects it to. `chmu observe` finds them by
/// their names.
fn put_oracles(list: &mut OptionList, sockets: &[DeviceSockets]) {
    let oracles: Vec<_> = sockets
        .iter()
        .enumerate()
        .filter_map(|(index, sockets)| Some((index, sockets.oracle.as_ref()?)))
        .collect();
    if oracles.is_empty() {
        return;
    }
    list.put("-device", "virtio-serial-pci,id=oracles,bus=pcie.0");
    for (index, path) in oracles {
        let path = option_value(path);
        list.put(
            "-chardev",
            format!("socket,id=oracle{index},path={path},reconnect-ms=1000"),
        );
        list.put(
            "-device",
            format!("virtserialport,bus=oracles.0,chardev=oracle{index},name={PORT_NAME}{index}"),
        );
    }
}

fn put_devices(list: &mut OptionList, topology: &Topology, files: &MachineFiles) {
    for (index, bridge) in topology.host_bridges.iter().enumerate() {
        let (name, bus) = (bridge_name(index), bridge.bus);
        let node = bridge.node.map(|node| format!(",numa_node={node}"));
        let node = node.unwrap_or_default();
        list.put(
            "-device",
            format!("pxb-cxl,id={name},bus=pcie.0,bus_nr={bus}{node}"),
        );
    }
    for (device, sockets) in topology.devices().iter().zip(&files.sockets) {
        let index = device.index;
        let slot = index + 1;
        let bridge = bridge_name(device.host_bridge().unwrap_or(0));
        list.put(
            "-device",
            format!("cxl-rp,id=port{index},bus={bridge},chassis=0,slot={slot},port={index}"),
        );
        let device = json!({
            "driver": "vfio-user-pci",
            "id": format!("chmu{index}"),
            "bus": format!("port{index}"),
            "rombar": 0,
            "x-msg-timeout": DEVICE_TIMEOUT_MS,
            "socket": { "type": "unix", "path": sockets.device.to_string_lossy() },
        });
        list.put("-device", device.to_string());
    }
    let blocks = option_value(&files.register_blocks);
    let address = topology.register_blocks().start.0;
    list.put(
        "-device",
        format!("loader,file={blocks},addr={address:#x},force-raw=on"),
    );
}

/// The bus that root ports name; a user's, too.
fn bridge_name(index: usize) -> String {
    match index {
        0 => "cxl".to_owned(),
        more => format!("cxl{more}"),
    }
}

fn plugin_option(plugin: &Path, options: &MachineOptions, files: &MachineFiles) -> String {
    let mut words = vec![option_value(plugin)];
    for sockets in &files.sockets {
        words.push(format!("socket={}", option_value(&sockets.access)));
    }
    words.extend(options.plugin_options.iter().cloned());
    words.join(",")
}

/// A path within an option's value: QEMU takes a doubled comma for one.
pub(super) fn option_value(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[derive(Debug, Default)]
pub(super) struct OptionList(Vec<String>);

impl OptionList {
    pub(super) fn flag(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    pub(super) fn put(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.to_owned(), value.into()]);
    }
}

#[cfg(test)]
mod tests;
