// SPDX-License-Identifier: GPL-2.0-or-later
//! The devices that are reported to, the vCPUs, and what is in effect.

use std::cell::UnsafeCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chmu_ring::{CacheModel, Producer, Window};

use crate::arguments::{ArgumentError, Arguments};
use crate::cache::{Cache, SharedLevel, Shortcuts, shared_level};
use crate::configuration::{self, Configuration, InEffect, Instrumentation};
use crate::message::say;
use crate::vcpu::{Vcpu, Way};

/// How long the guest stays instrumented when no device is armed any more. To arm one within that
/// time costs no new translation of its code.
const LINGER: Duration = Duration::from_secs(1);

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

#[derive(Debug)]
struct Device {
    path: PathBuf,
    producer: Producer,
    windows: Arc<[Window]>,
    gone: AtomicBool,
}

impl Device {
    fn connect(path: &Path) -> Result<Self, StartError> {
        match Producer::connect(path) {
            Ok(producer) => Ok(Self {
                path: path.to_owned(),
                windows: producer.windows().into(),
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

// SAFETY: `Session::vcpu` leaves it to its callers that one thread at a time uses a slot, and
// everything in a slot may move between threads.
unsafe impl Sync for VcpuSlot {}

/// All that the plugin knows. Made once and never freed: QEMU's generated code refers to it.
#[derive(Debug)]
pub(crate) struct Session {
    shortcuts: Shortcuts,
    shared_level: Option<Arc<dyn SharedLevel>>,
    configuration: Mutex<Configuration>,
    devices: Vec<Device>,
    vcpus: Vec<VcpuSlot>,
}

impl Session {
    /// Attaches to the devices, for a guest of up to `vcpu_count` vCPUs. Nothing is reported
    /// before [`Session::start_anew`].
    pub(crate) fn start(arguments: &Arguments, vcpu_count: u32) -> Result<Self, StartError> {
        let (private, shared) = match arguments.options.cache {
            CacheModel::None => (None, None),
            CacheModel::Levels { private, shared } => (Some(private), shared.map(shared_level)),
        };
        let shortcuts = Shortcuts::new(vcpu_count, private.map_or(1, |level| level.lines));
        let devices = arguments.sockets.iter().map(|path| Device::connect(path));
        let mut devices = devices.collect::<Result<Vec<_>, _>>()?;
        let windows = devices.iter().flat_map(|device| device.windows.iter());
        let windows: Arc<[Window]> = windows.copied().collect();
        let only_windows = arguments.options.only_windows.then_some(windows);
        let mut vcpus: Vec<Vcpu> = (0..vcpu_count)
            .map(|index| {
                let cache = private.map(|level| Cache::new(level, shared.clone()));
                Vcpu::new(cache, shortcuts.of_vcpu(index), only_windows.clone())
            })
            .collect();
        for device in &mut devices {
            device.give_ways(&mut vcpus);
        }
        let slots = vcpus.into_iter().map(|vcpu| VcpuSlot(vcpu.into()));
        Ok(Self {
            shortcuts,
            shared_level: shared,
            configuration: Mutex::new(Configuration::new()),
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

    /// To be called when `vcpu` takes an interrupt. Returns whether QEMU has to start anew with
    /// [`Session::start_anew`], because the guest is instrumented too much or too little.
    pub(crate) fn interrupted(&self, vcpu: &mut Vcpu, now: Instant) -> bool {
        if vcpu.count_interrupt() {
            for device in &self.devices {
                device.look();
            }
        }
        // Where another vCPU is at it, it is not for this one.
        let Ok(mut configuration) = self.configuration.try_lock() else {
            return false;
        };
        let wishes = self.devices.iter().map(Device::wish);
        if wishes.clone().eq(configuration.in_effect().iter().copied()) {
            let idle_since = configuration.idle_since();
            return idle_since.is_some_and(|since| now.saturating_duration_since(since) >= LINGER);
        }
        let wishes: Vec<_> = wishes.collect();
        let instrumentation = configuration.instrumentation();
        if instrumentation != Instrumentation::Accesses
            || configuration::needed(&wishes) == Instrumentation::Nothing
        {
            return true;
        }
        // All accesses are looked at already.
        self.change(&mut configuration, wishes, instrumentation, now);
        self.acknowledge(&configuration);
        false
    }

    /// Puts into effect what the devices ask for, and says what has to be instrumented for that.
    /// [`Session::acknowledge_all`] has to follow once it is. No vCPU runs meanwhile.
    pub(crate) fn start_anew(&self, now: Instant) -> Instrumentation {
        let mut configuration = self.configuration();
        let wishes: Vec<_> = self.devices.iter().map(Device::wish).collect();
        let instrumentation = configuration::needed(&wishes);
        self.change(&mut configuration, wishes, instrumentation, now);
        instrumentation
    }

    /// Tells the devices that what is configured is in effect.
    pub(crate) fn acknowledge_all(&self) {
        self.acknowledge(&self.configuration());
    }

    /// Has `vcpu` do before its next access what has changed.
    pub(crate) fn adopt(&self, vcpu: &mut Vcpu) {
        vcpu.adopt(&self.configuration());
    }

    fn change(
        &self,
        configuration: &mut Configuration,
        wishes: Vec<InEffect>,
        instrumentation: Instrumentation,
        now: Instant,
    ) {
        let before = configuration.version();
        let windows = self.devices.iter().map(|device| &device.windows);
        configuration.change(wishes, windows, instrumentation, now);
        // From here on no vCPU has an access without a look at the configuration.
        self.shortcuts.call_all();
        if let Some(shared) = &self.shared_level
            && configuration.empties_since(before)
        {
            shared.drop_lines(&|line| configuration.empties_line_since(line, before));
        }
    }

    fn acknowledge(&self, configuration: &Configuration) {
        for (device, in_effect) in self.devices.iter().zip(configuration.in_effect()) {
            if let Some(arming) = in_effect {
                device.producer.acknowledge(*arming);
            }
        }
    }

    fn configuration(&self) -> MutexGuard<'_, Configuration> {
        // Nothing panics while it is held.
        self.configuration
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
