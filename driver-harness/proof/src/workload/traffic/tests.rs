// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn traffic(hot: u64, pages: u64, distribution: &str, cold: &str, write: &str) -> Traffic {
    let shares = Shares {
        cold: cold.parse().unwrap(),
        write: write.parse().unwrap(),
    };
    let (hot, cold) = ((0..hot).collect(), (hot..pages).collect());
    Traffic::new(hot, cold, distribution.parse().unwrap(), shares, 1).unwrap()
}

fn collect(traffic: &mut Traffic, visits: u64) -> Vec<Touch> {
    let mut touches = Vec::new();
    for _ in 0..visits {
        traffic.visit(|touch| touches.push(touch));
    }
    touches
}

#[test]
fn a_uniform_round_touches_every_line_of_every_hot_page_once() {
    let mut traffic = traffic(10, 100, "uniform", "0", "0");
    let touches = collect(&mut traffic, 10);
    let distinct: BTreeMap<_, _> = touches
        .iter()
        .map(|touch| ((touch.page, touch.line), touch.direction))
        .collect();
    assert_eq!((touches.len(), distinct.len()), (640, 640));
    assert!(distinct.keys().all(|&(page, _)| page < 10));
    assert_eq!(collect(&mut traffic, 10), touches);
}

#[test]
fn zipf_prefers_the_first_pages() {
    let mut traffic = traffic(100, 100, "zipf", "0", "0");
    let mut visits = [0_u32; 100];
    for _ in 0..20_000 {
        let mut page = 0;
        traffic.visit(|touch| page = usize::try_from(touch.page).unwrap());
        visits[page] += 1;
    }
    // The first has a share of 1/(1 + 1/2 + ... + 1/100) = 19 %, the second half of it.
    assert!((3600..4100).contains(&visits[0]), "{}", visits[0]);
    assert!((1750..2100).contains(&visits[1]), "{}", visits[1]);
    assert!(visits.iter().all(|&count| count > 0));
}

proptest! {
    #[test]
    fn the_shares_are_kept(cold in 0..95_u32, write in 0..=100_u32) {
        let mut traffic = traffic(50, 100, "uniform", &cold.to_string(), &write.to_string());
        let touches = collect(&mut traffic, 100);
        let count = |wanted: &dyn Fn(&Touch) -> bool| {
            touches.iter().filter(|touch| wanted(touch)).count()
        };
        let share = |part: usize| 100.0 * part as f64 / touches.len() as f64;
        let cold_share = share(count(&|touch| touch.page >= 50));
        let write_share = share(count(&|touch| touch.direction == Direction::Write));
        prop_assert!((cold_share - f64::from(cold)).abs() < 0.1, "{cold_share} of {cold}");
        prop_assert!((write_share - f64::from(write)).abs() < 0.1, "{write_share} of {write}");
    }
}

#[test]
fn without_cold_pages_all_accesses_are_hot() {
    let mut traffic = traffic(4, 4, "uniform", "50", "0");
    assert_eq!(collect(&mut traffic, 4).len(), 256);
}

#[test]
fn what_is_printed_is_read() {
    for text in ["uniform", "zipf:1", "zipf:0.75"] {
        let distribution: Distribution = text.parse().unwrap();
        assert_eq!(distribution.to_string(), text);
    }
    for text in ["0", "0.5", "12.3456", "100"] {
        assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
    }
}

#[test]
fn what_is_no_distribution_or_share_is_refused() {
    for text in [
        "",
        "zipf:",
        "zipf:0",
        "zipf:-1",
        "zipf:NaN",
        "zipf:11",
        "uniform:1",
        "normal",
    ] {
        let message = Distribution::from_str(text).unwrap_err().to_string();
        let expected = match text.starts_with("zipf:") {
            true => "is no shape of a zipf distribution",
            false => "is no distribution",
        };
        assert!(message.contains(expected), "{text}: {message}");
    }
    for text in ["", "-1", "101", "NaN", "inf", "5%"] {
        assert!(Share::from_str(text).is_err(), "{text}");
    }
    assert_eq!("0.5".parse(), Ok(Share(5000)));
    assert_eq!("zipf:0.8".parse(), Ok(Distribution::Zipf { exponent: 0.8 }));
}

#[test]
fn traffic_needs_hot_pages_and_accesses_for_them() {
    let shares = |cold: &str| Shares {
        cold: cold.parse().unwrap(),
        write: Share(0),
    };
    let new = |hot, cold| Traffic::new(hot, vec![9], Distribution::Uniform, shares(cold), 1);
    assert_eq!(new(vec![], "1").unwrap_err(), TrafficError::NothingHot);
    assert_eq!(new(vec![1], "100").unwrap_err(), TrafficError::OnlyCold);
}
