// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab fetch`.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::process::ExitCode;

use chmu_lab::cache::{Cache, EntryState};
use chmu_lab::output::Format;
use chmu_lab::platform::{Contents, GuestPackages, KernelChoice, PackageSet, Packages};
use chmu_lab::progress::Progress;
use serde::Serialize;

use super::usage_error;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Which of Debian's kernels to fetch.
    #[arg(long, value_enum, default_value_t)]
    kernel_suite: KernelChoice,
    /// Fetches anew what is already there; what a running lab uses is left as it is.
    #[arg(long)]
    refresh: bool,
    #[command(flatten)]
    guest_packages: GuestPackages,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What the cache has now.
#[derive(Debug, Serialize)]
struct Fetched {
    qemu: Option<Contents>,
    linux: Option<Contents>,
    busybox: Option<Contents>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest_packages: Option<Contents>,
    folder: PathBuf,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let set = options.guest_packages.set();
    let set = set.map_err(|error| usage_error("fetch", &error))?;
    let cache = Cache::open()?;
    let packages = Packages {
        qemu: true,
        kernel: Some(options.kernel_suite),
        busybox: true,
    };
    let progress = Progress::new();
    progress.step("Checking what is there");
    match options.refresh {
        true => packages.refresh(&cache, &progress)?,
        false => packages.fetch(&cache, &progress)?,
    }
    let guest_packages = match set.is_empty() {
        true => None,
        false => fetch_guest_packages(&set, options.refresh, &cache, &progress)?,
    };
    drop(progress);
    let mut states = packages.states(&cache)?.into_iter();
    let mut next = || match states.next() {
        Some(EntryState::Whole(contents)) => Some(contents),
        _ => None,
    };
    let fetched = Fetched {
        qemu: next(),
        linux: next(),
        busybox: next(),
        guest_packages,
        folder: cache.folder().to_owned(),
    };
    options.output.print(&fetched)?;
    Ok(ExitCode::SUCCESS)
}

fn fetch_guest_packages(
    set: &PackageSet,
    refresh: bool,
    cache: &Cache,
    progress: &Progress,
) -> anyhow::Result<Option<Contents>> {
    match refresh {
        true => set.refresh(cache, progress)?,
        false => set.obtain(cache, progress).map(drop)?,
    }
    Ok(match set.state(cache)? {
        EntryState::Whole(contents) => Some(contents),
        _ => None,
    })
}

/// A line for each.
impl Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("QEMU", &self.qemu),
            ("Linux", &self.linux),
            ("busybox", &self.busybox),
        ];
        for (label, contents) in all {
            let version = contents.as_ref().map_or("", |contents| &contents.version);
            writeln!(f, "{label:<8} {version}")?;
        }
        if let Some(packages) = &self.guest_packages {
            let (count, names) = (packages.packages.len(), &packages.version);
            writeln!(f, "{:<8} {names}, {count} packages", "guest")?;
        }
        writeln!(f, "{:<8} {}", "folder", self.folder.display())
    }
}
