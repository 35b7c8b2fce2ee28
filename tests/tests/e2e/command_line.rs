// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The lab's verbs as a user types them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::Turn;
use chmu_tests::lab_program::lab_program;
use serde_json::Value;

/// Runs the lab to its end.
pub(crate) fn lab(arguments: &[&str]) -> Result<Output> {
    let program = lab_program()?;
    let mut command = Command::new(&program);
    command.args(arguments);
    command
        .output()
        .with_context(|| format!("Cannot run {}", program.display()))
}

#[test]
fn a_dry_run_prints_commands_for_a_shell() -> Result<()> {
    // Fetches what is missing.
    drop(Turn::take(KernelChoice::Backports)?);
    let output = lab(&["demo", "--dry-run"])?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{text}");
    let folder = text
        .lines()
        .find_map(|line| line.strip_prefix("# Files: "))
        .context("The folder is not named")?;
    let commands = commands(&text)?;
    let [device, qemu] = commands.as_slice() else {
        anyhow::bail!("Not two commands: {text}");
    };
    assert!(device[0].ends_with("vfio-user-chmu"), "{device:?}");
    assert!(Path::new(&device[0]).is_file(), "{device:?}");
    assert!(Path::new(value(device, "--config")?).is_file());
    assert!(Path::new(&qemu[0]).is_file(), "{qemu:?}");
    for option in ["-kernel", "-initrd"] {
        assert!(Path::new(value(qemu, option)?).is_file(), "{option}");
    }
    let (plugin, sockets) = value(qemu, "-plugin")?
        .split_once(',')
        .context("The plugin has no options")?;
    assert!(Path::new(plugin).is_file(), "{plugin}");
    assert!(sockets.contains(value(device, "--access-socket")?));
    let attached = qemu.iter().any(|word| {
        word.starts_with('{') && word.contains(value(device, "--socket-path").unwrap_or("?"))
    });
    assert!(attached, "{qemu:?}");
    // The next run removes what nobody uses.
    let output = lab(&["boot", "--dry-run", "--keep", "-o", "json"])?;
    let next: Value = serde_json::from_slice(&output.stdout)?;
    assert!(!Path::new(folder).exists(), "{folder}");
    let folder = next["folder"].as_str().context("No folder")?;
    let program = next["devices"][0]["command"][0].as_str();
    assert!(program.is_some_and(|program| Path::new(program).is_file()));
    assert!(Path::new(folder).join("initramfs").is_file(), "{next}");
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// The commands between comments and empty lines, split as a shell does.
fn commands(text: &str) -> Result<Vec<Vec<String>>> {
    let mut commands = Vec::new();
    for paragraph in text.split("\n\n") {
        let lines: Vec<_> = paragraph
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        if !lines.is_empty() {
            let command = lines.join("\n");
            let words = shlex::split(&command);
            commands.push(words.with_context(|| format!("No shell takes {command}"))?);
        }
    }
    Ok(commands)
}

fn value<'a>(command: &'a [String], option: &str) -> Result<&'a str> {
    let at = command.iter().position(|word| word == option);
    let value = at.and_then(|at| command.get(at + 1));
    let value = value.with_context(|| format!("{option} is missing: {command:?}"))?;
    Ok(value)
}

#[test]
fn values_are_looked_at_before_anything_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mine.toml");
    fs::write(&file, "vectors = 4\nvektors = 4\n")?;
    let settings = file.to_str().context("The folder's name is no text")?;
    let wrong_key = format!("{settings}:2:1: ");
    for (arguments, sentence) in [
        (&["demo", "--distribution", "zip"][..], "is no distribution"),
        (
            &["demo", "--hot-pages", "5000"],
            "5000 hot pages do not fit into 4096 pages",
        ),
        (&["demo", "--pages", "0"], "do not fit into 0 pages"),
        (&["demo", "--write-percent", "101"], "is no share"),
        (&["boot", "--smp", "0"], "has no processors"),
        (&["boot", "--memory", "100M"], "a multiple of 256 MiB"),
        (&["boot", "--profile", "poor"], "is no profile"),
        (&["boot", "--profile", "poor"], "huge-list"),
        (
            &["boot", "--mode", "vfio", "--memory-as", "dax"],
            "leave one of the two out",
        ),
        (&["boot", "--quirk", "none"], "is no quirk"),
        (&["boot", "--clock", "slow"], "is no clock"),
        (&["boot", "--clock", "manual"], "--clock-socket"),
        (
            &["boot", "--event-socket", "e", "--devices", "2"],
            "name one for each",
        ),
        (
            &[
                "boot",
                "--devices",
                "2",
                "--event-socket=e",
                "--event-socket=e",
            ],
            "for two devices",
        ),
        (&["boot", "--device-settings", settings], &wrong_key),
        (&["boot", "--qemu-args", "-name 'a"], "unclosed quote"),
    ] {
        // What is missing here would be complained of later.
        let arguments = [arguments, &["--qemu=/no/such/file"]].concat();
        let output = lab(&arguments)?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(sentence), "{arguments:?}: {said}");
        assert!(!said.contains("/no/such/file"), "{arguments:?}: {said}");
    }
    Ok(())
}

#[test]
fn doctor_answers_in_json() -> Result<()> {
    let output = lab(&["doctor", "-o", "json"])?;
    let findings: Value = serde_json::from_slice(&output.stdout)?;
    let findings = findings.as_array().context("No list")?;
    assert!(!findings.is_empty());
    Ok(())
}

#[test]
fn a_wrong_option_is_told_from_a_failure() -> Result<()> {
    for arguments in [&["demo", "--no-such-option"][..], &["no-such-verb"], &[]] {
        let output = lab(arguments)?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    let output = lab(&["demo", "--qemu=/no/such/file"])?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("/no/such/file"), "{said}");
    Ok(())
}
