// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the guest runs on and in.

use super::{Finding, State};
use crate::cache::{Cache, EntryState};
use crate::platform::{self, Contents, Kernel, PlatformOptions, QemuOrigin, QemuProgram};

/// QEMU, Linux and busybox, in this order.
pub(super) fn platform(options: &PlatformOptions, cache: &Cache) -> Vec<Finding> {
    let qemu = platform::chosen_qemu(options);
    let has_qemu = !matches!(qemu, Ok(None));
    let mut cached = match options.packages(has_qemu).states(cache) {
        Ok(states) => states.into_iter(),
        Err(error) => {
            let fix = "Name a folder of your own in CHMU_CACHE_DIR";
            return vec![unusable("Cache", &error, fix)];
        }
    };
    let mut from_packages = |subject| {
        let state = cached.next().unwrap_or(EntryState::Absent);
        let (state, detail) = match state {
            EntryState::Whole(Contents { version, .. }) => {
                (State::Ok, format!("{version}, from Debian's packages"))
            }
            EntryState::Damaged(damage) => (State::Fetch, format!("{damage}; fetched anew")),
            EntryState::Absent => (
                State::Fetch,
                "from Debian's packages at the first run".to_owned(),
            ),
        };
        Finding::new(subject, state, detail)
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
    const PACKAGES: &str = "Packages";
    if let Err(error) = platform::check_tools() {
        return unusable(PACKAGES, &error, GIVE_FILES);
    }
    let mirror = match platform::mirror() {
        Ok(mirror) => mirror,
        Err(error) => return unusable(PACKAGES, &error, GIVE_FILES),
    };
    match platform::reach(&mirror) {
        Ok(()) => Finding::new(PACKAGES, State::Ok, format!("{mirror} answers")),
        Err(error) => unusable(
            PACKAGES,
            &error,
            "See to the network or apt's proxy, or name another mirror in CHMU_DEBIAN_MIRROR",
        ),
    }
}

/// For machines that are not like Debian.
const GIVE_FILES: &str = "Or do without packages: pass QEMU 11.1 or newer with --qemu, a kernel \
                          with --kernel and --modules, and a static busybox with --busybox";
