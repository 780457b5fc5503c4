//! The places where the program listens: taken ones, families of addresses, sockets of those that were there before.

use crate::common;
use crate::common::http;
use crate::common::process::run;
use crate::common::tool::Scratch;
use crate::told::{Told, ask};

#[test]
fn an_address_in_use_is_an_error_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("bound").to_string();
    let output = run(
        &[
            "--listen",
            &address,
            "--memory",
            "48m",
            "--max-connections",
            "10",
        ],
        &[],
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with(&format!(
        "flagstone: --listen {address}: cannot listen there: "
    )));
    assert_eq!(output.status.code(), Some(1));
    let output = run(&["--listen", "127.0.0.1:0", "--admin", &address], &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with(&format!(
            "flagstone: --admin {address}: cannot listen there: "
        )) && stderr.ends_with(": name another address, or none\n"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// Nobody asked for the default address of the admin pages.
#[test]
fn a_second_server_goes_on_without_the_default_admin_pages() {
    // Held by this test, or by whatever else has it.
    let _taken = std::net::TcpListener::bind("127.0.0.1:7172");
    let mut server = Told::start(&["--listen", "127.0.0.1:0"], &[]);
    let told = server.line("no admin pages: 127.0.0.1:7172 is taken");
    assert!(told.starts_with("flagstone: warning: "), "{told}");
    let address = server.places()[0].clone();
    assert_eq!(ask(&address, "PUT a 1\n"), "OK\n");
    server.end();
    // Asked for, it is an error.
    let arguments = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:7172"];
    assert_eq!(run(&arguments, &[]).status.code(), Some(1));
}

#[test]
fn each_family_has_places_of_its_own() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return common::tool::skip("each_family_has_places_of_its_own", "there is no IPv6 here");
    }
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        free.local_addr().expect("bound").port()
    };
    let (v4, v6) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    for listen in [
        format!("127.0.0.1:{port},[::]:{port}"),
        format!("0.0.0.0:{port},[::]:{port}"),
        format!("[::]:{port},0.0.0.0:{port}"),
        format!("localhost:{port}"),
    ] {
        let checked = run(
            &["--check-config", "--listen", &listen, "--memory", "48m"],
            &[],
        );
        assert_eq!(checked.status.code(), Some(0), "{listen}");
        let mut server = Told::start(&["--listen", &listen, "--admin", "[::]:0"], &[]);
        assert_eq!(server.places().len(), 2, "{listen}");
        let admin = server.line("admin pages at http://");
        let admin_port = admin
            .trim_end_matches('/')
            .rsplit(':')
            .next()
            .expect("a port");
        for address in [&v4, &v6] {
            assert_eq!(ask(address, "PUT a 1\n"), "OK\n", "{listen} {address}");
        }
        for host in ["127.0.0.1", "[::1]"] {
            let address = format!("{host}:{admin_port}").parse().expect("an address");
            assert_eq!(http::get(address, "/livez").status, 200, "{host}");
        }
        assert_eq!(server.end(), Some(0));
    }
    // What cannot work is said before it fails.
    let listen = format!("127.0.0.1:{port},0.0.0.0:{port}");
    let checked = run(
        &["--check-config", "--listen", &listen, "--memory", "48m"],
        &[],
    );
    assert_eq!(checked.status.code(), Some(2));
}

#[test]
fn a_leaving_server_leaves_its_successors_socket_alone() {
    let scratch = Scratch::new("successor");
    std::fs::create_dir_all(&scratch.0).expect("can be made");
    let path = scratch.0.join("socket");
    let place = format!("unix:{}", path.display());
    let arguments = ["--listen", &place, "--admin", "none"];
    let mut first = Told::start(&arguments, &[]);
    first.places();
    // An operator makes way for another, as a deployment that does not wait does.
    std::fs::remove_file(&path).expect("is there");
    let mut second = Told::start(&arguments, &[]);
    second.places();
    assert_eq!(first.end(), Some(0));
    let output = run(&["healthcheck", "--address", &place], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(second.end(), Some(0));
    assert!(!path.exists(), "the last one takes its own along");
}

#[test]
fn a_start_at_a_socket_whose_owner_is_busy_ends_with_a_sentence() {
    let scratch = Scratch::new("busy");
    std::fs::create_dir_all(&scratch.0).expect("can be made");
    let path = scratch.0.join("socket");
    // An owner that accepts nobody, with as many in front of it as it allows.
    let owner = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let owner = owner.expect("a socket");
    owner
        .bind(&socket2::SockAddr::unix(&path).expect("a path"))
        .expect("binds");
    owner.listen(1).expect("listens");
    let mut waiting = Vec::new();
    loop {
        let client = socket2::Socket::new(
            socket2::Domain::UNIX,
            socket2::Type::STREAM.nonblocking(),
            None,
        );
        let client = client.expect("a socket");
        if client
            .connect(&socket2::SockAddr::unix(&path).expect("a path"))
            .is_err()
        {
            break;
        }
        waiting.push(client);
        assert!(waiting.len() < 100);
    }
    let place = format!("unix:{}", path.display());
    let mut server = Told::start(&["--listen", &place, "--admin", "none"], &[]);
    let told = server.line("cannot listen there: ");
    assert!(
        told.starts_with(&format!("flagstone: --listen {place}: ")),
        "{told}"
    );
    assert_eq!(server.child.wait().expect("ends").code(), Some(1));
    assert!(path.exists(), "it is the owner's");
}
