// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a firmware writes is what is read.

use chmu_spec::address::Hpa;
use chmu_spec::interleave::Interleave;
use proptest::prelude::*;

use super::super::ProximityDomain;
use super::super::cedt::{Arithmetic, Cedt, HostBridge, Window, XorMaps};
use super::super::hmat::{DataType, Figure, Hmat};
use super::super::slit::Slit;
use super::super::srat::{Affinity, DeviceHandle, MemoryAffinity, ProcessorId, Srat};
use super::writer;

const DATA_TYPES: [DataType; 6] = [
    DataType::AccessLatency,
    DataType::ReadLatency,
    DataType::WriteLatency,
    DataType::AccessBandwidth,
    DataType::ReadBandwidth,
    DataType::WriteBandwidth,
];

/// What a firmware says and what is to be understood.
fn entries() -> impl Strategy<Value = (Vec<u8>, Option<Affinity>)> {
    let domain = any::<u32>();
    prop_oneof![
        (domain, any::<u8>()).prop_map(|(domain, apic)| {
            let id = ProcessorId::Apic(apic);
            let domain_read = ProximityDomain(domain);
            let read = Affinity::Processor {
                domain: domain_read,
                id,
            };
            (writer::processor(domain, apic), Some(read))
        }),
        (domain, any::<u32>()).prop_map(|(domain, id)| {
            let read = Affinity::Processor {
                domain: ProximityDomain(domain),
                id: ProcessorId::X2apic(id),
            };
            (writer::x2apic(domain, id), Some(read))
        }),
        (domain, 0..1_u64 << 52, 0..1_u64 << 48, 0..8_u32).prop_map(
            |(domain, base, bytes, flags)| {
                let read = Affinity::Memory(MemoryAffinity {
                    domain: ProximityDomain(domain),
                    base: Hpa(base),
                    bytes,
                    hot_pluggable: flags & 2 != 0,
                    non_volatile: flags & 4 != 0,
                });
                let written = writer::memory(domain, base, bytes, flags);
                (written, (flags & 1 != 0).then_some(read))
            }
        ),
        (domain, any::<u16>()).prop_map(|(domain, function)| {
            let read = Affinity::Initiator {
                domain: ProximityDomain(domain),
                handle: DeviceHandle::Pci {
                    segment: 0,
                    function,
                },
            };
            (writer::generic(5, domain, function), Some(read))
        }),
        (domain, any::<u16>()).prop_map(|(domain, uid)| {
            let read = Affinity::Port {
                domain: ProximityDomain(domain),
                handle: DeviceHandle::Acpi {
                    hid: *b"ACPI0016",
                    uid: uid.into(),
                },
            };
            (writer::generic(6, domain, uid), Some(read))
        }),
        // A type that is not known.
        (32..100_u8).prop_map(|kind| (vec![kind, 6, 1, 2, 3, 4], None)),
    ]
}

fn matrices() -> impl Strategy<Value = writer::Matrix> {
    (1..5_usize, 1..6_usize, 0..6_u8, 0..4_u8, 1..2000_u64).prop_flat_map(
        |(rows, columns, data_type, hierarchy, unit)| {
            let entry = prop_oneof![Just(0_u16), Just(0xffff), any::<u16>()];
            proptest::collection::vec(entry, rows * columns).prop_map(move |entries| {
                let domain = |first: usize| move |index| u32::try_from(first + index).unwrap();
                writer::Matrix {
                    hierarchy,
                    data_type,
                    unit,
                    initiators: (0..rows).map(domain(0)).collect(),
                    targets: (0..columns).map(domain(100)).collect(),
                    entries,
                }
            })
        },
    )
}

/// By ACPI's words, in wide numbers.
fn expected_figure(entry: u16, matrix: &writer::Matrix) -> Figure {
    let raw = u128::from(entry) * u128::from(matrix.unit);
    match entry {
        0xffff => Figure::Unreachable,
        0 => Figure::Unknown,
        _ if matrix.data_type < 3 => Figure::Value(u32::try_from(raw.div_ceil(1000)).unwrap()),
        _ => Figure::Value(u32::try_from(raw).unwrap()),
    }
}

proptest! {
    #[test]
    fn srat_is_read_as_written(entries in proptest::collection::vec(entries(), 0..20)) {
        let (written, read): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let srat = Srat::parse(&writer::srat(3, &written)).unwrap();
        prop_assert_eq!(srat.entries, read.into_iter().flatten().collect::<Vec<_>>());
    }

    #[test]
    fn hmat_is_read_as_written(
        matrices in proptest::collection::vec(matrices(), 0..6),
        attached in proptest::collection::vec((any::<u32>(), any::<Option<u32>>()), 0..6),
    ) {
        let structures = attached.iter().map(|(memory, by)| writer::attached(*memory, *by));
        let structures = structures.chain(matrices.iter().map(writer::Matrix::bytes));
        let table = writer::hmat(2, &structures.collect::<Vec<_>>());
        let hmat = Hmat::parse(&table).unwrap();
        let found: Vec<_> = hmat
            .attributes
            .iter()
            .map(|one| (one.memory.0, one.initiator.map(|initiator| initiator.0)))
            .collect();
        prop_assert_eq!(found, attached);
        prop_assert_eq!(hmat.localities.len(), matrices.len());
        for (locality, matrix) in hmat.localities.iter().zip(&matrices) {
            prop_assert_eq!(locality.data_type, DATA_TYPES[usize::from(matrix.data_type)]);
            let mut entries = matrix.entries.iter();
            for from in &matrix.initiators {
                for to in &matrix.targets {
                    let figure = locality.figure(ProximityDomain(*from), ProximityDomain(*to));
                    let expected = expected_figure(*entries.next().unwrap(), matrix);
                    prop_assert_eq!(figure, Some(expected));
                }
            }
            prop_assert_eq!(locality.figure(ProximityDomain(99), ProximityDomain(100)), None);
        }
    }

    #[test]
    fn slit_is_read_as_written(
        rows in (1..8_usize).prop_flat_map(|count| {
            let row = proptest::collection::vec(11_u8.., count);
            proptest::collection::vec(row, count)
        }),
    ) {
        let mut rows = rows;
        for (index, row) in rows.iter_mut().enumerate() {
            row[index] = 10;
        }
        let slit = Slit::parse(&writer::slit(&rows)).unwrap();
        prop_assert_eq!(slit.localities(), rows.len());
        for (from, row) in (0..).zip(&rows) {
            for (to, distance) in (0..).zip(row) {
                let found = slit.distance(ProximityDomain(from), ProximityDomain(to));
                prop_assert_eq!(found, Some(*distance));
            }
        }
        let beyond = ProximityDomain(u32::try_from(rows.len()).unwrap());
        prop_assert_eq!(slit.distance(ProximityDomain(0), beyond), None);
        prop_assert_eq!(slit.distance(beyond, ProximityDomain(0)), None);
    }

    #[test]
    fn cedt_is_read_as_written(
        uid: u32,
        registers: u64,
        (base, bytes) in (0..1_u64 << 52, 0..1_u64 << 48),
        ways in proptest::sample::select(vec![0_u8, 1, 2, 3, 4, 8, 9, 10]),
        granularity in 0..7_u8,
        arithmetic in 0..4_u8,
        maps in proptest::collection::vec(any::<u64>(), 0..5),
        targets in proptest::collection::vec(any::<u32>(), 16),
    ) {
        let interleave = Interleave::from_codes(ways, granularity).unwrap();
        let targets = &targets[..usize::from(interleave.ways())];
        let table = writer::cedt(&[
            writer::window(base, bytes, (ways, arithmetic, granularity), targets),
            writer::xor_maps(granularity, &maps),
            vec![77, 0, 6, 0, 1, 2],
            writer::host_bridge(uid, registers),
        ]);
        let window = Window {
            base: Hpa(base),
            bytes,
            interleave: Some(interleave),
            arithmetic: match arithmetic {
                0 => Arithmetic::Modulo,
                1 => Arithmetic::Xor,
                other => Arithmetic::Reserved(other),
            },
            targets: targets.to_vec(),
        };
        let expected = Cedt {
            bridges: vec![HostBridge { uid, registers: Hpa(registers), bytes: 0x1_0000 }],
            windows: vec![window.clone()],
            xor_maps: vec![XorMaps {
                granularity_bytes: interleave.granularity_bytes(),
                maps: maps.clone(),
            }],
        };
        let cedt = Cedt::parse(&table).unwrap();
        prop_assert_eq!(&cedt, &expected);
        let needed = match interleave.ways() { 1 | 3 => 0, 2 | 6 => 1, 4 | 12 => 2, 8 => 3, _ => 4 };
        prop_assert_eq!(cedt.xor_maps_of(&window), maps.get(..needed));
    }
}
