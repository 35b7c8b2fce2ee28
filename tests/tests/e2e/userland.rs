// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab run`: a program of a Debian userland in a guest, on chosen memory, with files in and out.

use std::fs;

use anyhow::{Context, Result};
use chmu_tests::lab_program::lab_run;
use serde_json::Value;

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
    let output = lab_run(&[
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

/// Reads 64 MiB again and again, and looks at what it reads.
const READER: &str = r#"# summary: reads memory
# packages: perl-base
# footprint: 64 MiB
# verified: a sum
set -eu
: "${SCALE:=1}" "${BREAK:=}"
exec perl -e '
    my $taken = pack("L", 3) x (16 << 20);
    substr($taken, 4000, 1) = "x" if $ARGV[0];
    my $right = 3 * (16 << 20);
    for (1 .. 8) { unpack("%32L*", $taken) == $right or die "The sum is wrong\n" }
    print "right\n";
' "$BREAK"
"#;

/// Where a program's memory is shows in what is counted, and only there.
#[test]
fn each_tier_serves_what_lies_in_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("reader.sh");
    fs::write(&script, READER)?;
    let script = format!("--workload={}", script.display());
    let share = |memory: &str| -> Result<f64> {
        let file = folder.path().join(format!("{memory}.json"));
        let output = lab_run(&[
            &script,
            &format!("--on={memory}"),
            "--tiers=90:190",
            &format!("--tiers-to={}", file.display()),
        ])?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "right\n", "{said}");
        for text in [
            "CXL's share of fills",
            "with 90 ns to other and 190 ns to CXL memory",
        ] {
            assert!(said.contains(text), "{said}");
        }
        let report: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
        let fills = |tier: &str| report["counted"][tier]["reads"].as_u64();
        let fills = (
            fills("cxl").context("no count")?,
            fills("other").context("no count")?,
        );
        // All lines of 64 MiB, eight times.
        assert!(fills.0 + fills.1 >= 8 << 20, "{report}");
        let samples = report["samples"].as_array().context("no samples")?;
        let last = samples.last().context("no samples")?;
        assert_eq!(last["cxl"], report["counted"]["cxl"]);
        let time = |of: &str| report["modelled"][of]["most_ns"].as_f64();
        assert!(time("all_other") <= time("as_it_was") && time("as_it_was") <= time("all_cxl"));
        report["cxl_share"].as_f64().context("no share")
    };
    let (cxl, dram) = (share("cxl")?, share("dram")?);
    assert!(
        cxl > 0.5 && dram < 0.1,
        "{cxl} and {dram} of the fills are of CXL memory"
    );
    let broken = lab_run(&[&script, "--env=BREAK=1"])?;
    let said = String::from_utf8_lossy(&broken.stderr);
    assert_eq!(broken.status.code(), Some(255), "{said}");
    assert!(said.contains("The sum is wrong"), "{said}");
    Ok(())
}

/// A workload without packages, in memory of the slow node.
#[test]
fn a_graph_is_searched_in_cxl_memory() -> Result<()> {
    let output = lab_run(&["--workload=graph", "--on=cxl"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        printed.starts_with("65536 vertices, 1048576 edges, ")
            && printed.ends_with("\nAll of it is right\n"),
        "{printed}"
    );
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
        (&["--workload=redsi"], "did you mean redis?"),
        (&["--workload=redis", "--", "true"], "cannot be used with"),
        (&["--tiers=fast", "--", "true"], "names no figures"),
        (&["--tiers-to=x.csv", "--", "true"], "--tiers"),
        (
            &["--tiers", "--tiers-to=x", "--", "true"],
            "neither in .csv nor in .json",
        ),
        (
            &["--tiers", "--no-plugin", "--", "true"],
            "cannot be used with",
        ),
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
        let output = lab_run(options)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(sentence), "{options:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{options:?}: {said}");
    }
    Ok(())
}
