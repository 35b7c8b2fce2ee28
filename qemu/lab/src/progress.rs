// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the lab is busy with, on a terminal; silent elsewhere.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// One line on stderr that goes away at the end.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A line when stderr is a terminal.
    pub fn new() -> Self {
        let bar = ProgressBar::new(100);
        bar.enable_steady_tick(REDRAW_INTERVAL);
        Self { bar }
    }

    /// A line that nobody sees.
    pub fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
        }
    }

    /// Begins a step of unknown length.
    pub fn step(&self, text: impl Into<Cow<'static, str>>) {
        let text = text.into();
        log::info!("{text}");
        self.bar.set_style(ProgressStyle::default_spinner());
        self.bar.set_message(text);
    }

    /// How far the current step is, out of 100.
    pub fn percent(&self, percent: u64) {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bar:30} {percent}%") {
            self.bar.set_style(style);
        }
        self.bar.set_position(percent.min(100));
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
