// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a scenario has left behind in its guest, which must be nothing.

use anyhow::{Context, Result};
use serde_json::Value;

use super::bench::PROGRAM_TIMEOUT;
use crate::kernel_log::{self, Allowance};
use crate::machine::Machine;

/// Prints a line for each program of ours that still runs beside the agent.
const PROGRAMS: &str = "for folder in /proc/[0-9]*; do \
    words=$(tr '\\0' ' ' <$folder/cmdline 2>/dev/null) || continue; \
    case $words in \"chmu agent \"*) ;; \"chmu \"*) echo \"$words\" ;; esac; done";
const KDAMONDS: &str = "cat /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds 2>/dev/null || echo 0";
/// Prints a line for each socket of a run, and for each lock that names its owner: one that ends as it
/// should takes both away.
const RUNTIME: &str = "cd /run/chmu 2>/dev/null || exit 0; for file in *; do \
    case $file in *.lock) [ ! -s $file ] || echo \"$file of process $(cat $file)\" ;; \
    '*') ;; *) echo $file ;; esac; done";

/// What is left, a sentence each. The kernel's log is emptied, so that the next scenario is judged
/// by its own lines.
pub(super) fn find(machine: &mut Machine, allowed: &[Allowance]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut shell = |script: &str| machine.run_checked(&["sh", "-c", script], PROGRAM_TIMEOUT);
    let programs = shell(PROGRAMS)?;
    found.extend(
        programs
            .lines()
            .map(|words| format!("Left running: {words}")),
    );
    let runtime = shell(RUNTIME)?;
    let runtime = runtime.lines();
    found.extend(runtime.map(|file| format!("Left in /run/chmu: {file}")));
    let kdamonds = shell(KDAMONDS)?;
    if kdamonds.trim() != "0" {
        found.push(format!("DAMON still has {} kdamonds", kdamonds.trim()));
    }
    let listed = shell("chmu list -o json")?;
    let listed = serde_json::from_str(&listed).context("`chmu list` prints no JSON")?;
    found.extend(enabled_units(&listed));
    let log = shell("dmesg -r -c")?;
    let findings = kernel_log::judge(&log, allowed);
    found.extend(findings.iter().map(ToString::to_string));
    Ok(found)
}

fn enabled_units(listed: &Value) -> Vec<String> {
    fn all<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
        value[key].as_array().into_iter().flatten()
    }
    let devices = listed.as_array().into_iter().flatten();
    let blocks = devices.flat_map(|device| all(device, "blocks"));
    let instances = blocks.flat_map(|block| all(block, "instances"));
    let enabled = instances.filter(|instance| instance["status"]["enabled"] != false);
    enabled
        .map(|instance| format!("The unit {} is still enabled", instance["name"]))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_unit_that_is_not_known_to_be_off_is_left() {
        let unit =
            |status: Value| json!([{"blocks": [{"instances": [{"name": "u", "status": status}]}]}]);
        assert!(enabled_units(&unit(json!({"enabled": false}))).is_empty());
        assert_eq!(enabled_units(&unit(json!({"enabled": true}))).len(), 1);
        assert_eq!(enabled_units(&unit(Value::Null)).len(), 1);
    }
}
