// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device process's manual clock: a line `advance NANOSECONDS` is answered with
//! `now NANOSECONDS`.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long the device may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// No answer is longer.
const ANSWER_MAX_BYTES: u64 = 256;

/// The clock of a device process.
#[derive(Debug)]
pub(super) struct ManualClock(BufReader<UnixStream>);

impl ManualClock {
    pub(super) fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("Cannot connect to the clock at {}", path.display()))?;
        Self::over(stream)
    }

    fn over(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Lets time pass; when it returns, the device has done what was due meanwhile.
    pub(super) fn advance(&mut self, time: Duration) -> Result<()> {
        let request = format!("advance {}\n", time.as_nanos());
        self.0
            .get_mut()
            .write_all(request.as_bytes())
            .context("Cannot move the device's clock")?;
        let mut answer = String::new();
        (&mut self.0)
            .take(ANSWER_MAX_BYTES)
            .read_line(&mut answer)
            .context("The device's clock does not answer")?;
        let now = answer.strip_prefix("now ").map(str::trim_end);
        let is_answer = now.is_some_and(|now| now.parse::<u64>().is_ok());
        ensure!(is_answer, "The device's clock answers {answer:?}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn answered(answer: &'static str) -> Result<()> {
        let (ours, mut theirs) = UnixStream::pair()?;
        let server = thread::spawn(move || {
            let mut line = String::new();
            BufReader::new(theirs.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            theirs.write_all(answer.as_bytes()).unwrap();
            line
        });
        let outcome = ManualClock::over(ours)?.advance(Duration::from_micros(5));
        assert_eq!(server.join().unwrap(), "advance 5000\n");
        outcome
    }

    #[test]
    fn only_the_time_is_an_answer() {
        answered("now 5000\n").unwrap();
        for answer in ["", "now\n", "now x\n", "error: no\n"] {
            let error = answered(answer).unwrap_err();
            let expected = format!("The device's clock answers {answer:?}");
            assert_eq!(error.to_string(), expected);
        }
    }
}
