//! Who may do what: users and tokens, failed logins, certificates and TLS.

pub(crate) mod certificate;
pub(crate) mod guesses;
pub mod tls;
pub mod users;
