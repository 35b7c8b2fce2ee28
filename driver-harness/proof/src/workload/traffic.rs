// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which cache line is touched next, and how.

use std::fmt;
use std::str::FromStr;

use chmu_machine::memory::{LINE_WORDS, PAGE_LINES};
use chmu_machine::names::instead;

/// How often one hot page is visited compared with the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// All alike, one after the other.
    Uniform,
    /// The n-th hot page in proportion to 1/n^s, by chance.
    Zipf {
        /// The exponent s.
        exponent: f64,
    },
}

/// What [`Distribution`] and [`Share`] are not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// No distribution.
    #[error("{0:?} is no distribution; {instead}", instead = instead(name_of(.0), &NAMES, ""))]
    Distribution(String),
    /// A distribution that is not shaped so.
    #[error("{0:?} is no shape of a zipf distribution; its exponent lies above 0 and up to 10")]
    Exponent(String),
    /// No share.
    #[error("{0:?} is no share; write a percentage from 0 up to 100, for example 0.5")]
    Share(String),
    /// Nothing would be left for hot pages.
    #[error("All accesses would go to cold pages; leave some for the hot ones")]
    OnlyCold,
    /// There is nothing to touch.
    #[error("No page is hot; choose at least one")]
    NothingHot,
}

/// The distributions as users write them.
const NAMES: [&str; 3] = ["uniform", "zipf", "zipf:EXPONENT"];

fn name_of(text: &str) -> &str {
    text.split(':').next().unwrap_or_default()
}

impl FromStr for Distribution {
    type Err = TrafficError;

    fn from_str(text: &str) -> Result<Self, TrafficError> {
        let exponent = match text.split_once(':') {
            None if text == "uniform" => return Ok(Distribution::Uniform),
            None if text == "zipf" => 1.0,
            Some(("zipf", exponent)) => exponent.parse().unwrap_or(f64::NAN),
            _ => return Err(TrafficError::Distribution(text.to_owned())),
        };
        match exponent > 0.0 && exponent <= 10.0 {
            true => Ok(Distribution::Zipf { exponent }),
            false => Err(TrafficError::Exponent(text.to_owned())),
        }
    }
}

/// As it is read.
impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Uniform => f.write_str("uniform"),
            Distribution::Zipf { exponent } => write!(f, "zipf:{exponent}"),
        }
    }
}

/// A part of all accesses, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    const WHOLE: u32 = 1_000_000;

    /// Whole percents; more than 100 are taken for 100.
    pub const fn percent(percent: u8) -> Share {
        match percent {
            0..=99 => Share(percent as u32 * 10_000),
            _ => Share(Self::WHOLE),
        }
    }

    /// Lets the due part of a sequence through: called for each element with the same `credit`,
    /// true for so many of them as the share says, evenly spread.
    fn takes(self, credit: &mut u32) -> bool {
        *credit += self.0;
        let due = *credit >= Self::WHOLE;
        if due {
            *credit -= Self::WHOLE;
        }
        due
    }
}

impl FromStr for Share {
    type Err = TrafficError;

    fn from_str(text: &str) -> Result<Self, TrafficError> {
        let percent: f64 = text.parse().unwrap_or(f64::NAN);
        if !(0.0..=100.0).contains(&percent) {
            return Err(TrafficError::Share(text.to_owned()));
        }
        // At most a million, and never negative.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(Share((percent * 10_000.0).round() as u32))
    }
}

/// As it is read: a percentage.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 10_000.0)
    }
}

/// Load or store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// A load.
    Read,
    /// A store.
    Write,
}

/// One access to one cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Touch {
    /// Which page.
    pub page: u64,
    /// Which of its lines, 0 to 63.
    pub line: u64,
    /// Load or store.
    pub direction: Direction,
}

impl Touch {
    /// The word that is loaded or stored: the line's first.
    pub fn place(self) -> u64 {
        self.line * LINE_WORDS
    }
}

/// The endless sequence of accesses: visits of hot pages, each to all the page's lines, and single
/// lines of cold pages in between.
///
/// A line comes back only after all the lines of the pages visited meanwhile. What stands for the
/// processors' caches in front of the device forgets it until then if it holds fewer lines: with
/// 4096 lines (the plugin's own number), some 256 hot pages or more reach the device at every visit.
#[derive(Debug)]
pub struct Traffic {
    hot: Vec<u64>,
    cold: Vec<u64>,
    /// For Zipf: the summed weights of the hot pages up to each.
    weights: Vec<f64>,
    next_hot: usize,
    shares: Shares,
    cold_credit: u32,
    write_credit: u32,
    random: fastrand::Rng,
}

/// How accesses are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Accesses to cold pages, of all.
    pub cold: Share,
    /// Stores, of all.
    pub write: Share,
}

impl Traffic {
    /// Traffic over these pages, the same for the same seed.
    pub fn new(
        hot: Vec<u64>,
        cold: Vec<u64>,
        distribution: Distribution,
        shares: Shares,
        seed: u64,
    ) -> Result<Traffic, TrafficError> {
        if hot.is_empty() {
            return Err(TrafficError::NothingHot);
        }
        if shares.cold.0 >= Share::WHOLE {
            return Err(TrafficError::OnlyCold);
        }
        let weights = match distribution {
            Distribution::Uniform => Vec::new(),
            Distribution::Zipf { exponent } => summed_weights(hot.len(), exponent),
        };
        Ok(Traffic {
            hot,
            cold,
            weights,
            next_hot: 0,
            shares,
            cold_credit: 0,
            write_credit: 0,
            random: fastrand::Rng::with_seed(seed),
        })
    }

    /// Visits of one round: as many as there are hot pages.
    pub fn round_visits(&self) -> u64 {
        self.hot.len() as u64
    }

    /// The next visit of a hot page with what comes in between; returns how many accesses went to
    /// cold pages.
    pub fn visit(&mut self, mut access: impl FnMut(Touch)) -> u64 {
        let page = self.next_hot_page();
        let mut cold = 0;
        for line in 0..PAGE_LINES {
            access(self.touch(page, line));
            while !self.cold.is_empty() && self.shares.cold.takes(&mut self.cold_credit) {
                let page = self.cold[self.random.usize(..self.cold.len())];
                let line = self.random.u64(..PAGE_LINES);
                access(self.touch(page, line));
                cold += 1;
            }
        }
        cold
    }

    fn touch(&mut self, page: u64, line: u64) -> Touch {
        let direction = match self.shares.write.takes(&mut self.write_credit) {
            true => Direction::Write,
            false => Direction::Read,
        };
        Touch {
            page,
            line,
            direction,
        }
    }

    fn next_hot_page(&mut self) -> u64 {
        let place = match self.weights.last() {
            None => {
                let place = self.next_hot;
                self.next_hot = (place + 1) % self.hot.len();
                place
            }
            Some(sum) => {
                let drawn = self.random.f64() * sum;
                let place = self.weights.partition_point(|&weight| weight <= drawn);
                place.min(self.hot.len() - 1)
            }
        };
        self.hot[place]
    }
}

fn summed_weights(count: usize, exponent: f64) -> Vec<f64> {
    let mut sum = 0.0;
    (0..count)
        .scan(0.0, |rank, _| {
            *rank += 1.0;
            Some(f64::powf(*rank, -exponent))
        })
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests;
