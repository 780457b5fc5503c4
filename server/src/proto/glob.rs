//! Patterns as Redis has them: `*`, `?`, `[a-z]`, `[^a-z]`, and a backslash before what is meant literally.

/// Whether `pattern` matches all of `text`, and the work that it took, in steps: at most the product of both lengths.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> (bool, usize) {
    let (mut at, mut read) = (0, 0);
    // Behind the last star, and what it has swallowed ends here.
    let mut star: Option<(usize, usize)> = None;
    let mut steps = 0;
    loop {
        steps += 1;
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, read));
            continue;
        }
        if let Some(&byte) = text.get(read) {
            if let Some(len) = one(&pattern[at..], byte, ignore_case) {
                at += len;
                read += 1;
                continue;
            }
        } else if at == pattern.len() {
            return (true, steps);
        }
        // An earlier star need not swallow more: the last one can.
        match &mut star {
            Some((behind, swallowed)) if *swallowed < text.len() => {
                *swallowed += 1;
                (at, read) = (*behind, *swallowed);
            }
            _ => return (false, steps),
        }
    }
}

/// How long the front of a pattern is that means one byte, if it means this one.
fn one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    let same = |a: u8, b: u8| a == b || ignore_case && a.eq_ignore_ascii_case(&b);
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (is_in, len) = class_has(class, byte, ignore_case);
            is_in.then_some(1 + len)
        }
        [b'\\', literal, ..] => same(*literal, byte).then_some(2),
        [literal, ..] => same(*literal, byte).then_some(1),
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
            let found = matches(pattern.as_bytes(), text.as_bytes(), false).0;
            assert_eq!(found, expected, "{pattern} {text}");
        }
        assert!(matches(b"MAX*", b"maxmemory", true).0);
        assert!(matches(b"[A-C]x", b"bX", true).0);
    }

    #[test]
    fn the_work_is_bounded() {
        let (found, steps) = matches(&b"*a".repeat(60), &[b'a'; 250], false);
        assert!(found && steps < 120 * 250, "{steps}");
        let (found, steps) = matches(&[&b"*a".repeat(60)[..], b"b"].concat(), &[b'a'; 250], false);
        assert!(!found && steps < 121 * 251, "{steps}");
    }
}
