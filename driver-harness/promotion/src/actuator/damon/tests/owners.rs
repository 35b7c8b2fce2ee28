// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One owner at a time, and what a killed one leaves.

use super::*;

const STATE: &str = "sys/kernel/mm/damon/admin/kdamonds/0/state";
const COUNT: &str = "sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds";
const UPDATE: &str =
    "sys/kernel/mm/damon/admin/kdamonds/0/contexts/0/monitoring_attrs/intervals/update_us";

/// As a killed run leaves it.
fn killed(kernel: &FakeKernel, state: &str) {
    kernel.set(COUNT, "1");
    kernel.set(STATE, state);
    kernel.set(UPDATE, "1000000019\n");
}

#[test]
fn what_a_killed_run_left_is_taken_back_off_first() {
    for state in ["on\n", "off\n"] {
        let kernel = FakeKernel::new();
        killed(&kernel, state);
        let remains = reset(&kernel.places()).unwrap();
        let running = usize::from(state == "on\n");
        assert_eq!(remains, Remains::TakenBack { running });
        assert_eq!(kernel.get(STATE), "off");
        assert_eq!(kernel.get(COUNT), "0");
    }
}

#[test]
fn the_next_start_takes_back_what_a_killed_run_left() {
    let kernel = FakeKernel::new();
    killed(&kernel, "on\n");
    let damon = kernel.damon();
    assert_eq!(kernel.get(COUNT), "5");
    drop(damon);
    assert_eq!(kernel.get(COUNT), "0", "nothing of it is put back");
}

#[test]
fn another_program_that_runs_damon_is_left_alone_with_a_way_out() {
    let kernel = FakeKernel::new();
    killed(&kernel, "on\n");
    kernel.set(UPDATE, "1000000\n");
    let error = kernel.refusal();
    assert_eq!(error.severity(), Severity::Fatal);
    let message = error.to_string();
    let root = kernel.root.path().display();
    assert_eq!(
        message,
        format!(
            "Another program runs DAMON; end it, or stop DAMON by writing off to {root}/{STATE} \
             and then 0 to {root}/{COUNT}"
        )
    );
    assert!(reset(&kernel.places()).is_err());
    assert_eq!(
        (kernel.get(STATE), kernel.get(COUNT)),
        ("on".into(), "1".into())
    );
}

#[test]
fn workers_that_are_all_off_are_nobodys_and_stay_as_many() {
    let kernel = FakeKernel::new();
    killed(&kernel, "off\n");
    kernel.set(UPDATE, "1000000\n");
    kernel.set(COUNT, "2");
    kernel.set(&format!("{KDAMONDS}/1/state"), "off\n");
    assert_eq!(reset(&kernel.places()).unwrap(), Remains::None);
    assert_eq!(kernel.get(COUNT), "2");
    let damon = kernel.damon();
    assert_eq!(kernel.get(COUNT), "5");
    drop(damon);
    assert_eq!(kernel.get(COUNT), "2");
}

#[test]
fn two_at_a_time_are_one_too_many() {
    let kernel = FakeKernel::new();
    let path = kernel.places().runtime.join("chmu/damon.lock");
    let Claim::Ours(other) = lock::claim(&path).unwrap() else {
        panic!("nobody holds it");
    };
    let ours = std::process::id();
    for error in [
        kernel.refusal().to_string(),
        reset(&kernel.places()).unwrap_err().to_string(),
    ] {
        assert_eq!(
            error,
            format!("Another chmu uses DAMON, process {ours}; end it first")
        );
    }
    assert_eq!(kernel.get(COUNT), "0", "nothing was touched");
    drop(other);
    let damon = kernel.damon();
    assert!(reset(&kernel.places()).is_err(), "also of this process");
    assert_eq!(kernel.get(COUNT), "5", "it still has it");
    drop(damon);
    assert!(matches!(lock::claim(&path).unwrap(), Claim::Ours(_)));
}

#[test]
fn a_module_that_keeps_damon_is_named_with_the_way_out() {
    let kernel = FakeKernel::new();
    kernel.set("sys/module/damon_stat/parameters/enabled", "Y\n");
    let message = kernel.refusal().to_string();
    assert!(message.starts_with("The module damon_stat keeps DAMON for itself; switch it off by"));
    assert!(message.contains("damon_stat/parameters/enabled"));
    assert_eq!(kernel.get(COUNT), "0");
}
