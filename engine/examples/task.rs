//! Values that arrive and leave in parts, in tasks: a reservation and a pin hold a share of the cache, so that they can
//! be moved. No lock is held between two parts, and no buffer collects the whole.
//!
//! ```text
//! cargo run --package flagstone-engine --example task
//! ```

use std::error::Error;

use flagstone_engine::SharedCache;
use tokio::runtime::Builder;
use tokio::task;

/// A part of a value, as it would come from a socket.
async fn next_part(number: u8) -> [u8; 10_000] {
    task::yield_now().await;
    [number; 10_000]
}

async fn receive(cache: SharedCache, name: String) -> Result<(), flagstone_engine::InsertError> {
    // The memory is set aside at once; the item is there when it is whole.
    let mut writer = cache.reserve(&name, 30_000)?;
    for number in 0..3 {
        let part = next_part(number).await;
        writer.write(&part)?;
        assert!(!cache.contains(&name));
    }
    // Returning early, or dropping the task, would give the memory back.
    writer.commit()?;
    Ok(())
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let cache = flagstone_engine::Cache::builder()
        .memory(16 << 20)
        .build()?;
    let runtime = Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let arriving: Vec<_> = (0..4)
            .map(|number| task_of(receive(cache.clone(), format!("upload:{number}"))))
            .collect();
        for task in arriving {
            task.await??;
        }

        // The value is held still while it is sent, although it is removed meanwhile.
        let mut pinned = cache.pin("upload:1")?.ok_or("it was evicted")?;
        assert!(cache.remove("upload:1"));
        let sending = task_of(async move {
            let (mut window, mut sent) = ([0; 4096], 0);
            loop {
                let len = pinned.read(&mut window);
                if len == 0 {
                    break sent;
                }
                // Here it would be written to a socket.
                task::yield_now().await;
                sent += len;
            }
        });
        let sent = sending.await?;
        assert_eq!(sent, 30_000);
        println!("{} uploads left, {sent} bytes sent", cache.len());
        Ok(())
    })
}

/// A task that may run in any thread: nothing in it borrows.
fn task_of<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> task::JoinHandle<T> {
    tokio::spawn(work)
}
