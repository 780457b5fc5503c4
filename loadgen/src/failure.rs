//! Why a run ended before its time: one clear sentence each.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::socket::Place;
use crate::wire::Protocol;

/// What stood in the way.
#[derive(Debug)]
pub enum Failure {
    /// The settings cannot work.
    Settings(String),
    /// Nobody listens there, or not any more.
    Connect {
        /// Where.
        address: Place,
        /// How many connections there were before.
        before: usize,
        /// What the system said.
        error: io::Error,
    },
    /// A new connection was not answered as a connection should be.
    Turned {
        /// Which connection, from 1.
        number: usize,
        /// How many were wanted.
        of: usize,
        /// What came instead.
        why: String,
    },
    /// The first reply is not one of the protocol.
    Foreign {
        /// Where.
        address: Place,
        /// How it was spoken to.
        protocol: Protocol,
        /// How its reply began.
        reply: String,
    },
    /// The server hung up on a connection that owed replies or waited for work.
    Closed {
        /// Replies that the connection still had to come.
        owed: usize,
        /// What the system said, if it was not a plain end.
        error: Option<io::Error>,
    },
    /// Bytes that are no reply to what was asked.
    Garbled {
        /// How they began.
        bytes: String,
    },
    /// Replies are owed, and nothing has come for so long.
    Silent {
        /// For how long.
        timeout: Duration,
        /// How many replies are owed.
        owed: usize,
    },
    /// Replies are owed so long after the last request, though something still comes.
    Late {
        /// For how long.
        timeout: Duration,
        /// How many replies are owed.
        owed: usize,
    },
    /// The warm-up at the wanted rate was not answered in time.
    Overrun,
    /// The open-file limit of this process.
    OpenFiles {
        /// Connections wanted.
        wanted: usize,
        /// The hard limit.
        limit: u64,
    },
    /// One of several servers, by its name.
    Of(String, Box<Failure>),
    /// Anything else that the system refused.
    System(&'static str, io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Settings(sentence) => f.write_str(sentence),
            Failure::Connect {
                address,
                before: 0,
                error,
            } => write!(f, "cannot connect to {address}: {error}"),
            Failure::Connect {
                address,
                before,
                error,
            } => write!(f, "cannot connect to {address} more than {before} times: {error}"),
            Failure::Turned { number, of, why } => {
                write!(f, "connection {number} of {of} was turned away: {why}")
            }
            Failure::Foreign {
                address,
                protocol,
                reply,
            } => write!(
                f,
                "{address} answers {reply}, which is not {}: is --protocol right?",
                protocol.name()
            ),
            Failure::Closed { owed, error } => {
                write!(f, "the server closed a connection that waited for {owed} replies")?;
                match error {
                    Some(error) => write!(f, ": {error}"),
                    None => Ok(()),
                }
            }
            Failure::Garbled { bytes } => {
                write!(f, "the server sent {bytes}, which answers nothing that was asked")
            }
            Failure::Silent { timeout, owed } => write!(
                f,
                "no reply for {:.1} s (--timeout) while {owed} were owed",
                timeout.as_secs_f64()
            ),
            Failure::Late { timeout, owed } => write!(
                f,
                "{owed} replies were not whole {:.1} s (--timeout) after the end of the time",
                timeout.as_secs_f64()
            ),
            Failure::Overrun => f.write_str(
                "the server falls so far behind --rate that even the warm-up was not answered in time: ask for less",
            ),
            Failure::OpenFiles { wanted, limit } => write!(
                f,
                "--connections {wanted} needs more open files than this process may have ({limit}, ulimit -Hn)"
            ),
            Failure::Of(name, failure) => write!(f, "{name}: {failure}"),
            Failure::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

/// The beginning of some bytes, for a sentence.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let dots = if bytes.len() > MOST { "…" } else { "" };
    format!(
        "\"{}{dots}\"",
        bytes[..bytes.len().min(MOST)].escape_ascii()
    )
}
