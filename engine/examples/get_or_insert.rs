//! A slow source behind a cache: a value that several threads miss at once is fetched once.
//!
//! ```text
//! cargo run --package flagstone-engine --example get_or_insert
//! ```

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use flagstone_engine::Cache;

static FETCHED: AtomicUsize = AtomicUsize::new(0);

/// What takes long: a database, a service, a page that is rendered.
fn fetch(id: u32) -> Result<Vec<u8>, String> {
    thread::sleep(Duration::from_millis(50));
    FETCHED.fetch_add(1, Ordering::Relaxed);
    if id == 404 {
        return Err(format!("there is no article {id}"));
    }
    Ok(format!("article {id}").into_bytes())
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::builder()
        .memory(16 << 20)
        .time_to_live(Duration::from_secs(300))
        .build()?;
    let article = |id: u32| cache.try_get_or_insert_with(format!("article:{id}"), || fetch(id));

    // Eight threads ask for the same article: one fetches it, seven wait for that one.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(article(1).as_deref(), Ok(&b"article 1"[..])));
        }
    });
    assert_eq!(FETCHED.load(Ordering::Relaxed), 1);

    // A failure is not cached: the next caller tries again.
    assert!(article(404).is_err());
    assert!(article(404).is_err());
    assert_eq!(FETCHED.load(Ordering::Relaxed), 3);

    // Where nothing can fail, the closure returns the value itself.
    let squares = cache.get_or_insert_with("squares", || (1..=9).map(|n| n * n).collect());
    println!(
        "{squares:?}, and {} fetches",
        FETCHED.load(Ordering::Relaxed)
    );
    Ok(())
}
