//! What breaks a rule today: a row for each place, with a number that may only fall.
//!
//! `debts.txt` has one row a line: rule, place, number, and a reason if there is more to say than
//! that somebody has yet to do it. A row that nothing needs any more is a finding like any other,
//! and so is a count that has fallen: what was gained is not lost again. Only lengths need not be
//! exact, because each edit would change them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Finding;

/// From the root of the repository.
pub const FILE: &str = "xtask/debts.txt";

/// The rows of the file, and what was found for each so far.
pub struct Debts {
    text: String,
    rows: BTreeMap<(String, String), Row>,
    met: RefCell<BTreeMap<(String, String), Met>>,
}

/// What was found for a place.
#[derive(Clone, Copy, Default)]
struct Met {
    count: usize,
    /// The row may say more.
    about: bool,
}

struct Row {
    most: usize,
    line: usize,
}

impl Debts {
    /// A debt nobody has: every breach is a finding.
    #[must_use]
    pub fn none() -> Self {
        Debts {
            text: String::new(),
            rows: BTreeMap::new(),
            met: RefCell::default(),
        }
    }

    /// Reads `rule | place | number`, and what else a line says; `#` begins a remark.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut debts = Debts::none();
        debts.text = text.to_owned();
        for (no, line) in text.lines().enumerate() {
            let Some((key, most)) = row(line) else {
                if line.trim().is_empty() || line.starts_with('#') {
                    continue;
                }
                let no = no + 1;
                return Err(format!(
                    "{FILE}:{no}: {line:?} is not `rule | place | number`"
                ));
            };
            let row = Row { most, line: no + 1 };
            if debts.rows.insert(key, row).is_some() {
                return Err(format!("{FILE}:{}: {line:?} stands there twice", no + 1));
            }
        }
        Ok(debts)
    }

    /// Whether so many breaches are written down. Asked once for each place that has any.
    pub fn admit(&self, rule: &str, place: &str, count: usize) -> bool {
        self.meet(
            rule,
            place,
            Met {
                count,
                about: false,
            },
        )
    }

    /// The same for a length, for which the row may have a greater number.
    pub fn admit_length(&self, rule: &str, place: &str, count: usize) -> bool {
        self.meet(rule, place, Met { count, about: true })
    }

    fn meet(&self, rule: &str, place: &str, met: Met) -> bool {
        let key = (rule.to_owned(), place.to_owned());
        let most = self.rows.get(&key).map_or(0, |row| row.most);
        let mut all = self.met.borrow_mut();
        // Two functions may have one name: the longer one counts.
        let before = all.entry(key).or_default();
        let count = before.count.max(met.count);
        *before = Met { count, ..met };
        met.count <= most
    }

    /// What a finding may add: how much is written down for the place.
    pub fn allowed(&self, rule: &str, place: &str) -> String {
        let key = (rule.to_owned(), place.to_owned());
        match self.rows.get(&key) {
            Some(row) => format!("; {FILE} allows {}", row.most),
            None => String::new(),
        }
    }

    /// The rows that nothing needs any more, or not so much of.
    pub fn paid(&self) -> Vec<Finding> {
        let met = self.met.borrow();
        let mut findings = Vec::new();
        for (key, row) in &self.rows {
            let (rule, place) = key;
            let message = match met.get(key) {
                None => format!("`{rule} | {place}` breaks no rule any more: the row must go"),
                Some(met) if met.count < row.most && !met.about => {
                    let (now, then) = (met.count, row.most);
                    format!(
                        "`{rule} | {place}` has come down to {now} from {then}: so must the row"
                    )
                }
                Some(_) => continue,
            };
            findings.push(Finding {
                file: PathBuf::from(FILE),
                line: row.line,
                rule: "debts",
                message: format!("{message} (cargo xtask --shrink)"),
            });
        }
        findings
    }

    /// The file with each number lowered to what was found, and without the rows that are paid.
    pub fn shrunk(&self) -> String {
        let met = self.met.borrow();
        let mut text = String::new();
        for line in self.text.lines() {
            let Some((key, most)) = row(line) else {
                text += &format!("{line}\n");
                continue;
            };
            if let Some(met) = met.get(&key) {
                let mut cells: Vec<String> = line.split('|').map(str::to_owned).collect();
                cells[2] = format!(" {}", met.count.min(most));
                if cells.len() > 3 {
                    cells[2].push(' ');
                }
                text += &format!("{}\n", cells.join("|"));
            }
        }
        text
    }
}

fn row(line: &str) -> Option<((String, String), usize)> {
    if line.starts_with('#') {
        return None;
    }
    let mut cells = line.split('|').map(str::trim);
    let key = (cells.next()?.to_owned(), cells.next()?.to_owned());
    Some((key, cells.next()?.parse().ok()?))
}
