// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! For the guest of a bench: accesses whose number is known.
//!
//! `work add|load BYTES ROUNDS NODE`: `add` loads and stores each word of a piece of memory on a
//! node, `load` loads a word of each line.

use std::error::Error;
use std::ffi::{c_int, c_long, c_ulong, c_void};
use std::ptr;

const SYS_MBIND: c_long = 237;
const MPOL_BIND: c_int = 2;
const PROT_READ_WRITE: c_int = 3;
const MAP_PRIVATE_ANONYMOUS: c_int = 0x22;
const WORD_BYTES: usize = 8;
const LINE_WORDS: usize = 8;
const PAGE_WORDS: usize = 512;

unsafe extern "C" {
    fn mmap(
        at: *mut c_void,
        bytes: usize,
        access: c_int,
        flags: c_int,
        file: c_int,
        start: c_long,
    ) -> *mut c_void;
    fn syscall(number: c_long, ...) -> c_long;
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [kind, bytes, rounds, node] = words.as_slice() else {
        return Err("work add|load BYTES ROUNDS NODE".into());
    };
    let (bytes, rounds, node): (usize, u64, u32) = (bytes.parse()?, rounds.parse()?, node.parse()?);
    // SAFETY: a new private mapping touches nothing else.
    let memory = unsafe {
        mmap(
            ptr::null_mut(),
            bytes,
            PROT_READ_WRITE,
            MAP_PRIVATE_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory as isize == -1 {
        return Err(std::io::Error::last_os_error().into());
    }
    let nodes: c_ulong = 1 << node;
    // SAFETY: the call reads one word of node bits.
    let bound = unsafe { syscall(SYS_MBIND, memory, bytes, MPOL_BIND, &nodes, 64_usize, 0) };
    if bound != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: the mapping has that many words, zeroed, and nobody else has it.
    let memory =
        unsafe { std::slice::from_raw_parts_mut(memory.cast::<u64>(), bytes / WORD_BYTES) };
    memory
        .iter_mut()
        .step_by(PAGE_WORDS)
        .for_each(|word| *word = 1);
    for _ in 0..rounds {
        match kind.as_str() {
            "add" => memory.iter_mut().for_each(|word| {
                // SAFETY: the reference is valid.
                let value = unsafe { ptr::read_volatile(word) };
                // SAFETY: as before.
                unsafe { ptr::write_volatile(word, value + 1) };
            }),
            "load" => memory.iter().step_by(LINE_WORDS).for_each(|word| {
                // SAFETY: the reference is valid.
                let _ = unsafe { ptr::read_volatile(word) };
            }),
            _ => return Err("add or load".into()),
        }
    }
    Ok(())
}
