// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The hotlist holds exactly what a script did, where the plugin reports every access.

use std::collections::BTreeMap;

use anyhow::{Context, Error, Result};
use chmu_tests::guest::{Guest, Setup};
use serde_json::Value;

use crate::script::{PAGE_BYTES, Script, Touches};
use crate::watch::{Report, Watch};

/// 8 MiB, so that they lie in several units of 2 MiB.
const PAGES: u64 = 2048;
const TOUCHES: [Touches; 7] = [
    Touches::new(0, 100, 0),
    Touches::new(1, 0, 50),
    Touches::new(7, 64, 64),
    Touches::new(513, 1, 0),
    Touches::new(514, 0, 1),
    Touches::new(1000, 4000, 1000),
    Touches::new(2047, 37, 91),
];

#[test]
fn units_and_counts_are_those_of_the_script() -> Result<()> {
    let mut guest = Guest::boot(&Setup::exact())?;
    // In one epoch or in several: the sum is what counts.
    for unit_size in ["4K", "2M"] {
        let options = ["--unit-size", unit_size, "--threshold=1", "--epoch=300ms"];
        check_counts(&mut guest, &options, |touches| {
            touches.reads + touches.writes
        })?;
    }
    guest.check_kernel(true)?;
    guest.finish()
}

#[test]
fn filters_count_loads_or_stores_only() -> Result<()> {
    let mut guest = Guest::boot(&Setup::exact())?;
    let options = ["--threshold=1", "--epoch=300ms", "--requests"];
    let with = |requests| [&options[..], &[requests]].concat();
    check_counts(&mut guest, &with("non-tee-read"), |touches| touches.reads)?;
    check_counts(&mut guest, &with("non-tee-write"), |touches| touches.writes)?;
    guest.finish()
}

/// Each vCPU has a ring, and what it accesses is counted exactly.
#[test]
fn each_of_sixteen_vcpus_is_counted() -> Result<()> {
    const PROCESSORS: u32 = 16;
    let mut setup = Setup::exact();
    setup.topology.nodes[0].processors = PROCESSORS;
    let mut guest = Guest::boot(&setup)?;
    let scripts = (0..PROCESSORS).map(|processor| {
        let number = u64::from(processor);
        let touches = [Touches::new(number, 100 + number, 10 * number)];
        Script::prepare_on(&mut guest, processor, 16, &touches)
    });
    let scripts = scripts.collect::<Result<Vec<_>>>()?;
    let watch = Watch::start(&mut guest, &["--threshold=1", "--epoch=300ms"])?;
    for script in &scripts {
        script.run(&mut guest)?;
    }
    watch.end_epoch(&mut guest)?;
    let report = watch.stop(&mut guest)?;
    assert!(!report.lost, "{report:?}");
    let base = guest.topology().windows()[0].base.0;
    let mut expected = BTreeMap::new();
    for (number, script) in (0..).zip(&scripts) {
        let dpa = script.frame(number)? * PAGE_BYTES - base;
        expected.insert(("cxl_hmu_mem0.0.0".to_owned(), dpa), 100 + 11 * number);
    }
    assert_eq!(report.counts(), expected);
    let feed = &guest.statistics(0)?["feed"];
    assert_eq!(
        (&feed["lost"], &feed["vcpus_without_ring"]),
        (&0.into(), &0.into())
    );
    for script in scripts {
        script.end(&mut guest)?;
    }
    guest.finish()
}

/// With fewer rings than vCPUs, what the others access is known to be missing.
#[test]
fn vcpus_without_a_ring_are_told() -> Result<()> {
    let mut setup = Setup::exact().with_device("access_rings = 1");
    setup.topology.nodes[0].processors = 2;
    let mut guest = Guest::boot(&setup)?;
    let script = |guest: &mut Guest, processor, reads| {
        Script::prepare_on(guest, processor, 16, &[Touches::new(3, reads, 0)])
    };
    let scripts = [script(&mut guest, 0, 50)?, script(&mut guest, 1, 70)?];
    let watch = Watch::start(&mut guest, &["--threshold=1", "--epoch=300ms"])?;
    for script in &scripts {
        script.run(&mut guest)?;
    }
    watch.end_epoch(&mut guest)?;
    assert_eq!(watch.counted(&mut guest, 0)?, 50);
    watch.stop(&mut guest)?;
    let feed = guest.statistics(0)?["feed"].clone();
    assert_eq!(
        (&feed["lost"], &feed["vcpus_without_ring"]),
        (&70.into(), &1.into())
    );
    for script in scripts {
        script.end(&mut guest)?;
    }
    guest.finish()
}

/// The accounts that the plugin keeps are what the script did, and what the device counted; with a
/// cache they are what came through the rings.
#[test]
fn accounts_are_the_scripts_and_the_devices_counts() -> Result<()> {
    let (reads, writes) = TOUCHES.iter().fold((0, 0), |(reads, writes), touches| {
        (reads + touches.reads, writes + touches.writes)
    });
    for (setup, is_exact) in [(Setup::exact(), true), (Setup::default(), false)] {
        let mut guest = Guest::boot(&setup)?;
        let script = Script::prepare(&mut guest, PAGES, &TOUCHES)?;
        let before = Account::read(&mut guest)?;
        let watch = Watch::start(&mut guest, &["--threshold=1", "--epoch=300ms"])?;
        script.run(&mut guest)?;
        watch.end_epoch(&mut guest)?;
        let counted = watch.counted(&mut guest, 0)?;
        watch.stop(&mut guest)?;
        let after = Account::read(&mut guest)?;
        let in_window = after.window - before.window;
        assert_eq!(
            in_window,
            after.records - before.records,
            "{before:?} {after:?}"
        );
        assert!(in_window > 0, "{before:?} {after:?}");
        if is_exact {
            assert_eq!(after.reads - before.reads, reads);
            assert_eq!(in_window, reads + writes);
            assert_eq!(in_window, counted);
        }
        // The rest of the guest does far more than the script, and each access is an instruction's.
        assert!(after.elsewhere > before.elsewhere, "{before:?} {after:?}");
        let instructions = after.instructions - before.instructions;
        assert!(instructions > reads + writes, "{before:?} {after:?}");
        assert_eq!(after.by_vcpu, after.window + after.elsewhere);
        script.end(&mut guest)?;
        guest.finish()?;
    }
    Ok(())
}

/// What a device's statistics say of requests to memory.
#[derive(Debug)]
struct Account {
    records: u64,
    reads: u64,
    window: u64,
    elsewhere: u64,
    /// The requests of all vCPUs to all memory.
    by_vcpu: u64,
    instructions: u64,
}

impl Account {
    /// Reads them when no unit counts, and so nothing changes.
    fn read(guest: &mut Guest) -> Result<Self> {
        let statistics = guest.wait_for_statistics(0, "a disarmed plugin", |statistics| {
            let feed = &statistics["feed"];
            feed["armed"] == false && feed["acknowledged"] == true
        })?;
        let feed = &statistics["feed"];
        let accounts = &feed["accounts"];
        let number = |value: &Value| value.as_u64().with_context(|| format!("No number: {feed}"));
        let all = |requests: &Value| {
            Ok::<_, Error>(number(&requests["reads"])? + number(&requests["writes"])?)
        };
        let vcpus = accounts["vcpus"].as_array().context("No vCPUs")?;
        let by_vcpu = vcpus
            .iter()
            .map(|vcpu| Ok::<_, Error>(all(&vcpu["windows"][0])? + all(&vcpu["elsewhere"])?));
        Ok(Self {
            records: number(&feed["records"])?,
            reads: number(&accounts["windows"][0]["reads"])?,
            window: all(&accounts["windows"][0])?,
            elsewhere: all(&accounts["elsewhere"])?,
            by_vcpu: by_vcpu.sum::<Result<u64>>()?,
            instructions: number(&accounts["instructions"])?,
        })
    }
}

/// Runs the script under a watch with these options; every unit must have the count that `counted`
/// gives for the pages in it, and no other unit may be there.
fn check_counts(
    guest: &mut Guest,
    options: &[&str],
    counted: impl Fn(&Touches) -> u64,
) -> Result<()> {
    let script = Script::prepare(guest, PAGES, &TOUCHES)?;
    let watch = Watch::start(guest, options)?;
    script.run(guest)?;
    watch.end_epoch(guest)?;
    let total = watch.counted(guest, 0)?;
    let report = watch.stop(guest)?;
    assert!(!report.lost, "{report:?}");
    check_places(guest, &report);
    let unit_bytes = report
        .entries
        .first()
        .context("Nothing is reported")?
        .host_bytes;
    let base = guest.topology().windows()[0].base.0;
    let mut expected = BTreeMap::new();
    for touches in TOUCHES.iter().filter(|touches| counted(touches) > 0) {
        let address = script.frame(touches.page)? * PAGE_BYTES;
        let dpa = (address - base) / unit_bytes * unit_bytes;
        let key = ("cxl_hmu_mem0.0.0".to_owned(), dpa);
        *expected.entry(key).or_insert(0) += counted(touches);
    }
    assert_eq!(report.counts(), expected, "{options:?}");
    assert_eq!(total, expected.values().sum::<u64>());
    script.end(guest)
}

/// One device without interleave: its memory is the window, byte by byte.
fn check_places(guest: &Guest, report: &Report) {
    let base = guest.topology().windows()[0].base.0;
    for entry in &report.entries {
        assert_eq!(entry.hpa, base + entry.dpa, "{entry:?}");
    }
}
