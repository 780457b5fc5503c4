//! Logging in allocates nothing, nor does trying to.

mod common;

use common::alloc::{self, assert_none};
use common::small_config;
use flagstone_server::Config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

/// Each logs in once; a tenth more of them warm up.
const LOGINS: usize = 500;

#[test]
fn login_allocates_nothing() {
    let _profiler = alloc::profiler();
    let path = std::env::temp_dir().join(format!("flagstone-login-{}", std::process::id()));
    std::fs::write(&path, "somebody:secret\n").expect("writes");
    let config = Config {
        auth_file: Some(path.clone()),
        connections_max: 2 * LOGINS,
        ..small_config()
    };
    let clients = LOGINS + LOGINS / 10;
    assert_none(config, clients, LOGINS, |clients, n| {
        let client = &mut clients[n];
        client.exchange(b"get a\r\n", b"CLIENT_ERROR unauthenticated\r\n");
        // Few: more failures from one address end the connection.
        if n % 60 == 0 {
            client.exchange(
                b"set a 0 0 14\r\nsomebody wrong\r\n",
                b"CLIENT_ERROR authentication failure\r\n",
            );
        }
        client.exchange(b"set a 0 0 15\r\nsomebody secret\r\n", b"STORED\r\n");
        client.exchange(b"get a\r\n", b"END\r\n");
    });
    std::fs::remove_file(&path).expect("it is there");
}
