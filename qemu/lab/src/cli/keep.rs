// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Keeps what came of a verb in a folder of its own.

use std::time::Instant;

use anyhow::Result;
use chmu::program;
use chmu_lab::report::{Page, Section, Table};
use chmu_lab::runs::{Facts, Outcome, PAGE, Runs};

/// What came of a verb, for programs.
const RESULT: &str = "result.json";

/// What this lab was told to do, as a shell takes it.
fn command_line() -> String {
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| {
        let word = word.to_string_lossy().into_owned();
        // Only a NUL cannot be quoted, and no argument has one.
        shlex::try_quote(&word).map_or_else(|_| word.clone(), |quoted| quoted.into_owned())
    });
    let words: Vec<_> = ["cargo".to_owned(), "lab".to_owned()]
        .into_iter()
        .chain(words)
        .collect();
    words.join(" ")
}

/// Keeps a run that ends now, with what came of it and files more, and says where its page is. What cannot be kept is
/// said, and fails nothing.
pub(super) fn keep(
    (verb, title): (&str, &str),
    (begin, qemu): (Instant, String),
    outcome: &impl Outcome,
    more: &[(&str, &str)],
) {
    let seconds = begin.elapsed().as_secs_f64();
    let facts = Facts {
        is_good: outcome.is_good(),
        verdict: outcome.verdict(),
        figures: outcome.figures(),
        ..Facts::now(verb, command_line(), seconds, qemu)
    };
    match kept(title, &facts, outcome, more) {
        Ok(place) => program::say(format_args!("A page about this run: {place}")),
        Err(error) => program::say(format_args!("This run is not kept: {error:#}")),
    }
}

fn kept(
    title: &str,
    facts: &Facts,
    outcome: &impl Outcome,
    more: &[(&str, &str)],
) -> Result<String> {
    let mut sections = outcome.sections();
    sections.push(environment(facts));
    let page = Page {
        title: title.to_owned(),
        is_good: facts.is_good,
        verdict: facts.verdict.clone(),
        command: facts.command.clone(),
        sections,
    };
    let (html, result) = (page.html()?, serde_json::to_string_pretty(outcome)?);
    let files = [&[(PAGE, html.as_str()), (RESULT, result.as_str())], more].concat();
    let folder = Runs::of_user()?.keep(facts, &files)?;
    Ok(folder.join(PAGE).display().to_string())
}

/// What a page says of where a run took place.
fn environment(facts: &Facts) -> Section {
    let processors = std::thread::available_parallelism();
    let processors = processors.map_or_else(|_| "unknown".to_owned(), |number| number.to_string());
    let pairs = [
        ("date", facts.date.clone()),
        ("took", format!("{:.0} s", facts.seconds)),
        ("lab", facts.lab.clone()),
        ("QEMU", facts.qemu.clone()),
        ("processors", processors),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
    Section {
        title: "Environment".to_owned(),
        table: Some(Table::of_pairs(["what", "which"], pairs)),
        ..Section::default()
    }
}
