// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A program as somebody at a terminal uses it: what it prints is read, then something is typed.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What is shown of a program that does not say what it should.
const SHOWN_BYTES: usize = 4000;
const BLOCK_BYTES: usize = 4096;

/// A running program; it is killed when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    blocks: Receiver<Vec<u8>>,
    /// All that was printed so far.
    printed: Vec<u8>,
    /// How much of it was waited for.
    seen: usize,
}

impl Terminal {
    /// Starts the program with pipes for its input and output.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("Cannot run {}", command.get_program().display()))?;
        let mut output = child.stdout.take().context("There is no pipe")?;
        let (sender, blocks) = channel();
        thread::spawn(move || {
            let mut block = [0; BLOCK_BYTES];
            while let Ok(length) = output.read(&mut block) {
                if length == 0 || sender.send(block[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            input: child.stdin.take(),
            child,
            blocks,
            printed: Vec::new(),
            seen: 0,
        })
    }

    /// The program's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program prints `text`, behind what was waited for before.
    ///
    /// # Errors
    /// When it does not within `timeout`, or ends before.
    pub fn wait_for(&mut self, text: &str, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let news = &self.printed[self.seen..];
            let found = news
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(place) = found {
                self.seen += place + text.len();
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let block = self.blocks.recv_timeout(left).with_context(|| {
                let start = self.printed.len().saturating_sub(SHOWN_BYTES);
                let end = String::from_utf8_lossy(&self.printed[start..]);
                format!("The program does not print {text:?}, but ...{end}")
            })?;
            self.printed.extend(block);
        }
    }

    /// Types a line.
    ///
    /// # Errors
    /// When the program does not read.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("The input is closed")?;
        writeln!(input, "{line}")?;
        Ok(input.flush()?)
    }

    /// Reads the rest of the output and waits for the program's end.
    ///
    /// # Errors
    /// When it goes on printing after `timeout`.
    pub fn end(mut self, timeout: Duration) -> Result<(ExitStatus, String)> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.blocks.recv_timeout(left) {
                Ok(block) => self.printed.extend(block),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(error) => return Err(error).context("The program does not end"),
            }
        }
        let status = self.child.wait()?;
        Ok((status, String::from_utf8_lossy(&self.printed).into_owned()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[test]
    fn what_is_printed_is_waited_for_in_order() -> Result<()> {
        let mut shell = Terminal::start(&mut Command::new("sh"))?;
        shell.type_line("echo one; echo two")?;
        shell.wait_for("two", TIMEOUT)?;
        shell.type_line("echo one; exit 3")?;
        shell.wait_for("one", TIMEOUT)?;
        let (status, printed) = shell.end(TIMEOUT)?;
        assert_eq!(status.code(), Some(3));
        assert_eq!(printed, "one\ntwo\none\n");
        Ok(())
    }

    #[test]
    fn the_end_of_a_program_is_told() -> Result<()> {
        let mut shell = Terminal::start(Command::new("sh").args(["-c", "echo done"]))?;
        let error = shell.wait_for("never", TIMEOUT).unwrap_err();
        assert!(error.to_string().contains("...done"), "{error}");
        Ok(())
    }
}
