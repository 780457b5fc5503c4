//! What the command line, the environment and a file of settings ask for together.
//!
//! ```text
//!   flag  beats  variable  beats  file  beats  what follows from the container  beats  default
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::FromArgMatches;

use super::config::{Config, Invalid};
use super::endpoint::parse_listen;
use super::file;
use super::flags::{Flags, Settings, command, settings};
use super::given::{Given, Origin, blame, given};
use super::parse::parse_admin;
use super::subcommands::Sub;
use crate::auth::users::{self, Login};
use crate::commands::healthcheck::Target;
use crate::observe::logs::LogSettings;
use crate::proto::Accepts;

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// Serve.
    Serve(Invocation),
    /// Print the plan.
    Plan(Invocation),
    /// Say that the settings work.
    CheckConfig(Invocation),
    /// Print the settings.
    PrintConfig(Invocation),
    /// Ask the server there.
    Healthcheck(Target),
    /// Print its counters, after logging in if that is needed; over TLS from the server that has
    /// this certificate.
    Stats(Target, Option<Login>, Option<PathBuf>),
    /// Watch the server whose admin pages are there, or look `once`.
    Top {
        /// Where.
        address: SocketAddr,
        /// What they want to see.
        token: Option<Vec<u8>>,
        /// One view.
        once: bool,
    },
    /// Ask the server whose admin pages are there for a snapshot; with the token that they want to see.
    Snapshot(SocketAddr, Option<Vec<u8>>),
}

/// Settings, and where they came from.
#[derive(Debug)]
pub struct Invocation {
    /// The settings.
    pub config: Config,
    /// How to log.
    pub log: LogSettings,
    pub(super) given: Vec<Given>,
}

/// Why the command line cannot be followed.
#[derive(Debug)]
pub enum Refusal {
    /// Unknown flags and the like; also `--help` and `--version`. It knows how to print
    /// itself and with which code to exit.
    Usage(clap::Error),
    /// A value that cannot work.
    Invalid(Invalid),
}

/// Whether the command line asks a running server something. Then every failure has the exit
/// code 1: a prober knows no other.
pub fn is_question<T: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = T>) -> bool {
    let mut words = arguments.into_iter().skip(1);
    words.any(|word| {
        let questions = ["healthcheck", "stats", "snapshot"];
        questions.iter().any(|question| word.as_ref() == *question)
    })
}

/// Reads the command line, the environment and the file that they may name.
pub fn read<I, T>(arguments: I) -> Result<Asked, Refusal>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let arguments: Vec<_> = arguments.into_iter().map(Into::into).collect();
    let parse = |command: clap::Command| {
        let matches = command.try_get_matches_from(&arguments)?;
        let flags = Flags::from_arg_matches(&matches)?;
        Ok((matches, flags))
    };
    let (mut matches, mut flags) = parse(command()).map_err(Refusal::Usage)?;
    let file = flags.settings.config.take();
    let mut entries = Vec::new();
    if let Some(path) = &file {
        let known = command();
        let is_setting =
            |key: &str| key != "config" && settings(&known).any(|(_, name, _)| name == key);
        entries = file::read(path, is_setting).map_err(|invalid| {
            let given = given(&matches, &[], None);
            Refusal::Invalid(blame(&given, invalid))
        })?;
        // What the file says takes the place of the defaults; so everything else beats it.
        let with_file = entries.iter().fold(command(), |command, entry| {
            command.mut_arg(entry.key.replace('-', "_"), |argument| {
                argument.default_values(entry.values.clone())
            })
        });
        (matches, flags) = parse(with_file).map_err(Refusal::Usage)?;
    }
    let given = given(&matches, &entries, file.as_deref());
    let refuse = |invalid| Refusal::Invalid(blame(&given, invalid));
    if let Some(question) = question(&flags, &given).map_err(refuse)? {
        return Ok(question);
    }
    let admin_is_default = !is_named(&given, "--admin");
    let invocation = Invocation {
        config: flags.settings.config(admin_is_default).map_err(refuse)?,
        log: flags.settings.log().map_err(refuse)?,
        given,
    };
    Ok(match flags.command {
        Some(Sub::Plan) => Asked::Plan(invocation),
        _ if flags.settings.check_config => Asked::CheckConfig(invocation),
        _ if flags.settings.print_config => Asked::PrintConfig(invocation),
        _ => Asked::Serve(invocation),
    })
}

fn is_named(given: &[Given], flag: &str) -> bool {
    let mut given = given.iter();
    given.any(|given| given.flag == flag && given.origin != Origin::Default)
}

/// What a running server is to be asked, if the command line is about one.
fn question(flags: &Flags, given: &[Given]) -> Result<Option<Asked>, Invalid> {
    let settings = &flags.settings;
    let place = |address: &Option<String>| {
        let mut places = match address {
            Some(address) => parse_listen("--address", address)?,
            None => settings.listen()?,
        };
        // A plain place first, not behind a proxy: it asks for nothing but a connection. And one for more than memcached's binary protocol.
        places.sort_by_key(|place| (place.proxied, place.tls, place.accepts == Accepts::Binary));
        let none = || Invalid::new("--listen", "", "needs at least one address");
        places.into_iter().next().ok_or_else(none)
    };
    Ok(match &flags.command {
        Some(Sub::Healthcheck { address }) => {
            let endpoint = place(address)?;
            let asks_pages = endpoint.tls && address.is_none();
            // Where nobody has named it, another server's pages may be there.
            let pages = match asks_pages && is_named(given, "--admin") {
                true => parse_admin("--admin", &settings.admin)?,
                false => None,
            };
            Some(Asked::Healthcheck(match pages {
                Some(pages) => Target::Admin(pages),
                None => Target::of(endpoint),
            }))
        }
        Some(Sub::Stats { address }) => {
            let (user, token) = (&settings.auth_file, &settings.auth_token_file);
            let login = Login::of(user.as_deref(), token.as_deref())?;
            let certificate = settings.tls_cert.clone();
            let target = Target::of(place(address)?);
            Some(Asked::Stats(target, login, certificate))
        }
        Some(Sub::Top { address, once }) => {
            let (address, token) = pages(settings, address.as_ref())?;
            Some(Asked::Top {
                address,
                token,
                once: *once,
            })
        }
        Some(Sub::Snapshot { address }) => {
            let (address, token) = pages(settings, address.as_ref())?;
            Some(Asked::Snapshot(address, token))
        }
        Some(Sub::Plan) | None => None,
    })
}

/// Where a running server's admin pages are, and the token that they want to see.
fn pages(
    settings: &Settings,
    address: Option<&String>,
) -> Result<(SocketAddr, Option<Vec<u8>>), Invalid> {
    let text = address.unwrap_or(&settings.admin);
    let none = || Invalid::new("--admin", text, "has no pages to ask");
    let address = parse_admin("--admin", text)?.ok_or_else(none)?;
    let file = settings.admin_token_file.as_deref();
    Ok((address, file.map(users::page_token).transpose()?.flatten()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_library() {
        // A root without any limit.
        let root = "/flagstone-has-no-such-directory";
        let Ok(Asked::Serve(invocation)) = read(["flagstone", "--cgroup-root", root]) else {
            panic!("no arguments serve");
        };
        let default = Config {
            // Who embeds a server asks for it.
            admin: Some(([127, 0, 0, 1], 7172).into()),
            admin_is_default: true,
            cgroup_root: Some(root.into()),
            ..Config::default()
        };
        let read = invocation.config;
        assert_eq!(format!("{read:?}"), format!("{default:?}"));
    }
}
