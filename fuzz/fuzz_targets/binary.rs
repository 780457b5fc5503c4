//! The codec of memcached's binary protocol, on any bytes.
#![no_main]

#[path = "../codec.rs"]
mod codec;

use flagstone_server::proto::Accepts;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| codec::check(Accepts::Binary, bytes));
