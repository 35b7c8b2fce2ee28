// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the watcher makes of looks, against worlds in which all is known.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;
use proptest::prelude::*;

use super::*;

const SLOW: NodeId = NodeId(1);
const WINDOW: std::ops::Range<u64> = 1000..2000;
const SECOND_NS: u64 = 1_000_000_000;

/// A second each.
fn look(second: u64, map: &[(u64, u64)], counts: &[(u64, u64)]) -> Look {
    let map: BTreeMap<_, _> = map
        .iter()
        .map(|(page, frame)| (*page, Pfn(*frame)))
        .collect();
    Look {
        time_ns: second * SECOND_NS,
        before: map.clone(),
        counts: counts.iter().copied().collect(),
        after: map,
    }
}

fn watch(looks: &[Look]) -> Watcher {
    let mut watcher = Watcher::new(vec![WINDOW]);
    for look in looks {
        watcher.look(look, |_| Some(SLOW));
    }
    watcher
}

#[test]
fn counts_before_a_page_was_there_are_not_its_own() {
    let watcher = watch(&[
        look(1, &[(0x1000, 1000)], &[(1000, 7), (1001, 90)]),
        look(
            2,
            &[(0x1000, 1000), (0x2000, 1001)],
            &[(1000, 9), (1001, 100)],
        ),
        look(
            3,
            &[(0x1000, 1000), (0x2000, 1001)],
            &[(1000, 9), (1001, 130)],
        ),
    ]);
    let found: Vec<_> = watcher
        .pages()
        .iter()
        .map(|page| {
            (
                page.address,
                page.seen_ns / SECOND_NS,
                page.sure,
                page.possible,
            )
        })
        .collect();
    assert_eq!(found, [(0x1000, 1, 2, 2), (0x2000, 2, 30, 30)]);
}

#[test]
fn what_was_counted_while_a_page_left_is_possible_and_no_more_is() {
    let watcher = watch(&[
        look(1, &[(0x1000, 1000)], &[]),
        look(2, &[(0x1000, 1000)], &[(1000, 5)]),
        // It is on faster memory; the copy has read the frame.
        look(3, &[(0x1000, 5)], &[(1000, 69)]),
        // Somebody else has the frame.
        look(4, &[(0x1000, 5)], &[(1000, 9069)]),
    ]);
    let [page] = watcher.pages() else {
        panic!("{watcher:?}")
    };
    assert_eq!((page.sure, page.possible), (5, 69));
    let left = Left {
        after_ns: 2 * SECOND_NS,
        by_ns: 3 * SECOND_NS,
    };
    assert_eq!((page.left, page.is_last), (Some(left), true));
}

#[test]
fn a_page_that_moves_between_the_map_and_the_counts_is_not_believed() {
    let mut moving = look(2, &[(0x1000, 1000)], &[(1000, 50)]);
    moving.after.insert(0x1000, Pfn(5));
    let watcher = watch(&[look(1, &[(0x1000, 1000)], &[]), moving]);
    assert_eq!(
        (watcher.pages()[0].sure, watcher.pages()[0].possible),
        (0, 50)
    );
    let mut coming = look(1, &[(0x1000, 5)], &[(1000, 50)]);
    coming.after.insert(0x1000, Pfn(1000));
    assert_eq!(watch(&[coming]).pages(), []);
}

#[test]
fn a_page_that_comes_back_is_another_one() {
    let watcher = watch(&[
        look(1, &[(0x1000, 1000)], &[]),
        look(2, &[(0x1000, 5)], &[(1000, 64)]),
        look(3, &[(0x1000, 1004)], &[(1000, 64), (1004, 70)]),
        look(4, &[(0x1000, 1004)], &[(1000, 64), (1004, 71)]),
    ]);
    let found: Vec<_> = watcher
        .pages()
        .iter()
        .map(|page| (page.frame, page.is_last, page.sure, page.possible))
        .collect();
    assert_eq!(found, [(1000, false, 0, 64), (1004, true, 1, 1)]);
}

fn page(sure: u64, possible: u64) -> ObservedPage {
    ObservedPage {
        address: 0,
        frame: 1000,
        node: SLOW,
        seen_ns: 5,
        left: None,
        is_last: true,
        sure,
        possible,
        most_in_a_second: 0,
    }
}

#[test]
fn a_page_is_hot_or_cold_only_when_nothing_unknown_can_change_it() {
    let rates = Rates {
        hot_from: 200,
        cold_below: 50,
    };
    let end_ns = |seconds: u64| 5 + seconds * SECOND_NS;
    let seen = |seconds, sure, possible, missing| {
        page(sure, possible).seen(rates, end_ns(seconds), missing)
    };
    assert_eq!(seen(10, 2000, 2000, Some(0)), Seen::Hot);
    assert_eq!(seen(10, 2000, 2000, None), Seen::Hot);
    assert_eq!(seen(10, 1999, 1999, Some(0)), Seen::Unclear);
    assert_eq!(seen(10, 0, 499, Some(0)), Seen::Cold);
    assert_eq!(seen(10, 0, 499, Some(1)), Seen::Unclear);
    assert_eq!(seen(10, 0, 0, None), Seen::Unclear);
    assert_eq!(seen(10, 0, 500, Some(0)), Seen::Unclear);
    // After three seconds a copy alone may be above what a cold page has.
    assert_eq!(seen(3, 0, 0, Some(0)), Seen::Unclear);
    assert_eq!(seen(4, 0, 64, Some(0)), Seen::Cold);
    assert_eq!(seen(0, 0, 0, Some(0)), Seen::Unclear);
    assert_eq!(seen(0, 5000, 5000, Some(0)), Seen::Unclear);
    // A page that left is judged by the time that it was there.
    let left = ObservedPage {
        left: Some(Left {
            after_ns: end_ns(1),
            by_ns: end_ns(9),
        }),
        ..page(300, 364)
    };
    assert_eq!(left.seen(rates, end_ns(20), Some(0)), Seen::Hot);
    let early = ObservedPage {
        sure: 0,
        possible: 64,
        most_in_a_second: 64,
        ..left
    };
    assert_eq!(early.seen(rates, end_ns(20), Some(0)), Seen::Unclear);
    // Four accesses a second over its life, and hot for one second of it.
    let burst = |most_in_a_second| {
        let page = ObservedPage {
            most_in_a_second,
            ..page(0, 240)
        };
        page.seen(rates, end_ns(60), Some(100))
    };
    assert_eq!(burst(240), Seen::Unclear);
    assert_eq!(burst(199), Seen::Cold);
}

/// However low the rate that is hot: what a move reads is no heat, and what a page had before is some.
#[test]
fn a_copy_is_no_burst_and_a_burst_before_it_is_one() {
    let rates = Rates {
        hot_from: 48,
        cold_below: 12,
    };
    let moved = |burst: u64| {
        let there = [(0x1000, 1000)];
        let watcher = watch(&[
            look(1, &there, &[]),
            look(20, &there, &[(1000, burst)]),
            look(40, &there, &[(1000, burst)]),
            look(41, &[(0x1000, 5)], &[(1000, burst + FOREIGN_ACCESSES)]),
        ]);
        watcher.pages()[0].seen(rates, 41 * SECOND_NS, Some(0))
    };
    assert_eq!(moved(0), Seen::Cold);
    assert_eq!(moved(47), Seen::Cold);
    // A device that counts for a second reports it.
    assert_eq!(moved(48), Seen::Unclear);
}

/// The most events of `times_ns` within `span_ns` of one of them.
fn busiest(times_ns: &[u64], span_ns: u64) -> u64 {
    let within = |start: &u64| {
        let times = times_ns.iter();
        times
            .filter(|time| (*start..start.saturating_add(span_ns)).contains(time))
            .count() as u64
    };
    times_ns.iter().map(within).max().unwrap_or(0)
}

proptest! {
    /// No second had more accesses than is said, and what is said did happen within two seconds, two
    /// looks apart from them.
    #[test]
    fn the_busiest_second_is_bounded_from_both_sides(
        accesses in prop::collection::vec(0..20_000_u64, 0..60),
        gaps in prop::collection::vec(1..4_000_u64, 1..40),
    ) {
        let mut accesses_ns: Vec<_> = accesses.iter().map(|time| time * 1_000_000).collect();
        accesses_ns.sort_unstable();
        let mut watcher = Watcher::new(vec![WINDOW]);
        let mut time_ns = 0;
        let mut first_ns = None;
        for gap in &gaps {
            time_ns += gap * 1_000_000;
            first_ns.get_or_insert(time_ns);
            let count = accesses_ns.iter().filter(|access| **access < time_ns).count() as u64;
            let mut look = look(0, &[(0x1000, 1000)], &[(1000, count)]);
            look.time_ns = time_ns;
            watcher.look(&look, |_| Some(SLOW));
        }
        let watched = first_ns.unwrap()..time_ns;
        accesses_ns.retain(|access| watched.contains(access));
        let said = watcher.pages()[0].most_in_a_second;
        let longest_ns = gaps.iter().max().unwrap() * 1_000_000;
        prop_assert!(said >= busiest(&accesses_ns, SECOND_NS));
        prop_assert!(said <= busiest(&accesses_ns, 2 * (SECOND_NS + longest_ns)));
    }
}

/// A process's pages in a world that is known.
#[derive(Debug, Clone, Copy)]
enum Act {
    Access(u64, u64),
    Move(u64, u64),
    Unmap(u64),
    /// Somebody else accesses a frame.
    Stranger(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let frame = prop_oneof![3 => 1000..1010_u64, 1 => 0..10_u64];
    prop_oneof![
        6 => (0..4_u64, 1..9_u64).prop_map(|(page, times)| Act::Access(page, times)),
        2 => (0..4_u64, frame.clone()).prop_map(|(page, frame)| Act::Move(page, frame)),
        1 => (0..4_u64).prop_map(Act::Unmap),
        1 => frame.prop_map(Act::Stranger),
    ]
}

/// The world, with the accesses of each page by the frame in which they happened.
#[derive(Debug, Default)]
struct World {
    map: BTreeMap<u64, u64>,
    counts: BTreeMap<u64, u64>,
    /// Accesses by page while it was in its present frame.
    own: BTreeMap<u64, u64>,
}

impl World {
    fn act(&mut self, act: Act) {
        match act {
            Act::Access(page, times) => {
                if let Some(frame) = self.map.get(&page) {
                    *self.own.entry(page).or_default() += times;
                    *self.counts.entry(*frame).or_default() += times;
                }
            }
            Act::Move(page, frame) => {
                // Two pages are never in one frame.
                if self.map.values().all(|taken| *taken != frame) {
                    self.map.insert(page, frame);
                    self.own.insert(page, 0);
                }
            }
            Act::Unmap(page) => {
                self.map.remove(&page);
            }
            Act::Stranger(frame) => {
                if self.map.values().all(|taken| *taken != frame) {
                    *self.counts.entry(frame).or_default() += 1;
                }
            }
        }
    }

    fn frames(&self) -> BTreeMap<u64, Pfn> {
        let map = self.map.iter();
        map.map(|(page, frame)| (page * 4096, Pfn(*frame)))
            .collect()
    }

    /// As a device counts: only in its window.
    fn counted(&self) -> BTreeMap<u64, u64> {
        let counts = self
            .counts
            .iter()
            .filter(|(frame, _)| WINDOW.contains(frame));
        counts.map(|(frame, count)| (*frame, *count)).collect()
    }
}

proptest! {
    /// A page that never leaves: what is sure is what it did. Any page: nothing is sure that others did.
    #[test]
    fn what_is_sure_is_the_pages_own(
        rounds in prop::collection::vec(prop::collection::vec(act(), 0..8), 1..12),
    ) {
        let mut world = World::default();
        world.map.extend([(0, 1000), (1, 1001), (2, 1002), (3, 3)]);
        let mut watcher = Watcher::new(vec![WINDOW]);
        // All that happened to each frame while each page was in it, whoever did it.
        let mut stays = true;
        let mut own_at_first = 0;
        for (second, acts) in (1..).zip(&rounds) {
            let look = Look {
                time_ns: second * SECOND_NS,
                before: world.frames(),
                counts: world.counted(),
                after: world.frames(),
            };
            watcher.look(&look, |_| Some(SLOW));
            if second == 1 {
                own_at_first = world.own.get(&0).copied().unwrap_or(0);
            }
            for act in acts {
                stays &= !matches!(act, Act::Move(0, _) | Act::Unmap(0));
                world.act(*act);
            }
        }
        let last = Look {
            time_ns: 100 * SECOND_NS,
            before: world.frames(),
            counts: world.counted(),
            after: world.frames(),
        };
        watcher.look(&last, |_| Some(SLOW));
        for page in watcher.pages() {
            prop_assert!(page.sure <= page.possible);
            prop_assert!(page.possible <= world.counts.get(&page.frame).copied().unwrap_or(0));
            prop_assert_eq!(page.left.is_none(), page.is_last && page.left.is_none());
        }
        if stays {
            let first = &watcher.pages()[0];
            let own = world.own.get(&0).copied().unwrap_or(0) - own_at_first;
            prop_assert_eq!((first.sure, first.possible), (own, own));
            prop_assert!(first.left.is_none());
        }
        let lasting = watcher.pages().iter().filter(|page| page.is_last).count();
        let addresses: std::collections::BTreeSet<_> =
            watcher.pages().iter().map(|page| page.address).collect();
        prop_assert_eq!(lasting, addresses.len());
    }
}

#[test]
fn a_file_is_read_back_and_one_that_contradicts_itself_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observed.json");
    let observation = observation();
    observation.publish(&path).unwrap();
    assert_eq!(Observation::read(&path).unwrap(), observation);
    type Change = fn(&mut Observation);
    let changes: [Change; 5] = [
        |observation| observation.v = 1,
        |observation| observation.pages[0].most_in_a_second = 65,
        |observation| observation.pages[0].sure = 65,
        |observation| observation.pages[0].seen_ns = 99 * SECOND_NS,
        |observation| observation.end_ns = 0,
    ];
    for change in changes {
        let mut changed = observation.clone();
        change(&mut changed);
        changed.publish(&path).unwrap();
        let error = Observation::read(&path).unwrap_err();
        assert!(
            matches!(error, ObservationError::Contradiction { .. }),
            "{error}"
        );
    }
    for field in ["v", "gaps", "large_folios", "process_start_ticks", "pages"] {
        let mut object = serde_json::json!(observation);
        object.as_object_mut().unwrap().remove(field);
        std::fs::write(&path, object.to_string()).unwrap();
        let error = Observation::read(&path).unwrap_err();
        assert!(matches!(error, ObservationError::Content { .. }), "{field}");
    }
    let mut object = serde_json::json!(observation);
    object["pages"][0].as_object_mut().unwrap().remove("left");
    std::fs::write(&path, object.to_string()).unwrap();
    assert!(Observation::read(&path).is_err());
}

fn observation() -> Observation {
    Observation {
        v: Observation::VERSION,
        process_id: 7,
        process_start_ticks: 1234,
        observer_id: 8,
        observer_start_ticks: 1235,
        is_finished: true,
        addresses: (0, u64::MAX),
        begin_ns: 5,
        end_ns: 10 * SECOND_NS,
        looks: 50,
        accesses_missing: 0,
        gaps: 0,
        pages_left_out: 0,
        large_folios: Some(Vec::new()),
        pages: vec![page(0, 64)],
    }
}

/// Answers each line with what `answer` makes of it.
fn oracle(answers: Vec<&'static str>) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oracle.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut writer = stream.try_clone().unwrap();
        let lines = BufReader::new(stream).lines();
        for (line, answer) in lines.zip(answers) {
            let request: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            let answer = answer.replace("ID", &request["id"].to_string());
            writer.write_all(answer.as_bytes()).unwrap();
        }
    });
    (folder, path)
}

macro_rules! state {
    ($mark:literal, $reporting:literal, $lost:literal) => {
        concat!(
            r#"{"v":1,"id":ID,"state":{"time_ns":1,"mark":"#,
            $mark,
            r#","reporting":"#,
            $reporting,
            r#","gaps":0,"accesses":9,"accesses_lost":"#,
            $lost,
            r#","records_damaged":1,"#,
            r#""accesses_without_counter":0,"windows":[[1000,2000]]}"#
        )
    };
}

#[test]
fn an_oracle_is_asked_until_all_is_told() {
    let (_folder, path) = oracle(vec![
        // The rest of an answer to somebody else, and a whole one, come first.
        concat!(
            "[1001,3]],\"next_frame\":null}\n{\"v\":1,\"id\":3,\"error\":\"late\"}\n",
            state!(4, false, 0),
            "}\n"
        ),
        concat!(state!(4, false, 0), "}\n"),
        concat!(state!(4, true, 0), "}\n"),
        concat!(
            state!(4, true, 0),
            ",\"counts\":[[1000,3]],\"next_frame\":1005}\n"
        ),
        concat!(
            state!(4, true, 2),
            ",\"counts\":[[1005,1],[1006,2]],\"next_frame\":null}\n"
        ),
        concat!(state!("null", false, 2), "}\n"),
    ]);
    let mut oracle = Oracle::mark(&[path]).unwrap();
    assert_eq!(oracle.windows(), [WINDOW]);
    let counts = oracle.counts(1000..2000).unwrap();
    assert_eq!(counts, BTreeMap::from([(1000, 3), (1005, 1), (1006, 2)]));
    assert_eq!(oracle.missing(), (3, 0));
    oracle.stop().unwrap();
}

#[test]
fn an_oracle_that_makes_no_sense_is_told_so() {
    let (_folder, path) = oracle(vec!["{\"v\":1,\"id\":ID,\"error\":\"no\"}\n"]);
    let error = Oracle::mark(&[path]).unwrap_err().to_string();
    assert!(error.ends_with("refuses: no"), "{error}");
    let (_folder, path) = oracle(vec!["{\"v\":1,\"id\":ID,\"state\":{\"mark\":1}}\n"]);
    let error = Oracle::mark(&[path]).unwrap_err();
    assert!(matches!(error, OracleError::Answer { .. }), "{error}");
    let error = Oracle::mark(&[]).unwrap_err().to_string();
    assert!(error.contains("On silicon nobody can tell"), "{error}");
    assert!(Oracle::mark(&["/nowhere".into()]).is_err());
    // Both ends close: there are no more answers.
    let (_folder, path) = oracle(vec![]);
    assert!(matches!(
        Oracle::mark(&[path]).unwrap_err(),
        OracleError::Talk { .. }
    ));
}

#[test]
fn ports_are_found_by_their_names_and_sorted_by_number() {
    let sysfs = tempfile::tempdir().unwrap();
    for (port, name) in [
        ("vport1p1", "chmu.oracle.10\n"),
        ("vport1p2", "chmu.oracle.2\n"),
        ("vport1p3", "org.qemu.guest_agent.0\n"),
    ] {
        let folder = sysfs.path().join("class/virtio-ports").join(port);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("name"), name).unwrap();
    }
    let found = ports(sysfs.path());
    assert_eq!(
        found,
        ["/dev/vport1p2", "/dev/vport1p1"].map(std::path::PathBuf::from)
    );
    assert_eq!(
        ports(std::path::Path::new("/nowhere")),
        Vec::<std::path::PathBuf>::new()
    );
}
