// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Options of QEMU's plugin, judged before QEMU is.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use anyhow::{Context, Result, ensure};
use chmu_ring::PluginOptions;

/// Refuses what the plugin would refuse: QEMU starts after the devices, and its complaint is in a
/// log. Each word may have several options with commas between them, as QEMU takes them.
///
/// # Errors
/// When an option does not exist, has a value that it cannot have, or contradicts another; when a
/// further access socket, `socket=PATH`, is not there.
pub fn check_plugin_options(words: &[String]) -> Result<()> {
    let options = words.iter().flat_map(|word| word.split(','));
    let (sockets, others): (Vec<_>, Vec<_>) =
        options.partition(|option| option.starts_with("socket="));
    PluginOptions::parse(others).context("QEMU's plugin cannot be told so")?;
    for option in sockets {
        let path = option.trim_start_matches("socket=");
        let file = fs::metadata(path)
            .with_context(|| format!("There is no access socket {path} for QEMU's plugin"))?;
        ensure!(
            file.file_type().is_socket(),
            "{path} is no access socket for QEMU's plugin"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn check(words: &[&str]) -> Result<()> {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        check_plugin_options(&words)
    }

    fn refused(words: &[&str]) -> String {
        format!("{:#}", check(words).unwrap_err())
    }

    #[test]
    fn what_the_plugin_takes_is_taken() {
        for words in [
            &[][..],
            &["cache=none"],
            &["cache=lines:64"],
            &["cache=l2:1M:16+llc:8M:16"],
            &["cache=lines:64,filter=window"],
        ] {
            check(words).unwrap();
        }
    }

    #[test]
    fn what_the_plugin_refuses_is_refused_in_its_words() {
        assert_eq!(
            refused(&["caches=none"]),
            "QEMU's plugin cannot be told so: There is no argument \"caches=none\"; socket=PATH, \
             cache=none|lines:N|LEVELS and filter=window exist"
        );
        assert!(refused(&["cache=lines:65"]).contains("a power of two between 64 and 1048576"));
        assert!(refused(&["cache=none,"]).contains("no argument \"\""));
        assert!(refused(&["cache=none", "cache=lines:64"]).contains("given twice"));
    }

    #[test]
    fn a_further_socket_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.sock");
        let option = format!("socket={}", path.display());
        assert!(refused(&[&option]).contains("There is no access socket"));
        fs::write(&path, "").unwrap();
        assert!(refused(&[&option]).contains("is no access socket"));
        fs::remove_file(&path).unwrap();
        let _listener = UnixListener::bind(&path).unwrap();
        check(&[&option]).unwrap();
    }
}
