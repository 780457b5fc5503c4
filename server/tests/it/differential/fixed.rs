//! Connections that were written by hand: what notes, tests and bug reports of memcached
//! warn of.

use Age::{Any, New};

/// Which memcached a row is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Debian's 1.6.18 answers like the current one.
    Any,
    /// The current one only.
    New,
}

pub const INPUTS: &[(Age, &[u8])] = &[
    (Any, b""),
    (New, b" \n"),
    (Any, b"get fixed-a\r\n"),
    (Any, b"get fixed-a"),
    (New, b"set fixed-a 1 0 3\r\nabc\r\nget fixed-a\r\ngets\r\nget fixed-a fixed-a fixed-b\r\n"),
    // A data block that is too long, and one that is too short.
    (New, b"set fixed-a 0 0 3\r\nabcdef\r\nget fixed-a\r\n"),
    (Any, b"set fixed-a 0 0 10\r\nabc\r\nget fixed-a\r\n"),
    (Any, b"set fixed-a 0 0 0\r\n\r\nget fixed-a\r\n"),
    (Any, b"set fixed-a 0 0 3 noreply\r\nabc\r\nget fixed-a\r\n"),
    (New, b"set fixed-a 0 0 3 noreply\r\nabcdef\r\nget fixed-a\r\n"),
    (Any, b"set fixed-a 0 0 3 junk\r\nabc\r\nget fixed-a\r\n"),
    (Any, b"set fixed-a 0 0 3\nabc\nget fixed-a\n"),
    // Lengths that nobody has memory for must not be waited for.
    (Any, b"set fixed-b 0 0 -1\r\nget fixed-b\r\n"),
    // Deletes with what old clients put behind the key.
    (Any, b"delete fixed-c\r\nset fixed-c 0 0 1\r\nx\r\ndelete fixed-c 0\r\nget fixed-c\r\n"),
    (New, b"delete fixed-c 0 noreply\r\ndelete fixed-c 5\r\ndelete fixed-c 5 noreply\r\nversion\r\n"),
    // Counting: wraps up, stops down, keeps its width.
    (Any, b"set fixed-n 0 0 2\r\n99\r\nincr fixed-n 1\r\ndecr fixed-n 1\r\nget fixed-n\r\n"),
    (Any, b"decr fixed-n 1000\r\nget fixed-n\r\n"),
    (Any, b"set fixed-n 0 0 20\r\n18446744073709551615\r\nincr fixed-n 1\r\nget fixed-n\r\n"),
    (Any, b"set fixed-n 0 0 1\r\nx\r\nincr fixed-n 1\r\ndecr fixed-n 1\r\nincr fixed-n x\r\nincr fixed-none 1\r\n"),
    (Any, b"set fixed-n 7 0 1\r\n5\r\nincr fixed-n 1 noreply\r\nget fixed-n\r\n"),
    (Any, b"set fixed-n 0 0 3\r\n1 2\r\nincr fixed-n 1\r\nset fixed-n 0 0 2\r\n 1\r\nincr fixed-n 1\r\n"),
    (Any, b"set fixed-n 0 0 2\r\n5\t\r\nincr fixed-n 1\r\nset fixed-n 0 0 2\r\n5,\r\nincr fixed-n 1\r\n"),
    // Appending keeps flags.
    (Any, b"set fixed-p 9 0 1\r\nb\r\nappend fixed-p 3 0 1\r\nc\r\nprepend fixed-p 3 0 1\r\na\r\nget fixed-p\r\n"),
    (Any, b"append fixed-q 0 0 1\r\nx\r\nprepend fixed-q 0 0 1\r\nx\r\nreplace fixed-q 0 0 1\r\nx\r\n"),
    // CAS without a number that fits.
    (Any, b"cas fixed-r 0 0 1 1\r\nx\r\nset fixed-r 0 0 1\r\nx\r\ncas fixed-r 0 0 1 999999999999\r\ny\r\nget fixed-r\r\n"),
    (New, b"cas fixed-r 0 0 1\r\nx\r\nversion\r\n"),
    (New, b"gat 100 fixed-r\r\ngats 100 fixed-r\r\ngat\r\ngat 100\r\ngat x fixed-r\r\ntouch fixed-r 100\r\ntouch fixed-none 1\r\ntouch fixed-r x\r\n"),
    (New, b"verbosity 1\r\nverbosity 1 noreply\r\nverbosity\r\nversion\r\n"),
    (Any, b"flush_all\r\nset fixed-s 0 0 1\r\nx\r\nget fixed-s\r\nflush_all 0\r\nget fixed-s\r\nflush_all noreply\r\nflush_all 0 noreply\r\nversion\r\n"),
    (Any, b"flush_all x\r\nflush_all -1\r\nversion\r\n"),
    (Any, b"quit\r\nget fixed-s\r\n"),
    (New, b"shutdown\r\n"),
    // Keys.
    (Any, b"set xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 0 0 1\r\nx\r\nversion\r\n"),
    (Any, b"set \x80\xff 0 0 1\r\nx\r\nget \x80\xff\r\n"),
    (Any, b"set fixed\tt 0 0 1\r\nx\r\nget fixed\tt\r\n"),
    // HTTP, from a browser that was lured here.
    (Any, b"GET / HTTP/1.0\r\nHost: x\r\n\r\nset fixed-h 0 0 1\r\nx\r\n"),
    // Meta.
    (Any, b"mn\r\nmg fixed-m\r\nmg fixed-m v\r\nms fixed-m 2\r\nhi\r\nmg fixed-m\r\nmg fixed-m v\r\nmg fixed-m s v f t k\r\n"),
    (Any, b"ms fixed-m 2 T0 F3 O1 k q\r\nhi\r\nmg fixed-m v q k O2\r\nmg fixed-none v q k O3\r\nmn\r\n"),
    (Any, b"ms fixed-m 2 MA\r\n+1\r\nms fixed-m 2 MP\r\n-1\r\nmg fixed-m v\r\nms fixed-m 1 ME\r\nx\r\nms fixed-none 1 MR\r\nx\r\nms fixed-none 1 MA\r\nx\r\n"),
    (New, b"ms fixed-new 1 MA N100 v\r\nx\r\nmg fixed-new v t\r\n"),
    (Any, b"mg fixed-v N100 v t\r\nmg fixed-v N100 v t\r\nms fixed-v 1\r\nx\r\nmg fixed-v v\r\n"),
    (Any, b"ms fixed-w 1 T100\r\nx\r\nmd fixed-w I T50\r\nmg fixed-w v t\r\nmg fixed-w v\r\nms fixed-w 1 I\r\ny\r\nmg fixed-w v\r\n"),
    (Any, b"ms fixed-x 1 T100\r\nx\r\nmg fixed-x R200 v t\r\nmg fixed-x R200 v t\r\n"),
    (New, b"ms fixed-y 1 F5 T100\r\nx\r\nmd fixed-y x\r\nmg fixed-y v f t s\r\n"),
    (Any, b"ma fixed-z\r\nma fixed-z N0 J10\r\nma fixed-z v\r\nma fixed-z MD D5 v t c q k O1\r\nma fixed-z D18446744073709551615 v\r\n"),
    (Any, b"ma fixed-z Dx\r\nma fixed-z MX\r\nms fixed-z 1 MX\r\nx\r\nmn\r\n"),
    (New, b"mg Zml4ZWQtYg== b k\r\nms Zml4ZWQtYg== 1 b k\r\nx\r\nmg Zml4ZWQtYg== b k v\r\nget fixed-b\r\nmd !! b\r\n"),
    (New, b"mg fixed-b v v\r\nmg fixed-b k k\r\nmg fixed-b O1 O2\r\nmg fixed-b v \r\n"),
    (New, b"md fixed-b q\r\nmd fixed-b q\r\nmd fixed-b\r\nmd\r\nmg\r\nms\r\nma\r\nmn x\r\n"),
    (Any, b"me fixed-none\r\nset fixed-e 0 0 1\r\nx\r\nme fixed-e\r\n"),
    (Any, b"mg fixed-e P1 Lx v\r\n"),
    (Any, b"ms fixed-e -1\r\nmn\r\n"),
    (New, b"ms fixed-e 3\r\nabcd\r\nmg fixed-e v\r\n"),
];
