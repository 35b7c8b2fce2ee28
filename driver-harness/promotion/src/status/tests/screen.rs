// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use super::super::{Decided, Decision, Flow};
use super::*;

#[test]
fn one_screen_says_it_all() {
    let mut actions = eventful();
    actions.truncate(14);
    actions[0] = begin(&["cxl_hmu_mem0.0.0"]);
    let expected = "\
chmu 1.2.3 promotes for 13.5 s, by damon

tiers       waiting    pages   longest   moving      moved     pages/s
1 -> 0            1        1    8.50 s        0        512        53.8
2 -> 0            1        1    7.50 s        0          0         0.0
pressure: 2 folios wait, 1 to try again; 1 batch so far
ping-pong: 1 folio; came back hot: no page; no spill; node 0 demoted 9 (0.9/s)
wasted: not known, as nothing watches fast memory

source               units   units/s  last list   fullest  overflows
cxl_hmu_mem0.0.0       104       0.0         64        64          1  late
refused: pinned 2 (0.2/s), promoted and demoted by turns 1 (0.1/s)
not counted: in the top tier already 6

   500 ms ago  node 0 demoted 9 pages
   1.50 s ago  refused 2 folios, the last at frame 0xb: pinned
   3.50 s ago  refused frame 0x9: promoted and demoted by turns
   4.50 s ago  to try again frame 0x64: locked or in writeback
   5.50 s ago  batch 1, 1 -> 0: moved 1 folio, 512 pages
   11.5 s ago  cxl_hmu_mem0.0.0: late
";
    assert_eq!(status_after(actions).to_string(), expected);
}

#[test]
fn a_dry_run_says_what_would_move() {
    let mut status = status_after(eventful());
    status.dry_run = true;
    let text = status.to_string();
    assert!(
        text.contains("longest   moving would move     pages/s"),
        "{text}"
    );
    assert!(text.contains("would move 1 folio, 512 pages"), "{text}");
    assert!(!text.contains("moved"), "{text}");
}

#[test]
fn nothing_that_is_told_leaves_the_screen_or_steers_the_terminal() {
    let odd = "\u{1b}[2J\n\t\u{7f}".repeat(50);
    let mut status = status_after(eventful());
    let route = status.routes[0];
    status.routes = vec![route; 50];
    for row in &mut status.routes {
        row.pages_moved = Flow {
            total: u64::MAX,
            per_second: f64::MAX,
        };
        row.folios_waiting = u64::MAX;
        row.route.source = NodeId(u32::MAX);
    }
    let mut source = status.sources[0].clone();
    source.name.clone_from(&odd);
    source.health = Health::Gone(odd.clone());
    status.sources = vec![source; 50];
    status.program = Some(odd.clone());
    let what = Decided::Health {
        source: odd.clone(),
        health: Health::Degraded(odd),
    };
    status.decisions = vec![
        Decision {
            time_ns: u64::MAX,
            what
        };
        50
    ];
    let text = status.to_string();
    assert_eq!(text.lines().count(), 24);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn a_run_that_has_not_begun_says_so() {
    let text = Collector::default().status(5).to_string();
    assert!(
        text.starts_with("chmu has not begun to promote\n"),
        "{text}"
    );
}
