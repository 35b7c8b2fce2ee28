// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab kernel-config`.

use std::process::ExitCode;

use chmu::program;
use chmu_lab::kernel_config::FRAGMENT;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    program::print(FRAGMENT)?;
    Ok(ExitCode::SUCCESS)
}
