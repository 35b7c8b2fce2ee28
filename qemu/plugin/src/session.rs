// SPDX-License-Identifier: GPL-2.0-or-later
//! The devices that are reported to, the vCPUs, and what is in effect.

use std::cell::UnsafeCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chmu_ring::{CacheModel, Producer};

use crate::arguments::{ArgumentError, Arguments};
use crate::cache::{Cache, SharedLevel, Shortcuts, shared_level};
use crate::message::say;
use crate::vcpu::{InEffect, ReportedWindow, Vcpu, Way};

/// Why the plugin refuses to be installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    #[error("An argument is not UTF-8")]
    Encoding,
    #[error("Only system emulation of x86 guests is supported, not {0}")]
    Guest(String),
    #[error("The device at {path} gave no access feed")]
    Device {
        path: PathBuf,
        source: chmu_ring::Error,
    },
}

/// How much of the guest is to be instrumented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instrumentation {
    /// Memory accesses are reported, and changes of the devices' wishes looked for.
    Accesses,
    /// Only changes of the devices' wishes are looked for.
    Wishes,
    /// No device is left.
    Nothing,
}

#[derive(Debug)]
struct Device {
    path: PathBuf,
    producer: Producer,
    gone: AtomicBool,
}

impl Device {
    fn connect(path: &Path) -> Result<Self, StartError> {
        match Producer::connect(path) {
            Ok(producer) => Ok(Self {
                path: path.to_owned(),
                producer,
                gone: AtomicBool::new(false),
            }),
            Err(source) => Err(StartError::Device {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Gives each vCPU its ring, as far as there are rings.
    fn give_ways(&mut self, vcpus: &mut [Vcpu]) {
        let mut ringless = 0_u32;
        for (index, vcpu) in (0..).zip(&mut *vcpus) {
            vcpu.add_way(match self.producer.ring(index) {
                Ok(ring) => Way::Ring(ring),
                Err(_) => {
                    ringless = ringless.saturating_add(1);
                    Way::Ringless(self.producer.ringless())
                }
            });
        }
        self.producer.set_ringless_vcpus(ringless);
        if ringless > 0 {
            say(format_args!(
                "The device at {} has rings for {} of {} vCPUs; accesses of the others are not \
                 counted (see its access_rings)",
                self.path.display(),
                self.producer.ring_count(),
                vcpus.len()
            ));
        }
    }

    fn wish(&self) -> InEffect {
        (!self.gone.load(Ordering::Relaxed)).then(|| self.producer.arming())
    }

    /// Notices when the device has closed its socket, and says so once.
    fn look(&self) {
        if self.producer.device_gone() && !self.gone.swap(true, Ordering::Relaxed) {
            say(format_args!(
                "The device at {} is gone; accesses are no longer reported to it",
                self.path.display()
            ));
        }
    }
}

/// One vCPU's state on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct VcpuSlot(UnsafeCell<Vcpu>);

// SAFETY: `Session::vcpu` and `Session::configure` leave it to their callers that one thread at a
// time uses a slot, and everything in a slot may move between threads.
unsafe impl Sync for VcpuSlot {}

/// All that the plugin knows. Made once and never freed: QEMU's generated code refers to it.
#[derive(Debug)]
pub(crate) struct Session {
    shortcuts: Shortcuts,
    shared_level: Option<Arc<dyn SharedLevel>>,
    devices: Vec<Device>,
    vcpus: Vec<VcpuSlot>,
}

impl Session {
    /// Attaches to the devices, for a guest of up to `vcpu_count` vCPUs. Nothing is reported
    /// before [`Session::configure`].
    pub(crate) fn start(arguments: &Arguments, vcpu_count: u32) -> Result<Self, StartError> {
        let (private, shared) = match arguments.options.cache {
            CacheModel::None => (None, None),
            CacheModel::Levels { private, shared } => (Some(private), shared.map(shared_level)),
        };
        let shortcuts = Shortcuts::new(vcpu_count, private.map_or(1, |level| level.lines));
        let mut vcpus: Vec<Vcpu> = (0..vcpu_count)
            .map(|index| {
                let cache = private.map(|level| Cache::new(level, shared.clone()));
                Vcpu::new(cache, shortcuts.of_vcpu(index))
            })
            .collect();
        let mut devices = Vec::new();
        for path in &arguments.sockets {
            let mut device = Device::connect(path)?;
            device.give_ways(&mut vcpus);
            devices.push(device);
        }
        let slots = vcpus.into_iter().map(|vcpu| VcpuSlot(vcpu.into()));
        Ok(Self {
            shortcuts,
            shared_level: shared,
            devices,
            vcpus: slots.collect(),
        })
    }

    /// Whether an access of vCPU `vcpu` at `virtual_address` has no effect, as most have none. If
    /// not, [`Vcpu::access`] has to be called.
    #[inline]
    pub(crate) fn is_settled(&self, vcpu: u32, virtual_address: u64, is_store: bool) -> bool {
        self.shortcuts.is_settled(vcpu, virtual_address, is_store)
    }

    /// State of vCPU `index`; `None` when QEMU did not say that there can be as many.
    ///
    /// # Safety
    /// The caller runs on the thread of that vCPU, in one of its callbacks, and lets go of the
    /// reference before the callback ends.
    #[allow(clippy::mut_from_ref)]
    #[inline]
    pub(crate) unsafe fn vcpu(&self, index: u32) -> Option<&mut Vcpu> {
        let slot = self.vcpus.get(index as usize)?;
        // SAFETY: the caller promises that nobody else has a reference to this slot's content.
        Some(unsafe { &mut *slot.0.get() })
    }

    /// To be called when `vcpu` takes an interrupt. Returns whether [`Session::configure`] has to
    /// be called because a device changed its mind or is gone.
    pub(crate) fn interrupted(&self, vcpu: &mut Vcpu) -> bool {
        if vcpu.count_interrupt() {
            for device in &self.devices {
                device.look();
            }
        }
        let wishes = self.devices.iter().map(Device::wish);
        !wishes.eq(vcpu.in_effect().iter().copied())
    }

    /// Puts into effect what the devices ask for, and says what has to be instrumented for that.
    /// [`Session::acknowledge`] has to follow once it is.
    ///
    /// # Safety
    /// No vCPU runs, so that nobody has a reference from [`Session::vcpu`].
    pub(crate) unsafe fn configure(&self) -> Instrumentation {
        let in_effect: Vec<InEffect> = self.devices.iter().map(Device::wish).collect();
        let mut reported = Vec::new();
        for (index, device) in self.devices.iter().enumerate() {
            if in_effect.get(index).is_some_and(is_armed) {
                let windows = device.producer.windows().iter();
                reported.extend(windows.map(|window| ReportedWindow {
                    window: *window,
                    device: index,
                }));
            }
        }
        for slot in &self.vcpus {
            // SAFETY: the caller promises that nobody else has a reference to a slot's content.
            let vcpu = unsafe { &mut *slot.0.get() };
            vcpu.configure(reported.clone(), in_effect.clone());
        }
        if let Some(shared) = &self.shared_level {
            shared.drop_lines(&|_| true);
        }
        if in_effect.iter().any(is_armed) {
            Instrumentation::Accesses
        } else if in_effect.iter().any(Option::is_some) {
            Instrumentation::Wishes
        } else {
            Instrumentation::Nothing
        }
    }

    /// Tells the devices that what the last [`Session::configure`] put into effect is in effect.
    ///
    /// # Safety
    /// As for [`Session::configure`].
    pub(crate) unsafe fn acknowledge(&self) {
        // SAFETY: no vCPU runs, so no reference to this slot's content exists.
        let Some(vcpu) = (unsafe { self.vcpu(0) }) else {
            return;
        };
        for (device, in_effect) in self.devices.iter().zip(vcpu.in_effect()) {
            if let Some(arming) = in_effect {
                device.producer.acknowledge(*arming);
            }
        }
    }
}

fn is_armed(in_effect: &InEffect) -> bool {
    in_effect.is_some_and(|arming| arming.is_armed())
}
