//! What this repository promises about its own sources, checked by reading them.
//!
//! ```text
//!   source        a crate, parsed: modules, what each names, how long its functions are
//!   circles       files that import each other
//!   absences      what a folder must not name
//!   lengths       functions and files that are too long
//!   dependencies  crates that are listed and not used
//!   repository    the tables: which rules hold where, and why
//!   debts         what breaks a rule today, which may only become less
//! ```
//!
//! Each rule is a function from sources and a table to [`Finding`]s, so that its test can hand it
//! a small tree that breaks it. `cargo xtask` prints what is found and fails;
//! `cargo xtask --shrink` lowers the numbers of `debts.txt` to what is left.

#![allow(missing_docs)] // Names say most of it, and nobody else builds on this.

use std::fmt;
use std::path::PathBuf;

pub mod absences;
pub mod circles;
pub mod debts;
pub mod dependencies;
pub mod lengths;
pub mod repository;
pub mod source;

/// A place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// From the root of the repository.
    pub file: PathBuf,
    pub line: usize,
    pub rule: &'static str,
    /// What is there, and why it must not be.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding {
            file,
            line,
            rule,
            message,
        } = self;
        write!(to, "{}:{line}: {rule}: {message}", file.display())
    }
}
