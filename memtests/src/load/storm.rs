//! The loop: one epoll, all connections, a tick every five milliseconds, the phases in order.

mod phases;

use super::conn::{Conn, Ended};
use super::roles::{Desk, HOT_CONNECTIONS};
use super::tally::{Fault, Tally};
use super::{Abuse, Phase, Role};
use crate::socket::{connect_nonblocking, reset};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(5);
/// Connections of the crowd that are on their way at once: less than any backlog.
const RAMP_MAX: usize = 128;
/// Connections of the crowd that say something in a tick.
const PASSERS_BY: usize = 24;

struct Run<'a> {
    addr: SocketAddr,
    desk: Desk<'a>,
    epoll: OwnedFd,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    /// Slots of the crowd, in the order in which they take turns.
    crowd: Vec<usize>,
    scratch: Vec<u8>,
    phase: Phase,
    phase_start: Instant,
    nth: usize,
    turn: usize,
    tick: u64,
    visitors: usize,
}

/// Runs the whole abuse against the server at `addr`, and returns what was seen. Errors are
/// the suite's own (no socket to be had); the server's are faults in the tally.
pub fn run(addr: SocketAddr, abuse: &Abuse) -> io::Result<Tally> {
    let now = Instant::now();
    let mut run = Run {
        addr,
        desk: Desk::new(abuse),
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        conns: Vec::new(),
        free: Vec::new(),
        crowd: Vec::new(),
        scratch: vec![0; 256 << 10],
        phase: Phase::Fill,
        phase_start: now,
        nth: 0,
        turn: 0,
        tick: 0,
        visitors: 0,
    };
    for _ in 0..abuse.writers {
        run.open(Role::Writer)?;
    }
    for _ in 0..HOT_CONNECTIONS {
        run.open(Role::Hot)?;
    }
    let mut events = Vec::with_capacity(1024);
    let mut next_tick = now;
    while run.phase != Phase::Over {
        events.clear();
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: 2_000_000,
        };
        match epoll::wait(&run.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            run.ready(event.data.u64() as usize);
        }
        if Instant::now() >= next_tick {
            next_tick = Instant::now() + TICK;
            run.tick()?;
            run.advance(now.elapsed());
        }
    }
    Ok(run.desk.tally)
}

impl<'a> Run<'a> {
    fn open(&mut self, role: Role) -> io::Result<()> {
        self.nth += 1;
        // The silent ones keep a small window, so that their unread replies pile up at the
        // server and not here.
        let receive_bytes = (role == Role::Silent).then_some(4 << 10);
        let stream = connect_nonblocking(self.addr, self.nth, receive_bytes)?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            self.conns.len() - 1
        });
        use epoll::EventFlags as On;
        // Edge-triggered: one registration for the whole life. Those who do not read at once
        // are read by the tick.
        let on = match role {
            Role::Silent | Role::Slow => On::OUT | On::ET,
            _ => On::IN | On::OUT | On::ET,
        };
        epoll::add(
            &self.epoll,
            &stream,
            epoll::EventData::new_u64(slot as u64),
            on,
        )?;
        let mut conn = Conn::new(stream, role);
        match role {
            Role::Crowd => {
                self.desk.ping(&mut conn, self.nth as u32);
                self.crowd.push(slot);
            }
            Role::Stalled => self.desk.stalled(&mut conn, self.nth),
            Role::Visitor => {
                self.desk.visitor(&mut conn, self.nth);
                self.visitors += 1;
            }
            _ => {}
        }
        self.conns[slot] = Some(conn);
        self.desk.tally.connects += 1;
        let standing = self.conns.len() - self.free.len();
        self.desk.tally.connections_peak = self.desk.tally.connections_peak.max(standing);
        Ok(())
    }

    /// Something has happened to a connection, or its turn has come.
    fn ready(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let bytes_max = match conn.role {
            Role::Silent => 0,
            // Came without a question: whatever comes back is not for it.
            Role::Visitor if conn.pending.is_empty() => 0,
            Role::Slow if self.phase < Phase::Calm => 2 << 10,
            _ => usize::MAX,
        };
        let dialect = self.desk.abuse.dialect;
        let (ledger, tally) = (&mut self.desk.ledger, &mut self.desk.tally);
        let mut ended = conn.receive(dialect, &mut self.scratch, bytes_max, ledger, tally);
        if ended.is_ok() {
            if self.desk.writes_in(self.phase) {
                match conn.role {
                    Role::Writer => self.desk.writer(conn),
                    Role::Silent if conn.unsent() == 0 => self.desk.silent(conn),
                    _ => {}
                }
            }
            ended = conn.flush().map(|flushed| conn.stands |= flushed);
        }
        let may_go = conn.role == Role::Visitor && conn.stands && conn.pending.is_empty();
        match ended {
            Err(Ended) => self.lost(slot),
            Ok(()) if may_go => self.close(slot, slot.is_multiple_of(2)),
            Ok(()) => {}
        }
    }

    /// The server has closed a connection, or never accepted it.
    fn lost(&mut self, slot: usize) {
        let Some(conn) = &self.conns[slot] else {
            return;
        };
        if conn.may_be_hung_up(self.phase) {
            self.desk.tally.hung_up += u64::from(conn.role != Role::Visitor);
        } else {
            self.desk.tally.fault(Fault::Closed {
                role: conn.role,
                phase: self.phase,
            });
        }
        self.close(slot, false);
    }

    fn close(&mut self, slot: usize, rudely: bool) {
        if let Some(conn) = self.conns[slot].take() {
            let role = conn.role;
            self.visitors -= usize::from(role == Role::Visitor);
            if rudely {
                reset(conn.stream);
            }
            // Only visitors' places are used again: the others are known by their slots for
            // the whole run.
            if role == Role::Visitor {
                self.free.push(slot);
            }
        }
    }

    fn tick(&mut self) -> io::Result<()> {
        self.tick += 1;
        if self.phase >= Phase::Ramp && self.phase < Phase::Calm {
            let waiting = self
                .crowd
                .iter()
                .rev()
                .take(RAMP_MAX)
                .filter(|&&slot| self.is_connecting(slot))
                .count();
            let missing = self.desk.abuse.crowd().saturating_sub(self.crowd.len());
            for _ in 0..missing.min(RAMP_MAX - waiting) {
                self.open(Role::Crowd)?;
            }
        }
        if self.phase == Phase::Storm {
            for _ in 0..self.desk.abuse.visitors_per_ms * TICK.as_millis() as usize {
                if self.visitors < 64 {
                    self.open(Role::Visitor)?;
                }
            }
            for _ in 0..PASSERS_BY.min(self.crowd.len()) {
                self.turn = (self.turn + 1) % self.crowd.len();
                self.speak(self.crowd[self.turn], |desk, conn| desk.passer_by(conn));
            }
        }
        for slot in 0..self.conns.len() {
            let Some(conn) = &self.conns[slot] else {
                continue;
            };
            match conn.role {
                Role::Hot if self.phase < Phase::Calm => self.speak(slot, Desk::hot),
                // 20 values a second from each: the copies of 1 MiB would drown everything else.
                Role::Large if self.phase == Phase::Storm && self.tick.is_multiple_of(10) => {
                    self.speak(slot, Desk::large);
                }
                Role::Slow if conn.pending.is_empty() && self.phase == Phase::Storm => {
                    self.speak(slot, |desk, conn| {
                        (0..16).for_each(|_| desk.passer_by(conn))
                    });
                }
                Role::Slow | Role::Silent => self.ready(slot),
                _ => {}
            }
        }
        Ok(())
    }

    fn is_connecting(&self, slot: usize) -> bool {
        self.conns[slot]
            .as_ref()
            .is_some_and(|conn| !conn.pending.is_empty())
    }

    fn speak(&mut self, slot: usize, say: impl FnOnce(&mut Desk<'a>, &mut Conn)) {
        if let Some(conn) = &mut self.conns[slot] {
            // With much unsent already, its turn passes: nobody is to be starved by the
            // test's own queue.
            if conn.unsent() < 64 << 10 {
                say(&mut self.desk, conn);
            }
            self.ready(slot);
        }
    }
}
