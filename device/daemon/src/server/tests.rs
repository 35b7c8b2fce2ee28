// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The server against a raw client in the same thread: what comes in pieces, malformed, too
//! large, or not at all.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use chmu_cxl::Interrupts;
use event_manager::{EventManager, EventSubscriber, SubscriberOps};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::protocol::{FLAG_ERROR, FLAG_NO_REPLY, HEADER_BYTES, MAX_DATA_BYTES};
use super::*;

const VERSION: u16 = 1;
const GET_REGION_INFO: u16 = 5;
const GET_IRQ_INFO: u16 = 7;
const SET_IRQS: u16 = 8;
const READ: u16 = 9;
const WRITE: u16 = 10;
const RESET: u16 = 13;

const EINVAL: u32 = libc::EINVAL.unsigned_abs();
const ENOTSUP: u32 = libc::ENOTSUP.unsigned_abs();

/// Region 4 is a page of memory that reads back; every other one is empty.
#[derive(Debug)]
struct Memory {
    regions: Vec<Region>,
    bytes: Vec<u8>,
    events: Vec<Option<EventFd>>,
    resets: u32,
    interrupts: Interrupts,
    clients_arrived: u32,
    clients_left: u32,
    handled: Vec<(Command, bool)>,
}

impl Memory {
    fn new() -> Self {
        let mut regions = vec![Region::default(); 9];
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * u64::from(MAX_DATA_BYTES)).unwrap();
        regions[4] = Region {
            size_bytes: 2 * u64::from(MAX_DATA_BYTES),
            mappable_areas: vec![0x1000..0x3000, 0x8000..0x9000],
            file: Some(file.into()),
        };
        Self {
            regions,
            bytes: vec![0; 2 * MAX_DATA_BYTES as usize],
            events: std::iter::repeat_with(|| None).take(4).collect(),
            resets: 0,
            interrupts: Interrupts::MsiX(4),
            clients_arrived: 0,
            clients_left: 0,
            handled: Vec::new(),
        }
    }
}

impl Backend for Memory {
    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn interrupts(&self) -> Interrupts {
        self.interrupts
    }

    fn read(&mut self, _: u32, offset: u64, data: &mut [u8]) -> Result<(), AccessRefused> {
        let start = usize::try_from(offset).unwrap();
        data.copy_from_slice(&self.bytes[start..start + data.len()]);
        Ok(())
    }

    fn write(&mut self, _: u32, offset: u64, data: &[u8]) -> Result<(), AccessRefused> {
        if offset == 0x666 {
            return Err(AccessRefused);
        }
        let start = usize::try_from(offset).unwrap();
        self.bytes[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn reset(&mut self) {
        self.resets += 1;
    }

    fn connect_vector(&mut self, vector: u16, event: Option<EventFd>) {
        self.events[usize::from(vector)] = event;
    }

    fn trigger_vector(&mut self, vector: u16) {
        if let Some(event) = &self.events[usize::from(vector)] {
            event.write(1).unwrap();
        }
    }

    fn message_handled(&mut self, command: Command, refused: bool) {
        self.handled.push((command, refused));
    }

    fn client_arrived(&mut self) {
        self.clients_arrived += 1;
    }

    fn client_left(&mut self) {
        self.clients_left += 1;
        self.events.fill_with(|| None);
    }
}

/// One connection, both ends in this thread.
struct Peers {
    client: UnixStream,
    connection: Connection,
    backend: Memory,
}

#[derive(Debug, PartialEq)]
struct Answer {
    id: u16,
    command: u16,
    error: bool,
    errno: u32,
    payload: Vec<u8>,
}

impl Peers {
    fn connected() -> Self {
        let (client, server) = UnixStream::pair().unwrap();
        client.set_nonblocking(true).unwrap();
        Self {
            client,
            connection: Connection::new(server).unwrap(),
            backend: Memory::new(),
        }
    }

    fn negotiated() -> Self {
        let mut peers = Self::connected();
        let answer = peers.call(VERSION, &[0; 4]).unwrap();
        assert_eq!((answer.errno, answer.payload), (0, vec![0; 4]));
        peers
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).unwrap();
    }

    fn turn(&mut self) -> Waiting {
        self.connection.turn(&mut self.backend)
    }

    fn answer(&mut self) -> Option<Answer> {
        let mut header = [0; HEADER_BYTES];
        self.client.read_exact(&mut header).ok()?;
        let field = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let mut payload = vec![0; field(4) as usize - HEADER_BYTES];
        self.client.read_exact(&mut payload).unwrap();
        assert_eq!(field(8) & 0xf, 1, "it is a reply");
        Some(Answer {
            id: u16::from_le_bytes([header[0], header[1]]),
            command: u16::from_le_bytes([header[2], header[3]]),
            error: field(8) & FLAG_ERROR != 0,
            errno: field(12),
            payload,
        })
    }

    fn call(&mut self, command: u16, payload: &[u8]) -> Option<Answer> {
        self.send(&message(command, 0, payload));
        self.turn();
        self.answer()
    }

    fn errno(&mut self, command: u16, payload: &[u8]) -> u32 {
        let answer = self.call(command, payload).unwrap();
        assert_eq!(answer.error, answer.errno != 0);
        assert!(answer.errno == 0 || answer.payload.is_empty());
        answer.errno
    }

    fn assert_in_step(&mut self) {
        let resets = self.backend.resets;
        assert_eq!(self.errno(RESET, &[]), 0);
        assert_eq!(self.backend.resets, resets + 1);
    }
}

fn message(command: u16, flags: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(HEADER_BYTES + payload.len()).unwrap();
    sized_message(command, flags, size, payload)
}

fn sized_message(command: u16, flags: u32, size: u32, payload: &[u8]) -> Vec<u8> {
    [
        &7u16.to_le_bytes()[..],
        &command.to_le_bytes(),
        &size.to_le_bytes(),
        &flags.to_le_bytes(),
        &[0; 4],
        payload,
    ]
    .concat()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn access(region: u32, offset: u64, count: u32, data: &[u8]) -> Vec<u8> {
    [&offset.to_le_bytes()[..], &words(&[region, count]), data].concat()
}

#[test]
fn version_comes_first_and_once() {
    let mut peers = Peers::connected();
    assert_eq!(peers.errno(RESET, &[]), EINVAL);
    assert_eq!(peers.errno(VERSION, b"\0"), EINVAL);
    assert_eq!(peers.errno(VERSION, b"\0\0\0\0no json"), EINVAL);
    assert_eq!(peers.errno(READ, &access(4, 0, 4, &[])), EINVAL);
    assert_eq!(peers.errno(VERSION, &[0; 4]), 0);
    assert_eq!(peers.errno(VERSION, &[0; 4]), EINVAL);
    peers.assert_in_step();
    assert_eq!(peers.backend.resets, 1);
}

#[test]
fn a_message_in_single_bytes_is_one_message() {
    let mut peers = Peers::negotiated();
    let bytes = message(WRITE, 0, &access(4, 8, 3, b"abc"));
    for byte in &bytes[..bytes.len() - 1] {
        peers.send(&[*byte]);
        assert_eq!(peers.turn(), Waiting::Readable);
        assert!(peers.answer().is_none());
    }
    peers.send(b"c");
    peers.turn();
    assert_eq!(peers.answer().unwrap().payload, access(4, 8, 3, &[]));
    assert_eq!(&peers.backend.bytes[8..11], b"abc");
}

#[test]
fn several_messages_in_one_piece_are_answered_in_order() {
    let mut peers = Peers::negotiated();
    peers.backend.bytes[..3].copy_from_slice(b"xyz");
    let piece: Vec<u8> = (0..3)
        .flat_map(|offset| message(READ, 0, &access(4, offset, 1, &[])))
        .collect();
    peers.send(&piece);
    for letter in b"xyz" {
        assert_eq!(peers.turn(), Waiting::Readable);
        assert_eq!(peers.answer().unwrap().payload.last(), Some(letter));
    }
    assert_eq!(peers.turn(), Waiting::Readable);
    assert!(peers.answer().is_none());
}

#[test]
fn unknown_and_unsupported_commands_stay_in_step() {
    let mut peers = Peers::negotiated();
    for command in [0, 6, 11, 12, 14, 15, 16, 99, u16::MAX] {
        for payload in [&[][..], &[0x5a; 40], &[0xff; 5000]] {
            assert_eq!(peers.errno(command, payload), ENOTSUP, "command {command}");
            peers.assert_in_step();
        }
    }
}

#[test]
fn short_payloads_are_refused() {
    let mut peers = Peers::negotiated();
    for command in [2, 3, 4, 5, 7, 8, 9, 10] {
        for length in 0..16 {
            assert_eq!(peers.errno(command, &vec![0; length]), EINVAL);
        }
    }
    // Long enough, but `argsz` says otherwise.
    for command in [2, 3, 4, 5, 7, 8] {
        assert_eq!(peers.errno(command, &[0; 64]), EINVAL);
    }
    peers.assert_in_step();
}

#[test]
fn accesses_keep_to_the_region_and_to_the_largest_transfer() {
    let mut peers = Peers::negotiated();
    let size = 2 * u64::from(MAX_DATA_BYTES);
    for (region, offset, count) in [
        (4, size, 1),
        (4, size - 3, 4),
        (4, u64::MAX, 8),
        (4, 0, 0),
        (4, 0, MAX_DATA_BYTES + 1),
        (4, 0, 1 << 30),
        (0, 0, 4),
        (9, 0, 4),
        (u32::MAX, 0, 4),
    ] {
        assert_eq!(
            peers.errno(READ, &access(region, offset, count, &[])),
            EINVAL
        );
    }
    peers.assert_in_step();
}

#[test]
fn a_write_carries_as_much_as_it_says() {
    let mut peers = Peers::negotiated();
    for count in [0, 4, 9, 1 << 20, u32::MAX] {
        assert_eq!(peers.errno(WRITE, &access(4, 0, count, &[1; 8])), EINVAL);
    }
    assert_eq!(peers.errno(WRITE, &access(42, 0, 8, &[1; 8])), EINVAL);
    assert_eq!(peers.errno(WRITE, &access(4, 0x666, 8, &[1; 8])), EINVAL);
    assert_eq!(peers.backend.bytes[..8], [0; 8]);
    peers.assert_in_step();
}

#[test]
fn a_size_below_the_header_ends_the_connection_with_an_answer() {
    for size in [0, 1, 15] {
        let mut peers = Peers::negotiated();
        peers.send(&sized_message(RESET, 0, size, &[]));
        assert_eq!(peers.turn(), Waiting::Ended);
        assert_eq!(peers.answer().unwrap().errno, EINVAL);
    }
}

#[test]
fn a_size_above_the_largest_message_ends_the_connection_at_once() {
    let largest = u32::try_from(HEADER_BYTES + 16).unwrap() + MAX_DATA_BYTES;
    for size in [largest + 1, u32::MAX] {
        let mut peers = Peers::negotiated();
        peers.send(&sized_message(WRITE, 0, size, &[]));
        assert_eq!(peers.turn(), Waiting::Ended);
        assert_eq!(peers.answer().unwrap().errno, EINVAL);
    }
}

#[test]
fn a_client_that_leaves_within_a_message_ends_the_connection() {
    let bytes = message(WRITE, 0, &access(4, 0, 8, &[1; 8]));
    for length in 0..bytes.len() {
        let mut peers = Peers::negotiated();
        peers.send(&bytes[..length]);
        peers.client.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(peers.turn(), Waiting::Ended);
        assert_eq!(peers.backend.bytes[0], 0);
    }
}

#[test]
fn no_reply_means_none_even_for_a_failure() {
    let mut peers = Peers::negotiated();
    peers.send(&message(WRITE, FLAG_NO_REPLY, &access(4, 0, 1, b"w")));
    peers.send(&message(99, FLAG_NO_REPLY, &[0; 32]));
    peers.send(&message(READ, FLAG_NO_REPLY, &access(4, 0, 1, &[])));
    for _ in 0..3 {
        assert_eq!(peers.turn(), Waiting::Readable);
        assert!(peers.answer().is_none());
    }
    assert_eq!(peers.backend.bytes[0], b'w');
    peers.assert_in_step();
}

#[test]
fn replies_and_undefined_types_of_messages_change_nothing() {
    let mut peers = Peers::negotiated();
    peers.send(&message(RESET, 1, &[0; 8]));
    assert_eq!(peers.turn(), Waiting::Readable);
    assert!(peers.answer().is_none());
    peers.send(&message(RESET, 2, &[0; 8]));
    peers.turn();
    assert_eq!(peers.answer().unwrap().errno, EINVAL);
    assert_eq!(peers.backend.resets, 0);
    peers.assert_in_step();
}

#[test]
fn a_client_that_takes_no_replies_holds_up_only_itself() {
    let mut peers = Peers::negotiated();
    let read = message(READ, 0, &access(4, 0, MAX_DATA_BYTES, &[]));
    peers.send(&[read.clone(), read].concat());
    assert_eq!(peers.turn(), Waiting::Writable);
    assert_eq!(peers.turn(), Waiting::Writable);
    assert_eq!(
        peers.backend.handled.len(),
        2,
        "the second read waits for room"
    );

    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    let expected = 2 * (HEADER_BYTES + 16 + MAX_DATA_BYTES as usize);
    while received < expected {
        peers.turn();
        received += peers.client.read(&mut buffer).unwrap();
    }
    assert_eq!(received, expected);
    assert_eq!(peers.backend.handled.len(), 3);
}

#[test]
fn the_largest_write_is_taken() {
    let mut peers = Peers::negotiated();
    let data = vec![0xa5; MAX_DATA_BYTES as usize];
    let bytes = message(WRITE, 0, &access(4, 16, MAX_DATA_BYTES, &data));
    let mut sent = 0;
    while sent < bytes.len() {
        sent += peers.client.write(&bytes[sent..]).unwrap();
        peers.turn();
    }
    assert_eq!(peers.answer().unwrap().errno, 0);
    assert_eq!(peers.backend.bytes[16..16 + data.len()], data);
}

#[test]
fn region_information_takes_two_rounds() {
    let mut peers = Peers::negotiated();
    let ask = |room: u32, index: u32| {
        let mut request = words(&[room, 0, index, 0]);
        request.resize(32, 0);
        request
    };
    let needed = 32 + 16 + 2 * 16;
    let head = [
        words(&[needed, 0xf, 4, 32]),
        vec![0, 0, 0x20, 0, 0, 0, 0, 0],
        vec![0; 8],
    ]
    .concat();
    for room in [32, needed - 1] {
        let answer = peers.call(GET_REGION_INFO, &ask(room, 4)).unwrap();
        assert_eq!(answer.payload, head);
    }

    peers.send(&message(GET_REGION_INFO, 0, &ask(needed, 4)));
    peers.turn();
    let mut reply = vec![0; 256];
    let (count, file) = peers.client.recv_with_fd(&mut reply).unwrap();
    assert!(file.is_some());
    let capability: Vec<u8> = [
        words(&[1 | 1 << 16, 0, 2, 0]),
        [0x1000u64, 0x2000, 0x8000, 0x1000]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    ]
    .concat();
    assert_eq!(reply[HEADER_BYTES..count], [head, capability].concat());

    let absent = peers.call(GET_REGION_INFO, &ask(32, 6)).unwrap();
    assert_eq!(absent.payload[4..8], [0; 4]);
    assert_eq!(peers.errno(GET_REGION_INFO, &ask(32, 9)), EINVAL);
    assert_eq!(peers.errno(GET_REGION_INFO, &ask(31, 4)), EINVAL);
}

#[test]
fn interrupt_information_offers_only_message_signalled_vectors() {
    let mut peers = Peers::negotiated();
    let kinds = [
        (Interrupts::MsiX(4), [0, 0, 4]),
        (Interrupts::Msi(2), [0, 2, 0]),
        (Interrupts::None, [0, 0, 0]),
    ];
    for (interrupts, counts) in kinds {
        peers.backend.interrupts = interrupts;
        for (index, count) in (0..).zip(counts) {
            let answer = peers.call(GET_IRQ_INFO, &words(&[16, 0, index, 0]));
            let flags = u32::from(count > 0);
            let expected = words(&[16, flags, index, count]);
            assert_eq!(answer.unwrap().payload, expected, "{interrupts:?}");
        }
    }
    for index in [3, 4, 5, u32::MAX] {
        assert_eq!(
            peers.errno(GET_IRQ_INFO, &words(&[16, 0, index, 0])),
            EINVAL
        );
    }
}

fn set_irqs(peers: &mut Peers, fields: [u32; 4], events: &[&dyn AsRawFd]) -> u32 {
    let [flags, index, start, count] = fields;
    let bytes = message(SET_IRQS, 0, &words(&[20, flags, index, start, count]));
    let descriptors: Vec<RawFd> = events.iter().map(|event| event.as_raw_fd()).collect();
    let sent = peers.client.send_with_fds(&[&bytes[..]], &descriptors);
    assert_eq!(sent.unwrap(), bytes.len());
    peers.turn();
    peers.answer().unwrap().errno
}

#[test]
fn vectors_are_connected_replaced_and_disconnected() {
    const ASSIGN: u32 = 0x24;
    const NONE: u32 = 0x21;
    let mut peers = Peers::negotiated();
    let connected =
        |peers: &Peers| -> Vec<bool> { peers.backend.events.iter().map(Option::is_some).collect() };
    let events = [(); 4].map(|()| EventFd::new(EFD_NONBLOCK).unwrap());

    assert_eq!(set_irqs(&mut peers, [ASSIGN, 2, 0, 1], &[]), 0);
    assert_eq!(connected(&peers), [false; 4]);
    assert_eq!(
        set_irqs(&mut peers, [ASSIGN, 2, 1, 2], &[&events[1], &events[2]]),
        0
    );
    assert_eq!(connected(&peers), [false, true, true, false]);
    assert_eq!(set_irqs(&mut peers, [NONE, 2, 1, 2], &[]), 0);
    assert_eq!(events[1].read().unwrap() + events[2].read().unwrap(), 2);
    assert_eq!(set_irqs(&mut peers, [ASSIGN, 2, 2, 1], &[&events[3]]), 0);
    assert_eq!(set_irqs(&mut peers, [NONE, 2, 2, 1], &[]), 0);
    assert_eq!(events[3].read().unwrap(), 1);
    assert!(events[2].read().is_err(), "its place was taken");
    assert_eq!(set_irqs(&mut peers, [ASSIGN, 2, 1, 2], &[&events[0]]), 0);
    assert_eq!(connected(&peers), [false, true, false, false]);
    assert_eq!(set_irqs(&mut peers, [NONE, 2, 0, 0], &[]), 0);
    assert_eq!(connected(&peers), [false; 4]);
}

#[test]
fn impossible_interrupt_settings_are_refused_and_change_nothing() {
    let mut peers = Peers::negotiated();
    let event = EventFd::new(EFD_NONBLOCK).unwrap();
    let file = File::open("/dev/null").unwrap();
    for fields in [
        [0x24, 2, 4, 1],
        [0x24, 2, u32::MAX, 1],
        [0x24, 2, 0, u32::MAX],
        [0x24, 0, 0, 1],
        [0x24, 3, 0, 1],
        [0x24, 17, 0, 1],
        [0x24, 2, 0, 0],
        [0x22, 2, 0, 1],
        [0x0c, 2, 0, 1],
        [0x27, 2, 0, 1],
        [0, 2, 0, 1],
    ] {
        assert_eq!(
            set_irqs(&mut peers, fields, &[&event]),
            EINVAL,
            "{fields:x?}"
        );
    }
    assert_eq!(
        set_irqs(&mut peers, [0x24, 2, 0, 2], &[&event, &file]),
        EINVAL
    );
    assert!(peers.backend.events.iter().all(Option::is_none));
    peers.assert_in_step();
}

#[test]
fn descriptors_stay_with_their_message_and_are_closed_with_it() {
    let mut peers = Peers::negotiated();
    let event = EventFd::new(EFD_NONBLOCK).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    // A message with a descriptor nobody needs, right before one with an eventfd.
    let reset = message(RESET, 0, &[]);
    let sent = peers.client.send_with_fd(&reset[..], writer.as_raw_fd());
    assert_eq!(sent.unwrap(), reset.len());
    drop(writer);
    let assign = message(SET_IRQS, 0, &words(&[20, 0x24, 2, 0, 1]));
    let sent = peers.client.send_with_fd(&assign[..], event.as_raw_fd());
    assert_eq!(sent.unwrap(), assign.len());
    for _ in 0..2 {
        peers.turn();
        assert_eq!(peers.answer().unwrap().errno, 0);
    }
    assert!(peers.backend.events[0].is_some());
    let mut end = Vec::new();
    (&reader).read_to_end(&mut end).unwrap();
    assert!(end.is_empty(), "the pipe's last writer is closed");
}

#[test]
fn more_descriptors_than_negotiated_end_the_connection() {
    let mut peers = Peers::negotiated();
    let event = EventFd::new(EFD_NONBLOCK).unwrap();
    let bytes = message(RESET, 0, &[0; 8]);
    let sent = peers
        .client
        .send_with_fds(&[&bytes[..]], &[event.as_raw_fd(); 17]);
    assert_eq!(sent.unwrap(), bytes.len());
    assert_eq!(peers.turn(), Waiting::Ended);

    // The same piece by piece.
    let mut peers = Peers::negotiated();
    for byte in &bytes[..2] {
        let sent = peers
            .client
            .send_with_fds(&[&[*byte][..]], &[event.as_raw_fd(); 16]);
        assert_eq!(sent.unwrap(), 1);
    }
    assert_eq!(peers.turn(), Waiting::Ended);
}

/// A server with a listening socket, its event loop and the folder of the socket.
struct Listening {
    folder: tempfile::TempDir,
    server: Rc<RefCell<Server<Memory>>>,
    backend: Rc<RefCell<Memory>>,
    events: EventManager<Rc<dyn EventSubscriber>>,
}

impl Listening {
    fn new(single_client: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let backend = Rc::new(RefCell::new(Memory::new()));
        let server = Server::listening(listener, single_client, backend.clone()).unwrap();
        let server = Rc::new(RefCell::new(server));
        let mut events = EventManager::<Rc<dyn EventSubscriber>>::new().unwrap();
        events.add_subscriber(server.clone());
        Self {
            folder,
            server,
            backend,
            events,
        }
    }

    fn connect(&self) -> UnixStream {
        let client = UnixStream::connect(self.folder.path().join("s")).unwrap();
        client.set_nonblocking(true).unwrap();
        client
    }

    /// Lets the server do all it can without anything new from a client.
    fn settle(&mut self) {
        while self.events.run_with_timeout(0).unwrap() > 0 {}
    }

    fn negotiate(&mut self, mut client: &UnixStream) -> bool {
        client.write_all(&message(VERSION, 0, &[0; 4])).unwrap();
        self.settle();
        client.read_exact(&mut [0; HEADER_BYTES + 4]).is_ok()
    }
}

#[test]
fn a_client_that_leaves_makes_room_for_the_next() {
    let mut listening = Listening::new(false);
    for round in 1..=3 {
        let client = listening.connect();
        listening.settle();
        assert!(listening.negotiate(&client));
        drop(client);
        listening.settle();
        assert_eq!(listening.backend.borrow().clients_left, round);
        assert!(!listening.server.borrow().is_finished());
    }
    assert_eq!(listening.backend.borrow().clients_arrived, 3);
}

#[test]
fn a_second_client_waits_for_the_first_to_leave() {
    let mut listening = Listening::new(false);
    let first = listening.connect();
    let second = listening.connect();
    assert!(listening.negotiate(&first));
    assert!(!listening.negotiate(&second));
    assert_eq!(listening.backend.borrow().clients_arrived, 1);
    drop(first);
    listening.settle();
    let mut reply = [0; HEADER_BYTES + 4];
    (&second).read_exact(&mut reply).unwrap();
    assert_eq!(listening.backend.borrow().clients_arrived, 2);
}

#[test]
fn the_only_client_finishes_the_server() {
    let mut listening = Listening::new(true);
    let client = listening.connect();
    assert!(listening.negotiate(&client));
    assert!(!listening.server.borrow().is_finished());
    drop(client);
    listening.settle();
    assert!(listening.server.borrow().is_finished());
}

#[test]
fn the_client_of_the_vfio_user_crate_gets_along() {
    let mut listening = Listening::new(true);
    let path = listening.folder.path().join("s");
    let client = std::thread::spawn(move || {
        let mut client = vfio_user::Client::new(&path).unwrap();
        let region = client.region(4).unwrap();
        let sparse: Vec<_> = region.sparse_areas.iter().map(|area| area.offset).collect();
        assert_eq!(sparse, [0x1000, 0x8000]);
        assert!(region.file_offset.is_some());
        client.region_write(4, 0x40, b"over").unwrap();
        let mut data = [0; 4];
        client.region_read(4, 0x40, &mut data).unwrap();
        assert_eq!(&data, b"over");
        client.dma_unmap(1 << 40, 1 << 12).unwrap();
        client.reset().unwrap();
    });
    while !listening.server.borrow().is_finished() {
        listening.events.run().unwrap();
    }
    client.join().unwrap();
    assert_eq!(listening.backend.borrow().resets, 1);
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Whatever bytes arrive, however they are cut: no panic, and every answer is a reply.
        #[test]
        fn any_bytes_are_survived(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..48), 0..12),
        ) {
            let mut peers = Peers::negotiated();
            for piece in pieces {
                let sent = peers.client.write(&piece);
                if peers.turn() == Waiting::Ended {
                    break;
                }
                prop_assert!(sent.is_ok());
                while peers.answer().is_some() {}
            }
        }

        /// Well-framed messages with any content: exactly one answer each, and in step after it.
        #[test]
        fn any_payload_is_answered_once(
            command in 0u16..18,
            payload in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut peers = Peers::negotiated();
            let answer = peers.call(command, &payload).unwrap();
            prop_assert_eq!((answer.id, answer.command), (7, command));
            prop_assert_eq!(answer.error, answer.errno != 0);
            prop_assert!(peers.answer().is_none());
            peers.assert_in_step();
        }
    }
}
