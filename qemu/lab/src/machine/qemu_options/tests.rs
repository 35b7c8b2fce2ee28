// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use super::*;
use crate::machine::options::Mode;
use crate::topology::presets::Preset;
use crate::topology::{Access, Device, GIB, Window};

fn files(devices: usize) -> MachineFiles {
    let sockets = (0..devices).map(|index| DeviceSockets {
        device: format!("/run/device-{index}-vfio.sock").into(),
        access: format!("/run/device-{index}-access.sock").into(),
        statistics: "/run/numbers.sock".into(),
        oracle: None,
    });
    MachineFiles {
        kernel: "/boot/vmlinuz".into(),
        initramfs: "/run/initramfs".into(),
        register_blocks: "/run/a,b.bin".into(),
        plugin: Some("/lib/plugin.so".into()),
        sockets: sockets.collect(),
        console: Console::Unattended {
            log: "/run/console.log".into(),
            agent: "/run/agent.sock".into(),
        },
    }
}

/// Each option with its value.
fn lines(topology: &Topology, options: &MachineOptions, files: &MachineFiles) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in qemu_options(topology, options, files) {
        match lines.last_mut() {
            Some(line) if !word.starts_with('-') => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

fn assert_has(lines: &[String], wanted: &[&str]) {
    for line in wanted {
        assert!(
            lines.iter().any(|found| found == line),
            "{line} is not in {lines:#?}"
        );
    }
}

#[test]
fn the_default_machine_has_these_options() {
    let topology = Topology::default();
    let lines = lines(&topology, &MachineOptions::default(), &files(1));
    assert_has(
        &lines,
        &[
            "-machine q35,cxl=on,hmat=on,max-ram-below-4g=2G",
            "-smp 2,sockets=2,cores=1,threads=1",
            "-m 3G",
            "-object memory-backend-memfd,id=memory1,size=1G,share=on",
            "-numa node,nodeid=0,memdev=memory0,initiator=0,cpus=0-1",
            "-numa node,nodeid=1,memdev=memory1,initiator=0",
            "-numa dist,src=1,dst=0,val=20",
            "-numa hmat-lb,initiator=0,target=1,hierarchy=memory,data-type=access-latency,latency=300",
            "-device cxl-rp,id=port0,bus=cxl,chassis=0,slot=1,port=0",
            "-device loader,file=/run/a,,b.bin,addr=0x70000000,force-raw=on",
            "-plugin /lib/plugin.so,socket=/run/device-0-access.sock",
            "-no-reboot",
            "-append console=ttyS0 oops=panic panic=-1 movable_node nokaslr memmap=64K$0x70000000 \
             no_timer_check watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=300 \
             numa_balancing=disable transparent_hugepage=never damon_stat.enabled=0 \
             chmu.mode=region",
        ],
    );
    assert!(!lines.iter().any(|line| line.contains("iommu")));
    let device = lines
        .iter()
        .find(|line| line.contains("vfio-user-pci"))
        .unwrap();
    let device: serde_json::Value =
        serde_json::from_str(device.strip_prefix("-device ").unwrap()).unwrap();
    let expected = json!({
        "driver": "vfio-user-pci",
        "id": "chmu0",
        "bus": "port0",
        "rombar": 0,
        "x-msg-timeout": 60000,
        "socket": { "type": "unix", "path": "/run/device-0-vfio.sock" },
    });
    assert_eq!(device, expected);
}

#[test]
fn the_iommu_comes_before_the_device() {
    let options = MachineOptions {
        mode: Mode::Vfio,
        ..MachineOptions::default()
    };
    let lines = lines(&Topology::default(), &options, &files(1));
    let place = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    assert!(place("intel-iommu") < place("vfio-user-pci"));
    assert!(
        lines
            .iter()
            .any(|line| line.contains("intel_iommu=on iommu=pt chmu.mode=vfio"))
    );
}

#[test]
fn the_callers_words_come_last() {
    let options = MachineOptions {
        qemu_arguments: vec!["-gdb".into(), "tcp::1234".into()],
        append: vec!["debug".into()],
        plugin_options: vec!["cache=none".into()],
        may_reboot: true,
        ..MachineOptions::default()
    };
    let mut files = files(1);
    files.console = Console::Terminal {
        log: "/run/console.log".into(),
        window: Some(TerminalWindow {
            rows: 50,
            columns: 200,
            kind: "xterm".into(),
        }),
    };
    let lines = lines(&Topology::default(), &options, &files);
    assert_eq!(lines.last().unwrap(), "-gdb tcp::1234");
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("chmu.mode=region debug LINES=50 COLUMNS=200 TERM=xterm"))
    );
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("access.sock,cache=none"))
    );
    assert!(
        !lines
            .iter()
            .any(|line| line == "-no-reboot" || line.contains("agent"))
    );
    assert_has(
        &lines,
        &["-chardev stdio,id=console,mux=on,signal=off,logfile=/run/console.log"],
    );
}

#[test]
fn dax_memory_is_taken_from_the_kernel_at_its_own_place() {
    let words = |memory_as| {
        let options = MachineOptions {
            memory_as,
            ..MachineOptions::default()
        };
        kernel_command_line(&large(), &options)
    };
    let dax = words(MemoryAs::Dax);
    for word in [
        "chmu.memory=dax",
        "memhp_default_state=offline",
        "memmap=1G%0x180000000-1+0xefffffff",
        "memmap=1G%0x1c0000000-1+0xefffffff",
    ] {
        assert!(dax.split(' ').any(|found| found == word), "{word}: {dax}");
    }
    assert!(!words(MemoryAs::SystemRam).contains('%'));
}

#[test]
fn a_device_without_a_bus_comes_before_the_cxl_bridge() {
    let words = [
        "-device",
        "virtio-net-pci,netdev=n",
        "-netdev",
        "user,id=n",
        "--device",
        r#"{"driver":"edu"}"#,
        "-device",
        "cxl-rp,id=more,bus=cxl,chassis=1,slot=9",
        "-device",
        r#"{"driver":"edu","bus":"pcie.0"}"#,
    ];
    let options = MachineOptions {
        qemu_arguments: words.map(str::to_owned).into(),
        ..MachineOptions::default()
    };
    let lines = lines(&Topology::default(), &options, &files(1));
    let place = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    let bridge = place("pxb-cxl");
    assert!(place("virtio-net-pci,netdev=n") < bridge);
    assert!(place(r#"{"driver":"edu"}"#) < bridge);
    for behind in ["-netdev user,id=n", "id=more,bus=cxl", r#""bus":"pcie.0""#] {
        assert!(place(behind) > place("-append"), "{behind}");
    }
}

#[test]
fn root_ports_hang_at_their_own_host_bridge() {
    let two_socket: Preset = "two-socket".parse().unwrap();
    let lines = lines(
        &two_socket.topology(),
        &MachineOptions::default(),
        &files(2),
    );
    assert_has(
        &lines,
        &[
            "-device pxb-cxl,id=cxl,bus=pcie.0,bus_nr=52,numa_node=0",
            "-device pxb-cxl,id=cxl1,bus=pcie.0,bus_nr=102,numa_node=1",
            "-device cxl-rp,id=port0,bus=cxl,chassis=0,slot=1,port=0",
            "-device cxl-rp,id=port1,bus=cxl1,chassis=0,slot=2,port=1",
        ],
    );
    let words = lines.iter().find(|line| line.starts_with("-append"));
    assert!(words.unwrap().contains(" memmap=128K$0x70000000 "));
}

/// Two sockets, and a window with two devices beside one with one.
fn large() -> Topology {
    let mut topology = Topology::default();
    let access = [0, 1].map(|initiator| Access {
        initiator,
        latency_ns: 200,
        bandwidth_mib_per_s: 1024,
    });
    let mut second = topology.nodes[0].clone();
    second.initiator = 1;
    topology.nodes.insert(1, second);
    let mut pair = topology.nodes[2].clone();
    pair.window = Some(Window {
        devices: vec![Device { serial_number: 2 }, Device { serial_number: 3 }],
        granularity_bytes: 4096,
        host_bridges: vec![0],
    });
    topology.nodes.push(pair);
    for node in &mut topology.nodes {
        node.access = access.into();
    }
    topology.host_bridges[0].access = access.into();
    topology.distances = (0..4)
        .map(|from| (0..4).map(|to| if from == to { 10 } else { 21 }).collect())
        .collect();
    topology.validate().unwrap();
    topology
}

#[test]
fn nothing_is_named_twice() {
    let lines = lines(&large(), &MachineOptions::default(), &files(3));
    for name in ["id=", "slot=", "\"id\":", "nodeid=", "dst=3,", "addr="] {
        let values: Vec<_> = lines
            .iter()
            .filter(|line| line.contains(name))
            .map(|line| line.as_str())
            .collect();
        let mut distinct = values.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(values.len(), distinct.len(), "{values:?}");
    }
    assert_has(
        &lines,
        &[
            "-smp 4,sockets=4,cores=1,threads=1",
            "-m 6G",
            "-numa node,nodeid=1,memdev=memory1,initiator=1,cpus=2-3",
            "-numa hmat-lb,initiator=1,target=3,hierarchy=memory,data-type=access-bandwidth,bandwidth=1024M",
            "-device cxl-rp,id=port2,bus=cxl,chassis=0,slot=3,port=2",
        ],
    );
    assert_eq!(large().memory_bytes(), 6 * GIB);
}

#[test]
fn each_oracle_has_a_port_of_its_own() {
    let topology = "two-socket".parse::<Preset>().unwrap().topology();
    let mut files = files(2);
    let without = lines(&topology, &MachineOptions::default(), &files);
    assert!(
        !without.iter().any(|line| line.contains("virt")),
        "{without:#?}"
    );
    for (index, sockets) in files.sockets.iter_mut().enumerate() {
        sockets.oracle = Some(format!("/run/{index},oracle.sock").into());
    }
    let lines = lines(&topology, &MachineOptions::default(), &files);
    assert_has(
        &lines,
        &[
            "-device virtio-serial-pci,id=oracles,bus=pcie.0",
            "-chardev socket,id=oracle0,path=/run/0,,oracle.sock,reconnect-ms=1000",
            "-device virtserialport,bus=oracles.0,chardev=oracle1,name=chmu.oracle.1",
        ],
    );
}
