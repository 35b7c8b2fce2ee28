// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A QEMU program that can run the lab's guest.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::version::QemuVersion;

/// The program's name on every distribution.
pub(super) const QEMU_NAME: &str = "qemu-system-x86_64";

/// The device model through which QEMU attaches a device that is a process of its own.
const DEVICE_MODEL: &str = "vfio-user-pci";

/// How to start QEMU, without any of the machine's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuProgram {
    program: PathBuf,
    loader: Option<Loader>,
    data_folders: Vec<PathBuf>,
    version: QemuVersion,
    origin: QemuOrigin,
}

/// Where a QEMU comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QemuOrigin {
    /// Named on the command line.
    Given,
    /// Found in `PATH`.
    System,
    /// Unpacked from Debian's packages.
    Packages,
}

/// The dynamic loader and the libraries that a QEMU of another distribution brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loader {
    pub(super) program: PathBuf,
    pub(super) libraries: PathBuf,
}

impl QemuProgram {
    /// The QEMU that the user named.
    ///
    /// # Errors
    /// When it does not run, is too old or lacks `vfio-user-pci`.
    pub fn given(program: &Path) -> Result<Self> {
        Self::installed(program, QemuOrigin::Given)
    }

    /// The QEMU in `PATH`, if there is one.
    ///
    /// # Errors
    /// As for [`QemuProgram::given`].
    pub fn system() -> Option<Result<Self>> {
        let program = find_in_path(QEMU_NAME)?;
        Some(Self::installed(&program, QemuOrigin::System))
    }

    fn installed(program: &Path, origin: QemuOrigin) -> Result<Self> {
        let mut qemu = Self {
            program: program.to_owned(),
            loader: None,
            data_folders: Vec::new(),
            version: QemuVersion::OLDEST,
            origin,
        };
        qemu.version = qemu.ask_version()?;
        qemu.check()?;
        Ok(qemu)
    }

    /// A QEMU in a folder laid out by the package fetcher, whose version is known.
    pub(super) fn packaged(
        program: PathBuf,
        loader: Loader,
        data_folders: Vec<PathBuf>,
        version: QemuVersion,
    ) -> Self {
        Self {
            program,
            loader: Some(loader),
            data_folders,
            version,
            origin: QemuOrigin::Packages,
        }
    }

    /// Runs it to ask for its version.
    pub(super) fn ask_version(&self) -> Result<QemuVersion> {
        let output = self.ask(&["--version"])?;
        QemuVersion::parse(&output).with_context(|| {
            let program = self.program.display();
            format!("{program} --version prints no QEMU version")
        })
    }

    /// Refuses a QEMU that is too old or was built without what the lab needs.
    pub(super) fn check(&self) -> Result<()> {
        let program = self.program.display();
        let version = self.version;
        let oldest = QemuVersion::OLDEST;
        ensure!(
            version >= oldest,
            "{program} is QEMU {version}, and the lab needs {oldest} or newer"
        );
        ensure!(
            self.ask(&["-device", "help"])?.contains(DEVICE_MODEL),
            "{program} was built without the device {DEVICE_MODEL}"
        );
        ensure!(
            self.has_plugins()?,
            "{program} was built without TCG plugins"
        );
        Ok(())
    }

    fn has_plugins(&self) -> Result<bool> {
        Ok(self
            .ask(&["--help"])?
            .lines()
            .any(|line| line.starts_with("-plugin ")))
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let program = self.program.display();
        let output = self
            .command()
            .args(arguments)
            .output()
            .with_context(|| format!("Cannot run {program}"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{program} {} fails: {}",
            arguments.join(" "),
            errors.trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A command that starts QEMU; the machine's options are to be added.
    pub fn command(&self) -> Command {
        let words = self.words();
        let mut words = words.iter();
        let mut command = Command::new(words.next().unwrap_or(&OsStr::new(QEMU_NAME)));
        command.args(words);
        command
    }

    /// The words of [`QemuProgram::command`], for people to read.
    pub fn printable(&self) -> Vec<String> {
        let words = self.words();
        let printed = words.iter().map(|word| word.to_string_lossy().into_owned());
        printed.collect()
    }

    fn words(&self) -> Vec<&OsStr> {
        let mut words = Vec::new();
        if let Some(loader) = &self.loader {
            words.push(loader.program.as_os_str());
            words.push(OsStr::new("--library-path"));
            words.push(loader.libraries.as_os_str());
        }
        words.push(self.program.as_os_str());
        for folder in &self.data_folders {
            words.push(OsStr::new("-L"));
            words.push(folder.as_os_str());
        }
        words
    }

    /// Its version.
    pub fn version(&self) -> QemuVersion {
        self.version
    }

    /// Where it comes from.
    pub fn origin(&self) -> QemuOrigin {
        self.origin
    }

    /// The program file.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packaged_qemu_runs_through_its_own_loader() {
        let loader = Loader {
            program: "/c/ld.so".into(),
            libraries: "/c/lib".into(),
        };
        let folders = vec![PathBuf::from("/c/a"), PathBuf::from("/c/b")];
        let qemu = QemuProgram::packaged("/c/qemu".into(), loader, folders, QemuVersion::OLDEST);
        assert_eq!(
            qemu.printable().join(" "),
            "/c/ld.so --library-path /c/lib /c/qemu -L /c/a -L /c/b"
        );
        let command = qemu.command();
        assert_eq!(command.get_program(), "/c/ld.so");
        assert_eq!(command.get_args().count(), 7);
    }

    #[test]
    fn a_program_that_is_no_qemu_is_refused() {
        let error = QemuProgram::given(Path::new("/bin/true")).unwrap_err();
        assert!(error.to_string().contains("prints no QEMU version"));
        let error = QemuProgram::given(Path::new("/nonexistent/qemu")).unwrap_err();
        assert_eq!(error.to_string(), "Cannot run /nonexistent/qemu");
    }
}
