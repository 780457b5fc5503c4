//! Text between quotes.

use std::fmt::{self, Write};

/// Text between quotes, for JSON and for labels: both escape these the same way.
pub fn quoted(out: &mut String, text: &str) -> fmt::Result {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => {
                out.push('\\');
                out.push(char);
            }
            '\n' => out.push_str("\\n"),
            char if char.is_control() => write!(out, " ")?,
            char => out.push(char),
        }
    }
    out.push('"');
    Ok(())
}
