// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use chmu_machine::memory::{PAGE_LINES, PAGE_WORDS};
use proptest::prelude::*;

use super::*;

/// A workload in ordinary memory: sandboxes often forbid memory policies.
fn workload(pages: u64, seed: u64) -> Workload {
    let mut buffer = Pages::make(&Backing::Anonymous, pages).unwrap();
    let pattern = Pattern { seed };
    for page in 0..pages {
        for place in 0..PAGE_WORDS {
            buffer.write(page, place, pattern.word(page, place, 0));
        }
    }
    Workload {
        buffer,
        file: None,
        pattern,
        node: NodeId(0),
        expectation: Expectation::of(pattern, pages).unwrap(),
        accesses: Accesses::default(),
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
fn a_lost_write_is_found_by_the_next_access_to_its_word() {
    for direction in [Direction::Read, Direction::Write] {
        let mut workload = workload(2, 1);
        let touch = Touch {
            page: 1,
            line: 1,
            direction: Direction::Write,
        };
        let before = workload.buffer.read(1, 8);
        workload.touch(touch);
        workload.touch(touch);
        assert_eq!(workload.checks().wrong_words, 0);
        workload.buffer.write(1, 8, before);
        workload.touch(Touch { direction, ..touch });
        let checks = workload.checks();
        assert_eq!((checks.words_checked, checks.wrong_words), (3, 1));
        assert_eq!(
            (checks.outdated_words, checks.examples[0].writes_missing),
            (1, Some(2))
        );
        // A write heals the word, so that only what is lost later is found again.
        let healed = u64::from(direction == Direction::Read);
        workload.touch(touch);
        assert_eq!(workload.checks().wrong_words, 1 + healed);
    }
}

#[test]
fn content_of_another_page_is_found_by_the_next_access() {
    let mut workload = workload(2, 1);
    let other = workload.buffer.read(0, 8);
    workload.buffer.write(1, 8, other);
    (0..40).for_each(|_| {
        workload.touch(Touch {
            page: 1,
            line: 1,
            direction: Direction::Read,
        });
    });
    let checks = workload.checks();
    assert_eq!((checks.wrong_words, checks.outdated_words), (40, 0));
    assert_eq!(checks.examples.len(), 16);
}

#[test]
fn an_exact_store_is_nothing_but_a_store() {
    let mut workload = workload(1, 1);
    workload.buffer.write(0, 8, 5);
    let touch = |direction| Touch {
        page: 0,
        line: 1,
        direction,
    };
    workload.touch_exactly(touch(Direction::Write));
    assert_eq!(workload.checks().words_checked, 0);
    workload.touch_exactly(touch(Direction::Read));
    assert_eq!(workload.checks().words_checked, 1);
    assert_eq!(workload.verify().corrupt_pages, 0);
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
    let first = workload.buffer.address();
    assert_eq!(state.page_addresses(), backing::addresses(first, 4));
    assert_eq!((state.pages, state.seed), (4, 9));
}
