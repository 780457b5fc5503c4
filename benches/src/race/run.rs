//! All rounds of all groups, and the memory of each program.
//!
//! A subject that fails in a shape is a remark on the page, and no end of the race.

use std::time::{Duration, Instant};

use flagstone_bench::process;
use flagstone_bench::wire::Protocol;

use super::board::{Row, Sample, ours};
use super::measure::{Generator, held, idle_bytes, overfull};
use super::report::{HELD_VALUE_BYTES, IDLE_COUNTS, Memory, Results};
use super::server::{Server, Terms};
use super::shape::{Ground, Group, Rate, Shape, Way};
use super::subject::{Kind, Subject};
use super::table::{plain, shorten, workers};
use super::workers::Workers;

/// The budget that is filled for the memory table.
pub const FILLED_MIB: usize = 64;
/// Files that either end has open beside its connections, or may have.
const FILES_BESIDE: u64 = 500;

/// What the whole race has in common.
pub struct Runner {
    /// The load generator.
    pub generator: Generator,
    /// The servers' core.
    pub server_cpu: usize,
    /// Files that a process may have open.
    pub file_limit: u64,
    /// Rounds of each group, if the time suffices.
    pub rounds: usize,
    /// Whether it is only to be seen that everything runs.
    pub is_quick: bool,
    /// When the race began.
    pub start: Instant,
    /// How long it may take.
    pub time_max: Duration,
}

/// A subject and its server, which is stopped as long as it is not its turn.
struct Racer {
    /// Its place among all subjects.
    at: usize,
    subject: Subject,
    server: Server,
}

impl Runner {
    /// The shapes of a group whose name contains `words`, and that the machine allows.
    #[must_use]
    pub fn chosen(&self, mut group: Group, words: Option<&str>) -> Group {
        group.shapes.retain(|shape| {
            let is_possible = self.allows(shape.connections);
            if !is_possible {
                let (name, limit) = (&shape.name, self.file_limit);
                eprintln!("left out: {name}: {limit} files may be open, and it needs more");
            }
            is_possible && words.is_none_or(|words| shape.name.contains(words))
        });
        group
    }

    fn allows(&self, connections: usize) -> bool {
        (connections as u64) < self.file_limit.saturating_sub(FILES_BESIDE)
    }

    pub(super) fn start(&self, subject: &Subject, ground: &Ground) -> Result<Server, String> {
        let terms = Terms {
            cpus: &self.server_cpu.to_string(),
            workers: 1,
            ground,
        };
        Server::start(subject, terms)
    }

    /// Flagstone's native protocol with one worker and with two, in the shapes whose name
    /// contains `words`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn run_workers(&self, results: &mut Results, words: Option<&str>) -> Result<(), String> {
        let Some(at) = ours(&results.subjects) else {
            return Ok(());
        };
        let subject = results.subjects[at].clone();
        let mut group = workers();
        if self.is_quick {
            shorten(&mut group);
        }
        let group = self.chosen(group, words);
        if group.shapes.is_empty() {
            return Ok(());
        }
        // The second core is the next one that is not the generator's, if there is any.
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let is_free = |&cpu: &usize| cpu != self.server_cpu && cpu != self.generator.cpu;
        let free = (0..cpus).find(is_free);
        let second = free.unwrap_or(self.generator.cpu);
        let mut servers = Vec::new();
        for (count, cpus) in [
            (1, self.server_cpu.to_string()),
            (2, format!("{},{second}", self.server_cpu)),
        ] {
            let terms = Terms {
                cpus: &cpus,
                workers: count,
                ground: &group.ground,
            };
            let server = Server::start(&subject, terms)?;
            self.generator.fill(&subject, &server, &group.ground)?;
            server.pause();
            results.command(server.command.clone());
            servers.push(server);
        }
        for shape in &group.shapes {
            results.command(command(&group.ground, shape));
            let mut rounds = Vec::new();
            for _ in 0..self.rounds {
                let mut cpu_us = [None; 2];
                for (server, cpu_us) in servers.iter().zip(&mut cpu_us) {
                    server.resume();
                    let raced = (self.generator).race((&subject, server), &group.ground, shape);
                    server.pause();
                    match raced {
                        Ok(sample) => *cpu_us = Some(sample.cpu_us),
                        Err(why) => results.remark(format!("{}, workers: {why}", shape.name)),
                    }
                }
                if let [Some(one), Some(two)] = cpu_us {
                    rounds.push((one, two));
                }
            }
            println!("workers: {}: {rounds:?}", shape.name);
            results.workers.push(Workers {
                name: shape.name.clone(),
                is_alone: free.is_some(),
                rounds,
            });
        }
        Ok(())
    }

    /// One question to each subject in its protocol. Who does not come up or does not understand
    /// it does not run; without Flagstone's own there is no race.
    ///
    /// # Errors
    /// Why Flagstone does not run.
    pub fn drop_what_is_not_spoken(&self, results: &mut Results) -> Result<Vec<String>, String> {
        let mut left_out = Vec::new();
        let ground = Ground {
            filled: 1,
            ..plain("", 32)
        };
        for subject in std::mem::take(&mut results.subjects) {
            let asked = self.start(&subject, &ground).and_then(|server| {
                self.generator.fill(&subject, &server, &ground)?;
                Ok(server)
            });
            match asked {
                Ok(_) => results.subjects.push(subject),
                Err(why)
                    if subject.kind == Kind::Flagstone && subject.protocol == Protocol::Native =>
                {
                    return Err(why);
                }
                Err(why) => {
                    eprintln!("left out: {}: {why}", subject.name);
                    left_out.push(subject.name);
                }
            }
        }
        Ok(left_out)
    }

    /// All rounds of a group. Who does not come up on its ground is left out of it.
    ///
    /// # Errors
    /// Why Flagstone does not come up.
    pub fn run_group(&self, results: &mut Results, group: &Group) -> Result<(), String> {
        let ground = &group.ground;
        let racers = self.line_up(results, ground)?;
        let group = &self.with_rates(results, group, &racers);
        let first = results.rows.len();
        for shape in &group.shapes {
            results.command(command(ground, shape));
            results.rows.push(Row {
                shape: shape.clone(),
                rounds: Vec::new(),
            });
        }
        self.warm_up(results, group, &racers);
        let until = self.start + self.time_max.mul_f64(group.until);
        for round in 0..self.rounds {
            let round_start = Instant::now();
            for (number, shape) in group.shapes.iter().enumerate() {
                let samples = self.run_round(results, (ground, shape), &racers, round);
                results.rows[first + number].rounds.push(samples);
            }
            if round + 1 < self.rounds && Instant::now() + round_start.elapsed() > until {
                let (name, done, rounds) = (ground.name, round + 1, self.rounds);
                results.remark(format!(
                    "{name}: time was up after {done} of {rounds} rounds"
                ));
                break;
            }
        }
        Ok(())
    }

    /// Starts and fills a server for each subject that the ground takes.
    fn line_up(&self, results: &mut Results, ground: &Ground) -> Result<Vec<Racer>, String> {
        let mut racers = Vec::new();
        for (at, subject) in results.subjects.clone().into_iter().enumerate() {
            if !ground.takes(&subject) {
                continue;
            }
            let started = self.start(&subject, ground).and_then(|server| {
                self.generator.fill(&subject, &server, ground)?;
                Ok(server)
            });
            match started {
                Ok(server) => {
                    results.command(server.command.clone());
                    server.pause();
                    racers.push(Racer {
                        at,
                        subject,
                        server,
                    });
                }
                Err(why) if subject.kind == Kind::Flagstone => return Err(why),
                Err(why) => results.remark(format!("{}, {}: {why}", subject.name, ground.name)),
            }
        }
        Ok(racers)
    }

    /// Rates that are parts of a peak become figures: the others' caches are asked without a
    /// pause once, each.
    fn with_rates(&self, results: &mut Results, group: &Group, racers: &[Racer]) -> Group {
        let ground = &group.ground;
        let mut known = |shape: &Shape| {
            let percent = match shape.timed {
                None => return Some(shape.clone()),
                Some((Rate::Fixed(per_second), _)) => return Some(shape.at_rate(per_second)),
                Some((Rate::OfPeak(percent), _)) => percent,
            };
            let closed = Shape {
                timed: None,
                ..shape.clone()
            };
            let mut peak: f64 = 0.0;
            for racer in racers {
                if racer.subject.is_floor() || racer.subject.kind == Kind::Flagstone {
                    continue;
                }
                racer.server.resume();
                let raced = (self.generator).race((&racer.subject, &racer.server), ground, &closed);
                racer.server.pause();
                match raced {
                    Ok(sample) => peak = peak.max(sample.per_second),
                    Err(why) => {
                        results.remark(format!("{}, {}: {why}", racer.subject.name, shape.name));
                    }
                }
            }
            // Without anybody to compare with there is no such rate.
            (peak > 0.0).then(|| shape.at_rate((peak * percent as f64 / 100.0) as u64))
        };
        Group {
            shapes: group.shapes.iter().filter_map(&mut known).collect(),
            ..group.clone()
        }
    }

    /// The load of the first shape, for as long as the ground needs it.
    fn warm_up(&self, results: &mut Results, group: &Group, racers: &[Racer]) {
        let (ground, Some(first)) = (&group.ground, group.shapes.first()) else {
            return;
        };
        if ground.warmup == 0 {
            return;
        }
        let shape = Shape {
            requests: ground.warmup,
            ..first.clone()
        };
        for racer in racers {
            racer.server.resume();
            let warmed = (self.generator).race((&racer.subject, &racer.server), ground, &shape);
            if let Err(why) = warmed {
                results.remark(format!("{}, warming up: {why}", racer.subject.name));
            }
            racer.server.pause();
        }
    }

    /// One round of one shape: a sample for each of all subjects.
    fn run_round(
        &self,
        results: &mut Results,
        (ground, shape): (&Ground, &Shape),
        racers: &[Racer],
        round: usize,
    ) -> Vec<Option<Sample>> {
        let mut samples = vec![None; results.subjects.len()];
        let mut figures = Vec::new();
        // Another order each time: nobody always runs behind the same other.
        for turn in 0..racers.len() {
            let racer = &racers[(turn + round) % racers.len()];
            let (subject, server) = (&racer.subject, &racer.server);
            server.resume();
            match self.generator.race((subject, server), ground, shape) {
                Ok(sample) => {
                    samples[racer.at] = Some(sample);
                    let figure = match shape.timed {
                        Some(_) => sample.p99_us,
                        None => sample.cpu_us,
                    };
                    figures.push(format!("{} {figure:.2}", subject.name));
                }
                Err(why) => {
                    figures.push(format!("{} –", subject.name));
                    results.remark(format!("{}, {}: {why}", subject.name, shape.name));
                    // If keys are gone, whoever took them, the next shape finds them again.
                    let _ = self.generator.fill(subject, server, ground);
                }
            }
            server.pause();
        }
        let name = &shape.name;
        println!("round {}: {name}: {}", round + 1, figures.join(", "));
        samples
    }

    /// Memory of each program, in its first protocol.
    pub fn run_memory(&self, results: &mut Results) {
        let subjects = results.subjects.clone();
        for (at, subject) in subjects.iter().enumerate() {
            let is_first = subjects[..at]
                .iter()
                .all(|before| before.path != subject.path);
            if !subject.is_floor() && is_first {
                let memory = self.memory_of(results, subject);
                println!("memory: {}: {memory:?}", subject.name);
                results.memory.push((at, memory));
            }
        }
    }

    fn memory_of(&self, results: &mut Results, subject: &Subject) -> Memory {
        // In haste, the first column of each kind.
        let most = if self.is_quick { 1 } else { usize::MAX };
        let idle_counts: Vec<usize> = IDLE_COUNTS
            .into_iter()
            .take(most)
            .filter(|&count| self.allows(count))
            .collect();
        let mut memory = Memory::default();
        let mut note = |what: &str, why: String| {
            results.remark(format!("{}, {what}: {why}", subject.name));
        };
        match self.start(subject, &plain("", 32)) {
            Ok(server) => {
                memory.start_bytes = process::resident_bytes(server.pid()).ok();
                match idle_bytes(subject, &server, &idle_counts) {
                    Ok(bytes) => memory.idle_bytes = Some(bytes),
                    Err(why) => note("idle connections", why),
                }
            }
            Err(why) => note("idle connections", why),
        }
        for value_bytes in HELD_VALUE_BYTES.into_iter().take(most) {
            let ground = Ground {
                memory_mib: FILLED_MIB,
                filled: overfull(FILLED_MIB, value_bytes),
                ..plain("", value_bytes)
            };
            let counted = self
                .start(subject, &ground)
                .and_then(|server| held(&self.generator, subject, &server, &ground));
            match counted {
                Ok(held) => {
                    if held.refused > 0 {
                        let refused = held.refused;
                        note("items in a budget", format!("refused {refused} writes"));
                    }
                    memory.held.push(Some(held));
                }
                Err(why) => {
                    note("items in a budget", why);
                    memory.held.push(None);
                }
            }
        }
        memory
    }
}

/// How the generator is called for a shape, whoever the subject is.
fn command(ground: &Ground, shape: &Shape) -> String {
    let place = match ground.way {
        Way::Tcp => "127.0.0.1:PORT",
        Way::Unix => "unix:SOCKET",
    };
    let arguments = Generator::arguments(Protocol::Memcache, false, ground, shape);
    let arguments = arguments.replace("-p memcache", "-p PROTOCOL");
    format!("flagstone-bench {place} {arguments}")
}
