// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the guest runs on and in.

use super::{Finding, State};
use crate::cache::{Cache, EntryState};
use crate::platform::{self, Contents, Kernel, PlatformOptions, QemuOrigin, QemuProgram};

/// There is no folder for what is fetched, or it cannot be read.
pub(super) fn no_cache(error: &anyhow::Error) -> Finding {
    let fix = "Name a folder of your own in CHMU_CACHE_DIR";
    unusable("Cache", error, fix)
}

/// QEMU, Linux and busybox, in this order; without a cache nothing of them was fetched.
pub(super) fn platform(options: &PlatformOptions, cache: Option<&Cache>) -> Vec<Finding> {
    let qemu = platform::chosen_qemu(options);
    let has_qemu = !matches!(qemu, Ok(None));
    let states = cache.map(|cache| options.packages(has_qemu).states(cache));
    let mut cached = match states.transpose() {
        Ok(states) => states.unwrap_or_default().into_iter(),
        Err(error) => return vec![no_cache(&error)],
    };
    let tools = platform::check_tools();
    let mut from_packages = |subject, fix| {
        let state = cached.next().unwrap_or(EntryState::Absent);
        packaged(subject, state, &tools, fix)
    };
    let qemu = match qemu {
        Ok(Some(qemu)) => found_qemu(&qemu),
        Ok(None) => {
            let mut finding = from_packages("QEMU", GIVE_QEMU);
            if let Some(Err(error)) = QemuProgram::system() {
                finding.detail += &format!("; the installed one does not fit: {error:#}");
            }
            finding
        }
        Err(error) => unusable("QEMU", &error, "Name a suitable one with --qemu"),
    };
    let linux = match &options.kernel {
        None => from_packages("Linux", GIVE_LINUX),
        Some(image) => {
            match Kernel::load(image, options.modules.as_deref(), &options.own_modules) {
                Ok(kernel) => {
                    Finding::new("Linux", State::Ok, format!("{}, given", kernel.release))
                }
                Err(error) => unusable("Linux", &error, "Name others with --kernel and --modules"),
            }
        }
    };
    let busybox = match &options.busybox {
        None => from_packages("busybox", GIVE_BUSYBOX),
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

/// What the cache has or the first run fetches, if this machine can fetch.
fn packaged(
    subject: &'static str,
    state: EntryState<Contents>,
    tools: &anyhow::Result<()>,
    fix: &str,
) -> Finding {
    let detail = match state {
        EntryState::Whole(Contents { version, .. }) => {
            let detail = format!("{version}, from Debian's packages");
            return Finding::new(subject, State::Ok, detail);
        }
        EntryState::Damaged(damage) => format!("{damage}; fetched anew at the next run"),
        EntryState::Absent => "from Debian's packages at the first run".to_owned(),
    };
    match tools {
        Ok(()) => Finding::new(subject, State::Fetch, detail),
        Err(error) => unusable(subject, error, fix),
    }
}

const GIVE_QEMU: &str = "Or install or build QEMU 11.1 or newer, and name it with --qemu";
const GIVE_LINUX: &str = "Or name a kernel with --kernel, and its modules with --modules";
const GIVE_BUSYBOX: &str = "Or name a statically linked busybox with --busybox";

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
    let mirror = match platform::mirror() {
        Ok(mirror) => mirror,
        Err(error) => {
            let fix = "Set it to the address of one of Debian's mirrors";
            return unusable(PACKAGES, &error, fix);
        }
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

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_machine_without_packages_is_told_what_to_give() {
        let tools = Err(anyhow!("This machine has no apt-get"));
        let finding = packaged("QEMU", EntryState::Absent, &tools, GIVE_QEMU);
        assert_eq!(finding.state, State::Missing);
        assert_eq!(finding.detail, "This machine has no apt-get");
        assert_eq!(finding.fix.as_deref(), Some(GIVE_QEMU));
        let finding = packaged("QEMU", EntryState::Absent, &Ok(()), GIVE_QEMU);
        assert_eq!((finding.state, finding.fix), (State::Fetch, None));
    }
}
