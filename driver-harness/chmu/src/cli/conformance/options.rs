// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The options of `chmu conformance run`, and the command that says them again.

use std::path::{self, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use chmu_conformance::case::Case;
use chmu_conformance::cases;
use chmu_conformance::report::instance_name;
use chmu_cxl::Profile;
use chmu_machine::names::{instead, nearest};
use chmu_model::{Emulation, Quirk, QuirkSet};
use clap::error::ErrorKind;

use super::super::duration;

/// How the device is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Transport {
    /// A model of a device in this process.
    InProcess,
    /// A device process that listens on a vfio-user socket.
    Socket,
    /// A device of this machine with vfio-pci bound to it.
    Guest,
    /// A device of this machine beside the kernel's driver; no interrupts, no reset.
    Region,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::InProcess => "in-process",
            Self::Socket => "socket",
            Self::Guest => "guest",
            Self::Region => "region",
        }
    }
}

/// The form of the results on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// Line by line as cases end.
    Ktap,
    /// One object at the end.
    Json,
}

/// `BLOCK.INSTANCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InstanceName(pub(super) (usize, u8));

impl FromStr for InstanceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('.');
        let numbers = numbers
            .and_then(|(block, instance)| Some((block.parse().ok()?, instance.parse().ok()?)));
        numbers
            .map(Self)
            .ok_or_else(|| "write block and instance, such as 0.1".to_owned())
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct RunOptions {
    /// Cases, areas, or names with * for any text [default: all cases].
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// How the device is reached.
    #[arg(long, value_enum, default_value = "in-process")]
    pub(super) transport: Transport,
    /// The device of this machine: its address or its memory device [default: the only one].
    #[arg(long, value_name = "DEVICE", help_heading = "Guest and region")]
    pub(super) device: Option<String>,
    /// Each access reaches the device exactly once and nothing else does; true of emulators without
    /// a model of caches only. Without it cases that count are skipped.
    #[arg(long, help_heading = "Guest and region")]
    pub(super) exact_traffic: bool,
    /// Opens also a device without function level reset: the kernel then resets its bus, and memory of the
    /// device that is online is lost.
    #[arg(long, help_heading = "Guest and region")]
    pub(super) risk_memory_loss: bool,
    /// Runs also cases that write to HDM decoders, of which none should take the write: one that does costs
    /// memory that is online behind it.
    #[arg(long, help_heading = "Guest and region")]
    pub(super) write_decoders: bool,
    /// MiB of the device's memory to make traffic on, at most [default: 320].
    #[arg(long, value_name = "MIB", help_heading = "Guest and region")]
    pub(super) traffic_memory: Option<u64>,
    /// Where the device process listens for vfio-user clients.
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Socket",
        required_if_eq("transport", "socket")
    )]
    pub(super) socket: Option<PathBuf>,
    /// Where it listens for producers of accesses [default: no traffic].
    #[arg(long, value_name = "PATH", help_heading = "Socket")]
    pub(super) access_socket: Option<PathBuf>,
    /// Where it listens for whoever moves its manual clock [default: a clock that runs].
    #[arg(long, value_name = "PATH", help_heading = "Socket")]
    pub(super) clock_socket: Option<PathBuf>,
    /// The device's position in interleaved windows, which its registers do not tell; needed where there are some.
    #[arg(long, value_name = "NUMBER", help_heading = "Socket")]
    pub(super) position: Option<u8>,
    /// The number of an HDM decoder, from 0, whose window is accessed by TEE requests only, which no register tells;
    /// given several times, there are several.
    #[arg(long = "tee-window", value_name = "NUMBER", help_heading = "Socket")]
    pub(super) tee_windows: Vec<u8>,
    /// The ready-made device [default: full].
    #[arg(long, value_name = "NAME", value_parser = profile, help_heading = "In-process")]
    pub(super) profile: Option<Profile>,
    /// Devices that share the model's windows [default: 1].
    #[arg(long, value_name = "NUMBER", value_parser = ways, help_heading = "In-process")]
    pub(super) ways: Option<u8>,
    /// A rule that the model breaks; given several times, it breaks them all.
    #[arg(long = "quirk", value_name = "NAME", value_parser = quirk, help_heading = "In-process")]
    pub(super) quirks: Vec<Quirk>,
    /// The public emulation whose broken rules the model breaks.
    #[arg(long, value_name = "EMULATION", value_parser = emulation, help_heading = "In-process")]
    pub(super) like: Option<Emulation>,
    /// Block and instance under test [default: the first].
    #[arg(long, value_name = "BLOCK.INSTANCE", conflicts_with = "all_instances")]
    pub(super) instance: Option<InstanceName>,
    /// Tests one instance after the other.
    #[arg(long)]
    pub(super) all_instances: bool,
    /// Takes this project's decisions as the only readings, and information for requirements.
    #[arg(long)]
    pub(super) strict: bool,
    /// Runs only cases that write no register of the units: a first look at unknown hardware.
    #[arg(long)]
    pub(super) read_only: bool,
    /// How long a case may take; one that takes longer is not judged, and the run goes on [default: 60s].
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(super) case_time: Option<Duration>,
    /// Runs also cases that access a part of a 64-bit register, which a device need not take.
    #[arg(long)]
    pub(super) narrow_accesses: bool,
    /// How long an enable, a disable or a reset is waited for [default: 2s].
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(super) operation_wait: Option<Duration>,
    /// Writes the results in the XML of junit as well.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Writes down each register access of failing cases, in words; with -vvv they are on stderr.
    #[arg(long, value_name = "FILE")]
    pub(super) access_log: Option<PathBuf>,
    /// The form of the results on stdout.
    #[arg(short, long, value_enum, default_value = "ktap")]
    pub(super) output: Output,
    /// Where sysfs is.
    #[arg(long, value_name = "FOLDER", default_value = "/sys", hide = true)]
    pub(super) sysfs: PathBuf,
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::from_name(name).ok_or_else(|| {
        let names = Profile::ALL.map(Profile::name);
        instead(name, &names, "chmu conformance list --profiles")
    })
}

fn quirk(name: &str) -> Result<Quirk, String> {
    Quirk::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Quirk::ALL.iter().map(|quirk| quirk.name()).collect();
        instead(name, &names, "chmu conformance list --quirks")
    })
}

fn emulation(name: &str) -> Result<Emulation, String> {
    Emulation::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Emulation::ALL.iter().map(|one| one.name).collect();
        instead(name, &names, "chmu conformance list --quirks")
    })
}

fn ways(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(ways @ (1 | 2 | 4 | 8 | 16 | 3 | 6 | 12)) => Ok(ways),
        _ => Err("write 1, 2, 3, 4, 6, 8, 12 or 16".to_owned()),
    }
}

/// What to say of a pattern that means no case.
fn unknown_case(pattern: &str) -> String {
    let all = cases::all();
    let names: Vec<_> = all.iter().map(|case| case.name).collect();
    let mut areas: Vec<_> = Vec::new();
    for area in all.iter().map(Case::area) {
        if !areas.contains(&area) {
            areas.push(area);
        }
    }
    let meant = match pattern.contains('/') {
        true => &names,
        false => &areas,
    };
    let nearest = nearest(pattern, meant).or_else(|| nearest(pattern, &names));
    let question = nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"));
    format!(
        "no case and no area is named {pattern:?}{question}\nThe areas are {}; chmu conformance \
         list prints all {} cases",
        areas.join(", "),
        names.len()
    )
}

fn absolute(path: &Path) -> PathBuf {
    path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Words as a shell takes them.
fn quoted(words: &[String]) -> String {
    let quoted: Vec<_> = words
        .iter()
        // Only a NUL cannot be quoted, and no argument can contain one.
        .map(|word| shlex::try_quote(word).unwrap_or_default())
        .collect();
    quoted.join(" ")
}

/// An option that was given: its name, its value if it takes one, and the transports it belongs to.
struct Given {
    name: &'static str,
    value: Option<String>,
    transports: &'static [Transport],
}

const FUNCTION: &[Transport] = &[Transport::Guest, Transport::Region];
const VFIO: &[Transport] = &[Transport::Guest];
const SOCKET: &[Transport] = &[Transport::Socket];
const IN_PROCESS: &[Transport] = &[Transport::InProcess];

impl RunOptions {
    /// The rules that the model in this process breaks.
    pub(super) fn broken_rules(&self) -> QuirkSet {
        let like = self.like.map(Emulation::quirks).unwrap_or_default();
        self.quirks.iter().copied().chain(like.iter()).collect()
    }

    /// The cases that the patterns mean; a pattern that means none is a usage error.
    pub(super) fn cases(&self) -> Result<Vec<Case>, clap::Error> {
        for pattern in &self.patterns {
            if cases::matching(std::slice::from_ref(pattern)).is_empty() {
                let message = unknown_case(pattern);
                return Err(clap::Error::raw(ErrorKind::InvalidValue, message));
            }
        }
        Ok(cases::matching(&self.patterns))
    }

    /// Refuses options that do not go with the transport.
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        let strange = self
            .given()
            .into_iter()
            .find(|given| !given.transports.contains(&self.transport));
        if let Some(Given { name, .. }) = strange {
            let message = format!(
                "{name} does not go with --transport {}",
                self.transport.name()
            );
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        if self.read_only && self.transport == Transport::Guest {
            let message = "--read-only does not go with --transport guest: VFIO resets a device when it \
                           is opened and closed; take --transport region, beside a driver of the kernel";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        Ok(())
    }

    /// The command that runs cases on `device` again, from any folder, without instance and cases. `program` is how
    /// this program is called from any folder.
    pub(super) fn repeat_command(&self, program: &str, device: Option<&str>) -> String {
        let mut words = vec![program.to_owned(), "conformance".into(), "run".into()];
        words.extend(["--transport".into(), self.transport.name().into()]);
        if let (None, Some(device)) = (&self.device, device)
            && FUNCTION.contains(&self.transport)
        {
            words.extend(["--device".into(), device.into()]);
        }
        if let Some(time) = self.case_time {
            words.extend(["--case-time".into(), duration::written(time)]);
        }
        for Given { name, value, .. } in self.given() {
            words.push(name.into());
            words.extend(value);
        }
        for (name, is_given) in [
            ("--strict", self.strict),
            ("--read-only", self.read_only),
            ("--narrow-accesses", self.narrow_accesses),
        ] {
            words.extend(is_given.then(|| name.to_owned()));
        }
        if let Some(time) = self.operation_wait {
            words.extend(["--operation-wait".into(), duration::written(time)]);
        }
        quoted(&words)
    }

    /// The command of this run, with instance and cases, as it can be given from any folder.
    pub(super) fn command(&self, program: &str) -> String {
        let mut words = Vec::new();
        if let Some(InstanceName(instance)) = self.instance {
            words.extend(["--instance".into(), instance_name(instance)]);
        }
        if self.all_instances {
            words.push("--all-instances".into());
        }
        words.extend(self.patterns.iter().cloned());
        let mut command = self.repeat_command(program, None);
        if !words.is_empty() {
            command.push(' ');
            command.push_str(&quoted(&words));
        }
        command
    }

    /// Where the device process listens, from any folder.
    pub(super) fn absolute_socket(&self) -> PathBuf {
        self.socket.as_deref().map(absolute).unwrap_or_default()
    }

    /// Options of single transports that were given.
    fn given(&self) -> Vec<Given> {
        let mut given = Vec::new();
        let mut add = |name, value: Option<String>, transports| {
            if value.is_some() {
                given.push(Given {
                    name,
                    value,
                    transports,
                });
            }
        };
        let path = |path: &Option<PathBuf>| Some(absolute(path.as_ref()?).display().to_string());
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        add("--device", self.device.clone(), FUNCTION);
        add("--traffic-memory", number(self.traffic_memory), FUNCTION);
        add("--socket", path(&self.socket), SOCKET);
        add("--access-socket", path(&self.access_socket), SOCKET);
        add("--clock-socket", path(&self.clock_socket), SOCKET);
        add("--position", number(self.position.map(u64::from)), SOCKET);
        for window in &self.tee_windows {
            add("--tee-window", Some(window.to_string()), SOCKET);
        }
        let name = self.profile.map(|profile| profile.name().to_owned());
        add("--profile", name, IN_PROCESS);
        add("--ways", number(self.ways.map(u64::from)), IN_PROCESS);
        for quirk in &self.quirks {
            add("--quirk", Some(quirk.name().to_owned()), IN_PROCESS);
        }
        let name = self.like.map(|emulation| emulation.name.to_owned());
        add("--like", name, IN_PROCESS);
        let flags = [
            ("--exact-traffic", self.exact_traffic, FUNCTION),
            ("--risk-memory-loss", self.risk_memory_loss, VFIO),
            ("--write-decoders", self.write_decoders, FUNCTION),
        ];
        for (name, is_given, transports) in flags {
            given.extend(is_given.then_some(Given {
                name,
                value: None,
                transports,
            }));
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: RunOptions,
    }

    fn parse(words: &[&str]) -> Result<RunOptions, clap::Error> {
        let line = Line::try_parse_from([&["run"], words].concat())?;
        Ok(line.options)
    }

    #[test]
    fn a_first_look_does_not_go_through_vfio() {
        let check = |transport| {
            let options = parse(&[transport, "--read-only"]).unwrap();
            options.check().map_err(|error| error.to_string())
        };
        let error = check("--transport=guest").unwrap_err();
        assert!(error.contains("VFIO resets a device"), "{error}");
        check("--transport=region").unwrap();
    }

    #[test]
    fn the_command_is_said_again() {
        let words = [
            "--transport=socket",
            "--socket=/tmp/a b",
            "--clock-socket=/c",
            "--strict",
            "hotlist",
        ];
        assert_eq!(
            parse(&words).unwrap().repeat_command("chmu", None),
            "chmu conformance run --transport socket --socket '/tmp/a b' --clock-socket /c --strict"
        );
        let guest = ["--transport=guest", "--exact-traffic", "--case-time=5s"];
        assert_eq!(
            parse(&guest)
                .unwrap()
                .repeat_command("/opt/chmu", Some("0000:35:00.0")),
            "/opt/chmu conformance run --transport guest --device 0000:35:00.0 --case-time 5s \
             --exact-traffic"
        );
        let broken = [
            "--quirk=count-zero",
            "--quirk=unit-shifted",
            "--like=qemu-june-2025",
        ];
        let options = parse(&broken).unwrap();
        assert_eq!(
            options.repeat_command("chmu", None),
            "chmu conformance run --transport in-process --quirk count-zero --quirk unit-shifted --like qemu-june-2025"
        );
        let quirks = options.broken_rules();
        assert!(quirks.has(Quirk::UnitShifted) && quirks.has(Quirk::LowestFirst));
        // A part of the cases is not taken for all.
        let part = ["--all-instances", "status", "hotlist/w*"];
        assert_eq!(
            parse(&part).unwrap().command("chmu"),
            "chmu conformance run --transport in-process --all-instances status 'hotlist/w*'"
        );
        let one = parse(&["--instance=1.2"]).unwrap();
        assert_eq!(
            one.command("chmu"),
            "chmu conformance run --transport in-process --instance 1.2"
        );
        // From any folder.
        let relative = ["--transport=socket", "--socket=a.sock"];
        let here = std::env::current_dir().unwrap().join("a.sock");
        assert_eq!(
            parse(&relative)
                .unwrap()
                .repeat_command("chmu", Some("the device")),
            format!(
                "chmu conformance run --transport socket --socket {}",
                here.display()
            )
        );
    }

    #[test]
    fn each_area_is_named_once() {
        let said = unknown_case("nothing");
        assert_eq!(said.matches(" reset,").count(), 1, "{said}");
    }

    #[test]
    fn a_socket_transport_has_a_socket() {
        let error = parse(&["--transport=socket"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn values_are_names_that_exist() {
        for words in [
            "--profile=rich",
            "--quirk=none",
            "--like=none",
            "--ways=5",
            "--instance=1",
            "--instance=1.x",
        ] {
            let error = parse(&[words]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{words}");
        }
        let options = parse(&["--instance=1.2", "--ways=12"]).unwrap();
        assert_eq!(options.instance, Some(InstanceName((1, 2))));
    }
}
