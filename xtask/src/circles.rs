//! Files that import each other in a circle, so that none can be understood, tested or moved
//! without the others.
//!
//! An edge leads from the file that names something to the file that defines it. A re-export is
//! no edge by itself, and what is named through it leads to where it is defined. What only tests
//! name does not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use crate::Finding;
use crate::debts::Debts;
use crate::source::{Crate, Kind, Target};

const RULE: &str = "circle";

/// The most files that may import each other in a circle: a `mod.rs` and two of its parts.
pub const FILES_MOST: usize = 3;

/// Which file names what of which other: the first line where it does.
type Edges = BTreeMap<usize, BTreeMap<usize, usize>>;

/// Finds the circles of more than [`FILES_MOST`] files. A debt belongs to the folder that all files
/// of a circle are under, and counts them: what is a circle inside a folder must not leave it.
pub fn check(source: &Crate, debts: &Debts) -> Vec<Finding> {
    let edges = edges(source);
    let mut by_folder: BTreeMap<PathBuf, Vec<BTreeSet<usize>>> = BTreeMap::new();
    for circle in components(&edges) {
        if circle.len() > FILES_MOST {
            let folder = common_folder(source, &circle);
            by_folder.entry(folder).or_default().push(circle);
        }
    }
    let mut findings = Vec::new();
    for (folder, circles) in by_folder {
        let folder = folder.display().to_string();
        let count = circles.iter().map(BTreeSet::len).sum();
        if debts.admit(RULE, &folder, count) {
            continue;
        }
        for circle in circles {
            let mut finding = finding(source, &edges, &circle);
            finding.message += &debts.allowed(RULE, &folder);
            findings.push(finding);
        }
    }
    findings
}

fn common_folder(source: &Crate, circle: &BTreeSet<usize>) -> PathBuf {
    let mut paths = circle.iter().map(|&file| &source.files[file].path);
    let mut folder = paths.next().cloned().unwrap_or_default();
    folder.pop();
    for path in paths {
        while !path.starts_with(&folder) {
            folder.pop();
        }
    }
    folder
}

fn finding(source: &Crate, edges: &Edges, circle: &BTreeSet<usize>) -> Finding {
    let name = |file: usize| source.files[file].path.display();
    let files: Vec<String> = circle.iter().map(|&file| name(file).to_string()).collect();
    let round = shortest(edges, circle);
    let steps = round.windows(2).map(|step| {
        let line = edges[&step[0]][&step[1]];
        format!("{}:{line} names {}", name(step[0]), name(step[1]))
    });
    let steps: Vec<String> = steps.collect();
    Finding {
        file: source.files[round[0]].path.clone(),
        line: edges[&round[0]][&round[1]],
        rule: RULE,
        message: format!(
            "{} files import each other, more than {FILES_MOST}: {}. One way round: {}",
            circle.len(),
            files.join(", "),
            steps.join(", "),
        ),
    }
}

fn edges(source: &Crate) -> Edges {
    let mut edges = Edges::new();
    for (id, module) in source.modules.iter().enumerate() {
        let from = module.file;
        for mention in &module.mentions {
            if mention.is_test || matches!(mention.kind, Kind::ReExport | Kind::Glob) {
                continue;
            }
            let target = source.resolve(id, &mention.path);
            // A variable may have the name of a module.
            if mention.path.len() == 1 && matches!(target, Target::Module(_)) {
                continue;
            }
            let Some(to) = source.file_of(&target) else {
                continue;
            };
            if to != from {
                let line = edges
                    .entry(from)
                    .or_default()
                    .entry(to)
                    .or_insert(usize::MAX);
                *line = mention.line.min(*line);
            }
        }
    }
    edges
}

/// The files that each can be reached from each other: for every file, who it reaches and who
/// reaches it. A few hundred files want nothing cleverer.
fn components(edges: &Edges) -> Vec<BTreeSet<usize>> {
    let reached: BTreeMap<usize, BTreeSet<usize>> = edges
        .keys()
        .map(|&file| (file, reachable(edges, file)))
        .collect();
    let mut left: BTreeSet<usize> = edges.keys().copied().collect();
    let mut found = Vec::new();
    while let Some(file) = left.pop_first() {
        let mut circle: BTreeSet<usize> = reached[&file]
            .iter()
            .copied()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(&file)))
            .collect();
        circle.insert(file);
        left.retain(|other| !circle.contains(other));
        found.push(circle);
    }
    found
}

fn reachable(edges: &Edges, from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut left = vec![from];
    while let Some(file) = left.pop() {
        for &to in edges.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(to) {
                left.push(to);
            }
        }
    }
    reached
}

/// The shortest way from some file of the circle back to itself: the first file stands at both
/// ends.
fn shortest(edges: &Edges, circle: &BTreeSet<usize>) -> Vec<usize> {
    let ways = circle.iter().filter_map(|&start| {
        let mut came_from = BTreeMap::new();
        let mut left = VecDeque::from([start]);
        while let Some(file) = left.pop_front() {
            for &to in edges.get(&file).into_iter().flat_map(BTreeMap::keys) {
                if to == start {
                    let mut way = vec![start];
                    let mut at = file;
                    while at != start {
                        way.push(at);
                        at = came_from[&at];
                    }
                    way.push(start);
                    way.reverse();
                    return Some(way);
                }
                if circle.contains(&to) && !came_from.contains_key(&to) {
                    came_from.insert(to, file);
                    left.push_back(to);
                }
            }
        }
        None
    });
    ways.min_by_key(Vec::len).unwrap_or_default()
}
