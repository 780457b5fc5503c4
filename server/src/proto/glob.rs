//! Patterns as Redis has them: `*`, `?`, `[a-z]`, `[^a-z]`, and a backslash before what is meant literally.

/// Whether `pattern` matches all of `text`. `None`: that takes more than `steps`, from which what it took is taken. A hostile
/// pattern takes as many as the product of both lengths.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool, steps: &mut usize) -> Option<bool> {
    let (mut at, mut read) = (0, 0);
    // Behind the last star, and what it has swallowed ends here.
    let mut star: Option<(usize, usize)> = None;
    loop {
        *steps = steps.checked_sub(1)?;
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            if at == pattern.len() {
                return Some(true);
            }
            star = Some((at, read));
            continue;
        }
        if let Some(&byte) = text.get(read) {
            let (means_it, len) = one(&pattern[at..], byte, ignore_case);
            // A class is looked through.
            *steps = steps.checked_sub(len)?;
            if means_it {
                at += len;
                read += 1;
                continue;
            }
        } else if at == pattern.len() {
            return Some(true);
        }
        // An earlier star need not swallow more: the last one can.
        match &mut star {
            Some((behind, swallowed)) if *swallowed < text.len() => {
                *swallowed += 1;
                (at, read) = (*behind, *swallowed);
            }
            _ => return Some(false),
        }
    }
}

/// As many steps as [`matches()`] takes at most, for a text of up to so many bytes.
#[must_use]
pub fn steps_max(pattern: &[u8], text_bytes_max: usize) -> usize {
    let once = 2 * pattern.len() + 2;
    let Some(first) = pattern.iter().position(|&byte| byte == b'*') else {
        return once;
    };
    // What stands behind a star is compared from each byte of the text on. A star in a class or behind a backslash is none.
    let behind = &pattern[first..];
    let longest = match behind.iter().any(|byte| b"[\\".contains(byte)) {
        true => behind.len(),
        false => {
            let parts = behind.split(|&byte| byte == b'*').map(<[u8]>::len);
            parts.max().unwrap_or(0)
        }
    };
    match longest {
        0 => once,
        _ => once + (text_bytes_max + 1) * 2 * (longest + 1),
    }
}

/// Whether the front of a pattern means this byte, and how long the part is that means one.
fn one(pattern: &[u8], byte: u8, ignore_case: bool) -> (bool, usize) {
    let same = |a: u8, b: u8| a == b || ignore_case && a.eq_ignore_ascii_case(&b);
    match pattern {
        [] => (false, 0),
        [b'?', ..] => (true, 1),
        [b'[', class @ ..] => {
            let (is_in, len) = class_has(class, byte, ignore_case);
            (is_in, 1 + len)
        }
        [b'\\', literal, ..] => (same(*literal, byte), 2),
        [literal, ..] => (same(*literal, byte), 1),
    }
}

/// Whether a class, of which the bracket is read, has this byte, and how long it is. One that does not end ends with the
/// pattern.
fn class_has(class: &[u8], byte: u8, ignore_case: bool) -> (bool, usize) {
    let fold = |byte: u8| match ignore_case {
        true => byte.to_ascii_lowercase(),
        false => byte,
    };
    let is_not = class.first() == Some(&b'^');
    let mut at = usize::from(is_not);
    let mut has = false;
    loop {
        match class[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                has |= fold(literal) == fold(byte);
                at += 2;
            }
            [from, b'-', to, ..] => {
                let (least, most) = (fold(from).min(fold(to)), fold(from).max(fold(to)));
                has |= (least..=most).contains(&fold(byte));
                at += 3;
            }
            [literal, ..] => {
                has |= fold(literal) == fold(byte);
                at += 1;
            }
        }
    }
    (has != is_not, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_redis() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "abc", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("*b*", "abc", true),
            ("**a**", "a", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("h[ae]llo", "hello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("h[a-b]llo", "hcllo", false),
            ("[a-", "-", true),
            ("[abc", "c", true),
            ("[]", "]", false),
            ("[\\]]", "]", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("\\", "\\", true),
            ("A*", "abc", false),
        ] {
            let found = matches(pattern.as_bytes(), text.as_bytes(), false, &mut 100);
            assert_eq!(found, Some(expected), "{pattern} {text}");
        }
        for (pattern, text) in [(&b"MAX*"[..], &b"maxmemory"[..]), (b"[A-C]x", b"bX")] {
            assert_eq!(matches(pattern, text, true, &mut 100), Some(true));
        }
    }

    #[test]
    fn the_work_is_counted_and_ends() {
        let took = |pattern: &[u8], text: &[u8]| {
            let mut left = 1_000_000_000;
            let found = matches(pattern, text, false, &mut left).expect("enough");
            (found, 1_000_000_000 - left)
        };
        let (found, steps) = took(&b"*a".repeat(60), &[b'a'; 250]);
        assert!(found && steps < 1000, "{steps}");
        let hostile = [b"*", &b"a".repeat(100)[..], b"b"].concat();
        let (found, steps) = took(&hostile, &[b'a'; 250]);
        assert!(!found && (15_000..60_000).contains(&steps), "{steps}");
        assert_eq!(matches(&hostile, &[b'a'; 250], false, &mut 1000), None);
        for pattern in [&hostile[..], b"*a*b*c", b"a*", b"*a[b-c]*\\*d", b"no star"] {
            for text in [&[b'a'; 250][..], b"", b"abc"] {
                let (_, steps) = took(pattern, text);
                assert!(steps <= steps_max(pattern, 250), "{pattern:?} {steps}");
            }
        }
        assert!(steps_max(b"__keyspace@0__:*", 250) < 40);
        // Looking through a class is work as well.
        let class = [b"*[", &b"b".repeat(1000)[..], b"]"].concat();
        let (found, steps) = took(&class, &[b'a'; 250]);
        assert!(!found && steps > 250_000, "{steps}");
    }
}
