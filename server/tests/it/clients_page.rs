//! The admin page of who is connected, and what closes a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::common::resp::requests;
use crate::common::tool::Scratch;
use crate::common::{connect, exchange, expect_end, http, small_config, start_with, wait_until};
use flagstone_server::{Config, Running};

fn server() -> Running {
    start_with(with_pages())
}

fn with_pages() -> Config {
    Config {
        admin: Some("127.0.0.1:0".parse().expect("an address")),
        ..small_config()
    }
}

fn admin(server: &Running) -> SocketAddr {
    server.admin_addr().expect("has pages")
}

fn post(address: SocketAddr, target: &str, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(address).expect("connects");
    let asked = format!("POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(asked.as_bytes()).expect("sent");
    let mut told = String::new();
    stream.read_to_string(&mut told).expect("an answer");
    let status = told.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.unwrap_or_else(|| panic!("{told}"))
}

/// The rows of the page, and how many it says are connected.
fn rows(server: &Running) -> (u64, Vec<serde_json::Value>) {
    let page = http::get(admin(server), "/clients").body;
    let told: serde_json::Value =
        serde_json::from_str(&page).unwrap_or_else(|e| panic!("{e}: {page}"));
    let rows = told["clients"].as_array().expect("an array").clone();
    (told["connected"].as_u64().expect("a number"), rows)
}

#[test]
fn who_holds_most_comes_first() {
    let server = server();
    let mut named = connect(&server);
    exchange(
        &mut named,
        &requests("CLIENT SETNAME first|SELECT 3"),
        b"+OK\r\n+OK\r\n",
    );
    let mut idle = connect(&server);
    exchange(&mut idle, b"GET a\n", b"NOTFOUND\n");
    // Half a value of a megabyte is on its way.
    let mut slow = connect(&server);
    slow.write_all(b"set big 0 0 1000000\r\nx").expect("sent");
    wait_until("it is seen to hold it", || {
        rows(&server).1[0]["held_bytes"].as_u64() >= Some(1_000_000)
    });
    let (count, rows) = rows(&server);
    assert_eq!((count, rows.len()), (3, 3), "{rows:?}");
    let address = |stream: &TcpStream| stream.local_addr().expect("has one").to_string();
    let addresses: Vec<_> = rows.iter().map(|row| row["address"].clone()).collect();
    assert_eq!(addresses, [address(&slow), address(&named), address(&idle)]);
    for (name, value) in [
        ("name", "first"),
        ("protocol", "resp2"),
        ("came_in_at", &server.local_addr().to_string()),
    ] {
        assert_eq!(rows[1][name], value, "{name} of {:?}", rows[1]);
    }
    assert_eq!(
        (rows[1]["database"].as_u64(), rows[1]["held_bytes"].as_u64()),
        (Some(3), Some(0))
    );
    assert_eq!(
        (&rows[2]["last"], rows[2].get("name")),
        (&"get".into(), None)
    );
}

#[test]
fn a_post_closes_a_connection() {
    let server = server();
    let (mut one, mut other) = (connect(&server), connect(&server));
    exchange(&mut one, b"GET a\n", b"NOTFOUND\n");
    exchange(&mut other, b"GET a\n", b"NOTFOUND\n");
    let address = one.local_addr().expect("has one").to_string();
    let (_, rows) = rows(&server);
    let row = rows.iter().find(|row| row["address"] == address.as_str());
    let id = row.unwrap_or_else(|| panic!("{rows:?}"))["id"].clone();
    let target = format!("/clients/kill?id={id}");
    assert_eq!(
        post(admin(&server), &target, "Origin: http://evil.example\r\n"),
        403
    );
    assert_eq!(http::get(admin(&server), &target).status, 404);
    for wrong in [
        "/clients/kill",
        "/clients/kill?id=0",
        "/clients/kill?id=x",
        "/clients/kill?id=-1",
        "/clients/kill?name=1",
    ] {
        assert_eq!(post(admin(&server), wrong, ""), 400, "{wrong}");
    }
    exchange(&mut one, b"GET a\n", b"NOTFOUND\n");
    assert_eq!(post(admin(&server), &target, ""), 202);
    expect_end(&mut one);
    wait_until("it is nobody's any more", || {
        post(admin(&server), &target, "") == 404
    });
    exchange(&mut other, b"GET a\n", b"NOTFOUND\n");
    let metrics = http::get(admin(&server), "/metrics").body;
    assert!(
        metrics.contains("flagstone_connections_cut_total{reason=\"killed\"} 1\n"),
        "{metrics}"
    );
}

#[test]
fn where_clients_log_in_a_token_is_wanted() {
    let scratch = Scratch::new("clients-page");
    let (users, pages) = (scratch.0.join("users"), scratch.0.join("pages"));
    std::fs::write(&users, "s3cret\n").expect("written");
    std::fs::write(&pages, "t0ken\n").expect("written");
    let open_pages = start_with(Config {
        auth_token_file: Some(users.clone()),
        ..with_pages()
    });
    let mut client = connect(&open_pages);
    exchange(&mut client, b"AUTH s3cret\n", b"OK\n");
    assert_eq!(post(admin(&open_pages), "/clients/kill?id=1", ""), 403);
    exchange(&mut client, b"GET a\n", b"NOTFOUND\n");
    let closed_pages = start_with(Config {
        auth_token_file: Some(users),
        admin_token_file: Some(pages),
        ..with_pages()
    });
    let mut client = connect(&closed_pages);
    exchange(&mut client, b"AUTH s3cret\n", b"OK\n");
    let target = "/clients/kill?id=1";
    assert_eq!(post(admin(&closed_pages), target, ""), 401);
    assert_eq!(http::get(admin(&closed_pages), "/clients").status, 401);
    assert_eq!(
        post(
            admin(&closed_pages),
            target,
            "Authorization: Bearer t0ken\r\n"
        ),
        202
    );
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    expect_end(&mut client);
}
