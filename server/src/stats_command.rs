//! Asking a running server for its counters: what `flagstone stats` does. The lines are those
//! of the native protocol's `STATS`, without its `END`.

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::endpoint::Place;
use crate::healthcheck::{Unhealthy, connect, reachable};

/// For each step of the talk.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer is no list of counters.
const REPLY_BYTES_MAX: u64 = 1 << 20;

/// Asks the server that listens at `place`.
///
/// # Errors
/// When it does not answer, or is none of ours.
pub fn ask(place: &Place) -> Result<String, Unhealthy> {
    let place = match place {
        Place::Tcp(address) => Place::Tcp(reachable(*address)),
        Place::Unix(path) => Place::Unix(path.clone()),
    };
    let mut stream =
        connect(&place).map_err(|error| Unhealthy::Unreachable(place.clone(), error))?;
    let mut talk = || -> io::Result<String> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(b"STATS\nQUIT\n")?;
        let mut reply = String::new();
        (&mut stream)
            .take(REPLY_BYTES_MAX)
            .read_to_string(&mut reply)?;
        Ok(reply)
    };
    let reply = talk().map_err(|error| Unhealthy::Silent(place.clone(), error))?;
    match reply.strip_suffix("END\n") {
        Some(lines) if lines.starts_with("version ") => Ok(lines.to_owned()),
        _ => Err(Unhealthy::Stranger(place)),
    }
}
