//! The server under test, in a container or in a control group of the suite's own: from here
//! on nobody asks which.

use crate::cgroup::{Cgroup, Figures, resident};
use crate::docker::{self, Container, ContainerOptions};
use crate::socket::free_port;
use crate::stats::{Client, wait_until_listening};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Where servers are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In containers of this image.
    Docker {
        /// Its name.
        image: String,
    },
    /// As child processes in control groups that the suite makes.
    Group {
        /// The `flagstone` binary.
        binary: PathBuf,
    },
}

enum Body {
    Container(Container),
    Child { child: Child, log: PathBuf },
}

/// A running server and its control group.
pub struct Subject {
    body: Body,
    group: Cgroup,
    pid: u32,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Place {
    /// Containers if there are any, else own control groups; the error says what is missing
    /// for both.
    pub fn find() -> Result<Self, String> {
        let no_docker = match Self::docker() {
            Ok(place) => return Ok(place),
            Err(why) => why,
        };
        Self::group().map_err(|no_group| format!("{no_docker}; {no_group}"))
    }

    /// Containers, or what is missing for them. `TEST_IMAGE` names another image.
    pub fn docker() -> Result<Self, String> {
        let image = std::env::var("TEST_IMAGE").unwrap_or_else(|_| "flagstone:local".to_owned());
        docker::missing(&image).map_or(Ok(Self::Docker { image }), Err)
    }

    /// Own control groups, or what is missing for them.
    pub fn group() -> Result<Self, String> {
        Cgroup::make(64 << 20)?;
        crate::binary().map(|binary| Self::Group { binary })
    }

    /// One word for tables.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Place::Docker { .. } => "container",
            Place::Group { .. } => "own cgroup",
        }
    }

    /// Starts Flagstone under a limit, with these arguments, and waits until it listens.
    /// `TEST_MEMTEST_ARGS` in the environment adds more, to try the suite against
    /// another setting.
    pub fn start(&self, limit_bytes: u64, args: &[&str]) -> Result<Subject, String> {
        let addr = loopback()?;
        let more = std::env::var("TEST_MEMTEST_ARGS").unwrap_or_default();
        let args: Vec<&str> = args
            .iter()
            .copied()
            .chain(more.split_whitespace())
            .collect();
        match self {
            Place::Docker { image } => {
                let container = Container::run(&ContainerOptions {
                    image: image.clone(),
                    limit_bytes,
                    open_files: crate::socket::raise_open_files().min(1 << 20),
                    published: false,
                    // The admin pages are part of the plan; any port will do, on the host's
                    // network, which others use too.
                    env: [
                        ("FLAGSTONE_LISTEN", addr.to_string()),
                        ("FLAGSTONE_ADMIN", "127.0.0.1:0".to_owned()),
                        ("FLAGSTONE_SEAL", "abort".to_owned()),
                    ]
                    .map(|(name, value)| (name.to_owned(), value))
                    .into(),
                    args: args.into_iter().map(str::to_owned).collect(),
                    // Ten times as often as the image has it: what a health check costs must
                    // fit in the plan too.
                    more: vec!["--health-interval=1s".to_owned()],
                })?;
                let state = container.state()?;
                let started = Cgroup::of_process(state.pid).map_err(|error| error.to_string());
                let group = started.map_err(|error| format!("{error}\n{}", container.log()))?;
                Subject {
                    body: Body::Container(container),
                    group,
                    pid: state.pid,
                    addr,
                }
                .wait()
            }
            Place::Group { binary } => {
                let mut command = Command::new(binary);
                command
                    .args(args)
                    .env("FLAGSTONE_LISTEN", addr.to_string())
                    // What allocates while it serves a request ends, and whoever watches it finds that.
                    .env("FLAGSTONE_SEAL", "abort")
                    .env("FLAGSTONE_ADMIN", "127.0.0.1:0");
                Subject::spawn(&mut command, limit_bytes, addr)
            }
        }
    }
}

fn loopback() -> Result<SocketAddr, String> {
    let port = free_port().map_err(|error| format!("no free port: {error}"))?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

impl Subject {
    /// Starts any server in a control group of the suite's own: peers are measured that way too.
    pub fn spawn(
        command: &mut Command,
        limit_bytes: u64,
        addr: SocketAddr,
    ) -> Result<Self, String> {
        let group = Cgroup::make(limit_bytes)?;
        crate::socket::raise_open_files(); // inherited by the child
        let log = std::env::temp_dir().join(format!(
            "flagstone-memtest-{}-{}.log",
            std::process::id(),
            addr.port()
        ));
        let spawned = File::create(&log).and_then(|file| group.spawn(command, file));
        let child = spawned.map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        let pid = child.id();
        Self {
            body: Body::Child { child, log },
            group,
            pid,
            addr,
        }
        .wait()
    }

    fn wait(mut self) -> Result<Self, String> {
        let addr = self.addr;
        match wait_until_listening(addr, || self.survived().is_ok()) {
            Ok(()) => Ok(self),
            Err(error) => Err(format!("{error}\n{}", self.log())),
        }
    }

    /// That it runs and that nothing in its group was killed; the error is what happened to it.
    pub fn survived(&mut self) -> Result<(), String> {
        match &mut self.body {
            Body::Container(container) => {
                let state = container.state()?;
                if !state.running || state.oom_killed {
                    return Err(format!("the container ended: {state:?}"));
                }
            }
            Body::Child { child, .. } => {
                if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                    return Err(format!("the server ended: {status}"));
                }
            }
        }
        match self.figures()?.kill_count {
            0 => Ok(()),
            kills => Err(format!(
                "{kills} processes of the group were killed for memory"
            )),
        }
    }

    /// Processes killed for memory; also when the container has gone, and its group with it.
    #[must_use]
    pub fn kill_count(&self) -> u64 {
        match (self.figures(), &self.body) {
            (Ok(figures), _) => figures.kill_count,
            (Err(_), Body::Container(container)) => {
                u64::from(container.state().is_ok_and(|state| state.oom_killed))
            }
            (Err(_), Body::Child { .. }) => 0,
        }
    }

    /// The group's figures.
    pub fn figures(&self) -> Result<Figures, String> {
        self.group
            .figures()
            .map_err(|error| format!("the control group's figures: {error}"))
    }

    /// Peak and present resident bytes of the server process.
    pub fn resident(&self) -> Result<(u64, u64), String> {
        resident(self.pid).map_err(|error| format!("the process's status: {error}"))
    }

    /// The server's own statistics.
    pub fn stats(&self) -> Result<BTreeMap<String, String>, String> {
        Client::connect(self.addr)
            .and_then(|mut client| client.stats("STATS"))
            .map_err(|error| format!("STATS: {error}"))
    }

    /// Moves the limit to `target_bytes` as an operator can: upwards at once, downwards by
    /// what is not used, so often as the server gives memory back. (v1 refuses a limit below
    /// the usage, v2 would kill at once, and an engine that cares refuses too: between two
    /// steps the server has to have followed the first.)
    pub fn move_limit(
        &mut self,
        target_bytes: u64,
        patience: Duration,
    ) -> Result<Duration, String> {
        let start = Instant::now();
        let mut last = String::new();
        loop {
            let Figures {
                limit_bytes,
                usage_bytes,
                ..
            } = self.figures()?;
            if limit_bytes == target_bytes {
                return Ok(start.elapsed());
            }
            // A thirty-second stays free: the load goes on while the limit moves.
            let lowest = usage_bytes + limit_bytes / 32;
            let page = 4096;
            let next = target_bytes.max(lowest.min(limit_bytes)) / page * page;
            let outcome = match &self.body {
                Body::Container(container) => container.set_limit(next),
                Body::Child { .. } => self
                    .group
                    .set_limit(next)
                    .map_err(|error| error.to_string()),
            };
            if let Err(error) = outcome {
                last = error;
            }
            self.survived()?;
            if start.elapsed() > patience {
                let now = self.figures()?;
                return Err(format!(
                    "the limit is {} and not {} after {patience:?}, usage {}: {last}",
                    now.limit_bytes, target_bytes, now.usage_bytes
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What it has printed, the end of it.
    #[must_use]
    pub fn log(&self) -> String {
        match &self.body {
            Body::Container(container) => container.log(),
            Body::Child { log, .. } => {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                lines[lines.len().saturating_sub(40)..].join("\n")
            }
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Body::Child { child, log } = &mut self.body {
            let _ = child.kill(); // has ended by itself, else
            let _ = child.wait();
            let _ = std::fs::remove_file(log);
        }
    }
}
