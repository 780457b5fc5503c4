//! Random memcached requests from a seed: mostly sound ones, on few keys so that they meet.
//!
//! A request names its keys as `{a}` to `{h}`, and a CAS number that was seen as
//! `{cas:a}`: [`render`] puts in what this run and this server have. CAS numbers are known from one
//! connection to the next.

use std::collections::HashMap;

use super::known;
use super::rng::Rng;

/// Requests of one connection.
pub type Segment = Vec<Op>;

#[derive(Clone)]
pub struct Op {
    template: Vec<u8>,
}

impl Op {
    pub fn new(template: Vec<u8>) -> Self {
        Op { template }
    }
}

#[derive(Clone)]
pub struct Plan {
    pub seed: u64,
    pub segments: Vec<Segment>,
}

const KEYS: &[char] = &['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
/// Items that are marked stale, and items that are counted in, are not the same: memcached
/// drops the mark, or not, as it happens to hold the item elsewhere.
const STALE: &[char] = &['a', 'b', 'c', 'd'];
const COUNTED: &[char] = &['e', 'f', 'g', 'h'];
/// Keys that are only ever named in base64: memcached remembers how an item was named first.
const BASE64: &[char] = &['i', 'j'];
/// Lifetimes that no run outlives.
const LONG: &[u64] = &[1_000, 5_000, 100_000, 2_592_000];
const SEGMENTS: usize = 4;
const OPS: usize = 40;

impl Plan {
    pub fn of_seed(seed: u64, is_old: bool) -> Self {
        let mut rng = Rng::new(seed);
        let segments = (0..SEGMENTS)
            .map(|_| {
                let op = if rng.once_in(6) { large_op } else { op };
                (0..OPS).map(|_| op(is_old, &mut rng)).collect()
            })
            .collect();
        Plan { seed, segments }
    }

    pub fn op_count(&self) -> usize {
        self.segments.iter().map(Vec::len).sum()
    }

    /// The plan without `run` requests from `at` on, nor connections without requests.
    pub fn without(&self, at: usize, run: usize) -> Plan {
        let mut no = 0;
        let mut segments = self.segments.clone();
        for segment in &mut segments {
            segment.retain(|_| {
                no += 1;
                !(at..at + run).contains(&(no - 1))
            });
        }
        segments.retain(|segment| !segment.is_empty());
        Plan {
            seed: self.seed,
            segments,
        }
    }
}

/// A CAS number that was given out, but to no key of the test: older than any that it sees.
const CAS_UNSEEN: u64 = 3;

pub fn render(segment: &[Op], run: u32, cas_of: &HashMap<Vec<u8>, u64>) -> Vec<Vec<u8>> {
    let one = |op: &Op| {
        let mut bytes = op.template.clone();
        for &key in KEYS.iter().chain(BASE64) {
            let name = format!("k{run:06}-{key}");
            let cas = cas_of.get(name.as_bytes()).copied().unwrap_or(CAS_UNSEEN);
            replace(&mut bytes, &format!("{{cas:{key}}}"), &cas.to_string());
            replace(
                &mut bytes,
                &format!("{{64:{key}}}"),
                &base64(name.as_bytes()),
            );
            replace(&mut bytes, &format!("{{{key}}}"), &name);
        }
        bytes
    };
    // A connection that ends within a value loses what memcached has not sent yet.
    let end = b"version\r\n".repeat(4);
    // And one that begins with a letter speaks memcached from then on.
    let begin = b"version\r\n".to_vec();
    let ops = segment.iter().map(one);
    [begin].into_iter().chain(ops).chain([end]).collect()
}

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let mut at = 0;
    while let Some(found) = bytes[at..]
        .windows(from.len())
        .position(|window| window == from.as_bytes())
    {
        let start = at + found;
        bytes.splice(start..start + from.len(), to.bytes());
        at = start + to.len();
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, no| {
            word << 8 | u32::from(three.get(no).copied().unwrap_or(0))
        });
        for no in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * no)) as usize & 63];
            text.push(if no <= three.len() {
                digit as char
            } else {
                '='
            });
        }
    }
    text
}

fn op(is_old: bool, rng: &mut Rng) -> Op {
    loop {
        let template = match rng.below(100) {
            0..18 => storage(rng),
            18..30 => get(rng),
            30..37 => arithmetic(rng),
            37..44 => small(rng),
            44..60 => meta_get(rng),
            60..76 => meta_set(rng),
            76..82 => meta_delete(rng),
            82..90 => meta_arithmetic(rng),
            90..92 => b"mn\r\n".to_vec(),
            92..94 => format!("me {}\r\n", key(rng)).into_bytes(),
            _ => rubbish(rng),
        };
        let template = disarranged(template, rng);
        let is_left_out = known::covers(&template) || is_old && known::is_news(&template);
        if !is_left_out {
            return Op { template };
        }
    }
}

fn key(rng: &mut Rng) -> String {
    match rng.below(60) {
        // The longest key, and one more.
        0 => "x".repeat(250),
        1 => "x".repeat(251),
        _ => format!("{{{}}}", rng.of(KEYS)),
    }
}

fn exptime(rng: &mut Rng) -> String {
    match rng.below(12) {
        0 => "-1".into(),
        // In 2033.
        1 => "2000000000".into(),
        2 => rng
            .of(&[
                "abc",
                "1x",
                "4102444800",
                "-2147483649",
                "12345678901234567890",
            ])
            .into(),
        3..6 => rng.of(LONG).to_string(),
        _ => "0".into(),
    }
}

fn client_flags(rng: &mut Rng) -> String {
    match rng.below(10) {
        0 => "4294967295".into(),
        1 => rng
            .of(&["4294967296", "-1", "abc", "1.5", "007", "+3"])
            .into(),
        2..5 => rng.below(1000).to_string(),
        _ => "0".into(),
    }
}

/// Numbers stay between 300 and 9,999,999: where a number loses a digit, memcached may or may not
/// leave a space behind it, as it happens to hold the item elsewhere or not. (The fixed
/// inputs have such numbers.)
fn value(is_joined: bool, rng: &mut Rng) -> Vec<u8> {
    match rng.below(20) {
        0 => b"-".to_vec(),
        1 => b"18446744073709551616".to_vec(),
        2..7 if !is_joined => (500 + rng.below(500)).to_string().into_bytes(),
        7 => b"end\r\nget x\r\n".to_vec(),
        8 => b"x12 \r\n".to_vec(),
        // Not `{`: it would become a key.
        9 => (1..=255)
            .cycle()
            .take(1 + rng.below(999))
            .filter(|&byte| byte != b'{')
            .collect(),
        _ => (0..1 + rng.below(29))
            .map(|_| b'a' + rng.below(26) as u8)
            .collect(),
    }
}

/// Sound requests with values of all lengths. They have connections of their own: where a value
/// is taken for a line, memcached closes if it sees 2 KiB without a newline at once, and that
/// hangs on how the bytes arrived.
fn large_op(_is_old: bool, rng: &mut Rng) -> Op {
    let key = rng.of(KEYS);
    let verb = rng.of(&[
        "set", "add", "replace", "append", "prepend", "ms", "get", "mg", "delete", "gets",
    ]);
    let line = match verb {
        "get" | "gets" => format!("{verb} {{{key}}} {{a}}\r\n"),
        "mg" => format!("mg {{{key}}} s v f\r\n"),
        "delete" => format!("delete {{{key}}}\r\n"),
        _ => {
            let value = large(rng);
            let len = value.len();
            // One that is too long takes the old one with it, but not in every mode.
            let is_plain = len > 1 << 20;
            let line = match verb {
                "ms" if is_plain => format!("ms {{{key}}} {len} F3\r\n"),
                "ms" => format!(
                    "ms {{{key}}} {len} F3{}\r\n",
                    rng.of(&["", " MA", " MP", " q"])
                ),
                _ if is_plain => format!("set {{{key}}} 7 0 {len}\r\n"),
                _ => format!("{verb} {{{key}}} 7 0 {len}{}\r\n", noreply(rng)),
            };
            return Op::new([line.as_bytes(), &value, b"\r\n"].concat());
        }
    };
    Op::new(line.into_bytes())
}

fn large(rng: &mut Rng) -> Vec<u8> {
    // Too large for either.
    if rng.once_in(40) {
        return vec![b'x'; 1_200_000];
    }
    let len = rng.of(&[3, 1_000, 4_000, 8_200, 17_000, 17_000, 70_000, 300_000]);
    let len = len + rng.below(100);
    (0..len).map(|at| b'a' + (at % 23) as u8).collect()
}

/// Data that is as long as was said, or nearly.
fn data_for(value: &[u8], rng: &mut Rng) -> (usize, Vec<u8>) {
    let mut data = value.to_vec();
    let mut len = data.len();
    match rng.below(50) {
        0 => len += 1,
        1 => len = len.saturating_sub(1),
        _ => {}
    }
    data.extend_from_slice(b"\r\n");
    (len, data)
}

fn noreply(rng: &mut Rng) -> &'static str {
    if rng.once_in(6) { " noreply" } else { "" }
}

fn storage(rng: &mut Rng) -> Vec<u8> {
    let verb = rng.of(&[
        "set", "set", "set", "add", "replace", "append", "prepend", "cas", "cas",
    ]);
    let (key, flags, exptime) = (key(rng), client_flags(rng), exptime(rng));
    let value = value(verb.ends_with("pend"), rng);
    let (len, data) = data_for(&value, rng);
    let mut line = format!("{verb} {key} {flags} {exptime} {len}");
    if verb == "cas" {
        line += &format!(" {}", cas(&key, rng));
    }
    line += noreply(rng);
    [line.as_bytes(), b"\r\n", &data].concat()
}

/// Mostly the number that was last seen for the key.
fn cas(key: &str, rng: &mut Rng) -> String {
    let letter = key.trim_start_matches('{').trim_end_matches('}');
    if letter.len() == 1 && !rng.once_in(5) {
        return format!("{{cas:{letter}}}");
    }
    rng.of(&["0", "1000000000000", "abc", "-1"]).into()
}

fn get(rng: &mut Rng) -> Vec<u8> {
    let mut line = rng
        .of(&["get", "get", "gets", "gets", "gat", "gats"])
        .to_owned();
    if line.starts_with("gat") {
        line += &format!(" {}", exptime(rng));
    }
    let most = if rng.once_in(10) { 60 } else { 4 };
    for _ in 0..1 + rng.below(most) {
        line += &format!(" {}", key(rng));
    }
    (line + "\r\n").into_bytes()
}

fn arithmetic(rng: &mut Rng) -> Vec<u8> {
    let verb = rng.of(&["incr", "decr"]);
    let delta = match rng.below(10) {
        0 if verb == "incr" => "18446744073709551615",
        1 if verb == "incr" => "1000",
        2..5 => rng.of(&["18446744073709551616", "-1", "abc", ""]),
        _ => rng.of(&["1", "1", "2", "0"]),
    };
    let key = rng.of(COUNTED);
    format!("{verb} {{{key}}} {delta}{}\r\n", noreply(rng)).into_bytes()
}

fn small(rng: &mut Rng) -> Vec<u8> {
    let key = key(rng);
    let line = match rng.below(10) {
        0..3 => format!("delete {key}"),
        3 => format!("delete {key} {}", rng.of(&["0", "5", "-1", "abc"])),
        4..7 => format!("touch {key} {}", exptime(rng)),
        7 => "version".into(),
        8 => format!("verbosity {}", rng.of(&["0", "1", ""])),
        _ => format!("delete {key} 0"),
    };
    let quiet = if line == "version" { "" } else { noreply(rng) };
    format!("{line}{quiet}\r\n").into_bytes()
}

/// Some of `flags`, in any order; now and then one twice, or one that does not exist.
fn meta_flags(flags: &[String], rng: &mut Rng) -> String {
    let mut line = String::new();
    for _ in 0..rng.below(6) {
        line += " ";
        line += &flags[rng.below(flags.len())];
    }
    if rng.once_in(40) {
        line += rng.of(&[
            " !",
            " \x7f",
            " Oxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            " F",
            " T",
            " Tabc",
            " O",
            " 1",
        ]);
    }
    line
}

/// The key as it is or in base64, with the flag that says so.
fn meta_key(keys: &[char], rng: &mut Rng) -> (String, &'static str, char) {
    let letter = rng.of(keys);
    match rng.below(20) {
        0 => (key(rng), "", letter),
        1 => {
            let letter = rng.of(BASE64);
            (format!("{{64:{letter}}}"), " b", letter)
        }
        2 => (rng.of(&["!!!", "Zm9=v"]).into(), " b", letter),
        _ => (format!("{{{letter}}}"), "", letter),
    }
}

fn strings(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|&flag| flag.to_owned()).collect()
}

fn time_flag(letter: &str, rng: &mut Rng) -> String {
    format!(
        "{letter}{}",
        if rng.once_in(10) {
            exptime(rng)
        } else {
            rng.of(LONG).to_string()
        }
    )
}

fn meta_get(rng: &mut Rng) -> Vec<u8> {
    let (key, base64, _) = meta_key(KEYS, rng);
    let mut flags = strings(&[
        "c", "f", "h", "k", "l", "q", "s", "t", "v", "v", "v", "k", "O123", "Oabc",
    ]);
    if rng.once_in(3) {
        flags.extend([
            time_flag("T", rng),
            time_flag("N", rng),
            "R30".into(),
            "R50000".into(),
        ]);
    }
    let flags = meta_flags(&flags, rng);
    // With the CAS number and the key, later requests know it.
    let more = if rng.once_in(4) { " k c" } else { "" };
    let flags = if more.is_empty() {
        flags
    } else {
        String::new()
    };
    format!("mg {key}{base64}{flags}{more}\r\n").into_bytes()
}

fn meta_set(rng: &mut Rng) -> Vec<u8> {
    let (key, base64, letter) = meta_key(KEYS, rng);
    let mode = rng.of(&[
        "ME", "MA", "MP", "MR", "MS", "Me", "Ma", "Mset", "Mx", "MSx", "M",
    ]);
    let value = value(
        mode.starts_with("MA") || mode.starts_with("Ma") || mode == "MP",
        rng,
    );
    let (len, data) = data_for(&value, rng);
    let mut flags = strings(&["c", "k", "q", "s", "O7"]);
    if STALE.contains(&letter) {
        flags.push("I".into());
    }
    flags.extend([
        "F5".into(),
        format!("F{}", client_flags(rng)),
        time_flag("T", rng),
    ]);
    flags.extend([mode.into(), mode.into()]);
    if rng.once_in(2) {
        flags.extend([
            format!("C{{cas:{letter}}}"),
            format!("C{{cas:{letter}}}"),
            format!("E{}", 1_000_000_000_000 + rng.below(1_000_000)),
            time_flag("N", rng),
        ]);
    }
    let flags = meta_flags(&flags, rng);
    [
        format!("ms {key} {len}{base64}{flags}\r\n").as_bytes(),
        &data,
    ]
    .concat()
}

fn meta_delete(rng: &mut Rng) -> Vec<u8> {
    let (key, base64, letter) = meta_key(KEYS, rng);
    let mut flags = strings(&["q", "k", "O9", "x"]);
    if STALE.contains(&letter) {
        flags.extend(["I".into(), "I".into()]);
    }
    flags.extend([
        time_flag("T", rng),
        format!("C{{cas:{letter}}}"),
        format!("E{}", 2_000_000_000_000 + rng.below(1_000_000)),
    ]);
    let flags = meta_flags(&flags, rng);
    format!("md {key}{base64}{flags}\r\n").into_bytes()
}

fn meta_arithmetic(rng: &mut Rng) -> Vec<u8> {
    let (key, base64, letter) = meta_key(COUNTED, rng);
    let mut flags = strings(&[
        "q", "k", "O5", "v", "v", "t", "c", "D2", "D0", "Dx", "MI", "MD", "M+", "M-", "Mi",
        "Mdecr", "Mx",
    ]);
    let create = format!("{} J700", time_flag("N", rng));
    flags.extend([
        create.clone(),
        create,
        time_flag("T", rng),
        format!("C{{cas:{letter}}}"),
        format!("E{}", 3_000_000_000_000 + rng.below(1_000_000)),
    ]);
    let flags = meta_flags(&flags, rng);
    format!("ma {key}{base64}{flags}\r\n").into_bytes()
}

fn rubbish(rng: &mut Rng) -> Vec<u8> {
    const LINES: &[&str] = &[
        "",
        "get",
        "gets",
        "set",
        "set {a}",
        "set {a} 0 0",
        "incr {a}",
        "decr",
        "delete",
        "touch {a}",
        "cas {a} 0 0 1",
        "foo",
        "foo bar baz",
        "getx {a}",
        "mg",
        "ms",
        "ms {a}",
        "ms {a} abc",
        "md",
        "ma",
        "me",
        "mx {a}",
        "m",
        "gat",
        "gat 0",
        "gat {a}",
        "verbosity",
        "set {a} 0 0 -1",
        "set {a} 0 0 4294967295",
        "add {a} 0 0 2147483647",
        "get {a} noreply",
        "mg {a} {a}",
        "delete {a} noreply 0",
        "version 1",
        "1",
        "?",
        "set {a} 0 0 x",
        "incr {h} 1 2",
        "touch {a} 0 0",
    ];
    format!("{}\r\n", rng.of(LINES)).into_bytes()
}

/// Now and then: more spaces, a bare newline, a space at an end of the first line.
fn disarranged(template: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    if !rng.once_in(8) {
        return template;
    }
    let end = template
        .iter()
        .position(|&byte| byte == b'\n')
        .expect("a line");
    let (line, rest) = template.split_at(end + 1);
    let line = String::from_utf8_lossy(line).into_owned();
    let line = match rng.below(4) {
        0 => line.replacen(' ', "  ", 1 + rng.below(3)),
        1 => line.replace("\r\n", "\n"),
        2 => format!("{}{line}", " ".repeat(1 + rng.below(3))),
        _ => line.replace("\r\n", " \r\n"),
    };
    [line.as_bytes(), rest].concat()
}
