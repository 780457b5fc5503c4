//! Goal: buffers are as large as is counted, and places go to those who need them. Method: pairs of real sockets.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, TcpStream};

use nix::sys::socket::getsockopt;
use socket2::{Domain, Socket, Type};

use super::*;

sockopt_impl!(
    /// The beginning of it: in its seventh byte, the upper half is the scale of our windows.
    TcpInfoBegin,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u8; 8]
);

/// A connection whose listening socket had small buffers: the peer, and our end.
fn pair(sender_is_narrow: bool) -> (TcpStream, TcpStream) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener
        .set_recv_buffer_size(SMALL_BUFFER_BYTES)
        .expect("set");
    listener
        .set_send_buffer_size(SMALL_BUFFER_BYTES)
        .expect("set");
    listener.set_tcp_mss(SEGMENT_BYTES).expect("set");
    let any = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&any.into()).expect("bound");
    listener.listen(1).expect("listens");
    let address = listener.local_addr().expect("has one");
    let peer = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // What waits on the peer's side is not what is measured.
    if sender_is_narrow {
        peer.set_send_buffer_size(1).expect("set");
    }
    peer.connect(&address).expect("connects");
    let (ours, _) = listener.accept().expect("accepted");
    (peer.into(), ours.into())
}

/// Bytes that a peer can send and nobody reads.
fn sent_unread(peer: &mut TcpStream) -> usize {
    peer.set_nonblocking(true).expect("set");
    let mut sent = 0;
    let mut waits = 0;
    while waits < 20 {
        match peer.write(&[7; 1024]) {
            Ok(n) => (sent, waits) = (sent + n, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                waits += 1;
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
    sent
}

#[test]
fn a_raise_opens_the_window_and_places_run_out() {
    let (mut peer, ours) = pair(true);
    let small = sent_unread(&mut peer);
    assert!(small <= 24 << 10, "{small} bytes went into a small buffer");
    drop((peer, ours));

    let room = SocketRoom::new(64 << 10);
    room.allow(1, 1);
    let (mut peer, ours) = pair(true);
    let (_, other) = pair(true);
    let mut large = Room::SMALL;
    assert!(room.raise(&mut large, &ours));
    let mut none = Room::SMALL;
    assert!(!room.raise(&mut none, &other), "there is one place");
    assert!(room.take_wanted() && !room.take_wanted() && room.is_full());
    // The window grows as bytes come; a reader that reads lets it.
    let mut sink = vec![0; 256 << 10];
    for _ in 0..50 {
        let _ = peer.write(&sink[..16 << 10]);
        ours.set_nonblocking(true).expect("set");
        let _ = std::io::Read::read(&mut &ours, &mut sink);
    }
    let unread = sent_unread(&mut peer);
    assert!(
        unread > 32 << 10,
        "only {unread} bytes went into a large buffer"
    );
    room.lower(&mut large, &ours);
    assert!(!room.is_full() && room.taken() == 0);
    assert_eq!(
        getsockopt(&ours, sockopt::SndBuf).expect("readable"),
        2 * SMALL_BUFFER_BYTES
    );
}

/// Places for long values are given out of one half, and counted as long as what they were for lies unread.
#[test]
fn additional_places_are_counted_until_they_are_read() {
    let room = SocketRoom::new(16 << 10);
    room.allow(64, 64);
    let (mut peer, ours) = pair(true);
    let mut wide = Room::SMALL;
    assert!(room.raise(&mut wide, &ours) && wide.may_be_wide());
    assert!(room.is_worth_it(4 << 10, (16 << 10) + 1));
    assert!(!room.is_worth_it(4 << 10, 16 << 10) && !room.is_worth_it(4000, 1 << 20));
    assert!(room.widen(&mut wide, &ours) && !wide.may_be_wide());
    assert_eq!((wide.places(), room.taken()), (5, 5));
    let most = 5 * room.place_bytes() - 2 * room.large_bytes;
    let given = getsockopt(&ours, sockopt::RcvBuf).expect("readable");
    assert!(given <= most, "{given} bytes are more than what is counted");

    // The window grows as bytes come and are read.
    let mut sink = vec![0; 256 << 10];
    ours.set_nonblocking(true).expect("set");
    for _ in 0..50 {
        let _ = peer.write(&sink[..32 << 10]);
        let _ = std::io::Read::read(&mut &ours, &mut sink);
    }
    let unread = sent_unread(&mut peer);
    assert!(unread > 48 << 10, "{unread} bytes went into a wide buffer");
    room.lower(&mut wide, &ours);
    assert!(!wide.is_large() && wide.places() > 0, "they lie there");
    assert_eq!(wide.places(), room.taken());
    // Large again, and then wide: what is still counted is not taken twice.
    assert!(room.raise(&mut wide, &ours) && wide.may_be_wide());
    assert!(room.widen(&mut wide, &ours));
    assert_eq!((wide.places(), room.taken()), (5, 5));
    room.lower(&mut wide, &ours);
    while std::io::Read::read(&mut &ours, &mut sink).is_ok() {}
    room.lower(&mut wide, &ours);
    assert_eq!((wide, room.taken()), (Room::SMALL, 0));
}

#[test]
fn long_values_leave_half_of_the_places_to_others() {
    let room = SocketRoom::new(16 << 10);
    room.allow(16, 16);
    let pairs: Vec<_> = (0..10).map(|_| pair(false)).collect();
    let mut rooms = [Room::SMALL; 10];
    for (wide, (_, ours)) in rooms.iter_mut().zip(&pairs) {
        if room.raise(wide, ours) {
            room.widen(wide, ours);
        }
    }
    // Each takes one additional place, until those who come have one at all.
    assert_eq!(room.taken(), 16);
    assert!(room.is_full() && room.take_wanted());
    assert!(rooms[..8].iter().all(|wide| wide.places() == 2));
    // Who has two gives one back, and then the others have theirs.
    room.narrow(&mut rooms[0], &pairs[0].1);
    assert_eq!(rooms[0].places(), 1);
    assert!(room.raise(&mut rooms[8], &pairs[8].1));
    assert!(!room.widen(&mut rooms[8], &pairs[8].1), "no place is left");
    for wide in &mut rooms {
        room.leave(wide);
    }
    assert_eq!(room.taken(), 0);
    assert_eq!(room.extra.load(Relaxed), 0);
}

#[test]
fn a_socket_without_a_window_takes_no_additional_place() {
    let room = SocketRoom::new(16 << 10);
    room.allow(64, 64);
    let (ours, _peer) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let mut fixed = Room::SMALL;
    assert!(room.raise(&mut fixed, &ours));
    assert!(!room.widen(&mut fixed, &ours) && !fixed.may_be_wide());
    assert_eq!((fixed.places(), room.taken()), (1, 1));
}

/// What is told in the handshake allows for windows of more than 64 KiB.
#[test]
fn windows_are_told_in_larger_units_where_the_kernel_can() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    set_listening(&listener).expect("set");
    let any = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&any.into()).expect("bound");
    listener.listen(1).expect("listens");
    let address = listener.local_addr().expect("has one");
    let peer = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    peer.set_send_buffer_size(1).expect("set");
    peer.connect(&address).expect("connects");
    let mut peer: TcpStream = peer.into();
    let (ours, _) = listener.accept().expect("accepted");
    let ours: TcpStream = ours.into();
    settle(&ours);
    let given = getsockopt(&ours, sockopt::RcvBuf).expect("readable");
    assert_eq!(given, 2 * SMALL_BUFFER_BYTES);
    let info = getsockopt(&ours, TcpInfoBegin).expect("told");
    let is_unlocked = setsockopt(&listener, BufLock, &LOCK_SEND).is_ok();
    assert_eq!(info[6] >> 4 > 0, is_unlocked, "{info:?}");
    let small = sent_unread(&mut peer);
    assert!(small <= 24 << 10, "{small} bytes went into a small buffer");
}

/// A sender whose segments are longer than the small window sends them by a timer of at least 200 ms each.
#[test]
fn a_connection_that_was_large_goes_on_at_once() {
    // More than the window that was told and cannot be taken back.
    const BYTES: usize = 192 << 10;
    let room = SocketRoom::new(64 << 10);
    room.allow(1, 1);
    let (peer, ours) = pair(false);
    let mut large = Room::SMALL;
    assert!(room.raise(&mut large, &ours));
    let send = |bytes: usize| {
        std::thread::scope(|scope| {
            let peer = &peer;
            scope.spawn(move || (&*peer).write_all(&vec![7; bytes]).expect("taken"));
            let began = std::time::Instant::now();
            std::io::Read::read_exact(&mut &ours, &mut vec![0; bytes]).expect("come");
            began.elapsed()
        })
    };
    send(1 << 20);
    room.lower(&mut large, &ours);
    let took = send(BYTES);
    let timed = BYTES / (SMALL_BUFFER_BYTES + 1) * 200;
    assert!(
        took.as_millis() < timed as u128 / 4,
        "{took:?}: by timer it is {timed} ms"
    );
}
