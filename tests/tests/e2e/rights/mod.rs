// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which rights each verb takes: with exactly these it does its work, and without any one of them it says what it
//! lacks. `driver-harness/promotion/README.md` has the table.

use anyhow::{Result, ensure};
use chmu_lab::machine::Output;
use chmu_tests::guest::{Guest, PROGRAM_TIMEOUT, Setup};
use serde_json::Value;

/// Runs a program as somebody else, with chosen rights.
const AS: &str = include_str!("as.pl");
const STATE: &str = "/run/workload.json";
const FRAMES: &str = "/run/frames";
const SOCKET: &str = "/run/chmu/rights.sock";
/// Users that own nothing.
const USER: u32 = 1000;
const OTHER: u32 = 1001;
/// Pages that are promoted by their frames.
const PAGES: usize = 64;

#[test]
fn each_verb_takes_the_rights_that_are_said_and_no_more() -> Result<()> {
    // The guest's tools come with a Perl.
    let setup = Setup {
        tools: true,
        ..Setup::default()
    };
    let mut guest = Guest::boot(&setup)?;
    guest.shell(&format!(
        "cat >/run/as.pl <<'END'\n{AS}END\nmkdir -m 1777 -p /run/chmu"
    ))?;
    units(&mut guest)?;
    frames(&mut guest)?;
    processes(&mut guest)?;
    status(&mut guest)?;
    guest.finish()
}

/// A verb with the rights that it takes, and what it says without each.
struct Verb<'a> {
    words: &'a [&'a str],
    takes: &'a [(&'a str, &'a str)],
}

impl Verb<'_> {
    fn try_as(&self, guest: &mut Guest, user: u32) -> Result<()> {
        let all: Vec<_> = self.takes.iter().map(|(right, _)| *right).collect();
        let output = run_as(guest, user, &all, self.words)?;
        ensure!(did(&output), "{:?} with {all:?}: {output:?}", self.words);
        for (lacking, expected) in self.takes {
            let others = all.iter().copied().filter(|right| right != lacking);
            let others: Vec<_> = others.collect();
            let output = run_as(guest, user, &others, self.words)?;
            ensure!(
                !did(&output),
                "{:?} without {lacking}: {output:?}",
                self.words
            );
            let said = format!("{}{}", output.stdout, output.stderr);
            ensure!(
                said.contains(expected),
                "{:?} without {lacking} does not say {expected:?}: {output:?}",
                self.words
            );
        }
        Ok(())
    }
}

/// Whether a verb did its work: a listing goes on after what it cannot read, and a promotion after what it cannot move.
fn did(output: &Output) -> bool {
    let summary: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
    output.exit_code == 0 && !output.stdout.contains("error: ") && summary["pages_promoted"] != 0
}

fn run_as(guest: &mut Guest, user: u32, rights: &[&str], words: &[&str]) -> Result<Output> {
    let rights = match rights {
        [] => "none".to_owned(),
        rights => rights.join(","),
    };
    let user = user.to_string();
    let command = [&["perl", "/run/as.pl", &user, &rights], words].concat();
    guest.run(&command, PROGRAM_TIMEOUT)
}

/// Devices: configuration space to its end, and BARs that can be mapped.
fn units(guest: &mut Guest) -> Result<()> {
    const ADMIN: (&str, &str) = ("sys_admin", "the right CAP_SYS_ADMIN");
    const OVERRIDE: (&str, &str) = ("dac_override", "the right CAP_DAC_OVERRIDE");
    for words in [&["chmu", "list"][..], &["chmu", "watch", "--seconds=1"]] {
        let takes = [ADMIN, OVERRIDE];
        Verb {
            words,
            takes: &takes,
        }
        .try_as(guest, USER)?;
        let takes = [("sys_admin", "root has not the right CAP_SYS_ADMIN here")];
        Verb {
            words,
            takes: &takes,
        }
        .try_as(guest, 0)?;
    }
    let words = ["chmu", "promote", "--seconds=1"];
    let takes = [ADMIN, OVERRIDE];
    Verb {
        words: &words,
        takes: &takes,
    }
    .try_as(guest, USER)?;
    let words = ["chmu", "targets"];
    Verb {
        words: &words,
        takes: &[],
    }
    .try_as(guest, USER)
}

/// A workload with these options that is at work.
fn start_workload(guest: &mut Guest, options: &[&str]) -> Result<u32> {
    let state = format!("--state={STATE}");
    let command = [&["chmu", "workload", &state], options].concat();
    let workload = guest.spawn(&command)?;
    guest.wait_until(workload, &format!("grep -q '\"running\"' {STATE}"))?;
    Ok(workload)
}

/// Flags of frames, DAMON's files, and pages of other processes.
fn frames(guest: &mut Guest) -> Result<()> {
    const FLAGS: (&str, &str) = ("dac_read_search", "the right CAP_DAC_READ_SEARCH");
    let workload = start_workload(guest, &["--pages=1024", "--hot-pages=512"])?;
    let told: Value = serde_json::from_str(&guest.read(STATE)?)?;
    let frames = told["start_frames"]
        .as_array()
        .map_or(&[][..], |frames| frames);
    let frames: Vec<_> = frames
        .iter()
        .take(PAGES)
        .map(|frame| format!("{frame}\n"))
        .collect();
    ensure!(frames.len() == PAGES, "{told:#}");
    guest.shell(&format!("cat >{FRAMES} <<'END'\n{}END", frames.concat()))?;
    let list = format!("--frames={FRAMES}");
    let dry = ["chmu", "promote", &list, "--dry-run", "-o", "json"];
    Verb {
        words: &dry,
        takes: &[FLAGS],
    }
    .try_as(guest, USER)?;
    Verb {
        words: &dry,
        takes: &[],
    }
    .try_as(guest, 0)?;
    let moves = [
        "chmu",
        "promote",
        &list,
        "--actuator=move-pages",
        "-o",
        "json",
    ];
    let takes = [FLAGS, ("sys_admin", ""), ("sys_ptrace", "")];
    // Those that lack a right come first: what has moved does not move again.
    for (lacking, _) in takes {
        let others: Vec<_> = takes
            .iter()
            .map(|(right, _)| *right)
            .filter(|right| *right != lacking)
            .collect();
        let output = run_as(guest, USER, &others, &moves)?;
        println!("move-pages without {lacking}: {output:?}");
        ensure!(!did(&output), "without {lacking}: {output:?}");
    }
    let all = takes.map(|(right, _)| right);
    let output = run_as(guest, USER, &all, &moves)?;
    ensure!(did(&output), "{output:?}");
    let summary: Value = serde_json::from_str(&output.stdout)?;
    assert_eq!(summary["pages_promoted"], PAGES, "{summary:#}");
    guest.signal(workload, libc::SIGTERM)?;
    guest.wait(workload, PROGRAM_TIMEOUT)?;
    let damon = ["chmu", "promote", "--source=damon", "--seconds=1"];
    let takes = [("dac_override", "the right CAP_DAC_OVERRIDE")];
    Verb {
        words: &damon,
        takes: &takes,
    }
    .try_as(guest, USER)?;
    Verb {
        words: &damon,
        takes: &[],
    }
    .try_as(guest, 0)
}

/// Accessed bits of a process of somebody else that shares them.
fn processes(guest: &mut Guest) -> Result<()> {
    guest.shell(&format!("rm -f {STATE}"))?;
    let options = ["--userfaultfd", "--pages=64", "--hot-pages=64"];
    let workload = start_workload(guest, &options)?;
    let source = format!("--source=userfaultfd:{workload}");
    let words = [
        "chmu",
        "promote",
        &source,
        "--dry-run",
        "--until-stable",
        "--seconds=100",
        "-o",
        "json",
    ];
    let into = format!(
        "Cannot look into process {workload}; for processes of other users it takes CAP_SYS_PTRACE and"
    );
    let takes = [
        ("sys_ptrace", &*into),
        ("dac_read_search", &into),
        ("sys_admin", "it needs CAP_SYS_ADMIN"),
    ];
    Verb {
        words: &words,
        takes: &takes,
    }
    .try_as(guest, USER)?;
    guest.signal(workload, libc::SIGTERM)?;
    guest.wait(workload, PROGRAM_TIMEOUT)?;
    Ok(())
}

/// A run tells its own user how it is, and who may read all files.
fn status(guest: &mut Guest) -> Result<()> {
    let user = USER.to_string();
    let socket = format!("--status-socket={SOCKET}");
    let rights = "sys_admin,dac_override";
    let promote = ["chmu", "promote", "--seconds=600", "--dry-run", &socket];
    let command = [&["perl", "/run/as.pl", &user, rights], &promote[..]].concat();
    let run = guest.spawn(&command)?;
    guest.wait_until(run, &format!("[ -e {SOCKET} ]"))?;
    let socket = format!("--socket={SOCKET}");
    let words = ["chmu", "status", &socket];
    Verb {
        words: &words,
        takes: &[],
    }
    .try_as(guest, USER)?;
    let takes = [(
        "dac_override",
        "answers only the user who started chmu promote, and root",
    )];
    for user in [0, OTHER] {
        Verb {
            words: &words,
            takes: &takes,
        }
        .try_as(guest, user)?;
    }
    guest.signal(run, libc::SIGTERM)?;
    let ended = guest.wait(run, PROGRAM_TIMEOUT)?;
    assert_eq!(ended.exit_code, 0, "{ended:?}");
    Ok(())
}
