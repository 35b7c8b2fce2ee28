// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Builds the project's own programs with cargo: the device, the plugin, and what runs in the
//! guest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::elf;
use crate::progress::Progress;

const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";
/// Below the workspace's target folder: other flags than the usual ones would have cargo build
/// everything anew each time.
const GUEST_TARGET_FOLDER: &str = "guest";
const GUEST_FLAGS: &str = "-C target-feature=+crt-static -C strip=symbols";

/// What cargo is asked to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recipe {
    /// For the progress line.
    label: &'static str,
    /// Names a file to use instead of building one.
    variable: &'static str,
    package: &'static str,
    /// The program's or library's name in its package.
    target: Target,
    profile: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Program(&'static str),
    /// A program for the guest.
    GuestProgram(&'static str),
    /// A library that a C program loads.
    SharedLibrary(&'static str),
}

const DEVICE: Recipe = Recipe {
    label: "the device",
    variable: "CHMU_DEVICE",
    package: "vfio-user-chmu",
    target: Target::Program("vfio-user-chmu"),
    profile: "release",
};

const PLUGIN: Recipe = Recipe {
    label: "QEMU's plugin",
    variable: "CHMU_PLUGIN",
    package: "chmu-plugin",
    target: Target::SharedLibrary("chmu_plugin"),
    profile: "plugin",
};

const GUEST_PROGRAM: Recipe = Recipe {
    label: "the guest's chmu",
    variable: "CHMU_GUEST_PROGRAM",
    package: "chmu-harness",
    target: Target::GuestProgram("chmu"),
    profile: "release",
};

/// The device, `vfio-user-chmu`; `CHMU_DEVICE` names another.
///
/// # Errors
/// When it does not build.
pub fn device(progress: &Progress) -> Result<PathBuf> {
    DEVICE.obtain(progress)
}

/// QEMU's plugin; `CHMU_PLUGIN` names another.
///
/// # Errors
/// When it does not build.
pub fn plugin(progress: &Progress) -> Result<PathBuf> {
    PLUGIN.obtain(progress)
}

/// The static `chmu` for the guest; `CHMU_GUEST_PROGRAM` names another.
///
/// # Errors
/// When it does not build or needs libraries.
pub fn guest_program(progress: &Progress) -> Result<PathBuf> {
    GUEST_PROGRAM.obtain(progress)
}

impl Recipe {
    fn obtain(&self, progress: &Progress) -> Result<PathBuf> {
        let file = match std::env::var_os(self.variable).filter(|value| !value.is_empty()) {
            Some(file) => self.check_given(PathBuf::from(file))?,
            None => self.build(progress)?,
        };
        if let Target::GuestProgram(_) = self.target {
            let name = file.display();
            let content = std::fs::read(&file).with_context(|| format!("Cannot read {name}"))?;
            ensure!(
                elf::is_static(&content).with_context(|| format!("{name} is no program"))?,
                "{name} is not statically linked; install the C library's static files \
                 (libc6-dev on Debian, glibc-static elsewhere)"
            );
        }
        Ok(file)
    }

    fn check_given(&self, file: PathBuf) -> Result<PathBuf> {
        let (variable, name) = (self.variable, file.display());
        ensure!(file.is_file(), "{variable} names {name}, which is no file");
        Ok(file)
    }

    fn build(&self, progress: &Progress) -> Result<PathBuf> {
        let root = workspace_root()?;
        progress.step(format!("Building {}", self.label));
        let output = self
            .command(&root)
            .output()
            .context("Cannot run cargo; install it, or name built programs in the environment")?;
        if !output.status.success() {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            bail!("Cannot build {}; cargo says why above", self.label);
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let built = messages.lines().find_map(|line| self.built_file(line));
        built.with_context(|| {
            let package = self.package;
            format!("Cargo built {package} but names no file for {}", self.label)
        })
    }

    fn command(&self, root: &Path) -> Command {
        let mut command = Command::new(cargo());
        command
            .current_dir(root)
            .args(["build", "--message-format=json-render-diagnostics"])
            .args(["--profile", self.profile, "--package", self.package]);
        match self.target {
            Target::SharedLibrary(_) => {
                command.arg("--lib");
            }
            Target::Program(name) => {
                command.args(["--bin", name]);
            }
            Target::GuestProgram(name) => {
                command
                    .args(["--bin", name, "--target", GUEST_TARGET])
                    .env("RUSTFLAGS", GUEST_FLAGS)
                    .env_remove("CARGO_ENCODED_RUSTFLAGS")
                    .arg("--target-dir")
                    .arg(target_folder(root).join(GUEST_TARGET_FOLDER));
            }
        }
        command
    }

    /// The file in one of cargo's messages, if the message is about what was asked for.
    fn built_file(&self, message: &str) -> Option<PathBuf> {
        let artifact: Artifact = serde_json::from_str(message).ok()?;
        let is = |kind: &str, name: &str| {
            artifact.target.name == name && artifact.target.kind.iter().any(|it| it == kind)
        };
        match self.target {
            Target::Program(name) | Target::GuestProgram(name) if is("bin", name) => {
                artifact.executable
            }
            Target::SharedLibrary(name) if is("cdylib", name) => {
                let mut files = artifact.filenames.into_iter();
                files.find(|file| file.extension().is_some_and(|extension| extension == "so"))
            }
            _ => None,
        }
    }
}

/// Cargo's `compiler-artifact` message, as far as it is used.
#[derive(Debug, Deserialize)]
struct Artifact {
    target: ArtifactTarget,
    filenames: Vec<PathBuf>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct ArtifactTarget {
    kind: Vec<String>,
    name: String,
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The folder of the workspace's `Cargo.toml`: that of the package cargo runs, else that of the
/// working folder.
///
/// # Errors
/// When neither is in a cargo workspace.
pub fn workspace_root() -> Result<PathBuf> {
    let folder = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(package) => PathBuf::from(package),
        None => std::env::current_dir().context("The working folder is gone")?,
    };
    let output = Command::new(cargo())
        .args(["locate-project", "--workspace", "--message-format=plain"])
        .current_dir(&folder)
        .output()
        .context("Cannot run cargo")?;
    let manifest = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    match manifest.parent() {
        Some(root) if output.status.success() => Ok(root.to_owned()),
        _ => bail!(
            "{} is not in the project's source; run the lab as `cargo lab` from there",
            folder.display()
        ),
    }
}

fn target_folder(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE_MESSAGE: &str = r#"{"reason":"compiler-artifact",
        "package_id":"path+file:///w/device/daemon#vfio-user-chmu@0.1.0",
        "target":{"kind":["bin"],"name":"vfio-user-chmu","src_path":"/w/main.rs"},
        "filenames":["/w/target/release/vfio-user-chmu"],
        "executable":"/w/target/release/vfio-user-chmu","fresh":true}"#;
    const PLUGIN_MESSAGE: &str = r#"{"reason":"compiler-artifact",
        "package_id":"path+file:///w/qemu/plugin#chmu-plugin@0.1.0",
        "target":{"kind":["cdylib","rlib"],"name":"chmu_plugin"},
        "filenames":["/w/target/plugin/libchmu_plugin.rlib","/w/target/plugin/libchmu_plugin.so"],
        "executable":null,"fresh":true}"#;

    #[test]
    fn the_built_file_is_found_in_cargos_messages() {
        assert_eq!(
            DEVICE.built_file(DEVICE_MESSAGE),
            Some("/w/target/release/vfio-user-chmu".into())
        );
        assert_eq!(
            PLUGIN.built_file(PLUGIN_MESSAGE),
            Some("/w/target/plugin/libchmu_plugin.so".into())
        );
        assert_eq!(DEVICE.built_file(PLUGIN_MESSAGE), None);
        assert_eq!(PLUGIN.built_file(DEVICE_MESSAGE), None);
        assert_eq!(GUEST_PROGRAM.built_file(DEVICE_MESSAGE), None);
        assert_eq!(
            DEVICE.built_file(r#"{"reason":"build-finished","success":true}"#),
            None
        );
    }

    #[test]
    fn the_guests_flags_have_a_target_folder_of_their_own() {
        let command = GUEST_PROGRAM.command(Path::new("/w"));
        let arguments: Vec<_> = command.get_args().collect();
        assert!(arguments.contains(&GUEST_TARGET.as_ref()));
        let folder = arguments.iter().position(|word| *word == "--target-dir");
        let folder = PathBuf::from(arguments[folder.unwrap() + 1]);
        assert!(folder.ends_with(GUEST_TARGET_FOLDER));
        let usual = DEVICE.command(Path::new("/w"));
        assert!(usual.get_envs().all(|(name, _)| name != "RUSTFLAGS"));
    }

    #[test]
    fn this_package_is_in_a_workspace() {
        assert!(workspace_root().unwrap().join("qemu/lab").is_dir());
    }
}
