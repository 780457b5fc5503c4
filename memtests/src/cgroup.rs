//! Memory control groups, both versions: reading a container's figures, and making a group
//! where there is no engine.
//!
//! | figure      | v2                          | v1                          |
//! |-------------|-----------------------------|-----------------------------|
//! | limit       | `memory.max`                | `memory.limit_in_bytes`     |
//! | usage       | `memory.current`            | `memory.usage_in_bytes`     |
//! | peak        | `memory.peak` (Linux 5.19)  | `memory.max_usage_in_bytes` |
//! | at limit    | `max` in `memory.events`    | `memory.failcnt`            |
//! | OOM kills   | `oom_kill` in the same      | in `memory.oom_control`     |
//!
//! Usage counts page cache and kernel memory as well as the process's own; reaching the limit
//! is no crime by itself (the kernel then drops cache), being killed is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Which interface a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// One memory control group.
#[derive(Clone, Debug)]
pub struct Cgroup {
    dir: PathBuf,
    version: Version,
    made: bool,
}

/// What a group has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// The limit in force.
    pub limit_bytes: u64,
    /// Charged now.
    pub usage_bytes: u64,
    /// The most that was ever charged; 0 where the kernel does not tell.
    pub peak_bytes: u64,
    /// How often the limit stopped a charge until something was reclaimed.
    pub at_limit_count: u64,
    /// Processes killed for memory.
    pub kill_count: u64,
}

impl Cgroup {
    /// The group that a process belongs to.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let mut unified = None;
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
                continue;
            };
            if controllers.split(',').any(|name| name == "memory") {
                let dir = mount_point("cgroup", "memory")?.join(path.trim_start_matches('/'));
                return Ok(Self {
                    dir,
                    version: Version::V1,
                    made: false,
                });
            }
            if controllers.is_empty() {
                unified = Some(path);
            }
        }
        let path = unified.ok_or_else(|| io::Error::other("no memory control group"))?;
        let dir = mount_point("cgroup2", "")?.join(path.trim_start_matches('/'));
        Ok(Self {
            dir,
            version: Version::V2,
            made: false,
        })
    }

    /// Makes a group with a limit and without swap. It is removed when dropped.
    ///
    /// Tried below the own group first and then further up: with v2 a group that holds
    /// processes cannot lend its controllers to children.
    pub fn make(limit_bytes: u64) -> Result<Self, String> {
        static NTH: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let own = Self::of_process(std::process::id()).map_err(|error| error.to_string())?;
        let nth = NTH.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("flagstone-memtest-{}-{nth}", std::process::id());
        let mut refusals = String::new();
        for base in own
            .dir
            .ancestors()
            .take_while(|dir| dir.starts_with("/sys/fs/cgroup"))
        {
            let group = Self {
                dir: base.join(&name),
                version: own.version,
                made: true,
            };
            if own.version == Version::V2 {
                // May be on already, or forbidden: the limit below tells.
                let _ = fs::write(base.join("cgroup.subtree_control"), "+memory");
            }
            match fs::create_dir(&group.dir).and_then(|()| group.set_limit(limit_bytes)) {
                Ok(()) => {
                    if own.version == Version::V2 {
                        // Absent where the kernel has no swap.
                        let _ = fs::write(group.dir.join("memory.swap.max"), "0");
                    }
                    return Ok(group);
                }
                Err(error) => refusals += &format!("\n  {}: {error}", base.display()),
            }
        }
        Err(format!("no memory control group can be made:{refusals}"))
    }

    /// Starts a command inside the group; what it prints goes to `log`.
    ///
    /// A shell enters the group and becomes the command: what is charged before `exec` is
    /// freed by it, and no code has to run between fork and exec of a threaded process.
    pub fn spawn(&self, command: &mut Command, log: fs::File) -> io::Result<Child> {
        let mut shell = Command::new("/bin/sh");
        shell
            .arg("-c")
            .arg("echo $$ > \"$0\" && exec \"$@\"")
            .arg(self.dir.join("cgroup.procs"));
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    /// Which interface the group has.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Changes the limit. v1 refuses one below the usage that cannot be reclaimed; v2 would kill.
    pub fn set_limit(&self, limit_bytes: u64) -> io::Result<()> {
        fs::write(
            self.dir
                .join(self.file("memory.limit_in_bytes", "memory.max")),
            limit_bytes.to_string(),
        )
    }

    /// All figures, as they are now.
    pub fn figures(&self) -> io::Result<Figures> {
        let number = |v1, v2| -> io::Result<u64> {
            let text = fs::read_to_string(self.dir.join(self.file(v1, v2)))?;
            Ok(text.trim().parse().unwrap_or(u64::MAX)) // "max" is no limit
        };
        let word = |file: &str, name: &str| -> io::Result<u64> {
            let text = fs::read_to_string(self.dir.join(file))?;
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            Ok(line
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(0))
        };
        let (at_limit_count, kill_count) = match self.version {
            Version::V1 => (
                number("memory.failcnt", "")?,
                word("memory.oom_control", "oom_kill")?,
            ),
            Version::V2 => (
                word("memory.events", "max")?,
                word("memory.events", "oom_kill")?,
            ),
        };
        Ok(Figures {
            limit_bytes: number("memory.limit_in_bytes", "memory.max")?,
            usage_bytes: number("memory.usage_in_bytes", "memory.current")?,
            peak_bytes: number("memory.max_usage_in_bytes", "memory.peak").unwrap_or(0),
            at_limit_count,
            kill_count,
        })
    }

    fn file(&self, v1: &'static str, v2: &'static str) -> &'static str {
        match self.version {
            Version::V1 => v1,
            Version::V2 => v2,
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A group is busy until the kernel has buried its last process.
        let start = Instant::now();
        while self.made && self.dir.exists() && start.elapsed() < Duration::from_secs(2) {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Where a hierarchy is mounted, seen from here.
fn mount_point(kind: &str, option: &str) -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let found = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (dir, this_kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let fits = this_kind == kind
            && (option.is_empty() || options.split(',').any(|name| name == option));
        fits.then(|| Path::new(dir).to_owned())
    });
    found.ok_or_else(|| io::Error::other(format!("no {kind} hierarchy {option} is mounted")))
}

/// The most memory that a process ever had resident (`VmHWM`), and what it has now (`VmRSS`),
/// in bytes.
pub fn resident(pid: u32) -> io::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .unwrap_or(0)
    };
    Ok((kib("VmHWM:") << 10, kib("VmRSS:") << 10))
}
