// SPDX-License-Identifier: BSD-3-Clause
//! What QEMU's plugin is told beside its sockets. It is here for two readers: the plugin itself,
//! and whoever starts QEMU and wants a wrong option refused before anything boots.

use crate::cache_model::{CacheModel, CacheModelError};

/// The plugin's options, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginOptions {
    /// What stands between the vCPUs and memory.
    pub cache: CacheModel,
    /// Whether memory outside the windows of all devices is left out: what is accessed there takes
    /// no part in the caches.
    pub only_windows: bool,
}

/// Why an option of the plugin was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginOptionError {
    /// An option may be given once.
    #[error("The argument {0} is given twice")]
    Twice(&'static str),
    /// The option does not exist.
    #[error(
        "There is no argument {0:?}; socket=PATH, cache=none|lines:N|LEVELS and filter=window exist"
    )]
    Unknown(String),
    /// The filter does not exist.
    #[error("There is no filter {0:?}; filter=window exists, and cache= sets the caches")]
    Filter(String),
    /// The cache cannot be modelled.
    #[error(transparent)]
    Cache(#[from] CacheModelError),
}

impl PluginOptions {
    /// Reads options of the form `name=value`; those of sockets are for the caller to take out.
    ///
    /// # Errors
    /// When one of them does not exist, has a value that it cannot have, or is there twice.
    pub fn parse<'a>(
        options: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PluginOptionError> {
        let (mut cache, mut filter) = (None, None);
        for option in options {
            match option.split_once('=') {
                Some(("cache", value)) => once(&mut cache, "cache", value.parse()?)?,
                Some(("filter", "window")) => once(&mut filter, "filter", ())?,
                Some(("filter", other)) => return Err(PluginOptionError::Filter(other.to_owned())),
                _ => return Err(PluginOptionError::Unknown(option.to_owned())),
            }
        }
        Ok(Self {
            cache: cache.unwrap_or_default(),
            only_windows: filter.is_some(),
        })
    }
}

fn once<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), PluginOptionError> {
    match place.replace(value) {
        Some(_) => Err(PluginOptionError::Twice(name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &[&str]) -> PluginOptionError {
        PluginOptions::parse(options.iter().copied()).unwrap_err()
    }

    #[test]
    fn the_cache_is_the_usual_one_or_that_of_the_option() {
        let cache = |options: &[&str]| PluginOptions::parse(options.iter().copied()).unwrap().cache;
        assert_eq!(cache(&[]), CacheModel::default());
        assert_eq!(cache(&["cache=none"]), CacheModel::None);
        assert_eq!(cache(&["cache=lines:64"]), "lines:64".parse().unwrap());
    }

    #[test]
    fn all_memory_takes_part_unless_told_otherwise() {
        let only_windows = |options: &[&str]| {
            let options = PluginOptions::parse(options.iter().copied());
            options.unwrap().only_windows
        };
        assert!(!only_windows(&["cache=none"]));
        assert!(only_windows(&["filter=window"]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let twice = refused(&["cache=none", "cache=none"]);
        assert_eq!(twice, PluginOptionError::Twice("cache"));
        for unknown in ["cache", "", "size=1", "socket=/s", "=none", "lines=64"] {
            let error = refused(&[unknown]);
            assert_eq!(error, PluginOptionError::Unknown(unknown.to_owned()));
        }
        let twice = refused(&["filter=window", "filter=window"]);
        assert_eq!(twice, PluginOptionError::Twice("filter"));
        let filter = refused(&["filter=none"]);
        assert_eq!(filter, PluginOptionError::Filter("none".to_owned()));
        let cache = refused(&["cache=l1"]);
        let expected = "l1".parse::<CacheModel>().unwrap_err();
        assert_eq!(cache, PluginOptionError::Cache(expected));
    }
}
