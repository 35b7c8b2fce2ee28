// SPDX-License-Identifier: BSD-3-Clause
//! The caches that QEMU's plugin puts between the guest's processors and memory, as its option
//! `cache=` names them.

use std::ops::RangeInclusive;
use std::str::FromStr;

use chmu_spec::access::LINE_BYTES;

/// Ways of the cache that is given by its lines alone.
const USUAL_WAYS: usize = 4;
/// 256 KiB: small, so that a workload of a few MiB is seen by the device.
const USUAL_LINES: usize = 4096;
/// Ways that a cache can have.
const WAYS: [usize; 3] = [4, 8, 16];
/// 4 KiB to 64 MiB.
const PRIVATE_LINES: RangeInclusive<usize> = 64..=1 << 20;
/// 4 KiB to 1 GiB.
const SHARED_LINES: RangeInclusive<usize> = 64..=1 << 24;

/// What stands between the vCPUs and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheModel {
    /// Nothing: memory serves each access.
    None,
    /// Write-back, write-allocate caches of lines of 64 bytes.
    Levels {
        /// The cache that each vCPU has of its own.
        private: CacheLevel,
        /// The cache behind those, which all vCPUs share.
        shared: Option<CacheLevel>,
    },
}

/// Size and shape of one cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLevel {
    /// Lines of 64 bytes, a power of two.
    pub lines: usize,
    /// In how many places of the cache a line can lie: 4, 8 or 16.
    pub ways: usize,
}

/// Why a model of a cache was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheModelError {
    /// It has no form that is known.
    #[error(
        "There is no cache {0:?}; cache=none, cache=lines:N, cache=l2:SIZE:WAYS and \
         cache=l2:SIZE:WAYS+llc:SIZE:WAYS exist, as in cache=l2:1M:16+llc:8M:16"
    )]
    Form(String),
    /// The number of lines is none that a cache can have.
    #[error(
        "A cache has a power of two between {min} and {max} lines, not {0:?}",
        min = PRIVATE_LINES.start(),
        max = PRIVATE_LINES.end()
    )]
    Lines(String),
    /// The size is none that the level can have.
    #[error("The size of {level} is a power of two from 4K to {most}, not {given:?}")]
    Size {
        /// `l2` or `llc`.
        level: &'static str,
        /// The largest size, as it is written.
        most: &'static str,
        /// What was given.
        given: String,
    },
    /// The number of ways is none that a cache can have.
    #[error("A cache has 4, 8 or 16 ways, not {0:?}")]
    Ways(String),
}

impl Default for CacheModel {
    fn default() -> Self {
        Self::of_lines(USUAL_LINES)
    }
}

impl CacheModel {
    fn of_lines(lines: usize) -> Self {
        let ways = USUAL_WAYS;
        Self::Levels {
            private: CacheLevel { lines, ways },
            shared: None,
        }
    }

    fn of_levels(text: &str) -> Result<Self, CacheModelError> {
        let form = || CacheModelError::Form(text.to_owned());
        let (private, shared) = match text.split_once('+') {
            Some((private, shared)) => (private, Some(shared)),
            None => (text, None),
        };
        let private = private.strip_prefix("l2:").ok_or_else(form)?;
        let shared = shared
            .map(|shared| shared.strip_prefix("llc:").ok_or_else(form))
            .transpose()?;
        let level = |level, value: &str, lines, most| {
            let (size, ways) = value.split_once(':').ok_or_else(form)?;
            CacheLevel::parse(level, size, ways, lines, most)
        };
        Ok(Self::Levels {
            private: level("l2", private, PRIVATE_LINES, "64M")?,
            shared: shared
                .map(|shared| level("llc", shared, SHARED_LINES, "1G"))
                .transpose()?,
        })
    }
}

impl FromStr for CacheModel {
    type Err = CacheModelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            Some(("lines", count)) => match count.parse::<usize>() {
                Ok(lines) if lines.is_power_of_two() && PRIVATE_LINES.contains(&lines) => {
                    Ok(Self::of_lines(lines))
                }
                _ => Err(CacheModelError::Lines(count.to_owned())),
            },
            _ => Self::of_levels(text),
        }
    }
}

impl CacheLevel {
    fn parse(
        level: &'static str,
        size: &str,
        ways: &str,
        allowed: RangeInclusive<usize>,
        most: &'static str,
    ) -> Result<Self, CacheModelError> {
        let lines = lines_of(size).filter(|lines| allowed.contains(lines));
        let lines = lines.ok_or_else(|| CacheModelError::Size {
            level,
            most,
            given: size.to_owned(),
        })?;
        let known = ways.parse().ok().filter(|ways| WAYS.contains(ways));
        let ways = known.ok_or_else(|| CacheModelError::Ways(ways.to_owned()))?;
        Ok(Self { lines, ways })
    }
}

/// The lines in a power of two of bytes, which may have a suffix K, M or G.
fn lines_of(size: &str) -> Option<usize> {
    let (digits, shift) = match size.char_indices().last()? {
        (end, 'K') => (size.get(..end)?, 10_u32),
        (end, 'M') => (size.get(..end)?, 20),
        (end, 'G') => (size.get(..end)?, 30),
        _ => (size, 0),
    };
    let bytes = digits
        .parse::<u64>()
        .ok()?
        .checked_mul(1_u64.checked_shl(shift)?)?;
    let lines = bytes.is_power_of_two().then_some(bytes / LINE_BYTES)?;
    usize::try_from(lines).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(private: (usize, usize), shared: Option<(usize, usize)>) -> CacheModel {
        let level = |(lines, ways)| CacheLevel { lines, ways };
        CacheModel::Levels {
            private: level(private),
            shared: shared.map(level),
        }
    }

    fn refused(text: &str) -> String {
        text.parse::<CacheModel>().unwrap_err().to_string()
    }

    #[test]
    fn each_form_is_read() {
        for (text, model) in [
            ("none", CacheModel::None),
            ("lines:64", levels((64, 4), None)),
            ("lines:1048576", levels((1 << 20, 4), None)),
            ("l2:4K:16", levels((64, 16), None)),
            ("l2:1M:8", levels((16384, 8), None)),
            (
                "l2:1M:16+llc:8M:16",
                levels((16384, 16), Some((131_072, 16))),
            ),
            ("l2:65536:4+llc:1G:8", levels((1024, 4), Some((1 << 24, 8)))),
        ] {
            assert_eq!(text.parse(), Ok(model), "{text}");
        }
        assert_eq!(CacheModel::default(), "lines:4096".parse().unwrap());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for text in [
            "",
            "l1",
            "lines",
            "none:",
            "l2",
            "l2:1M",
            "llc:8M:16",
            "l2:1M:16+",
            "l2:1M:16+llc",
            "l2:1M:16+l3:8M:16",
            "l2:1M:16+llc:8M",
            "llc:8M:16+l2:1M:16",
            "+",
        ] {
            assert!(refused(text).contains("as in cache=l2:"), "{text}");
        }
        for lines in ["0", "32", "96", "2097152", "4k", "-64", "", "64:4"] {
            let said = refused(&format!("lines:{lines}"));
            assert!(
                said.contains("between 64 and 1048576 lines"),
                "{lines}: {said}"
            );
        }
        for size in [
            "",
            "K",
            "3M",
            "2K",
            "128M",
            "1G",
            "1m",
            "-4K",
            "4KK",
            "18446744073709551615G",
        ] {
            let said = refused(&format!("l2:{size}:16"));
            assert!(
                said.contains("The size of l2 is a power of two from 4K to 64M"),
                "{said}"
            );
        }
        assert!(refused("l2:1M:16+llc:2G:16").contains("llc is a power of two from 4K to 1G"));
        for ways in ["0", "1", "12", "32", "x", "", "16:1", "16+"] {
            let said = refused(&format!("l2:1M:{ways}"));
            assert!(
                said.contains("4, 8 or 16 ways") || said.contains("as in cache"),
                "{said}"
            );
        }
    }
}
