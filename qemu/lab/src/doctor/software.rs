// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Programs: what the guest runs on and in, and what builds and tests the project.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Finding, State};
use crate::cache::Cache;
use crate::platform::{self, Contents, Kernel, PlatformOptions, QemuOrigin, QemuProgram};

/// QEMU, Linux and busybox, in this order.
pub(super) fn platform(options: &PlatformOptions, cache: &Cache) -> Vec<Finding> {
    let qemu = platform::chosen_qemu(options);
    let has_qemu = !matches!(qemu, Ok(None));
    let mut cached = match options.packages(has_qemu).contents(cache) {
        Ok(contents) => contents.into_iter(),
        Err(error) => {
            let fix = "Remove what the line above names";
            return vec![unusable("Cache", &error, fix)];
        }
    };
    let mut from_packages = |subject| match cached.next().flatten() {
        Some(Contents { version, .. }) => Finding::new(
            subject,
            State::Ok,
            format!("{version}, from Debian's packages"),
        ),
        None => Finding::new(
            subject,
            State::Fetch,
            "From Debian's packages at the first run",
        ),
    };
    let qemu = match qemu {
        Ok(Some(qemu)) => found_qemu(&qemu),
        Ok(None) => from_packages("QEMU"),
        Err(error) => unusable("QEMU", &error, "Name a suitable one with --qemu"),
    };
    let linux = match &options.kernel {
        None => from_packages("Linux"),
        Some(image) => match Kernel::load(image, options.modules.as_deref()) {
            Ok(kernel) => Finding::new("Linux", State::Ok, format!("{}, given", kernel.release)),
            Err(error) => unusable("Linux", &error, "Name others with --kernel and --modules"),
        },
    };
    let busybox = match &options.busybox {
        None => from_packages("busybox"),
        Some(busybox) => match platform::check_static(busybox) {
            Ok(()) => Finding::new(
                "busybox",
                State::Ok,
                format!("{}, given", busybox.display()),
            ),
            Err(error) => unusable("busybox", &error, "Name a static one with --busybox"),
        },
    };
    vec![qemu, linux, busybox]
}

fn found_qemu(qemu: &QemuProgram) -> Finding {
    let origin = match qemu.origin() {
        QemuOrigin::Given => "given",
        QemuOrigin::System => "installed",
        QemuOrigin::Packages => "from Debian's packages",
    };
    let (version, program) = (qemu.version(), qemu.program().display());
    Finding::new("QEMU", State::Ok, format!("{version}, {origin}, {program}"))
}

fn unusable(subject: &'static str, error: &anyhow::Error, fix: &str) -> Finding {
    Finding::new(subject, State::Missing, format!("{error:#}")).fix(fix)
}

/// Where packages would come from; asked only when some are to be fetched.
pub(super) fn mirror() -> Finding {
    let asked = platform::check_tools()
        .and_then(|()| platform::mirror())
        .and_then(|mirror| platform::reach(&mirror).map(|()| mirror));
    match asked {
        Ok(mirror) => Finding::new("Packages", State::Ok, format!("{mirror} answers")),
        Err(error) => unusable(
            "Packages",
            &error,
            "Pass --qemu, --kernel, --modules and --busybox, or name a mirror in \
             CHMU_DEBIAN_MIRROR",
        ),
    }
}

/// Links a program as the guest's is linked.
pub(super) fn static_linking() -> Finding {
    match link_statically() {
        Ok(version) => Finding::new("Static linking", State::Ok, version),
        Err(error) => unusable(
            "Static linking",
            &error,
            "Install a C compiler and the C library's static files (gcc and libc6-dev on Debian)",
        ),
    }
}

fn link_statically() -> Result<String> {
    let folder = tempfile::tempdir().context("Cannot make a temporary folder")?;
    let source = folder.path().join("program.rs");
    let program = folder.path().join("program");
    fs::write(&source, "fn main() {}").context("Cannot write to the temporary folder")?;
    let output = Command::new("rustc")
        .args([
            "-C",
            "target-feature=+crt-static",
            "--target",
            "x86_64-unknown-linux-gnu",
        ])
        .arg("-o")
        .args([&program, &source])
        .output()
        .context("Cannot run rustc")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let first = errors.lines().next().unwrap_or_default();
    ensure!(
        output.status.success(),
        "rustc cannot link statically: {first}"
    );
    platform::check_static(&program)?;
    let version = Command::new("rustc")
        .arg("--version")
        .output()
        .context("Cannot run rustc")?;
    Ok(String::from_utf8_lossy(&version.stdout).trim().to_owned())
}

/// Runs the tests; the demonstration does without.
pub(super) fn test_runner() -> Finding {
    let output = Command::new("cargo")
        .args(["nextest", "--version"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout);
            let version = version.lines().next().unwrap_or_default().to_owned();
            Finding::new("Test runner", State::Ok, version)
        }
        _ => Finding::new(
            "Test runner",
            State::Warning,
            "cargo-nextest is not installed",
        )
        .fix("cargo install --locked cargo-nextest, to run the tests"),
    }
}
