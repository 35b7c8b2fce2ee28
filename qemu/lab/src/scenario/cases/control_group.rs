// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A control group, for the time of a scenario.

use anyhow::Result;

use crate::scenario::bench::Bench;

const GROUPS: &str = "/run/cgroups";
/// The group's folder.
pub(super) const GROUP: &str = "/run/cgroups/group";

/// Makes a group with this controller, and takes it away with all that still runs in it.
pub(super) fn made(
    bench: &mut Bench<'_>,
    controller: &str,
    run: fn(&mut Bench<'_>) -> Result<()>,
) -> Result<()> {
    bench.shell(&format!("mkdir {GROUPS} && mount -t cgroup2 none {GROUPS}"))?;
    let has = bench.holds(&format!(
        "grep -qw {controller} {GROUPS}/cgroup.controllers"
    ))?;
    let ran = match has {
        true => with_controller(bench, controller, run),
        false => Bench::skip(format!(
            "The guest's kernel has no control groups with {controller}"
        )),
    };
    bench.shell(&format!("umount {GROUPS} && rmdir {GROUPS}"))?;
    ran
}

fn with_controller(
    bench: &mut Bench<'_>,
    controller: &str,
    run: fn(&mut Bench<'_>) -> Result<()>,
) -> Result<()> {
    let controllers = format!("{GROUPS}/cgroup.subtree_control");
    bench.shell(&format!(
        "echo +{controller} >{controllers} && mkdir {GROUP}"
    ))?;
    let ran = run(bench);
    // A program that was told to end is in its group until the kernel has taken it apart.
    bench.shell(&format!(
        "echo 1 >{GROUP}/cgroup.kill && \
         until grep -qx 'populated 0' {GROUP}/cgroup.events; do sleep 0.05; done && \
         rmdir {GROUP} && echo -{controller} >{controllers}"
    ))?;
    ran
}
