// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command line. Socket options are named as in QEMU's conventions for vhost-user back ends.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use chmu_model::QuirkSet;
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser};

use crate::clock::ClockSource;
use crate::config::quantity::{Hexadecimal, Nanoseconds, Size};
use crate::config::{Config, DecoderTable, EmulationName, ProfileName, QuirkName, QuirkNames};

const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nvfio-user protocol 0.0, CHMU register block version 1"
);

/// Stands for stderr in place of a file.
pub const STANDARD_ERROR: &str = "-";

/// A CXL memory device with hotness monitoring units (CHMU), served to QEMU over vfio-user.
///
/// Attach it with
/// -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"PATH"}}'
/// after this process is started; QEMU does not wait for it.
#[derive(Debug, Parser)]
#[command(name = "vfio-user-chmu", version, long_version = LONG_VERSION, max_term_width = 100)]
pub struct Arguments {
    /// Listens for vfio-user clients on this UNIX socket.
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "fd",
        required_unless_present_any = ["fd", "print_config", "list_quirks", "list_profiles"]
    )]
    pub socket_path: Option<PathBuf>,

    /// Takes an inherited UNIX socket, listening or connected, in place of a path.
    #[arg(long, value_name = "NUMBER")]
    pub fd: Option<RawFd>,

    /// Listens here for the producer of memory accesses: the QEMU plugin or a traffic tool.
    #[arg(long, value_name = "PATH")]
    pub access_socket: Option<PathBuf>,

    /// Rings for the producer's accesses: one for each vCPU, 1 to 256 [default: what the
    /// configuration says, or 64].
    #[arg(
        long,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(chmu_ring::MAX_RINGS))
    )]
    pub access_rings: Option<u32>,

    /// Listens here for readers of statistics; each connection gets one JSON object.
    #[arg(long, value_name = "PATH")]
    pub statistics_socket: Option<PathBuf>,

    /// Reads what the device is made of from this TOML file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["memory", "base"])]
    pub config: Option<PathBuf>,

    /// Bytes of device memory, such as 1G.
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,

    /// Host physical address where the memory starts, such as 4G or 0x100000000.
    #[arg(long, value_name = "ADDRESS")]
    pub base: Option<Hexadecimal>,

    /// What the device can do, as far as the file does not say it; --list-profiles names them.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<ProfileName>,

    /// Breaks a rule on purpose; --list-quirks names them. Given several times, all these rules.
    #[arg(long = "quirk", value_name = "NAME")]
    pub quirks: Vec<QuirkName>,

    /// Breaks the rules that a public emulation breaks; --list-quirks names these, too.
    #[arg(long, value_name = "EMULATION")]
    pub like: Option<EmulationName>,

    /// What time is for the device: host, accesses:NS for a time that moves by NS nanoseconds with
    /// each access and stands still between them, or manual for one that --clock-socket moves.
    #[arg(long, value_name = "CLOCK", default_value = "host")]
    pub clock: ClockSource,

    /// Listens here for whoever moves a manual clock: the line "advance NANOSECONDS" is answered
    /// with "now NANOSECONDS".
    #[arg(long, value_name = "PATH", required_if_eq("clock", "manual"))]
    pub clock_socket: Option<PathBuf>,

    /// Listens here for whoever makes the memory fail: a line such as
    /// "media-error failure 0x10000 uncorrectable" writes a record to an event log of the device,
    /// and a line that makes no sense is answered with what would.
    #[arg(long, value_name = "PATH")]
    pub event_socket: Option<PathBuf>,

    /// Listens here for whoever wants the exact number of accesses to each page since a mark, which
    /// no real device can tell; requests and answers are lines of JSON. Only this user may connect.
    #[arg(long, value_name = "PATH")]
    pub oracle_socket: Option<PathBuf>,

    /// Lets a client go that does not say its version, or does not finish a message, for so long.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub client_timeout: Nanoseconds,

    /// Ends when the first client leaves that has said its version.
    #[arg(long)]
    pub once: bool,

    /// Says more: once for info, twice for debug, three times for trace.
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// Appends the log to this file instead of writing it to stderr.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// Writes down each access to a register in words, to this file or to stderr.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = STANDARD_ERROR
    )]
    pub trace_registers: Option<PathBuf>,

    /// Prints the configuration with everything that was left out filled in, and ends.
    #[arg(long, group = "printed")]
    pub print_config: bool,

    /// Prints the rules that can be broken, and ends.
    #[arg(long, group = "printed")]
    pub list_quirks: bool,

    /// Prints the ready-made devices, and ends.
    #[arg(long, group = "printed")]
    pub list_profiles: bool,
}

impl Arguments {
    /// Refuses options that contradict each other in their values.
    ///
    /// # Errors
    /// When only one of a manual clock and its socket is there, when there are rings, an oracle or a clock of
    /// accesses and no socket that these come from, when two options name the same file, or when clients would get no time at
    /// all.
    pub fn check(&self) -> Result<(), clap::Error> {
        let conflict = |message: String| {
            let error = Self::command().error(ErrorKind::ArgumentConflict, message);
            Err(error)
        };
        if self.clock_socket.is_some() && self.clock != ClockSource::Manual {
            let message = "--clock-socket moves a manual clock; add --clock manual";
            return conflict(message.to_owned());
        }
        if matches!(self.clock, ClockSource::Accesses(_))
            && self.access_socket.is_none()
            && !self.print_config
        {
            let message =
                "a clock of accesses stands still without a producer of them; add --access-socket";
            return conflict(message.to_owned());
        }
        if self.access_rings.is_some() && self.access_socket.is_none() && !self.print_config {
            let message = "--access-rings are for a producer; add --access-socket";
            return conflict(message.to_owned());
        }
        if self.oracle_socket.is_some() && self.access_socket.is_none() && !self.print_config {
            let message = "--oracle-socket counts what a producer reports; add --access-socket";
            return conflict(message.to_owned());
        }
        if self.fd == Some(libc::STDERR_FILENO) {
            let message = "--fd 2 is the standard error, which is for complaints; pass another";
            return conflict(message.to_owned());
        }
        if self.client_timeout == Nanoseconds(0) {
            let message = "--client-timeout 0 would let every client go; 10s is usual";
            return conflict(message.to_owned());
        }
        if let Some((first, second, path)) = self.same_path() {
            return conflict(format!(
                "{first} and {second} are both {}; give each a path of its own",
                path.display()
            ));
        }
        Ok(())
    }

    /// Two options whose paths lead to the same place, and the path of the second.
    fn same_path(&self) -> Option<(&'static str, &'static str, &Path)> {
        let options = [
            ("--config", &self.config),
            ("--log-file", &self.log_file),
            ("--trace-registers", &self.trace_registers),
            ("--socket-path", &self.socket_path),
            ("--access-socket", &self.access_socket),
            ("--statistics-socket", &self.statistics_socket),
            ("--clock-socket", &self.clock_socket),
            ("--event-socket", &self.event_socket),
            ("--oracle-socket", &self.oracle_socket),
        ];
        let mut earlier: Vec<(&'static str, PathBuf)> = Vec::new();
        for (option, path) in options {
            let Some(path) = path.as_deref() else {
                continue;
            };
            let place = place(path);
            if let Some((first, _)) = earlier.iter().find(|(_, other)| *other == place) {
                return Some((first, option, path));
            }
            earlier.push((option, place));
        }
        None
    }

    /// Lets the command line change a configuration.
    pub fn apply_to(&self, config: &mut Config) {
        if let Some(memory) = self.memory {
            config.memory = memory;
        }
        if let Some(base) = self.base {
            config.decoders = Some(vec![DecoderTable {
                base,
                ..DecoderTable::default()
            }]);
        }
        config.access_rings = self.access_rings.unwrap_or(config.access_rings);
        config.profile = self.profile.or(config.profile);
        let like = self
            .like
            .map_or(QuirkSet::NONE, |EmulationName(one)| one.quirks());
        let told: QuirkSet = self
            .quirks
            .iter()
            .map(|name| name.0)
            .chain(like.iter())
            .collect();
        if !told.is_empty() {
            config.quirks = QuirkNames(told);
        }
    }
}

/// Where a path leads, in a spelling that does not depend on that of the folder.
fn place(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return path.to_owned(),
    };
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from([&["vfio-user-chmu"], arguments].concat())
    }

    #[test]
    fn one_socket_for_clients_is_needed() {
        let kind = |arguments: &[&str]| parse(arguments).unwrap_err().kind();
        assert_eq!(kind(&[]), ErrorKind::MissingRequiredArgument);
        assert_eq!(
            kind(&["--socket-path=/s", "--fd=3"]),
            ErrorKind::ArgumentConflict
        );
        for argument in [
            "--socket-path=/s",
            "--fd=3",
            "--list-quirks",
            "--list-profiles",
        ] {
            parse(&[argument]).unwrap();
        }
    }

    #[test]
    fn a_manual_clock_and_its_socket_come_together() {
        let error = parse(&["--fd=3", "--clock=manual"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
        let alone = parse(&["--fd=3", "--clock-socket=/c"]).unwrap();
        assert_eq!(
            alone.check().unwrap_err().kind(),
            ErrorKind::ArgumentConflict
        );
        let both = parse(&["--fd=3", "--clock=manual", "--clock-socket=/c"]).unwrap();
        both.check().unwrap();
    }

    #[test]
    fn rings_and_the_socket_that_gives_them_come_together() {
        let alone = parse(&["--fd=3", "--access-rings=8"]).unwrap();
        alone.check().unwrap_err();
        let both = parse(&["--fd=3", "--access-rings=8", "--access-socket=/a"]).unwrap();
        both.check().unwrap();
        let printed = parse(&["--print-config", "--access-rings=8"]).unwrap();
        printed.check().unwrap();
    }

    #[test]
    fn an_oracle_needs_somebody_who_reports_accesses() {
        let alone = parse(&["--fd=3", "--oracle-socket=/o"]).unwrap();
        let refusal = alone.check().unwrap_err().to_string();
        assert!(refusal.contains("add --access-socket"), "{refusal}");
        let both = ["--fd=3", "--oracle-socket=/o", "--access-socket=/a"];
        parse(&both).unwrap().check().unwrap();
    }

    #[test]
    fn a_clock_of_accesses_has_somebody_who_makes_them() {
        let alone = parse(&["--fd=3", "--clock=accesses:5"]).unwrap();
        let refusal = alone.check().unwrap_err().to_string();
        assert!(refusal.contains("add --access-socket"), "{refusal}");
        let both = ["--fd=3", "--clock=accesses:5", "--access-socket=/a"];
        parse(&both).unwrap().check().unwrap();
        let printed = parse(&["--print-config", "--clock=accesses:5"]).unwrap();
        printed.check().unwrap();
    }

    #[test]
    fn one_thing_is_printed() {
        for arguments in [
            ["--print-config", "--list-quirks"],
            ["--list-quirks", "--list-profiles"],
        ] {
            let error = parse(&arguments).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
        }
    }

    #[test]
    fn a_file_and_its_shortcuts_exclude_each_other() {
        let error = parse(&["--fd=3", "--config=f", "--memory=1G"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn a_path_stands_for_one_thing() {
        let arguments = parse(&["--socket-path=/tmp/s", "--access-socket=/tmp/../tmp/s"]).unwrap();
        let refusal = arguments.check().unwrap_err().to_string();
        assert!(
            refusal.starts_with(
                "error: --socket-path and --access-socket are both /tmp/../tmp/s; \
                 give each a path of its own\n"
            ),
            "{refusal}"
        );
        let arguments = parse(&["--fd=3", "--log-file=l", "--event-socket=./l"]).unwrap();
        arguments.check().unwrap_err();
        let arguments = parse(&["--fd=3", "--log-file=l", "--event-socket=m"]).unwrap();
        arguments.check().unwrap();
    }

    #[test]
    fn clients_get_some_time() {
        let arguments = parse(&["--fd=3", "--client-timeout=0"]).unwrap();
        arguments.check().unwrap_err();
    }

    #[test]
    fn a_client_does_not_get_the_log() {
        parse(&["--fd=2"]).unwrap().check().unwrap_err();
    }

    #[test]
    fn shortcuts_describe_memory_and_window() {
        let arguments = parse(&["--fd=3", "--memory=512M", "--base=0x140000000"]).unwrap();
        let mut config = Config::default();
        arguments.apply_to(&mut config);
        let config = config.completed();
        assert_eq!(config.memory, Size(512 << 20));
        let decoder = &config.decoders.unwrap()[0];
        assert_eq!(decoder.base, Hexadecimal(0x1_4000_0000));
        assert_eq!(decoder.size, Some(Size(512 << 20)));
    }
}
