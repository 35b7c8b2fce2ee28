// SPDX-License-Identifier: GPL-2.0-or-later
//! Version 7 of QEMU's plugin API (QEMU 11.1): the only file that knows QEMU's names and types.
//! Another version would be another file like this one.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::size_of;
use std::ptr;
use std::time::Instant;

use crate::arguments::Arguments;
use crate::configuration::Instrumentation;
use crate::instruction::{self, MAX_INSTRUCTION_BYTES};
use crate::message::say;
use crate::session::{Session, StartError};
use crate::vcpu::{MemoryAccess, Vcpu};

pub(crate) type PluginId = u64;
/// QEMU's handle of an access, valid during its callback.
pub(crate) type MemoryInfo = u32;

/// A block of guest code that is being translated.
#[repr(C)]
pub(crate) struct TranslationBlock([u8; 0]);
/// An instruction of a block.
#[repr(C)]
pub(crate) struct Instruction([u8; 0]);
/// Physical side of an access.
#[repr(C)]
pub(crate) struct HardwareAddress([u8; 0]);

/// A value of each vCPU that translated code can change by itself.
#[repr(C)]
pub(crate) struct Scoreboard([u8; 0]);
/// A 64-bit integer in a scoreboard.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct ScoreboardInteger {
    pub(crate) scoreboard: *mut Scoreboard,
    pub(crate) offset: usize,
}

/// What QEMU tells about itself at installation.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Info {
    pub(crate) target_name: *const c_char,
    pub(crate) minimum_version: c_int,
    pub(crate) current_version: c_int,
    pub(crate) system_emulation: bool,
    pub(crate) initial_vcpus: c_int,
    pub(crate) max_vcpus: c_int,
}

pub(crate) type Callback = unsafe extern "C" fn(*mut c_void);
pub(crate) type VcpuCallback = unsafe extern "C" fn(c_uint, *mut c_void);
pub(crate) type TranslationCallback = unsafe extern "C" fn(*mut TranslationBlock, *mut c_void);
pub(crate) type MemoryCallback = unsafe extern "C" fn(c_uint, MemoryInfo, u64, *mut c_void);
/// vCPU, kind, program counter before and after.
pub(crate) type DiscontinuityCallback = unsafe extern "C" fn(c_uint, c_int, u64, u64, *mut c_void);

/// The callback does not look at guest registers.
pub(crate) const NO_REGISTERS: c_int = 0;
pub(crate) const MEMORY_READ: c_int = 1;
pub(crate) const MEMORY_WRITE: c_int = 2;
pub(crate) const DISCONTINUITY_INTERRUPT: c_int = 1;
pub(crate) const INLINE_ADD: c_int = 0;

unsafe extern "C" {
    fn qemu_plugin_reset(id: PluginId, callback: Callback, userdata: *mut c_void);
    fn qemu_plugin_register_vcpu_tb_trans_cb(
        id: PluginId,
        callback: TranslationCallback,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_discon_cb(
        id: PluginId,
        kinds: c_int,
        callback: DiscontinuityCallback,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: VcpuCallback,
        registers: c_int,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut Instruction,
        callback: MemoryCallback,
        registers: c_int,
        directions: c_int,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        block: *mut TranslationBlock,
        operation: c_int,
        integer: ScoreboardInteger,
        operand: u64,
    );
    fn qemu_plugin_scoreboard_new(element_bytes: usize) -> *mut Scoreboard;
    fn qemu_plugin_u64_get(integer: ScoreboardInteger, vcpu_index: c_uint) -> u64;
    fn qemu_plugin_tb_n_insns(block: *const TranslationBlock) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const TranslationBlock, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_data(
        instruction: *const Instruction,
        destination: *mut c_void,
        length: usize,
    ) -> usize;
    fn qemu_plugin_mem_size_shift(info: MemoryInfo) -> c_uint;
    fn qemu_plugin_get_hwaddr(info: MemoryInfo, virtual_address: u64) -> *const HardwareAddress;
    fn qemu_plugin_hwaddr_is_io(address: *const HardwareAddress) -> bool;
    fn qemu_plugin_hwaddr_phys_addr(address: *const HardwareAddress) -> u64;
}

/// What every callback gets as its userdata. Never freed, because generated code refers to it.
#[derive(Debug)]
struct Plugin {
    id: PluginId,
    session: Session,
    /// Instructions that each vCPU has begun while accesses were looked at.
    instructions: ScoreboardInteger,
}

impl Plugin {
    /// Adds what `vcpu` has executed to its accounts.
    fn note_instructions(&self, vcpu_index: c_uint, vcpu: &mut Vcpu) {
        // SAFETY: QEMU has a value for each vCPU that runs, as this one does.
        vcpu.note_instructions(unsafe { qemu_plugin_u64_get(self.instructions, vcpu_index) });
    }

    /// Has `vcpu` do what a change of the configuration asks of it.
    #[cold]
    #[inline(never)]
    fn adopt(&self, vcpu_index: c_uint, vcpu: &mut Vcpu) {
        self.note_instructions(vcpu_index, vcpu);
        self.session.adopt(vcpu);
    }
}

/// The API version that QEMU looks for before it installs the plugin.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub(crate) static qemu_plugin_version: c_int = 7;

/// Called once by QEMU, before there are vCPUs. Anything but 0 makes QEMU exit.
///
/// # Safety
/// `info` points to an [`Info`], and `arguments` to `argument_count` C strings.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    info: *const Info,
    argument_count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: `info` points to live information, as the caller promises.
    let info = unsafe { &*info };
    // SAFETY: the caller promises that many C strings.
    let arguments = unsafe { strings(argument_count, arguments) };
    match install(id, info, &arguments) {
        Ok(()) => 0,
        Err(error) => {
            say(format_args!("{:#}", anyhow::Error::from(error)));
            1
        }
    }
}

/// # Safety
/// `first` points to `count` C strings.
unsafe fn strings(count: c_int, first: *const *const c_char) -> Vec<Option<String>> {
    let count = usize::try_from(count).unwrap_or(0);
    (0..count)
        .map(|index| {
            // SAFETY: `index` is below the number of strings.
            let place = unsafe { first.add(index) };
            // SAFETY: the caller promises a pointer at that place.
            let string = unsafe { *place };
            // SAFETY: and that it points to a C string.
            let string = unsafe { CStr::from_ptr(string) };
            string.to_str().ok().map(str::to_owned)
        })
        .collect()
}

fn install(id: PluginId, info: &Info, arguments: &[Option<String>]) -> Result<(), StartError> {
    // SAFETY: QEMU names its target with a C string.
    let target = unsafe { CStr::from_ptr(info.target_name) }.to_string_lossy();
    if !info.system_emulation || !matches!(&*target, "x86_64" | "i386") {
        return Err(StartError::Guest(target.into_owned()));
    }
    let arguments: Option<Vec<&str>> = arguments.iter().map(Option::as_deref).collect();
    let arguments = Arguments::parse(arguments.ok_or(StartError::Encoding)?)?;
    let session = Session::start(&arguments, u32::try_from(info.max_vcpus).unwrap_or(0))?;
    let instructions = ScoreboardInteger {
        // SAFETY: QEMU makes them at any time; it is never freed, because translated code refers to it.
        scoreboard: unsafe { qemu_plugin_scoreboard_new(size_of::<u64>()) },
        offset: 0,
    };
    let plugin = Box::leak(Box::new(Plugin {
        id,
        session,
        instructions,
    }));
    // SAFETY: no vCPU exists yet.
    unsafe { instrument(plugin) };
    Ok(())
}

/// Puts into effect what the devices ask for.
///
/// # Safety
/// No vCPU runs, and no callback of the plugin is registered.
unsafe fn instrument(plugin: &'static Plugin) {
    let userdata = ptr::from_ref(plugin).cast_mut().cast();
    let instrumentation = plugin.session.start_anew(now());
    if instrumentation != Instrumentation::Nothing {
        // SAFETY: the callback has the type of this API version, and the plugin is never freed.
        unsafe {
            qemu_plugin_register_vcpu_discon_cb(
                plugin.id,
                DISCONTINUITY_INTERRUPT,
                on_interrupt,
                userdata,
            );
        };
    }
    // One is always there: a translation that a page fault cuts short leaves its instruction behind, and without any
    // such callback QEMU does not forget it before the next translation, and crashes (accel/tcg/plugin-gen.c).
    let on_translation = match instrumentation {
        Instrumentation::Accesses => on_translation,
        Instrumentation::Wishes | Instrumentation::Nothing => on_untouched_translation,
    };
    // SAFETY: as above.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(plugin.id, on_translation, userdata) };
    plugin.session.acknowledge_all();
}

/// # Safety
/// `userdata` is what [`instrument`] registered.
#[inline]
unsafe fn plugin(userdata: *mut c_void) -> &'static Plugin {
    // SAFETY: that is the address of a plugin, and none is ever freed.
    unsafe { &*userdata.cast_const().cast() }
}

unsafe extern "C" fn on_interrupt(
    vcpu_index: c_uint,
    _kind: c_int,
    _from: u64,
    _to: u64,
    userdata: *mut c_void,
) {
    // SAFETY: QEMU hands back the userdata of the registration.
    let plugin = unsafe { plugin(userdata) };
    // SAFETY: QEMU calls this on the vCPU's thread.
    let Some(vcpu) = (unsafe { plugin.session.vcpu(vcpu_index) }) else {
        return;
    };
    plugin.note_instructions(vcpu_index, vcpu);
    if plugin.session.interrupted(vcpu, now()) {
        // A reset drops all callbacks and all translated code, so that the next code to run is
        // translated with what `on_reset` registers. Asking twice is harmless.
        // SAFETY: this is a vCPU's thread, as a reset needs; the plugin is never freed.
        unsafe { qemu_plugin_reset(plugin.id, on_reset, userdata) };
    }
}

unsafe extern "C" fn on_reset(userdata: *mut c_void) {
    // SAFETY: QEMU hands back the userdata of the reset.
    let plugin = unsafe { plugin(userdata) };
    // SAFETY: QEMU stops all vCPUs and drops all callbacks before it calls this.
    unsafe { instrument(plugin) };
}

/// Leaves the block as it is.
unsafe extern "C" fn on_untouched_translation(
    _block: *mut TranslationBlock,
    _userdata: *mut c_void,
) {
}

unsafe extern "C" fn on_translation(block: *mut TranslationBlock, userdata: *mut c_void) {
    // SAFETY: QEMU hands back the userdata of the registration.
    let instructions = unsafe { plugin(userdata) }.instructions;
    // SAFETY: QEMU gives a live block.
    let count = unsafe { qemu_plugin_tb_n_insns(block) };
    // SAFETY: the block is live, and the scoreboard is never freed.
    unsafe {
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
            block,
            INLINE_ADD,
            instructions,
            count as u64,
        );
    };
    for index in 0..count {
        // SAFETY: `index` is below the number of instructions.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        for (direction, callback) in [
            (MEMORY_READ, on_access::<false> as MemoryCallback),
            (MEMORY_WRITE, on_access::<true>),
        ] {
            // SAFETY: the callback has the type of this API version; userdata is our own.
            unsafe {
                qemu_plugin_register_vcpu_mem_cb(
                    instruction,
                    callback,
                    NO_REGISTERS,
                    direction,
                    userdata,
                );
            };
        }
        // SAFETY: the instruction is live until this callback ends.
        if unsafe { changes_translation(instruction) } {
            // SAFETY: as for the memory callbacks.
            unsafe {
                qemu_plugin_register_vcpu_insn_exec_cb(
                    instruction,
                    on_translation_change,
                    NO_REGISTERS,
                    userdata,
                );
            };
        }
    }
}

/// # Safety
/// `instruction` is live.
unsafe fn changes_translation(instruction: *const Instruction) -> bool {
    let mut code = [0_u8; MAX_INSTRUCTION_BYTES];
    let destination = code.as_mut_ptr().cast();
    // SAFETY: the destination has room for that many bytes.
    let length = unsafe { qemu_plugin_insn_data(instruction, destination, code.len()) };
    instruction::changes_translation(code.get(..length).unwrap_or(&code))
}

unsafe extern "C" fn on_translation_change(vcpu_index: c_uint, userdata: *mut c_void) {
    // SAFETY: QEMU hands back the userdata of the registration.
    let plugin = unsafe { plugin(userdata) };
    // SAFETY: QEMU calls this on the vCPU's thread.
    if let Some(vcpu) = unsafe { plugin.session.vcpu(vcpu_index) } {
        vcpu.forget_translations();
    }
}

unsafe extern "C" fn on_access<const IS_STORE: bool>(
    vcpu_index: c_uint,
    info: MemoryInfo,
    virtual_address: u64,
    userdata: *mut c_void,
) {
    // SAFETY: QEMU hands back the userdata of the registration.
    let plugin = unsafe { plugin(userdata) };
    if !plugin
        .session
        .is_settled(vcpu_index, virtual_address, IS_STORE)
    {
        // SAFETY: QEMU calls this on the vCPU's thread.
        unsafe { access(plugin, vcpu_index, Access(info, virtual_address), IS_STORE) };
    }
}

/// Kept out of the callbacks above, which are short without it.
///
/// # Safety
/// As for [`Session::vcpu`].
#[cold]
#[inline(never)]
unsafe fn access(plugin: &Plugin, vcpu_index: c_uint, access: Access, is_store: bool) {
    // SAFETY: as the caller promises.
    let Some(vcpu) = (unsafe { plugin.session.vcpu(vcpu_index) }) else {
        return;
    };
    if vcpu.has_to_adopt() {
        plugin.adopt(vcpu_index, vcpu);
    }
    vcpu.access(access.1, is_store, &access);
}

/// An access during its callback: QEMU's handle and the virtual address.
struct Access(MemoryInfo, u64);

impl MemoryAccess for Access {
    fn physical_address(&self) -> Option<u64> {
        // SAFETY: this is the access whose callback is running.
        let address = unsafe { qemu_plugin_get_hwaddr(self.0, self.1) };
        // SAFETY: not null, and valid until the callback ends.
        if address.is_null() || unsafe { qemu_plugin_hwaddr_is_io(address) } {
            return None;
        }
        // SAFETY: as above.
        Some(unsafe { qemu_plugin_hwaddr_phys_addr(address) })
    }

    fn size_bytes(&self) -> u64 {
        // SAFETY: this is the access whose callback is running.
        let shift = unsafe { qemu_plugin_mem_size_shift(self.0) };
        1_u64.checked_shl(shift).unwrap_or(u64::MAX)
    }
}

/// The time, which in tests is moved by hand.
fn now() -> Instant {
    #[cfg(not(test))]
    return Instant::now();
    #[cfg(test)]
    return fake_qemu::now();
}

#[cfg(test)]
mod fake_qemu;
#[cfg(test)]
mod tests;
