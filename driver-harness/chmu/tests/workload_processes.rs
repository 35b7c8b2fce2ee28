// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu workload --processes`: many processes that begin, work and end together.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A verb that found what must not be.
const NEGATIVE_RESULT: i32 = 3;
/// A busy machine is slow.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

fn start(folder: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_chmu"))
        .args(["workload", "--node=0", "--pages=64", "--hot-pages=8"])
        .args(["--processes=3", "--state=s", "-o", "json"])
        .args(more)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// The processes, once all are ready.
fn members(folder: &Path) -> Vec<Value> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let list = std::fs::read(folder.join("s")).unwrap_or_default();
        if let Ok(members) = serde_json::from_slice(&list) {
            return members;
        }
        assert!(Instant::now() < deadline, "No list of processes");
        thread::sleep(LOOK_INTERVAL);
    }
}

#[test]
fn each_has_pages_and_a_state_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let output = start(folder.path(), &["--rounds=2"])
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(report(&output), json!({"processes": 3, "wrong": []}));
    let members = members(folder.path());
    let states = members.iter().map(|member| {
        let state = folder.path().join(member["state"].as_str().unwrap());
        serde_json::from_slice::<Value>(&std::fs::read(state).unwrap()).unwrap()
    });
    let hot: Vec<_> = states.map(|state| state["hot_pages"].clone()).collect();
    assert_eq!(hot.len(), 3);
    assert!(
        hot[0] != hot[1] && hot[1] != hot[2],
        "a seed for each: {hot:?}"
    );
}

#[test]
fn one_that_is_killed_is_named_when_all_are_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let child = start(folder.path(), &[]);
    let second = members(folder.path())[1]["process_id"].as_i64().unwrap();
    for (process_id, signal) in [(second, "KILL"), (child.id().into(), "TERM")] {
        let kill = ["-s", signal, &process_id.to_string()];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(NEGATIVE_RESULT), "{output:?}");
    assert_eq!(report(&output), json!({"processes": 3, "wrong": [2]}));
}
