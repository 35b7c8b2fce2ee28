// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One client after the other.

use super::*;

/// A server with a listening socket, its event loop and the folder of the socket.
struct Listening {
    folder: tempfile::TempDir,
    server: Rc<RefCell<Server<Memory>>>,
    backend: Rc<RefCell<Memory>>,
    events: EventManager<Rc<dyn EventSubscriber>>,
}

impl Listening {
    fn new(single_client: bool) -> Self {
        Self::with_timeout(single_client, Duration::from_secs(3600))
    }

    fn with_timeout(single_client: bool, timeout: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let backend = Rc::new(RefCell::new(Memory::new()));
        let server = Server::listening(listener, single_client, timeout, backend.clone()).unwrap();
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
        answered(client)
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

/// Short enough to wait for, so that waiting for it passes no test by chance.
const SHORT: Duration = Duration::from_millis(20);

/// Whether the server has hung up on a client, once it has done something.
fn hung_up(listening: &mut Listening, mut client: &UnixStream) -> bool {
    listening.events.run().unwrap();
    listening.settle();
    matches!(client.read(&mut [0; 64]), Ok(0))
}

fn answered(mut client: &UnixStream) -> bool {
    client.read_exact(&mut [0; HEADER_BYTES + 4]).is_ok()
}

#[test]
fn a_silent_client_is_let_go_for_the_next() {
    let mut listening = Listening::with_timeout(false, SHORT);
    let silent = listening.connect();
    let mut next = listening.connect();
    next.write_all(&message(VERSION, 0, &[0; 4])).unwrap();
    listening.settle();
    while !hung_up(&mut listening, &silent) {}
    assert!(answered(&next));
}

#[test]
fn a_client_that_waits_uses_up_its_own_time() {
    let mut listening = Listening::new(false);
    let first = listening.connect();
    let second = listening.connect();
    listening.settle();
    let both_are_there = Instant::now();
    drop(first);
    listening.settle();
    let began = |server: &Server<Memory>| server.connection.as_ref()?.unfinished_since();
    assert!(began(&listening.server.borrow()).unwrap() < both_are_there);
    assert!(listening.negotiate(&second));
}

#[test]
fn what_a_client_said_while_it_waited_counts_however_long_it_waited() {
    let mut listening = Listening::with_timeout(false, SHORT);
    let silent: Vec<_> = (0..50).map(|_| listening.connect()).collect();
    let mut honest = listening.connect();
    honest.write_all(&message(VERSION, 0, &[0; 4])).unwrap();
    listening.settle();
    while !hung_up(&mut listening, &silent[49]) {}
    listening.settle();
    assert!(answered(&honest));
    assert_eq!(listening.backend.borrow().clients_left, 50);
}

#[test]
fn a_client_that_does_not_finish_a_message_is_let_go() {
    let mut listening = Listening::with_timeout(false, SHORT);
    let mut client = listening.connect();
    assert!(listening.negotiate(&client));
    client.write_all(&message(RESET, 0, &[])[..15]).unwrap();
    listening.settle();
    while !hung_up(&mut listening, &client) {}
    assert_eq!(listening.backend.borrow().clients_left, 1);
}

#[test]
fn a_client_with_nothing_to_say_stays() {
    let mut listening = Listening::with_timeout(false, SHORT);
    let mut client = listening.connect();
    assert!(listening.negotiate(&client));
    client.write_all(&message(RESET, 0, &[])[..1]).unwrap();
    listening.settle();
    client.write_all(&message(RESET, 0, &[])[1..]).unwrap();
    listening.settle();
    client.read_exact(&mut [0; HEADER_BYTES]).unwrap();
    // Other clients come, wait as long as they may, and go; nobody touches this one.
    let other = listening.connect();
    while !hung_up(&mut listening, &other) {}
    client.write_all(&message(RESET, 0, &[])).unwrap();
    listening.settle();
    client.read_exact(&mut [0; HEADER_BYTES]).unwrap();
    assert_eq!(listening.backend.borrow().clients_left, 0);
}

#[test]
fn a_client_too_many_hears_that_the_device_is_busy() {
    let mut listening = Listening::with_timeout(false, SHORT);
    let first = listening.connect();
    assert!(listening.negotiate(&first));
    let mut second = listening.connect();
    second.write_all(&message(VERSION, 0, &[0; 4])).unwrap();
    let mut reply = [0; HEADER_BYTES];
    while second.read_exact(&mut reply).is_err() {
        listening.events.run().unwrap();
    }
    let errno = libc::EBUSY.to_le_bytes();
    assert_eq!(
        (reply[8..12].to_vec(), &reply[12..]),
        (words(&[0x21]), &errno[..])
    );
    assert_eq!(second.read(&mut reply).unwrap(), 0);
}

#[test]
fn clients_that_hang_up_while_they_wait_leave_nothing() {
    let mut listening = Listening::new(false);
    let first = listening.connect();
    assert!(listening.negotiate(&first));
    for _ in 0..100 {
        drop(listening.connect());
        listening.settle();
    }
    let last = listening.connect();
    drop(first);
    listening.settle();
    assert!(listening.negotiate(&last));
    assert_eq!(listening.backend.borrow().clients_arrived, 2);
}

#[test]
fn more_clients_than_places_wait_all_the_same() {
    let mut listening = Listening::new(false);
    let mut clients: Vec<_> = (0..100).map(|_| listening.connect()).collect();
    listening.settle();
    for served in 1..=100 {
        assert!(listening.negotiate(&clients[0]));
        assert_eq!(listening.backend.borrow().clients_arrived, served);
        clients.remove(0);
        listening.settle();
    }
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
fn the_only_client_is_one_that_says_its_version() {
    let mut listening = Listening::new(true);
    for _ in 0..3 {
        let (silent, next) = (listening.connect(), listening.connect());
        listening.settle();
        drop(silent);
        listening.settle();
        assert!(!listening.server.borrow().is_finished());
        drop(next);
        listening.settle();
        assert!(!listening.server.borrow().is_finished());
    }
    let (silent, client) = (listening.connect(), listening.connect());
    drop(silent);
    listening.settle();
    assert!(listening.negotiate(&client));
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
