//! Opening the places where connections come in.

use super::error::StartError;
use super::handed::{self, Handed};
use super::stop::Stop;
use crate::admin;
use crate::auth::tls::CertificateStore;
use crate::auth::users::Logins;
use crate::net::socket::Listening;
use crate::settings::config::Config;
use crate::settings::endpoint::{Endpoint, Place};
use crate::settings::listen::Listen;
use rustix::io::Errno;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

/// Where clients come in, and what they have to show.
pub(super) struct Doors {
    pub tls: Option<Arc<CertificateStore>>,
    pub users: Arc<Logins>,
    pub places: Vec<Place>,
    /// The places, as reports tell of them.
    pub listen: Listen,
    pub admin: Option<TcpListener>,
    pub admin_address: Option<SocketAddr>,
}

impl Doors {
    /// Reads certificates, users and tokens, which SIGHUP reads again from now on, and listens, where a socket is handed
    /// over for a place by that one.
    pub fn open(
        config: &Config,
        mut handed: Vec<Handed>,
        stop: &mut Stop,
    ) -> Result<(Self, Vec<Listening>), StartError> {
        let tls = CertificateStore::of(config).map_err(StartError::Invalid)?;
        let users = Arc::new(Logins::of(config).map_err(StartError::Invalid)?);
        stop.reloads(tls.as_ref(), &users);
        let (listeners, places) = listen_on(config, tls.as_ref(), &mut handed)?;
        let (admin, admin_address) = listen_for_pages(config, &mut handed)?;
        handed::refuse_rest(handed)?;
        let mut listen = Listen::new(&places, config.unix_mode);
        let auth_file = config.auth_file.as_ref();
        if let Some(path) = auth_file.or(config.auth_token_file.as_ref()) {
            listen.auth_file = path.display().to_string();
        }
        let doors = Doors {
            tls,
            users,
            places,
            listen,
            admin,
            admin_address,
        };
        Ok((doors, listeners))
    }

    /// Whom the admin pages answer.
    pub fn rules<'r>(&'r self, config: &'r Config) -> admin::Rules<'r> {
        admin::Rules {
            hosts: &config.admin_hosts,
            logins: &self.users,
        }
    }
}

/// Where the admin pages are to be, if anywhere.
fn listen_for_pages(
    config: &Config,
    handed: &mut Vec<Handed>,
) -> Result<(Option<TcpListener>, Option<SocketAddr>), StartError> {
    let Some(address) = config.admin else {
        return Ok((None, None));
    };
    if let Some(socket) = handed::take_for(&Place::Tcp(address), handed) {
        let listener = admin::adopt(socket).map_err(|error| StartError::Admin(address, error))?;
        return Ok((Some(listener), Some(address)));
    }
    match listen_for_admin(address) {
        Ok((listener, address)) => Ok((Some(listener), Some(address))),
        // A second server on one machine: nobody has asked for this address.
        Err(StartError::Admin(_, error))
            if config.admin_is_default && error.kind() == io::ErrorKind::AddrInUse =>
        {
            log::warn!(
                "no admin pages: {address} is taken, by another server perhaps; --admin \
                 ADDR:PORT names a place for those of this one, --admin none does without"
            );
            Ok((None, None))
        }
        Err(error) => Err(error),
    }
}

fn listen_for_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listened = match admin::listen(address) {
        // All addresses, of the one family that there is.
        Err(error)
            if address.ip().is_unspecified() && is_without_ipv6(&Place::Tcp(address), &error) =>
        {
            admin::listen((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        listened => listened,
    };
    listened
        .and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        })
        .map_err(|error| StartError::Admin(address, error))
}

fn listen_on(
    config: &Config,
    tls: Option<&Arc<CertificateStore>>,
    handed: &mut Vec<Handed>,
) -> Result<(Vec<Listening>, Vec<Place>), StartError> {
    let mut listen_on = |endpoint: &Endpoint| {
        let listening = match handed::take_for(&endpoint.place, handed) {
            Some(socket) => Listening::adopt(endpoint, socket, tls)?,
            None => Listening::open(endpoint, config.unix_mode, tls)?,
        };
        let place = listening.place()?;
        Ok((listening, place))
    };
    let mut opened = (Vec::new(), Vec::new());
    let mut without_ipv6 = None;
    for endpoint in &config.listen {
        match listen_on(endpoint) {
            Ok((listening, place)) => {
                opened.0.push(listening);
                opened.1.push(place);
            }
            Err(error) if is_without_ipv6(&endpoint.place, &error) => {
                log::warn!("--listen {endpoint}: there is no IPv6 here ({error})");
                without_ipv6 = Some(StartError::Listen(endpoint.place.clone(), error));
            }
            Err(error) => return Err(StartError::Listen(endpoint.place.clone(), error)),
        }
    }
    match without_ipv6 {
        Some(error) if opened.0.is_empty() => Err(error),
        _ => Ok(opened),
    }
}

/// Where a system has no IPv6, its half of `localhost`, or of all addresses, is not missed as
/// long as there is another place.
pub(super) fn is_without_ipv6(place: &Place, error: &io::Error) -> bool {
    let Place::Tcp(SocketAddr::V6(address)) = place else {
        return false;
    };
    let is_general = address.ip().is_unspecified() || address.ip().is_loopback();
    is_general
        && matches!(
            Errno::from_io_error(error),
            Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
        )
}
