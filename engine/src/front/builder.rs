//! From a number of bytes to a cache.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Flights, Front, SharedCache, front_bytes};
use crate::arena::Backing;
use crate::cache::Cache;
use crate::error::{OpenError, PlanError};
use crate::lru::segments::Eviction;
use crate::options::Options;
use crate::plan::Plan;
use crate::tick::Tick;

/// What a [`SharedCache`] is to be. See [`Cache::builder`].
///
/// ```
/// # use std::time::Duration;
/// use flagstone_engine::{Cache, Eviction};
///
/// let cache = Cache::builder()
///     .memory(64 << 20)
///     .value_bytes_max(4 << 20)
///     .time_to_live(Duration::from_secs(3600))
///     .eviction(Eviction::Lru)
///     .build()?;
/// assert_eq!(cache.memory(), 64 << 20);
/// # Ok::<(), flagstone_engine::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    options: Options,
    time_to_live: Option<Duration>,
}

/// Why there is no cache.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// What was asked for cannot be: the error says what can.
    Plan(PlanError),
    /// The memory or the file cannot be had.
    Open(OpenError),
}

impl Cache {
    /// A cache to share, with a clock of its own: 256 MiB, unless something else is said.
    ///
    /// [`Cache::open`] makes the bare cache, to which the time is an argument.
    pub fn builder() -> Builder {
        Builder {
            options: Options::default(),
            time_to_live: None,
        }
    }
}

impl Builder {
    /// All the memory that the cache may use, in bytes: items, index and bookkeeping, reserved at once.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.options.budget_bytes = bytes;
        self
    }

    /// The longest value, in bytes; 1 MiB unless it is said.
    pub fn value_bytes_max(mut self, bytes: usize) -> Self {
        self.options.item_bytes_max = bytes;
        self
    }

    /// How long an item lives that is stored without a time of its own; for ever unless it is said. See
    /// [`SharedCache::insert_ttl`].
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }

    /// What the memory is: an anonymous map unless it is said.
    pub fn backing(mut self, backing: Backing) -> Self {
        self.options.backing = backing;
        self
    }

    /// Touch every page of the memory at once, so that no store has to wait for one; not unless it is said.
    pub fn prefault(mut self, prefault: bool) -> Self {
        self.options.prefault = prefault;
        self
    }

    /// Ask for transparent huge pages (anonymous maps only); not unless it is said.
    pub fn huge_pages(mut self, huge_pages: bool) -> Self {
        self.options.huge_pages = huge_pages;
        self
    }

    /// Which items leave when room is needed.
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.options.eviction = eviction;
        self
    }

    /// Seeds the hash: a random number unless it is said, so that nobody can choose keys that collide.
    pub fn hash_seed(mut self, seed: u64) -> Self {
        self.options.hash_seed = seed;
        self
    }

    /// All of the engine's options at once, those included that have no call here. Calls after this change them.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Reserves the memory. The clock is the system's monotonic one: it does not jump, and may stand still while the
    /// machine sleeps.
    ///
    /// # Errors
    /// When the memory is too little or too much for what was asked, or cannot be had.
    #[cfg(feature = "clock")]
    pub fn build(self) -> Result<SharedCache, BuildError> {
        let begun = std::time::Instant::now();
        self.build_with_clock(move || {
            let millis = begun.elapsed().as_millis();
            // Not from 0, where a deadline of no time at all would be "never".
            Tick::from_secs(1).plus_millis(u64::try_from(millis).unwrap_or(u64::MAX))
        })
    }

    /// As [`Builder::build`], with a clock of the caller's: one that reads less often, or of a test. It must not
    /// go backwards.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn build_with_clock(
        mut self,
        clock: impl Fn() -> Tick + Send + Sync + 'static,
    ) -> Result<SharedCache, BuildError> {
        let asked = self.options.budget_bytes;
        self.options.budget_bytes = asked.saturating_sub(front_bytes());
        let plan =
            Plan::new(&self.options).map_err(|error| BuildError::Plan(whole(error, asked)))?;
        let core = Cache::open(plan).map_err(BuildError::Open)?;
        Ok(SharedCache {
            core: Arc::new(core),
            front: Arc::new(Front {
                clock: Box::new(clock),
                time_to_live: self.time_to_live,
                flights: Flights::default(),
            }),
        })
    }
}

/// The error in terms of what the caller said: with the front.
fn whole(error: PlanError, asked: usize) -> PlanError {
    match error {
        PlanError::BudgetTooSmall {
            budget_bytes_min, ..
        } => PlanError::BudgetTooSmall {
            budget_bytes: asked,
            budget_bytes_min: budget_bytes_min + front_bytes(),
        },
        PlanError::BudgetTooLarge {
            budget_bytes_max, ..
        } => PlanError::BudgetTooLarge {
            budget_bytes: asked,
            budget_bytes_max: budget_bytes_max + front_bytes(),
        },
        error => error,
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Plan(error) => error.fmt(f),
            BuildError::Open(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Told in full by `Display`, which is that of the cause.
            BuildError::Plan(error) => error.source(),
            BuildError::Open(error) => error.source(),
        }
    }
}
