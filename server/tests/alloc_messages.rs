//! Messages between clients allocate nothing: subscribing, publishing, delivering, unsubscribing.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::resp::array;
use common::small_config;
use flagstone_server::Config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

/// A request: a line without spaces in its words.
fn line(text: &str) -> Vec<u8> {
    let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
    array(&words)
}

#[test]
fn messages_allocate_nothing() {
    let _profiler = alloc::profiler();
    let config = Config {
        memory_bytes: 24 << 20,
        connections_max: 20,
        ..small_config()
    };
    let subscribe = [line("SUBSCRIBE one two"), line("PSUBSCRIBE o*")].concat();
    let subscribed =
        "*3|$9|subscribe|$3|one|:1|*3|$9|subscribe|$3|two|:2|*3|$10|psubscribe|$2|o*|:3|";
    let message = "*3|$7|message|$3|one|$2|hi|*4|$8|pmessage|$2|o*|$3|one|$2|hi|";
    let unsubscribe = [line("UNSUBSCRIBE"), line("PUNSUBSCRIBE o*")].concat();
    let unsubscribed =
        "*3|$11|unsubscribe|$3|two|:2|*3|$11|unsubscribe|$3|one|:1|*3|$12|punsubscribe|$2|o*|:0|";
    let [subscribed, message, unsubscribed] =
        [subscribed, message, unsubscribed].map(|told| told.replace('|', "\r\n").into_bytes());
    let publish = line("PUBLISH one hi");
    let channels = line("PUBSUB CHANNELS t*");
    assert_none(config, 2, REQUESTS / 100, |clients, _| {
        clients[0].exchange(&subscribe, &subscribed);
        clients[1].exchange(&publish, b":2\r\n");
        clients[0].exchange(b"", &message);
        clients[1].exchange(&channels, b"*1\r\n$3\r\ntwo\r\n");
        clients[0].exchange(&unsubscribe, &unsubscribed);
    });
}
