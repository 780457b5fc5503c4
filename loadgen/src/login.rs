//! Who the generator is to the server: a token, or a user and a password, from a file.
//!
//! Never from the command line, which every user of a machine can read. Neither is shown in
//! a report, a failure or a `Debug` text.

use std::fmt;
use std::path::Path;

/// A token, or a user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: Option<String>,
    secret: String,
}

impl Login {
    /// Reads a file of one line: `token`, or `user password`.
    ///
    /// # Errors
    /// With the file, and what should be in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("--auth-file {}: {error}", path.display()))?;
        Login::of(&text).ok_or_else(|| {
            format!(
                "--auth-file {} is not one line with a token, or a user, a space and a password",
                path.display()
            )
        })
    }

    /// The text of such a file. A line end behind it belongs to the file.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (user, secret) = match line.split_once(' ') {
            Some((user, secret)) => (Some(user), secret),
            None => (None, line),
        };
        let is_word = |word: &str| !word.is_empty() && !word.contains(char::is_control);
        (is_word(secret) && user.is_none_or(is_word)).then(|| Login {
            user: user.map(str::to_owned),
            secret: secret.to_owned(),
        })
    }

    /// The user, if there is one: not every protocol can tell one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The token, or the password.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_token_or_a_user_and_a_password() {
        let login = |text| Login::of(text).map(|l| (l.user.clone(), l.secret));
        let user = |name: &str| Some(name.to_owned());
        assert_eq!(login("t0ken\n"), Some((None, "t0ken".to_owned())));
        assert_eq!(
            login("ann pass word\r\n"),
            Some((user("ann"), "pass word".to_owned()))
        );
        for wrong in ["", "\n", "ann ", " secret", "one\ntwo\n", "to\tken"] {
            assert_eq!(login(wrong), None, "{wrong:?}");
        }
        let shown = format!("{:?}", Login::of("ann secret"));
        assert!(
            !shown.contains("ann") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
