// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The lab's command line without guests: what it prints and where, its cache, its refusals.

mod cache;
mod doctor;
mod output;
mod refusals;
mod runs;
mod signatures;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use chmu_lab::cache::Cache;
use chmu_tests::lab_program::lab_program;
use serde_json::json;

/// The lab's entries for QEMU, the newest kernel and busybox.
const ENTRIES: [&str; 3] = ["qemu", "debian-linux-backports", "busybox"];
/// Its one file beside what is said of it.
const CONTENT: &str = "content";
/// Nothing can be fetched from there.
const NO_MIRROR: &str = "file:///nonexistent/mirror";

/// The lab with a cache of its own and no mirror.
fn lab(cache: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(lab_program()?);
    command
        .args(arguments)
        .env("CHMU_CACHE_DIR", cache)
        .env("CHMU_DEBIAN_MIRROR", NO_MIRROR)
        // A QEMU of this machine would be taken in place of the cached one.
        .env("PATH", path_without_qemu())
        .stdin(Stdio::null());
    Ok(command)
}

fn path_without_qemu() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).filter(|folder| !folder.join("qemu-system-x86_64").exists());
    std::env::join_paths(folders).unwrap_or(path)
}

/// A cache with whole entries, which hold nothing that runs.
fn filled_cache(folder: &Path) -> Result<Cache> {
    let cache = Cache::at(folder);
    let lock = cache.lock(|| ())?;
    for name in ENTRIES {
        let entry = cache.begin(name, &lock)?;
        std::fs::write(entry.join(CONTENT), [7; 4096])?;
        let marker = json!({"layout": 1, "version": "1.2.3", "packages": []});
        cache.complete(name, &marker, &lock)?;
    }
    Ok(cache)
}
