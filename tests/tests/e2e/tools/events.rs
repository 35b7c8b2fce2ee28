// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Events of the media and poison: as they arrive at `cxl monitor` and rasdaemon, and as they are
//! kept.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result};
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::{Guest, PROGRAM_TIMEOUT};

use super::transcript::Transcript;

const RECORDER_LOG: &str = "/tmp/rasdaemon";
const MONITOR_LOG: &str = "/tmp/cxl-monitor";
const MEDIA: &str = "cxl_general_media";
const POISON: &str = "cxl_poison";

/// What the device is told by its event socket, with the address that comes out.
const MEDIA_EVENTS: [(u64, &str); 4] = [
    (0x1_0000, "media-error informational 0x10000 scrub"),
    (0x1000, "media-error warning 0x1000"),
    (0x2000, "media-error failure 0x2000 uncorrectable host-read"),
    (0x3000, "media-error fatal 0x3000 uncorrectable host-write"),
];
/// Commands with the kind of event that each causes, as a number and as a word.
const POISON_COMMANDS: [(u32, &str, &str); 3] = [
    (
        1,
        "Inject",
        "echo 0x4000 > /sys/kernel/debug/cxl/mem0/inject_poison",
    ),
    (0, "List", "cxl list -M -L -m mem0"),
    (
        2,
        "Clear",
        "echo 0x4000 > /sys/kernel/debug/cxl/mem0/clear_poison",
    ),
];

/// Causes events and shows what comes of them.
pub(super) fn show(
    kernel: KernelChoice,
    guest: &mut Guest,
    transcript: &mut Transcript,
    socket: &Path,
) -> Result<()> {
    let listeners = Listeners::start(kernel, guest)?;
    for (address, event) in MEDIA_EVENTS {
        transcript.keep(&format!("\nevent> {event}"));
        transcript.keep(&ask(socket, event)?);
        let recorded = format!("dpa:{address:#x} ");
        listeners.wait(guest, MEDIA, &recorded, &format!("\"dpa\":{address},"))?;
    }
    for (number, name, command) in POISON_COMMANDS {
        transcript.run(guest, command)?;
        let (recorded, noticed) = (
            format!("trace_type:{name}"),
            format!("\"trace_type\":{number},"),
        );
        listeners.wait(guest, POISON, &recorded, &noticed)?;
    }
    // The device's own word of the injection, which may come before or after the kernel's.
    let noticed = "\"dpa\":16384,\"descriptor\"";
    listeners.wait(guest, MEDIA, "Host Inject Poison", noticed)?;
    listeners.end(guest)?;
    transcript.run(guest, "cxl list -M -L -m mem0")?;
    for event in [MEDIA, POISON] {
        if listeners.records(event) {
            transcript.run(guest, &format!("grep -o '{event} 20.*' {RECORDER_LOG}"))?;
        }
        transcript.run(guest, &format!("grep '\"{event}\"' {MONITOR_LOG}"))?;
    }
    transcript.run(guest, "ras-mc-ctl --summary | grep -A 1 'CXL.*summary'")?;
    transcript.run(guest, "ras-mc-ctl --errors | grep '^[0-9]'")
}

/// Two programs that hear of events.
#[derive(Debug)]
struct Listeners {
    recorder: u32,
    monitor: u32,
    records_media: bool,
}

impl Listeners {
    /// Starts both, and waits until no event can get lost.
    fn start(kernel: KernelChoice, guest: &mut Guest) -> Result<Self> {
        let script = format!(
            "mkdir -p /var/lib/rasdaemon; set -a; . /etc/default/rasdaemon; \
             exec rasdaemon --foreground --record >{RECORDER_LOG} 2>&1"
        );
        let recorder = guest.spawn(&["sh", "-c", &script])?;
        guest.wait_until(recorder, &format!("grep -q 'Listening' {RECORDER_LOG}"))?;
        let monitor = guest.spawn(&["cxl", "monitor", "-l", MONITOR_LOG])?;
        let enabled = "/sys/kernel/tracing/instances/cxl_monitor/events/cxl/enable";
        guest.wait_until(monitor, &format!("[ x$(cat {enabled}) = x1 ]"))?;
        Ok(Self {
            recorder,
            monitor,
            // Debian's rasdaemon wants fields that media events of Linux 6.12 do not have, and
            // drops these events.
            records_media: kernel != KernelChoice::Lts612,
        })
    }

    fn records(&self, event: &str) -> bool {
        self.records_media || event != MEDIA
    }

    /// Waits until both have said of an event what they say.
    fn wait(&self, guest: &mut Guest, event: &str, recorded: &str, noticed: &str) -> Result<()> {
        let record = self
            .records(event)
            .then_some((self.recorder, RECORDER_LOG, recorded));
        let notice = (self.monitor, MONITOR_LOG, noticed);
        for (process, log, text) in record.into_iter().chain([notice]) {
            if let Err(error) = guest.wait_until(process, &format!("grep -q '{text}' {log}")) {
                let content = guest.read(log)?;
                return Err(error.context(content));
            }
        }
        Ok(())
    }

    fn end(&self, guest: &mut Guest) -> Result<()> {
        for process in [self.monitor, self.recorder] {
            guest.signal(process, libc::SIGTERM)?;
            guest.wait(process, PROGRAM_TIMEOUT)?;
        }
        Ok(())
    }
}

/// Has the device's own event socket do something.
fn ask(socket: &Path, line: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket).context("Nobody takes events")?;
    writeln!(stream, "{line}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}
