// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the lab runs its guest with: QEMU, a Linux kernel with its modules, and busybox.
//!
//! Each of the three comes from the command line, else from this machine, else from Debian's
//! packages, which are unpacked into the [cache](crate::cache) and never installed.

mod debian;
mod guest_file;
mod kernel;
mod modules;
mod qemu;
mod version;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cache::Cache;
use crate::elf;
use crate::progress::Progress;

pub use debian::{Contents, PackageSet, Packages, TOOLS, mirror, reach};
pub(crate) use debian::{Download, Layer, WAITING, WORK, check_tools};
pub use guest_file::GuestFile;
pub use kernel::Kernel;
pub use modules::{Module, ModuleRequest};
pub use qemu::{QemuOrigin, QemuProgram};
pub use version::QemuVersion;

/// What to use, and what to fetch of the rest.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Platform")]
pub struct PlatformOptions {
    /// QEMU program; 11.1 or newer, with vfio-user-pci and TCG plugins.
    #[arg(long, value_name = "FILE")]
    pub qemu: Option<PathBuf>,
    /// Linux kernel image for the guest.
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// The kernel's module folder, as /lib/modules/RELEASE; without it the kernel must have its
    /// CXL drivers built in.
    #[arg(long, value_name = "FOLDER", requires = "kernel")]
    pub modules: Option<PathBuf>,
    /// Statically linked busybox for the guest.
    #[arg(long, value_name = "FILE")]
    pub busybox: Option<PathBuf>,
    /// Which of Debian's kernels to fetch when none is given.
    #[arg(long, value_enum, default_value_t, conflicts_with = "kernel")]
    pub kernel_suite: KernelChoice,
    /// Packages for the guest.
    #[command(flatten)]
    pub guest_packages: GuestPackages,
    /// Kernel module that the guest loads, with what it depends on: a file of your own, which also
    /// replaces the kernel's module of that name, or the NAME of one of the kernel's.
    #[arg(long = "module", value_name = "FILE.ko")]
    pub own_modules: Vec<ModuleRequest>,
    /// File or folder for the guest, by default at the top of its file tree.
    #[arg(long = "add", value_name = "FILE[:PATH]")]
    pub guest_files: Vec<GuestFile>,
}

/// What the guest gets beside the lab's own programs.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct GuestPackages {
    /// Debian's CXL tools for the guest: cxl, daxctl, ndctl, lspci and rasdaemon.
    #[arg(long)]
    pub tools: bool,
    /// Package of Debian's stable release for the guest, with what it depends on.
    #[arg(long = "package", value_name = "NAME")]
    pub packages: Vec<String>,
}

impl GuestPackages {
    /// The tools alone.
    pub fn tools() -> Self {
        Self {
            tools: true,
            packages: Vec::new(),
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// When a name cannot be that of a package.
    pub fn set(&self) -> Result<PackageSet> {
        let tools = TOOLS.iter().filter(|_| self.tools);
        let names = self.packages.iter().map(String::as_str);
        PackageSet::new(tools.copied().chain(names))
    }
}

impl PlatformOptions {
    /// Looks at the files that were given, so that a wrong one is told before anything is built
    /// or fetched.
    ///
    /// # Errors
    /// When one of them is unusable.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(program) = &self.qemu {
            QemuProgram::given(program)?;
        }
        if let Some(image) = &self.kernel {
            Kernel::load(image, self.modules.as_deref(), &self.own_modules)?;
        }
        self.guest_packages.set()?;
        self.busybox.as_deref().map_or(Ok(()), check_static)
    }

    /// Looks only whether what was said makes sense: names that can be those of packages, and a kernel
    /// that is one.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_values(&self) -> Result<()> {
        self.guest_packages.set()?;
        match &self.kernel {
            Some(image) if image.exists() => kernel::image_release(image).map(drop),
            _ => Ok(()),
        }
    }

    /// What is to come from packages.
    pub(crate) fn packages(&self, has_qemu: bool) -> Packages {
        Packages {
            qemu: !has_qemu,
            kernel: self.kernel.is_none().then_some(self.kernel_suite),
            busybox: self.busybox.is_none(),
        }
    }
}

/// Debian's kernels for the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum KernelChoice {
    /// The newest kernel in the stable release's backports.
    #[default]
    Backports,
    /// The stable release's own kernel, 6.12 LTS.
    #[value(name = "lts-6.12")]
    Lts612,
}

/// Everything there is to run a guest with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// QEMU.
    pub qemu: QemuProgram,
    /// The guest's kernel.
    pub kernel: Kernel,
    /// A statically linked busybox.
    pub busybox: PathBuf,
    /// The archive with the guest's packages, if it has any.
    pub guest_packages: Option<PathBuf>,
}

impl Platform {
    /// Finds the three, and fetches what is missing. The files that were given have been looked at.
    /// Fetching takes a minute once; afterwards
    /// nothing needs the network.
    ///
    /// # Errors
    /// When something given is unusable, or something missing cannot be fetched; the error says
    /// what to pass instead.
    pub fn obtain(options: &PlatformOptions, progress: &Progress) -> Result<Self> {
        let cache = Cache::open()?;
        let packages = options.guest_packages.set()?;
        let qemu = chosen_qemu(options)?;
        let own = options.packages(qemu.is_some());
        own.hold(&cache)?;
        progress.step("Checking the platform's files");
        own.fetch(&cache, progress)?;
        let qemu = match qemu {
            Some(qemu) => qemu,
            None => debian::qemu(&cache)?,
        };
        let kernel = match &options.kernel {
            Some(image) => Kernel::load(image, options.modules.as_deref(), &options.own_modules)?,
            None => debian::kernel(&cache, options.kernel_suite, &options.own_modules)?,
        };
        let busybox = match &options.busybox {
            Some(busybox) => busybox.clone(),
            None => debian::busybox(&cache),
        };
        let guest_packages = match packages.is_empty() {
            true => None,
            false => Some(packages.obtain(&cache, progress)?),
        };
        Ok(Self {
            qemu,
            kernel,
            busybox,
            guest_packages,
        })
    }
}

/// The QEMU to use without fetching one: what was given must fit, what the system has may not.
pub(crate) fn chosen_qemu(options: &PlatformOptions) -> Result<Option<QemuProgram>> {
    if let Some(program) = &options.qemu {
        return QemuProgram::given(program).map(Some);
    }
    match QemuProgram::system() {
        Some(Ok(qemu)) => Ok(Some(qemu)),
        Some(Err(error)) => {
            log::info!("The system's QEMU is not used: {error:#}");
            Ok(None)
        }
        None => Ok(None),
    }
}

/// Refuses a program that needs libraries, which the guest does not have.
pub(crate) fn check_static(program: &Path) -> Result<()> {
    let name = program.display();
    let content = std::fs::read(program).with_context(|| format!("Cannot read {name}"))?;
    ensure!(
        elf::is_static(&content).with_context(|| format!("{name} is no program"))?,
        "{name} is not statically linked, and the guest has no libraries"
    );
    Ok(())
}
