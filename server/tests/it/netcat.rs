//! What the README tells a stranger to type, with the real netcat.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common;

#[test]
fn a_stranger_with_netcat_receives_every_reply() {
    // Only the OpenBSD netcat has -N, "half-close after the end of input".
    let help = Command::new("nc").arg("-h").output();
    let knows_n = help.is_ok_and(|help| {
        let text = [help.stdout, help.stderr].concat();
        String::from_utf8_lossy(&text).contains("-N")
    });
    if !knows_n {
        return common::tool::skip(
            "a_stranger_with_netcat_receives_every_reply",
            "OpenBSD's nc is not installed (apt-get install netcat-openbsd)",
        );
    }
    let server = common::start();
    let address = server.local_addr();
    let mut nc = Command::new("nc")
        .args(["-N", &address.ip().to_string(), &address.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nc starts");
    let mut input = nc.stdin.take().expect("piped");
    input.write_all(b"PUT a 1\nGET a\n").expect("nc takes it");
    drop(input);
    let output = nc.wait_with_output().expect("nc ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "OK\n1\n");
}

/// Whoever lacks a program sees by name what was not tested, although the harness hides what passing tests print.
#[test]
fn a_skip_is_seen() {
    let name = "a_stranger_with_netcat_receives_every_reply";
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([&format!("netcat::{name}"), "--exact"])
        .env("PATH", "")
        .env_remove("CI")
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains(&format!("SKIPPED {name}")),
        "{told}"
    );
}
