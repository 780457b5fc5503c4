//! Crowds of clients on a running server, from one thread, and what became of those that behave.
//!
//! ```text
//! crowd ADDRESS SCENE [--clients N] [--seconds N] [--tls ADDRESS] [--pid PID] [--megabytes N]
//! ```
//!
//! `ADDRESS` is `host:port` or `unix:PATH` of a server that speaks the native protocol. `scripts/cgroup2` runs this
//! beside a server in a memory limit; it runs against any server just as well.
//!
//! | scene | the crowd | behaves |
//! |---|---|---|
//! | `fill` | one client that writes `--megabytes` (80) of 1 KB values | yes |
//! | `deaf` | each sends GETs without end and never reads | no |
//! | `writers` | each writes batches of 60 values of 1 KB and reads all replies | yes |
//! | `readers` | each reads batches of 60 values of 1 KB and checks them | yes |
//! | `trickle` | each sends a small request every second and a half | yes |
//! | `long` | each writes a value of 1 MiB, reads it back and checks it, four a second in all | yes |
//! | `slow` | each reads values of 1 MiB at 100 KB/s | makes progress |
//! | `churn` | each connects, asks once, and goes | yes |
//! | `hellos` | each sends all of a TLS hello of 64 KiB but its last byte | no |
//! | `halves` | each sends the first half of a TLS hello that a usual client would send, and waits | no |
//! | `door` | newcomers that stand in the backlog while the server is told to end (`--pid`) | no |
//! | `all` | deaf, writers, readers, slow, long and churn at once | in part |
//!
//! In each of them a bystander asks one small question after the other. The last line is the verdict; the exit code is 1
//! if a client that behaves was closed, reset, refused or lied to, or if readers and the trickle found less than half of what
//! they asked for: write the 2,000 keys that they read last, `fill --megabytes 2`.

mod client;
mod crowd;

use std::process::ExitCode;
use std::time::Duration;

use crowd::{Crowd, Scene};
use flagstone_memtests::socket::raise_open_files;

fn main() -> ExitCode {
    let settings = match Settings::of_arguments() {
        Ok(settings) => settings,
        Err(complaint) => {
            eprintln!("crowd: {complaint}");
            return ExitCode::from(2);
        }
    };
    raise_open_files();
    match Crowd::new(&settings).and_then(Crowd::run) {
        Ok(verdict) => {
            println!("{verdict}");
            ExitCode::from(u8::from(!verdict.is_good()))
        }
        Err(error) => {
            println!("crowd {}: {error}", settings.scene.name());
            ExitCode::from(1)
        }
    }
}

/// What the command line asks for.
pub struct Settings {
    address: String,
    tls_address: Option<String>,
    scene: Scene,
    clients: usize,
    time: Duration,
    pid: Option<i32>,
    /// What the filler writes.
    fill_bytes: u64,
}

impl Settings {
    fn of_arguments() -> Result<Self, String> {
        let mut arguments = std::env::args().skip(1);
        let usage = "usage: crowd ADDRESS SCENE [--clients N] [--seconds N] [--tls ADDRESS] [--pid PID] [--megabytes N]";
        let (Some(address), Some(scene)) = (arguments.next(), arguments.next()) else {
            return Err(usage.to_owned());
        };
        let mut settings = Settings {
            address,
            tls_address: None,
            scene: scene.parse()?,
            clients: 100,
            time: Duration::from_secs(5),
            pid: None,
            fill_bytes: 80 << 20,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(usage)?;
            let number = || {
                value
                    .parse()
                    .map_err(|_| format!("{name} {value}: not a number"))
            };
            match name.as_str() {
                "--clients" => settings.clients = number()?,
                "--seconds" => settings.time = Duration::from_secs(number()? as u64),
                "--megabytes" => settings.fill_bytes = (number()? as u64) << 20,
                "--tls" => settings.tls_address = Some(value),
                "--pid" => settings.pid = Some(number()? as i32),
                _ => return Err(format!("unknown setting {name}; {usage}")),
            }
        }
        Ok(settings)
    }
}
