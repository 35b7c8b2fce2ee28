// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Builds the project's own programs with cargo: the device, the plugin, and what runs in the
//! guest.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::elf;
use crate::progress::Progress;

/// Static programs are built for a named target, so that their flags do not touch what cargo runs on
/// the way, such as macros.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";
const STATIC_FLAGS: &str = "-C target-feature=+crt-static -C strip=debuginfo";

/// Cargo's lines about what it is at are indented, in contrast to warnings and errors.
const STATUS_INDENT: &str = "  ";

/// The programs that a guest is run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The device, `vfio-user-chmu`.
    pub device: PathBuf,
    /// QEMU's plugin.
    pub plugin: PathBuf,
    /// The static `chmu` for the guest.
    pub guest: PathBuf,
}

impl Programs {
    /// Builds what the environment names no file for: [`DEVICE_VARIABLE`], [`PLUGIN_VARIABLE`] and
    /// [`GUEST_VARIABLE`] do.
    ///
    /// # Errors
    /// When something does not build, or the guest's program needs libraries.
    pub fn obtain(progress: &Progress) -> Result<Self> {
        let given = [DEVICE, GUEST].map(|recipe| recipe.given());
        let missing: Vec<_> = [DEVICE, GUEST]
            .into_iter()
            .zip(&given)
            .filter(|(_, given)| given.is_none())
            .map(|(recipe, _)| recipe)
            .collect();
        // Together, since they share most of what they depend on.
        let mut built = build(&missing, progress)?.into_iter();
        let [device, guest] = given.map(|given| given.or_else(|| built.next().map(Ok)));
        let plugin = match PLUGIN.given() {
            Some(given) => given?,
            None => build(&[PLUGIN], progress)?.remove(0),
        };
        let programs = Self {
            device: device.context("Cargo built no device")??,
            plugin,
            guest: guest.context("Cargo built no program for the guest")??,
        };
        check_static(&programs.guest)?;
        Ok(programs)
    }

    /// The variables that have another process use the same programs.
    pub fn variables(&self) -> [(&'static str, &Path); 3] {
        [
            (DEVICE_VARIABLE, &self.device),
            (PLUGIN_VARIABLE, &self.plugin),
            (GUEST_VARIABLE, &self.guest),
        ]
    }
}

/// Names the device's program.
pub const DEVICE_VARIABLE: &str = "CHMU_DEVICE";
/// Names QEMU's plugin.
pub const PLUGIN_VARIABLE: &str = "CHMU_PLUGIN";
/// Names the guest's program.
pub const GUEST_VARIABLE: &str = "CHMU_GUEST_PROGRAM";

/// What cargo is asked to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recipe {
    /// For the progress line.
    label: &'static str,
    /// Names a file to use instead of building one.
    variable: &'static str,
    package: &'static str,
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A statically linked program of this name.
    StaticProgram(&'static str),
    /// A library of this name that a C program loads.
    SharedLibrary(&'static str),
}

const DEVICE: Recipe = Recipe {
    label: "the device",
    variable: DEVICE_VARIABLE,
    package: "vfio-user-chmu",
    target: Target::StaticProgram("vfio-user-chmu"),
};

const PLUGIN: Recipe = Recipe {
    label: "QEMU's plugin",
    variable: PLUGIN_VARIABLE,
    package: "chmu-plugin",
    target: Target::SharedLibrary("chmu_plugin"),
};

const GUEST: Recipe = Recipe {
    label: "the guest's chmu",
    variable: GUEST_VARIABLE,
    package: "chmu",
    target: Target::StaticProgram("chmu"),
};

/// Builds in one run of cargo what is of one kind; returns a file for each recipe.
fn build(recipes: &[Recipe], progress: &Progress) -> Result<Vec<PathBuf>> {
    let labels: Vec<_> = recipes.iter().map(|recipe| recipe.label).collect();
    let Some(first) = recipes.first() else {
        return Ok(Vec::new());
    };
    let labels = labels.join(" and ");
    progress.step(format!("Building {labels}"));
    let command = command(&workspace_root()?, first.target, recipes);
    let (is_built, messages, said) = run(command, progress)
        .context("Cannot run cargo; install it, or name built programs in the environment")?;
    if !is_built {
        progress.say(said.trim_end());
        bail!("Cannot build {labels}; cargo says why above");
    }
    let file = |recipe: &Recipe| {
        let built = messages.lines().find_map(|line| recipe.built_file(line));
        built.with_context(|| {
            let Recipe { package, label, .. } = recipe;
            format!("Cargo built {package} but names no file for {label}")
        })
    };
    recipes.iter().map(file).collect()
}

/// Runs cargo, and shows in the meantime what it is at. Returns whether all went well, cargo's
/// messages, and what it said to people.
fn run(mut command: Command, progress: &Progress) -> io::Result<(bool, String, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (messages, said) = (child.stdout.take(), child.stderr.take());
    let (messages, said) = thread::scope(|scope| {
        let said = scope.spawn(move || {
            let lines = said.into_iter().map(BufReader::new);
            let lines = lines.flat_map(BufRead::lines).map_while(Result::ok);
            let shown = lines.inspect(|line| {
                if line.starts_with(STATUS_INDENT) {
                    progress.detail(line.trim());
                }
            });
            shown.flat_map(|line| [line, "\n".to_owned()]).collect()
        });
        let messages = messages.map_or_else(|| Ok(String::new()), io::read_to_string);
        (messages, said.join())
    });
    let is_built = child.wait()?.success();
    let said = said.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Ok((is_built, messages?, said))
}

fn command(root: &Path, target: Target, recipes: &[Recipe]) -> Command {
    let mut command = Command::new(cargo());
    command
        .current_dir(root)
        .args(["build", "--message-format=json-render-diagnostics"]);
    for recipe in recipes {
        command.args(["--package", recipe.package]);
        if let Target::StaticProgram(name) = recipe.target {
            command.args(["--bin", name]);
        }
    }
    match target {
        Target::SharedLibrary(_) => command.args(["--lib", "--profile", "plugin"]),
        Target::StaticProgram(_) => command
            .args(["--release", "--target", STATIC_TARGET])
            .env("RUSTFLAGS", STATIC_FLAGS)
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    };
    command
}

fn check_static(file: &Path) -> Result<()> {
    let name = file.display();
    let content = std::fs::read(file).with_context(|| format!("Cannot read {name}"))?;
    ensure!(
        elf::is_static(&content).with_context(|| format!("{name} is no program"))?,
        "{name} is not statically linked; install the C library's static files \
         (libc6-dev on Debian, glibc-static elsewhere)"
    );
    Ok(())
}

impl Recipe {
    /// The file that the environment names, if it does.
    fn given(&self) -> Option<Result<PathBuf>> {
        let file = std::env::var_os(self.variable).filter(|value| !value.is_empty())?;
        let file = PathBuf::from(file);
        let (variable, name) = (self.variable, file.display());
        Some(match file.is_file() {
            true => Ok(file),
            false => Err(anyhow::anyhow!("{variable} names {name}, which is no file")),
        })
    }

    /// The file in one of cargo's messages, if the message is about what was asked for.
    fn built_file(&self, message: &str) -> Option<PathBuf> {
        let artifact: Artifact = serde_json::from_str(message).ok()?;
        let is = |kind: &str, name: &str| {
            artifact.target.name == name && artifact.target.kind.iter().any(|it| it == kind)
        };
        match self.target {
            Target::StaticProgram(name) if is("bin", name) => artifact.executable,
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
        assert_eq!(GUEST.built_file(DEVICE_MESSAGE), None);
        assert_eq!(
            DEVICE.built_file(r#"{"reason":"build-finished","success":true}"#),
            None
        );
    }

    #[test]
    fn static_programs_are_built_in_one_run() {
        let recipes = [DEVICE, GUEST];
        let command = command(Path::new("/w"), DEVICE.target, &recipes);
        let arguments: Vec<_> = command.get_args().collect();
        for word in [STATIC_TARGET, "vfio-user-chmu", "chmu", "--release"] {
            assert!(arguments.contains(&word.as_ref()), "{arguments:?}");
        }
        assert!(command.get_envs().any(|(name, _)| name == "RUSTFLAGS"));
    }

    #[test]
    fn the_plugin_has_the_usual_flags() {
        let plugin = command(Path::new("/w"), PLUGIN.target, &[PLUGIN]);
        assert!(plugin.get_envs().all(|(name, _)| name != "RUSTFLAGS"));
    }

    #[test]
    fn this_package_is_in_a_workspace() {
        assert!(workspace_root().unwrap().join("qemu/lab").is_dir());
    }
}
