//! TLS: the certificate and its key, kept and read again, and who may sit at a TLS port.
//!
//! ```text
//!   --tls-cert      ─┐                    SIGHUP: read all again; what does not work is
//!   --tls-key       ─┼─► CertificateStore ─► config   told of, and the old pair stays
//!   --tls-client-ca ─┘
//!                     └─ seats: so many TLS connections, which the plan has memory for
//! ```
//!
//! A TLS connection is not a plain one with a wrapper: rustls allocates for each handshake and
//! each record. So these connections are outside the promise that requests allocate nothing;
//! they are counted apart, there is a limit of their own for them, and the plan has
//! so many bytes for each (`memory/costs.rs`). Connections without TLS are as they were.
//!
//! Where `--tls-client-ca` is given, a handshake is done only with a client whose certificate one of its authorities has
//! signed. Lists of revoked certificates are not read.
//!
//! No session is remembered and no ticket is given out: a client of a cache keeps its
//! connection, and what is not kept needs no memory.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed,
};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

use crate::auth::certificate::{expires_unix, is_version_1};
use crate::settings::config::{Config, Invalid, TlsVersion};

/// A handshake may take so long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The pair of the moment, and the seats.
pub struct CertificateStore {
    sources: Sources,
    current: Mutex<Pair>,
    seats: usize,
    taken: AtomicUsize,
    /// By how they ended.
    handshakes: [AtomicU64; Handshake::ALL.len()],
}

/// Where they are read from, and what else a handshake goes by.
struct Sources {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    least: TlsVersion,
}

/// A certificate with its key.
struct Pair {
    config: Arc<ServerConfig>,
    /// When the first of the chain expires.
    expires_unix: Option<i64>,
}

/// A TLS connection's place, given back when dropped.
pub struct Seat(Arc<CertificateStore>);

/// How a handshake ended.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub enum Handshake {
    /// Well.
    Done,
    /// One side did not like what the other said: another protocol, a certificate that is not
    /// trusted.
    Failed,
    /// The client left in the middle of it.
    Abandoned,
    /// The client took too long.
    Late,
    /// There was no seat for it to begin on.
    Full,
}

impl Handshake {
    /// All, with their names in metrics.
    pub const ALL: [(Handshake, &'static str); 5] = [
        (Handshake::Done, "done"),
        (Handshake::Failed, "failed"),
        (Handshake::Abandoned, "abandoned"),
        (Handshake::Late, "late"),
        (Handshake::Full, "full"),
    ];
}

thread_local! {
    /// Whether this worker has answered a handshake in its pass.
    static HAS_SHAKEN_HANDS: Cell<bool> = const { Cell::new(false) };
}

/// A worker's pass over its connections begins: one handshake may be answered in it.
///
/// Signing takes as long as hundreds of requests. So a crowd of newcomers takes turns with all others,
/// pass by pass, instead of going first.
#[inline]
pub fn begin_pass() {
    HAS_SHAKEN_HANDS.set(false);
}

/// Whether another handshake has to wait for the next pass.
pub fn has_shaken_hands() -> bool {
    HAS_SHAKEN_HANDS.get()
}

/// A handshake was answered.
pub fn note_shaken_hands() {
    HAS_SHAKEN_HANDS.set(true);
}

impl CertificateStore {
    /// Reads the pair, if any place of the settings needs one.
    pub fn of(config: &Config) -> Result<Option<Arc<Self>>, Invalid> {
        let tls = config.listen.iter().find(|endpoint| endpoint.tls);
        let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) else {
            if let (None, Some(authorities)) = (tls, &config.tls_client_ca) {
                return Err(useless("--tls-client-ca", authorities));
            }
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
        let sources = Sources {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: config.tls_client_ca.clone(),
            least: config.tls_min,
        };
        Ok(Some(Arc::new(CertificateStore {
            current: Mutex::new(load(&sources)?),
            sources,
            seats: config.tls_connections_max,
            taken: AtomicUsize::new(0),
            handshakes: Default::default(),
        })))
    }

    /// Reads the pair again. If it does not work, the old one stays.
    pub fn reload(&self) -> Result<(), Invalid> {
        let fresh = load(&self.sources)?;
        *self.current.lock() = fresh;
        Ok(())
    }

    /// What a new connection begins with.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock().config)
    }

    /// Takes a seat, if one is free.
    pub fn seat(self: &Arc<Self>) -> Option<Seat> {
        // Nothing is published by a seat.
        let taken = self.taken.fetch_update(AcqRel, Acquire, |taken| {
            (taken < self.seats).then_some(taken + 1)
        });
        if taken.is_err() {
            self.note(Handshake::Full);
            return None;
        }
        Some(Seat(Arc::clone(self)))
    }

    fn note(&self, handshake: Handshake) {
        // Relaxed: a count publishes nothing.
        self.handshakes[handshake as usize].fetch_add(1, Relaxed);
    }

    /// Handshakes until now, by how they ended.
    pub fn handshakes(&self) -> [(&'static str, u64); Handshake::ALL.len()] {
        Handshake::ALL.map(|(how, name)| (name, self.handshakes[how as usize].load(Relaxed)))
    }

    /// The last second at which every certificate of the chain is valid, since 1970.
    pub fn expires_unix(&self) -> Option<i64> {
        self.current.lock().expires_unix
    }

    /// What to tell an operator whose certificate is over at `now_unix`. Clients will refuse it;
    /// that is no reason not to serve those who come without TLS.
    pub fn complaint(&self, now_unix: i64) -> Option<String> {
        let over = now_unix - self.expires_unix()?;
        (over > 0).then(|| {
            format!(
                "--tls-cert \"{}\" expired {} hours ago: clients will not trust it",
                self.sources.cert.display(),
                over / 3600
            )
        })
    }

    /// Seats taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Acquire)
    }
}

impl Seat {
    /// The handshake of who sits here is over.
    pub fn note(&self, handshake: Handshake) {
        self.0.note(handshake);
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

/// The key, whatever the label says that its bytes are: one that says RSA and is PKCS #8 inside is
/// what some tools write.
fn signing_key(secret: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    ring::sign::any_supported_type(secret).or_else(|error| {
        let der = secret.secret_der();
        let others = [
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
            PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
            PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
        ];
        let mut others = others.iter().map(ring::sign::any_supported_type);
        others.find_map(Result::ok).ok_or(error)
    })
}

/// Whether the certificate is of version 1 and holds the public part of the key.
fn is_key_in(certified: &CertifiedKey) -> bool {
    let public = certified.key.public_key();
    public
        .zip(certified.cert.first())
        .is_some_and(|(key, der)| {
            is_version_1(der) && der.windows(key.len()).any(|part| part == key.as_ref())
        })
}

fn load(sources: &Sources) -> Result<Pair, Invalid> {
    let (cert, key) = (&sources.cert, &sources.key);
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
    let expires_unix = chain.iter().filter_map(|der| expires_unix(der)).min();
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| refuse("--tls-key", key, error.to_string()))?;
    let secret =
        signing_key(&secret).map_err(|error| refuse("--tls-key", key, error.to_string()))?;
    let certified = CertifiedKey::new(chain, secret);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            let why = "it is not the key of the certificate of --tls-cert";
            return Err(refuse("--tls-key", key, why.to_owned()));
        }
        // The library reads no certificates of X.509 version 1, which are old but served all the
        // same: clients decide what they trust. That the key belongs to it can be seen without.
        Err(_) if is_key_in(&certified) => {}
        Err(error) => return Err(refuse("--tls-cert", cert, error.to_string())),
    }
    let versions: &[_] = match sources.least {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let clients = match &sources.client_ca {
        Some(path) => signed_by(path).map_err(|why| refuse("--tls-client-ca", path, why))?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| refuse("--tls-cert", cert, error.to_string()))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Pair {
        config: Arc::new(config),
        expires_unix,
    })
}

/// Asks clients for a certificate that one of the authorities in this file has signed.
fn signed_by(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut authorities = RootCertStore::empty();
    for der in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let der = der.map_err(|error| error.to_string())?;
        authorities.add(der).map_err(|error| error.to_string())?;
    }
    if authorities.is_empty() {
        return Err(
            "there is no certificate in it, which begins with -----BEGIN CERTIFICATE-----"
                .to_owned(),
        );
    }
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
        .build()
        .map_err(|error| error.to_string())
}
