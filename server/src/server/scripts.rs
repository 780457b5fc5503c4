//! Which scripts were sent, by what their texts hash to: `EVALSHA` names them so.
//!
//! Clients send a text once, and its hash from then on. Only texts that are recognised are remembered, as one byte beside the
//! hash; a text in another form has another hash, so there are more than scripts. Where there is no room, the one that was
//! sent first is forgotten: its client is told, and sends it again.

use parking_lot::Mutex;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::proto::resp::script::Script;

/// Texts that are remembered.
const TEXTS_MAX: usize = 128;

/// What a text hashes to.
pub type Hash = [u8; 20];

/// The texts that were sent.
pub struct Scripts(Mutex<Texts>);

struct Texts {
    texts: [Option<(Hash, Script)>; TEXTS_MAX],
    next: usize,
}

impl Default for Scripts {
    fn default() -> Self {
        Scripts(Mutex::new(Texts {
            texts: [None; TEXTS_MAX],
            next: 0,
        }))
    }
}

/// What Redis calls a text.
#[must_use]
pub fn hash_of(text: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, text).as_ref());
    hash
}

/// A hash from its 40 digits.
#[must_use]
pub fn parse(digits: &[u8]) -> Option<Hash> {
    let mut hash = Hash::default();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0])? * 16 + value(pair[1])?) as u8;
    }
    Some(hash)
}

impl Scripts {
    /// A text was sent.
    pub fn note(&self, hash: Hash, script: Script) {
        let mut texts = self.0.lock();
        if !texts
            .texts
            .iter()
            .flatten()
            .any(|(known, _)| *known == hash)
        {
            let no = texts.next;
            texts.texts[no] = Some((hash, script));
            texts.next = (no + 1) % TEXTS_MAX;
        }
    }

    /// The script whose text hashes to this, if it was sent.
    pub fn find(&self, hash: Hash) -> Option<Script> {
        let texts = self.0.lock();
        let mut known = texts.texts.iter().flatten();
        known
            .find(|(known, _)| *known == hash)
            .map(|&(_, script)| script)
    }

    /// None was.
    pub fn forget(&self) {
        self.0.lock().texts = [None; TEXTS_MAX];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_their_hash_and_the_oldest_is_forgotten() {
        let scripts = Scripts::default();
        // As phpredis names the script that gives back a session.
        let text = b"if redis.call(\"get\",KEYS[1]) == ARGV[1] then return redis.call(\"del\",KEYS[1]) else return 0 end";
        let hash = hash_of(text);
        assert_eq!(
            parse(b"b70c2384248f88e6b75b9f89241a180f856ad852"),
            Some(hash)
        );
        assert_eq!(scripts.find(hash), None);
        scripts.note(hash, Script::Release);
        scripts.note(hash, Script::Release);
        assert_eq!(scripts.find(hash), Some(Script::Release));
        for no in 0..TEXTS_MAX as u8 {
            assert_eq!(scripts.find(hash), Some(Script::Release), "{no}");
            scripts.note(hash_of(&[no]), Script::Add);
        }
        assert_eq!(scripts.find(hash), None);
        assert_eq!(scripts.find(hash_of(&[0])), Some(Script::Add));
        scripts.forget();
        assert_eq!(scripts.find(hash_of(&[0])), None);
        assert_eq!(parse(b"b70c"), None);
        assert_eq!(parse(&[b'g'; 40]), None);
    }
}
