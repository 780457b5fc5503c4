//! How a family of samples is written.

use std::fmt::{self, Write};

use crate::admin::quote::quoted;

pub(super) const COUNTER: &str = "counter";
pub(super) const GAUGE: &str = "gauge";
pub(super) const HISTOGRAM: &str = "histogram";

pub(super) fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// A family of one sample.
pub(super) fn one(
    out: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    value: impl fmt::Display,
) -> fmt::Result {
    head(out, name, kind, help)?;
    writeln!(out, "{name} {value}")
}

/// A family with one label.
pub(super) fn many<'n>(
    out: &mut String,
    (name, kind, help): (&str, &str, &str),
    label: &str,
    samples: impl IntoIterator<Item = (&'n str, u64)>,
) -> fmt::Result {
    head(out, name, kind, help)?;
    for (of, value) in samples {
        write!(out, "{name}{{{label}=")?;
        quoted(out, of)?;
        writeln!(out, "}} {value}")?;
    }
    Ok(())
}

/// Thousandths as a decimal fraction.
pub(super) struct Thousandths(pub(super) u64);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}
