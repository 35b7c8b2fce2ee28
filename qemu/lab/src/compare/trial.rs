// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One workload under one policy.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chmu_proof::verdict::Verdict;
use chmu_proof::workload::report::WorkloadReport;
use serde::Serialize;

use super::pattern::Pattern;
use super::policy::{PagesPlace, Policy};
use super::steady::{Part, steady};
use crate::machine::{Machine, Output};
use crate::tiers::{Counted, Recorder};

const STATE: &str = "/run/compared.json";
const READY: &str = "/run/policy-ready";
/// What is left of a trial.
const LEFT: &str = "rm -f /run/compared.json /run/policy-ready /run/policy.jsonl /dev/shm/pages; \
                    echo 3 >/proc/sys/vm/drop_caches";
/// For what the lab asks of the guest; a busy host is slow.
const GUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a request looks whether something has happened, before the next one does.
const LOOKS: u32 = 50;
/// Exit codes of a policy that SIGTERM ended.
const ENDED: [i32; 2] = [0, 128 + libc::SIGTERM];

/// A trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// What accessed pages.
    pub workload: &'static str,
    /// What moved them.
    pub policy: String,
    /// Which pages are hot.
    pub seed: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It came to its end.
    Measured(Measured),
    /// The kernel cannot do it, or it does not go with the workload.
    NotThere(String),
    /// Something went wrong.
    Failed(String),
}

/// What was counted from the first access of a workload to its last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Instructions, and lines of each tier.
    pub counted: Counted,
    /// The CXL memory's share of the lines filled last, of a fifth of all.
    pub end_share: Option<f64>,
    /// Lines that were filled until nine tenths of the way to that share were gone.
    pub fills_until_steady: Option<u64>,
    /// Pages that the kernel moved, for whatever reason.
    pub pages_moved: u64,
    /// Pages that are hot at the end.
    pub hot_pages: u64,
    /// Those of them that are on faster memory; none where all pages are from the beginning.
    pub hot_pages_on_fast: Option<u64>,
    /// Pages that were moved and had not been hot until then.
    pub wrong_pages: Option<u64>,
    /// The CXL memory's share over the run.
    pub parts: Vec<Part>,
}

/// Runs a workload for its rounds, or the `shortened`-th part of them, while a policy moves its pages.
pub(super) fn measure(
    machine: &mut Machine,
    pattern: &Pattern,
    policy: &Policy,
    (seed, shortened): (u64, u64),
) -> Result<Outcome> {
    if policy.takes_userfaultfd && pattern.is_unmapped {
        let reason = "page tables know nothing of pages that nobody maps";
        return Ok(Outcome::NotThere(reason.to_owned()));
    }
    if let Some(needs) = &policy.needs {
        let output = machine.run(&["sh", "-c", needs], GUEST_TIMEOUT)?;
        if output.exit_code != 0 {
            return Ok(Outcome::NotThere(last_line(&output)));
        }
    }
    shell(machine, LEFT)?;
    let workload = machine.spawn(&words(&workload(pattern, policy, seed, shortened)))?;
    wait_until(machine, &[workload], &format!("[ -e {STATE} ]"))?;
    let process = format!("PROCESS={workload}");
    let (state, ready) = (format!("STATE={STATE}"), format!("READY={READY}"));
    let script = [
        "env",
        &process,
        &state,
        &ready,
        "sh",
        "-c",
        &policy.script,
        &policy.name,
    ];
    let policy_id = machine.spawn(&script)?;
    wait_until(machine, &[workload, policy_id], &format!("[ -e {READY} ]"))?;
    let moved_before = pages_moved(machine)?;
    let recorder = Recorder::start(machine.device_sockets())?;
    machine.signal(workload, libc::SIGUSR1)?;
    wait_until(
        machine,
        &[workload, policy_id],
        &format!("grep -q '\"finished\"' {STATE}"),
    )?;
    let series = recorder.finish()?;
    let pages_moved = pages_moved(machine)?.saturating_sub(moved_before);
    let proof = prove(machine)?;
    machine.signal(policy_id, libc::SIGTERM)?;
    let ended = machine.wait(policy_id, GUEST_TIMEOUT)?;
    ensure!(
        ENDED.contains(&ended.exit_code),
        "The policy ends with {}: {}",
        ended.exit_code,
        last_line(&ended)
    );
    end(machine, workload)?;
    let is_slow = policy.place == PagesPlace::Slow;
    let steady = steady(&series);
    Ok(Outcome::Measured(Measured {
        counted: series.total().counted,
        end_share: steady.end_share,
        fills_until_steady: steady.fills,
        pages_moved,
        hot_pages: proof.counts.true_hot_pages,
        hot_pages_on_fast: is_slow.then_some(proof.counts.promoted_hot_pages),
        wrong_pages: is_slow.then_some(proof.counts.wrong_pages_promoted),
        parts: steady.parts,
    }))
}

/// The command line of a workload.
fn workload(pattern: &Pattern, policy: &Policy, seed: u64, shortened: u64) -> String {
    let rounds = (pattern.rounds / shortened).max(1);
    let options = match pattern.move_rounds {
        Some(rounds) => format!(
            "{} --move-rounds {}",
            pattern.options,
            (rounds / shortened).max(1)
        ),
        None => pattern.options.to_owned(),
    };
    let place = match policy.place {
        PagesPlace::Slow => "",
        PagesPlace::Fast => " --node 0",
    };
    let shared = if policy.takes_userfaultfd {
        " --userfaultfd"
    } else {
        ""
    };
    let balanced = if pattern.is_unmapped {
        ""
    } else {
        " --balancing"
    };
    format!(
        "chmu workload {options} --seed {seed} --rounds {rounds} --state {STATE} --wait --hold -o json\
         {place}{shared}{balanced}"
    )
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Waits for a condition of the shell, as long as these processes live.
fn wait_until(machine: &mut Machine, processes: &[u32], condition: &str) -> Result<()> {
    let processes: Vec<_> = processes.iter().map(u32::to_string).collect();
    let alive = processes.join(" ");
    let script = format!(
        "for look in $(seq {LOOKS}); do if {condition}; then exit 0; fi; kill -0 {alive} || exit 2; sleep 0.2; done; \
         exit 1"
    );
    loop {
        let output = machine.run(&["sh", "-c", &script], GUEST_TIMEOUT)?;
        match output.exit_code {
            0 => return Ok(()),
            1 if !output.timed_out => {}
            _ => bail!(
                "Before `{condition}` is true, {}",
                ended(machine, &processes)?
            ),
        }
    }
}

/// Which of these processes has ended, and what it said.
fn ended(machine: &mut Machine, processes: &[String]) -> Result<String> {
    for process in processes {
        let is_there = ["sh", "-c", &format!("kill -0 {process}")];
        if machine.run(&is_there, GUEST_TIMEOUT)?.exit_code != 0 {
            let output = machine.wait(process.parse()?, GUEST_TIMEOUT)?;
            return Ok(format!(
                "a program ends with {}: {}",
                output.exit_code,
                last_line(&output)
            ));
        }
    }
    Ok("the guest takes too long to look".to_owned())
}

/// Pages that the kernel has moved since it booted.
fn pages_moved(machine: &mut Machine) -> Result<u64> {
    let text = machine.read("/proc/vmstat")?;
    let counts: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let moved = counts
        .get("pgmigrate_success")
        .context("The kernel does not count pages that it moves")?;
    Ok(moved.parse()?)
}

/// Where the workload's pages are.
fn prove(machine: &mut Machine) -> Result<Verdict> {
    let line = format!("chmu prove --without-content --state {STATE} -o json");
    let output = machine.run(&words(&line), GUEST_TIMEOUT)?;
    serde_json::from_str(&output.stdout)
        .with_context(|| format!("chmu prove says: {}", last_line(&output)))
}

/// Ends a workload, whose content must be whole.
fn end(machine: &mut Machine, workload: u32) -> Result<()> {
    machine.signal(workload, libc::SIGTERM)?;
    let output = machine.wait(workload, GUEST_TIMEOUT)?;
    let report: WorkloadReport = serde_json::from_str(&output.stdout)
        .with_context(|| format!("The workload says: {}", last_line(&output)))?;
    ensure!(
        report.is_right(),
        "Pages do not hold what was written to them: {:?}",
        report.verification
    );
    Ok(())
}

fn shell(machine: &mut Machine, script: &str) -> Result<String> {
    machine.run_checked(&["sh", "-c", script], GUEST_TIMEOUT)
}

fn last_line(output: &Output) -> String {
    let said = output.stderr.trim();
    said.lines().last().unwrap_or("nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_told_where_its_pages_are_and_how_long_it_lasts() {
        let line = |pattern: &str, policy: &str, shortened| {
            workload(
                &pattern.parse().unwrap(),
                &policy.parse().unwrap(),
                7,
                shortened,
            )
        };
        let moving = line("moving", "chmu", 4);
        assert!(
            moving.contains(" --move-rounds 60 --seed 7 --rounds 180 "),
            "{moving}"
        );
        assert!(moving.ends_with(" --balancing"), "{moving}");
        assert!(line("uniform", "dram", 1).contains(" --node 0"));
        assert!(line("uniform", "userfaultfd", 1).contains(" --userfaultfd"));
        assert!(!line("page-cache", "chmu", 1).contains("--balancing"));
        assert!(line("uniform", "none", 1_000_000).contains(" --rounds 1 "));
    }
}
