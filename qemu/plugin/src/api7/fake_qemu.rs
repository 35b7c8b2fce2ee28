// SPDX-License-Identifier: GPL-2.0-or-later
//! Stands in for QEMU in tests: defines the functions that QEMU would, for the calling thread.
//!
//! Test programs link because of this file, and the plugin's edge is driven as QEMU drives it:
//! translation, loads and stores, interrupts, resets.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CString, c_int, c_uint, c_void};
use std::ptr;
use std::time::{Duration, Instant};

use super::{
    Callback, DiscontinuityCallback, HardwareAddress, Info, Instruction, MEMORY_READ, MEMORY_WRITE,
    MemoryCallback, MemoryInfo, PluginId, Scoreboard, ScoreboardInteger, TranslationBlock,
    TranslationCallback, VcpuCallback, qemu_plugin_install,
};

const PLUGIN_ID: PluginId = 0x1234_5678_9abc_def0;
const LOAD: MemoryInfo = 0x100;
const STORE: MemoryInfo = 0x200;
const SHIFT_MASK: MemoryInfo = 0xff;
const SCOREBOARD: usize = 0x5c0;

#[derive(Default)]
struct State {
    translation: Option<(TranslationCallback, *mut c_void)>,
    interrupt: Option<(DiscontinuityCallback, *mut c_void)>,
    reset: Option<(Callback, *mut c_void)>,
    /// The access whose callback runs.
    current: Option<Target>,
}

/// What is counted, and the time; a reset changes neither.
#[derive(Default, Clone, Copy)]
pub(super) struct Counts {
    /// Translated code was dropped so often.
    pub(super) resets: u32,
    /// Physical addresses were asked for so often.
    pub(super) questions: u32,
    passed: Duration,
}

/// Where an access leads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Ram(u64),
    Io(u64),
    /// QEMU has no physical address to tell.
    Unknown,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
    /// The only scoreboard: an integer of each vCPU.
    static BEGUN: RefCell<HashMap<c_uint, u64>> = RefCell::default();
    static COUNTS: Cell<Counts> = Cell::default();
    static START: Instant = Instant::now();
}

/// The time of the calling thread.
pub(super) fn now() -> Instant {
    START.with(|start| *start) + counts().passed
}

/// Lets time pass.
pub(super) fn pass(time: Duration) {
    count(|counts| counts.passed += time);
}

/// What was counted for the calling thread.
pub(super) fn counts() -> Counts {
    COUNTS.get()
}

fn count(change: impl FnOnce(&mut Counts)) {
    let mut counts = COUNTS.get();
    change(&mut counts);
    COUNTS.set(counts);
}

/// A guest instruction with what the plugin registered for it.
pub(super) struct FakeInstruction {
    code: Vec<u8>,
    memory: Vec<(MemoryCallback, c_int, *mut c_void)>,
    executed: Vec<(VcpuCallback, *mut c_void)>,
}

/// A translated block of guest code.
pub(super) struct FakeBlock {
    instructions: Vec<FakeInstruction>,
    /// What is added for each vCPU that begins the block.
    added: u64,
}

/// Installs the plugin as QEMU does, and returns its answer.
pub(super) fn install(target: &str, max_vcpus: c_int, arguments: &[&str]) -> c_int {
    let target = CString::new(target).unwrap();
    let info = Info {
        target_name: target.as_ptr(),
        minimum_version: 7,
        current_version: 7,
        system_emulation: true,
        initial_vcpus: max_vcpus,
        max_vcpus,
    };
    let strings = arguments.iter().map(|argument| CString::new(*argument));
    let strings: Vec<CString> = strings.collect::<Result<_, _>>().unwrap();
    let pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
    let count = c_int::try_from(pointers.len()).unwrap();
    // SAFETY: the information and the strings live until the call returns.
    unsafe { qemu_plugin_install(PLUGIN_ID, &info, count, pointers.as_ptr()) }
}

/// Whether interrupts are reported to the plugin; and, where translations are, whether it instruments them.
pub(super) fn registered() -> (bool, Option<bool>) {
    let (interrupts, translations) =
        STATE.with_borrow(|state| (state.interrupt.is_some(), state.translation.is_some()));
    let instruments = translations.then(|| translate(&[super::tests::LOAD_CODE]).is_instrumented());
    (interrupts, instruments)
}

/// The vCPU takes an interrupt. A reset that the plugin asks for happens at once.
pub(super) fn interrupt(vcpu_index: c_uint) {
    if let Some((callback, userdata)) = STATE.with_borrow(|state| state.interrupt) {
        // SAFETY: the plugin registered this pair.
        unsafe { callback(vcpu_index, super::DISCONTINUITY_INTERRUPT, 0, 0, userdata) };
    }
    if let Some((callback, userdata)) = STATE.with_borrow(|state| state.reset) {
        STATE.take();
        count(|counts| counts.resets += 1);
        // SAFETY: the plugin asked for this reset, and every callback was dropped.
        unsafe { callback(userdata) };
    }
}

/// Translates a block of instructions, given as their bytes.
pub(super) fn translate(instructions: &[&[u8]]) -> FakeBlock {
    let instructions = instructions.iter().map(|code| FakeInstruction {
        code: code.to_vec(),
        memory: Vec::new(),
        executed: Vec::new(),
    });
    let mut block = FakeBlock {
        instructions: instructions.collect(),
        added: 0,
    };
    if let Some((callback, userdata)) = STATE.with_borrow(|state| state.translation) {
        // SAFETY: the plugin registered this pair; the block lives until the call returns.
        unsafe { callback(ptr::from_mut(&mut block).cast(), userdata) };
    }
    block
}

impl FakeBlock {
    /// Whether anything was registered for the block's instructions.
    pub(super) fn is_instrumented(&self) -> bool {
        let mut instructions = self.instructions.iter();
        instructions
            .any(|instruction| !instruction.memory.is_empty() || !instruction.executed.is_empty())
    }

    /// vCPU `vcpu_index` begins the block.
    pub(super) fn begin(&self, vcpu_index: c_uint) {
        BEGUN.with_borrow_mut(|begun| *begun.entry(vcpu_index).or_default() += self.added);
    }

    /// vCPU `vcpu_index` executes instruction `index`, which accesses no memory.
    pub(super) fn execute(&self, vcpu_index: c_uint, index: usize) {
        for (callback, userdata) in &self.instructions[index].executed {
            // SAFETY: the plugin registered this pair.
            unsafe { callback(vcpu_index, *userdata) };
        }
    }

    /// Instruction 0 loads `1 << size_shift` bytes.
    pub(super) fn load(&self, vcpu_index: c_uint, address: u64, target: Target, size_shift: u32) {
        self.access(vcpu_index, address, target, LOAD | size_shift);
    }

    /// Instruction 0 stores `1 << size_shift` bytes.
    pub(super) fn store(&self, vcpu_index: c_uint, address: u64, target: Target, size_shift: u32) {
        self.access(vcpu_index, address, target, STORE | size_shift);
    }

    fn access(&self, vcpu_index: c_uint, address: u64, target: Target, info: MemoryInfo) {
        STATE.with_borrow_mut(|state| state.current = Some(target));
        let direction = if info & STORE != 0 {
            MEMORY_WRITE
        } else {
            MEMORY_READ
        };
        for (callback, directions, userdata) in &self.instructions[0].memory {
            if directions & direction != 0 {
                // SAFETY: the plugin registered this pair.
                unsafe { callback(vcpu_index, info, address, *userdata) };
            }
        }
        STATE.with_borrow_mut(|state| state.current = None);
    }
}

#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_reset(id: PluginId, callback: Callback, userdata: *mut c_void) {
    assert_eq!(id, PLUGIN_ID);
    STATE.with_borrow_mut(|state| state.reset = Some((callback, userdata)));
}

#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_tb_trans_cb(
    id: PluginId,
    callback: TranslationCallback,
    userdata: *mut c_void,
) {
    assert_eq!(id, PLUGIN_ID);
    STATE.with_borrow_mut(|state| state.translation = Some((callback, userdata)));
}

#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_discon_cb(
    id: PluginId,
    kinds: c_int,
    callback: DiscontinuityCallback,
    userdata: *mut c_void,
) {
    assert_eq!((id, kinds), (PLUGIN_ID, super::DISCONTINUITY_INTERRUPT));
    STATE.with_borrow_mut(|state| state.interrupt = Some((callback, userdata)));
}

/// # Safety
/// `instruction` points into a live [`FakeBlock`].
unsafe fn fake(instruction: *mut Instruction) -> &'static mut FakeInstruction {
    // SAFETY: as the caller promises.
    unsafe { &mut *instruction.cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_register_vcpu_insn_exec_cb(
    instruction: *mut Instruction,
    callback: VcpuCallback,
    _registers: c_int,
    userdata: *mut c_void,
) {
    // SAFETY: the plugin got the instruction from `qemu_plugin_tb_get_insn`.
    let instruction = unsafe { fake(instruction) };
    instruction.executed.push((callback, userdata));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_register_vcpu_mem_cb(
    instruction: *mut Instruction,
    callback: MemoryCallback,
    _registers: c_int,
    directions: c_int,
    userdata: *mut c_void,
) {
    // SAFETY: the plugin got the instruction from `qemu_plugin_tb_get_insn`.
    let instruction = unsafe { fake(instruction) };
    instruction.memory.push((callback, directions, userdata));
}

#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_scoreboard_new(element_bytes: usize) -> *mut Scoreboard {
    assert_eq!(element_bytes, 8);
    ptr::without_provenance_mut(SCOREBOARD)
}

#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_u64_get(integer: ScoreboardInteger, vcpu_index: c_uint) -> u64 {
    check(integer);
    BEGUN.with_borrow(|begun| begun.get(&vcpu_index).copied().unwrap_or_default())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
    block: *mut TranslationBlock,
    operation: c_int,
    integer: ScoreboardInteger,
    operand: u64,
) {
    check(integer);
    assert_eq!(operation, super::INLINE_ADD);
    // SAFETY: the plugin got the block from `translate`.
    let block: &mut FakeBlock = unsafe { &mut *block.cast() };
    block.added += operand;
}

fn check(integer: ScoreboardInteger) {
    assert_eq!((integer.scoreboard.addr(), integer.offset), (SCOREBOARD, 0));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_tb_n_insns(block: *const TranslationBlock) -> usize {
    // SAFETY: the plugin got the block from `translate`.
    let block: &FakeBlock = unsafe { &*block.cast() };
    block.instructions.len()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_tb_get_insn(
    block: *mut TranslationBlock,
    index: usize,
) -> *mut Instruction {
    // SAFETY: the plugin got the block from `translate`.
    let block: &mut FakeBlock = unsafe { &mut *block.cast() };
    ptr::from_mut(&mut block.instructions[index]).cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_insn_data(
    instruction: *mut Instruction,
    destination: *mut u8,
    length: usize,
) -> usize {
    // SAFETY: the plugin got the instruction from `qemu_plugin_tb_get_insn`.
    let code = &unsafe { fake(instruction) }.code;
    let length = length.min(code.len());
    // SAFETY: the plugin gives room for at least that many bytes.
    unsafe { ptr::copy_nonoverlapping(code.as_ptr(), destination, length) };
    length
}

#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_mem_size_shift(info: MemoryInfo) -> c_uint {
    info & SHIFT_MASK
}

#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_get_hwaddr(_info: MemoryInfo, _address: u64) -> *const HardwareAddress {
    count(|counts| counts.questions += 1);
    STATE.with_borrow(|state| match &state.current {
        Some(target @ (Target::Ram(_) | Target::Io(_))) => ptr::from_ref(target).cast(),
        _ => ptr::null(),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_hwaddr_is_io(address: *const HardwareAddress) -> bool {
    // SAFETY: the plugin got the address from `qemu_plugin_get_hwaddr`.
    matches!(unsafe { *address.cast() }, Target::Io(_))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_hwaddr_phys_addr(address: *const HardwareAddress) -> u64 {
    // SAFETY: the plugin got the address from `qemu_plugin_get_hwaddr`.
    match unsafe { *address.cast() } {
        Target::Ram(address) | Target::Io(address) => address,
        Target::Unknown => unreachable!("it has no address to give out"),
    }
}
