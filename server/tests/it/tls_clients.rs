//! Who may connect where `--tls-client-ca` is given, and which versions of TLS are spoken with `--tls-min`. Method: clients
//! with all kinds of certificates try, in each version, and what a refused one sent is looked for without TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::common::http::{get, sample};
use crate::common::process::{Process, flagstone};
use crate::common::tls::Pair;
use crate::common::{self, PATIENCE, small_config, start_with, wait_until};
use flagstone_server::{Config, Server, TlsVersion};

/// A certificate and its key.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// Signs clients' certificates; its own is in a file, removed when dropped.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let file = format!("flagstone-{}-{name}-ca.pem", std::process::id());
        let file = std::env::temp_dir().join(file);
        std::fs::write(&file, issuer.pem()).expect("writable");
        Authority { issuer, file }
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(["a client".to_owned()]).expect("a name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("signed");
        let secret = PrivatePkcs8KeyDer::from(key.serialize_der());
        (cert.der().clone(), secret.into())
    }

    /// For a client, as it should be.
    fn client(&self) -> Identity {
        self.sign(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Shakes hands, sends `request`, and reads as much as `expected` is long.
fn ask(
    address: SocketAddr,
    server: &Pair,
    version: &'static SupportedProtocolVersion,
    identity: Option<&Identity>,
    (request, expected): (&str, &str),
) -> io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(server.der.clone()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let config = match identity {
        // Without a look at whether they belong together.
        Some((cert, key)) => {
            let key = any_supported_type(key).map_err(io::Error::other)?;
            let certified = CertifiedKey::new(vec![cert.clone()], key);
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
        None => config.with_no_client_auth(),
    };
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut client = StreamOwned::new(session, socket);
    client.write_all(request.as_bytes())?;
    let mut reply = vec![0; expected.len()];
    client.read_exact(&mut reply)?;
    assert_eq!(common::show(&reply), common::show(expected.as_bytes()));
    Ok(())
}

fn config(pair: &Pair) -> Config {
    Config {
        listen: ["127.0.0.1:0", "tls:127.0.0.1:0"]
            .map(|place| place.parse().expect("a place"))
            .into(),
        admin: Some(([127, 0, 0, 1], 0).into()),
        tls_cert: Some(pair.cert.clone()),
        tls_key: Some(pair.key.clone()),
        tls_connections_max: 10,
        ..small_config()
    }
}

#[test]
fn only_clients_with_a_certificate_of_the_authority_get_in() {
    let pair = Pair::new("clients");
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = start_with(Config {
        tls_client_ca: Some(ours.file.clone()),
        ..config(&pair)
    });
    let places: Vec<_> = server.local_addrs().collect();
    let mut plain = common::connect_to(places[0]);
    let expired = |params: &mut CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    };
    let early = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    };
    let of_a_server = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    // The right certificate, and the key of another.
    let (cert, key) = (ours.client().0, ours.client().1);
    let table: &[(&str, Option<Identity>, bool)] = &[
        ("good", Some(ours.client()), true),
        ("without a purpose", Some(ours.sign(|_| {})), true),
        ("none", None, false),
        ("of another authority", Some(theirs.client()), false),
        ("expired", Some(ours.sign(expired)), false),
        ("not valid yet", Some(ours.sign(early)), false),
        ("for servers", Some(ours.sign(of_a_server)), false),
        ("copied without its key", Some((cert, key)), false),
    ];
    let mut refused = 0.0;
    for version in [&TLS12, &TLS13] {
        for (no, (what, identity, gets_in)) in table.iter().enumerate() {
            let key = format!("{:?}-{no}", version.version);
            let put = format!("PUT {key} 1\n");
            let asked = ask(places[1], &pair, version, identity.as_ref(), (&put, "OK\n"));
            assert_eq!(asked.is_ok(), *gets_in, "{what}: {asked:?}");
            let expected = if *gets_in { "1\n" } else { "NOTFOUND\n" };
            let get = format!("GET {key}\n");
            common::exchange(&mut plain, get.as_bytes(), expected.as_bytes());
            refused += f64::from(u8::from(!gets_in));
        }
    }
    let admin = server.admin_addr().expect("has one");
    wait_until("they are counted", || {
        let metrics = get(admin, "/metrics").body;
        let of = |how: &str| {
            let name = format!("flagstone_tls_handshakes_total{{result=\"{how}\"}}");
            sample(&metrics, &name).expect("is told")
        };
        of("done") == 4.0 && of("failed") + of("abandoned") == refused
    });
}

#[test]
fn no_version_before_the_least_is_spoken() {
    let pair = Pair::new("versions");
    let exchange = ("PUT a 1\n", "OK\n");
    for (least, speaks_12) in [(TlsVersion::Tls12, true), (TlsVersion::Tls13, false)] {
        let server = start_with(Config {
            tls_min: least,
            ..config(&pair)
        });
        let secret = server.local_addrs().nth(1).expect("two places");
        let asked = ask(secret, &pair, &TLS12, None, exchange);
        assert_eq!(asked.is_ok(), speaks_12, "{least:?}: {asked:?}");
        ask(secret, &pair, &TLS13, None, exchange).expect("1.3 is spoken");
    }
}

#[test]
fn the_authorities_are_read_again_on_sighup() {
    let pair = Pair::new("authorities");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let mut command = flagstone();
    command
        .args(["--listen", "tls:127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args([
            "--memory",
            "48m",
            "--max-connections",
            "10",
            "--tls-min",
            "1.3",
        ])
        .arg("--tls-cert")
        .arg(&pair.cert)
        .arg("--tls-key")
        .arg(&pair.key)
        .arg("--tls-client-ca")
        .arg(&old.file);
    let process = Process::spawn(command);
    let address = process.places[0].trim_start_matches("tls:");
    let address: SocketAddr = address.parse().expect("an address");
    let (before, after) = (old.client(), new.client());
    let is_let_in = |identity| {
        let exchange = ("GET a\n", "NOTFOUND\n");
        ask(address, &pair, &TLS13, Some(identity), exchange).is_ok()
    };
    assert!(is_let_in(&before) && !is_let_in(&after));
    let of = |file: &PathBuf| std::fs::read_to_string(file).expect("readable");
    let both = of(&old.file) + &of(&new.file);
    let only_new = of(&new.file);
    std::fs::write(&old.file, both).expect("writable");
    process.signal("HUP");
    wait_until("both are trusted", || is_let_in(&after));
    assert!(is_let_in(&before));
    // One that cannot be used changes nothing.
    std::fs::write(&old.file, "nothing\n").expect("writable");
    process.signal("HUP");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(is_let_in(&before) && is_let_in(&after));
    std::fs::write(&old.file, only_new).expect("writable");
    process.signal("HUP");
    wait_until("the old one is gone", || !is_let_in(&before));
    assert!(is_let_in(&after));
}

#[test]
fn settings_that_cannot_work_are_refused_with_a_sentence() {
    let pair = Pair::new("unusable");
    let start = |change: fn(&mut Config)| {
        let mut config = config(&pair);
        change(&mut config);
        Server::start(config)
            .map(drop)
            .expect_err("cannot work")
            .to_string()
    };
    let refused = start(|config| config.tls_client_ca = Some("/flagstone-no-such-ca".into()));
    let why = "--tls-client-ca \"/flagstone-no-such-ca\" cannot be used: ";
    assert!(refused.starts_with(why), "{refused}");
    // A key is no authority.
    let refused = start(|config| config.tls_client_ca = config.tls_key.clone());
    assert!(
        refused.contains("there is no certificate in it"),
        "{refused}"
    );
    let refused = start(|config| {
        config.listen.truncate(1);
        config.tls_client_ca = config.tls_cert.take();
        config.tls_key = None;
    });
    assert!(
        refused.contains("is of no use without a place for TLS"),
        "{refused}"
    );
    let output = common::process::run(&["plan", "--tls-min", "1.1"], &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("1.2 and 1.3 are"), "{said}");
}
