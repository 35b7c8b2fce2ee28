// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The client against servers that keep to the protocol and servers that do not.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::thread::{self, JoinHandle};

use proptest::prelude::*;
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::protocol::{FLAG_ERROR, FLAG_NO_REPLY, HEADER_BYTES, Header, TYPE_COMMAND, TYPE_REPLY};
use super::*;

const BAR_BYTES: usize = 0x1_0000;
const MAPPABLE: u64 = 0x8000;
/// Where the scripted function has its PCI Express capability.
const EXPRESS: usize = 0x40;

/// A PCI function with BAR4, whose upper half lies in a file.
struct Server {
    stream: UnixStream,
    config: Vec<u8>,
    file: File,
    event: Option<EventFd>,
}

/// A request as the server gets it.
struct Request {
    header: Header,
    payload: Vec<u8>,
    file: Option<File>,
}

impl Server {
    fn new(stream: UnixStream) -> Server {
        let file = tempfile::tempfile().unwrap();
        file.set_len(BAR_BYTES as u64).unwrap();
        let mut config = vec![0; 4096];
        config[0x34] = 0x40;
        config[EXPRESS] = 0x10;
        // Function-level reset.
        config[EXPRESS + 7] = 0x10;
        Server {
            stream,
            config,
            file,
            event: None,
        }
    }

    /// The next request; none at the end of the connection.
    fn receive(&self) -> Option<Request> {
        let mut header = [0; HEADER_BYTES];
        let (count, file) = self.stream.recv_with_fd(&mut header).unwrap();
        if count == 0 {
            return None;
        }
        (&self.stream).read_exact(&mut header[count..]).unwrap();
        let header = Header::decode(&header);
        let mut payload = vec![0; usize::try_from(header.bytes).unwrap() - HEADER_BYTES];
        (&self.stream).read_exact(&mut payload).unwrap();
        Some(Request {
            header,
            payload,
            file,
        })
    }

    fn reply(&self, request: &Request, payload: &[u8]) {
        let message = message(request.header, TYPE_REPLY, payload);
        if request.header.command == Command::RegionInfo as u16 && payload.len() > 32 {
            let fd = self.file.as_raw_fd();
            self.stream.send_with_fd(&message[..], fd).unwrap();
        } else {
            (&self.stream).write_all(&message).unwrap();
        }
    }

    fn refuse(&self, request: &Request, error: u32) {
        let header = Header {
            error,
            ..request.header
        };
        let message = message(header, TYPE_REPLY | FLAG_ERROR, &[]);
        (&self.stream).write_all(&message).unwrap();
    }

    /// Does what a request asks for; what its reply holds, or an error number.
    fn act(&mut self, request: &mut Request) -> Result<Vec<u8>, u32> {
        let payload = &request.payload;
        match request.header.command {
            1 => {
                let mut version = vec![0; 4];
                version.extend(br#"{"capabilities":{"max_msg_fds":1}}"#);
                version.push(0);
                Ok(version)
            }
            4 => Ok(dwords(&[16, 3, 9, 5])),
            5 => Ok(region_info(
                dword(payload, 0).unwrap(),
                dword(payload, 8).unwrap(),
            )),
            7 if dword(payload, 8) == Some(INTERRUPT_MSI_X) => Err(22),
            7 => Ok(dwords(&[16, 9, INTERRUPT_MSI, 2])),
            8 => {
                if dword(payload, 12) == Some(1) {
                    let file = request.file.take().unwrap();
                    // SAFETY: the descriptor came with the request and belongs to the event alone.
                    self.event = Some(unsafe {
                        std::os::fd::FromRawFd::from_raw_fd(std::os::fd::IntoRawFd::into_raw_fd(
                            file,
                        ))
                    });
                }
                Ok(Vec::new())
            }
            9 | 10 => self.access(&request.header, payload),
            other => panic!("command {other}"),
        }
    }

    fn access(&mut self, header: &Header, payload: &[u8]) -> Result<Vec<u8>, u32> {
        let offset = protocol::qword(payload, 0).unwrap();
        let count = usize::try_from(dword(payload, 12).unwrap()).unwrap();
        let is_config = dword(payload, 8) == Some(REGION_CONFIG);
        let at = usize::try_from(offset).unwrap();
        let mut reply = payload[..16].to_vec();
        if header.command == 9 {
            let mut data = vec![0; count];
            match is_config {
                true => data.copy_from_slice(&self.config[at..at + count]),
                false => self.file.read_exact_at(&mut data, offset).unwrap(),
            }
            reply.extend(data);
        } else if is_config {
            self.config[at..at + count].copy_from_slice(&payload[16..]);
        } else if offset == 0x10 {
            // A register that sends message 1, and one that refuses to be written.
            self.event.as_ref().unwrap().write(1).unwrap();
        } else if offset == 0x18 {
            return Err(libc::EACCES.unsigned_abs());
        } else {
            self.file.write_all_at(&payload[16..], offset).unwrap();
        }
        Ok(reply)
    }

    fn serve(self) {
        self.serve_and(|_| ());
    }

    /// Serves until the client leaves; `hears` of each request.
    fn serve_and(mut self, mut hears: impl FnMut(&Request)) {
        while let Some(mut request) = self.receive() {
            hears(&request);
            match self.act(&mut request) {
                Ok(payload) => self.reply(&request, &payload),
                Err(error) => self.refuse(&request, error),
            }
        }
    }
}

fn message(header: Header, flags: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        bytes: u32::try_from(HEADER_BYTES + payload.len()).unwrap(),
        flags,
        ..header
    };
    let mut message = header.encode().to_vec();
    message.extend_from_slice(payload);
    message
}

fn region_info(room: u32, index: u32) -> Vec<u8> {
    let (needed, flags, bytes) = match index {
        4 => (64, 0xf, BAR_BYTES as u64),
        _ => (32, 3, 0),
    };
    let mut answer = dwords(&[needed, flags, index, 32]);
    answer.extend(bytes.to_le_bytes());
    answer.extend(0_u64.to_le_bytes());
    if needed > 32 && room >= needed {
        answer.extend(dwords(&[1 << 16 | 1, 0, 1, 0]));
        answer.extend(MAPPABLE.to_le_bytes());
        answer.extend((BAR_BYTES as u64 - MAPPABLE).to_le_bytes());
    }
    answer
}

fn connect(
    server: impl FnOnce(Server) + Send + 'static,
) -> (Result<SocketTransport, TransportError>, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let thread = thread::spawn(move || server(Server::new(theirs)));
    (SocketTransport::over(ours, Path::new("/run/chmu")), thread)
}

fn bar4(offset: u64) -> BarOffset {
    BarOffset { bar: 4, offset }
}

#[test]
fn registers_maps_and_interrupts_work() {
    let (transport, thread) = connect(Server::serve);
    let transport = transport.unwrap();
    assert_eq!(transport.device(), "/run/chmu");
    assert_eq!(transport.read_config(4, Width::Two).unwrap(), 6);
    assert_eq!(transport.bar_bytes(4).unwrap(), BAR_BYTES as u64);
    assert!(transport.bar_bytes(0).is_err() && transport.bar_bytes(6).is_err());

    transport
        .write(bar4(0x8008), Width::Eight, 0x0123_4567_89ab_cdef)
        .unwrap();
    assert_eq!(
        transport.read(bar4(0x800c), Width::Four).unwrap(),
        0x0123_4567
    );
    let words = transport.map(bar4(MAPPABLE), 0x1000).unwrap();
    assert_eq!(words.read(1), Some(0x0123_4567_89ab_cdef));
    let message = transport.map(bar4(0x7000), 0x2000).unwrap_err();
    assert!(matches!(message, TransportError::Access { .. }));

    assert_eq!(transport.interrupt_messages(), 2);
    assert_eq!(
        transport.wait_for_interrupt(1, Duration::ZERO).unwrap(),
        None
    );
    transport.write(bar4(0x10), Width::Four, 1).unwrap();
    assert!(transport.interrupt_event(1).is_some());
    let came = transport
        .wait_for_interrupt(1, Duration::from_secs(10))
        .unwrap();
    assert_eq!(came, Some(1));

    assert!(transport.reset().unwrap());
    assert_eq!(transport.read_config(0x48, Width::Two).unwrap(), 1 << 15);
    drop(transport);
    thread.join().unwrap();
}

/// Words and the reads of a region that were asked for meanwhile, each as its offset and bytes.
fn words_and_reads(start: u64, count: usize) -> (Vec<u64>, Vec<(u64, u32)>) {
    let (asked, reads) = std::sync::mpsc::channel();
    let (transport, thread) = connect(move |server| {
        for index in 0..BAR_BYTES as u64 / 8 {
            let word = (index * 3).to_le_bytes();
            server.file.write_all_at(&word, index * 8).unwrap();
        }
        server.serve_and(
            |Request {
                 header, payload, ..
             }| {
                if header.command == 9 && dword(payload, 8) == Some(4) {
                    let offset = protocol::qword(payload, 0).unwrap();
                    asked.send((offset, dword(payload, 12).unwrap())).unwrap();
                }
            },
        );
    });
    let mut words = vec![0; count];
    let transport = transport.unwrap();
    transport.read_words(bar4(start), &mut words).unwrap();
    drop(transport);
    thread.join().unwrap();
    (words, reads.into_iter().collect())
}

#[test]
fn words_are_taken_from_mapped_pages_and_elsewhere_by_a_message_of_eight_bytes_each() {
    let words = |start: u64, count: u64| (0..count).map(|one| (start / 8 + one) * 3).collect();
    let read_in_messages = |start: u64, count: u64| {
        let reads = (0..count).map(|one| (start + one * 8, 8)).collect();
        (words(start, count), reads)
    };
    for (start, count) in [(MAPPABLE, 512), (MAPPABLE + 0xff8, 3), (0xfff8, 1)] {
        let count_here = usize::try_from(count).unwrap();
        assert_eq!(
            words_and_reads(start, count_here),
            (words(start, count), Vec::new())
        );
    }
    assert_eq!(words_and_reads(0x7ff0, 2), read_in_messages(0x7ff0, 2));
    // The pages around it are not all mappable.
    assert_eq!(words_and_reads(0x7ff8, 3), read_in_messages(0x7ff8, 3));
    assert_eq!(words_and_reads(0x8000, 0), (Vec::new(), Vec::new()));
}

#[test]
fn words_beyond_the_end_are_refused() {
    let (transport, thread) = connect(Server::serve);
    let transport = transport.unwrap();
    for start in [0xfff8, u64::MAX - 7, u64::MAX - 15] {
        let error = transport.read_words(bar4(start), &mut [0; 2]).unwrap_err();
        assert!(
            matches!(error, TransportError::OutOfRange { .. }),
            "{error}"
        );
    }
    drop(transport);
    thread.join().unwrap();
}

#[test]
fn a_refused_access_leaves_the_connection_usable() {
    let (transport, thread) = connect(Server::serve);
    let transport = transport.unwrap();
    let error = transport.write(bar4(0x18), Width::Eight, 1).unwrap_err();
    let TransportError::Access { source, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(source.raw_os_error(), Some(libc::EACCES));
    assert_eq!(error.to_string(), "Cannot write 8 bytes at BAR4+0x18");
    transport.read(bar4(0), Width::One).unwrap();
    drop(transport);
    thread.join().unwrap();
}

#[test]
fn requests_of_the_server_are_declined() {
    let (transport, thread) = connect(|mut server| {
        let mut request = server.receive().unwrap();
        let asking = Header {
            id: 77,
            command: 11,
            ..request.header
        };
        for flags in [TYPE_COMMAND | FLAG_NO_REPLY, TYPE_COMMAND] {
            let message = message(asking, flags, &[0; 24]);
            (&server.stream).write_all(&message).unwrap();
        }
        let declined = server.receive().unwrap().header;
        assert_eq!((declined.id, declined.command), (77, 11));
        assert_eq!(declined.flags, TYPE_REPLY | FLAG_ERROR);
        assert_eq!(declined.error, libc::ENOTSUP.unsigned_abs());
        let payload = server.act(&mut request).unwrap();
        server.reply(&request, &payload);
        server.serve();
    });
    drop(transport.unwrap());
    thread.join().unwrap();
}

/// What a server says instead of its reply to the first request.
fn first_reply(bytes: Vec<u8>) -> String {
    let (transport, thread) = connect(move |server| {
        let request = server.receive().unwrap();
        let mut answer = bytes;
        if answer.len() >= 4 {
            answer[..4].copy_from_slice(&request.header.encode()[..4]);
        }
        (&server.stream).write_all(&answer).unwrap();
    });
    let error = transport.unwrap_err();
    thread.join().unwrap();
    let source = std::error::Error::source(&error).unwrap();
    format!("{error}: {source}")
}

#[test]
fn broken_replies_are_sentences() {
    let header = |bytes: u32, flags: u32| {
        let header = Header {
            id: 0,
            command: 0,
            bytes,
            flags,
            error: 0,
        };
        header.encode().to_vec()
    };
    let mut other_version = header(20, TYPE_REPLY);
    other_version.extend(dwords(&[1]));
    let mut text = header(22, TYPE_REPLY);
    text.extend(b"\0\0\0\0{x");
    let start = "Cannot agree on a version with the device at /run/chmu: ";
    for (bytes, expected) in [
        (header(16, TYPE_REPLY), "a reply is too short"),
        (header(15, TYPE_REPLY), "a message of 15 bytes came"),
        (
            header(u32::MAX, TYPE_REPLY),
            "a message of 4294967295 bytes came",
        ),
        (
            header(16, 2),
            "request 1 for command 1 was answered by message 1",
        ),
        (other_version, "it speaks version 1.0"),
        (text, "key must be a string"),
        (Vec::new(), "unexpected end of file"),
        (
            header(40, TYPE_REPLY)[..10].to_vec(),
            "failed to fill whole buffer",
        ),
    ] {
        let message = first_reply(bytes);
        assert!(message.starts_with(start), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_broken_connection_stays_broken() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut connection = Connection::new(ours).unwrap();
    drop(theirs);
    let first = connection.call(Command::DeviceInfo, &[], &[]).unwrap_err();
    let second = connection.call(Command::DeviceInfo, &[], &[]).unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::NotConnected);
    assert!(second.to_string().contains(&first.to_string()));
}

#[test]
fn nobody_listening_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let error = SocketTransport::connect(&folder.path().join("none")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Cannot connect to the device at ")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_first_reply_is_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let message = first_reply(bytes);
        prop_assert!(message.starts_with("Cannot "), "{}", message);
    }
}
