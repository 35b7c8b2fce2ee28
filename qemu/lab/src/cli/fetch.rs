// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab fetch`.

use std::process::ExitCode;

use chmu_lab::cache::Cache;
use chmu_lab::platform::{KernelChoice, Packages};
use chmu_lab::progress::Progress;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Which of Debian's kernels to fetch.
    #[arg(long, value_enum, default_value_t)]
    kernel_suite: KernelChoice,
    /// Fetches anew what is already there.
    #[arg(long)]
    refresh: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let cache = Cache::open()?;
    let packages = Packages {
        qemu: true,
        kernel: Some(options.kernel_suite),
        busybox: true,
    };
    packages.fetch(&cache, options.refresh, &Progress::new())?;
    let labels = ["QEMU", "Linux", "busybox"];
    for (label, contents) in labels.iter().zip(packages.contents(&cache)?) {
        let version = contents.map_or_else(String::new, |contents| contents.version);
        println!("{label:<8} {version}");
    }
    println!("{:<8} {}", "folder", cache.folder().display());
    Ok(ExitCode::SUCCESS)
}
