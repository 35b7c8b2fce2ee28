// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab boot` with a user's own scripts, files, modules and devices.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chmu_lab::kernel_config;
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::Turn;
use tempfile::TempDir;

use crate::command_line::lab;

/// The end of a module that is signed; before it are the signature and what is said of it.
const SIGNATURE_END: &[u8] = b"~Module signature appended~\n";
/// Bytes that say what a signature is; the last four are its length.
const SIGNATURE_INFORMATION_BYTES: usize = 12;
/// How a module's function starts that loads an address next: with what tracing and control-flow
/// protection need.
const FUNCTION_START: &[u8] = b"\xf3\x0f\x1e\xfa\xe8\0\0\0\0\x48\xc7";
/// What comes before the first instruction of its own.
const PROLOGUE_BYTES: usize = 9;
/// An instruction that no processor has.
const INVALID_INSTRUCTION: [u8; 2] = [0x0f, 0x0b];

const SCRIPT: &str = "\
set -e
echo first
[ -x /opt/tools/hello ] && /opt/tools/hello
grep -q '^virtio_rng ' /proc/modules
ls /sys/bus/virtio/drivers/virtio_rng | grep -q '^virtio'
[ \"$(cat /sys/module/damon_stat/parameters/enabled)\" = N ]
grep -q '\\[never\\]' /sys/kernel/mm/transparent_hugepage/enabled
[ -d /sys/bus/cxl/devices/mem0 ]
echo complaint >&2
exit 7
";

#[test]
fn a_script_runs_with_a_users_files_modules_and_devices() -> Result<()> {
    drop(Turn::take(KernelChoice::Backports)?);
    let folder = tempfile::tempdir()?;
    let tools = folder.path().join("tools");
    fs::create_dir(&tools)?;
    let hello = tools.join("hello");
    fs::write(&hello, "#!/bin/sh\necho hello\n")?;
    fs::set_permissions(&hello, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let script = folder.path().join("script");
    fs::write(&script, SCRIPT)?;
    let events = folder.path().join("events.sock");
    let output = lab(&[
        "boot",
        "--run",
        text(&script)?,
        "--add",
        &format!("{}:/opt/", text(&tools)?),
        "--module=virtio_pci",
        "--module=virtio_rng",
        "--device=virtio-rng-pci",
        "--profile=minimal",
        "--clock=accesses:100",
        "--event-socket",
        text(&events)?,
        "--keep",
        // Nothing that QEMU will drop.
        "--qemu-args=-compat deprecated-input=reject,deprecated-output=hide",
    ])?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(
        String::from_utf8(output.stdout)?,
        "first\nhello\n",
        "{said}"
    );
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("complaint\n"), "{said}");
    let kept = said
        .lines()
        .find_map(|line| line.split_once(" files are in "));
    let kept = Path::new(kept.context("The run's folder is not named")?.1);
    let log = fs::read_to_string(kept.join("qemu.log"))?;
    assert!(!log.contains("deprecated"), "{log}");
    fs::remove_dir_all(kept)?;
    Ok(())
}

#[test]
fn an_oops_ends_the_run_with_its_text() -> Result<()> {
    for (kernel, suite) in [
        (KernelChoice::Backports, "backports"),
        (KernelChoice::Lts612, "lts-6.12"),
    ] {
        let (_folder, module) = crashing_module(kernel)?;
        let output = lab(&[
            "boot",
            "--kernel-suite",
            suite,
            "--module",
            text(&module)?,
            "--run=/dev/null",
        ])?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(125), "{said}");
        for words in [
            "Oops: invalid opcode",
            "vfio_iommu_type1_init+0x9",
            "Kernel panic - not syncing: Fatal exception",
        ] {
            assert!(said.contains(words), "{words} on {suite}: {said}");
        }
        let kept = said
            .lines()
            .find_map(|line| line.split_once(" run are in "));
        fs::remove_dir_all(kept.context("The run's folder is not named")?.1)?;
    }
    Ok(())
}

/// One of the kernel's modules whose first instruction is none; it depends on another.
fn crashing_module(kernel: KernelChoice) -> Result<(TempDir, PathBuf)> {
    let turn = Turn::take(kernel)?;
    let modules = &turn.lab().platform.kernel.vfio_modules;
    let module = modules
        .iter()
        .find(|module| module.name == "vfio_iommu_type1");
    let mut content = module
        .context("The kernel has no such module")?
        .content
        .clone();
    if let Some(signed) = content.strip_suffix(SIGNATURE_END) {
        let (_, length) = signed.split_last_chunk().context("No signature")?;
        let signature = u32::from_be_bytes(*length) as usize;
        content.truncate(signed.len() - SIGNATURE_INFORMATION_BYTES - signature);
    }
    let starts = content.windows(FUNCTION_START.len());
    let starts = starts
        .enumerate()
        .filter(|(_, text)| *text == FUNCTION_START);
    let starts: Vec<_> = starts.map(|(place, _)| place).collect();
    ensure!(!starts.is_empty(), "No function starts as expected");
    for start in starts {
        let instruction = start + PROLOGUE_BYTES;
        content[instruction..instruction + 2].copy_from_slice(&INVALID_INSTRUCTION);
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("vfio_iommu_type1.ko");
    fs::write(&file, content)?;
    Ok((folder, file))
}

#[test]
fn debians_kernels_have_what_the_fragment_asks_for() -> Result<()> {
    for kernel in [KernelChoice::Backports, KernelChoice::Lts612] {
        let turn = Turn::take(kernel)?;
        let file = turn.lab().platform.kernel.image.with_file_name("config");
        let lacking = kernel_config::lacking(&fs::read_to_string(&file)?, true);
        assert_eq!(lacking, [""; 0], "{}", file.display());
    }
    let output = lab(&["kernel-config"])?;
    assert_eq!(String::from_utf8(output.stdout)?, kernel_config::FRAGMENT);
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("The folder's name is no text")
}
