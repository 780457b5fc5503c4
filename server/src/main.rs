//! The binary `flagstone`: settings in, an exit code out.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use flagstone_server::auth::users::Login;
use flagstone_server::auth::{tls, users};
use flagstone_server::commands::healthcheck::Target;
use flagstone_server::commands::{healthcheck, snapshot, stats, top};
use flagstone_server::memory::plan::ServerPlan;
use flagstone_server::observe::allocations::Counting;
use flagstone_server::observe::logs;
use flagstone_server::settings::asked::{self, Asked, Invocation, Refusal};
use flagstone_server::{Server, StartError};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The settings cannot work.
const EXIT_INVALID: u8 = 2;
/// The settings could work, but something else is in the way.
const EXIT_FAILED: u8 = 1;

fn main() -> ExitCode {
    let is_question = asked::is_question(std::env::args_os());
    let asked = match asked::read(std::env::args_os()) {
        Ok(asked) => asked,
        // Prints help and version to stdout with code 0, and mistakes to stderr with code 2.
        Err(Refusal::Usage(error)) if !is_question || !error.use_stderr() => error.exit(),
        Err(Refusal::Usage(error)) => {
            let _ = error.print();
            return ExitCode::from(EXIT_FAILED);
        }
        Err(Refusal::Invalid(invalid)) if is_question => return refuse(&invalid, EXIT_FAILED),
        Err(Refusal::Invalid(invalid)) => return refuse(&invalid, EXIT_INVALID),
    };
    match asked {
        Asked::Plan(invocation) => print_plan(&invocation),
        Asked::Serve(invocation) => serve(&invocation),
        Asked::CheckConfig(invocation) => check_config(&invocation),
        Asked::PrintConfig(invocation) => say(&invocation.print()),
        Asked::Healthcheck(target) => check(&target),
        Asked::Stats(target, login, certificate) => {
            print_stats(&target, login.as_ref(), certificate.as_deref())
        }
        Asked::Top {
            address,
            token,
            once,
        } => match top::run(address, token.as_deref(), once) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&error, EXIT_FAILED),
        },
        Asked::Snapshot(address, token) => match snapshot::ask(address, token.as_deref()) {
            Ok(done) => say(&format!("flagstone: {done}\n")),
            Err(error) => refuse(&error, EXIT_FAILED),
        },
    }
}

fn print_plan(invocation: &Invocation) -> ExitCode {
    match ServerPlan::new(&invocation.config, 0) {
        Ok(plan) => say(&plan.to_string()),
        Err(invalid) => refuse(&invocation.blame(invalid), EXIT_INVALID),
    }
}

fn check_config(invocation: &Invocation) -> ExitCode {
    let checked = ServerPlan::new(&invocation.config, 0)
        .and_then(|_| tls::CertificateStore::of(&invocation.config).map(drop))
        .and_then(|()| users::Users::of(&invocation.config).map(drop));
    invocation.warn(|warning| {
        let _ = writeln!(std::io::stderr(), "flagstone: warning: {warning}");
    });
    match checked {
        Ok(()) => say("flagstone: the settings work\n"),
        Err(invalid) => refuse(&invocation.blame(invalid), EXIT_INVALID),
    }
}

fn print_stats(target: &Target, login: Option<&Login>, certificate: Option<&Path>) -> ExitCode {
    match stats::ask(target, login, certificate) {
        Ok(lines) => say(&lines),
        Err(untold) => refuse(&untold, EXIT_FAILED),
    }
}

fn check(target: &Target) -> ExitCode {
    match healthcheck::ask(target) {
        Ok(target) => say(&format!("flagstone: the server at {target} answers\n")),
        Err(unhealthy) => refuse(&unhealthy, EXIT_FAILED),
    }
}

fn serve(invocation: &Invocation) -> ExitCode {
    logs::begin(invocation.log);
    invocation.warn(|warning| log::warn!("{warning}"));
    let code = match Server::run_until_signal(&invocation.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Invalid(invalid)) => {
            log::error!("{}", invocation.blame(invalid));
            ExitCode::from(EXIT_INVALID)
        }
        Err(error) => {
            log::error!("{error}");
            ExitCode::from(EXIT_FAILED)
        }
    };
    // The last message is on its way.
    log::logger().flush();
    code
}

/// Prints what was asked for. Who reads no further, as `head` does, has what it wanted.
fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            refuse(&format_args!("cannot print: {error}"), EXIT_FAILED)
        }
        _ => ExitCode::SUCCESS,
    }
}

fn refuse(why: &dyn std::fmt::Display, code: u8) -> ExitCode {
    // Where nobody listens, the code has to say it.
    let _ = writeln!(std::io::stderr(), "flagstone: {why}");
    ExitCode::from(code)
}
