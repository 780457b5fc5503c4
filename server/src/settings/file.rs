//! A file of settings → the texts that flags would have.
//!
//! TOML, one key for each flag, named as the flag is without its dashes. It is the lowest
//! layer: a variable of the environment beats it, a flag beats both.
//!
//! ```toml
//! listen = ["0.0.0.0:7171", "memcached:0.0.0.0:11211"]
//! memory = "48MiB"
//! max-connections = 2000
//! prefault = true
//! ```
//!
//! What is in it becomes text again and goes the way of a flag's value, so that there is one
//! set of rules and one sentence for what breaks them. A key that is no setting is refused: a
//! misspelt one must not be a default in disguise.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::settings::config::Invalid;

/// A larger one is no file of settings.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A setting of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The flag's name, without dashes.
    pub key: String,
    /// Where it stands, from 1.
    pub line: usize,
    /// Its values; several from an array.
    pub values: Vec<String>,
}

/// Reads the file. `is_setting` knows the keys.
pub fn read(path: &Path, is_setting: impl Fn(&str) -> bool) -> Result<Vec<Entry>, Invalid> {
    let refuse = |why: String| Invalid::new("--config", path.display(), why);
    let cannot = |error: std::io::Error| refuse(format!("cannot be read: {error}"));
    let len = std::fs::metadata(path).map_err(cannot)?.len();
    if len > FILE_BYTES_MAX {
        return Err(refuse(format!(
            "has {len} bytes: that is no file of settings"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    parse(&text, is_setting).map_err(refuse)
}

fn parse(text: &str, is_setting: impl Fn(&str) -> bool) -> Result<Vec<Entry>, String> {
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        format!("is no TOML: line {line}: {}", error.message())
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let line = line_of(key.span().start);
        let key = key.get_ref();
        if !is_setting(key) {
            return Err(format!(
                "has {key:?} in line {line}, which is no setting: those of flagstone --help are, \
                 without their dashes in front"
            ));
        }
        let refuse = || {
            format!(
                "gives {key} in line {line} neither text, number, yes or no, nor a list of them"
            )
        };
        let values = match value.get_ref() {
            DeValue::Array(values) => values.iter().map(|value| scalar(value.get_ref())).collect(),
            value => scalar(value).map(|text| vec![text]),
        };
        entries.push(Entry {
            key: key.to_string(),
            line,
            values: values.ok_or_else(refuse)?,
        });
    }
    Ok(entries)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, String> {
        let settings = ["memory", "listen", "prefault"];
        let entries = parse(text, |key| settings.contains(&key))?;
        let lines = entries
            .iter()
            .map(|entry| format!("{}={}", entry.key, entry.values.join("|")));
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        Ok(lines.join(" "))
    }

    #[test]
    fn files() {
        let table: &[(&str, Result<&str, &str>)] = &[
            ("", Ok("")),
            ("# nothing\n", Ok("")),
            ("memory = \"64m\"", Ok("memory=64m")),
            (
                "memory = 67108864\nprefault = true",
                Ok("memory=67108864 prefault=true"),
            ),
            ("listen = [\"a:1\", \"b:2\"]", Ok("listen=a:1|b:2")),
            ("memory = 64m", Err("is no TOML: line 1: ")),
            (
                "\n\nmemory = \"1\"\nmemory = \"2\"",
                Err("is no TOML: line 4: "),
            ),
            (
                "\nmemroy = 1",
                Err("has \"memroy\" in line 2, which is no setting: "),
            ),
            (
                "[memory]\nsize = 1",
                Err("gives memory in line 1 neither text, "),
            ),
            ("memory = 1.5", Err("gives memory in line 1 neither text, ")),
            (
                "memory = 2020-01-01",
                Err("gives memory in line 1 neither text, "),
            ),
        ];
        for (text, expected) in table {
            match (check(text), expected) {
                (Ok(told), Ok(expected)) => assert_eq!(told, *expected),
                (Err(told), Err(begin)) => assert!(told.starts_with(begin), "{text:?}: {told}"),
                (told, _) => panic!("{text:?}: {told:?}"),
            }
        }
    }
}
