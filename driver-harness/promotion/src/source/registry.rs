// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The sources by name: each has one line here, and a file of its own beside this one.

use std::fmt;
use std::path::Path;

use chmu_machine::names::instead;

use super::{DamonSource, HotnessSource, SourceError, UserfaultfdSource, hint_faults, perf};
use crate::damon::Places;

type Opened = Result<Box<dyn HotnessSource>, SourceError>;

/// How a source comes to be.
#[derive(Debug, Clone, Copy)]
pub enum Opener {
    /// From units, which the caller selects and programs.
    Units,
    /// From lines of a file, which the caller names.
    Stream,
    /// From what follows its name.
    ByName(fn(&str) -> Opened),
}

/// A source that can be named.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What follows after a colon, as users read it; nothing where nothing may.
    pub argument: &'static str,
    /// Whether that must be there.
    pub needs_argument: bool,
    /// What it finds hot memory by.
    pub about: &'static str,
    /// How it comes to be.
    pub opener: Opener,
}

/// All sources.
#[rustfmt::skip]
pub const KINDS: [Kind; 7] = [
    Kind { name: "chmu", argument: "UNIT", needs_argument: false, about: "hotness monitoring units", opener: Opener::Units },
    Kind { name: "damon", argument: "", needs_argument: false, about: "DAMON, over the memory of slow nodes", opener: Opener::ByName(damon) },
    Kind { name: "accessed", argument: "PID", needs_argument: true, about: "accessed bits of a process, by DAMON", opener: Opener::ByName(accessed) },
    Kind { name: "userfaultfd", argument: "PID", needs_argument: true, about: "accessed bits of a process that shares its userfaultfd", opener: Opener::ByName(userfaultfd) },
    Kind { name: "hint-faults", argument: "", needs_argument: false, about: "NUMA hint faults, where the kernel tells pages", opener: Opener::ByName(hint_faults) },
    Kind { name: "perf", argument: "PMU", needs_argument: false, about: "a kernel driver's unit, through perf", opener: Opener::ByName(perf) },
    Kind { name: "stream", argument: "FILE", needs_argument: true, about: "JSON lines; - for standard input", opener: Opener::Stream },
];

fn damon(_: &str) -> Opened {
    Ok(Box::new(DamonSource::of_slow_memory(Places::default())?))
}

fn accessed(process: &str) -> Opened {
    let source = DamonSource::of_process(Places::default(), number(process)?)?;
    Ok(Box::new(source))
}

fn userfaultfd(process: &str) -> Opened {
    Ok(Box::new(UserfaultfdSource::of_process(number(process)?)?))
}

fn number(process: &str) -> Result<u32, SourceError> {
    process
        .parse()
        .map_err(|_| SourceError::ProcessNumber(process.to_owned()))
}

fn hint_faults(_: &str) -> Opened {
    Err(hint_faults::refusal(Path::new("/proc")))
}

fn perf(unit: &str) -> Opened {
    let unit = (!unit.is_empty()).then_some(unit);
    Ok(Box::new(perf::PerfSource::open(Path::new("/sys"), unit)?))
}

/// A source as a user names it.
#[derive(Debug, Clone)]
pub struct SourceName {
    /// Which.
    pub kind: &'static Kind,
    /// What follows its name; empty when nothing does.
    pub argument: String,
}

impl PartialEq for SourceName {
    fn eq(&self, other: &SourceName) -> bool {
        (self.kind.name, &self.argument) == (other.kind.name, &other.argument)
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name)?;
        match &*self.argument {
            "" => Ok(()),
            argument => write!(f, ":{argument}"),
        }
    }
}

impl SourceName {
    /// The source of who names none.
    pub fn chmu() -> SourceName {
        SourceName {
            kind: &KINDS[0],
            argument: String::new(),
        }
    }

    /// Reads a name such as `chmu`, `accessed:417` or `stream:-`.
    ///
    /// # Errors
    /// What is wrong with it, and what there is, in a sentence.
    pub fn parse(text: &str) -> Result<SourceName, String> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let kind = KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let names = KINDS.map(|kind| kind.name);
            format!("no source is called so; {}", instead(name, &names, ""))
        })?;
        match argument {
            Some("") => Err(format!(
                "nothing follows after {name}:; write {}",
                kind.form()
            )),
            None if kind.needs_argument => Err(format!("{name} needs more; write {}", kind.form())),
            Some(_) if kind.argument.is_empty() => {
                Err(format!("nothing may follow after {name}; write {name}"))
            }
            argument => Ok(SourceName {
                kind,
                argument: argument.unwrap_or_default().to_owned(),
            }),
        }
    }
}

impl Kind {
    /// How it is written: `chmu[:UNIT]`.
    pub fn form(&self) -> String {
        match (self.argument, self.needs_argument) {
            ("", _) => self.name.to_owned(),
            (argument, true) => format!("{}:{argument}", self.name),
            (argument, false) => format!("{}[:{argument}]", self.name),
        }
    }
}

/// How all sources are written, with what they find hot memory by.
pub fn forms() -> String {
    let forms = KINDS.map(|kind| format!("{} ({})", kind.form(), kind.about));
    forms.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_printed() {
        for text in [
            "chmu",
            "chmu:a.0",
            "damon",
            "accessed:1",
            "userfaultfd:1",
            "stream:a:b",
            "stream:-",
        ] {
            assert_eq!(SourceName::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_names_are_told_what_there_is() {
        for (text, expected) in [
            (
                "steam:x",
                "no source is called so; did you mean stream? There are chmu, damon, accessed, \
                 userfaultfd, hint-faults, perf, stream",
            ),
            ("accessed", "accessed needs more; write accessed:PID"),
            ("chmu:", "nothing follows after chmu:; write chmu[:UNIT]"),
            ("damon:1", "nothing may follow after damon; write damon"),
        ] {
            assert_eq!(SourceName::parse(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn what_is_no_process_is_refused() {
        let refused = accessed("init").unwrap_err().to_string();
        assert_eq!(
            refused,
            "init is no number of a process; write for example accessed:417"
        );
    }
}
