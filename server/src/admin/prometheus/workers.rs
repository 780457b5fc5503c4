//! How each worker stands: its CPU time, its connections, its buffers, and who waits for them.
//!
//! A family for each figure, a sample a worker: there are as many as CPUs. Each worker writes
//! them down about once a second.

use std::fmt::{self, Write};

use super::format::{COUNTER, GAUGE, Thousandths, head};
use crate::observe::counters::{LEASE_KINDS, WorkerFigures};
use crate::observe::snapshot::Snapshot;

type Figure = fn(&WorkerFigures) -> u64;

pub fn workers(of: &Snapshot, out: &mut String) -> fmt::Result {
    let in_thousandths: [(&str, &str, &str, Figure); 2] = [
        (
            "flagstone_worker_cpu_seconds_total",
            COUNTER,
            "CPU time of each worker.",
            |worker| worker.cpu_micros / 1000,
        ),
        (
            "flagstone_worker_longest_wait_seconds",
            GAUGE,
            "For how long the first in each worker's queue has waited for a buffer or a permit.",
            |worker| worker.longest_wait_millis,
        ),
    ];
    for (name, kind, help, figure) in in_thousandths {
        head(out, name, kind, help)?;
        for (no, worker) in of.worker_figures.iter().enumerate() {
            writeln!(
                out,
                "{name}{{worker=\"{no}\"}} {}",
                Thousandths(figure(worker))
            )?;
        }
    }
    let whole: [(&str, &str, Figure); 2] = [
        (
            "flagstone_worker_connections",
            "Connections of each worker.",
            |worker| worker.connections,
        ),
        (
            "flagstone_worker_waiting",
            "Connections of each worker that wait for a buffer or a permit.",
            |worker| worker.waiting,
        ),
    ];
    for (name, help, figure) in whole {
        head(out, name, GAUGE, help)?;
        for (no, worker) in of.worker_figures.iter().enumerate() {
            writeln!(out, "{name}{{worker=\"{no}\"}} {}", figure(worker))?;
        }
    }
    Ok(())
}

pub fn leases(of: &Snapshot, out: &mut String) -> fmt::Result {
    let name = "flagstone_leases_in_use";
    head(
        out,
        name,
        GAUGE,
        "Buffers lent to connections beyond their turn, by kind: the beginning of a request, \
         input that is not executed yet, replies that are not taken yet.",
    )?;
    for (kind, label) in LEASE_KINDS.iter().enumerate() {
        let in_use: u64 = of
            .worker_figures
            .iter()
            .map(|worker| worker.leases_in_use[kind])
            .sum();
        writeln!(out, "{name}{{kind=\"{label}\"}} {in_use}")?;
    }
    Ok(())
}
