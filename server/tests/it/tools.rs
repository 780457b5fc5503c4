//! What is typed beside a running server: `stats`, `top`, and what each says when it cannot do
//! what was asked; and outputs that take nothing more.

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common;
use crate::common::exchange;
use crate::common::process::{Process, flagstone, run};
use crate::common::tool::{self, Scratch};

/// It failed with this sentence, and nothing else on either channel.
fn expect_refusal(what: &str, output: &Output, code: i32, sentence: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, format!("flagstone: {sentence}\n"), "{what}");
    assert!(output.stdout.is_empty(), "{what}");
    assert_eq!(output.status.code(), Some(code), "{what}");
}

fn expect_stats(what: &str, output: &Output) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {stderr}");
    assert!(stdout.starts_with("version "), "{what}: {stdout}");
    assert!(stdout.ends_with('\n') && !stdout.contains("END"), "{what}");
}

fn write(scratch: &Scratch, name: &str, text: &str) -> PathBuf {
    let path = scratch.0.join(name);
    std::fs::write(&path, text).expect("writable");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn top_presents_a_token_and_the_healthcheck_needs_none() {
    let scratch = Scratch::new("top-token");
    let file = write(&scratch, "tokens", "s3cret\nolder\n");
    let wrong = write(&scratch, "wrong", "guess\n");
    let flag = "--admin-token-file";
    let process = Process::start(&[flag, text(&file)]);
    let top = ["top", "--once", &process.admin];
    let with = |file: &Path| run(&[&top[..], &[flag, text(file)]].concat(), &[]);
    assert!(with(&file).status.success());
    assert!(
        run(&top, &[("FLAGSTONE_ADMIN_TOKEN_FILE", text(&file))])
            .status
            .success()
    );
    let sentence = format!(
        "the admin pages at {} want a token first: name the file that the server has, with \
         --admin-token-file",
        process.admin
    );
    expect_refusal("no token", &run(&top, &[]), 1, &sentence);
    expect_refusal("a wrong token", &with(&wrong), 1, &sentence);
    let sentence = "--admin-token-file \"/flagstone-no-such-file\" cannot be read: No such file or \
                    directory (os error 2)";
    expect_refusal(
        "no file",
        &with(Path::new("/flagstone-no-such-file")),
        2,
        sentence,
    );
    let check = |admin: &str| {
        let admin = [
            "healthcheck",
            "--listen",
            "tls:127.0.0.1:1",
            "--admin",
            admin,
        ];
        run(&admin, &[]).status.success()
    };
    assert!(check(&process.admin), "a healthcheck at the admin pages");
    // The counters are asked for at the other address, where it changes nothing.
    expect_stats("stats", &run(&["stats", &process.address], &[]));
}

#[test]
fn stats_log_in_where_they_have_to_and_say_so_where_they_cannot() {
    let scratch = Scratch::new("stats-login");
    let token = write(&scratch, "token", "s3cret\nolder\n");
    let wrong = write(&scratch, "wrong", "guess\n");
    let users = write(&scratch, "users", "carol:pass word\n");
    let others = write(&scratch, "others", "carol:another\n");
    for (right_flag, right, wrong) in [
        ("--auth-token-file", &token, &wrong),
        ("--auth-file", &users, &others),
    ] {
        let variable = format!(
            "FLAGSTONE_{}",
            right_flag[2..].to_uppercase().replace('-', "_")
        );
        let process = Process::start(&[right_flag, text(right)]);
        let address = process.address.as_str();
        let stats = ["stats", address];
        let with = |file: &Path| run(&[&stats[..], &[right_flag, text(file)]].concat(), &[]);
        expect_stats(right_flag, &with(right));
        expect_stats(&variable, &run(&stats, &[(&variable, text(right))]));
        let sentence = format!(
            "the server at {address} wants a login first: name the file that it has, with \
             --auth-token-file or --auth-file"
        );
        expect_refusal("no login", &run(&stats, &[]), 1, &sentence);
        let sentence = format!(
            "the server at {address} does not accept the first login of the file: name the file \
             that it has"
        );
        expect_refusal("a wrong login", &with(wrong), 1, &sentence);
        let missing = Path::new("/flagstone-no-such-file");
        let sentence = format!(
            "{right_flag} \"/flagstone-no-such-file\" cannot be read: No such file or directory (os error 2)"
        );
        expect_refusal("no file", &with(missing), 1, &sentence);
        // The admin pages have numbers only, and want no login.
        let output = run(&["top", "--once", &process.admin], &[]);
        assert!(output.status.success(), "top");
    }
    // Where nobody has to log in, a login does no harm.
    let process = Process::start(&[]);
    for (flag, file) in [("--auth-token-file", &token), ("--auth-file", &users)] {
        expect_stats(
            flag,
            &run(&["stats", &process.address, flag, text(file)], &[]),
        );
    }
}

#[test]
fn stats_say_why_there_are_none() {
    let process = Process::start(&["--listen", "memcached:127.0.0.1:0", "--workers", "1"]);
    let place = process.places[1].as_str();
    let sentence = format!(
        "the place {place} is for memcached alone: ask at another place of the server, or for \
         memcached's stats there"
    );
    expect_refusal("memcached", &run(&["stats", place], &[]), 1, &sentence);
    // As many as there may be, and all of them served.
    let mut crowd: Vec<TcpStream> = (0..100).map(|_| process.connect()).collect();
    for client in &mut crowd {
        common::exchange(client, b"GET a\n", b"NOTFOUND\n");
    }
    let address = process.address.as_str();
    let sentence = format!(
        "the server at {address} is full: it has no place for another connection; its admin pages \
         answer nevertheless (flagstone top)"
    );
    expect_refusal("full", &run(&["stats", address], &[]), 1, &sentence);
    assert!(
        run(&["top", "--once", &process.admin], &[])
            .status
            .success()
    );
    drop(crowd);

    let nobody = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = nobody.local_addr().expect("bound").to_string();
    // It listens, and nobody ever accepts.
    let sentence = format!("the server at {address} does not answer: timed out");
    expect_refusal("silent", &run(&["stats", &address], &[]), 1, &sentence);
    let sentence = format!(
        "no admin pages can be reached at {address}: timed out: name their address, as the \
         server's --admin has it"
    );
    expect_refusal("silent top", &run(&["top", &address], &[]), 1, &sentence);
    drop(nobody);
    let sentence =
        format!("no server can be reached at {address}: Connection refused (os error 111)");
    expect_refusal("nobody", &run(&["stats", &address], &[]), 1, &sentence);
    let sentence = format!(
        "no admin pages can be reached at {address}: Connection refused (os error 111): name their \
         address, as the server's --admin has it"
    );
    expect_refusal("nobody's top", &run(&["top", &address], &[]), 1, &sentence);
    let sentence = "--admin \"none\" has no pages to ask";
    expect_refusal("none", &run(&["top", "--admin", "none"], &[]), 2, sentence);
}

#[test]
fn what_is_typed_wrong_is_named() {
    for (arguments, words) in [
        (
            &["--memry", "64m"][..],
            "unexpected argument '--memry' found",
        ),
        (&["--memry", "64m"], "'--memory'"),
        (&["stat"], "unrecognized subcommand 'stat'"),
        (
            &["--memory"],
            "a value is required for '--memory <auto|SIZE>'",
        ),
        (&["plan", "extra"], "unexpected argument 'extra' found"),
    ] {
        let output = run(arguments, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn an_output_that_is_full_or_closed_is_no_panic() {
    let process = Process::start(&[]);
    let (address, admin) = (process.address.as_str(), process.admin.as_str());
    for arguments in [
        &["plan"][..],
        &["--print-config"],
        &["--check-config"],
        &["stats", address],
        &["healthcheck", "--address", address],
        &["top", "--once", admin],
    ] {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("is there");
        let output = flagstone().args(arguments).stdout(full).output();
        let sentence = "cannot print: No space left on device (os error 28)";
        let what = format!("{arguments:?}");
        expect_refusal(&what, &output.expect("runs"), 1, sentence);
        // Who has read enough has closed its end.
        let mut child = flagstone()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{what}");
    }
    // Not even its complaint is taken: the code is left.
    let full = || {
        File::options()
            .write(true)
            .open("/dev/full")
            .expect("is there")
    };
    let mut command = flagstone();
    command
        .args(["--memory", "12q"])
        .stdout(full())
        .stderr(full());
    assert_eq!(command.status().expect("runs").code(), Some(2));
}

#[test]
fn a_log_on_a_full_disk_stops_nobody() {
    let scratch = Scratch::new("full-log");
    let socket = scratch.0.join("socket");
    let mut child = flagstone()
        .args([
            "--admin",
            "none",
            "--memory",
            "48m",
            "--max-connections",
            "20",
        ])
        .args(["--slow-request", "1ms", "--listen"])
        .arg(format!("unix:{}", text(&socket)))
        .stderr(
            File::options()
                .write(true)
                .open("/dev/full")
                .expect("is there"),
        )
        .spawn()
        .expect("starts");
    common::wait_until("it listens", || UnixStream::connect(&socket).is_ok());
    let mut client = UnixStream::connect(&socket).expect("connects");
    client.write_all(b"PUT a 1\nGET a\n").expect("sends");
    let mut replies = [0; 5];
    std::io::Read::read_exact(&mut client, &mut replies).expect("replies");
    assert_eq!(&replies, b"OK\n1\n");
    let id = child.id().to_string();
    let told = std::process::Command::new("kill").arg(&id).status();
    assert!(told.expect("kill runs").success());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

/// What `flagstone top` with these arguments shows in a terminal of this size while that is typed; all of it, and each screen
/// without its escape codes, of which none may scroll.
fn screens(arguments: &str, (columns, rows): (usize, usize), typed: &str) -> (String, Vec<String>) {
    let top = format!(
        "stty rows {rows} cols {columns}; {} top {arguments}",
        env!("CARGO_BIN_EXE_flagstone"),
    );
    let mut shell = Command::new("sh");
    let typed = format!("({typed}) | script -qec \"$TOP\" /dev/null");
    shell
        .env("TERM", "dumb")
        .env("TOP", top)
        .args(["-c", &typed]);
    let said = tool::succeed(&mut shell, common::PATIENCE);
    let screens = said.split("\x1b[H").skip(2).map(|screen| {
        let mut seen = String::new();
        // Without the escape codes: they end in a letter.
        for (no, part) in screen.split("\x1b[").enumerate() {
            let from = match no {
                0 => 0,
                _ => part
                    .find(|c: char| c.is_ascii_alphabetic())
                    .map_or(part.len(), |at| at + 1),
            };
            seen += &part[from..];
        }
        let lines: Vec<&str> = seen.trim_end().lines().collect();
        assert!(lines.len() <= rows, "{seen}");
        let width = |line: &&str| line.trim_end_matches('\r').chars().count();
        assert!(
            lines.iter().map(width).all(|width| width <= columns),
            "{seen}"
        );
        seen
    });
    let screens = screens.collect();
    (said, screens)
}

/// In a terminal of 60 columns and 20 rows nothing scrolls, and `q` leaves it as it was.
#[test]
fn top_fits_a_small_terminal_and_leaves_at_q() {
    let name = "top_fits_a_small_terminal_and_leaves_at_q";
    if tool::find("script").is_none() {
        return tool::skip(name, "script is not installed (apt-get install bsdutils)");
    }
    let process = Process::start(&[]);
    let (said, screens) = screens(&process.admin, (60, 20), "sleep 3.5; printf q");
    assert!(said.contains("\x1b[?1049h"), "{}", said.escape_debug());
    assert!(
        said.trim_end().ends_with("\x1b[?1049l"),
        "{}",
        said.escape_debug()
    );
    assert!(screens.len() >= 3, "{} screens", screens.len());
    assert!(
        said.contains("ready") && said.contains("requests"),
        "{}",
        said.escape_debug()
    );
}

/// `h` shows the keys that are asked for most, in place of the tables; a tall terminal has some below them. Keys are told to who
/// has the token of the pages, hashes where there is none.
#[test]
fn top_shows_hot_keys() {
    let name = "top_shows_hot_keys";
    if tool::find("script").is_none() {
        return tool::skip(name, "script is not installed (apt-get install bsdutils)");
    }
    let scratch = Scratch::new("top-hot");
    let file = scratch.0.join("tokens");
    std::fs::write(&file, "t0ken\n").expect("writes");
    let file = file.to_str().expect("text");
    for (has_token, size) in [(true, (60, 20)), (false, (80, 24)), (true, (120, 40))] {
        let token: &[&str] = match has_token {
            true => &["--admin-token-file", file],
            false => &[],
        };
        let process = Process::start(token);
        let mut client = process.connect();
        // So many that some of them are surely in the sample.
        for _ in 0..40 {
            let asked = b"GET a-hot-key\n".repeat(500);
            exchange(&mut client, &asked, &b"NOTFOUND\n".repeat(500));
        }
        let arguments = [&[&*process.admin], token].concat().join(" ");
        let typed = "sleep 3.5; printf h; sleep 2.5; printf q";
        let (_, screens) = screens(&arguments, size, typed);
        if let Some(dir) = std::env::var_os("TEST_SCREENSHOTS") {
            let name = format!("top-{}x{}.txt", size.0, size.1);
            let all = screens.join("\n~~~~\n");
            std::fs::write(std::path::Path::new(&dir).join(name), all).expect("writable");
        }
        let shown = if has_token { "a-hot-key " } else { "\n#" };
        let is_hot = |screen: &&String| screen.contains("hot key ") && screen.contains(shown);
        let last = screens.last().expect("screens");
        assert!(is_hot(&last) && !last.contains("p99.9"), "{last}");
        assert_eq!(last.contains("a-hot-key"), has_token, "{last}");
        let with_tables = screens.iter().find(|screen| screen.contains("p99.9"));
        let with_tables = with_tables.expect("tables at first");
        assert_eq!(is_hot(&with_tables), size.1 >= 38, "{with_tables}");
    }
}
