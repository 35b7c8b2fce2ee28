// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu promote` as a service: what it tells while it runs, and how it ends.

use std::fs;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// What a shell says of a program that SIGPIPE ended.
const CLOSED_PIPE: i32 = 141;
/// A verb that found what must not be, or nothing.
const NEGATIVE_RESULT: i32 = 3;
/// A busy machine is slow.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Two hot pages, and a later report that lets time pass for them.
const STREAM: &str = r#"{"v":1,"stream":"made up","epoch_ns":100000000}
{"t":100000000,"hot":[{"frame":1048580,"weight":50},{"frame":1048581,"weight":20}]}
{"t":9000000000,"hot":[{"frame":1048700,"weight":1}],"overflow":true}
"#;

fn chmu(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chmu"));
    command
        .args(words)
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .env("XDG_RUNTIME_DIR", folder)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A dry run over a stream that goes on until the run is told to stop.
struct Run {
    child: Child,
    folder: TempDir,
}

impl Run {
    fn start(more: &[&str], change: impl FnOnce(&mut Command, &Path)) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let mut words = vec!["promote", "--source", "stream:-", "--dry-run"];
        words.extend(["--status-socket", "s", "-o", "json"]);
        words.extend(more);
        let mut command = chmu(folder.path(), &words);
        change(&mut command, folder.path());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.as_mut().unwrap();
        input.write_all(STREAM.as_bytes()).unwrap();
        Run { child, folder }
    }

    fn status(&self, more: &[&str]) -> Output {
        let words = [&["status", "--socket", "s"], more].concat();
        chmu(self.folder.path(), &words).output().unwrap()
    }

    /// The first status for which something is so.
    fn wait_for(&mut self, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let output = self.status(&["-o", "json"]);
            let status = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            if output.status.success() && is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{output:?}");
            assert_eq!(self.child.try_wait().unwrap(), None, "it ended: {output:?}");
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn signal(&self, signal: i32) {
        let process_id = i32::try_from(self.child.id()).unwrap();
        // SAFETY: the child has not been waited for, so that the number is its own.
        assert_eq!(unsafe { libc::kill(process_id, signal) }, 0);
    }

    /// Its end; standard input stays open until then.
    fn end(mut self) -> (Output, TempDir) {
        let input = self.child.stdin.take();
        let output = self.child.wait_with_output().unwrap();
        drop(input);
        (output, self.folder)
    }
}

/// Two pages would have moved, and the report that says so has come whole.
fn has_moved(status: &Value) -> bool {
    status["routes"][0]["pages_moved"]["total"] == 2 && status["sources"][0]["overflows"] == 1
}

#[test]
fn a_run_is_asked_how_it_is() {
    let mut run = Run::start(&[], |_, _| {});
    let status = run.wait_for(has_moved);
    assert_eq!(status["dry_run"], true);
    assert_eq!(status["has_ended"], false);
    assert_eq!(status["sources"][0]["name"], "made up");
    let text = String::from_utf8(run.status(&[]).stdout).unwrap();
    assert!(text.contains("decides what it would promote"), "{text}");
    assert!(text.lines().count() <= 24 && text.lines().all(|line| line.len() <= 80));
    run.signal(libc::SIGTERM);
    let (output, folder) = run.end();
    assert!(output.status.success(), "{output:?}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary["pages_promoted"].as_u64() >= Some(2), "{summary}");
    assert!(!folder.path().join("s").exists());
}

#[test]
fn where_nothing_runs_a_sentence_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("chmu")).unwrap();
    for words in [
        &["status", "--socket", "s"][..],
        &["status", "--socket", "s", "-o", "json"],
    ] {
        let output = chmu(folder.path(), words).output().unwrap();
        assert_eq!(output.status.code(), Some(NEGATIVE_RESULT));
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            text,
            "No chmu promote runs here: nothing answers at s; start one, or name its socket with \
             --socket\n"
        );
    }
}

#[test]
fn each_way_to_be_told_to_stop_is_a_clean_end() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        let mut run = Run::start(&["--metrics", "m.prom", "--ledger", "ledger"], |_, _| {});
        run.wait_for(has_moved);
        run.signal(signal);
        let (output, folder) = run.end();
        assert!(output.status.success(), "signal {signal}: {output:?}");
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["ledger", "m.prom"], "signal {signal}");
        let metrics = fs::read_to_string(folder.path().join("m.prom")).unwrap();
        assert!(
            metrics.contains("\nchmu_promotion_running 0\n"),
            "{metrics}"
        );
        let ledger = fs::read_to_string(folder.path().join("ledger")).unwrap();
        let last = ledger.lines().last().unwrap();
        assert!(last.contains("\"e\":\"end\""), "signal {signal}: {last}");
    }
}

/// As `nohup` and a shell's script in the background have it: who is to live through a terminal's signals does.
#[test]
fn signals_of_terminals_that_were_ignored_stay_so() {
    let mut run = Run::start(&[], |command, _| {
        let ignore = || {
            for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGTERM] {
                // SAFETY: an ignored signal has no handler that could do anything.
                unsafe { libc::signal(signal, libc::SIG_IGN) };
            }
            Ok(())
        };
        // SAFETY: what runs in the child before its program is one plain system call after the other.
        unsafe { command.pre_exec(ignore) };
    });
    run.wait_for(has_moved);
    let status = fs::read_to_string(format!("/proc/{}/status", run.child.id())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    let is_ignored = |signal: i32| ignored >> (signal - 1) & 1 == 1;
    assert!(
        is_ignored(libc::SIGINT) && is_ignored(libc::SIGHUP),
        "{ignored:x}"
    );
    assert!(
        !is_ignored(libc::SIGTERM),
        "there is always a way to end it"
    );
    run.signal(libc::SIGTERM);
    assert!(run.end().0.status.success());
}

#[test]
fn a_reader_that_left_is_noticed_after_the_end_was_written() {
    let mut run = Run::start(&["--ledger", "ledger"], |_, _| {});
    run.wait_for(has_moved);
    drop(run.child.stdout.take());
    run.signal(libc::SIGTERM);
    let (output, folder) = run.end();
    assert_eq!(output.status.code(), Some(CLOSED_PIPE), "{output:?}");
    assert!(!folder.path().join("s").exists());
    let ledger = fs::read_to_string(folder.path().join("ledger")).unwrap();
    assert!(ledger.lines().last().unwrap().contains("\"e\":\"end\""));
}

#[test]
fn what_a_killed_run_left_is_taken_over() {
    let mut first = Run::start(&[], |_, _| {});
    first.wait_for(has_moved);
    first.signal(libc::SIGKILL);
    let (_, folder) = first.end();
    let path = folder.path().join("s");
    assert!(path.exists());
    let mut second = Run::start(&["--metrics-socket", "m"], |command, own| {
        fs::rename(&path, own.join("s")).unwrap();
        command.env("XDG_RUNTIME_DIR", own);
    });
    second.wait_for(has_moved);
    let mut stream = UnixStream::connect(second.folder.path().join("m")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(
        page.contains("\nchmu_promotion_moved_pages_total{from="),
        "{page}"
    );
    // A third finds the name taken, and leaves it alone.
    let words = [
        "promote",
        "--source",
        "stream:-",
        "--dry-run",
        "--status-socket",
        "s",
    ];
    let mut third = chmu(second.folder.path(), &words).spawn().unwrap();
    let _ = third.stdin.take().unwrap().write_all(STREAM.as_bytes());
    let output = third.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("Another process listens on s; end it"),
        "{text}"
    );
    second.wait_for(has_moved);
    second.signal(libc::SIGTERM);
    assert!(second.end().0.status.success());
}

#[test]
fn a_service_manager_is_told_when_it_is_ready_lives_and_stops() {
    for is_abstract in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify").display().to_string();
        let name = path.trim_start_matches('/');
        let (receiver, variable) = match is_abstract {
            true => {
                let address = SocketAddr::from_abstract_name(name).unwrap();
                (
                    UnixDatagram::bind_addr(&address).unwrap(),
                    format!("@{name}"),
                )
            }
            false => (UnixDatagram::bind(&path).unwrap(), path.clone()),
        };
        receiver.set_read_timeout(Some(DEADLINE)).unwrap();
        let next = |wanted: &str| loop {
            let mut bytes = [0; 512];
            let count = receiver.recv(&mut bytes).expect(wanted);
            let text = String::from_utf8(bytes[..count].to_vec()).unwrap();
            if text.starts_with(wanted) {
                break text;
            }
        };
        let mut run = Run::start(&[], |command, _| {
            command.env("NOTIFY_SOCKET", &variable);
            command.env("WATCHDOG_USEC", "20000");
        });
        next("READY=1");
        run.wait_for(has_moved);
        next("WATCHDOG=1");
        run.signal(libc::SIGTERM);
        next("STOPPING=1");
        assert!(next("STATUS=").contains("promoted"));
        assert!(run.end().0.status.success());
    }
}

#[test]
fn what_a_killed_run_listened_on_goes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("chmu/promote.sock");
    fs::create_dir(socket.parent().unwrap()).unwrap();
    let reset = || {
        let output = chmu(folder.path(), &["reset"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let said = reset();
    let sentence = format!("{} was left by a run that was killed", socket.display());
    assert!(said.contains(&sentence) && !socket.exists(), "{said}");
    fs::write(&socket, "a file of somebody else").unwrap();
    let said = reset();
    assert!(!said.contains(&sentence) && socket.exists(), "{said}");
}
