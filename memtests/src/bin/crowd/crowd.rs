//! All clients of a scene, and one loop that serves them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::time::{Duration, Instant};

use flagstone_memtests::socket::connect_nonblocking;
use rustix::event::{Timespec, epoll};
use rustix::process::{Pid, Signal, kill_process};

use crate::Settings;
use crate::client::{Client, End, Role, Socket};

/// Connections of the churn under way at a time, of each hundred clients.
const CHURN_SHARE: usize = 10;
/// How long clients may take to finish what they have under way at the end.
const PATIENCE: Duration = Duration::from_secs(20);
/// The loop looks at who rests so often.
const INTERVAL: Duration = Duration::from_millis(5);

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    Of(Role),
    All,
}

const SCENES: [(&str, Scene); 13] = [
    ("fill", Scene::Of(Role::Filler)),
    ("deaf", Scene::Of(Role::Deaf)),
    ("writers", Scene::Of(Role::Writer)),
    ("readers", Scene::Of(Role::Reader)),
    ("trickle", Scene::Of(Role::Trickle)),
    ("long", Scene::Of(Role::Long)),
    ("slow", Scene::Of(Role::Slow)),
    ("stalled", Scene::Of(Role::Stalled)),
    ("churn", Scene::Of(Role::Churn)),
    ("hellos", Scene::Of(Role::Hello)),
    ("halves", Scene::Of(Role::HalfHello)),
    ("door", Scene::Of(Role::Door)),
    ("all", Scene::All),
];

impl Scene {
    pub fn name(self) -> &'static str {
        SCENES
            .iter()
            .find(|(_, scene)| *scene == self)
            .map_or("?", |(name, _)| name)
    }

    /// The roles of `count` clients.
    fn roles(self, count: usize) -> Vec<Role> {
        match self {
            Scene::Of(Role::Filler) => vec![Role::Filler],
            Scene::Of(Role::Churn) => vec![Role::Churn; (count / CHURN_SHARE).max(1)],
            Scene::Of(role) => vec![role; count],
            Scene::All => [
                Role::Deaf,
                Role::Writer,
                Role::Reader,
                Role::Slow,
                Role::Trickle,
                Role::Long,
                Role::Churn,
            ]
            .into_iter()
            .cycle()
            .take(count)
            .collect(),
        }
    }
}

impl FromStr for Scene {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = SCENES.iter().find(|(name, _)| *name == text);
        found.map(|(_, scene)| *scene).ok_or_else(|| {
            let names: Vec<_> = SCENES.iter().map(|(name, _)| *name).collect();
            format!("no scene {text}; there are {}", names.join(", "))
        })
    }
}

/// What became of those that behave.
pub struct Verdict {
    scene: Scene,
    clients: usize,
    /// Closed, reset, refused, answered wrongly; unanswered at the end.
    hurt: [u64; 5],
    /// The same of those that do not behave: no fault.
    others: u64,
    replies: u64,
    /// Of the values that those who behave asked for.
    found: u64,
    absent: u64,
    bytes: u64,
    slowest: Duration,
    /// Of the bystander: answers, the 99th percentile, the longest.
    bystander: (usize, Duration, Duration),
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.hurt == [0; 5]
            && (self.replies > 0 || self.scene == Scene::Of(Role::Door))
            && !self.is_hollow()
    }

    /// Whether the readers were told that there is nothing: then no value was sent, and the scene shows nothing.
    fn is_hollow(&self) -> bool {
        let reads = matches!(self.scene, Scene::Of(Role::Reader | Role::Trickle));
        reads && self.found < self.absent
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [closed, reset, refused, wrong, unanswered] = self.hurt;
        let (answers, p99, longest) = self.bystander;
        write!(
            f,
            "crowd {} {}: closed {closed}, reset {reset}, refused {refused}, wrong {wrong}, unanswered {unanswered} \
             of those that behave; {} of the others ended; {} replies, {} of {} values, {} MiB, slowest {} ms; bystander {answers} \
             answers, p99 {:.1} ms, longest {:.1} ms: {}",
            self.scene.name(),
            self.clients,
            self.others,
            self.replies,
            self.found,
            self.found + self.absent,
            self.bytes >> 20,
            self.slowest.as_millis(),
            p99.as_secs_f64() * 1e3,
            longest.as_secs_f64() * 1e3,
            if self.is_good() { "good" } else { "BAD" }
        )
    }
}

pub struct Crowd<'s> {
    settings: &'s Settings,
    epoll: rustix::fd::OwnedFd,
    clients: Vec<Option<Client>>,
    verdict: Verdict,
    latencies: Vec<Duration>,
    next_no: usize,
}

impl<'s> Crowd<'s> {
    pub fn new(settings: &'s Settings) -> io::Result<Self> {
        Ok(Crowd {
            settings,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clients: Vec::new(),
            verdict: Verdict {
                scene: settings.scene,
                clients: settings.clients,
                hurt: [0; 5],
                others: 0,
                replies: 0,
                found: 0,
                absent: 0,
                bytes: 0,
                slowest: Duration::ZERO,
                bystander: (0, Duration::ZERO, Duration::ZERO),
            },
            latencies: Vec::new(),
            next_no: 0,
        })
    }

    fn connect(&self, role: Role) -> io::Result<Socket> {
        let tls = self.settings.tls_address.as_ref();
        let address = match tls.filter(|_| role.speaks_tls()) {
            Some(address) => address,
            None => &self.settings.address,
        };
        if let Some(path) = address.strip_prefix("unix:") {
            // Connecting to a Unix socket waits while its backlog is full.
            let stream = UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            return Ok(Socket::Unix(stream));
        }
        let address: SocketAddr = address
            .parse()
            .map_err(|_| io::Error::other(format!("{address} is no address")))?;
        let stream: TcpStream = connect_nonblocking(address, self.next_no, None)?;
        Ok(Socket::Tcp(stream))
    }

    fn join(&mut self, role: Role, place: Option<usize>) -> io::Result<()> {
        let socket = self.connect(role)?;
        let place = place.unwrap_or(self.clients.len());
        epoll::add(
            &self.epoll,
            &socket,
            epoll::EventData::new_u64(place as u64),
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET,
        )?;
        // The readers' keys are those of writer 0: the filler.
        let no = if role == Role::Filler {
            0
        } else {
            1 + self.next_no
        };
        let client = Client::new(role, no, socket, Instant::now());
        self.next_no += 1;
        if place == self.clients.len() {
            self.clients.push(Some(client));
        } else {
            self.clients[place] = Some(client);
        }
        Ok(())
    }

    /// Plays the scene.
    pub fn run(mut self) -> io::Result<Verdict> {
        self.join(Role::Bystander, None)?;
        for role in self.settings.scene.roles(self.settings.clients) {
            self.join(role, None)?;
        }
        if self.settings.scene == Scene::Of(Role::Door)
            && let Some(pid) = self.settings.pid.and_then(Pid::from_raw)
        {
            // They stand in the backlog: nobody has asked anything yet.
            kill_process(pid, Signal::TERM)?;
        }
        // A crowd takes its time to come.
        let start = Instant::now();
        let mut events = Vec::with_capacity(4096);
        let mut room = vec![0; 256 << 10];
        let interval = Timespec {
            tv_sec: 0,
            tv_nsec: INTERVAL.as_nanos() as i64,
        };
        let end = start + self.settings.time;
        let mut rounded = start;
        loop {
            let now = Instant::now();
            let is_over = match self.settings.scene {
                Scene::Of(Role::Filler) => self.clients[1]
                    .as_ref()
                    .is_none_or(|filler| filler.replies * 1024 >= self.settings.fill_bytes),
                _ => now >= end,
            };
            let is_busy = |client: &Client| client.role.behaves() && client.is_busy();
            if is_over && (!self.clients.iter().flatten().any(is_busy) || now >= end + PATIENCE) {
                break;
            }
            // Nobody is left: the server has gone.
            if self.clients.iter().all(Option::is_none) {
                break;
            }
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&interval),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                self.turn(event.data.u64() as usize, &mut room, !is_over)?;
            }
            if now - rounded >= INTERVAL {
                rounded = now;
                for place in 0..self.clients.len() {
                    self.turn(place, &mut room, !is_over)?;
                }
            }
        }
        self.conclude();
        Ok(self.verdict)
    }

    fn turn(&mut self, place: usize, room: &mut [u8], may_ask: bool) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(place).and_then(Option::as_mut) else {
            return Ok(());
        };
        let before = client.replies;
        let now = Instant::now();
        let ended = client.go_on(now, room, may_ask);
        if client.role == Role::Bystander && client.replies > before {
            self.latencies.push(client.last_took);
        }
        let Some(end) = ended else {
            return Ok(());
        };
        let role = client.role;
        self.count(place);
        self.clients[place] = None;
        let index = match end {
            End::Done => None,
            End::Closed => Some(0),
            End::Reset => Some(1),
            End::Refused => Some(2),
            End::Wrong => Some(3),
        };
        match index {
            Some(index) if role.behaves() && self.settings.scene != Scene::Of(Role::Door) => {
                self.verdict.hurt[index] += 1;
            }
            Some(_) => self.verdict.others += 1,
            None => {}
        }
        if role == Role::Churn && may_ask {
            self.join(role, Some(place))?;
        }
        Ok(())
    }

    fn count(&mut self, place: usize) {
        if let Some(client) = &self.clients[place] {
            self.verdict.replies += client.replies;
            self.verdict.bytes += client.bytes;
            if client.role.behaves() {
                self.verdict.found += client.found;
                self.verdict.absent += client.absent;
                self.verdict.slowest = self.verdict.slowest.max(client.slowest);
            }
        }
    }

    fn conclude(&mut self) {
        for place in 0..self.clients.len() {
            self.count(place);
        }
        let unanswered = |client: &&Client| client.role.behaves() && client.is_busy();
        if self.settings.scene != Scene::Of(Role::Door) {
            self.verdict.hurt[4] = self.clients.iter().flatten().filter(unanswered).count() as u64;
        }
        self.latencies.sort_unstable();
        let answers = self.latencies.len();
        let at = |share: f64| {
            let index = ((answers as f64 * share) as usize).min(answers.saturating_sub(1));
            self.latencies.get(index).copied().unwrap_or_default()
        };
        self.verdict.bystander = (answers, at(0.99), at(1.0));
    }
}
