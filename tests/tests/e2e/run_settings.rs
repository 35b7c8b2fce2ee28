// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What `cargo lab run` sets for a program, seen by the program: memory, huge pages, its group, disks, time, and file
//! systems of a user's own.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use chmu_tests::lab_program::lab_run;

/// Sees where 64 MiB of it are and how large their pages, in which group it is, and makes a file system of a folder on
/// one disk; the other one stays as it is.
const PROGRAM: &str = r#"
    my $taken = "a" x (64 << 20);
    my (%pages, $huge);
    open(my $maps, "<", "/proc/self/numa_maps") or die;
    while (<$maps>) { while (/ N(\d+)=(\d+)/g) { $pages{$1} += $2 } }
    open(my $sums, "<", "/proc/self/smaps_rollup") or die;
    while (<$sums>) { $huge = $1 if /^AnonHugePages: *(\d+) kB/ }
    # A third, as the program has other pages than these.
    print "on both nodes\n" if $pages{0} > 5400 and $pages{1} > 5400;
    print "huge pages\n" if $huge >= 32 << 10;
    print "group ", `cat /proc/self/cgroup`;
    print "at most ", `cat /sys/fs/cgroup/run/memory.max`;
    print "kernel ", `cat /sys/kernel/mm/transparent_hugepage/enabled`;
    system("mke2fs -q -F -d /mnt/root /dev/vdb") and die "mke2fs";
    print "disk ", `head -c 5 /dev/vdc`;
    my $other;
    print "written\n" if open($other, "+<", "/dev/vdc") and syswrite($other, "lost");
"#;
const KEPT: &str = "kept\n";
const DISK_BYTES: u64 = 64 << 20;

#[test]
fn a_program_gets_what_is_set_for_it_and_its_disk_is_a_root_file_system() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (root, image) = (folder.path().join("root"), folder.path().join("image"));
    make_root(&root)?;
    let kept = folder.path().join("kept");
    for disk in [&image, &kept] {
        File::create(disk)?.set_len(DISK_BYTES)?;
    }
    fs::write(&kept, [KEPT.as_bytes(), &[0; 8192]].concat())?;
    let output = lab_run(&[
        "--on=interleave",
        "--thp=always",
        "--cgroup=memory.max=512M",
        &format!("--disk={}", image.display()),
        &format!("--disk={}:ro", kept.display()),
        &format!("--share={}:/mnt/root:ro", root.display()),
        "--",
        "perl",
        "-e",
        PROGRAM,
    ])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "on both nodes\nhuge pages\ngroup 0::/run\nat most 536870912\nkernel [always] madvise never\ndisk kept\n",
        "{said}"
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(fs::read(&kept)?.starts_with(KEPT.as_bytes()));

    // What a program changes of a root file system of the user's is forgotten.
    for given in [&root, &image] {
        for _ in 0..2 {
            let output = lab_run(&[
                &format!("--rootfs={}", given.display()),
                "--",
                "sh",
                "-c",
                "cat /word; echo changed >>/word; cat /word",
            ])?;
            let said = String::from_utf8_lossy(&output.stderr);
            let printed = String::from_utf8_lossy(&output.stdout);
            assert_eq!(printed, "mine\nmine\nchanged\n", "{given:?}: {said}");
        }
    }
    assert_eq!(fs::read_to_string(root.join("word"))?, "mine\n");
    Ok(())
}

#[test]
fn a_program_that_takes_too_long_is_ended_and_so_is_one_that_does_not_listen() -> Result<()> {
    for program in ["sleep 100000", "trap '' TERM; while :; do sleep 1; done"] {
        let output = lab_run(&["--rootfs=busybox", "--timeout=2", "--", "sh", "-c", program])?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(124), "{program}: {said}");
    }
    Ok(())
}

/// A folder with a program of the guest's, and little else.
fn make_root(root: &Path) -> Result<()> {
    let programs = root.join("bin");
    fs::create_dir_all(&programs)?;
    fs::create_dir(root.join("root"))?;
    fs::write(root.join("word"), "mine\n")?;
    let copy = format!("/bin/busybox:{}", programs.join("busybox").display());
    let output = lab_run(&["--rootfs=busybox", "--copy-out", &copy, "--", "true"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for name in ["sh", "mount", "cat"] {
        symlink("busybox", programs.join(name))?;
    }
    Ok(())
}
