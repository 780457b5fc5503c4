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
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        fs::write(&self.key, made.signing_key.serialize_pem()).expect("writable");
        fs::write(&self.cert, made.cert.pem()).expect("writable");
        self.der = made.cert.der().clone();
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.cert);
        let _ = fs::remove_file(&self.key);
    }
}

pub type Client = StreamOwned<ClientConnection, TcpStream>;

/// Connects, trusting only `certificate`, and finishes the handshake.
pub fn connect(address: SocketAddr, certificate: &CertificateDer<'static>) -> io::Result<Client> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut client = StreamOwned::new(session, socket);
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock)?;
    }
    Ok(client)
}
