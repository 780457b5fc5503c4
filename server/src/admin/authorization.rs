//! The token that a request presents, where the admin pages want to see one.
//!
//! | header | from |
//! |---|---|
//! | `Authorization: Bearer TOKEN` | scrapers, `flagstone top`, `curl -H` |
//! | `Authorization: Basic …`, which is a name and the token in base64 | browsers, which ask for both |
//!
//! The name means nothing. Probes (`/livez`, `/readyz`) are answered without: they tell nothing,
//! and a prober is in nobody's secret. Knows nothing of which tokens are right.

use crate::base64;

/// What a browser is told, so that it asks its user.
pub const CHALLENGE: &str = "Basic realm=\"flagstone\", charset=\"UTF-8\"";

/// Longer is no header of ours.
const BYTES_MAX: usize = 2048;

fn split_at_space(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == b' ')?;
    Some((&text[..at], &text[at + 1..]))
}

/// Hands `with` the token in a header's value, if there is one.
pub fn token<R>(header: Option<&[u8]>, with: impl FnOnce(Option<&[u8]>) -> R) -> R {
    let (scheme, rest) = match header.and_then(split_at_space) {
        Some((scheme, rest)) => (scheme, rest.trim_ascii()),
        None => return with(None),
    };
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return with(Some(rest));
    }
    let mut pair = [0; BYTES_MAX];
    let decoded = match scheme.eq_ignore_ascii_case(b"Basic") {
        true => base64::decode(rest, &mut pair),
        false => None,
    };
    let pair = decoded.and_then(|len| pair.get(..len)).unwrap_or_default();
    let colon = pair.iter().position(|&byte| byte == b':');
    with(colon.and_then(|at| pair.get(at + 1..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found() {
        for (header, found) in [
            ("Bearer s3cret", Some("s3cret")),
            ("bearer  s3cret ", Some("s3cret")),
            ("Bearer ", Some("")),
            // any:s3cret, :s3cret, any:s3:cret
            ("Basic YW55OnMzY3JldA==", Some("s3cret")),
            ("BASIC OnMzY3JldA==", Some("s3cret")),
            ("Basic YW55OnMzOmNyZXQ=", Some("s3:cret")),
            ("Basic YW55", None),
            ("Basic !!!!", None),
            ("Basic", None),
            ("Digest s3cret", None),
            ("s3cret", None),
            ("", None),
        ] {
            let is = |token: Option<&[u8]>| assert_eq!(token, found.map(str::as_bytes), "{header}");
            token(Some(header.as_bytes()), is);
        }
        token(None, |token| assert_eq!(token, None));
        let long = format!("Basic {}", "YWJj".repeat(4000));
        token(Some(long.as_bytes()), |token| assert_eq!(token, None));
    }
}
