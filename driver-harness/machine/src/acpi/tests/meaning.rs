// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the tables mean together, held against hand-made machines.

use std::fs;

use super::super::ProximityDomain;
use super::super::cedt::Cedt;
use super::super::hmat::Hmat;
use super::super::srat::Srat;
use super::super::tables::{FirmwareTables, Performance};
use super::writer::*;

fn domains(numbers: &[u32]) -> Vec<ProximityDomain> {
    numbers.iter().copied().map(ProximityDomain).collect()
}

fn matrix(data_type: u8, unit: u64, entries: &[u16]) -> Vec<u8> {
    Matrix {
        hierarchy: 0,
        data_type,
        unit,
        initiators: vec![0, 1],
        targets: vec![0, 1, 2],
        entries: entries.to_vec(),
    }
    .bytes()
}

fn machine(entries: &[Vec<u8>], structures: &[Vec<u8>]) -> FirmwareTables {
    FirmwareTables {
        srat: Some(Srat::parse(&srat(3, entries)).unwrap()),
        hmat: Some(Hmat::parse(&hmat(2, structures)).unwrap()),
        ..FirmwareTables::default()
    }
}

fn two_sockets() -> Vec<Vec<u8>> {
    vec![
        processor(0, 0),
        processor(1, 1),
        memory(0, 0, 1 << 30, 1),
        memory(1, 1 << 30, 1 << 30, 1),
        memory(2, 1 << 31, 1 << 30, 3),
    ]
}

#[test]
fn nodes_are_numbered_as_linux_meets_them() {
    let entries = [
        memory(7, 0, 1 << 30, 1),
        memory(3, 1 << 30, 1 << 30, 1),
        // Not enabled: it is not there.
        memory(9, 1 << 31, 1 << 30, 0),
        generic(6, 40, 13),
        processor(3, 0),
        generic(5, 12, 0x100),
        x2apic(4, 1),
        processor(3, 2),
    ];
    assert_eq!(machine(&entries, &[]).numbering(), domains(&[3, 12, 4, 7]));
}

#[test]
fn an_old_srat_has_domains_of_8_bits() {
    let mut processor = processor(0x0102_0304, 1);
    processor[2] = 4;
    let memory = memory(0x0102_0304, 0, 4096, 1);
    let entries = [processor, memory];
    let of = |revision| {
        let tables = FirmwareTables {
            srat: Some(Srat::parse(&srat(revision, &entries)).unwrap()),
            ..FirmwareTables::default()
        };
        tables.numbering()
    };
    assert_eq!(of(1), domains(&[4]));
    assert_eq!(of(2), domains(&[0x0102_0304]));
}

#[test]
fn figures_are_nanoseconds_and_megabytes_per_second() {
    let tables = machine(
        &two_sockets(),
        &[
            matrix(0, 100, &[901, 1400, 0, 1400, 900, 0xffff]),
            matrix(3, 1024, &[200, 100, 30, 100, 200, 20]),
            // Reads are said apart afterwards.
            matrix(1, 1, &[50_001, 0, 60_000, 0, 0, 0]),
        ],
    );
    let of = |from, to| tables.performance(ProximityDomain(from), ProximityDomain(to));
    assert_eq!(
        of(0, 0),
        Performance {
            read_latency_ns: Some(51),
            write_latency_ns: Some(91),
            read_bandwidth_mb_per_s: Some(204_800),
            write_bandwidth_mb_per_s: Some(204_800),
        }
    );
    assert_eq!(of(0, 2).read_latency_ns, Some(60));
    assert_eq!(of(0, 2).write_latency_ns, None);
    assert_eq!(of(1, 2).write_latency_ns, None);
    assert!(of(2, 0).is_unknown());
}

#[test]
fn an_old_hmat_counts_in_tenths() {
    let structures = [
        matrix(0, 10, &[0, 1, 11, 90, 0xffff, 3]),
        matrix(3, 1, &[9, 10, 11, 0, 0, 0]),
    ];
    let tables = FirmwareTables {
        hmat: Some(Hmat::parse(&hmat(1, &structures)).unwrap()),
        ..FirmwareTables::default()
    };
    let of = |from, to| tables.performance(ProximityDomain(from), ProximityDomain(to));
    assert_eq!(of(0, 1).read_latency_ns, Some(1));
    assert_eq!(of(0, 2).read_latency_ns, Some(11));
    assert_eq!(of(1, 0).read_latency_ns, Some(90));
    let bandwidths = [0, 1, 2].map(|to| of(0, to).read_bandwidth_mb_per_s);
    assert_eq!(bandwidths, [None, Some(1), Some(2)]);
}

/// Linux counts in 32 bits and drops what they cannot hold.
#[test]
fn figures_beyond_32_bits_are_unknown() {
    let tables = machine(
        &two_sockets(),
        &[matrix(3, 1 << 31, &[1, 2, 0xfffe, 0, 0, 0])],
    );
    let of = |to| tables.performance(ProximityDomain(0), ProximityDomain(to));
    assert_eq!(of(0).read_bandwidth_mb_per_s, Some(1 << 31));
    assert_eq!(of(1).read_bandwidth_mb_per_s, None);
    assert_eq!(of(2).read_bandwidth_mb_per_s, None);
}

#[test]
fn figures_of_caches_are_not_those_of_memory() {
    let cache = Matrix {
        hierarchy: 1,
        data_type: 0,
        unit: 1000,
        initiators: vec![0],
        targets: vec![2],
        entries: vec![5],
    };
    let tables = machine(&two_sockets(), &[cache.bytes(), side_cache(2, 1 << 28, 0)]);
    let performance = tables.performance(ProximityDomain(0), ProximityDomain(2));
    assert!(performance.is_unknown());
    let cache = tables.hmat.unwrap().caches[0];
    let facts = (cache.memory.0, cache.bytes, cache.levels, cache.level);
    assert_eq!(facts, (2, 1 << 28, 1, 1));
    assert_eq!(cache.line_bytes, 64);
}

#[test]
fn the_nearest_processors_have_the_best_figures() {
    let nearest = |entries: &[u16], extra: &[Vec<u8>]| {
        let structures = [extra, &[matrix(0, 1000, entries)]].concat();
        machine(&two_sockets(), &structures).nearest_processors(ProximityDomain(2))
    };
    assert_eq!(nearest(&[1, 2, 250, 2, 1, 300], &[]), domains(&[0]));
    assert_eq!(nearest(&[1, 2, 300, 2, 1, 250], &[]), domains(&[1]));
    assert_eq!(nearest(&[1, 2, 250, 2, 1, 250], &[]), domains(&[0, 1]));
    assert_eq!(nearest(&[1, 2, 0, 2, 1, 0], &[]), []);
    // Latency says nothing, so bandwidth does.
    let bandwidth = matrix(3, 1, &[9, 9, 20, 9, 9, 30]);
    let same = [1, 2, 250, 2, 1, 250];
    assert_eq!(nearest(&same, &[bandwidth]), domains(&[1]));
    // What the firmware names counts, but not a place without processors.
    let named = [attached(2, Some(1))];
    assert_eq!(nearest(&[1, 2, 250, 2, 1, 300], &named), domains(&[1]));
    let device = [attached(2, Some(2))];
    assert_eq!(nearest(&[1, 2, 250, 2, 1, 300], &device), domains(&[0]));
}

#[test]
fn a_strange_window_does_not_hide_the_others() {
    let table = cedt(&[
        window(0, 1 << 30, (7, 0, 0), &[]),
        window(1 << 32, 1 << 30, (0, 0, 0), &[13]),
    ]);
    let cedt = Cedt::parse(&table).unwrap();
    assert_eq!(cedt.windows[0].interleave, None);
    assert_eq!(cedt.windows[1].targets, [13]);
}

#[test]
fn a_folder_is_read_as_far_as_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let (tables, faults) = FirmwareTables::read(folder.path());
    assert!(tables.is_empty() && faults.is_empty());
    fs::write(folder.path().join("SLIT"), slit(&[vec![10]])).unwrap();
    fs::write(folder.path().join("HMAT"), b"HMAT").unwrap();
    fs::create_dir(folder.path().join("SRAT")).unwrap();
    let (tables, faults) = FirmwareTables::read(folder.path());
    assert!(tables.slit.is_some() && tables.hmat.is_none());
    let messages: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages[0].ends_with("HMAT is broken"), "{}", messages[0]);
    assert!(messages[1].starts_with("Cannot read"), "{}", messages[1]);
}
