// SPDX-License-Identifier: GPL-2.0-or-later
//! What follows the plugin's file name on QEMU's command line.

use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Lines of a vCPU's filter unless `lines=` says otherwise: 256 KiB.
pub(crate) const DEFAULT_LINES: usize = 4096;
/// 4 KiB to 64 MiB of filtered memory.
const LINES_RANGE: RangeInclusive<usize> = 64..=1 << 20;

/// The plugin's arguments, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Access sockets of the devices, in the order given; at least one.
    pub(crate) sockets: Vec<PathBuf>,
    /// Lines of each vCPU's cache filter, a power of two, or `None` for no filter.
    pub(crate) filter_lines: Option<usize>,
}

/// Why the arguments were refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error("No device is named; give the path of its access socket with socket=PATH")]
    NoSocket,
    #[error("The access socket {0} is named twice")]
    SocketTwice(PathBuf),
    #[error("An access socket needs a path, as in socket=/run/access.sock")]
    EmptySocket,
    #[error("The argument {0} is given twice")]
    Twice(&'static str),
    #[error("There is no argument {0:?}; socket=PATH, filter=lines|none and lines=N exist")]
    Unknown(String),
    #[error("There is no filter {0:?}; filter=lines and filter=none exist")]
    Filter(String),
    #[error(
        "A filter has a power of two between {min} and {max} lines, not {0:?}",
        min = LINES_RANGE.start(),
        max = LINES_RANGE.end()
    )]
    Lines(String),
    #[error("lines=N sizes the filter that filter=none switches off; give one of them")]
    LinesWithoutFilter,
}

impl Arguments {
    /// Reads `name=value` arguments as QEMU hands them over.
    pub(crate) fn parse<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ArgumentError> {
        let mut sockets = Vec::new();
        let mut filter = None;
        let mut lines = None;
        for argument in arguments {
            match argument.split_once('=') {
                Some(("socket", "")) => return Err(ArgumentError::EmptySocket),
                Some(("socket", path)) => {
                    let path = PathBuf::from(path);
                    if sockets.contains(&path) {
                        return Err(ArgumentError::SocketTwice(path));
                    }
                    sockets.push(path);
                }
                Some(("filter", value)) => once(&mut filter, "filter", parse_filter(value)?)?,
                Some(("lines", value)) => once(&mut lines, "lines", parse_lines(value)?)?,
                _ => return Err(ArgumentError::Unknown(argument.to_owned())),
            }
        }
        if sockets.is_empty() {
            return Err(ArgumentError::NoSocket);
        }
        let filter_lines = match (filter, lines) {
            (Some(false), Some(_)) => return Err(ArgumentError::LinesWithoutFilter),
            (Some(false), None) => None,
            (_, lines) => Some(lines.unwrap_or(DEFAULT_LINES)),
        };
        Ok(Self {
            sockets,
            filter_lines,
        })
    }
}

fn once<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), ArgumentError> {
    match place.replace(value) {
        Some(_) => Err(ArgumentError::Twice(name)),
        None => Ok(()),
    }
}

fn parse_filter(value: &str) -> Result<bool, ArgumentError> {
    match value {
        "lines" => Ok(true),
        "none" => Ok(false),
        _ => Err(ArgumentError::Filter(value.to_owned())),
    }
}

fn parse_lines(value: &str) -> Result<usize, ArgumentError> {
    match value.parse::<usize>() {
        Ok(lines) if lines.is_power_of_two() && LINES_RANGE.contains(&lines) => Ok(lines),
        _ => Err(ArgumentError::Lines(value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> ArgumentError {
        Arguments::parse(arguments.iter().copied()).unwrap_err()
    }

    #[test]
    fn a_socket_is_enough() {
        let arguments = Arguments::parse(["socket=/run/a=b.sock"]).unwrap();
        assert_eq!(arguments.sockets, [PathBuf::from("/run/a=b.sock")]);
        assert_eq!(arguments.filter_lines, Some(4096));
    }

    #[test]
    fn sockets_keep_their_order_and_the_filter_its_size() {
        let arguments = Arguments::parse(["lines=64", "socket=b", "filter=lines", "socket=a"]);
        let expected = Arguments {
            sockets: vec!["b".into(), "a".into()],
            filter_lines: Some(64),
        };
        assert_eq!(arguments.unwrap(), expected);
        let unfiltered = Arguments::parse(["socket=a", "filter=none"]).unwrap();
        assert_eq!(unfiltered.filter_lines, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refused(&[]), ArgumentError::NoSocket);
        assert_eq!(refused(&["socket="]), ArgumentError::EmptySocket);
        assert_eq!(
            refused(&["socket=a", "socket=a"]),
            ArgumentError::SocketTwice("a".into())
        );
        assert_eq!(
            refused(&["filter=none", "filter=none"]),
            ArgumentError::Twice("filter")
        );
        assert_eq!(
            refused(&["filter=l1"]),
            ArgumentError::Filter("l1".to_owned())
        );
        assert_eq!(
            refused(&["socket"]),
            ArgumentError::Unknown("socket".to_owned())
        );
        assert_eq!(
            refused(&["socket=a", "filter=none", "lines=64"]),
            ArgumentError::LinesWithoutFilter
        );
        for lines in ["0", "32", "96", "2097152", "4k", "-64", ""] {
            let argument = format!("lines={lines}");
            assert_eq!(
                refused(&[&argument]),
                ArgumentError::Lines(lines.to_owned())
            );
        }
        assert_eq!(
            refused(&["lines=x"]).to_string(),
            "A filter has a power of two between 64 and 1048576 lines, not \"x\""
        );
    }
}
