// SPDX-License-Identifier: BSD-3-Clause
//! What QEMU's plugin is told beside its sockets. It is here for two readers: the plugin itself,
//! and whoever starts QEMU and wants a wrong option refused before anything boots.

use std::ops::RangeInclusive;

/// Lines of a vCPU's filter unless `lines=` says otherwise: 256 KiB.
const DEFAULT_FILTER_LINES: usize = 4096;
/// 4 KiB to 64 MiB of filtered memory.
const FILTER_LINES: RangeInclusive<usize> = 64..=1 << 20;

/// The plugin's options, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginOptions {
    /// Lines of each vCPU's cache filter, a power of two from 64 to 1048576, or `None` for no
    /// filter.
    pub filter_lines: Option<usize>,
}

/// Why an option of the plugin was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginOptionError {
    /// An option may be given once.
    #[error("The argument {0} is given twice")]
    Twice(&'static str),
    /// The option does not exist.
    #[error("There is no argument {0:?}; socket=PATH, filter=lines|none and lines=N exist")]
    Unknown(String),
    /// The filter does not exist.
    #[error("There is no filter {0:?}; filter=lines and filter=none exist")]
    Filter(String),
    /// The number of lines is none that a filter can have.
    #[error(
        "A filter has a power of two between {min} and {max} lines, not {0:?}",
        min = FILTER_LINES.start(),
        max = FILTER_LINES.end()
    )]
    Lines(String),
    /// The number of lines of no filter.
    #[error("lines=N sizes the filter that filter=none switches off; give one of them")]
    LinesWithoutFilter,
}

impl PluginOptions {
    /// Reads options of the form `name=value`; those of sockets are for the caller to take out.
    ///
    /// # Errors
    /// When one of them does not exist, has a value that it cannot have, is there twice, or
    /// contradicts another.
    pub fn parse<'a>(
        options: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PluginOptionError> {
        let (mut filter, mut lines) = (None, None);
        for option in options {
            match option.split_once('=') {
                Some(("filter", value)) => once(&mut filter, "filter", parse_filter(value)?)?,
                Some(("lines", value)) => once(&mut lines, "lines", parse_lines(value)?)?,
                _ => return Err(PluginOptionError::Unknown(option.to_owned())),
            }
        }
        let filter_lines = match (filter, lines) {
            (Some(false), Some(_)) => return Err(PluginOptionError::LinesWithoutFilter),
            (Some(false), None) => None,
            (_, lines) => Some(lines.unwrap_or(DEFAULT_FILTER_LINES)),
        };
        Ok(Self { filter_lines })
    }
}

fn once<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), PluginOptionError> {
    match place.replace(value) {
        Some(_) => Err(PluginOptionError::Twice(name)),
        None => Ok(()),
    }
}

fn parse_filter(value: &str) -> Result<bool, PluginOptionError> {
    match value {
        "lines" => Ok(true),
        "none" => Ok(false),
        _ => Err(PluginOptionError::Filter(value.to_owned())),
    }
}

fn parse_lines(value: &str) -> Result<usize, PluginOptionError> {
    match value.parse::<usize>() {
        Ok(lines) if lines.is_power_of_two() && FILTER_LINES.contains(&lines) => Ok(lines),
        _ => Err(PluginOptionError::Lines(value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter_lines(options: &[&str]) -> Option<usize> {
        let options = PluginOptions::parse(options.iter().copied()).unwrap();
        options.filter_lines
    }

    fn refused(options: &[&str]) -> PluginOptionError {
        PluginOptions::parse(options.iter().copied()).unwrap_err()
    }

    #[test]
    fn the_filter_has_its_usual_size_that_of_an_option_or_is_off() {
        assert_eq!(filter_lines(&[]), Some(4096));
        assert_eq!(filter_lines(&["filter=lines"]), Some(4096));
        assert_eq!(filter_lines(&["lines=64", "filter=lines"]), Some(64));
        assert_eq!(filter_lines(&["lines=1048576"]), Some(1 << 20));
        assert_eq!(filter_lines(&["filter=none"]), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let twice = refused(&["filter=none", "filter=none"]);
        assert_eq!(twice, PluginOptionError::Twice("filter"));
        let filter = refused(&["filter=l1"]);
        assert_eq!(filter, PluginOptionError::Filter("l1".to_owned()));
        for unknown in ["filter", "", "size=1", "socket=/s", "=none"] {
            let error = refused(&[unknown]);
            assert_eq!(error, PluginOptionError::Unknown(unknown.to_owned()));
        }
        let contradiction = refused(&["filter=none", "lines=64"]);
        assert_eq!(contradiction, PluginOptionError::LinesWithoutFilter);
        for lines in ["0", "32", "96", "2097152", "4k", "-64", ""] {
            let error = refused(&[&format!("lines={lines}")]);
            assert_eq!(error, PluginOptionError::Lines(lines.to_owned()));
        }
        assert_eq!(
            refused(&["lines=x"]).to_string(),
            "A filter has a power of two between 64 and 1048576 lines, not \"x\""
        );
    }
}
