// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Destinations without room: nobody waits for them.

use std::io::Read;
use std::os::unix::net::UnixStream;

use super::*;

const LINE: &[u8] = b"a line of the log\n";

fn sink(descriptor: impl Into<OwnedFd>) -> Sink {
    Sink::new(Output::of(descriptor.into()).unwrap())
}

/// Puts lines until one is dropped; returns how many found room.
fn fill(sink: &mut Sink) -> u64 {
    let mut count = 0;
    while sink.dropped == 0 {
        sink.put(LINE);
        count += 1;
    }
    count - 1
}

/// Takes `bytes` bytes.
fn take(reader: &mut impl Read, bytes: usize) -> String {
    let mut text = vec![0; bytes];
    reader.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Fills a destination, drops more, makes room, and returns what came after the first lines.
fn after_the_flood(mut sink: Sink, mut reader: impl Read) -> String {
    let found_room = fill(&mut sink);
    for _ in 0..9 {
        sink.put(LINE);
    }
    let bytes = usize::try_from(found_room).unwrap() * LINE.len();
    let flood = take(&mut reader, bytes);
    assert_eq!(
        flood,
        String::from_utf8_lossy(LINE).repeat(flood.len() / LINE.len())
    );
    sink.put(b"there is room\n");
    sink.put(b"and no more to say\n");
    drop(sink);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    rest
}

#[test]
fn a_full_pipe_costs_lines_and_no_time() {
    let (reader, writer) = io::pipe().unwrap();
    let rest = after_the_flood(sink(writer), reader);
    let (_, rest) = rest.split_once("[").unwrap();
    assert_eq!(
        rest,
        "10 lines were dropped here: nobody took them]\nthere is room\nand no more to say\n"
    );
}

#[test]
fn a_full_socket_costs_lines_and_no_time() {
    let (reader, writer) = UnixStream::pair().unwrap();
    let rest = after_the_flood(sink(writer), reader);
    assert!(
        rest.ends_with(
            "[10 lines were dropped here: nobody took them]\nthere is room\nand no more to say\n"
        ),
        "{rest}"
    );
}

#[test]
fn a_shared_pipe_stays_as_it_was_for_the_others() {
    let (_reader, writer) = io::pipe().unwrap();
    let others = writer.try_clone().unwrap();
    let _sink = sink(writer);
    let flags = rustix::fs::fcntl_getfl(others).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
}

#[test]
fn what_can_only_be_polled_is_not_waited_for() {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut sink = Sink::new(Output::Polled(OwnedFd::from(writer).into()));
    let found_room = fill(&mut sink);
    assert!(found_room > 0);
    take(&mut reader, LINE.len());
    sink.put(LINE);
    assert!(sink.dropped > 0);
}

#[test]
fn a_cut_line_is_ended_before_the_next_one() {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut sink = sink(writer);
    let long = [vec![b'x'; 1 << 20], b"\n".to_vec()].concat();
    sink.put(&long);
    assert_eq!((sink.dropped, sink.is_torn), (1, true));
    let mut start = vec![0; 1 << 20];
    let count = reader.read(&mut start).unwrap();
    assert!(count < 1 << 20);
    sink.put(LINE);
    drop(sink);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(
        rest,
        "\n[1 lines were dropped here: nobody took them]\na line of the log\n"
    );
}

#[test]
fn a_disk_without_room_is_no_failure() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut sink = sink(full);
    sink.put(LINE);
    sink.put(LINE);
    assert_eq!(sink.dropped, 2);
}

#[test]
fn a_named_pipe_without_a_reader_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
    assert!(Sink::append_to(&path).is_err());
}
