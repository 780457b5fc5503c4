//! Counters and settings under memcached's names, for its clients and exporters.
//!
//! What has no meaning here (the extents of a hash table that grows in one piece, threads that
//! move items, logs that are not written) is told as the 0 that it would be in a memcached that
//! does without. What is not counted by size class is left out there.

use flagstone_engine::{Stats as Engine, Tick};

use crate::memory::plan::{INBOX_BYTES, OUTBOX_BYTES};
use crate::observe::counters::Totals;
use crate::proto::exptime::VERSION;
use crate::proto::{Lead, Reply, Stat};
use crate::server::shared::Shared;
use crate::settings::limits::REQUESTS_PER_TURN;

/// Whose server it is: clients compare the version with memcached's, and some can read nothing but numbers in it.
const PRODUCT: &str = concat!("flagstone ", env!("CARGO_PKG_VERSION"));

type Tell<'t> = &'t mut dyn FnMut(Reply<'_>) -> Option<()>;

/// What was counted since the counters were last set to 0: last of all, expired items reclaimed.
fn totals(shared: &Shared<'_>) -> (Totals, Engine, u64) {
    let (before, engine_before) = *shared.reset.lock();
    let mut engine = shared.cache.stats();
    engine.sets -= engine_before.sets;
    engine.evictions -= engine_before.evictions;
    engine.pages_moved -= engine_before.pages_moved;
    let reclaimed = engine.expired.total() - engine_before.expired.total();
    (shared.threads.totals().since(&before), engine, reclaimed)
}

/// `stats`, in memcached's order.
pub fn general(shared: &Shared<'_>, now: Tick, tell: Tell<'_>) -> Option<()> {
    let (totals, engine, reclaimed) = totals(shared);
    tell(Reply::Stats(&process(shared, now)))?;
    tell(Reply::Stats(&connections(shared, &totals)))?;
    tell(Reply::Stats(&requests(&totals)))?;
    tell(Reply::Stats(&traffic(shared, &totals)))?;
    tell(Reply::Stats(&upkeep(&engine)))?;
    let held = items_held(&engine, reclaimed, &totals);
    let unasked = usize::from(shared.limits.idle_timeout.is_none());
    tell(Reply::Stats(&held[..held.len() - unasked]))
}

/// The process, its clock and its version.
fn process(shared: &Shared<'_>, now: Tick) -> [Stat<'static>; 9] {
    let (user_micros, system_micros) = crate::observe::counters::cpu_micros();
    let n = Stat::number;
    [
        n("pid", u64::from(std::process::id())),
        n("uptime", now.millis_since(shared.clock.started()) / 1000),
        n("time", shared.clock.unix_of(now)),
        Stat::text("version", VERSION),
        Stat::text("product", PRODUCT),
        Stat::text("libevent", "none"),
        n("pointer_size", u64::from(usize::BITS)),
        Stat::micros("rusage_user", user_micros),
        Stat::micros("rusage_system", system_micros),
    ]
}

/// Connections, and the buffers that they share.
fn connections(shared: &Shared<'_>, totals: &Totals) -> [Stat<'static>; 13] {
    let plan = shared.plan;
    let worker = &plan.worker;
    let leases = (worker.small_count + worker.input_count + worker.output_count) as u64;
    let buffers = plan.worker_count as u64 * (leases + 2);
    let n = Stat::number;
    [
        n("max_connections", plan.connections_max as u64),
        n("curr_connections", shared.admission.connections() as u64),
        n("total_connections", totals.connections),
        n("rejected_connections", shared.admission.turned_away()),
        n(
            "connection_structures",
            shared.admission.connections() as u64,
        ),
        n("response_obj_oom", 0),
        n("response_obj_count", plan.worker_count as u64),
        n(
            "response_obj_bytes",
            (plan.worker_count * OUTBOX_BYTES) as u64,
        ),
        n("read_buf_count", buffers),
        n("read_buf_bytes", (plan.worker_count * INBOX_BYTES) as u64),
        n("read_buf_bytes_free", 0),
        n("read_buf_oom", totals.waits),
        n("reserved_fds", 0),
    ]
}

/// Requests, by what they asked for and what became of them.
fn requests(totals: &Totals) -> [Stat<'static>; 24] {
    let n = Stat::number;
    [
        n("cmd_get", totals.hits + totals.misses),
        n("cmd_set", totals.puts),
        n("cmd_flush", totals.flushes),
        n("cmd_touch", totals.touch_hits + totals.touch_misses),
        n("cmd_meta", totals.metas),
        n("get_hits", totals.hits),
        n("get_misses", totals.misses),
        n("get_expired", 0),
        n("get_flushed", 0),
        n("delete_misses", totals.delete_misses),
        n("delete_hits", totals.delete_hits),
        n("incr_misses", totals.incr_misses),
        n("incr_hits", totals.incr_hits),
        n("decr_misses", totals.decr_misses),
        n("decr_hits", totals.decr_hits),
        n("cas_misses", totals.cas_misses),
        n("cas_hits", totals.cas_hits),
        n("cas_badval", totals.cas_badval),
        n("touch_hits", totals.touch_hits),
        n("touch_misses", totals.touch_misses),
        n("store_too_large", totals.too_large),
        n("store_no_memory", 0),
        n("auth_cmds", totals.logins),
        n("auth_errors", totals.login_errors),
    ]
}

/// Bytes in and out, and who serves them.
fn traffic(shared: &Shared<'_>, totals: &Totals) -> [Stat<'static>; 8] {
    let plan = shared.plan;
    let n = Stat::number;
    [
        n("bytes_read", totals.read_bytes),
        n("bytes_written", totals.written_bytes),
        n("limit_maxbytes", plan.engine.budget_bytes() as u64),
        n("accepting_conns", u64::from(!shared.life.is_draining())),
        n("listen_disabled_num", 0),
        n("time_in_listen_disabled_us", 0),
        n("threads", plan.worker_count as u64),
        n("conn_yields", totals.yields),
    ]
}

/// The index, and what moves items.
fn upkeep(engine: &Engine) -> [Stat<'static>; 15] {
    let index_bytes = engine.pages_index * engine.page_bytes;
    let n = Stat::number;
    [
        n(
            "hash_power_level",
            u64::from(engine.index_buckets.max(1).ilog2()),
        ),
        n("hash_bytes", index_bytes),
        n("hash_is_expanding", 0),
        n("slab_reassign_rescues", engine.items_moved),
        n("slab_reassign_chunk_rescues", 0),
        n("slab_reassign_inline_reclaim", 0),
        n("slab_reassign_busy_items", 0),
        n("slab_reassign_busy_deletes", 0),
        n("slab_reassign_busy_nomem", 0),
        Stat::text("slab_reassign_last_busy_status", "none"),
        n("slab_reassign_running", 0),
        n("slabs_moved", engine.pages_moved),
        n("lru_crawler_running", 0),
        n("lru_crawler_starts", 0),
        n("lru_maintainer_juggles", 0),
    ]
}

/// The items and their memory. The last one has a meaning only if connections may be idle for too long.
fn items_held(engine: &Engine, reclaimed: u64, totals: &Totals) -> [Stat<'static>; 17] {
    let n = Stat::number;
    [
        n("malloc_fails", 0),
        n("log_worker_dropped", 0),
        n("log_worker_written", 0),
        n("log_watcher_skipped", 0),
        n("log_watcher_sent", 0),
        n("log_watchers", 0),
        n("unexpected_napi_ids", 0),
        n("round_robin_fallback", 0),
        n("bytes", engine.item_bytes),
        n("curr_items", engine.items),
        n("total_items", engine.sets),
        n("slab_global_page_pool", engine.pages_free),
        n("evictions", engine.evictions),
        n("reclaimed", reclaimed),
        n("lrutail_reflocked", 0),
        n("total_malloced", engine.pages_items * engine.page_bytes),
        n("idle_kicks", totals.idle_kicks),
    ]
}

/// `stats settings`
pub fn settings<'h>(shared: &Shared<'h>) -> [Stat<'h>; 38] {
    let plan = shared.plan;
    let limits = &shared.limits;
    let listen = shared.listen;
    let n = Stat::number;
    [
        n("maxbytes", plan.engine.budget_bytes() as u64),
        n("maxconns", plan.connections_max as u64),
        n("tcpport", u64::from(listen.tcp_port)),
        n("udpport", 0),
        Stat::text("inter", &listen.tcp),
        n("verbosity", 0),
        n("oldest", 0),
        Stat::text("evictions", "on"),
        Stat::text("domain_socket", &listen.unix),
        Stat::text("umask", &listen.unix_mode),
        Stat::yes_no("shutdown_command", limits.shutdown),
        Stat::text("growth_factor", "1.25"),
        n("chunk_size", 12),
        n("num_threads", plan.worker_count as u64),
        n("num_threads_per_udp", 0),
        Stat::text("stat_key_prefix", ":"),
        Stat::text("detail_enabled", "no"),
        n("reqs_per_event", u64::from(REQUESTS_PER_TURN)),
        Stat::text("cas_enabled", "yes"),
        n("tcp_backlog", 4096),
        Stat::text("binding_protocol", "auto-negotiate"),
        Stat::yes_no("auth_enabled_sasl", !shared.users.is_empty()),
        Stat::text("auth_enabled_ascii", &listen.auth_file),
        n("item_size_max", plan.engine.item_bytes_max() as u64),
        Stat::text("maxconns_fast", "yes"),
        Stat::text("slab_reassign", "yes"),
        n("slab_automove", 1),
        n("slab_chunk_max", plan.engine.page_bytes() as u64),
        Stat::text("lru_crawler", "yes"),
        Stat::yes_no("flush_enabled", limits.flush),
        Stat::text("dump_enabled", "yes"),
        Stat::text("hash_algorithm", "xxh3"),
        Stat::text("lru_segmented", "yes"),
        n(
            "idle_timeout",
            limits.idle_timeout.map_or(0, |time| time.as_secs()),
        ),
        n("read_buf_mem_limit", plan.memory_bytes as u64),
        Stat::text("track_sizes", "no"),
        Stat::text("inline_ascii_response", "no"),
        n("client_flags_size", 4),
    ]
}

/// `stats items`
pub fn items(shared: &Shared<'_>, now: Tick, tell: Tell<'_>) -> Option<()> {
    let inserted_bytes = shared.cache.stats().inserted_bytes;
    let mut told = Some(());
    shared.cache.classes(|class| {
        let n = |name, value| Stat::number(name, value).behind(Lead::Items(class.class as u64 + 1));
        let age = shared
            .pace
            .lock()
            .age_millis(now, inserted_bytes, class.tail_age_bytes);
        let stats = [
            n("number", class.items()),
            n("age", age / 1000),
            n("evicted", class.evictions),
        ];
        if class.items() > 0 {
            told = told.and_then(|()| tell(Reply::Stats(&stats)));
        }
    });
    told
}

/// `stats slabs`. What was done is not counted by class: the first class, which is always told, has all of it, so
/// that sums over the classes are right.
pub fn slabs(shared: &Shared<'_>, tell: Tell<'_>) -> Option<()> {
    let (totals, ..) = totals(shared);
    let (mut told, mut active, mut bytes) = (Some(()), 0, 0);
    shared.cache.classes(|class| {
        let is_first = class.class == 0;
        if class.pages == 0 && !is_first {
            return;
        }
        let n = |name, value| {
            let lead = Lead::Number(class.class as u64 + 1);
            Stat::number(name, value).behind(lead)
        };
        let all = |name, value| n(name, if is_first { value } else { 0 });
        // Pages are looked at one after the other, so that the figures may be a moment apart.
        let used = class.chunks_used.min(class.chunks);
        let stats = [
            n("chunk_size", class.chunk_bytes),
            n("chunks_per_page", class.chunks_per_page),
            n("total_pages", class.pages),
            n("total_chunks", class.chunks),
            n("used_chunks", used),
            n("free_chunks", class.chunks - used),
            n("free_chunks_end", 0),
            all("get_hits", totals.hits),
            all("cmd_set", totals.puts),
            all("delete_hits", totals.delete_hits),
            all("incr_hits", totals.incr_hits),
            all("decr_hits", totals.decr_hits),
            all("cas_hits", totals.cas_hits),
            all("cas_badval", totals.cas_badval),
            all("touch_hits", totals.touch_hits),
        ];
        active += u64::from(class.pages > 0);
        bytes += class.chunks * class.chunk_bytes;
        told = told.and_then(|()| tell(Reply::Stats(&stats)));
    });
    told?;
    tell(Reply::Stats(&[
        Stat::number("active_slabs", active),
        Stat::number("total_malloced", bytes),
    ]))
}

/// `stats sizes`: it would cost every item. Of what was stored `stats stored` tells.
pub const SIZES: [Stat<'static>; 1] = [Stat::text("sizes_status", "disabled")];

/// `stats conns`: where connections come in. Those that are there are counted, not listed: a
/// list of ten thousand would be a long reply to a short question.
pub fn conns(shared: &Shared<'_>, tell: Tell<'_>) -> Option<()> {
    for (no, place) in shared.listen.places.iter().enumerate() {
        let lead = Lead::Number(no as u64);
        tell(Reply::Stats(&[
            Stat::text("addr", place).behind(lead),
            Stat::text("state", "conn_listening").behind(lead),
            Stat::number("secs_since_last_cmd", 0).behind(lead),
        ]))?;
    }
    Some(())
}
