// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab run`: a program of a Debian userland in a guest, on chosen memory, with files in and out.

use std::fs;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use chmu_tests::lab_program::lab_program;

/// Takes 64 MiB, says where they are, and what else a program meets.
const PROGRAM: &str = r#"
    my $taken = "a" x (64 << 20);
    open(my $maps, "<", "/proc/self/numa_maps") or die;
    my %pages;
    while (<$maps>) { while (/ N(\d+)=(\d+)/g) { $pages{$1} += $2 } }
    my $slow = $pages{1} // 0;
    print "slow enough\n" if $slow >= 16384;
    open(my $word, "<", "/mnt/given/word") or die;
    print "given ", <$word>;
    print "writable\n" if open(my $no, ">", "/mnt/given/other");
    print "greeting $ENV{GREETING}\n";
    mkdir "/root/results";
    open(my $out, ">", "/root/results/one") or die;
    print $out "x" x 200000;
    close $out;
    print STDERR "complaint\n";
    exit 7;
"#;

#[test]
fn a_program_of_debian_runs_on_the_cxl_memory() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path();
    fs::create_dir(path.join("given"))?;
    fs::write(path.join("given/word"), "word\n")?;
    let share = format!("{}:/mnt/given:ro", path.join("given").display());
    let results = path.join("results");
    let copy = format!("/root/results:{}", results.display());
    let output = run(&[
        "--on=cxl",
        "--env=GREETING=hello you",
        "--share",
        &share,
        "--copy-out",
        &copy,
        "--",
        "perl",
        "-e",
        PROGRAM,
    ])?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        printed, "slow enough\ngiven word\ngreeting hello you\n",
        "{said}"
    );
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("complaint\n"), "{said}");
    assert_eq!(fs::read(results.join("one"))?, b"x".repeat(200_000));
    // Nothing else is left beside what was there.
    let left = fs::read_dir(path)?.count();
    assert_eq!(left, 2, "{said}");
    Ok(())
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_boots() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("image");
    fs::write(&image, "")?;
    let image = image.to_str().context("no text")?;
    let on_image = format!("--rootfs={image}");
    for (options, sentence) in [
        (&[][..], "COMMAND"),
        (&["--share=/no/such", "--", "true"], "Cannot share /no/such"),
        (
            &["--disk=/no/such", "--", "true"],
            "Cannot read the disk /no/such",
        ),
        (
            &["--rootfs=/no/such", "--", "true"],
            "neither debian nor busybox",
        ),
        (&["--copy-out=x", "--", "true"], "from the guest's root"),
        (&["--env=x", "--", "true"], "write NAME=VALUE"),
        (
            &["--package=X", "--", "true"],
            "no name of a Debian package",
        ),
        (
            &[&on_image, "--package=fio", "--", "true"],
            "--package installs into a userland of the lab's making",
        ),
    ] {
        let output = run(options)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(sentence), "{options:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{options:?}: {said}");
    }
    Ok(())
}

fn run(options: &[&str]) -> Result<Output> {
    Command::new(lab_program()?)
        .arg("run")
        .args(options)
        .output()
        .context("Cannot start the lab")
}
