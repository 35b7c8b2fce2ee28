// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's shell on the user's terminal: started by the lab, and by the commands that the lab
//! prints, as they are.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::{PROGRAM_TIMEOUT, Turn};
use chmu_tests::lab_program::lab_program;
use chmu_tests::processes;
use chmu_tests::terminal::Terminal;

use crate::command_line::lab;

const PROMPT: &str = "# ";
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Waits for the shell, and has it see the device. What is typed comes back as an echo, so the
/// answer is not in it.
fn see_the_device(terminal: &mut Terminal, answer: [&str; 2]) -> Result<()> {
    terminal.wait_for(PROMPT, PROGRAM_TIMEOUT)?;
    let [start, end] = answer;
    terminal.type_line(&format!(
        "[ ! -e /run/before ] && [ -d /sys/bus/cxl/devices/region0 ] && chmu list && \
         echo {start}''{end}"
    ))?;
    terminal.wait_for(&format!("{start}{end}"), PROGRAM_TIMEOUT)?;
    terminal.wait_for(PROMPT, PROGRAM_TIMEOUT)
}

#[test]
fn a_guest_that_may_reboot_comes_up_again() -> Result<()> {
    let _turn = Turn::take(KernelChoice::Backports)?;
    let mut command = Command::new(lab_program()?);
    let mut terminal = Terminal::start(command.args(["boot", "--reboot"]))?;
    see_the_device(&mut terminal, ["first", "boot"])?;
    terminal.type_line("touch /run/before; reboot -f")?;
    see_the_device(&mut terminal, ["second", "boot"])?;
    terminal.type_line("poweroff -f")?;
    let (status, printed) = terminal.end(PROGRAM_TIMEOUT)?;
    assert!(status.success(), "{status}: {printed}");
    Ok(())
}

#[test]
fn a_guest_that_may_not_reboot_ends() -> Result<()> {
    let _turn = Turn::take(KernelChoice::Backports)?;
    let mut command = Command::new(lab_program()?);
    let mut terminal = Terminal::start(command.arg("boot"))?;
    see_the_device(&mut terminal, ["first", "boot"])?;
    terminal.type_line("reboot -f")?;
    let (status, printed) = terminal.end(PROGRAM_TIMEOUT)?;
    assert!(status.success(), "{status}: {printed}");
    Ok(())
}

/// The commands that `--dry-run` prints, with the device's running.
#[derive(Debug)]
struct Printed {
    folder: PathBuf,
    qemu: String,
    device: Child,
}

impl Printed {
    fn start(options: &[&str]) -> Result<Self> {
        let output = lab(&[&["boot", "--dry-run"], options].concat())?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{text}");
        let folder = text
            .lines()
            .find_map(|line| line.strip_prefix("# Files: "))
            .context("The folder is not named")?;
        let folder = PathBuf::from(folder);
        // A shell takes the comments, too.
        let mut commands = text.split("\n\n").skip(1);
        let (Some(device), Some(qemu), None) = (commands.next(), commands.next(), commands.next())
        else {
            anyhow::bail!("Not two commands: {text}");
        };
        let device = Command::new("sh")
            .args(["-c", &format!("exec {}", without_comments(device))])
            .stderr(Stdio::null())
            .spawn()?;
        let printed = Self {
            device,
            qemu: without_comments(qemu),
            folder,
        };
        printed.wait_for_sockets()?;
        Ok(printed)
    }

    fn wait_for_sockets(&self) -> Result<()> {
        let deadline = Instant::now() + PROGRAM_TIMEOUT;
        for purpose in ["vfio", "access", "statistics"] {
            let socket = self.folder.join(format!("device-0-{purpose}.sock"));
            while !socket.exists() {
                ensure!(Instant::now() < deadline, "The device does not listen");
                thread::sleep(LOOK_INTERVAL);
            }
        }
        Ok(())
    }

    /// Has a shell run QEMU's command with these words behind it.
    fn run_qemu(&self, words: &str, stderr: Stdio) -> Result<Terminal> {
        let mut command = Command::new("sh");
        let line = format!("exec {} {words}", self.qemu.trim_end());
        Terminal::start(command.args(["-c", &line]).stderr(stderr))
    }

    fn end(mut self) -> Result<()> {
        processes::signal(self.device.id(), libc::SIGTERM)?;
        self.device.wait()?;
        Ok(fs::remove_dir_all(&self.folder)?)
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.device.kill();
        let _ = self.device.wait();
    }
}

/// What a shell runs of a paragraph.
fn without_comments(paragraph: &str) -> String {
    let lines = paragraph.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_printed_commands_boot_as_they_are() -> Result<()> {
    let _turn = Turn::take(KernelChoice::Backports)?;
    let printed = Printed::start(&[])?;
    let mut terminal = printed.run_qemu("", Stdio::null())?;
    see_the_device(&mut terminal, ["by", "hand"])?;
    terminal.type_line("poweroff -f")?;
    let (status, said) = terminal.end(PROGRAM_TIMEOUT)?;
    assert!(status.success(), "{status}: {said}");
    printed.end()
}

#[test]
fn a_plugin_whose_complaint_nobody_reads_does_not_end_qemu() -> Result<()> {
    let _turn = Turn::take(KernelChoice::Backports)?;
    let settings = tempfile::NamedTempFile::new()?;
    fs::write(settings.path(), "access_rings = 8\n")?;
    let settings = settings.path().to_str().context("The name is no text")?;
    let options = ["--smp", "9", "--device-settings", settings];
    let broken = || -> Result<Stdio> {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        Ok(writer.into())
    };
    let full = OpenOptions::new().write(true).open("/dev/full")?;
    for (words, stderr) in [("2>&-", Stdio::null()), ("", full.into()), ("", broken()?)] {
        let printed = Printed::start(&options)?;
        let mut terminal = printed.run_qemu(words, stderr)?;
        see_the_device(&mut terminal, ["still", "here"])?;
        terminal.type_line("nproc | sed 's/^/processors: /'")?;
        terminal.wait_for("processors: 9", PROGRAM_TIMEOUT)?;
        terminal.type_line("poweroff -f")?;
        let (status, said) = terminal.end(PROGRAM_TIMEOUT)?;
        assert!(status.success(), "{words}: {status}: {said}");
        printed.end()?;
    }
    Ok(())
}
