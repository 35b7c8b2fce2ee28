// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Lines however they are cut, and callers of every kind.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::rc::Rc;

use event_manager::{EventManager, EventSubscriber, SubscriberOps};
use proptest::prelude::*;

use super::*;

fn client() -> (Client, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Client::new(ours), theirs)
}

#[test]
fn lines_are_answered_in_order_however_they_are_cut() {
    let (mut client, mut other) = client();
    let mut number = 0;
    for piece in ["on", "e\ntwo\n\n", "three\n"] {
        other.write_all(piece.as_bytes()).unwrap();
        let turn = client.turn(|line| {
            number += 1;
            format!("{number} {line}")
        });
        assert_eq!(turn.unwrap(), Turn::Reads);
    }
    drop(client);
    let answers: Vec<_> = BufReader::new(other).lines().map(Result::unwrap).collect();
    assert_eq!(answers, ["1 one", "2 two", "3 ", "4 three"]);
}

#[test]
fn a_line_without_an_end_ends_the_connection() {
    let (mut client, mut other) = client();
    other.write_all(&[b'x'; MAX_LINE_BYTES]).unwrap();
    client.turn(str::to_owned).unwrap();
    other.write_all(b"x").unwrap();
    assert!(client.turn(str::to_owned).is_err());
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let (mut client, mut other) = client();
    other.set_nonblocking(true).unwrap();
    let answer = |_: &str| "a long answer to nothing".to_owned();
    let mut asked = 0;
    while client.turn(answer).unwrap() != Turn::Writes {
        // Once the socket is full the other side cannot write more, either.
        asked += other.write(b"\n\n\n\n\n\n\n\n").unwrap_or_default();
    }
    let unread = client.answers.len();
    assert!(unread < 2 * MAX_LINE_BYTES * "a long answer to nothing\n".len());
    for _ in 0..100 {
        let _ = other.write(b"\n");
        assert_eq!(client.turn(answer).unwrap(), Turn::Writes);
        assert_eq!(client.answers.len(), unread);
    }
    // It gets every answer once it reads.
    other.set_nonblocking(false).unwrap();
    let mut lines = BufReader::new(other).lines();
    for _ in 0..asked {
        client.turn(answer).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "a long answer to nothing");
    }
}

#[test]
fn a_client_that_leaves_before_its_answer_is_no_complaint() {
    let (mut client, mut other) = client();
    other.write_all(b"question\n").unwrap();
    drop(other);
    assert_eq!(client.turn(str::to_owned).unwrap(), Turn::Ends);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (mut client, mut other) = client();
        other.write_all(&bytes).unwrap();
        for _ in 0..8 {
            if client.turn(str::to_owned).is_err() {
                break;
            }
        }
    }
}

/// A socket that repeats what it hears, with its event loop and the folder of its name.
struct Echo {
    folder: tempfile::TempDir,
    events: EventManager<Rc<dyn EventSubscriber>>,
}

impl Echo {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let socket = LineSocket::new(listener, "An echo", Box::new(str::to_owned)).unwrap();
        let mut events = EventManager::<Rc<dyn EventSubscriber>>::new().unwrap();
        events.add_subscriber(Rc::new(RefCell::new(socket)));
        Self { folder, events }
    }

    fn connect(&mut self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.path().join("s")).unwrap();
        stream.set_nonblocking(true).unwrap();
        self.settle();
        stream
    }

    fn settle(&mut self) {
        while self.events.run_with_timeout(0).unwrap() > 0 {}
    }

    /// Whether a line comes back.
    fn answers(&mut self, mut stream: &UnixStream) -> bool {
        if stream.write_all(b"echo\n").is_err() {
            return false;
        }
        self.settle();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).is_ok() && &answer == b"echo\n"
    }
}

#[test]
fn idle_connections_lock_nobody_out() {
    let mut echo = Echo::new();
    let busy = echo.connect();
    let idle: Vec<UnixStream> = (0..100)
        .map(|_| {
            assert!(echo.answers(&busy), "it is never the most silent one");
            echo.connect()
        })
        .collect();
    let late = echo.connect();
    assert!(echo.answers(&late) && echo.answers(&busy));
    let (gone, kept) = idle.split_at(94);
    assert!(gone.iter().all(|stream| !echo.answers(stream)));
    assert!(kept.iter().all(|stream| echo.answers(stream)));
}
