//! Who may log in: a file with a line `user:password` for each, a file with a token, or both.
//!
//! The native protocol sends a token (`AUTH token`); memcached's fake `set` sends a user and
//! a password, and a token is a password that goes with any name.
//!
//! A line may begin with what its owner may do, `[read] `, `[write] ` or `[admin] `; without that it is everything.
//!
//! Read at the start, and again on SIGHUP: then a token that is not there any more works no
//! longer, and a new one does. A connection that has logged in stays so, whatever the files say
//! later: cutting it would fail the requests of a client that is about to renew its token. A
//! file that cannot be used is told of, and those who could log in before still can.
//!
//! A name and a password are compared as a whole, and with every user,
//! in a time that depends on what was sent alone: it says neither whether a name is known nor
//! how much of a password was right.

use std::fmt;
use std::fs;
use std::path::Path;

use parking_lot::RwLock;

use crate::proto::Role;
use crate::settings::config::{Config, Invalid};

/// More users than this are better kept elsewhere.
const USERS_MAX: usize = 64;
/// A longer line is a mistake.
const LINE_BYTES_MAX: usize = 1024;

/// The users of the moment, for those who log in now, and who may read the admin pages.
#[derive(Debug)]
pub struct Logins {
    config: Config,
    current: RwLock<Users>,
    is_open: bool,
    /// The admin pages are for everybody who reaches them.
    pages_are_open: bool,
}

impl Logins {
    /// Reads the files that the settings name.
    pub fn of(config: &Config) -> Result<Self, Invalid> {
        let users = Users::of(config)?;
        Ok(Logins {
            config: config.clone(),
            is_open: users.is_empty(),
            pages_are_open: users.page_tokens.is_empty(),
            current: RwLock::new(users),
        })
    }

    /// Nobody has to log in. That cannot change while the server runs: no file may be empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_open
    }

    /// Whether any of the settings names a file.
    #[must_use]
    pub fn has_files(&self) -> bool {
        !self.is_open || !self.pages_are_open
    }

    /// Whether the admin pages are for everybody who reaches them.
    #[must_use]
    pub fn pages_are_open(&self) -> bool {
        self.pages_are_open
    }

    /// Whether the admin pages are for who presents this.
    #[must_use]
    pub fn let_see_pages(&self, token: Option<&[u8]>) -> bool {
        self.pages_are_open
            || token.is_some_and(|token| is_any(&self.current.read().page_tokens, token))
    }

    /// What the owner of this password of a user, or of this token, may do now. `None`: it is neither.
    #[must_use]
    pub fn know(&self, user: &[u8], password: &[u8]) -> Option<Role> {
        self.current.read().know(user, password)
    }

    /// Reads the files again, and says how many users and tokens there are now. If one cannot be
    /// used, all stays as it was.
    pub fn reload(&self) -> Result<(usize, usize), Invalid> {
        let fresh = Users::of(&self.config)?;
        let counts = (
            fresh.users.len(),
            fresh.tokens.len() + fresh.page_tokens.len(),
        );
        *self.current.write() = fresh;
        Ok(counts)
    }
}

/// Those who may log in.
#[derive(Clone, Debug, Default)]
pub struct Users {
    /// Names and passwords, none of them empty.
    users: Vec<(Role, Vec<u8>, Vec<u8>)>,
    /// Not empty either.
    tokens: Vec<(Role, Vec<u8>)>,
    /// Tokens for the admin pages. Not empty either.
    page_tokens: Vec<Vec<u8>>,
}

impl Users {
    /// Reads the files that the settings name.
    pub fn of(config: &Config) -> Result<Self, Invalid> {
        let mut users = match &config.auth_file {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        if let Some(path) = &config.auth_token_file {
            users.tokens = read_tokens("--auth-token-file", path, true)?;
        }
        if let Some(path) = &config.admin_token_file {
            let tokens = read_tokens("--admin-token-file", path, false)?;
            users.page_tokens = tokens.into_iter().map(|(_, token)| token).collect();
        }
        Ok(users)
    }

    /// Reads the file of the setting `--auth-file`.
    fn read(path: &Path) -> Result<Self, Invalid> {
        let refuse = |why: String| Err(Invalid::new("--auth-file", path.display(), why));
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return refuse(format!("cannot be read: {error}")),
        };
        let mut users = Vec::new();
        for (no, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let Some((role, line)) = role_of(line) else {
                return refuse(format!("has {NO_ROLE} in line {}", no + 1));
            };
            // The line itself is a secret, and is not repeated.
            match line.iter().position(|&byte| byte == b':') {
                Some(at) if at > 0 && at + 1 < line.len() && line.len() <= LINE_BYTES_MAX => {
                    users.push((role, line[..at].to_vec(), line[at + 1..].to_vec()));
                }
                _ => {
                    return refuse(format!("has no user:password in line {}", no + 1));
                }
            }
        }
        if users.is_empty() || users.len() > USERS_MAX {
            return refuse(format!(
                "names {} users: 1 to {USERS_MAX} work",
                users.len()
            ));
        }
        Ok(Users {
            users,
            ..Users::default()
        })
    }

    /// Nobody has to log in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.tokens.is_empty()
    }

    /// What the owner of this password of this user, or of this token, may do. `None`: it is neither.
    #[must_use]
    pub fn know(&self, user: &[u8], password: &[u8]) -> Option<Role> {
        // No branch on a secret: `|` and `&`, not `||` and `&&`. A bit a role, of all that fit.
        let users = self.users.iter().fold(0, |known, (role, name, secret)| {
            known | bit_if(is_same(name, user) & is_same(secret, password), *role)
        });
        let known = self.tokens.iter().fold(users, |known, (role, token)| {
            known | bit_if(is_same(token, password), *role)
        });
        // Two lines may be the same but for the role: the greater one counts.
        [Role::Admin, Role::Write, Role::Read]
            .into_iter()
            .find(|role| known & bit_if(true, *role) != 0)
    }
}

/// How to log in at a server whose file is at hand: what `flagstone stats` needs.
#[derive(Clone)]
pub enum Login {
    /// In the native protocol.
    Token(Vec<u8>),
    /// A name and a password, in memcached's.
    User(Vec<u8>, Vec<u8>),
}

impl Login {
    /// The first that the files of the settings know, if they name any.
    pub fn of(
        auth_file: Option<&Path>,
        token_file: Option<&Path>,
    ) -> Result<Option<Self>, Invalid> {
        if let Some(path) = token_file {
            let tokens = read_tokens("--auth-token-file", path, true)?;
            let token = tokens.into_iter().next();
            return Ok(token.map(|(_, token)| Login::Token(token)));
        }
        let users = auth_file.map(Users::read).transpose()?;
        let user = users.and_then(|users| users.users.into_iter().next());
        Ok(user.map(|(_, name, password)| Login::User(name, password)))
    }

    /// What is sent first.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        match self {
            Login::Token(token) => [b"AUTH ", &token[..], b"\n"].concat(),
            Login::User(name, password) => {
                let value = [&name[..], b" ", password].concat();
                let head = format!("set flagstone 0 0 {}\r\n", value.len());
                [head.as_bytes(), &value, b"\r\n"].concat()
            }
        }
    }
}

// A secret is not printed by accident.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Login::Token(_) => "Token",
            Login::User(..) => "User",
        })
    }
}

/// The first token of the file of `--admin-token-file`: what `flagstone top` presents.
pub fn page_token(path: &Path) -> Result<Option<Vec<u8>>, Invalid> {
    let tokens = read_tokens("--admin-token-file", path, false)?;
    Ok(tokens.into_iter().next().map(|(_, token)| token))
}

const NO_ROLE: &str =
    "brackets that name no role ([read], [write] and [admin] work, and a space behind them)";

/// What a line begins with, if it says what its owner may do, and what is behind that.
fn role_of(line: &[u8]) -> Option<(Role, &[u8])> {
    let named = line.strip_prefix(b"[").and_then(|rest| {
        let at = rest.iter().position(|&byte| byte == b']')?;
        Some((&rest[..at], &rest[at + 1..]))
    });
    match named {
        None => Some((Role::Admin, line)),
        Some((name, [b' ', rest @ ..])) => Role::named(name).map(|role| (role, rest)),
        Some((name, b"")) if Role::named(name).is_some() => None,
        // A token or a name of somebody who likes brackets.
        Some(_) => Some((Role::Admin, line)),
    }
}

/// The role's own bit, or none.
fn bit_if(is_so: bool, role: Role) -> u8 {
    u8::from(is_so) << role as u8
}

/// Reads the file of a setting: a token a line, so that an old one may be good for as long as
/// its clients need; before it what its owner may do, where there are roles.
fn read_tokens(
    setting: &str,
    path: &Path,
    has_roles: bool,
) -> Result<Vec<(Role, Vec<u8>)>, Invalid> {
    let refuse = |why: String| Err(Invalid::new(setting, path.display(), why));
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(format!("cannot be read: {error}")),
    };
    let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
    let mut tokens = Vec::new();
    for (no, line) in lines {
        let (role, token) = match has_roles {
            false => (Role::Admin, line),
            true => match role_of(line) {
                Some(found) => found,
                None => return refuse(format!("has {NO_ROLE} in line {}", no + 1)),
            },
        };
        // The token itself is a secret, and is not repeated.
        if token.is_empty()
            || token.len() > LINE_BYTES_MAX
            || token.iter().any(|byte| !byte.is_ascii_graphic())
        {
            return refuse(format!(
                "has a line {} that is no token: up to {LINE_BYTES_MAX} visible ASCII characters \
                 without spaces work",
                no + 1
            ));
        }
        tokens.push((role, token.to_vec()));
    }
    if tokens.is_empty() || tokens.len() > USERS_MAX {
        let count = tokens.len();
        return refuse(format!(
            "has {count} tokens, a line each: 1 to {USERS_MAX} work"
        ));
    }
    Ok(tokens)
}

/// Whether it is one of them. Compares with all.
fn is_any(tokens: &[Vec<u8>], given: &[u8]) -> bool {
    // No branch on a secret: `|`, not `||`.
    tokens
        .iter()
        .fold(false, |known, token| known | is_same(token, given))
}

/// Compares in a time that depends on `given` alone.
#[inline(never)]
fn is_same(secret: &[u8], given: &[u8]) -> bool {
    let mut differences = secret.len() ^ given.len();
    for (no, byte) in given.iter().enumerate() {
        let other = secret[no % secret.len()];
        differences |= usize::from(std::hint::black_box(other ^ byte));
    }
    differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(text: &str) -> Result<Users, Invalid> {
        let path = std::env::temp_dir().join(format!(
            "flagstone-users-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::write(&path, text).expect("writes");
        let users = Users::read(&path);
        let _ = fs::remove_file(&path);
        users
    }

    #[test]
    fn those_in_the_file_may_log_in_and_nobody_else() {
        let users = users("foo:bar\r\n\nbaaaz:qu ux:x").expect("valid");
        for (user, password, known) in [
            ("foo", "bar", true),
            ("baaaz", "qu ux:x", true),
            ("foo", "qu ux:x", false),
            ("foo", "barbar", false),
            ("foo", "ba", false),
            ("foo", "", false),
            ("", "bar", false),
            ("fo", "bar", false),
        ] {
            let role = users.know(user.as_bytes(), password.as_bytes());
            assert_eq!(role, known.then_some(Role::Admin), "{user} {password}");
        }
        assert!(Users::default().know(b"", b"").is_none());
    }

    #[test]
    fn a_line_says_what_its_owner_may_do() {
        let users = users(
            "[read] ann:a\n[write] bob:b\n[admin] cat:c\ndan:d\n[read] dan:e\n[x:y\n[read]er:f\nboth:g\n[read] both:g\n",
        )
        .expect("valid");
        for (user, password, role) in [
            ("ann", "a", Some(Role::Read)),
            ("bob", "b", Some(Role::Write)),
            ("cat", "c", Some(Role::Admin)),
            // As before there were roles.
            ("dan", "d", Some(Role::Admin)),
            ("dan", "e", Some(Role::Read)),
            ("[x", "y", Some(Role::Admin)),
            ("[read]er", "f", Some(Role::Admin)),
            ("both", "g", Some(Role::Admin)),
            ("[read] ann", "a", None),
            ("ann", "b", None),
        ] {
            assert_eq!(
                users.know(user.as_bytes(), password.as_bytes()),
                role,
                "{user}"
            );
        }
    }

    #[test]
    fn a_role_that_is_none_is_refused() {
        for text in [
            "[owner] ann:a",
            "[read]",
            "[] ann:a",
            "[read] ",
            "[read] :a",
            "a:b\n[Read] c:d",
        ] {
            assert!(users(text).is_err(), "{text}");
        }
        let refused = users("a:b\n[root] c:d").expect_err("refused").to_string();
        assert!(refused.contains("[read], [write] and [admin] work") && refused.contains("line 2"));
        assert!(!refused.contains("c:d"), "{refused}");
    }

    #[test]
    fn a_token_is_a_password_for_any_name() {
        let path = std::env::temp_dir().join(format!("flagstone-tokens-{}", std::process::id()));
        let with = |text: &str| {
            fs::write(&path, text).expect("writes");
            Users::of(&Config {
                auth_token_file: Some(path.clone()),
                ..Config::default()
            })
        };
        let users = with(" s3cret\r\n\nolder\n").expect("valid");
        assert!(!users.is_empty());
        for (user, password, known) in [
            ("", "s3cret", true),
            ("anybody", "s3cret", true),
            ("", "older", true),
            ("", "s3cre", false),
            ("", "s3crets3cret", false),
            ("", "", false),
            ("s3cret", "", false),
        ] {
            let role = users.know(user.as_bytes(), password.as_bytes());
            assert_eq!(role, known.then_some(Role::Admin), "{user} {password}");
        }
        let users = with("[read] looks\n[write] does\nrules\n").expect("valid");
        for (token, role) in [
            ("looks", Some(Role::Read)),
            ("does", Some(Role::Write)),
            ("rules", Some(Role::Admin)),
            ("[read] looks", None),
        ] {
            assert_eq!(users.know(b"", token.as_bytes()), role, "{token}");
        }
        for (text, why) in [
            ("[rules] a\n", "has brackets that name no role"),
            ("[read]\n", "has brackets that name no role"),
            ("", "has 0 tokens, a line each: 1 to 64 work"),
            ("a\ntwo words\n", "has a line 2 that is no token: "),
        ] {
            let refused = with(text).expect_err("refused").to_string();
            assert!(
                refused.starts_with("--auth-token-file ") && refused.contains(why),
                "{refused}"
            );
        }
        let _ = fs::remove_file(&path);
    }

    #[test]
    fn the_admin_pages_have_tokens_of_their_own() {
        let path = std::env::temp_dir().join(format!("flagstone-pages-{}", std::process::id()));
        fs::write(&path, "new\nold\n").expect("writes");
        let logins = Logins::of(&Config {
            admin_token_file: Some(path.clone()),
            ..Config::default()
        })
        .expect("valid");
        for (token, sees) in [
            (Some(&b"new"[..]), true),
            (Some(b"old"), true),
            (Some(b"ol"), false),
            (Some(b"oldold"), false),
            (Some(b""), false),
            (None, false),
        ] {
            assert_eq!(logins.let_see_pages(token), sees, "{token:?}");
        }
        // They are no logins, and nobody needs one.
        assert!(logins.is_empty() && logins.has_files() && logins.know(b"", b"new").is_none());
        fs::write(&path, "newer\n").expect("writes");
        assert_eq!(logins.reload().expect("valid"), (0, 1));
        assert!(logins.let_see_pages(Some(b"newer")) && !logins.let_see_pages(Some(b"old")));
        let _ = fs::remove_file(&path);
        let refused = logins.reload().expect_err("gone").to_string();
        assert!(refused.starts_with("--admin-token-file "), "{refused}");
        assert!(logins.let_see_pages(Some(b"newer")));
        let open = Logins::of(&Config::default()).expect("valid");
        assert!(open.let_see_pages(None) && !open.has_files());
    }

    #[test]
    fn a_file_that_lets_nobody_in_is_refused() {
        for text in ["", "\n", "foo", ":bar", "foo:"] {
            assert!(users(text).is_err(), "{text:?}");
        }
        assert!(Users::read(Path::new("/flagstone/no/such/file")).is_err());
    }
}
