// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a user says of the devices, checked as the device's program would, but before anything is
//! started and with the user's own file to blame.

use std::path::Path;

use anyhow::{Result, bail};
use toml::Table;
use vfio_user_chmu::config::{Config, ConfigFile, ProfileName, QuirkNames};

use super::device_config::device_config;
use crate::topology::Topology;

/// Keys that the topology decides, and the options that change it.
const TOPOLOGY_KEYS: [(&str, &str); 5] = [
    ("serial_number", "the lab numbers its devices"),
    ("memory", "choose it with --memory"),
    ("latency", "it is what HMAT leaves to the device"),
    ("bandwidth", "it is what HMAT leaves to the device"),
    ("decoder", "choose it with --memory and --devices"),
];

/// What a user may say of the devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceSettings<'a> {
    /// A file with top-level keys of the configuration.
    pub file: Option<&'a Path>,
    /// The ready-made device where the file says nothing.
    pub profile: Option<ProfileName>,
    /// The rules to break in place of the file's.
    pub quirks: QuirkNames,
}

impl DeviceSettings<'_> {
    /// Reads the file; returns its keys, and the profile.
    ///
    /// # Errors
    /// When one of the topology's devices cannot be made so. What is wrong with the file is said
    /// with its name, line and column.
    pub fn read(&self, topology: &Topology) -> Result<Table> {
        let file = self.file.map(ConfigFile::read).transpose()?;
        let mut settings = Table::new();
        if let Some(file) = &file {
            file.parse()?;
            settings = file.table()?;
            for (key, advice) in TOPOLOGY_KEYS {
                if settings.contains_key(key) {
                    let message = format!("{key} follows from the topology; {advice}");
                    bail!(file.error_in(&[&[key]], message));
                }
            }
        }
        if let Some(profile) = self.profile {
            settings.insert("profile".to_owned(), profile.to_string().into());
        }
        for device in topology.devices() {
            let mut config: Config = toml::from_str(&device_config(&device, &settings)?)?;
            if !self.quirks.is_empty() {
                config.quirks = self.quirks;
            }
            config.completed().check(file.as_ref())?;
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, text).unwrap();
        let settings = DeviceSettings {
            file: Some(&file),
            ..DeviceSettings::default()
        };
        let name = file.display().to_string();
        let read = settings.read(&Topology::default());
        read.map_err(|error| format!("{error:#}").replace(&name, "mine.toml"))
    }

    #[test]
    fn what_is_wrong_is_found_in_the_users_file() {
        for (text, start) in [
            ("vectors = 4\nvektors = 4\n", "mine.toml:2:1: "),
            ("\n  vectors = \"many\"\n", "mine.toml:2:13: "),
            ("vectors = \n", "mine.toml:1:11: "),
            ("\n\nmemory = \"2G\"\n", "mine.toml:3:10: memory follows"),
            ("[[decoder]]\nways = 2\n", "mine.toml:1:1: decoder follows"),
            (
                "[[block]]\n[[block.instance]]\nepoch_mode = false\nalways_on_mode = false\n",
                "mine.toml:3:14: ",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn a_good_file_gives_its_own_keys_only() {
        let settings = read("vectors = 4\n[[block]]\n[[block.instance]]\nseed = 3\n").unwrap();
        let keys: Vec<_> = settings.keys().collect();
        assert_eq!(keys, ["block", "vectors"]);
    }

    #[test]
    fn a_profile_is_a_key_like_others() {
        let settings = DeviceSettings {
            profile: Some("minimal".parse().unwrap()),
            ..DeviceSettings::default()
        };
        let settings = settings.read(&Topology::default()).unwrap();
        assert_eq!(settings["profile"].as_str(), Some("minimal"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let settings = DeviceSettings {
            file: Some(Path::new("/no/such.toml")),
            ..DeviceSettings::default()
        };
        let error = settings.read(&Topology::default()).unwrap_err();
        assert!(error.to_string().contains("/no/such.toml"), "{error}");
    }
}
