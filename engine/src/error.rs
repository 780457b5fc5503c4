//! What can go wrong, as small values that a caller can choose by.

use std::fmt;

/// Why a key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Keys have at most as many bytes as the plan's `key_bytes_max`.
    TooLong,
}

/// Why a store changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The value is longer than the plan's `item_bytes_max`.
    TooLarge,
    /// The value fits the plan, but every page that could be freed for it is held by
    /// reservations and pins. It passes as soon as they are given back.
    NoSpace,
    /// More bytes were written to a reservation than it was made for, or fewer.
    LengthMismatch,
}

/// Why a cache could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The arena's memory could not be had.
    Memory(std::io::Error),
    /// The arena's file could not be made, sized or mapped.
    File(std::path::PathBuf, std::io::Error),
    /// The arena's file is another cache's, of this process or another.
    FileInUse(std::path::PathBuf),
    /// There is something in the file, and it is no arena. It was not touched.
    NotAnArena(std::path::PathBuf),
}

/// Why a budget could not be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// The budget cannot hold an item of the asked size beside the cache's own structures.
    BudgetTooSmall {
        /// What was asked.
        budget_bytes: usize,
        /// The smallest that works with the other settings.
        budget_bytes_min: usize,
    },
    /// The budget is more than one arena can address.
    BudgetTooLarge {
        /// What was asked.
        budget_bytes: usize,
        /// The largest that works.
        budget_bytes_max: usize,
    },
    /// The largest value is out of range.
    ItemBytesMax {
        /// What was asked.
        item_bytes_max: usize,
        /// The smallest that can be set.
        least: usize,
        /// The largest that can be set.
        most: usize,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::TooLong => "the key is longer than the cache's `key_bytes_max`",
        })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreError::TooLarge => "the value is larger than the cache accepts",
            StoreError::NoSpace => "the memory that could be freed is held by transfers under way",
            StoreError::LengthMismatch => "the value's length is not the one reserved",
        })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Memory(error) => write!(f, "cannot reserve the arena: {error}"),
            OpenError::File(path, error) => {
                write!(f, "cannot use the arena file {}: {error}", path.display())
            }
            OpenError::FileInUse(path) => write!(
                f,
                "cannot use the arena file {}: another cache has it open",
                path.display()
            ),
            OpenError::NotAnArena(path) => write!(
                f,
                "cannot use the arena file {}: it holds something that is not an arena, and stays as it is",
                path.display()
            ),
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            PlanError::BudgetTooSmall {
                budget_bytes,
                budget_bytes_min,
            } => write!(
                f,
                "a budget of {budget_bytes} bytes is too small: the least that works here is {budget_bytes_min}"
            ),
            PlanError::BudgetTooLarge {
                budget_bytes,
                budget_bytes_max,
            } => write!(
                f,
                "a budget of {budget_bytes} bytes is more than one arena can address: at most {budget_bytes_max}"
            ),
            PlanError::ItemBytesMax {
                item_bytes_max,
                least,
                most,
            } => write!(
                f,
                "a largest item of {item_bytes_max} bytes is out of range: {least} to {most}"
            ),
        }
    }
}

impl std::error::Error for KeyError {}
impl std::error::Error for StoreError {}
impl std::error::Error for PlanError {}
impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Memory(error) | OpenError::File(_, error) => Some(error),
            OpenError::FileInUse(_) | OpenError::NotAnArena(_) => None,
        }
    }
}
