//! The lines of the plan that are the server's own.

use super::*;
use crate::memory::costs::{
    ADMIN_BYTES, ADMIN_CONNECTION_BYTES, ADMIN_CONNECTIONS, ADMIN_THREAD_BYTES, HOT_KEY_BYTES,
    SLOW_ENTRIES, SLOW_ENTRY_BYTES, SNAPSHOT_BUFFER_BYTES, SNAPSHOT_THREAD_BYTES,
    hot_keys_a_worker, snapshot_window_bytes, tls_connection_bytes,
};
use crate::settings::config::Config;

/// What nobody counts takes this part of the memory …
const HEADROOM_SHARE: usize = 64;
/// … or at least so much: a health check is a process of its own for a moment, in the same
/// container, and has been measured at 1.8 MB with the runtime's process that starts it.
const HEADROOM_BYTES_MIN: usize = 2 << 20;

pub(super) fn headroom_bytes(memory_bytes: usize) -> usize {
    (memory_bytes / HEADROOM_SHARE).max(HEADROOM_BYTES_MIN)
}

/// The server's own addends, the engine's left out.
pub(super) fn server_lines(
    config: &Config,
    worker: &WorkerPlan,
    memory: usize,
    most: usize,
) -> Vec<Line> {
    let workers = config.workers;
    let line = |name: &str, bytes: usize, note: String| Line {
        name: name.to_owned(),
        bytes,
        note,
    };
    let mut lines = vec![
        line(
            "process",
            PROCESS_BYTES,
            "binary, allocator, main thread".to_owned(),
        ),
        line(
            "worker threads",
            workers * WORKER_BYTES,
            format!("{workers} × {WORKER_BYTES}: stacks, events"),
        ),
        line(
            "shared buffers",
            workers * (INBOX_BYTES + OUTBOX_BYTES),
            format!("{workers} × ({INBOX_BYTES} in + {OUTBOX_BYTES} out)"),
        ),
        line(
            "leased buffers",
            workers * (worker.leases_bytes() - worker.leases_lent_bytes()),
            {
                let [small, input, output] = worker.leases_at_first;
                format!(
                    "{workers} × ({small} × {SMALL_LEASE_BYTES} + {input} × {INBOX_BYTES} + {output} × {OUTBOX_BYTES}): the first of them"
                )
            },
        ),
        transaction_line(workers, worker),
        message_line(config, memory),
        curve_line(config, memory),
        line(
            "page tables",
            page_table_bytes(most),
            "of the kernel, a 512th of the arena".to_owned(),
        ),
        line(
            "headroom",
            headroom_bytes(memory),
            "health checks, what nobody counts".to_owned(),
        ),
    ];
    if config.admin.is_some() {
        lines.push(line(
            "admin pages",
            ADMIN_BYTES,
            format!(
                "thread {ADMIN_THREAD_BYTES} + {ADMIN_CONNECTIONS} × {ADMIN_CONNECTION_BYTES}: buffers, sockets"
            ),
        ));
    }
    lines.extend(list_lines(config, memory));
    lines.extend(snapshot_line(config, memory));
    let tls_bytes = tls_bytes(config);
    if tls_bytes > 0 {
        lines.push(line(
            "tls connections",
            tls_bytes,
            format!(
                "{} × {}",
                config.tls_connections_max,
                tls_connection_bytes(config.tls_client_ca.is_some())
            ),
        ));
    }
    if !connections_share_pages(config) {
        let connections = config.connections_max;
        lines.push(line(
            "connections",
            connection_bytes(connections, connections),
            format!("{connections} × ({CONNECTION_USER_BYTES} + {CONNECTION_KERNEL_BYTES} kernel)"),
        ));
        lines.push(line(
            "socket buffers",
            socket_bytes(config, memory),
            format!(
                "of the kernel; {} × {SMALL_SOCKET_BYTES} + {} × {}",
                small_sockets_max(memory).min(connections),
                large_sockets_max(config, memory),
                large_socket_bytes(config)
            ),
        ));
    }
    lines
}

fn transaction_line(workers: usize, worker: &WorkerPlan) -> Line {
    let QueuePlan {
        small_count,
        large_count,
    } = worker.queues;
    Line {
        name: "transactions".to_owned(),
        bytes: workers * worker.queues.bytes(),
        note: format!(
            "{workers} × ({small_count} × {QUEUE_SMALL_BYTES} + {large_count} × {QUEUE_LARGE_BYTES}): what MULTI keeps until EXEC"
        ),
    }
}

/// What TLS connections may take in all.
pub(super) fn tls_bytes(config: &Config) -> usize {
    if config.listen.iter().any(|endpoint| endpoint.tls) {
        config.tls_connections_max * tls_connection_bytes(config.tls_client_ca.is_some())
    } else {
        0
    }
}

fn curve_line(config: &Config, memory: usize) -> Line {
    let curve = CurvePlan::new(config, memory);
    Line {
        name: "curve".to_owned(),
        bytes: curve.bytes(),
        note: format!(
            "hit ratios with less memory and more: {} entries a point, {} references a worker",
            curve.entries,
            curve.uses()
        ),
    }
}

fn message_line(config: &Config, memory: usize) -> Line {
    let pubsub = PubSubPlan::new(config, memory);
    let (bytes, from) = match connections_share_pages(config) {
        true => (0, ", from the pages once anybody subscribes"),
        false => (pubsub.bytes(), ""),
    };
    Line {
        name: "messages".to_owned(),
        bytes,
        note: format!(
            "{} between clients{from}: {} in flight, {} channels, {} subscriptions, {} subscribers",
            pubsub.bytes(),
            pubsub.ring_bytes,
            pubsub.topics,
            pubsub.subscriptions,
            pubsub.subscribers
        ),
    }
}

/// What is kept for lists that operators ask for.
fn list_lines(config: &Config, memory: usize) -> impl Iterator<Item = Line> {
    let (workers, keys) = (config.workers, hot_keys_a_worker(memory));
    let slow = config.slow_log.map(|_| Line {
        name: "slow requests".to_owned(),
        bytes: SLOW_ENTRIES * SLOW_ENTRY_BYTES,
        note: format!("{SLOW_ENTRIES} × {SLOW_ENTRY_BYTES}: the last of them"),
    });
    let hot = config.hot_keys.then(|| Line {
        name: "hot keys".to_owned(),
        bytes: workers * keys * HOT_KEY_BYTES,
        note: format!("{workers} × {keys} × {HOT_KEY_BYTES}: those asked for most"),
    });
    slow.into_iter().chain(hot)
}

/// What writing items to a file takes, if there is a place for one.
fn snapshot_line(config: &Config, memory: usize) -> Option<Line> {
    let window = snapshot_window_bytes(memory);
    config.snapshot.as_ref().map(|_| Line {
        name: "snapshot".to_owned(),
        bytes: SNAPSHOT_THREAD_BYTES + SNAPSHOT_BUFFER_BYTES + window,
        note: format!(
            "thread {SNAPSHOT_THREAD_BYTES} + {SNAPSHOT_BUFFER_BYTES} + {window} of a file that are not on the disk yet"
        ),
    })
}
