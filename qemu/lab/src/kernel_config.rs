// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The options that a guest needs of its kernel, as a fragment of a kernel's configuration.

mod embedded;

use std::fs;
use std::path::{Path, PathBuf};

/// For `scripts/kconfig/merge_config.sh` of Linux.
pub const FRAGMENT: &str = include_str!("kernel_config/fragment.config");

/// From the image in a build folder, `arch/x86/boot/bzImage`, to the folder.
const STEPS_TO_BUILD_FOLDER: usize = 4;

/// The options of [`FRAGMENT`] that a configuration lacks. A module will do where the lab has the
/// kernel's modules.
pub fn lacking(config: &str, has_modules: bool) -> Vec<&'static str> {
    let options = FRAGMENT.lines().filter_map(|line| line.strip_suffix("=y"));
    let is_there = |option: &&str| {
        let mut lines = config.lines();
        let value = lines.find_map(|line| line.strip_prefix(*option)?.strip_prefix('='));
        value == Some("y") || has_modules && value == Some("m")
    };
    options.filter(|option| !is_there(option)).collect()
}

/// What a user should know of a kernel of theirs before it boots: which options it lacks, or that
/// nothing says which it has. Its configuration is where builds and distributions put it, else in
/// the image (`CONFIG_IKCONFIG`).
pub fn complaint(image: &Path, release: &str, modules: Option<&Path>) -> Option<String> {
    let (place, config) = match configuration(image, release, modules) {
        Some((file, config)) => (file.display().to_string(), config),
        None => match embedded::configuration(image) {
            Ok(Some(config)) => (format!("The kernel {}", image.display()), config),
            Ok(None) => return Some(unchecked(image, "nor in it (CONFIG_IKCONFIG)")),
            Err(error) => {
                let reason = format!("and none can be looked for in it: {error:#}");
                return Some(unchecked(image, &reason));
            }
        },
    };
    let lacking = lacking(&config, modules.is_some());
    let modules = match modules {
        Some(_) => "",
        None => " (modules do not count without --modules)",
    };
    (!lacking.is_empty()).then(|| {
        format!(
            "{place} lacks {}{modules}; cargo lab kernel-config prints what a guest needs",
            lacking.join(", ")
        )
    })
}

fn unchecked(image: &Path, reason: &str) -> String {
    format!(
        "The options of the kernel {} are unchecked: its configuration is not beside it, {reason}; \
         cargo lab kernel-config prints what a guest needs",
        image.display()
    )
}

fn configuration(image: &Path, release: &str, modules: Option<&Path>) -> Option<(PathBuf, String)> {
    let image = image.canonicalize().ok()?;
    let build = image.ancestors().nth(STEPS_TO_BUILD_FOLDER);
    let beside = image.with_file_name(format!("config-{release}"));
    let places = [
        Some(beside),
        build.map(|folder| folder.join(".config")),
        modules.map(|folder| folder.join("config")),
        modules.map(|folder| folder.join("build/.config")),
    ];
    let mut places = places.into_iter().flatten();
    places.find_map(|file| {
        let config = fs::read_to_string(&file).ok()?;
        Some((file, config))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fragment as a configuration, with some options changed.
    fn config(changes: &[(&str, &str)]) -> String {
        let mut config = FRAGMENT.to_owned();
        for (option, line) in changes {
            config = config.replace(&format!("{option}=y\n"), line);
        }
        config
    }

    #[test]
    fn what_is_not_built_in_is_lacking() {
        assert_eq!(lacking(&config(&[]), false), [""; 0]);
        let unset = "# CONFIG_ACPI_TABLE_UPGRADE is not set\n";
        let config = config(&[
            ("CONFIG_ACPI_TABLE_UPGRADE", unset),
            ("CONFIG_CXL_PCI", "CONFIG_CXL_PCI=m\n"),
        ]);
        let upgrade = "CONFIG_ACPI_TABLE_UPGRADE";
        assert_eq!(lacking(&config, true), [upgrade]);
        assert_eq!(lacking(&config, false), [upgrade, "CONFIG_CXL_PCI"]);
    }

    #[test]
    fn the_configuration_of_a_built_kernel_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let boot = folder.path().join("arch/x86/boot");
        fs::create_dir_all(&boot).unwrap();
        let image = boot.join("bzImage");
        fs::write(&image, "").unwrap();
        let said = complaint(&image, "7.4.0", None).unwrap();
        assert!(
            said.contains("unchecked") && said.contains("kernel-config"),
            "{said}"
        );
        let file = folder.path().join(".config");
        fs::write(&file, config(&[("CONFIG_DAMON_SYSFS", "")])).unwrap();
        let said = complaint(&image, "7.4.0", None).unwrap();
        assert!(said.contains(".config lacks CONFIG_DAMON_SYSFS"), "{said}");
        fs::write(boot.join("config-7.4.0"), FRAGMENT).unwrap();
        assert_eq!(complaint(&image, "7.4.0", None), None);
    }

    #[test]
    fn the_configuration_in_the_image_is_judged_where_there_is_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("bzImage");
        let build = |kernel: &[u8]| fs::write(&image, embedded::tests::image(kernel)).unwrap();
        build(&embedded::tests::kernel(FRAGMENT));
        assert_eq!(complaint(&image, "7.4.0", None), None);
        let lacking = config(&[("CONFIG_DAMON_SYSFS", "")]);
        build(&embedded::tests::kernel(&lacking));
        let said = complaint(&image, "7.4.0", None).unwrap();
        assert!(said.contains("bzImage lacks CONFIG_DAMON_SYSFS"), "{said}");
        build(b"code");
        let said = complaint(&image, "7.4.0", None).unwrap();
        assert!(said.contains("nor in it (CONFIG_IKCONFIG)"), "{said}");
    }
}
