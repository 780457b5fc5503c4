//! Containers, through the `docker` command: what a user types is what is tested.

use std::process::Command;

/// A running container. Removed, with whatever runs in it, when dropped.
#[derive(Debug)]
pub struct Container {
    id: String,
}

/// How a container is started.
#[derive(Clone, Debug)]
pub struct ContainerOptions {
    /// The image.
    pub image: String,
    /// `--memory`, and swap that adds nothing to it.
    pub limit_bytes: u64,
    /// `--ulimit nofile`.
    pub open_files: u64,
    /// `-p 127.0.0.1::7171` instead of the host's network, whose proxies would be measured too.
    pub published: bool,
    /// `-e NAME=VALUE`.
    pub env: Vec<(String, String)>,
    /// Arguments of the image's entry point.
    pub args: Vec<String>,
    /// Options of `docker run` beyond these.
    pub more: Vec<String>,
}

/// How a container stands, by the engine's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether it runs.
    pub running: bool,
    /// Whether the kernel killed something in it for memory.
    pub oom_killed: bool,
    /// The exit code of its first process.
    pub exit_code: i32,
    /// The first process, seen from the host; 0 when it has ended.
    pub pid: u32,
    /// `healthy`, `unhealthy`, `starting`, or `none`.
    pub health: String,
}

/// Runs `docker` and returns what it printed; the error is a sentence with the engine's own
/// words.
pub fn docker(args: &[&str]) -> Result<String, String> {
    let output = Command::new("docker")
        .args(args)
        .output()
        .map_err(|error| format!("the docker command cannot be run: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!(
            "docker {}: {}",
            args.join(" "),
            text(&output.stderr)
        ))
    }
}

/// Why no container can be run here; `None` when one can.
#[must_use]
pub fn missing(image: &str) -> Option<String> {
    if let Err(error) = docker(&["version", "--format", "{{.Server.Version}}"]) {
        let first = error.lines().next().unwrap_or_default();
        return Some(format!("docker engine not available ({first})"));
    }
    docker(&["image", "inspect", "--format", "{{.Id}}", image])
        .err()
        .map(|_| format!("image {image} not built: run scripts/build-image"))
}

impl Container {
    /// `docker run --detach --read-only --cap-drop ALL …`.
    pub fn run(options: &ContainerOptions) -> Result<Self, String> {
        let limit = options.limit_bytes.to_string();
        let nofile = format!("nofile={0}:{0}", options.open_files);
        let env: Vec<String> = options
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut args = vec!["run", "--detach", "--read-only", "--cap-drop", "ALL"];
        args.extend([
            "--security-opt",
            "no-new-privileges",
            "--memory",
            &limit,
            "--memory-swap",
            &limit,
        ]);
        args.extend(["--ulimit", &nofile]);
        args.extend(if options.published {
            ["--publish", "127.0.0.1::7171"]
        } else {
            ["--network", "host"]
        });
        for pair in &env {
            args.extend(["--env", pair]);
        }
        args.extend(options.more.iter().map(String::as_str));
        args.push(&options.image);
        args.extend(options.args.iter().map(String::as_str));
        docker(&args).map(|id| Self { id })
    }

    /// How it stands now.
    pub fn state(&self) -> Result<State, String> {
        let format = "{{.State.Running}} {{.State.OOMKilled}} {{.State.ExitCode}} {{.State.Pid}} \
                      {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}";
        let line = docker(&["inspect", "--format", format, &self.id])?;
        let mut fields = line.split_whitespace();
        let mut next = || {
            fields
                .next()
                .ok_or_else(|| format!("docker inspect printed '{line}'"))
        };
        Ok(State {
            running: next()? == "true",
            oom_killed: next()? == "true",
            exit_code: next()?
                .parse()
                .map_err(|_| format!("docker inspect printed '{line}'"))?,
            pid: next()?
                .parse()
                .map_err(|_| format!("docker inspect printed '{line}'"))?,
            health: next()?.to_owned(),
        })
    }

    /// The host's address of the published port 7171.
    pub fn published_address(&self) -> Result<std::net::SocketAddr, String> {
        let line = docker(&["port", &self.id, "7171/tcp"])?;
        line.lines()
            .find_map(|line| line.trim().parse().ok())
            .ok_or_else(|| format!("docker port printed '{line}'"))
    }

    /// Changes the limit in place. The engine refuses one that the usage does not fit in.
    pub fn set_limit(&self, limit_bytes: u64) -> Result<(), String> {
        let limit = limit_bytes.to_string();
        docker(&[
            "update",
            "--memory",
            &limit,
            "--memory-swap",
            &limit,
            &self.id,
        ])
        .map(drop)
    }

    /// What the engine calls it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `docker stop`: SIGTERM, and SIGKILL after ten seconds.
    pub fn stop(&self) -> Result<(), String> {
        docker(&["stop", &self.id]).map(drop)
    }

    /// What it has printed, both streams, the last lines.
    #[must_use]
    pub fn log(&self) -> String {
        let output = Command::new("docker")
            .args(["logs", "--tail", "40", &self.id])
            .output();
        output.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Nothing to be done about a failure here, and the next run uses another port.
        let _ = docker(&["rm", "--force", "--volumes", &self.id]);
    }
}
