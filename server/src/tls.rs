//! TLS: the certificate and its key, kept and read again, and who may sit at a TLS port.
//!
//! ```text
//!   --tls-cert ─┐                    SIGHUP: read both again; a pair that does not work is
//!   --tls-key  ─┴─► Keeper ─► config   told of, and the old pair stays
//!                     └─ seats: so many TLS connections, which the plan has memory for
//! ```
//!
//! A TLS connection is not a plain one with a wrapper: rustls allocates for each handshake and
//! each record. So these connections are outside the promise that requests allocate nothing;
//! they are counted apart, there is a limit of their own for them, and the plan has
//! [`CONNECTION_BYTES`] for each. Connections without TLS are as they were.
//!
//! No session is remembered and no ticket is given out: a client of a cache keeps its
//! connection, and what is not kept needs no memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;

use crate::config::{Config, Invalid};

/// What one TLS connection may take in user space beside what every connection takes: its
/// session, a record that has arrived in part, its plain text, and a record that has not been
/// sent. See DESIGN.md for what was measured.
pub const CONNECTION_BYTES: usize = 48 << 10;
/// TLS connections may have this part of the memory, when nobody has said how many there may
/// be …
const SHARE: usize = 8;
/// … and no more than so many.
const CONNECTIONS_MAX_DEFAULT: usize = 1000;

/// A handshake may take so long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS connections at a time, when nobody has said how many.
#[must_use]
pub fn connections_default(memory_bytes: usize) -> usize {
    (memory_bytes / SHARE / CONNECTION_BYTES).clamp(1, CONNECTIONS_MAX_DEFAULT)
}

/// What TLS connections may take in all.
#[must_use]
pub fn plan_bytes(config: &Config) -> usize {
    if config.listen.iter().any(|endpoint| endpoint.tls) {
        config.tls_connections_max * CONNECTION_BYTES
    } else {
        0
    }
}

/// The pair of the moment, and the seats.
pub struct Keeper {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<Arc<ServerConfig>>,
    seats: usize,
    taken: AtomicUsize,
}

/// A TLS connection's place, given back when dropped.
pub struct Seat(Arc<Keeper>);

impl Keeper {
    /// Reads the pair, if any place of the settings needs one.
    pub fn of(config: &Config) -> Result<Option<Arc<Self>>, Invalid> {
        let tls = config.listen.iter().find(|endpoint| endpoint.tls);
        let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) else {
            return match (tls, &config.tls_cert, &config.tls_key) {
                (Some(place), ..) => Err(Invalid::new(
                    "--listen",
                    place,
                    "needs a certificate and its key: --tls-cert PATH and --tls-key PATH",
                )),
                (None, None, None) => Ok(None),
                (None, Some(cert), _) => Err(useless("--tls-cert", cert)),
                (None, _, Some(key)) => Err(useless("--tls-key", key)),
            };
        };
        if tls.is_none() {
            return Err(useless("--tls-cert", cert));
        }
        Ok(Some(Arc::new(Keeper {
            current: Mutex::new(load(cert, key)?),
            cert: cert.clone(),
            key: key.clone(),
            seats: config.tls_connections_max,
            taken: AtomicUsize::new(0),
        })))
    }

    /// Reads the pair again. If it does not work, the old one stays.
    pub fn reload(&self) -> Result<(), Invalid> {
        let fresh = load(&self.cert, &self.key)?;
        *self.current.lock() = fresh;
        Ok(())
    }

    /// What a new connection begins with.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock())
    }

    /// Takes a seat, if one is free.
    pub fn seat(self: &Arc<Self>) -> Option<Seat> {
        // Nothing is published by a seat.
        self.taken
            .fetch_update(AcqRel, Acquire, |taken| {
                (taken < self.seats).then_some(taken + 1)
            })
            .ok()?;
        Some(Seat(Arc::clone(self)))
    }

    /// Seats taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Acquire)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, AcqRel);
    }
}

fn useless(setting: &str, path: &Path) -> Invalid {
    let why = "is of no use without a place for TLS: --listen tls:ADDR:PORT, with both --tls-cert \
               and --tls-key";
    Invalid::new(setting, path.display(), why)
}

fn load(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, Invalid> {
    let refuse = |setting: &str, path: &Path, why: String| {
        Invalid::new(setting, path.display(), format!("cannot be used: {why}"))
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refuse("--tls-cert", cert, error.to_string()))?;
    if chain.is_empty() {
        let why = "there is no certificate in it, which begins with -----BEGIN CERTIFICATE-----";
        return Err(refuse("--tls-cert", cert, why.to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| refuse("--tls-key", key, error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse("--tls-cert", cert, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| refuse("--tls-key", key, error.to_string()))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
