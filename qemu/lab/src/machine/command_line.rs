// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A program with its arguments, to be started or to be shown.

use std::fmt;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CommandLine {
    words: Vec<String>,
}

impl CommandLine {
    /// A program without arguments.
    pub fn new(program: &Path) -> Self {
        Self::from_words(vec![program.to_string_lossy().into_owned()])
    }

    /// A program that is started through others, such as a dynamic loader.
    pub fn from_words(words: Vec<String>) -> Self {
        Self { words }
    }

    /// Adds arguments.
    pub fn extend<T: Into<String>>(&mut self, arguments: impl IntoIterator<Item = T>) {
        self.words.extend(arguments.into_iter().map(Into::into));
    }

    /// The program and its arguments.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    pub(super) fn command(&self) -> Command {
        let (program, arguments) = match self.words.split_first() {
            Some((program, arguments)) => (program.as_str(), arguments),
            None => ("", &[][..]),
        };
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }
}

/// Quoted for a shell, with a line for each option.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            match index {
                0 => {}
                _ if word.starts_with('-') => f.write_str(" \\\n  ")?,
                _ => f.write_str(" ")?,
            }
            // Only a NUL cannot be quoted, and no argument can contain one.
            f.write_str(&shlex::try_quote(word).unwrap_or_default())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_is_shown() {
        let words = [
            "-append",
            "memmap=64K$0x70000000 it's",
            r#"{"driver":"x"}"#,
            "",
        ];
        let mut command = CommandLine::new(Path::new("printf"));
        command.extend(["%s\\n"]);
        command.extend(words);
        let shown = command.to_string();
        assert!(shown.contains(" \\\n  -append "), "{shown}");
        let output = Command::new("sh").args(["-c", &shown]).output().unwrap();
        let read = String::from_utf8(output.stdout).unwrap();
        assert_eq!(read.lines().collect::<Vec<_>>(), words);
    }
}
