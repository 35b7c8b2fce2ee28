// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the settings of a performance-monitoring unit go, as its `format` files say: `config:10-13`.

use std::path::Path;

use chmu_machine::sysfs_file::{self, SysfsError};

use super::event::Attributes;

/// Puts a setting where the file of its name says; one that is zero needs no place.
pub(super) fn put(
    attributes: &mut Attributes,
    device: &Path,
    name: &str,
    value: u64,
) -> Result<(), SysfsError> {
    let path = device.join("format").join(name);
    if value == 0 && !path.exists() {
        return Ok(());
    }
    let text = sysfs_file::text(&path)?;
    let Some((word, first, last)) = parse(&text) else {
        return Err(sysfs_file::content(&path, text, "place of a setting"));
    };
    let bits = last - first + 1;
    if bits < 64 && value >> bits != 0 {
        return Err(sysfs_file::content(
            &path,
            text,
            "place for a value this large",
        ));
    }
    let target = match word {
        "config" => &mut attributes.config,
        "config1" => &mut attributes.config1,
        _ => &mut attributes.config2,
    };
    *target |= value << first;
    Ok(())
}

fn parse(text: &str) -> Option<(&str, u32, u32)> {
    let (word, bits) = text.split_once(':')?;
    let (first, last) = bits.split_once('-').unwrap_or((bits, bits));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let is_word = matches!(word, "config" | "config1" | "config2");
    (is_word && first <= last && last < 64).then_some((word, first, last))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn settings_go_where_the_driver_says() {
        let device = tempfile::tempdir().unwrap();
        let folder = device.path().join("format");
        fs::create_dir(&folder).unwrap();
        for (name, place) in [
            ("epoch_scale", "config:10-13"),
            ("randomized_downsampling", "config:26"),
            ("hotness_granual", "config1:32-63"),
            ("range_size", "config2:32-63"),
            ("broken", "config:70"),
        ] {
            fs::write(folder.join(name), format!("{place}\n")).unwrap();
        }
        let mut attributes = Attributes::default();
        let mut set = |name, value| put(&mut attributes, device.path(), name, value);
        set("epoch_scale", 4).unwrap();
        set("randomized_downsampling", 1).unwrap();
        set("hotness_granual", 12).unwrap();
        set("range_size", 8).unwrap();
        set("absent", 0).unwrap();
        assert!(set("absent", 1).is_err() && set("broken", 1).is_err());
        assert!(set("epoch_scale", 16).is_err(), "four bits hold no 16");
        assert_eq!(attributes.config, 4 << 10 | 1 << 26);
        assert_eq!(attributes.config1, 12 << 32);
        assert_eq!(attributes.config2, 8 << 32);
    }
}
