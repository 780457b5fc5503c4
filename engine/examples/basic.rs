//! A cache of 64 MiB: put values in, get them out, look at all of them.
//!
//! ```text
//! cargo run --package flagstone-engine --example basic
//! ```

use std::error::Error;
use std::time::Duration;

use flagstone_engine::{Cache, Lookup};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // All the memory that it will ever use is reserved here.
    let cache = Cache::builder()
        .memory(64 << 20)
        .value_bytes_max(1 << 20)
        .build()?;

    // Keys and values are anything that is bytes.
    cache.insert("user:1", "Ada")?;
    cache.insert("user:2", b"Grace")?;
    cache.insert_ttl("session:9", vec![1, 2, 3], Duration::from_secs(60))?;
    assert_eq!(cache.get("user:1").as_deref(), Some(&b"Ada"[..]));
    assert_eq!(cache.get("user:3"), None);

    // `get` allocates the value that it returns. `get_into` uses a buffer that is already there.
    let mut buffer = [0; 64];
    match cache.get_into("user:2", &mut buffer) {
        Lookup::Hit(meta) => assert_eq!(&buffer[..meta.value_len], b"Grace"),
        Lookup::TooSmall(meta) => panic!("a buffer of {} bytes would do", meta.value_len),
        Lookup::Miss => panic!("it was evicted"),
    }

    // All users but the first leave. The closure sees the key; the value is read only if it asks for it.
    let done = cache.retain(|item| !item.key().starts_with(b"user:") || item.key() == b"user:1");
    assert_eq!(done.removed, 1);

    for (key, value) in &cache {
        println!("{}: {} bytes", key.escape_ascii(), value.len());
    }
    assert!(cache.remove("user:1"));
    println!(
        "{} item, {} of {} KiB in use",
        cache.len(),
        cache.memory_used() >> 10,
        cache.memory() >> 10
    );
    Ok(())
}
