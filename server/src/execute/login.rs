//! Letting clients in, however their protocol asks.

use super::done::Done;
use crate::observe::counters::Counters;
use crate::proto::{Refusal, Reply, Role};
use crate::server::shared::Shared;

/// Somebody wants to be let in.
pub fn log_in(
    shared: &Shared<'_>,
    user: &[u8],
    password: &[u8],
    lenient: bool,
    counters: &Counters,
) -> Done {
    counters.logins.add(1);
    if let Some(role) = shared.users.know(user, password) {
        return Done::LoggedIn(role);
    }
    if lenient && shared.users.is_empty() {
        return Done::LoggedIn(Role::Admin);
    }
    counters.login_errors.add(1);
    // Where there is no login, none can be guessed.
    match shared.users.is_empty() {
        true => Done::Reply(Reply::Refused(Refusal::LoginFailed)),
        false => Done::LoginFailed,
    }
}
