// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! For the guest of a bench: accesses of several shapes, the same in each run.
//!
//! `work table|hash|chase|stream|add NODE` prints a sum that says whether all was read and written right.

use std::error::Error;
use std::ffi::{c_int, c_long, c_ulong, c_void};
use std::io::{self, Write};
use std::ptr;

const SYS_MBIND: c_long = 237;
const MPOL_BIND: c_int = 2;
const PROT_READ_WRITE: c_int = 3;
const MAP_PRIVATE_ANONYMOUS: c_int = 0x22;
const WORD_BYTES: usize = 8;
const LINE_WORDS: usize = 8;

/// Words of a table that stays in the private cache.
const TABLE_WORDS: usize = 1 << 12;
const LOOKUPS: usize = 60_000_000;
/// A key and a value each.
const HASH_SLOTS: usize = 1 << 20;
const HASH_KEYS: u64 = 600_000;
const HASH_QUESTIONS: u64 = 8_000_000;
const CHASE_LINES: usize = 1 << 18;
const CHASE_STEPS: usize = 6_000_000;
const STREAM_WORDS: usize = 1 << 20;
const STREAM_ROUNDS: usize = 60;
const ADD_WORDS: usize = 1 << 13;
const ADD_ROUNDS: usize = 20_000;

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
    let [job, node] = words.as_slice() else {
        return Err("work table|hash|chase|stream|add NODE".into());
    };
    let node = node.parse()?;
    let sum = match job.as_str() {
        "table" => table(memory(TABLE_WORDS, node)?),
        "hash" => hash(memory(2 * HASH_SLOTS, node)?),
        "chase" => chase(memory(CHASE_LINES * LINE_WORDS, node)?),
        "stream" => stream(memory(3 * STREAM_WORDS, node)?),
        "add" => add(memory(ADD_WORDS, node)?),
        _ => return Err(format!("There is no job {job}").into()),
    };
    writeln!(io::stdout(), "{job} {sum:#x}")?;
    Ok(())
}

/// New zeroed words on a node.
fn memory(words: usize, node: u32) -> Result<&'static mut [u64], Box<dyn Error>> {
    let bytes = words * WORD_BYTES;
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
        return Err(io::Error::last_os_error().into());
    }
    let nodes: c_ulong = 1 << node;
    // SAFETY: the call reads one word of node bits.
    let bound = unsafe { syscall(SYS_MBIND, memory, bytes, MPOL_BIND, &nodes, 64_usize, 0) };
    if bound != 0 {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: the mapping has that many words, zeroed, nobody else has it, and it stays to the end.
    Ok(unsafe { std::slice::from_raw_parts_mut(memory.cast::<u64>(), words) })
}

/// Marsaglia's xorshift of 64 bits.
fn next(state: u64) -> u64 {
    let state = state ^ state << 13;
    let state = state ^ state >> 7;
    state ^ state << 17
}

/// Looks words up that are all in the cache.
fn table(words: &mut [u64]) -> u64 {
    let mut state = 1;
    for word in words.iter_mut() {
        state = next(state);
        *word = state;
    }
    let mut sum = 0_u64;
    for step in 0..LOOKUPS {
        sum = sum.wrapping_add(words[(sum as usize ^ step) % TABLE_WORDS]);
    }
    sum
}

/// Puts keys into a table with open addresses, and asks for them and for others.
fn hash(words: &mut [u64]) -> u64 {
    let slot = |words: &[u64], key: u64| {
        let mut slot = next(key) as usize % HASH_SLOTS;
        while words[2 * slot] != 0 && words[2 * slot] != key {
            slot = (slot + 1) % HASH_SLOTS;
        }
        2 * slot
    };
    for key in 1..=HASH_KEYS {
        let place = slot(words, next(key));
        words[place] = next(key);
        words[place + 1] = key;
    }
    let mut sum = 0_u64;
    for question in 0..HASH_QUESTIONS {
        let key = 1 + question * 7919 % (2 * HASH_KEYS);
        let place = slot(words, next(key));
        sum = sum.wrapping_add(words[place + 1]);
    }
    sum
}

/// Follows a ring through all lines, in an order that no prefetcher guesses (Sattolo's).
fn chase(words: &mut [u64]) -> u64 {
    for line in 0..CHASE_LINES {
        words[line * LINE_WORDS] = line as u64;
    }
    let mut state = 1;
    for line in (1..CHASE_LINES).rev() {
        state = next(state);
        words.swap(line * LINE_WORDS, state as usize % line * LINE_WORDS);
    }
    let (mut line, mut sum) = (0_u64, 0_u64);
    for _ in 0..CHASE_STEPS {
        line = words[line as usize * LINE_WORDS];
        sum = sum.wrapping_mul(31).wrapping_add(line);
    }
    sum
}

/// a = b + 3 c, again and again.
fn stream(words: &mut [u64]) -> u64 {
    let (a, rest) = words.split_at_mut(STREAM_WORDS);
    let (b, c) = rest.split_at_mut(STREAM_WORDS);
    for round in 0..STREAM_ROUNDS {
        for ((a, b), c) in a.iter_mut().zip(&mut *b).zip(&mut *c) {
            *a = b.wrapping_add(c.wrapping_mul(3)).wrapping_add(round as u64);
            *b ^= *a;
        }
        std::mem::swap(&mut a[0], &mut c[0]);
    }
    a.iter().fold(0, |sum, word| sum ^ word.wrapping_mul(31))
}

/// Loads and stores words that are all in the cache, and does next to nothing else: what costs most.
fn add(words: &mut [u64]) -> u64 {
    for _ in 0..ADD_ROUNDS {
        for word in words.iter_mut() {
            // SAFETY: the reference is valid.
            let value = unsafe { ptr::read_volatile(word) };
            // SAFETY: as before.
            unsafe { ptr::write_volatile(word, value + 1) };
        }
    }
    words.iter().sum()
}
