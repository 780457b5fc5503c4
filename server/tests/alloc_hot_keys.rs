//! Nothing is allocated for the keys that are asked for most, whoever asks for them.

mod common;

use common::alloc::{self, REQUESTS, assert_none, number};
use common::resp::requests;
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn hot_keys_allocate_nothing() {
    let _profiler = alloc::profiler();
    let told = requests("HOTKEYS 100|ECHO done");
    let mut get = *b"GET key:########\n";
    assert_none(small_config(), 4, REQUESTS, |clients, n| match n % 5000 {
        0 => clients[0].exchange_until(b"HOTKEYS 100\n", b"END\n"),
        1 => clients[1].exchange_until(b"stats hotkeys\r\n", b"END\r\n"),
        2 => clients[2].exchange_until(&told, b"$4\r\ndone\r\n"),
        _ if n % 3 == 0 => clients[3].exchange(b"GET hot\n", b"NOTFOUND\n"),
        _ => {
            number(&mut get, n);
            clients[3].exchange(&get, b"NOTFOUND\n");
            get = *b"GET key:########\n";
        }
    });
}
