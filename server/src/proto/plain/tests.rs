use super::*;
use crate::proto::{Command, Decoded, Lifetime, Reply, ReplyFormat, Terms};

const ACCEPTS: [Accepts; 3] = [Accepts::Auto, Accepts::Native, Accepts::Memcached];

/// What follows a value, what is said of none, and of a store.
fn told(protocol: Protocol) -> [&'static [u8]; 3] {
    fn of<L: OneKey>(lane: L) -> [&'static [u8]; 3] {
        [L::TAIL, lane.missing(), L::STORED]
    }
    match protocol {
        Protocol::Native => of(Native),
        Protocol::Memcached => of(Memcached),
        Protocol::Meta => of(Meta),
        Protocol::Resp { v3 } => of(Resp(v3)),
    }
}

/// Whatever is plain is what the general decoder reads there, and is answered alike.
#[track_caller]
fn agrees(codec: Codec, bytes: &[u8]) -> bool {
    let Some(plain) = codec.plain(bytes) else {
        return false;
    };
    let Decoded::Request(request) = codec.decode(bytes) else {
        panic!("{:?} is no request", bytes.escape_ascii());
    };
    assert_eq!(
        (request.taken, request.inside),
        (plain.taken, plain.what.inside()),
        "{:?}",
        bytes.escape_ascii()
    );
    let key = plain.key;
    let (protocol, reply, nth) = match plain.what {
        What::Get(protocol) => {
            match protocol {
                Protocol::Meta => {
                    let Command::Meta(meta) = request.command else {
                        panic!("{:?}", request.command);
                    };
                    assert_eq!(meta.key, key);
                }
                _ => assert_eq!(request.command, Command::Get { key }),
            }
            (protocol, Reply::Missing, 1)
        }
        What::Put(protocol, client_flags, value) => {
            let terms = Terms {
                client_flags,
                ..Terms::plain(Lifetime::Forever)
            };
            match request.command {
                Command::MetaStore {
                    meta,
                    value: stored,
                } => {
                    assert_eq!((protocol, meta.key, stored), (Protocol::Meta, key, value));
                }
                Command::Store {
                    key: at,
                    value: stored,
                    terms: asked,
                } => {
                    // One that is too long is the general way's.
                    let terms = Terms {
                        too_long_drops: asked.too_long_drops,
                        ..terms
                    };
                    assert_eq!((at, stored, asked), (key, value, terms));
                }
                other => panic!("{other:?}"),
            }
            let fate = crate::proto::Fate::Done;
            let reply = Reply::Store {
                fate,
                cas: 0,
                value_len: value.len(),
            };
            (protocol, reply, 2)
        }
    };
    let told = told(protocol);
    if nth == 1 {
        assert_eq!(request.format.value_tail(), told[0]);
    }
    let mut room = [0; 64];
    let len = request.format.encode(reply, &mut room);
    assert_eq!(
        &room[..len.expect("it fits")],
        told[nth],
        "{:?}",
        bytes.escape_ascii()
    );
    let is_native = request.format == ReplyFormat::Native;
    assert_eq!(is_native, protocol == Protocol::Native);
    true
}

#[test]
fn what_is_plain_means_the_same_to_the_general_decoder() {
    let key = [b'k'; KEY_BYTES_MAX + 1];
    let longest = [b"GET ", &key[1..], b"\r\n"].concat();
    let too_long = [b"GET ", &key[..], b"\n"].concat();
    let lines: [(&[u8], [bool; 3]); 56] = [
        (b"GET k\n", [true, true, false]),
        (b"GET k\r\n", [true, true, false]),
        (b"get k\r\n", [true, false, true]),
        (b"get k\n", [true, false, true]),
        (b"GET \x80\xff\x7f\n", [true, true, false]),
        (&longest, [true, true, false]),
        (&too_long, [false; 3]),
        (b"GET  k\n", [false; 3]),
        (b"GET k \n", [false; 3]),
        (b"get k l\r\n", [false; 3]),
        (b"GET \n", [false; 3]),
        (b"GET k\rl\n", [false; 3]),
        (b"GET k\x01\n", [false; 3]),
        (b"GET k", [false; 3]),
        (b"GET k\r", [false; 3]),
        (b"Get k\n", [false; 3]),
        (b"gets k\r\n", [false; 3]),
        (b"PUT k v\n", [true, true, false]),
        (b"PUT k \n", [true, true, false]),
        (b"PUT k  a \0b \n", [true, true, false]),
        (b"PUT k HTTP/1.1\n", [true, true, false]),
        (b"PUT k v\r\n", [false; 3]),
        (b"PUT k HTTP/1.1\r\n", [false; 3]),
        (b"PUT k\n", [false; 3]),
        (b"PUT  k v\n", [false; 3]),
        (b"PUT k\tv\n", [false; 3]),
        (b"PUTEX k 1 v\n", [false; 3]),
        (b"put k v\n", [false; 3]),
        (b"PUT k v", [false; 3]),
        (b"set k 0 0 1\r\nv\r\n", [true, false, true]),
        (b"set k 999999999 0 0\r\n\r\n", [true, false, true]),
        (
            b"set k 16 0 13\r\na\r\nb \nset k 0\r\n",
            [true, false, true],
        ),
        (b"set k 1000000000 0 1\r\nv\r\n", [false; 3]),
        (b"set k 4294967297 0 1\r\nv\r\n", [false; 3]),
        (b"set k 0 0 9999999999\r\nv\r\n", [false; 3]),
        (b"set k 01 0 1\r\nv\r\n", [false; 3]),
        (b"set k 0 00 1\r\nv\r\n", [false; 3]),
        (b"set k 0 60 1\r\nv\r\n", [false; 3]),
        (b"set k 0 0 1 noreply\r\nv\r\n", [false; 3]),
        (b"set k 0 0 1\nv\r\n", [false; 3]),
        (b"set k 0 0 1\r\nv\n", [false; 3]),
        (b"set k 0 0 1\r\nvv\r\n", [false; 3]),
        (b"set k 0 0 -1\r\nv\r\n", [false; 3]),
        (b"set k  0 0 1\r\nv\r\n", [false; 3]),
        (b"set k\t0 0 1\r\nv\r\n", [false; 3]),
        (b"set  0 0 1\r\nv\r\n", [false; 3]),
        (b"mg k v\r\n", [true, false, true]),
        (b"mg k v\n", [false; 3]),
        (b"mg k\r\n", [false; 3]),
        (b"mg k v t\r\n", [false; 3]),
        (b"mg k b v\r\n", [false; 3]),
        (b"ms k 1\r\nv\r\n", [true, false, true]),
        (b"ms k 2\r\n\r\n\r\n", [true, false, true]),
        (b"ms k 1 T60\r\nv\r\n", [false; 3]),
        (b"ms k 1\r\nvv\r\n", [false; 3]),
        (b"ms k S1\r\nv\r\n", [false; 3]),
    ];
    for (line, expected) in lines {
        for (accepts, expected) in ACCEPTS.into_iter().zip(expected) {
            let codec = Codec::new(accepts);
            assert_eq!(agrees(codec, line), expected, "{:?}", line.escape_ascii());
            // Whatever follows changes nothing; a beginning is nothing yet.
            let followed = [line, b"GET next\nGE"].concat();
            assert!(agrees(codec, &followed) || !expected);
            for cut in 0..line.len() {
                assert!(!agrees(codec, &line[..cut]));
            }
        }
    }
}

/// A byte of any value in any place of keys around the width of the scan, and of values.
#[test]
fn every_byte_in_every_place() {
    for len in 1..=20 {
        for place in 0..len {
            for byte in 0..=u8::MAX {
                let mut line = [b"GET ".as_slice(), &vec![b'k'; len], b"\nGET "].concat();
                line[VERB_BYTES + place] = byte;
                let plain = agrees(Codec::new(Accepts::Auto), &line);
                let ends_early = byte == b'\n' && place > 0;
                let is_cr = byte == b'\r' && place == len - 1 && len > 1;
                assert_eq!(
                    plain,
                    byte > b' ' || ends_early || is_cr,
                    "{byte} at {place}"
                );
                line[..VERB_BYTES].copy_from_slice(b"PUT ");
                line[VERB_BYTES + len] = b' ';
                let plain = agrees(Codec::new(Accepts::Auto), &[&line[..], b"\n"].concat());
                let is_split = byte == b' ' && place > 0;
                assert_eq!(plain, byte > b' ' || is_split, "{byte} at {place}");
                line[VERB_BYTES] = b'k';
                line[VERB_BYTES + len + 1 + place % 4] = byte;
                agrees(Codec::new(Accepts::Auto), &[&line[..], b"\n"].concat());
                for request in [
                    &b"set kkkk 12 0 3\r\nvvv\r\n"[..],
                    b"mg kkkk v\r\n",
                    b"ms kkkk 2\r\nvv\r\n",
                ] {
                    let mut request = request.to_vec();
                    let len = request.len();
                    request[(3 + place) % len] = byte;
                    let followed = [&request[..], b"get next\r\n"].concat();
                    agrees(Codec::new(Accepts::Auto), &followed);
                }
            }
        }
    }
}

/// Arrays of `GET` and `SET` mean to the lane what they mean to the general decoder, and are answered alike, however
/// they are cut and whatever stands in them.
#[test]
fn what_is_plain_in_resp_means_the_same() {
    let long = vec![b'v'; 5000];
    let requests: [(&[&[u8]], bool); 9] = [
        (&[b"GET", b"k"], true),
        (&[b"SET", b"k", b"v"], true),
        (&[b"SET", b"k", b""], true),
        (&[b"SET", b"k", b"a\r\nb"], true),
        (&[b"SET", b"k", &long], true),
        (&[b"GET", b""], false),
        (&[b"GET", &[b'k'; KEY_BYTES_MAX + 1]], false),
        (&[b"get", b"k"], false),
        (&[b"SET", b"k", b"v", b"NX"], false),
    ];
    for (words, is_plain) in requests {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        let codec = Codec::new(Accepts::Resp);
        for cut in 0..bytes.len() {
            assert_eq!(codec.plain(&bytes[..cut]), None, "cut at {cut}");
        }
        let plain = codec.plain(&bytes);
        assert_eq!(plain.is_some(), is_plain, "{:?}", words[0].escape_ascii());
        assert_eq!(agrees(codec, &bytes), is_plain);
    }
}
