//! What a folder must not name. Directions between folders are kept this way: a folder that
//! cannot name another cannot depend on it.

use std::path::PathBuf;

use crate::Finding;
use crate::debts::Debts;
use crate::source::{Crate, Kind, Target, What};

/// Where the rows are, from the root of the repository.
const TABLE: &str = "xtask/src/repository.rs";

/// A folder, what has no place in it, and why.
pub struct Absence {
    /// What the rows of `debts.txt` call it.
    pub rule: &'static str,
    /// From the root of the repository: the folder with all beneath it.
    pub folder: &'static str,
    /// Files and folders inside that may name it all the same.
    pub except: &'static [&'static str],
    pub never: &'static [Never],
    /// Whether its unit tests may not name it either.
    pub in_tests: bool,
    pub reason: &'static str,
}

/// What may not be there.
pub enum Never {
    /// Something of this module, crate or type, however it is imported.
    Path(&'static str),
    /// This word, wherever it stands.
    Word(&'static str),
    /// A field or method of this name.
    Member(&'static str),
    /// A call of this macro.
    Macro(&'static str),
    /// A variant, or a function, of the type of this name.
    Of(&'static str),
    /// A text, or bytes, with a line's end or a part of one in it, as the wording of a protocol has.
    Lines,
}

/// Finds what stands where it must not. The debt of a file is how often it does.
pub fn check(source: &Crate, rows: &[Absence], debts: &Debts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for row in rows {
        let is_inside = |file: usize| {
            let path = &source.files[file].path;
            path.starts_with(row.folder) && !row.except.iter().any(|it| path.starts_with(it))
        };
        findings.extend(names_nothing(source, row));
        for (no, file) in source.files.iter().enumerate() {
            if !is_inside(no) {
                continue;
            }
            let mut found = breaches(source, row, no);
            found.sort();
            found.dedup();
            let path = file.path.display().to_string();
            if found.is_empty() || debts.admit(row.rule, &path, found.len()) {
                continue;
            }
            let allowed = debts.allowed(row.rule, &path);
            findings.extend(found.into_iter().map(|(line, what)| {
                let Absence { folder, reason, .. } = row;
                Finding {
                    file: file.path.clone(),
                    line,
                    rule: row.rule,
                    message: format!("{what} has no place in {folder}: {reason}{allowed}"),
                }
            }));
        }
    }
    findings
}

/// A rule about a folder or a module that is not there would be kept for ever, and say nothing.
fn names_nothing(source: &Crate, row: &Absence) -> Vec<Finding> {
    let mut gone = Vec::new();
    for place in row.except.iter().chain([&row.folder]) {
        if !source.files.iter().any(|file| file.path.starts_with(place)) {
            gone.push(format!("nothing is under {place}"));
        }
    }
    for never in row.never {
        let &Never::Path(path) = never else { continue };
        let parts = split(path);
        let is_ours = parts[0] == "crate";
        if is_ours && !matches!(source.resolve(0, &parts), Target::Module(_)) {
            gone.push(format!("{path} is no module"));
        }
    }
    let finding = |message| Finding {
        file: PathBuf::from(TABLE),
        line: 1,
        rule: row.rule,
        message,
    };
    gone.into_iter().map(finding).collect()
}

fn split(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

/// The lines of a file, and what stands there that must not.
fn breaches(source: &Crate, row: &Absence, file: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let modules = source.modules.iter().enumerate();
    for (id, module) in modules.filter(|(_, module)| module.file == file) {
        for mention in &module.mentions {
            if mention.is_test && !row.in_tests {
                continue;
            }
            // The line that imports it is found already.
            if mention.kind == Kind::Code
                && let [name] = &mention.path[..]
                && module.imports(name)
            {
                continue;
            }
            let ways = [
                source.as_written(id, &mention.path),
                source.absolute(&source.resolve(id, &mention.path)),
            ];
            for never in row.never {
                match never {
                    Never::Path(path) if ways.iter().any(|way| way.starts_with(&split(path))) => {
                        found.push((mention.line, (*path).to_owned()));
                    }
                    Never::Of(name) => {
                        let before_last = mention.path.iter().rev().nth(1);
                        if before_last.is_some_and(|part| part == name) {
                            found.push((mention.line, mention.path.join("::")));
                        }
                    }
                    _ => {}
                }
            }
        }
        for word in &module.words {
            if word.is_test && !row.in_tests {
                continue;
            }
            let shown = row
                .never
                .iter()
                .find_map(|never| match (never, &word.what) {
                    (Never::Word(name), What::Identifier(it)) if it == name => Some(it.clone()),
                    (Never::Member(name), What::Member(it)) if it == name => Some(format!(".{it}")),
                    (Never::Macro(name), What::Macro(it)) if it == name => Some(format!("{it}!")),
                    (Never::Lines, What::Text(it)) if it.contains(['\r', '\n']) => {
                        Some(format!("{it:?}"))
                    }
                    (Never::Lines, What::Bytes(it))
                        if it.iter().any(|byte| b"\r\n".contains(byte)) =>
                    {
                        Some(format!("b\"{}\"", it.escape_ascii()))
                    }
                    _ => None,
                });
            found.extend(shown.map(|shown| (word.line, shown)));
        }
    }
    found
}
