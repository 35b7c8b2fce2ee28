// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages of files that no process maps: scanning page tables never finds them, a device does.

use anyhow::Result;

use crate::scenario::bench::Bench;
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const TMPFS: Scenario = Scenario {
    name: "page-cache-tmpfs",
    summary: "hot pages of a file on tmpfs that no process maps are promoted",
    needs: Needs::topology("default"),
    run: on_tmpfs,
};

pub(super) const CLEAN: Scenario = Scenario {
    name: "page-cache-clean",
    summary: "hot pages of a file on ext4 that no process maps are promoted, and stay clean",
    needs: Needs::topology("default"),
    run: |bench| on_ext4(bench, IsDirty(false)),
};

pub(super) const DIRTY: Scenario = Scenario {
    name: "page-cache-dirty",
    summary: "the same before they were ever written to the disk: they stay dirty until all is there",
    needs: Needs::topology("default"),
    run: |bench| on_ext4(bench, IsDirty(true)),
};

/// Whether pages are dirty when they are promoted. Nobody writes to them again, so that what is lost
/// then is lost for ever.
#[derive(Clone, Copy)]
struct IsDirty(bool);

const PAGES: u64 = 2048;
const HOT: u64 = 384;
const BEFORE: &str = "before";
const AFTER: &str = "after";
const DISK: &str = "/run/disk";
const FOLDER: &str = "/run/ext4";
/// Set to 0 the kernel writes nothing to disks by itself.
const WRITEBACK: &str = "/proc/sys/vm/dirty_writeback_centisecs";

fn on_tmpfs(bench: &mut Bench<'_>) -> Result<()> {
    let file = "/dev/shm/pages";
    promote(bench, file, "--write-percent 10", |_, _| Ok(()))?;
    bench.shell(&format!("rm {file}"))?;
    Ok(())
}

/// A file system on a file in memory.
fn on_ext4(bench: &mut Bench<'_>, is_dirty: IsDirty) -> Result<()> {
    if !bench.holds("grep -qw ext4 /proc/filesystems && ls /dev/loop-control")? {
        return Bench::skip("The guest's kernel has no ext4 or no loop devices");
    }
    let interval = bench.shell(&format!("cat {WRITEBACK}; echo 0 >{WRITEBACK}"))?;
    bench.shell(&format!(
        "dd if=/dev/zero of={DISK} bs=1M count=0 seek=64 2>/dev/null && \
         mke2fs -b 4096 -F {DISK} >/dev/null 2>&1 && mkdir -p {FOLDER} && \
         mount -t ext4 -o loop {DISK} {FOLDER}"
    ))?;
    let ran = with_disk(bench, is_dirty);
    bench.shell(&format!(
        "umount {FOLDER} && rm {DISK} && rmdir {FOLDER} && echo {interval} >{WRITEBACK}"
    ))?;
    ran
}

fn with_disk(bench: &mut Bench<'_>, IsDirty(is_dirty): IsDirty) -> Result<()> {
    let file = format!("{FOLDER}/pages");
    let look = |bench: &mut Bench<'_>, when: &str| {
        let dirty = dirty_pages(bench)?;
        bench.figure(&format!("dirty pages {when}"), dirty);
        let is_right = match is_dirty {
            true => dirty >= PAGES,
            // The file system's own.
            false => dirty < HOT / 10,
        };
        bench.expect(is_right, || {
            format!("{when} the promotion {dirty} pages are dirty; the file has {PAGES}")
        });
        Ok(())
    };
    promote(bench, &file, "--write-percent 0", |bench, when| {
        if when == BEFORE && !is_dirty {
            bench.shell("sync")?;
        }
        look(bench, when)
    })?;
    // What is read is what was written, also once it comes from the disk.
    let sum = format!("sha256sum <{file}");
    let cached = bench.shell(&sum)?;
    let kept = bench.shell(&format!("sync; echo 3 >/proc/sys/vm/drop_caches; {sum}"))?;
    bench.expect(cached == kept, || {
        "The file on the disk is not what its pages held".to_owned()
    });
    bench.shell(&format!("rm {file}"))?;
    Ok(())
}

/// Promotes the pages of a file, with a look at it before and afterwards.
fn promote(
    bench: &mut Bench<'_>,
    file: &str,
    how: &str,
    look: impl Fn(&mut Bench<'_>, &str) -> Result<()>,
) -> Result<()> {
    let options =
        format!("--pages {PAGES} --hot-pages {HOT} --cold-percent 0.1 --backing file:{file} {how}");
    let workload = bench.workload(&options)?;
    look(bench, BEFORE)?;
    let promotion = bench.start_promotion("")?;
    bench.go(&workload)?;
    bench.wait_until_promoted(&promotion, &workload)?;
    let promoted = bench.stop_promotion(promotion)?;
    look(bench, AFTER)?;
    let mapped = bench.holds(&format!("grep -l {file} /proc/[0-9]*/maps"))?;
    bench.expect(!mapped, || format!("A process maps {file}"));
    bench.expect_proven(&Demand::all("workload", &[&workload], &promoted, &[0]))?;
    bench.end("workload", workload)?;
    Ok(())
}

/// Pages of both nodes that are to be written to a disk.
fn dirty_pages(bench: &mut Bench<'_>) -> Result<u64> {
    let script = "awk '/^nr_dirty / { print $2 }' /proc/vmstat";
    Ok(bench.shell(script)?.parse()?)
}
