// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The text as a strict reader of the exposition format takes it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::prometheus;
use super::*;

type Labels = BTreeMap<String, String>;

/// A family by name: what it is, and its samples.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: BTreeMap<Labels, f64>,
}

/// Refuses whatever Prometheus, or its linter, would.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut current = String::new();
    for line in text.strip_suffix('\n').unwrap().split('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a HELP line has a text");
            assert!(!help.is_empty() && !help.contains('\\'), "{line}");
            assert!(helped.insert(name.to_owned()), "{name} is explained twice");
            name.clone_into(&mut current);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a TYPE line has a type");
            assert_eq!(name, current, "TYPE follows HELP");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            let family = Family {
                kind: kind.to_owned(),
                ..Family::default()
            };
            assert!(families.insert(name.to_owned(), family).is_none(), "{line}");
        } else {
            let (name, labels, value) = sample(line);
            assert_eq!(name, current, "samples follow their family's TYPE");
            let family = families.get_mut(&name).expect("TYPE precedes samples");
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(
                family.samples.insert(labels, value).is_none(),
                "twice: {line}"
            );
        }
    }
    families
}

fn is_name(name: &str, more: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || more.contains(character);
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(allowed)
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect("a sample has a value");
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name, "_:"), "{line}");
    assert!(name.starts_with("chmu_promotion_"), "{line}");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect("a label has a value");
            assert!(is_name(label, "_") && !label.starts_with("__"), "{line}");
            let (value, after) = quoted(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after.strip_prefix('}').expect("labels end");
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').expect("one space before the value");
    assert!(!value.contains(' '), "no time stamps: {line}");
    (name.to_owned(), labels, value.parse().expect(line))
}

fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return (value, &text[place + 1..]),
            '\\' => value.push(match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => '\n',
                Some(same @ ('\\' | '"')) => same,
                other => panic!("unknown escape {other:?} in {text}"),
            }),
            other => value.push(other),
        }
    }
    panic!("a label's value does not end: {text}");
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn a_strict_reader_finds_every_number() {
    let families = parse(&prometheus::text(&status_after(eventful())));
    for (name, pairs, value) in [
        ("running", &[][..], 1.0),
        ("uptime_seconds", &[], 15.5),
        ("batches_total", &[], 1.0),
        ("retries_total", &[], 1.0),
        ("retrying_folios", &[], 1.0),
        ("moved_pages_total", &[("from", "1"), ("to", "0")], 512.0),
        ("moved_folios_total", &[("from", "1"), ("to", "0")], 1.0),
        ("waiting_folios", &[("from", "2"), ("to", "0")], 1.0),
        ("waiting_pages", &[("from", "1"), ("to", "0")], 1.0),
        ("moving_pages", &[("from", "1"), ("to", "0")], 0.0),
        ("longest_wait_seconds", &[("from", "1"), ("to", "0")], 10.5),
        ("refused_folios_total", &[("reason", "pinned")], 2.0),
        ("ignored_pages_total", &[("reason", "top_tier")], 6.0),
        ("demoted_pages_total", &[("node", "0")], 9.0),
        ("ping_pong_folios_total", &[], 1.0),
        ("came_back_pages_total", &[], 1.0),
        ("spill_limit_pages_per_second", &[], 120.0),
        (
            "source_units_total",
            &[("source", "cxl_hmu_mem0.0.0")],
            104.0,
        ),
        (
            "source_overflows_total",
            &[("source", "cxl_hmu_mem0.0.0")],
            1.0,
        ),
        ("source_healthy", &[("source", "cxl_hmu_mem0.0.0")], 0.0),
        (
            "source_healthy",
            &[("source", "stream \"odd\\name\"\nsecond line")],
            1.0,
        ),
    ] {
        let family = &families[&format!("chmu_promotion_{name}")];
        let found = family.samples.get(&labels(pairs));
        assert_eq!(found, Some(&value), "{name} {pairs:?} of {family:?}");
    }
    assert_eq!(families["chmu_promotion_moved_pages_total"].kind, "counter");
}

#[test]
fn a_run_without_anything_is_readable_and_sums_never_shrink() {
    let before = parse(&prometheus::text(&Status::default()));
    assert_eq!(
        before["chmu_promotion_running"].samples[&Labels::new()],
        0.0
    );
    let mut actions = eventful();
    let mut last: BTreeMap<(String, Labels), f64> = BTreeMap::new();
    actions.push(ended());
    for count in 1..=actions.len() {
        let status = status_after(actions[..count].to_vec());
        for (name, family) in parse(&prometheus::text(&status)) {
            for (labels, value) in family.samples {
                let earlier = last.insert((name.clone(), labels), value).unwrap_or(0.0);
                assert!(family.kind != "counter" || value >= earlier, "{name}");
            }
        }
    }
    assert_eq!(
        last[&("chmu_promotion_running".to_owned(), Labels::new())],
        0.0
    );
}
