//! The plan as a table, and why there is none.

use super::*;
use crate::settings::config::{Config, Invalid};
use crate::settings::size::size_text;
use flagstone_engine::PlanError;
use std::fmt;

/// An aligned table with a total, and what it will hold.
impl fmt::Display for ServerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name_width = self
            .lines
            .iter()
            .map(|line| line.name.chars().count())
            .max();
        let name_width = name_width.unwrap_or(0).max("total (--memory)".len());
        let mut row = |name: &str, bytes: usize, note: &str| {
            let line = format!("{name:name_width$}  {bytes:>14}  {note}");
            writeln!(f, "{}", line.trim_end())
        };
        for line in &self.lines {
            row(&line.name, line.bytes, &line.note)?;
        }
        row(
            "total (--memory)",
            self.memory_bytes,
            &size_text(self.memory_bytes),
        )?;
        if self.memory_bytes_max > self.memory_bytes {
            writeln!(
                f,
                "can grow to {} (--memory-max) when the limit is raised",
                size_text(self.memory_bytes_max)
            )?;
        }
        let most = self.connections_max;
        if self.connections_share_pages {
            writeln!(
                f,
                "each connection takes {} bytes from the pages while it is there ({CONNECTION_USER_BYTES} + {CONNECTION_KERNEL_BYTES} kernel), the first {} also {SMALL_SOCKET_BYTES} for what lies in its socket; up to {most} take {}",
                CONNECTION_USER_BYTES + CONNECTION_KERNEL_BYTES,
                self.small_sockets_max.min(most),
                self.connection_bytes(most, most)
            )?;
            writeln!(
                f,
                "leased buffers for all workers take {} more when half of the first are in use",
                self.leases_lent_bytes()
            )?;
            writeln!(
                f,
                "messages between Redis' clients take {} more once anybody subscribes",
                self.pubsub_lent_bytes()
            )?;
            writeln!(
                f,
                "up to {} connections that move much take {} more each",
                self.large_sockets_max,
                size_text(self.large_socket_bytes)
            )?;
        }
        for item_bytes in [50, 300, 2000] {
            writeln!(
                f,
                "items of {item_bytes} bytes (key and value): about {}, with {most} connections {}",
                self.items_expected(item_bytes, 0),
                self.items_expected(item_bytes, most)
            )?;
        }
        Ok(())
    }
}

/// Puts what is missing in terms of the settings.
pub(super) fn refusal(config: &Config, short: &Short) -> Invalid {
    let (value, beginning) = if config.memory_is_limit {
        (
            "auto".to_owned(),
            format!(
                "means {}, the container's limit, which is",
                size_text(config.memory_bytes)
            ),
        )
    } else {
        (size_text(config.memory_bytes), "is".to_owned())
    };
    let memory = |why: String| Invalid::new("--memory", &value, format!("{beginning} {why}"));
    match *short {
        Short::Connections | Short::Engine(PlanError::BudgetTooSmall { .. }) => memory(format!(
            "too small for {} connections, {} workers and values of {}: {} or more works",
            config.connections_max,
            config.workers,
            size_text(config.item_bytes_max),
            size_text(memory_bytes_min(config)),
        )),
        Short::Engine(PlanError::BudgetTooLarge {
            budget_bytes_max, ..
        }) => memory(format!(
            "more than one arena can address: up to {} works",
            size_text(budget_bytes_max)
        )),
        Short::Engine(PlanError::ItemBytesMax { least, most, .. }) => Invalid::new(
            "--max-item",
            size_text(config.item_bytes_max),
            format!(
                "is out of range: {} to {} work",
                size_text(least),
                size_text(most)
            ),
        ),
        Short::Engine(error) => memory(format!("not one that can be planned: {error}")),
    }
}

/// The least memory, in whole MiB, that works with the other settings.
pub(super) fn memory_bytes_min(config: &Config) -> usize {
    let works = |mib: usize| {
        // What it can grow to later does not help it now.
        let config = Config {
            memory_bytes_max: None,
            ..config.clone()
        };
        ServerPlan::divide(&config, mib << 20, 0).is_ok()
    };
    // A TiB is more than any setting needs.
    let (mut low, mut high) = (0usize, 1usize << 20);
    while low + 1 < high {
        let middle = low.midpoint(high);
        // Too large for an arena is not too small.
        if works(middle) || middle << 20 > 32 << 30 {
            high = middle;
        } else {
            low = middle;
        }
    }
    high << 20
}
