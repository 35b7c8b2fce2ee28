// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What Debian's CXL tools show of the device, side by side with QEMU's own cxl-type3.
//!
//! The whole of it is a transcript beside this file, one for each kernel, since their events differ.
//! `UPDATE=1` in the environment writes it anew in place of comparing. What a card would not show is
//! a failure of its own, so that it cannot get into a transcript unseen.

mod events;
mod transcript;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chmu_lab::kernel_log::Allowance;
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::{Guest, Setup};

use transcript::Transcript;

/// The device's function and that of QEMU's own device, each behind a root port.
const DEVICE: &str = "0000:35:00.0";
const STOCK: &str = "0000:36:00.0";
/// QEMU's device with memory that is in no window.
const STOCK_OPTIONS: [&str; 6] = [
    "-object",
    "memory-backend-ram,id=stock,size=256M",
    "-device",
    "cxl-rp,id=stock-port,bus=cxl,chassis=0,slot=9,port=1",
    "-device",
    "cxl-type3,bus=stock-port,volatile-memdev=stock,id=stock0,sn=0x5109",
];
/// The kernel says these of a poison that a user asks for in memory of a region.
const POISON_ALLOWANCES: [Allowance; 2] = [
    Allowance {
        text: "poison inject dpa:",
        reason: "The test injects poison",
    },
    Allowance {
        text: "poison clear dpa:",
        reason: "The test clears poison",
    },
];

#[test]
fn a_card_on_the_newest_kernel() -> Result<()> {
    show_tools(KernelChoice::Backports, "backports")
}

#[test]
fn a_card_on_kernel_6_12() -> Result<()> {
    show_tools(KernelChoice::Lts612, "lts-6.12")
}

fn show_tools(kernel: KernelChoice, name: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("events.sock");
    let mut setup = Setup {
        kernel,
        tools: true,
        ..Setup::default()
    };
    setup.options.qemu_arguments = STOCK_OPTIONS.map(str::to_owned).to_vec();
    let name_of_socket = socket.to_str().context("The folder's name is no text")?;
    let arguments = ["--event-socket", name_of_socket].map(str::to_owned);
    setup.options.device_arguments = vec![arguments.to_vec()];
    let mut guest = Guest::boot(&setup)?;
    let mut transcript = Transcript::new(names(&mut guest)?);
    show_state(&mut guest, &mut transcript)?;
    events::show(kernel, &mut guest, &mut transcript, &socket)?;
    transcript.check(&golden_file(name))?;
    guest.finish_allowing(&POISON_ALLOWANCES)
}

fn golden_file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/tools");
    folder.join(format!("{name}.txt"))
}

/// Linux numbers devices as their drivers get ready, in any order: what it calls them, and what the
/// transcript does.
fn names(guest: &mut Guest) -> Result<Vec<(String, String)>> {
    let mut names = Vec::new();
    for (function, number) in [(DEVICE, 0), (STOCK, 1)] {
        let memory = guest.shell(&format!("cd /sys/bus/pci/devices/{function} && echo mem*"))?;
        let endpoint = guest.shell(&format!(
            "cd /sys/bus/cxl/devices && for i in endpoint*; do \
             [ $(basename $(readlink $i/uport)) != {memory} ] || echo ${{i#endpoint}}; done"
        ))?;
        names.push((memory, format!("mem{number}")));
        for kind in ["endpoint", "decoder"] {
            names.push((format!("{kind}{endpoint}"), format!("{kind}{}", 2 + number)));
        }
    }
    Ok(names)
}

/// What there is without an event.
fn show_state(guest: &mut Guest, transcript: &mut Transcript) -> Result<()> {
    for command in [
        "cxl list -vvv -m mem0",
        "cxl list -M -H -L -F -m mem0",
        "cxl list -R",
        "lspci -vvv -s 35:00.0",
        "daxctl list",
        "cxl set-alert-config mem0 -O 60 --over-temperature-alert=on >/dev/null 2>&1",
        "cxl list -M -A -m mem0",
    ] {
        transcript.run(guest, command)?;
    }
    for command in ["cxl list -vvv -m mem1", "lspci -vvv -s 36:00.0"] {
        transcript.run_unjudged(guest, command)?;
    }
    Ok(())
}
