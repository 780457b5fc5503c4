//! What holds for a decoder, whatever the bytes.
//!
//! - It says what stands at the front, or that more is needed; it never takes nothing, nor more
//!   than there is.
//! - Bytes that arrive in pieces are the same requests as the same bytes at a stroke.
//! - A request that ends in a newline needs nothing behind it: a client would wait for ever.
//! - Bytes that fill the inbox are never answered with "more".

use flagstone_server::proto::{
    Accepts, Codec, Command, Decoded, LongHead, Refusal, Reply, ReplyFormat, Rest, WHOLE_BYTES_MAX,
};

pub fn check(accepts: Accepts, bytes: &[u8]) {
    // How many bytes arrive at a time.
    let Some((&piece, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = requests(accepts, bytes, bytes.len().max(1));
    let pieces = requests(accepts, bytes, 1 + usize::from(piece) % 40);
    assert_eq!(whole, pieces, "{}", bytes.escape_ascii());
}

/// What a connection makes of the bytes.
fn requests(accepts: Accepts, bytes: &[u8], piece: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut codec = Codec::new(accepts);
    let (mut at, mut arrived) = (0, 0);
    loop {
        // A connection never holds more.
        let held = &bytes[at..arrived.min(at + WHOLE_BYTES_MAX)];
        let head = match codec.decode(held) {
            Decoded::Request(request) => {
                // A refusal may take nothing, and leave the rest to be skipped.
                assert!(request.taken <= held.len());
                let mut next = codec;
                next.go_on(request.inside);
                assert!(0 < request.taken || next != codec);
                let whole = &held[..request.taken];
                // A refusal of RESP may come from what stands behind what it takes.
                let looks_ahead = matches!(request.format, ReplyFormat::Resp(_))
                    && matches!(request.command, Command::Refuse(_) | Command::Resp(_));
                if whole.ends_with(b"\n") && !looks_ahead {
                    assert_eq!(codec.decode(whole), Decoded::Request(request));
                }
                for reply in [Reply::Missing, Reply::Refused(Refusal::Malformed)] {
                    let mut room = [0; 512];
                    let written = request.format.encode(reply, &mut room);
                    assert!(written.is_some_and(|len| len <= room.len()));
                }
                // Spaces between keys may be taken alone; nothing is said or done then.
                let silent = matches!(request.format, ReplyFormat::Words { quiet: true });
                if !(silent && matches!(request.command, Command::Say(_))) {
                    found.push(format!("{:?} {:?}", request.command, request.format));
                }
                codec.go_on(request.inside);
                at += request.taken;
                continue;
            }
            Decoded::HangUp(words) => {
                found.push(format!("hangs up: {}", words.escape_ascii()));
                return found;
            }
            Decoded::More if held.len() < WHOLE_BYTES_MAX => {
                if arrived >= bytes.len() {
                    return found;
                }
                arrived = (arrived + piece).min(bytes.len());
                continue;
            }
            Decoded::More => match codec.decode_long(held) {
                Some(head) => head,
                None => {
                    found.push("hangs up".to_owned());
                    return found;
                }
            },
            Decoded::Long(head) => head,
        };
        let (LongHead::Store { inside, .. }
        | LongHead::Publish { inside, .. }
        | LongHead::Skip { inside, .. }) = head;
        codec.go_on(inside);
        found.push(format!("{head:?}"));
        at += behind(&head, &bytes[at..]);
        arrived = arrived.max(at);
    }
}

/// How far a request reaches that is not held whole.
fn behind(head: &LongHead<'_>, bytes: &[u8]) -> usize {
    match *head {
        LongHead::Skip { rest, taken, .. } => {
            assert!(taken <= bytes.len());
            let (skipped, left) = rest.within(&bytes[taken..]);
            assert!(left.is_none() || taken + skipped == bytes.len());
            taken + skipped
        }
        LongHead::Publish { message, taken, .. } => {
            assert!(0 < taken && taken <= bytes.len());
            // And a line's end.
            taken + Rest::bytes(message.len + 2).within(&bytes[taken..]).0
        }
        LongHead::Store {
            value_len,
            taken,
            format,
            ..
        } => {
            assert!(0 < taken && taken <= bytes.len());
            taken + format.value_rest(value_len).within(&bytes[taken..]).0
        }
    }
}
