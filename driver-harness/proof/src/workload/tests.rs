// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use chmu_machine::memory::PAGE_WORDS;
use proptest::prelude::*;

use super::*;

/// A workload in ordinary memory: sandboxes often forbid memory policies.
fn workload(pages: u64, seed: u64) -> Workload {
    let mut buffer = Buffer::map(pages).unwrap();
    let pattern = Pattern { seed };
    for page in 0..pages {
        for place in 0..PAGE_WORDS {
            buffer.write(page, place, pattern.word(page, place, 0));
        }
    }
    let lines = usize::try_from(buffer.lines()).unwrap();
    Workload {
        buffer,
        pattern,
        node: NodeId(0),
        writes: vec![0; lines],
        accesses: Accesses::default(),
        last_word: 0,
    }
}

fn touches(pages: u64) -> impl Strategy<Value = Vec<Touch>> {
    let touch = (0..pages, 0..PAGE_LINES, any::<bool>()).prop_map(|(page, line, write)| Touch {
        page,
        line,
        direction: match write {
            true => Direction::Write,
            false => Direction::Read,
        },
    });
    proptest::collection::vec(touch, 0..200)
}

proptest! {
    #[test]
    fn touched_pages_stay_whole(touches in touches(3), seed: u64) {
        let mut workload = workload(3, seed);
        let writes = touches
            .iter()
            .filter(|touch| touch.direction == Direction::Write)
            .count() as u64;
        for &touch in &touches {
            workload.touch(touch);
        }
        let reads = touches.len() as u64 - writes;
        prop_assert_eq!(workload.accesses(), Accesses { reads, writes });
        let verification = workload.verify();
        prop_assert_eq!(verification.pages_checked, 3);
        prop_assert_eq!(verification.corrupt_pages, 0);
    }

    #[test]
    fn any_other_word_is_found(page in 0..3_u64, place in 0..PAGE_WORDS, change in 1..=u64::MAX) {
        let mut workload = workload(3, 1);
        let expected = workload.buffer.read(page, place);
        let found = expected ^ change;
        workload.buffer.write(page, place, found);
        let verification = workload.verify();
        prop_assert_eq!(verification.corrupt_pages, 1);
        let wrong = WrongWord { page, place, expected, found };
        prop_assert_eq!(verification.wrong_words, vec![wrong]);
    }
}

#[test]
fn a_lost_write_is_found() {
    let mut workload = workload(2, 1);
    let before = workload.buffer.read(1, 8);
    workload.touch(Touch {
        page: 1,
        line: 1,
        direction: Direction::Write,
    });
    assert_eq!(workload.verify().corrupt_pages, 0);
    workload.buffer.write(1, 8, before);
    assert_eq!(workload.verify().corrupt_pages, 1);
}

#[test]
fn exchanged_pages_are_found() {
    let mut workload = workload(2, 1);
    for place in 0..PAGE_WORDS {
        let [first, second] = [0, 1].map(|page| workload.buffer.read(page, place));
        workload.buffer.write(0, place, second);
        workload.buffer.write(1, place, first);
    }
    assert_eq!(workload.verify().corrupt_pages, 2);
}

#[test]
fn the_state_names_the_pages() {
    let workload = workload(4, 9);
    let state = workload.state(&[3, 1]);
    assert_eq!(state.hot_pages, [1, 3]);
    assert_eq!(state.page_addresses(), workload.buffer.page_addresses());
    assert_eq!((state.pages, state.seed), (4, 9));
}
