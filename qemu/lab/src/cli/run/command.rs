// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How a program runs in the guest: on which memory, with which settings of the kernel.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, ensure};
use chmu_lab::machine::Machine;
use chmu_lab::topology::Topology;

use super::shell;

const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const BALANCING: &str = "/proc/sys/kernel/numa_balancing";
const CGROUPS: &str = "/sys/fs/cgroup";
/// The program's group, where it has one.
const GROUP: &str = "/sys/fs/cgroup/run";
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Program")]
#[group(skip)]
pub(super) struct Settings {
    /// Where new pages of the program and of its files go; by default the kernel's own choice,
    /// which is DRAM.
    #[arg(long, value_enum, value_name = "MEMORY")]
    on: Option<Memory>,
    /// Setting of the program's own cgroup, for example memory.max=512M.
    #[arg(long = "cgroup", value_name = "FILE=VALUE")]
    group: Vec<Assignment>,
    /// Which memory gets huge pages by itself; never unless said.
    #[arg(long, value_enum, value_name = "WHICH")]
    thp: Option<HugePages>,
    /// The kernel's own balancing of NUMA nodes: 1, or 2 for its tiering.
    #[arg(
        long,
        value_name = "MODE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u8).range(1..=3)
    )]
    numa_balancing: Option<u8>,
    /// Variable of the program's environment.
    #[arg(long = "env", value_name = "NAME=VALUE")]
    variables: Vec<Assignment>,
    /// Ends the program and its children after so many of the guest's seconds, with exit code 124; who does not end then
    /// is killed ten seconds later.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
}

/// Which memory a program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Memory {
    /// The nodes of the CXL windows first; DRAM when these are full.
    Cxl,
    /// DRAM and nothing else.
    Dram,
    /// All nodes in turn.
    Interleave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum HugePages {
    /// All of it.
    Always,
    /// Where a program asks for it.
    Madvise,
    /// None.
    Never,
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Assignment {
    name: String,
    value: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !name.contains('/') => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(format!("{text:?} has no name and value; write NAME=VALUE")),
        }
    }
}

impl Settings {
    pub(super) fn check(&self, topology: &Topology) -> Result<()> {
        let has_window = topology.nodes.iter().any(|node| node.window.is_some());
        ensure!(
            self.on != Some(Memory::Cxl) || has_window,
            "--on cxl needs a machine with CXL memory"
        );
        Ok(())
    }

    /// Sets what is to hold for the whole guest.
    pub(super) fn prepare(&self, machine: &mut Machine) -> Result<()> {
        if let Some(which) = self.thp {
            let which = match which {
                HugePages::Always => "always",
                HugePages::Madvise => "madvise",
                HugePages::Never => "never",
            };
            shell(machine, &format!("echo {which} >{HUGE_PAGES}"))?;
        }
        if let Some(mode) = self.numa_balancing {
            shell(machine, &format!("echo {mode} >{BALANCING}"))?;
        }
        if !self.group.is_empty() {
            let enable = format!(
                "for word in $(cat {CGROUPS}/cgroup.controllers); do \
                 echo +$word >{CGROUPS}/cgroup.subtree_control; done; mkdir {GROUP}"
            );
            shell(machine, &enable)?;
        }
        for Assignment { name, value } in &self.group {
            let (file, value) = (format!("{GROUP}/{name}"), quoted(value));
            shell(machine, &format!("echo {value} >{}", quoted(&file)))?;
        }
        if self.on.is_some() {
            let there = "command -v numactl >/dev/null || \
                         { echo 'numactl is missing, which --on takes' >&2; exit 1; }";
            shell(machine, there)?;
        }
        Ok(())
    }

    /// The longest time for the program.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_secs)
    }

    /// The words that run the program.
    pub(super) fn words(&self, topology: &Topology, command: &[String]) -> Vec<String> {
        let mut words = Vec::new();
        if !self.group.is_empty() {
            let enter = format!("echo $$ >{GROUP}/cgroup.procs && exec \"$@\"");
            words.extend(["sh".to_owned(), "-c".to_owned(), enter, "sh".to_owned()]);
        }
        if let Some(memory) = self.on {
            words.extend(["numactl".to_owned(), memory.option(topology)]);
        }
        if !self.variables.is_empty() {
            words.push("env".to_owned());
            let variables = self.variables.iter();
            words.extend(variables.map(|variable| format!("{}={}", variable.name, variable.value)));
        }
        words.extend(command.iter().cloned());
        words
    }
}

impl Memory {
    /// The option of `numactl`.
    fn option(self, topology: &Topology) -> String {
        let nodes = |wanted: &dyn Fn(bool) -> bool| {
            let nodes = topology.nodes.iter().enumerate();
            let nodes = nodes.filter(|(_, node)| wanted(node.window.is_some()));
            let nodes: Vec<_> = nodes.map(|(number, _)| number.to_string()).collect();
            nodes.join(",")
        };
        match self {
            Self::Cxl => format!("--preferred-many={}", nodes(&|is_cxl| is_cxl)),
            Self::Dram => format!("--membind={}", nodes(&|is_cxl| !is_cxl)),
            Self::Interleave => format!("--interleave={}", nodes(&|_| true)),
        }
    }
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn words(options: &[&str]) -> Vec<String> {
        let line = Line::parse_from([&["run"], options].concat());
        let command = ["redis-server".to_owned(), "--save".to_owned()];
        line.settings.words(&Topology::default(), &command)
    }

    #[test]
    fn a_program_alone_is_run_as_it_is() {
        assert_eq!(words(&[]), ["redis-server", "--save"]);
        assert_eq!(words(&["--thp", "always", "--numa-balancing"]).len(), 2);
    }

    #[test]
    fn memory_and_group_come_before_the_program() {
        let options = ["--on", "cxl", "--env", "A=b c", "--cgroup", "memory.max=1G"];
        let words = words(&options);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        assert_eq!(words[0], "sh");
        assert_eq!(
            words[3..],
            [
                "sh",
                "numactl",
                "--preferred-many=1",
                "env",
                "A=b c",
                "redis-server",
                "--save"
            ]
        );
    }

    #[test]
    fn nodes_are_the_topologys() {
        assert_eq!(Memory::Dram.option(&Topology::default()), "--membind=0");
        assert_eq!(
            Memory::Interleave.option(&Topology::default()),
            "--interleave=0,1"
        );
    }

    #[test]
    fn what_is_no_assignment_is_refused() {
        for text in ["", "=x", "memory.max", "../x=1"] {
            assert!(text.parse::<Assignment>().is_err(), "{text}");
        }
        let empty: Assignment = "A=".parse().unwrap();
        assert_eq!(empty.value, "");
    }
}
