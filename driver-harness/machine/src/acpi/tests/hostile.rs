// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Tables that somebody damaged: refused with table, byte and fault, or understood; never a panic.

use proptest::prelude::*;

use super::super::cedt::Cedt;
use super::super::hmat::Hmat;
use super::super::slit::Slit;
use super::super::srat::Srat;
use super::super::table::TableError;
use super::writer::*;

type Parse = fn(&[u8]) -> Result<(), TableError>;

const PARSERS: [(&str, Parse); 4] = [
    ("SRAT", |bytes| Srat::parse(bytes).map(drop)),
    ("SLIT", |bytes| Slit::parse(bytes).map(drop)),
    ("HMAT", |bytes| Hmat::parse(bytes).map(drop)),
    ("CEDT", |bytes| Cedt::parse(bytes).map(drop)),
];

fn parser(name: &str) -> Parse {
    PARSERS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Where a table's lengths and counts are, with their bytes.
type Lengths = Vec<(usize, usize)>;

/// A table of each kind with every structure.
fn samples() -> Vec<(&'static str, Vec<u8>, Lengths)> {
    let matrix = Matrix {
        hierarchy: 0,
        data_type: 0,
        unit: 1000,
        initiators: vec![0, 1],
        targets: vec![0, 1, 2],
        entries: vec![90, 140, 250, 140, 90, 0xffff],
    };
    let hmat = hmat(
        2,
        &[
            attached(2, Some(0)),
            matrix.bytes(),
            side_cache(2, 1 << 30, 3),
        ],
    );
    // Structures at 40, 80 and 80 + 32 + 20 + 12.
    let hmat_lengths = vec![
        (4, 4),
        (44, 4),
        (84, 4),
        (92, 4),
        (96, 4),
        (148, 4),
        (174, 2),
    ];
    let srat = srat(
        3,
        &[
            processor(0, 1),
            x2apic(1, 300),
            memory(0, 0, 1 << 30, 1),
            generic(5, 2, 0x3500),
            generic(6, 3, 13),
        ],
    );
    let srat_lengths = vec![(4, 4), (49, 1), (65, 1), (89, 1), (129, 1), (161, 1)];
    let slit = slit(&[vec![10, 20], vec![20, 10]]);
    let cedt = cedt(&[
        host_bridge(13, 0x1_0000),
        window(1 << 32, 1 << 30, (1, 1, 0), &[13, 14]),
        xor_maps(0, &[0x4100]),
    ]);
    let cedt_lengths = vec![(4, 4), (38, 2), (70, 2), (114, 2), (119, 1)];
    vec![
        ("HMAT", hmat, hmat_lengths),
        ("SRAT", srat, srat_lengths),
        ("SLIT", slit, vec![(4, 4), (36, 8)]),
        ("CEDT", cedt, cedt_lengths),
    ]
}

#[test]
fn the_samples_are_right() {
    for (name, table, _) in samples() {
        assert_eq!(parser(name)(&table), Ok(()), "{name}");
    }
}

#[test]
fn a_table_cut_at_any_byte_is_refused() {
    for (name, table, _) in samples() {
        for length in 0..table.len() {
            let error = parser(name)(&table[..length]).unwrap_err();
            assert_eq!(error.table, name);
            assert!(error.offset <= length, "{error}");
        }
    }
}

/// The header is right again, so that the structures have to notice.
#[test]
fn a_table_cut_at_any_byte_and_sealed_again_is_refused_inside_a_structure() {
    for (name, table, _) in samples() {
        let parse = parser(name);
        let mut understood = Vec::new();
        for length in 36..table.len() {
            let mut cut = table[..length].to_vec();
            cut[4..8].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
            seal(&mut cut);
            match parse(&cut) {
                Ok(()) => understood.push(length),
                Err(error) => assert!(error.offset <= length, "{error}"),
            }
        }
        // Between structures there is nothing to notice.
        let expected: &[usize] = match name {
            "HMAT" => &[40, 80, 144],
            "SRAT" => &[48, 64, 88, 128, 160],
            "CEDT" => &[36, 68, 112],
            _ => &[],
        };
        assert_eq!(understood, expected, "{name}");
    }
}

#[test]
fn every_length_that_lies_is_refused() {
    for (name, table, lengths) in samples() {
        for (at, bytes) in lengths {
            let honest = table[at..at + bytes].to_vec();
            let zero = vec![0; bytes];
            let huge = vec![0xff; bytes];
            let mut one_more = honest.clone();
            one_more[0] = one_more[0].wrapping_add(1);
            let mut one_less = honest.clone();
            one_less[0] = one_less[0].wrapping_sub(1);
            for lie in [zero, huge, one_more, one_less] {
                let mut broken = table.clone();
                broken[at..at + bytes].copy_from_slice(&lie);
                seal(&mut broken);
                // Fewer figures, maps or handles than there is room for are no lie.
                let may_be_less = matches!((name, at), ("HMAT", 92 | 96 | 174) | ("CEDT", 119));
                match parser(name)(&broken) {
                    Ok(()) => assert!(may_be_less && lie <= honest, "{name} at {at}: {lie:?}"),
                    Err(error) => assert!(!error.fault.is_empty() && error.offset < table.len()),
                }
            }
        }
    }
}

#[test]
fn refusals_say_table_byte_and_fault() {
    let slit_table = slit(&[vec![10, 20], vec![9, 10]]);
    let message = |bytes: &[u8], name| parser(name)(bytes).unwrap_err().to_string();
    assert_eq!(
        message(&slit_table, "SLIT"),
        "SLIT at byte 0x2e: the distance from 1 to 0 is 9; it is 10 to oneself and more to all \
         others"
    );
    let mut flipped = slit(&[vec![10]]);
    flipped[20] ^= 1;
    let expected = "SLIT at byte 0x9: the checksum is wrong: all bytes sum up to";
    assert!(message(&flipped, "SLIT").starts_with(expected));
    assert_eq!(
        message(&slit(&[vec![10]]), "HMAT"),
        "HMAT at byte 0x0: the signature is \"SLIT\""
    );
    assert_eq!(
        message(b"CEDT", "CEDT"),
        "CEDT at byte 0x0: a table's header has 36 bytes, but there are 4"
    );
    let beyond = srat(3, &[memory(0, u64::MAX, 4096, 1)]);
    assert_eq!(
        message(&beyond, "SRAT"),
        "SRAT at byte 0x40: 0x1000 bytes of memory from 0xffffffffffffffff on end beyond 64 bits"
    );
}

proptest! {
    #[test]
    fn random_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for (_, parse) in PARSERS {
            let _refused = parse(&bytes);
        }
    }

    /// Behind a header that is right.
    #[test]
    fn random_content_is_no_panic(
        content in proptest::collection::vec(any::<u8>(), 0..400),
        revision in 0_u8..4,
    ) {
        for (name, parse) in PARSERS {
            let signature = name.as_bytes().first_chunk().unwrap();
            let _outcome = parse(&table(signature, revision, &content));
        }
    }

    #[test]
    fn changed_bytes_are_no_panic(
        sample in 0_usize..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (name, mut table, _) = samples().swap_remove(sample);
        for (index, value) in changes {
            let at = index.index(table.len());
            table[at] = value;
        }
        let length = u32::try_from(table.len()).unwrap();
        table[4..8].copy_from_slice(&length.to_le_bytes());
        table[..4].copy_from_slice(name.as_bytes());
        seal(&mut table);
        if let Err(error) = parser(name)(&table) {
            prop_assert!(error.offset <= table.len());
        }
    }
}
