// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What VFIO costs a function before anybody asks it anything: the kernel resets it when it is opened,
//! and again when it is closed (`drivers/vfio/pci/vfio_pci_core.c`).
//!
//! A function level reset leaves committed HDM decoders and CXL.mem alone (CXL r3.2 9.5). Any other
//! reset takes them away, and with them memory that may be online, whoever uses it.

use std::fs;
use std::path::Path;

use chmu_machine::refusal::Refusal;

/// How the kernel names resets of a function alone (`drivers/pci/pci.c`, `pci_reset_fn_methods`).
const FUNCTION_ALONE: [&str; 2] = ["flr", "af_flr"];

/// Why the function in `folder` is not to be opened through VFIO; none where the kernel resets it alone.
///
/// The kernel takes the first of `reset_method` that works. Kernels before 5.15 have no such file, and
/// take a function level reset where the function offers one: `offers_reset`.
pub(crate) fn reset_danger(folder: &Path, offers_reset: bool) -> Option<Refusal> {
    let file = folder.join("reset_method");
    let methods = fs::read_to_string(&file);
    let methods: Vec<_> = match &methods {
        Ok(methods) => methods.split_whitespace().collect(),
        Err(_) if offers_reset => FUNCTION_ALONE[..1].to_vec(),
        Err(_) => Vec::new(),
    };
    let is_alone = |method: &&&str| FUNCTION_ALONE.contains(*method);
    let kernel_does = match methods.first() {
        Some(first) if FUNCTION_ALONE.contains(first) => return None,
        Some(first) => format!("the kernel resets it by \"{first}\""),
        None => "it offers no function level reset, so that the kernel may reset all of its bus"
            .to_owned(),
    };
    let cause = format!(
        "VFIO resets what it opens and closes, and {kernel_does}: its HDM decoders are lost, and memory \
         that is online behind them with what it holds"
    );
    let insist = "take --risk-memory-loss if nothing uses its memory, or a transport beside a driver of \
                  the kernel";
    Some(match methods.iter().find(is_alone) {
        Some(method) => Refusal::new(
            cause,
            format!("echo {method} > {}, or {insist}", file.display()),
        ),
        None => Refusal::new(cause, insist),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn danger(methods: Option<&str>, offers_reset: bool) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        if let Some(methods) = methods {
            fs::write(folder.path().join("reset_method"), methods).unwrap();
        }
        let refusal = reset_danger(folder.path(), offers_reset)?;
        let folder = folder.path().display().to_string();
        Some(refusal.to_string().replace(&folder, "F"))
    }

    #[test]
    fn a_reset_of_the_function_alone_is_harmless() {
        for methods in ["flr bus\n", "flr\n", "af_flr pm bus\n"] {
            assert_eq!(danger(Some(methods), false), None, "{methods}");
        }
        assert_eq!(danger(None, true), None);
    }

    #[test]
    fn any_other_reset_is_refused_in_a_sentence() {
        let bus = danger(Some("bus cxl_bus\n"), true).unwrap();
        assert_eq!(
            bus,
            "VFIO resets what it opens and closes, and the kernel resets it by \"bus\": its HDM decoders \
             are lost, and memory that is online behind them with what it holds; take \
             --risk-memory-loss if nothing uses its memory, or a transport beside a driver of the kernel"
        );
        // What a driver or firmware does is not known.
        let specific = danger(Some("device_specific flr bus\n"), true).unwrap();
        assert!(specific.contains("by \"device_specific\""), "{specific}");
        assert!(
            specific.contains("; echo flr > F/reset_method, or take "),
            "{specific}"
        );
        for methods in [Some("\n"), None] {
            let none = danger(methods, false).unwrap();
            assert!(none.contains("may reset all of its bus"), "{none}");
        }
    }
}
