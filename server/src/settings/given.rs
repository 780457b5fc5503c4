//! Which settings were given, where, and in which words.

use super::asked::Invocation;
use super::flags::{command, settings};
use crate::settings::config::Invalid;
use crate::settings::file::Entry;
use crate::settings::size::size_text;
use clap::ArgMatches;
use clap::parser::ValueSource;
use std::path::{Path, PathBuf};

/// A setting as it was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// `--memory`.
    pub(super) flag: String,
    /// `FLAGSTONE_MEMORY`.
    pub(super) variable: String,
    pub(super) origin: Origin,
    /// As text; empty if it was not given and has no fixed default.
    pub(super) values: Vec<String>,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Flag,
    Environment,
    /// With the line.
    File(PathBuf, usize),
    Default,
}

/// Every setting as it was given.
pub(super) fn given(matches: &ArgMatches, entries: &[Entry], file: Option<&Path>) -> Vec<Given> {
    let command = command();
    let one = |(argument, name, variable): (&clap::Arg, &str, &str)| {
        let id = argument.get_id().as_str();
        let (source, values) = source(matches, id);
        let in_file = entries.iter().find(|entry| entry.key == name);
        Given {
            flag: format!("--{name}"),
            variable: variable.to_owned(),
            origin: match (source, file) {
                (Some(ValueSource::CommandLine), _) => Origin::Flag,
                (Some(ValueSource::EnvVariable), _) => Origin::Environment,
                (_, Some(path)) => match in_file {
                    Some(entry) => Origin::File(path.to_owned(), entry.line),
                    None => Origin::Default,
                },
                _ => Origin::Default,
            },
            values,
        }
    };
    settings(&command).map(one).collect()
}

/// Where a value comes from, and what it is. A global flag may stand behind the subcommand.
pub(super) fn source(matches: &ArgMatches, id: &str) -> (Option<ValueSource>, Vec<String>) {
    let mut level = Some(matches);
    let mut best = (None, Vec::new());
    while let Some(matches) = level {
        let source = matches.value_source(id);
        if source > best.0 {
            let values = matches.get_raw(id).into_iter().flatten();
            let values = values.map(|value| value.to_string_lossy().into_owned());
            best = (source, values.collect());
        }
        level = matches.subcommand().map(|(_, inner)| inner);
    }
    best
}

/// Names the variable or the file that a refused value came from, if it did.
pub(super) fn blame(given: &[Given], invalid: Invalid) -> Invalid {
    let found = given.iter().find(|given| given.flag == invalid.setting());
    match found.map(|given| (&given.origin, given)) {
        Some((Origin::Environment, given)) => invalid.given_by(&given.variable),
        Some((Origin::File(path, line), _)) => {
            invalid.given_by(&format!("{} line {line}", path.display()))
        }
        _ => invalid,
    }
}

/// Variables that look like settings and are none: a misspelt one must not be a default in
/// disguise. Kubernetes makes others of the name of a service, which are nobody's mistake.
pub(super) fn unknown_variables() -> Vec<(String, Option<String>)> {
    let command = command();
    let known: Vec<&str> = settings(&command).map(|(.., variable)| variable).collect();
    let is_ours = |name: &String| {
        let rest = name.strip_prefix("FLAGSTONE_");
        rest.is_some_and(|rest| !rest.starts_with("PORT") && !rest.starts_with("SERVICE_"))
            && !known.contains(&name.as_str())
    };
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut names: Vec<String> = names.filter(is_ours).collect();
    names.sort();
    let nearest = |name: &String| {
        let distance = |known: &&&str| strsim::damerau_levenshtein(name, known);
        let nearest = known.iter().min_by_key(distance)?;
        (distance(&nearest) <= 4).then(|| (*nearest).to_owned())
    };
    let with_nearest = |name: String| {
        let nearest = nearest(&name);
        (name, nearest)
    };
    names.into_iter().map(with_nearest).collect()
}

impl Invocation {
    /// Tells what is no mistake for certain, but looks like one.
    pub fn warn(&self, mut tell: impl FnMut(&str)) {
        for (name, nearest) in unknown_variables() {
            let meant = nearest.map_or(String::new(), |name| format!(" (is {name} meant?)"));
            tell(&format!(
                "the variable {name} is no setting and changes nothing{meant}"
            ));
        }
    }

    /// Names the variable or the file that a refused value came from, if it did.
    #[must_use]
    pub fn blame(&self, invalid: Invalid) -> Invalid {
        blame(&self.given, invalid)
    }

    /// The settings as a file of settings, each with where it comes from.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::new();
        for given in &self.given {
            let key = given.flag.trim_start_matches('-');
            if key == "config" || key == "cgroup-root" {
                continue;
            }
            let from = match &given.origin {
                Origin::Flag => given.flag.clone(),
                Origin::Environment => given.variable.clone(),
                Origin::File(path, _) => path.display().to_string(),
                Origin::Default => "default".to_owned(),
            };
            let computed = match key {
                "workers" => self.config.workers.to_string(),
                "max-connections" => self.config.connections_max.to_string(),
                "tls-max-connections" => self.config.tls_connections_max.to_string(),
                _ => String::new(),
            };
            text += &match &given.values[..] {
                [] if computed.is_empty() => format!("# {key} is not set\n"),
                [] => format!("# {key} = {computed}  # follows from the rest\n"),
                // `auto` says little: what it means here is what one wants to know.
                [value] if key == "memory" && value == "auto" => format!(
                    "{key} = \"auto\"  # {from}; means {} here\n",
                    size_text(self.config.memory_bytes)
                ),
                [value] => format!("{key} = {}  # {from}\n", toml_text(value)),
                values => {
                    let values: Vec<String> = values.iter().map(|value| toml_text(value)).collect();
                    format!("{key} = [{}]  # {from}\n", values.join(", "))
                }
            };
        }
        text
    }
}

/// Between quotes, as TOML wants it.
pub(super) fn toml_text(text: &str) -> String {
    let mut quoted = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char.is_control() => quoted += &format!("\\u{:04X}", u32::from(char)),
            char => quoted.push(char),
        }
    }
    quoted + "\""
}
