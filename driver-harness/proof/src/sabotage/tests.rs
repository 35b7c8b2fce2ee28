// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeSet;

use super::*;

#[test]
fn honest_runs_pass() {
    for run in HonestRun::all() {
        let verdict = run.prove().unwrap();
        assert_eq!(verdict.verdict, Outcome::Pass, "{}: {verdict}", run.name);
        assert!(verdict.counts.promoted_hot_pages > 30, "{}", run.name);
    }
}

#[test]
fn every_mutant_is_noticed_for_its_own_reason() {
    let mutants = Mutant::all();
    assert!(mutants.len() >= 25);
    let names: BTreeSet<_> = mutants.iter().map(|mutant| mutant.name).collect();
    assert_eq!(names.len(), mutants.len());
    let mut survivors = Vec::new();
    for mutant in mutants {
        let hunt = mutant.hunt().unwrap();
        if !hunt.is_killed {
            survivors.push(format!("{}: {}", mutant.name, hunt.verdict));
        }
    }
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}

#[test]
fn a_run_is_the_same_each_time() {
    let verdict = || Parts::honest().run().unwrap();
    assert_eq!(verdict(), verdict());
}
