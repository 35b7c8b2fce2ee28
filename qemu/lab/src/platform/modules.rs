// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Kernel modules: which ones the guest needs, what those need, and in which order they load.
//!
//! Dependencies come from each module's own `.modinfo` section, so a folder on which `depmod` never
//! ran will do.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection};

use crate::compression;

/// A kernel module, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// As in `/proc/modules`: with underscores.
    pub name: String,
    /// The ELF file, not compressed.
    pub content: Vec<u8>,
}

/// A module that a user wants in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleRequest {
    /// One of the kernel's own, by its name.
    Named(String),
    /// A file; it takes the place of the kernel's own module of that name.
    File {
        /// The module's name.
        name: String,
        /// Where it is.
        file: PathBuf,
    },
}

impl ModuleRequest {
    fn name(&self) -> &str {
        match self {
            Self::Named(name) | Self::File { name, .. } => name,
        }
    }
}

/// A file's path, or a name: without folder and extension. The file must be a module.
impl ModuleRequest {
    /// One of the kernel's modules.
    pub fn named(name: &str) -> Self {
        Self::Named(normalized(name))
    }
}

impl FromStr for ModuleRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let file = PathBuf::from(text);
        match module_name(text) {
            Some(name) => {
                let read = || ModuleInformation::read(&read(&file)?);
                read().map_err(|error| format!("{text} is no kernel module: {error:#}"))?;
                Ok(Self::File { name, file })
            }
            None if text.is_empty() || text.contains(['/', '.']) => {
                Err("write the name of one of the kernel's modules, or a file FILE.ko".to_owned())
            }
            None => Ok(Self::Named(normalized(text))),
        }
    }
}

/// The module files of one kernel.
#[derive(Debug, Default)]
pub(super) struct ModuleFolder {
    folder: PathBuf,
    files: BTreeMap<String, PathBuf>,
    builtin: Vec<String>,
}

impl ModuleFolder {
    /// Puts a user's files in the place of the folder's own.
    pub(super) fn replace(&mut self, requests: &[ModuleRequest]) {
        for request in requests {
            if let ModuleRequest::File { name, file } = request {
                self.files.insert(name.clone(), file.clone());
                self.builtin.retain(|builtin| builtin != name);
            }
        }
    }

    /// What a user wants, after all that it depends on.
    pub(super) fn load_order_of(
        &self,
        requests: &[ModuleRequest],
        release: &str,
    ) -> Result<Vec<Module>> {
        let names: Vec<_> = requests.iter().map(ModuleRequest::name).collect();
        self.load_order(&names, release)
    }

    /// The folder's files, by the names of their modules.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &Path)> {
        let files = self.files.iter();
        files.map(|(name, file)| (name.as_str(), file.as_path()))
    }

    /// Looks at a `/lib/modules/X` folder.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(folder, &mut files)
            .with_context(|| format!("Cannot read the module folder {}", folder.display()))?;
        let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        Ok(Self {
            folder: folder.to_owned(),
            files,
            builtin: builtin.lines().filter_map(module_name).collect(),
        })
    }

    /// The modules named, after all that they depend on: the order to load them in. What is built
    /// into the kernel is left out.
    pub(super) fn load_order(&self, names: &[&str], release: &str) -> Result<Vec<Module>> {
        let mut order = Vec::new();
        for name in names {
            self.add(name, release, &mut Vec::new(), &mut order)?;
        }
        Ok(order)
    }

    fn add(
        &self,
        name: &str,
        release: &str,
        path: &mut Vec<String>,
        order: &mut Vec<Module>,
    ) -> Result<()> {
        let name = normalized(name);
        if self.builtin.contains(&name) || order.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let folder = self.folder.display();
        ensure!(
            !path.contains(&name),
            "The modules in {folder} depend on each other in a circle: {}",
            path.join(", ")
        );
        let Some(file) = self.files.get(&name) else {
            bail!("{}", self.missing(&name));
        };
        let content = read(file)?;
        let information = ModuleInformation::read(&content)
            .with_context(|| format!("{} is no kernel module", file.display()))?;
        ensure!(
            information.release == release,
            "{} belongs to Linux {}, but the kernel is {release}",
            file.display(),
            information.release
        );
        path.push(name.clone());
        for dependency in &information.depends {
            self.add(dependency, release, path, order)?;
        }
        path.pop();
        order.push(Module { name, content });
        Ok(())
    }

    fn missing(&self, name: &str) -> String {
        let folder = self.folder.display();
        match self.folder.as_os_str().is_empty() {
            true => format!(
                "The kernel module {name} is missing; name the folder of the kernel's modules \
                 with --modules"
            ),
            false => {
                format!(
                    "The kernel module {name} is neither in {folder} nor in its modules.builtin"
                )
            }
        }
    }

    /// The content of `modules.builtin`, one name a line.
    pub(super) fn builtin_list(&self) -> String {
        let lines = self.builtin.iter().map(|name| format!("{name}.ko\n"));
        lines.collect()
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Links such as `build` lead out of the folder and are not followed.
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else if let Some(name) = module_name(&entry.file_name().to_string_lossy()) {
            files.insert(name, entry.path());
        }
    }
    Ok(())
}

/// The module's name from its file's name or path.
fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, extension) = file.split_once('.')?;
    matches!(extension, "ko" | "ko.xz" | "ko.zst" | "ko.gz").then(|| normalized(name))
}

/// File names may have dashes where the kernel has underscores.
fn normalized(name: &str) -> String {
    name.replace('-', "_")
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        let content = fs::read(file)?;
        if let Some(expanded) = compression::expanding(&content)? {
            return read_whole(expanded);
        }
        Ok(content)
    };
    read().with_context(|| format!("Cannot read {}", file.display()))
}

fn read_whole(mut source: impl Read) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    source.read_to_end(&mut content)?;
    Ok(content)
}

/// What a module's `.modinfo` section says.
#[derive(Debug, Default, PartialEq, Eq)]
struct ModuleInformation {
    depends: Vec<String>,
    release: String,
}

impl ModuleInformation {
    fn read(content: &[u8]) -> Result<Self> {
        let file = object::File::parse(content)?;
        let section = file
            .section_by_name(".modinfo")
            .context("It has no .modinfo section")?;
        Ok(Self::parse(section.data()?))
    }

    /// The section holds `key=value` strings, each ended by a zero byte.
    fn parse(section: &[u8]) -> Self {
        let mut information = Self::default();
        for text in section.split(|byte| *byte == 0) {
            let text = String::from_utf8_lossy(text);
            match text.split_once('=') {
                Some(("depends", names)) => {
                    let names = names.split(',').filter(|name| !name.is_empty());
                    information.depends = names.map(normalized).collect();
                }
                Some(("vermagic", magic)) => {
                    let release = magic.split(' ').next();
                    information.release = release.unwrap_or_default().to_owned();
                }
                _ => {}
            }
        }
        information
    }
}

#[cfg(test)]
#[path = "modules/tests.rs"]
mod tests;
