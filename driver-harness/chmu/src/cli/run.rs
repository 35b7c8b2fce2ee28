// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu run`: a program whose memory lies on a node.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use chmu_machine::memory::numa;
use chmu_machine::node::NodeId;
use chmu_machine::topology::Topology;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The node that all memory comes from which the kernel gives the program [default: the slowest node
    /// without processors].
    #[arg(long, value_name = "NODE")]
    node: Option<u32>,
    /// The program, and what it is told.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Becomes the program: the policy of a thread outlives that.
pub(super) fn run(options: &Options) -> anyhow::Result<std::process::ExitCode> {
    let topology = Topology::read(Path::new("/sys"))?;
    let node = match options.node {
        Some(node) => NodeId(node),
        None => topology
            .slowest_node_without_cpu()
            .context("No node is without processors; name one with --node")?,
    };
    topology.check_named(node)?;
    numa::bind_thread(Some(node))
        .with_context(|| format!("The kernel binds no memory to node {node}"))?;
    let (program, arguments) = options
        .command
        .split_first()
        .context("There is no program to run")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("Cannot run {}", program.display()))
}
