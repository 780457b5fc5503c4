//! Crates that a `Cargo.toml` lists and no source names. Each costs time to build, to audit and to
//! update, and looks as if it were needed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::Finding;
use crate::source::{Crate, programs};

const RULE: &str = "unused-dependency";

/// A dependency that is needed although nothing names it.
pub struct Unnamed {
    /// The crate's directory.
    pub member: &'static str,
    pub dependency: &'static str,
    pub reason: &'static str,
}

/// The directories of the workspace's members, as its manifest lists them.
pub fn members(repository: &Path) -> Result<Vec<String>, String> {
    let text = read(repository, Path::new("Cargo.toml"))?;
    let manifest = parse(&text, "Cargo.toml")?;
    let members = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get_ref().get("members"))
        .and_then(|members| members.get_ref().as_array())
        .ok_or("Cargo.toml: no workspace.members")?;
    let names = members.iter().filter_map(|name| name.get_ref().as_str());
    Ok(names.map(str::to_owned).collect())
}

/// Finds what the manifest in `member` lists in vain: among `[dependencies]`, what neither the
/// library nor a binary names outside of their tests; among `[dev-dependencies]`, what no test,
/// example or benchmark names; among `[build-dependencies]`, what build.rs does not.
pub fn check(repository: &Path, member: &str, unnamed: &[Unnamed]) -> Result<Vec<Finding>, String> {
    let path = Path::new(member).join("Cargo.toml");
    let text = read(repository, &path)?;
    let manifest = parse(&text, &path.display().to_string())?;
    let name = manifest
        .get("package")
        .and_then(|package| package.get_ref().get("name"))
        .and_then(|name| name.get_ref().as_str())
        .ok_or_else(|| format!("{}: no package.name", path.display()))?;
    let named = Named::read(repository, member, name)?;
    let mut findings = Vec::new();
    let mut excused = Vec::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (dependency, at) in listed(&manifest, section) {
            let names = match section {
                "dependencies" => &named.in_code,
                "dev-dependencies" => &named.in_tests,
                _ => &named.in_build,
            };
            let is_named = names.contains_key(&dependency.replace('-', "_"));
            let excuse = unnamed
                .iter()
                .find(|it| it.member == member && it.dependency == dependency);
            let line = text[..at].lines().count().max(1);
            let mut find = |message: String| {
                findings.push(Finding {
                    file: path.clone(),
                    line,
                    rule: RULE,
                    message,
                });
            };
            match (is_named, excuse) {
                (false, None) => find(format!(
                    "{dependency} stands under {section}, and no source that could use it does"
                )),
                (true, Some(_)) => find(format!(
                    "{dependency} is named after all: the table of exceptions must lose it"
                )),
                _ => {}
            }
            excused.extend(excuse.map(|it| it.dependency));
        }
    }
    for it in unnamed.iter().filter(|it| it.member == member) {
        if !excused.contains(&it.dependency) {
            findings.push(Finding {
                file: path.clone(),
                line: 1,
                rule: RULE,
                message: format!(
                    "{} is not listed any more: the table of exceptions must lose it",
                    it.dependency
                ),
            });
        }
    }
    Ok(findings)
}

fn read(repository: &Path, path: &Path) -> Result<String, String> {
    fs::read_to_string(repository.join(path)).map_err(|why| format!("{}: {why}", path.display()))
}

fn parse<'t>(text: &'t str, path: &str) -> Result<DeTable<'t>, String> {
    let table = DeTable::parse(text).map_err(|why| format!("{path}: {why}"))?;
    Ok(table.into_inner())
}

/// What a section lists, for every target, and where in the text.
fn listed(manifest: &DeTable<'_>, section: &str) -> Vec<(String, usize)> {
    let mut tables = vec![manifest];
    let targets = manifest
        .get("target")
        .and_then(|targets| targets.get_ref().as_table());
    for target in targets.into_iter().flat_map(|table| table.values()) {
        if let DeValue::Table(table) = target.get_ref() {
            tables.push(table);
        }
    }
    let sections = tables
        .into_iter()
        .filter_map(|table| table.get(section)?.get_ref().as_table());
    sections
        .flat_map(|table| table.iter())
        .map(|(name, _)| (name.get_ref().to_string(), name.span().end))
        .collect()
}

/// The first parts of all paths, by where they are written.
struct Named {
    in_code: BTreeMap<String, ()>,
    in_tests: BTreeMap<String, ()>,
    in_build: BTreeMap<String, ()>,
}

impl Named {
    fn read(repository: &Path, member: &str, name: &str) -> Result<Self, String> {
        let mut named = Named {
            in_code: BTreeMap::new(),
            in_tests: BTreeMap::new(),
            in_build: BTreeMap::new(),
        };
        let roots = Crate::roots(repository, member);
        for (name, is_test) in names(&Crate::read(repository, name, &roots)?) {
            if !is_test {
                named.in_code.insert(name.clone(), ());
            }
            // A unit test may use both kinds.
            named.in_tests.insert(name, ());
        }
        let in_code = named.in_code.clone();
        named
            .in_tests
            .retain(|name, ()| !in_code.contains_key(name));
        for directory in ["tests", "examples", "benches"] {
            let directory = Path::new(member).join(directory);
            for program in programs(repository, &directory) {
                for (name, _) in names(&Crate::read(repository, "", &[program])?) {
                    named.in_tests.insert(name, ());
                }
            }
        }
        let build = PathBuf::from(member).join("build.rs");
        if repository.join(&build).is_file() {
            for (name, _) in names(&Crate::read(repository, "", &[build])?) {
                named.in_build.insert(name, ());
            }
        }
        Ok(named)
    }
}

/// What begins a path, and whether only tests see it.
fn names(source: &Crate) -> impl Iterator<Item = (String, bool)> {
    let mentions = source.modules.iter().flat_map(|module| &module.mentions);
    mentions.filter_map(|mention| Some((mention.path.first()?.clone(), mention.is_test)))
}
