//! What probes say of instances, folded; and what their ends say of their ports.

use std::time::Duration;

use a2arun_core::ids::Rank;
use a2arun_core::launch::ReadinessCheck;
use a2arun_core::outcome::{ExitRecord, StopCause};
use a2arun_core::seen::Seen;
use jiff::Timestamp;
use tracing::Instrument;

use super::actor::{Run, Supervisor};
use super::{EventKind, Level, NoticeKind, Phase, ProbeReport};
use crate::ledger::{InstanceDir, LogFile};
use crate::msg::StepCommand;
use crate::{ports, probe};

/// An agent that cannot bind its port says so and ends at once.
const BIND_FAILS_WITHIN: Duration = Duration::from_secs(2);
/// How much of its last words is looked at.
const LAST_WORDS_BYTES: u64 = 8 << 10;

impl Supervisor {
    pub(super) fn ready(&mut self, run: &mut Run, rank: Rank, level: Level, seen: Box<Seen>) {
        let Some(instance) = run.instances.get_mut(&rank) else { return };
        if instance.phase != Phase::Starting {
            return;
        }
        let now = Timestamp::now();
        let started = instance.process.as_ref().map_or(now, |p| p.started);
        let after = Duration::try_from(now.duration_since(started)).unwrap_or_default();
        instance.ready = Some(now);
        instance.level = Some(level);
        instance.seen = Some(seen.clone());
        instance.last_probe = None;
        instance.phase = Phase::Ready;
        if let Some(link) = &instance.link
            && instance.readiness.check != ReadinessCheck::Alive
        {
            link.send(&StepCommand::Ready, &[]);
        }
        run.event(rank, EventKind::Ready(level, after, seen));
    }

    /// Watches an instance until it is ready, and whether it stays so.
    pub(super) fn start_probe(&mut self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get_mut(&rank) else { return };
        let Some(process) = &instance.process else { return };
        if instance.probe.as_ref().is_some_and(|p| !p.is_finished()) {
            return;
        }
        let target = probe::Target {
            key: instance.key.clone(),
            incarnation: instance.incarnation,
            readiness: instance.readiness.clone(),
            port: instance.port,
            address: instance.address.clone(),
            pid: process.pid,
            started: process.started,
            dir: self.ledger.instance_dir(&run.identity.run, rank),
            ready: instance.phase == Phase::Ready,
        };
        let span = tracing::debug_span!("probe", run = %instance.key.run, %rank);
        let watch = probe::watch(target, self.inbox.clone()).instrument(span);
        instance.probe = Some(self.probes.spawn(watch));
    }

    pub(super) fn probed(&mut self, run: &mut Run, rank: Rank, report: ProbeReport) {
        let Some(instance) = run.instances.get_mut(&rank) else { return };
        match (report, instance.phase) {
            (ProbeReport::Passed(level, seen), _) => self.ready(run, rank, level, seen),
            (ProbeReport::Unready(why), Phase::Ready) => {
                instance.phase = Phase::Unready;
                instance.last_probe = Some(why.clone());
                run.event(rank, EventKind::Unready(why));
            }
            (ProbeReport::ReadyAgain, Phase::Unready) => {
                instance.phase = Phase::Ready;
                instance.last_probe = None;
                let level = instance.level.unwrap_or(Level::Tcp);
                let seen = instance.seen.clone().unwrap_or_default();
                run.event(rank, EventKind::Ready(level, Duration::ZERO, seen));
            }
            (ProbeReport::Unready(_) | ProbeReport::ReadyAgain, _) => {}
            (ProbeReport::Deadline(last), _) => {
                instance.last_probe = Some(last);
                self.stop(run, &[rank], None, StopCause::StartTimeout);
            }
            (ProbeReport::NotYet(text), _) => {
                instance.last_probe = Some(text.clone());
                run.event(rank, EventKind::Notice(NoticeKind::Probe, text));
            }
            (ProbeReport::Notice(kind, text), _) => {
                instance.last_probe = Some(text.clone());
                run.event(rank, EventKind::Notice(kind, text));
            }
        }
    }

    /// Goes on looking at an instance that an earlier noded looked at.
    pub(super) fn running_again(&mut self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get(&rank) else { return };
        if instance.stop.is_some() {
            return;
        }
        match (instance.phase, &instance.readiness.check) {
            (Phase::Starting, ReadinessCheck::Alive) => {
                self.ready(run, rank, Level::Exec, Box::default());
            }
            (Phase::Starting | Phase::Ready, _) => self.start_probe(run, rank),
            (Phase::Unready | Phase::Stopping | Phase::Exited, _) => {}
        }
    }

    /// Who has a port of an instance that ended at once; `None`: nobody, or it was not that.
    pub(super) fn port_taken(&self, run: &Run, rank: Rank, exit: &ExitRecord) -> Option<String> {
        let instance = run.instances.get(&rank)?;
        let early = exit.started.is_some_and(|started| {
            let lived = exit.ended.duration_since(started);
            Duration::try_from(lived).is_ok_and(|lived| lived <= BIND_FAILS_WITHIN)
        });
        let mut ports = instance.port.iter().chain(&instance.more_ports).peekable();
        ports.peek()?;
        if !early || exit.asked_by.is_some() || exit.code.is_none_or(|code| code == 0) {
            return None;
        }
        let holder = ports.find_map(|port| ports::holder(*port));
        let path = self.ledger.instance_dir(&run.identity.run, rank);
        let complains = || {
            let dir = InstanceDir::open(&path).ok()?;
            let tail = dir.log_tail(LogFile::Err, instance.incarnation.0, LAST_WORDS_BYTES).ok()?;
            says_in_use(&String::from_utf8_lossy(&tail)).then(|| {
                let ports: Vec<String> = instance.port.iter().map(u16::to_string).collect();
                format!("something had port {} for a moment", ports.join(", "))
            })
        };
        holder.or_else(complains)
    }
}

/// EADDRINUSE in the words of libc, Python, Node.js, Go, Rust and Java.
fn says_in_use(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["address already in use", "eaddrinuse", "errno 98", "os error 98", "address in use"]
        .iter()
        .any(|words| lower.contains(words))
}
