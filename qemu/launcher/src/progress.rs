// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a program is busy with, on stderr: live on a terminal, dated lines elsewhere.
//!
//! On a terminal each activity has one line with its elapsed seconds, which goes away at its end.
//! Elsewhere each step is a line with a date, and a step that takes long says so again before ten
//! seconds have passed. A stderr that nobody reads is no failure.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::date;

/// How often elapsed seconds are drawn anew.
const REDRAW_INTERVAL: Duration = Duration::from_millis(250);
/// How long plain output stays silent: below ten seconds, also on a busy machine.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(7);

/// Begins a live redraw: lines are cut at the edge rather than wrapped.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const CLEAR_LINE: &str = "\r\x1b[2K";
const LINE_UP: &str = "\x1b[1A";

/// One activity; dropping it ends the activity.
#[derive(Debug)]
pub struct Progress {
    board: Arc<Board>,
    id: u64,
}

/// What is shown where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Live,
    Plain,
    Hidden,
}

/// All activities of a program.
struct Board {
    style: Style,
    state: Mutex<State>,
    /// Signalled when the last activity has ended.
    ended: Condvar,
}

struct State {
    activities: Vec<Activity>,
    next_id: u64,
    output: Box<dyn Write + Send>,
    drawn_lines: usize,
    last_line: Instant,
}

struct Activity {
    id: u64,
    /// Stands before all that the activity says; empty for one that needs no name.
    name: String,
    /// Empty before the first step.
    text: String,
    detail: String,
    percent: Option<u64>,
    begin: Instant,
}

impl Progress {
    /// An activity shown on stderr.
    pub fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        let style = match io::stderr().is_terminal() && !dumb {
            true => Style::Live,
            false => Style::Plain,
        };
        let interval = match style {
            Style::Live => REDRAW_INTERVAL,
            _ => HEARTBEAT_INTERVAL,
        };
        Self::start(style, Box::new(io::stderr()), interval)
    }

    /// An activity that nobody sees.
    pub fn hidden() -> Self {
        Self::start(Style::Hidden, Box::new(io::sink()), HEARTBEAT_INTERVAL)
    }

    fn start(style: Style, output: Box<dyn Write + Send>, interval: Duration) -> Self {
        let board = Arc::new(Board {
            style,
            state: Mutex::new(State {
                activities: Vec::new(),
                next_id: 0,
                output,
                drawn_lines: 0,
                last_line: Instant::now(),
            }),
            ended: Condvar::new(),
        });
        let first = Self::join(&board, "");
        if style != Style::Hidden {
            thread::spawn(move || board.keep_saying(interval));
        }
        first
    }

    fn join(board: &Arc<Board>, name: &str) -> Self {
        let mut state = board.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.activities.push(Activity {
            id,
            name: name.to_owned(),
            text: String::new(),
            detail: String::new(),
            percent: None,
            begin: Instant::now(),
        });
        Self {
            board: Arc::clone(board),
            id,
        }
    }

    /// A further activity that goes on at the same time, with a line of its own.
    pub fn beside(&self) -> Self {
        Self::join(&self.board, "")
    }

    /// A further activity like others of its kind: all that it says begins with its name.
    pub fn beside_as(&self, name: &str) -> Self {
        Self::join(&self.board, name)
    }

    /// Begins a step, of unknown length until [`Progress::percent`] says more.
    pub fn step(&self, text: impl Into<String>) {
        let text = text.into();
        self.change(|activity| {
            activity.text = text;
            activity.detail.clear();
            activity.percent = None;
            activity.begin = Instant::now();
        });
        let mut state = self.board.lock();
        match self.board.style {
            Style::Live => state.redraw(),
            Style::Plain => {
                let line = state.of(self.id).map(|it| it.named(&it.text));
                state.print(&line.unwrap_or_default());
            }
            Style::Hidden => {}
        }
    }

    /// How far the current step is, out of 100.
    pub fn percent(&self, percent: u64) {
        self.change(|activity| activity.percent = Some(percent.min(100)));
    }

    /// What the current step is at.
    pub fn detail(&self, detail: impl Into<String>) {
        let detail = detail.into();
        self.change(|activity| activity.detail = detail);
    }

    /// Prints a line that stays.
    pub fn say(&self, line: &str) {
        let mut state = self.board.lock();
        let line = state.of(self.id).map(|activity| activity.named(line));
        let line = line.unwrap_or_default();
        match self.board.style {
            Style::Live => {
                state.clear();
                state.write(&format!("{line}\n"));
                state.redraw();
            }
            Style::Plain => state.print(&line),
            Style::Hidden => {}
        }
    }

    /// Something else has printed a line: there is no need to say anything for a while.
    pub fn heard(&self) {
        self.board.lock().last_line = Instant::now();
    }

    /// Whether lines are drawn on a terminal.
    pub fn is_live(&self) -> bool {
        self.board.style == Style::Live
    }

    fn change(&self, change: impl FnOnce(&mut Activity)) {
        if let Some(activity) = self.board.lock().of(self.id) {
            change(activity);
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut state = self.board.lock();
        state.activities.retain(|activity| activity.id != self.id);
        if self.board.style == Style::Live {
            state.redraw();
        }
        if state.activities.is_empty() {
            self.board.ended.notify_all();
        }
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until the last activity has ended.
    fn keep_saying(&self, interval: Duration) {
        let mut state = self.lock();
        while !state.activities.is_empty() {
            let pause = match self.style {
                Style::Live => interval,
                _ => interval.saturating_sub(state.last_line.elapsed()),
            };
            let waited = self.ended.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            match self.style {
                Style::Live => state.redraw(),
                _ if state.last_line.elapsed() >= interval => state.repeat(),
                _ => {}
            }
        }
    }
}

impl State {
    fn of(&mut self, id: u64) -> Option<&mut Activity> {
        let mut activities = self.activities.iter_mut();
        activities.find(|activity| activity.id == id)
    }

    fn shown(&self) -> Vec<String> {
        let begun = self.activities.iter().filter(|it| !it.text.is_empty());
        begun.map(Activity::to_string).collect()
    }

    /// Says of every activity how it stands.
    fn repeat(&mut self) {
        self.last_line = Instant::now();
        for line in self.shown() {
            self.print(&line);
        }
    }

    fn print(&mut self, line: &str) {
        self.last_line = Instant::now();
        self.write(&format!("{} {line}\n", date::utc(SystemTime::now())));
    }

    fn redraw(&mut self) {
        let lines = self.shown();
        if lines.is_empty() && self.drawn_lines == 0 {
            return;
        }
        let text = format!("{}{}{WRAP}", self.clearing(), lines.join("\n"));
        self.drawn_lines = lines.len();
        self.write(&text);
    }

    fn clear(&mut self) {
        let text = format!("{}{WRAP}", self.clearing());
        self.drawn_lines = 0;
        self.write(&text);
    }

    /// Takes the cursor to the first of the drawn lines, which are then empty.
    fn clearing(&self) -> String {
        let above = self.drawn_lines.saturating_sub(1);
        format!(
            "{NO_WRAP}{CLEAR_LINE}{}",
            format!("{LINE_UP}{CLEAR_LINE}").repeat(above)
        )
    }

    /// One write, so that lines of several processes do not mix.
    fn write(&mut self, text: &str) {
        // Nobody can be told that stderr is full or closed.
        let _ = self.output.write_all(text.as_bytes());
        let _ = self.output.flush();
    }
}

impl Activity {
    fn named(&self, text: &str) -> String {
        match self.name.as_str() {
            "" => text.to_owned(),
            name => format!("{name}: {text}"),
        }
    }
}

/// The detail is last: a narrow terminal cuts it off.
impl std::fmt::Display for Activity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.named(&self.text))?;
        if let Some(percent) = self.percent {
            write!(f, ", {percent} %")?;
        }
        write!(f, ", {} s", self.begin.elapsed().as_secs())?;
        match self.detail.as_str() {
            "" => Ok(()),
            detail => write!(f, ": {detail}"),
        }
    }
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board")
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
