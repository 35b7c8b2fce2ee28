// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::ledger::{Action, Event, Totals};

/// What ends a run, which every status shows.
fn end() -> Event {
    Event::new(7, Action::End(Totals::default()))
}

fn serve(sites: impl FnOnce(&Path) -> Sites) -> (TempDir, Board, Server) {
    let folder = tempfile::tempdir().unwrap();
    let board = Board::new(Time::Events);
    let server = Server::start(sites(folder.path()), board.clone()).unwrap();
    (folder, board, server)
}

fn status_socket(folder: &Path) -> Sites {
    Sites {
        status: Some(folder.join("new/s")),
        ..Sites::default()
    }
}

#[test]
fn whoever_asks_is_told_how_the_run_is() {
    let (folder, board, server) = serve(status_socket);
    board.note(&[end()]);
    let path = folder.path().join("new/s");
    let status = ask(&path).unwrap();
    assert!(status.has_ended && status.time_ns == 7);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(server);
    assert!(!path.exists());
    let error = ask(&path).unwrap_err();
    assert!(matches!(error, AskError::NothingRuns(_)), "{error}");
}

#[test]
fn requests_follow_one_another_and_nonsense_is_answered() {
    let (folder, _board, _server) = serve(status_socket);
    let mut stream = UnixStream::connect(folder.path().join("new/s")).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut tell = |request: &str, expected: &str| {
        stream.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with(expected), "{request}: {line}");
    };
    for request in ["\n", "{}\n", "status\n", "\u{ff}\0\n"] {
        tell(request, "{\"error\":\"No request: ");
    }
    tell("{\"request\":\"status\"}\n", "{\"status\":{\"version\":1,");
    tell(
        "{\"request\":\"metrics\"}\n",
        "{\"metrics\":\"# HELP chmu_promotion_",
    );
    // Two at once; then one in two parts.
    tell(
        "{\"request\":\"status\"}\n{\"request\":\"metrics\"}\n",
        "{\"status\":",
    );
    tell("", "{\"metrics\":");
    tell("{\"request\":\"status\"}\n{\"requ", "{\"status\":");
    tell("est\":\"status\"}\n", "{\"status\":");
    let long = "x".repeat(9000);
    tell(&long, "{\"error\":\"The request is too long\"}");
    let mut rest = Vec::new();
    // What it did not read makes the end a reset.
    let end = reader.read_to_end(&mut rest);
    assert!(end.is_err() || rest.is_empty());
}

#[test]
fn silent_and_slow_clients_keep_nobody_out() {
    let (folder, board, _server) = serve(status_socket);
    let path = folder.path().join("new/s");
    let silent: Vec<_> = (0..100)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    assert!(ask(&path).is_ok());
    // They ask as long as anybody listens, and read nothing.
    let slow: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.set_nonblocking(true).unwrap();
            let line = "{\"request\":\"status\"}\n".repeat(1000);
            while stream.write(line.as_bytes()).is_ok() {}
            stream
        })
        .collect();
    board.note(&[end()]);
    for _ in 0..5 {
        assert!(ask(&path).is_ok());
    }
    drop((silent, slow));
}

#[test]
fn prometheus_asks_by_http() {
    let (folder, _board, _server) = serve(|folder| Sites {
        metrics: Some(folder.join("m")),
        ..Sites::default()
    });
    let get = |request: &str| {
        let mut stream = UnixStream::connect(folder.path().join("m")).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let page = get("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4;"));
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
    assert!(body.starts_with("# HELP chmu_promotion_info ") && body.ends_with('\n'));
    let post = get("POST / HTTP/1.1\r\n\r\n");
    assert!(
        post.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
        "{post}"
    );
    let endless = get(&format!("GET /{}", "x".repeat(8500)));
    assert!(
        endless.is_empty() || endless.starts_with("HTTP/1.1 431 "),
        "{endless}"
    );
}

#[test]
fn a_file_is_replaced_as_a_whole_and_shows_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chmu.prom");
    let file = MetricsFile::new(&path);
    let (sender, written) = mpsc::channel();
    let chore = Chore::new(Duration::from_millis(1), move |status: &Status| {
        let _ = sender.send(file.write(status).is_ok());
    });
    let board = Board::new(Time::Events);
    let sites = Sites {
        chores: vec![chore],
        ..Sites::default()
    };
    let server = Server::start(sites, board.clone()).unwrap();
    assert!(written.recv().unwrap(), "at once");
    for _ in 0..50 {
        assert!(written.recv().unwrap());
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("chmu_promotion_source_healthy"),
            "whole: {text}"
        );
    }
    let begun = Action::Begin(crate::ledger::Begin {
        program: "9.9.9".to_owned(),
        sources: Vec::new(),
        actuator: String::new(),
        dry_run: true,
        seed: 0,
        policy: std::collections::BTreeMap::new(),
    });
    board.note(&[Event::new(1, begun)]);
    drop(server);
    assert!(
        fs::read_to_string(&path).unwrap().contains("9.9.9"),
        "the last state"
    );
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let missing = MetricsFile::new(&folder.path().join("no/x")).write(&Status::default());
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .starts_with("Cannot write the metrics ")
    );
}

#[test]
fn names_of_the_dead_are_taken_over_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    drop(UnixListener::bind(&path).unwrap());
    let (first, name) = SocketFile::bind(&path).unwrap();
    let error = SocketFile::bind(&path).unwrap_err();
    assert!(matches!(error, BindError::InUse(_)), "{error}");
    drop(first);
    let (_second, _name) = SocketFile::bind(&path).unwrap();
    drop(name);
    assert!(path.exists(), "it is the second's by now");
    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    let error = SocketFile::bind(&file).unwrap_err();
    assert!(matches!(error, BindError::NotASocket(_)), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let error = SocketFile::bind(&folder.path().join("x".repeat(200))).unwrap_err();
    assert!(matches!(error, BindError::Create { .. }), "{error}");
}

#[test]
fn who_drips_or_says_nothing_is_not_listened_to_for_ever() {
    for piece in [&b"{"[..], b""] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let stranger = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // As long as anybody listens.
            while stream.write_all(piece).is_ok() && stream.take_error().unwrap().is_none() {
                thread::sleep(Duration::from_millis(5));
                let mut bytes = [0; 64];
                stream.set_nonblocking(true).unwrap();
                if matches!(stream.read(&mut bytes), Ok(0)) {
                    break;
                }
            }
        });
        let error = ask::ask_within(&path, Duration::from_millis(200)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "What listens at {} has not answered within 0.2 s; it is no chmu promote, or stuck",
                path.display()
            )
        );
        stranger.join().unwrap();
    }
}

/// What `ask` says of somebody who answers with these bytes and hangs up.
fn told_by(answer: Vec<u8>) -> AskError {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let stranger = thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(&answer)
    });
    let error = ask(&path).unwrap_err();
    let _ = stranger.join();
    error
}

#[test]
fn strangers_are_told_from_a_run() {
    let mut status = serde_json::to_value(Status::default()).unwrap();
    status["version"] = 99.into();
    let other = serde_json::json!({ "status": status }).to_string();
    for (answer, reason) in [
        (Vec::new(), "EOF"),
        (b"hello\n".to_vec(), "expected"),
        (b"{\"error\":\"busy\"}\n".to_vec(), "busy"),
        (other.into_bytes(), "version 99"),
        (vec![b'['; 2 << 20], "does not end"),
        (b"{\"status\":{\"version\":1}}\n".to_vec(), "missing field"),
    ] {
        let error = told_by(answer);
        let AskError::Stranger { reason: said, .. } = &error else {
            // Whoever hangs up with our request unread resets the connection.
            assert!(matches!(error, AskError::Connection { .. }), "{error}");
            continue;
        };
        assert!(said.contains(reason), "{said}");
    }
}
