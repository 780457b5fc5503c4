//! Functions that do not fit on two screens, and files that do not say why they are long.

use crate::Finding;
use crate::debts::Debts;
use crate::source::Crate;

/// From a function's signature to its closing brace.
pub const FUNCTION_LINES_MOST: usize = 100;
pub const FILE_LINES_MOST: usize = 500;

/// How a long file begins the line of its head that gives the reason.
pub const REASON: &str = "//! Long because ";

const FUNCTION: &str = "function-length";
const FILE: &str = "file-length";

/// Finds functions that are too long. The debt of a function is known by the crate and its name,
/// so that it may move from one file to another.
pub fn functions(source: &Crate, place: &str, debts: &Debts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &source.files {
        for function in &file.functions {
            let name = format!("{place} {}", function.name);
            let lines = function.lines;
            if lines <= FUNCTION_LINES_MOST || debts.admit_length(FUNCTION, &name, lines) {
                continue;
            }
            findings.push(Finding {
                file: file.path.clone(),
                line: function.line,
                rule: FUNCTION,
                message: format!(
                    "{} has {lines} lines, more than {FUNCTION_LINES_MOST}: it has parts that \
                     deserve a name{}",
                    function.name,
                    debts.allowed(FUNCTION, &name)
                ),
            });
        }
    }
    findings
}

/// Finds files that are too long and do not say why.
pub fn files(source: &Crate, debts: &Debts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &source.files {
        let lines = file.text.lines().count();
        let name = file.path.display().to_string();
        let mut head = file
            .text
            .lines()
            .take_while(|line| line.starts_with("//!") || line.trim().is_empty());
        if lines <= FILE_LINES_MOST
            || head.any(|line| line.starts_with(REASON))
            || debts.admit_length(FILE, &name, lines)
        {
            continue;
        }
        findings.push(Finding {
            file: file.path.clone(),
            line: 1,
            rule: FILE,
            message: format!(
                "{lines} lines, more than {FILE_LINES_MOST}: look for a second job inside, or \
                 say in its head `{REASON}…`{}",
                debts.allowed(FILE, &name)
            ),
        });
    }
    findings
}
