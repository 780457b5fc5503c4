//! TLS on a connection: whom to trust, and a socket with a session on it.
//!
//! A session allocates for its records, a few times a batch, not for each request in it. The
//! generator's own CPU time rises with it, so a report tells of it as of any other.

use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::socket::Socket;

/// That TLS is spoken, and with whom.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The name or address that the server's certificate has to be for.
    pub name: String,
    /// The file with the authorities, PEM; `None`: any certificate will do.
    pub ca: Option<PathBuf>,
}

/// The same, with the files read.
#[derive(Debug)]
pub(crate) struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// # Errors
    /// With the file, or the name, and what is wrong with it.
    pub fn new(tls: &Tls) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match &tls.ca {
            Some(path) => {
                let wrong = |why: String| format!("--tls-ca {}: {why}", path.display());
                let mut roots = RootCertStore::empty();
                let certificates = CertificateDer::pem_file_iter(path)
                    .map_err(|error| wrong(error.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                    roots
                        .add(certificate)
                        .map_err(|error| wrong(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("no certificate is in it".to_owned()));
                }
                builder.with_root_certificates(roots)
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anyone(provider))),
        };
        let name = ServerName::try_from(tls.name.clone())
            .map_err(|_| format!("{:?} is no name that a certificate can be for", tls.name))?;
        Ok(Client {
            config: Arc::new(config.with_no_client_auth()),
            name,
        })
    }

    /// Shakes hands on a socket that blocks.
    pub fn shake(&self, socket: Socket) -> io::Result<TlsSocket> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        let mut session = session.map_err(io::Error::other)?;
        // A batch is taken whole; what the socket does not take waits in the session.
        session.set_buffer_limit(None);
        let mut socket = socket;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(TlsSocket {
            session,
            socket,
            has_more: false,
        })
    }
}

/// A socket with a session on it.
#[derive(Debug)]
pub(crate) struct TlsSocket {
    session: ClientConnection,
    pub socket: Socket,
    /// The last read left bytes in the session, maybe: the socket will not tell of them.
    pub has_more: bool,
}

impl TlsSocket {
    /// Bytes wait in the session for room in the socket.
    pub fn has_unsent(&self) -> bool {
        self.session.wants_write()
    }

    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Read for TlsSocket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(room) {
                Ok(count) => {
                    self.has_more = count == room.len();
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.has_more = false,
                // Ended without a word of it.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            self.session.read_tls(&mut self.socket)?;
            let state = self.session.process_new_packets();
            // An alert that says why, or the answer to a change of keys.
            self.send()?;
            state.map_err(io::Error::other)?;
        }
    }
}

impl Write for TlsSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.writer().write_all(bytes)?;
        self.send()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

/// Takes any certificate: `--tls-insecure`.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
