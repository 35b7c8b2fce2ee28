// SPDX-License-Identifier: GPL-2.0-or-later
//! For a bench: a plugin that has QEMU call it for each access, and does nothing. It is what any plugin
//! that looks at accesses costs at least.

use std::ffi::{c_char, c_int, c_uint, c_void};

type OnAccess = unsafe extern "C" fn(c_uint, u32, u64, *mut c_void);
type OnTranslation = unsafe extern "C" fn(*mut c_void, *mut c_void);

const NO_REGISTERS: c_int = 0;
const READS_AND_WRITES: c_int = 3;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: OnTranslation, data: *mut c_void);
    fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut c_void,
        callback: OnAccess,
        registers: c_int,
        directions: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(block: *const c_void) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const c_void, index: usize) -> *mut c_void;
}

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: c_int = 7;

/// # Safety
/// To be called by QEMU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    _argument_count: c_int,
    _arguments: *const *const c_char,
) -> c_int {
    // SAFETY: the callback has the type that QEMU calls.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, std::ptr::null_mut()) };
    0
}

unsafe extern "C" fn on_translation(block: *mut c_void, data: *mut c_void) {
    // SAFETY: QEMU gives a live block.
    for index in 0..unsafe { qemu_plugin_tb_n_insns(block) } {
        // SAFETY: `index` is below the number of instructions.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        // SAFETY: the instruction is live, and the callback has the type that QEMU calls.
        unsafe {
            qemu_plugin_register_vcpu_mem_cb(
                instruction,
                on_access,
                NO_REGISTERS,
                READS_AND_WRITES,
                data,
            );
        };
    }
}

unsafe extern "C" fn on_access(_vcpu: c_uint, _access: u32, _address: u64, _data: *mut c_void) {}
