//! Certificates made for a test, and a client that trusts one.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::PATIENCE;

/// A certificate for localhost with its key, and files with both, removed when dropped.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub der: CertificateDer<'static>,
}

impl Pair {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir();
        let id = std::process::id();
        let mut pair = Pair {
            cert: dir.join(format!("flagstone-{id}-{name}-cert.pem")),
            key: dir.join(format!("flagstone-{id}-{name}-key.pem")),
            der: CertificateDer::from(Vec::new()),
        };
        pair.renew();
        pair
    }

    /// Another certificate and key in the same files.
    pub fn renew(&mut self) {
        self.renew_until(4096);
    }

    /// One that is valid until the first of January of `year`.
    pub fn renew_until(&mut self, year: i32) {
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]);
        let mut params = params.expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        fs::write(&self.key, key.serialize_pem()).expect("writable");
        fs::write(&self.cert, cert.pem()).expect("writable");
        self.der = cert.der().clone();
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.cert);
        let _ = fs::remove_file(&self.key);
    }
}

/// What a client says first. A server does not notice that it has heard the same before.
pub fn client_hello() -> Vec<u8> {
    let mut session = session(RootCertStore::empty()).expect("a session");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("memory");
    hello
}

fn session(roots: RootCertStore) -> io::Result<ClientConnection> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)
}

pub type Client = StreamOwned<ClientConnection, TcpStream>;

/// Connects, trusting only `certificate`, and finishes the handshake.
pub fn connect(address: SocketAddr, certificate: &CertificateDer<'static>) -> io::Result<Client> {
    connect_behind(address, certificate, |_| Ok(()))
}

/// The same, when something else has been said first.
pub fn connect_behind(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    first: impl FnOnce(&mut TcpStream) -> io::Result<()>,
) -> io::Result<Client> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(io::Error::other)?;
    let session = session(roots)?;
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    first(&mut socket)?;
    let mut client = StreamOwned::new(session, socket);
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock)?;
    }
    Ok(client)
}
