//! `--name value` pairs and plain words, for binaries with three settings each.

use std::str::FromStr;

/// The command line, without the program's name.
pub struct Args(Vec<String>);

impl Args {
    /// What this process was given. `--bench`, which cargo adds, is dropped.
    #[must_use]
    pub fn of_process() -> Self {
        Args(
            std::env::args()
                .skip(1)
                .filter(|a| a != "--bench")
                .collect(),
        )
    }

    /// Takes `--name value` out.
    ///
    /// # Errors
    /// When the value is missing or cannot be read, in words for the user.
    pub fn option<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(at) = self.0.iter().position(|arg| arg == name) else {
            return Ok(None);
        };
        self.0.remove(at);
        if at == self.0.len() {
            return Err(format!("{name} needs a value"));
        }
        let value = self.0.remove(at);
        match value.parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(_) => Err(format!("{name} {value}: not a value that {name} takes")),
        }
    }

    /// Takes the word `name` out; whether it was there.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|arg| arg != name);
        self.0.len() < before
    }

    /// What is left, when all options have been taken.
    ///
    /// # Errors
    /// When an option is among it.
    pub fn words(self) -> Result<Vec<String>, String> {
        match self.0.iter().find(|arg| arg.starts_with("--")) {
            Some(unknown) => Err(format!("{unknown} is not an option")),
            None => Ok(self.0),
        }
    }
}
