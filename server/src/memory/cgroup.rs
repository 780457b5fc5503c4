//! The memory limit that the process lives under, and what the kernel says about it.
//!
//! ```text
//!   /proc/self/cgroup       4:memory:/docker/ab12        which group
//!   /proc/self/mountinfo    /docker/ab12 → /sys/fs/…     where its hierarchy is seen from here
//!            └─► own directory, then each one above it up to the mount
//! ```
//!
//! | figure | v2 | v1 |
//! |---|---|---|
//! | limit | the less of `memory.max` and `memory.high` | `memory.limit_in_bytes` |
//! | usage | `memory.current` | `memory.usage_in_bytes` |
//! | at the limit | `max` in `memory.events` | `memory.failcnt` |
//! | killed | `oom_kill` in `memory.events` | `oom_kill` in `memory.oom_control` |
//! | sockets | `sock` in `memory.stat` | not charged |
//! | pressure | `memory.pressure` | not told |
//!
//! The limit is the least over the own group and those above it that can be seen. In a
//! container the mount usually begins at the container's own group; then that is all there
//! is to see.
//!
//! [`Watch`] reads the figures again and again through files that stay open, into a fixed
//! buffer, so that nothing is allocated. Everything starts from a root directory, `/` unless
//! a test has made another.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// From here on a limit is none: v1 says "no limit" with the largest multiple of a page.
const NO_LIMIT: u64 = 1 << 60;
/// Longer than any of these files; `memory.stat` has about 2 KiB.
const FILE_BYTES_MAX: usize = 8 << 10;

/// Which interface a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller.
    V1,
    /// The unified hierarchy.
    V2,
}

impl Version {
    /// Each of them counts. Above `memory.high` nobody is killed, but everybody is slowed down until it is kept.
    fn limit_files(self) -> &'static [&'static str] {
        match self {
            Version::V1 => &["memory.limit_in_bytes"],
            Version::V2 => &["memory.max", "memory.high"],
        }
    }

    fn usage_file(self) -> &'static str {
        match self {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        }
    }
}

/// The process's memory groups: its own directories first, then those above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    dirs: Vec<(Version, PathBuf)>,
}

/// A file that is there and cannot be used.
#[derive(Debug)]
pub struct Unreadable {
    path: PathBuf,
    why: String,
}

impl Unreadable {
    fn new(path: &Path, why: impl fmt::Display) -> Self {
        Unreadable {
            path: path.to_owned(),
            why: why.to_string(),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {} ({})", self.path.display(), self.why)
    }
}

impl std::error::Error for Unreadable {}

/// The text of a file; nothing if there is no such file.
fn read(path: &Path) -> Result<Option<String>, Unreadable> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(Unreadable::new(path, error)),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl Groups {
    /// Finds the groups of this process, as seen under `root`.
    ///
    /// # Errors
    /// When a file that should tell is there and cannot be read.
    pub fn find(root: &Path) -> Result<Self, Unreadable> {
        let own = read(&root.join("proc/self/cgroup"))?.unwrap_or_default();
        let mounts = read(&root.join("proc/self/mountinfo"))?.unwrap_or_default();
        let mut dirs = Vec::new();
        for (version, path) in own.lines().filter_map(group_of_line) {
            // Mounted twice, the later one lies on top.
            let mount = mounts
                .lines()
                .rev()
                .find_map(|line| Mount::of_line(line, version));
            let Some(mount) = mount else {
                continue;
            };
            let top = root.join(mount.point.trim_start_matches('/'));
            let below = below_mount(path, &mount.root);
            let own_dir = top.join(below);
            dirs.extend(
                own_dir
                    .ancestors()
                    .take_while(|dir| dir.starts_with(&top))
                    .map(|dir| (version, dir.to_owned())),
            );
        }
        // The hierarchy that has the memory controller comes first; it has the figures.
        dirs.sort_by_key(|(version, dir)| !dir.join(version.usage_file()).exists());
        Ok(Groups { dirs })
    }

    /// The least limit of all groups; `None` if there is none.
    ///
    /// # Errors
    /// When a limit is there and cannot be read, or is not one.
    pub fn limit_bytes(&self) -> Result<Option<u64>, Unreadable> {
        let mut least = None;
        for path in self.limit_paths() {
            let Some(text) = read(&path)? else {
                continue;
            };
            let limit = parse_limit(text.as_bytes()).ok_or_else(|| {
                Unreadable::new(&path, format!("{:?} is no limit", text.trim_end()))
            })?;
            least = at_most(least, limit);
        }
        Ok(least)
    }

    fn limit_paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.dirs.iter().flat_map(|(version, dir)| {
            let names = version.limit_files().iter();
            names.map(move |name| dir.join(name))
        })
    }

    /// Opens what is to be read again and again.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let limits = self
            .limit_paths()
            .filter_map(|path| File::open(path).ok())
            .collect();
        let version = self.dirs.first().map(|(version, _)| *version);
        let open = |v1: &str, v2: &str| {
            let (version, dir) = self.dirs.first()?;
            let name = match version {
                Version::V1 => v1,
                Version::V2 => v2,
            };
            File::open(dir.join(name)).ok()
        };
        Watch {
            version,
            limits,
            usage: open("memory.usage_in_bytes", "memory.current"),
            stat: open("memory.stat", "memory.stat"),
            events: open("memory.oom_control", "memory.events"),
            fail_count: open("memory.failcnt", "memory.events"),
            pressure: open("memory.pressure", "memory.pressure"),
            buffer: vec![0; FILE_BYTES_MAX].into_boxed_slice(),
        }
    }
}

/// The memory group that a line of `/proc/self/cgroup` names.
fn group_of_line(line: &str) -> Option<(Version, &str)> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    if controllers.is_empty() {
        Some((Version::V2, path))
    } else if controllers.split(',').any(|name| name == "memory") {
        Some((Version::V1, path))
    } else {
        None
    }
}

struct Mount {
    /// Which directory of the hierarchy is mounted.
    root: String,
    /// Where.
    point: String,
}

impl Mount {
    /// `31 23 0:28 /docker/ab /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory`
    fn of_line(line: &str, version: Version) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (kind, _, options) = (system.next()?, system.next()?, system.next()?);
        let fits = match version {
            Version::V1 => kind == "cgroup" && options.split(',').any(|name| name == "memory"),
            Version::V2 => kind == "cgroup2",
        };
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        fits.then(|| Mount {
            root: unescape(root),
            point: unescape(point),
        })
    }
}

/// `\040` and the like, with which mountinfo writes spaces.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out += before;
        let code = after
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

/// The way from the mounted directory to `path`. A path that is not below it (the process was
/// moved, or another namespace's names leak in) stands for the mounted directory itself.
fn below_mount<'p>(path: &'p str, mount_root: &str) -> &'p str {
    let below = match path.strip_prefix(mount_root.trim_end_matches('/')) {
        Some(below) if below.is_empty() || below.starts_with('/') => below,
        _ => "",
    };
    let below = below.trim_start_matches('/');
    if below.split('/').any(|part| part == "..") {
        return "";
    }
    below
}

/// A limit file: outer `None` for nonsense, inner for "no limit".
fn parse_limit(text: &[u8]) -> Option<Option<u64>> {
    let text = text.trim_ascii();
    if text == b"max" {
        return Some(None);
    }
    let limit = number(text)?;
    Some((limit < NO_LIMIT).then_some(limit))
}

fn at_most(least: Option<u64>, limit: Option<u64>) -> Option<u64> {
    match (least, limit) {
        (Some(least), Some(limit)) => Some(least.min(limit)),
        (some, None) | (None, some) => some,
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, digit| {
        let digit = u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The number behind `name ` at the beginning of a line.
fn keyed(text: &[u8], name: &[u8]) -> Option<u64> {
    text.split(|&byte| byte == b'\n')
        .find_map(|line| number(line.strip_prefix(name)?.strip_prefix(b" ")?))
}

/// `some avg10=1.23 …` → 123.
fn pressure_hundredths(text: &[u8]) -> Option<u64> {
    let rest = text.strip_prefix(b"some avg10=")?;
    let end = rest.iter().position(|&byte| byte == b' ')?;
    let dot = rest[..end].iter().position(|&byte| byte == b'.')?;
    let fraction = rest[dot + 1..end].get(..2)?;
    Some(number(&rest[..dot])? * 100 + number(fraction)?)
}

/// What the kernel says at one moment. What it does not say is 0 or `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Everything charged to the group.
    pub usage_bytes: Option<u64>,
    /// Cached file contents that nobody used lately: the kernel takes them back unasked.
    pub idle_file_bytes: u64,
    /// Socket buffers, where they are charged.
    pub socket_bytes: Option<u64>,
    /// How often the limit stopped a charge.
    pub at_limit_count: u64,
    /// Processes killed for memory.
    pub kill_count: u64,
    /// For how much of the last ten seconds somebody waited for memory: hundredths of a
    /// percent.
    pub pressure_hundredths: u64,
}

/// What is charged and what may be, read without a buffer of one's own.
#[derive(Debug)]
pub struct Gauge {
    usage: File,
    limits: Vec<File>,
}

impl Gauge {
    /// Of these files.
    #[cfg(test)]
    pub fn of(usage: File, limits: Vec<File>) -> Self {
        Gauge { usage, limits }
    }

    /// What is charged now.
    #[must_use]
    pub fn usage_bytes(&self) -> Option<u64> {
        let mut buffer = [0; NUMBER_BYTES];
        number(read_again(Some(&self.usage), &mut buffer)?)
    }

    /// As [`Watch::limit_bytes`].
    #[must_use]
    pub fn limit_bytes(&self) -> Option<Option<u64>> {
        least_limit(&self.limits)
    }
}

/// A file with one number is no longer.
const NUMBER_BYTES: usize = 32;

fn least_limit(files: &[File]) -> Option<Option<u64>> {
    let mut least = None;
    for file in files {
        let mut buffer = [0; NUMBER_BYTES];
        least = at_most(least, parse_limit(read_again(Some(file), &mut buffer)?)?);
    }
    Some(least)
}

/// Reads the figures again and again.
#[derive(Debug)]
pub struct Watch {
    version: Option<Version>,
    limits: Vec<File>,
    usage: Option<File>,
    stat: Option<File>,
    events: Option<File>,
    fail_count: Option<File>,
    pressure: Option<File>,
    buffer: Box<[u8]>,
}

impl Watch {
    /// Whether there is a limit that could be followed.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// The least limit now. The outer `None`: a file could not be read this time, or was
    /// nonsense; what was known stays true.
    pub fn limit_bytes(&self) -> Option<Option<u64>> {
        least_limit(&self.limits)
    }

    /// The same files, for those who look by themselves.
    #[must_use]
    pub fn gauge(&self) -> Option<Gauge> {
        let limits = self.limits.iter().map(File::try_clone);
        Some(Gauge {
            usage: self.usage.as_ref()?.try_clone().ok()?,
            limits: limits.collect::<Result<_, _>>().ok()?,
        })
    }

    /// What is charged now.
    pub fn usage_bytes(&mut self) -> Option<u64> {
        number(read_again(self.usage.as_ref(), &mut self.buffer)?)
    }

    /// All figures.
    pub fn figures(&mut self) -> Figures {
        let mut figures = Figures {
            usage_bytes: self.usage_bytes(),
            ..Figures::default()
        };
        let is_v2 = self.version == Some(Version::V2);
        if let Some(text) = read_again(self.stat.as_ref(), &mut self.buffer) {
            // v1's totals include groups below, as its usage does.
            let idle: &[u8] = if is_v2 {
                b"inactive_file"
            } else {
                b"total_inactive_file"
            };
            figures.idle_file_bytes = keyed(text, idle).unwrap_or(0);
            figures.socket_bytes = is_v2.then(|| keyed(text, b"sock")).flatten();
        }
        if let Some(text) = read_again(self.events.as_ref(), &mut self.buffer) {
            figures.kill_count = keyed(text, b"oom_kill").unwrap_or(0);
        }
        if let Some(text) = read_again(self.fail_count.as_ref(), &mut self.buffer) {
            let count = if is_v2 {
                keyed(text, b"max")
            } else {
                number(text)
            };
            figures.at_limit_count = count.unwrap_or(0);
        }
        if let Some(text) = read_again(self.pressure.as_ref(), &mut self.buffer) {
            figures.pressure_hundredths = pressure_hundredths(text).unwrap_or(0);
        }
        figures
    }
}

/// Files of this kind are made anew for each read from the start.
fn read_again<'b>(file: Option<&File>, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let len = file?.read_at(buffer, 0).ok()?;
    Some(&buffer[..len])
}

#[cfg(test)]
mod tests;
