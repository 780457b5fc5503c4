//! Where a server is in its life.

use std::sync::atomic::{
    AtomicBool, AtomicU8,
    Ordering::{AcqRel, Acquire, Release},
};

use super::manager::Manager;

/// What clients may expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Not serving yet.
    Starting,
    /// Serving.
    Ready,
    /// Serving still, but not for long.
    Leaving,
}

/// The stage, and whether the server drains: written by the thread that starts and stops it.
#[derive(Debug, Default)]
pub struct Life {
    /// Hears of each change. Immutable while threads run.
    pub manager: Manager,
    stage: AtomicU8,
    draining: AtomicBool,
}

impl Life {
    /// Where the server is in its life.
    pub fn stage(&self) -> Stage {
        // Acquire: pairs with `set_stage`.
        match self.stage.load(Acquire) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Leaving,
        }
    }

    /// It goes on to `stage`.
    pub fn set_stage(&self, stage: Stage) {
        // Release: pairs with `stage`.
        if self.stage.swap(stage as u8, AcqRel) != stage as u8 {
            self.manager.tell(stage);
        }
    }

    /// Whether connections are being drained.
    pub fn is_draining(&self) -> bool {
        // Acquire: pairs with `drain`.
        self.draining.load(Acquire)
    }

    /// From now on they are.
    pub fn drain(&self) {
        self.draining.store(true, Release);
    }
}
