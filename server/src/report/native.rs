//! The counters of the native protocol.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use flagstone_engine::Tick;

use crate::proto::writer::Writer;
use crate::proto::{Reply, Stat};
use crate::server::shared::Shared;

/// A fixed list in a fixed order, so that nothing is allocated for it and a reader may rely
/// on it.
pub fn stats<'h>(shared: &Shared<'h>, now: Tick) -> [Stat<'h>; 59] {
    let totals = shared.threads.totals();
    let engine = shared.cache.stats();
    let plan = shared.plan;
    let board = &shared.memory;
    let file = shared.snapshots.figures.read();
    // Relaxed: figures of their own, each.
    let memory = |figure: &AtomicU64| figure.load(Relaxed);
    let usage_bytes = memory(&board.usage_bytes);
    let headroom_bytes = match memory(&board.limit_bytes) {
        0 => 0,
        limit_bytes => limit_bytes.saturating_sub(usage_bytes),
    };
    let n = Stat::number;
    [
        Stat::text("version", env!("CARGO_PKG_VERSION")),
        n("process_id", u64::from(std::process::id())),
        n(
            "uptime_seconds",
            now.millis_since(shared.clock.started()) / 1000,
        ),
        n("workers", plan.worker_count as u64),
        n("memory_bytes", memory(&board.memory_bytes)),
        n("memory_bytes_max", plan.memory_bytes_max as u64),
        n("memory_limit_bytes", memory(&board.limit_bytes)),
        n("memory_usage_bytes", usage_bytes),
        n("memory_headroom_bytes", headroom_bytes),
        n("memory_at_limit", memory(&board.at_limit_count)),
        n("memory_oom_kills", memory(&board.kill_count)),
        n(
            "memory_pressure_avg10_hundredths",
            memory(&board.pressure_hundredths),
        ),
        n("connection_bytes", memory(&board.connection_bytes)),
        n("socket_bytes", memory(&board.socket_bytes)),
        n("socket_bytes_max", plan.socket_bytes as u64),
        n("engine_bytes", plan.engine.budget_bytes() as u64),
        n("item_bytes_max", plan.engine.item_bytes_max() as u64),
        n("connections", shared.admission.connections() as u64),
        n("connections_max", plan.connections_max as u64),
        n(
            "connections_allowed",
            shared.admission.connections_allowed() as u64,
        ),
        n("connections_served", totals.connections),
        n("connections_turned_away", shared.admission.turned_away()),
        n("connections_stalled", totals.all_stalls()),
        n("connections_hung_up", totals.hangups),
        n("connections_panicked", totals.panics),
        n("buffer_waits", totals.waits),
        n("read_bytes", totals.read_bytes),
        n("written_bytes", totals.written_bytes),
        n("requests", totals.requests()),
        n("gets", totals.hits + totals.misses),
        n("hits", totals.hits),
        n("misses", totals.misses),
        n("puts", totals.puts),
        n("dels", totals.delete_hits + totals.delete_misses),
        n("errors", totals.refusals),
        n("arena_restored_items", shared.restoring.items()),
        n("arena_restored_forgotten", shared.restoring.forgotten()),
        n("arena_restored_millis", shared.restoring.took_millis()),
        n("items", engine.items),
        n("item_bytes", engine.item_bytes),
        n("evictions", engine.evictions),
        n("probation_bytes", engine.probation_bytes),
        n("main_bytes", engine.main_bytes),
        n("probation_percent", engine.probation_percent),
        n("probation_hits", engine.probation_hits),
        n("probation_changes", engine.probation_changes),
        n("expired", engine.expired.total()),
        n("page_bytes", engine.page_bytes),
        n("pages_free", engine.pages_free),
        n("pages_retired", engine.pages_retired),
        n("pages_items", engine.pages_items),
        n("pages_index", engine.pages_index),
        n("snapshots_written", file.written),
        n("snapshots_failed", file.failed),
        n("snapshot_unix_seconds", file.last_unix),
        n("snapshot_items", file.last_items),
        n("restored_items", file.restored_items),
        n("restored_milliseconds", file.restored_millis),
        n("restored_unix_seconds", file.restored_begun_unix),
    ]
}

/// `STATS CLASSES`: a line for each class that has pages, smallest chunks first, and one for the pages that ends share.
pub fn classes(
    shared: &Shared<'_>,
    now: Tick,
    tell: &mut dyn FnMut(Reply<'_>) -> Option<()>,
) -> Option<()> {
    let inserted_bytes = shared.cache.stats().inserted_bytes;
    let mut told = Some(());
    shared.cache.classes(|class| {
        if class.pages == 0 {
            return;
        }
        let pace = shared.pace.lock();
        let age_millis = pace.age_millis(now, inserted_bytes, class.tail_age_bytes);
        drop(pace);
        let mut line = [0; CLASS_BYTES_MAX];
        let mut writer = Writer::new(&mut line);
        let figures = [
            (&b""[..], class.chunk_bytes),
            (b" pages ", class.pages),
            (b" chunks ", class.chunks),
            (b" used ", class.chunks_used.min(class.chunks)),
            (b" probation ", class.items_probation),
            (b" main ", class.items_main),
            (b" evictions ", class.evictions),
            (b" oldest_seconds ", age_millis / 1000),
        ];
        let written = figures.into_iter().try_for_each(|(name, figure)| {
            writer.put(name)?;
            writer.number(figure)
        });
        let len = writer.len();
        // Digits and the words above always fit, and always are text.
        let line = std::str::from_utf8(&line[..len]).unwrap_or_default();
        told = told
            .and(written)
            .and_then(|()| tell(Reply::Stats(&[Stat::text("class", line)])));
    });
    told
}

/// Eight numbers of at most 20 digits, and what stands between them.
const CLASS_BYTES_MAX: usize = 8 * 20 + 70;
