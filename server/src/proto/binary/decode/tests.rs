use super::*;
use crate::proto::{Accepts, Codec, Reply};

/// A request: opcode, extras, key, value; opaque 7.
fn packet(opcode: u8, extras: &[u8], key: &[u8], value: &[u8], cas: u64) -> Vec<u8> {
    let body = [extras, key, value].concat();
    let mut bytes = vec![MAGIC, opcode];
    bytes.extend((key.len() as u16).to_be_bytes());
    bytes.extend([extras.len() as u8, 0, 0, 0]);
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(7u32.to_be_bytes());
    bytes.extend(cas.to_be_bytes());
    [bytes, body].concat()
}

fn codec() -> Codec {
    Codec::new(Accepts::Binary)
}

/// What one request asks; the same for every cut, whatever follows.
#[track_caller]
fn asked(bytes: &[u8]) -> Command<'_> {
    let Decoded::Request(request) = codec().decode(bytes) else {
        panic!("{:?} is no request", bytes.escape_ascii());
    };
    assert_eq!(request.taken, bytes.len());
    for cut in 0..bytes.len() {
        assert_eq!(codec().decode(&bytes[..cut]), Decoded::More, "cut at {cut}");
    }
    let followed = [bytes, b"\x80 and more"].concat();
    let Decoded::Request(again) = codec().decode(&followed) else {
        panic!("{:?} is no request", followed.escape_ascii());
    };
    assert_eq!(again.taken, request.taken);
    request.command
}

#[test]
fn requests_of_all_protocols() {
    let key = b"key";
    let table: &[(Vec<u8>, Command<'_>)] = &[
        (packet(0x00, b"", key, b"", 0), Command::Get { key }),
        (packet(0x0d, b"", key, b"", 9), Command::Get { key }),
        (
            packet(0x1e, &[0, 0, 0, 9], key, b"", 0),
            Command::GetAndTouch {
                key,
                lifetime: Lifetime::Counted(9),
            },
        ),
        (packet(0x04, b"", key, b"", 0), Command::Delete { key }),
        (packet(0x0a, b"", b"", b"", 0), Command::Say(Word::Ok)),
        (packet(0x0b, b"", b"", b"", 0), Command::Say(Word::Version)),
        (
            packet(0x08, b"", b"", b"", 0),
            Command::Flush {
                when: Lifetime::Past,
            },
        ),
        (
            packet(0x18, &[0, 0, 0, 0], b"", b"", 0),
            Command::Flush {
                when: Lifetime::Past,
            },
        ),
        (
            packet(0x08, &[0, 0, 0, 5], b"", b"", 0),
            Command::Flush {
                when: Lifetime::Counted(5),
            },
        ),
        (
            packet(0x10, b"", b"items", b"", 0),
            Command::Stats(Topic::Items),
        ),
        (
            packet(0x99, b"", b"", b"", 0),
            Command::Refuse(Refusal::Malformed),
        ),
        (
            packet(0x99, b"abc", key, b"value", 0),
            Command::Refuse(Refusal::Malformed),
        ),
    ];
    for (bytes, expected) in table {
        assert_eq!(asked(bytes), *expected, "{:?}", bytes.escape_ascii());
    }
}

#[test]
fn requests_of_its_own() {
    let key = b"key";
    let op = |bytes: &[u8]| match asked(bytes) {
        Command::Binary(op) => format!("{op:?}"),
        other => panic!("{other:?}"),
    };
    let told = |op: Op<'_>| format!("{op:?}");
    let store = |how, compare, asks_cas, too_long_drops| {
        let terms = Terms {
            how,
            client_flags: 0x0102_0304,
            lifetime: Lifetime::Counted(60),
            too_long_drops,
        };
        let store = Store {
            key,
            terms,
            compare,
            asks_cas,
        };
        told(Op::Store {
            store,
            value: b"value",
        })
    };
    let terms = [1, 2, 3, 4, 0, 0, 0, 60];
    for (opcode, cas, expected) in [
        (0x01, 0, store(How::Always, 0, true, true)),
        (0x02, 0, store(How::Absent, 0, true, false)),
        (0x13, 0, store(How::Present, 0, false, false)),
        (0x11, 5, store(How::Same(5), 5, false, true)),
        (0x02, 5, store(How::Same(5), 5, true, false)),
    ] {
        assert_eq!(op(&packet(opcode, &terms, key, b"value", cas)), expected);
    }
    let part = Store {
        key,
        terms: Terms {
            how: How::Before,
            ..Terms::plain(Lifetime::Forever)
        },
        compare: 3,
        asks_cas: false,
    };
    assert_eq!(
        op(&packet(0x1a, b"", key, b"<", 3)),
        told(Op::Store {
            store: part,
            value: b"<"
        })
    );
    let mut extras = [0; 20];
    (extras[7], extras[15], extras[19]) = (3, 9, 60);
    let count = Count {
        key,
        up: false,
        by: 3,
        create: Some((9, Lifetime::Counted(60))),
        compare: 4,
        asks_cas: true,
    };
    assert_eq!(
        op(&packet(0x06, &extras, key, b"", 4)),
        told(Op::Count(count))
    );
    extras[16..].fill(0xff);
    let count = Count {
        up: true,
        create: None,
        compare: 0,
        asks_cas: false,
        ..count
    };
    assert_eq!(
        op(&packet(0x15, &extras, key, b"", 0)),
        told(Op::Count(count))
    );
    assert_eq!(
        op(&packet(0x14, b"", key, b"", 8)),
        told(Op::Delete { key, compare: 8 })
    );
    let touch = Op::Touch {
        key,
        lifetime: Lifetime::Forever,
    };
    assert_eq!(op(&packet(0x1c, &[0; 4], key, b"", 0)), told(touch));
    assert_eq!(op(&packet(0x17, b"", b"", b"", 0)), told(Op::Close(None)));
    assert_eq!(op(&packet(0x10, b"", b"no", b"", 0)), told(Op::NoTopic));
    assert_eq!(op(&packet(0x20, b"", b"", b"", 0)), told(Op::AskLogin));
}

/// A store is streamed when it cannot be held, and a body that nobody wants is skipped.
#[test]
fn what_cannot_be_held() {
    let value = vec![b'v'; WHOLE_BYTES_MAX];
    let long = packet(0x11, &[0; 8], b"key", &value, 0);
    let head = HEADER_BYTES + 8 + 3;
    for cut in 0..head {
        assert_eq!(codec().decode(&long[..cut]), Decoded::More);
        assert_eq!(codec().decode_begun(&long[..cut]), None);
    }
    for cut in head..WHOLE_BYTES_MAX {
        let Decoded::Long(LongHead::Store {
            value_len, taken, ..
        }) = codec().decode(&long[..cut])
        else {
            panic!("cut at {cut}");
        };
        assert_eq!((value_len, taken), (Some(value.len()), head));
    }
    // The longest that is held may begin early, too.
    let whole = packet(0x11, &[0; 8], b"key", &value[head..], 0);
    assert_eq!(whole.len(), WHOLE_BYTES_MAX);
    assert!(matches!(codec().decode(&whole), Decoded::Request(_)));
    assert_eq!(codec().decode(&whole[..whole.len() - 1]), Decoded::More);
    let begun = codec().decode_begun(&whole[..3000]);
    assert!(matches!(begun, Some(LongHead::Store { .. })));

    let strange = packet(0x99, b"", b"", &value, 0);
    let Decoded::Long(LongHead::Skip {
        answer: Some(answer),
        rest,
        taken,
        ..
    }) = codec().decode(&strange[..100])
    else {
        panic!("it is skipped");
    };
    assert_eq!((rest, taken), (Rest::bytes(value.len()), HEADER_BYTES));
    let mut room = [0; 64];
    let len = answer.encode(&mut room).expect("it fits");
    let short = packet(0x99, b"", b"", b"", 0);
    let Decoded::Request(request) = codec().decode(&short) else {
        panic!("it is refused");
    };
    let mut other = [0; 64];
    let reply = Reply::Refused(Refusal::Malformed);
    assert_eq!(request.format.encode(reply, &mut other), Some(len));
    assert_eq!(room, other);
}

#[test]
fn another_magic_is_no_request() {
    for stray in [&b"g"[..], b"\x81", b"\x00", b"get k\r\n"] {
        assert_eq!(codec().decode(stray), Decoded::HangUp(b""));
    }
    assert_eq!(codec().decode(b""), Decoded::More);
}
