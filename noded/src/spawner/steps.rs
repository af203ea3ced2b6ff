//! The steps that were forked here, what is guarded for them, and what fell to the spawner.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use a2arun_core::ids::{Rank, RunId};
use a2arun_core::outcome::WaitStatus;

use super::ByKey;
use crate::ledger::{InstanceDir, SpawnRecord};
use crate::msg::{FdRole, InstanceKey, Verdict, Work, WorkItem};
use crate::os::fork::{Fork, close_all_but, fork_single_threaded};
use crate::os::wait::{peek_any, reap_one};
use crate::os::{proc, seqpacket, signals};
use crate::step::{self, StepFds, Task};

/// How many agents that ended under no step are remembered.
const ORPHANS_MAX: usize = 4096;

/// The reading ends of an instance's output.
#[derive(Debug, Default)]
struct Guard {
    out: Option<OwnedFd>,
    err: Option<OwnedFd>,
}

#[derive(Debug)]
struct Entry {
    key: InstanceKey,
    guard: Guard,
    /// The agent that it took over, which this process reaps.
    adopted: Option<AgentId>,
}

/// A process for certain: its pid, and its start in clock ticks.
type AgentId = (i32, u64);

/// An agent that ended after its step had died.
#[derive(Debug)]
struct Orphan {
    id: AgentId,
    status: WaitStatus,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Steps {
    by_pid: HashMap<i32, Entry>,
    /// Kept for instances whose step died, or belongs to an earlier spawner.
    guards: ByKey<Guard>,
    abandoned: Vec<InstanceKey>,
    orphans: VecDeque<Orphan>,
    /// Steps that took an agent over, by the agent.
    adopters: HashMap<AgentId, OwnedFd>,
    output_event: Option<OwnedFd>,
    null: OwnedFd,
}

/// What came of a spawn request.
#[derive(Debug, Default)]
pub(super) struct Forked {
    /// Steps that run.
    pub started: Vec<(InstanceKey, i32)>,
    /// Steps that could not be forked, and why.
    pub failed: Vec<(InstanceKey, String)>,
}

impl Steps {
    /// None yet.
    pub(super) fn new() -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        Ok(Self {
            by_pid: HashMap::new(),
            guards: HashMap::new(),
            abandoned: Vec::new(),
            orphans: VecDeque::new(),
            adopters: HashMap::new(),
            output_event: None,
            null: null.into(),
        })
    }

    /// Whether no step runs.
    pub(super) fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }

    /// What steps raise from now on.
    pub(super) fn set_output_event(&mut self, event: Option<OwnedFd>) {
        self.output_event = event;
    }

    /// Takes the list of instances whose step died while nobody could be told.
    pub(super) fn abandoned(&mut self) -> Vec<InstanceKey> {
        std::mem::take(&mut self.abandoned)
    }

    /// Keeps descriptors for an instance.
    pub(super) fn guard(&mut self, key: InstanceKey, fds: Vec<OwnedFd>) {
        let mut fds = fds.into_iter();
        let guard = Guard { out: fds.next(), err: fds.next() };
        match self.by_pid.values_mut().find(|e| e.key == key) {
            Some(entry) => entry.guard = guard,
            None => {
                self.guards.insert(key, guard);
            }
        }
    }

    /// Lets go of what was kept for an instance.
    pub(super) fn forget(&mut self, key: &InstanceKey) {
        self.guards.remove(key);
        self.abandoned.retain(|k| k != key);
    }

    /// Forks the steps of a request: a memfd with the work, then each item's descriptors.
    pub(super) fn start(&mut self, fds: Vec<OwnedFd>) -> Forked {
        let mut fds = fds.into_iter();
        let mut forked = Forked::default();
        let work = match fds.next().map(read_work) {
            Some(Ok(work)) => work,
            Some(Err(error)) => {
                super::say(&format!("a2arun-spawner: unreadable spawn request: {error}"));
                return forked;
            }
            None => return forked,
        };
        for item in &work.items {
            let own: Vec<(FdRole, OwnedFd)> = item.fds.iter().copied().zip(fds.by_ref()).collect();
            let key = InstanceKey { run: RunId::clone(&work.run.run), rank: item.rank };
            match self.start_one(&work, item, &key, own) {
                Ok(pid) => forked.started.push((key, pid)),
                Err(error) => forked.failed.push((key, error.to_string())),
            }
        }
        forked
    }

    fn start_one(
        &mut self,
        work: &Work,
        item: &WorkItem,
        key: &InstanceKey,
        own: Vec<(FdRole, OwnedFd)>,
    ) -> io::Result<i32> {
        let mut fds = sort_fds(own);
        // What was guarded here is the same pipe that noded sends again, or all that is left.
        let mut guard = self.guards.remove(key).unwrap_or_default();
        let forked = share(&mut fds, &mut guard).and_then(|()| {
            let record = running_record(&work.run_dir, item.rank);
            let adopted = record.map(|r| (r.spawned.pid, r.spawned.start_ticks));
            fds.verdicts = adopted.map(|agent| self.verdicts_for(agent)).transpose()?;
            Ok((adopted, fork_single_threaded()?))
        });
        match forked {
            Ok((adopted, Fork::Parent(pid))) => {
                self.by_pid.insert(pid, Entry { key: key.clone(), guard, adopted });
                Ok(pid)
            }
            Ok((_, Fork::Child)) => {
                fds.output_event = self.output_event.as_ref().and_then(|f| f.try_clone().ok());
                fds.null = self.null.try_clone().ok();
                become_step(work, item, fds)
            }
            Err(error) => {
                self.guards.insert(key.clone(), guard);
                Err(error)
            }
        }
    }

    /// The socket over which a step hears how an agent ended that this process will reap, or
    /// has reaped.
    fn verdicts_for(&mut self, agent: AgentId) -> io::Result<OwnedFd> {
        let (ours, theirs) = seqpacket::pair()?;
        let known = self.orphans.iter().position(|o| o.id == agent);
        match known.and_then(|i| self.orphans.remove(i)) {
            Some(orphan) => tell(&ours, orphan.status),
            None => {
                self.adopters.insert(agent, ours);
            }
        }
        Ok(theirs)
    }

    /// Reaps what has ended; returns the steps that had not finished. They are remembered where
    /// nobody can be told.
    pub(super) fn reap(&mut self, connected: bool) -> Vec<(InstanceKey, i32)> {
        let mut died = Vec::new();
        while let Ok(Some(pid)) = peek_any() {
            // Read while it is a zombie: afterwards the pid may be somebody else's.
            let ticks = proc::identity(pid).map(|i| i.start_ticks).ok();
            let Ok(status) = reap_one(pid) else { break };
            if let Some(entry) = self.by_pid.remove(&pid) {
                self.step_ended(entry, pid, status, connected, &mut died);
            } else if let Some(ticks) = ticks {
                self.agent_ended((pid, ticks), status);
            }
        }
        died
    }

    fn step_ended(
        &mut self,
        entry: Entry,
        pid: i32,
        status: WaitStatus,
        connected: bool,
        died: &mut Vec<(InstanceKey, i32)>,
    ) {
        if let Some(agent) = entry.adopted {
            self.adopters.remove(&agent);
        }
        if status == WaitStatus::Exited(step::DONE) {
            return;
        }
        self.guards.insert(entry.key.clone(), entry.guard);
        if !connected {
            self.abandoned.push(entry.key.clone());
        }
        died.push((entry.key, pid));
    }

    fn agent_ended(&mut self, id: AgentId, status: WaitStatus) {
        if let Some(step) = self.adopters.remove(&id) {
            tell(&step, status);
            return;
        }
        if self.orphans.len() == ORPHANS_MAX {
            self.orphans.pop_front();
        }
        self.orphans.push_back(Orphan { id, status });
    }
}

/// Both the step and the guard get the reading ends, whoever of noded and guard has them.
fn share(fds: &mut StepFds, guard: &mut Guard) -> io::Result<()> {
    for (reader, kept) in
        [(&mut fds.out_reader, &mut guard.out), (&mut fds.err_reader, &mut guard.err)]
    {
        if reader.is_some() {
            *kept = reader.as_ref().map(OwnedFd::try_clone).transpose()?;
        } else {
            *reader = kept.as_ref().map(OwnedFd::try_clone).transpose()?;
        }
    }
    Ok(())
}

fn tell(step: &OwnedFd, status: WaitStatus) {
    if let Ok(bytes) = serde_json::to_vec(&Verdict { status }) {
        let _ = seqpacket::send(step, &bytes, &[]);
    }
}

fn read_work(memfd: OwnedFd) -> io::Result<Work> {
    let mut file = File::from(memfd);
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// The record of an agent that may run: whoever starts a step for it takes it over.
fn running_record(run_dir: &Path, rank: Rank) -> Option<SpawnRecord> {
    let path = run_dir.join(rank.to_string());
    if !path.is_dir() {
        return None;
    }
    InstanceDir::open(&path).ok()?.spawn().ok()?
}

fn sort_fds(own: Vec<(FdRole, OwnedFd)>) -> StepFds {
    let mut fds = StepFds::default();
    for (role, fd) in own {
        let place = match role {
            FdRole::Control => &mut fds.control,
            FdRole::OutReader => &mut fds.out_reader,
            FdRole::OutWriter => &mut fds.out_writer,
            FdRole::ErrReader => &mut fds.err_reader,
            FdRole::ErrWriter => &mut fds.err_writer,
            FdRole::InReader => &mut fds.in_reader,
            FdRole::InWriter => &mut fds.in_writer,
        };
        *place = Some(fd);
    }
    fds
}

/// The child's side of the fork.
fn become_step(work: &Work, item: &WorkItem, fds: StepFds) -> ! {
    let named = [
        &fds.control,
        &fds.out_reader,
        &fds.out_writer,
        &fds.err_reader,
        &fds.err_writer,
        &fds.in_reader,
        &fds.in_writer,
        &fds.output_event,
        &fds.verdicts,
        &fds.null,
    ];
    let named = named.into_iter().flatten().map(AsFd::as_fd);
    let mut keep: Vec<i32> = named.map(|fd: BorrowedFd<'_>| fd.as_raw_fd()).collect();
    close_all_but(&mut keep);
    signals::set_name(c"a2arun-step");
    let _ = signals::become_subreaper();
    let task = Task {
        run: &work.run,
        run_dir: work.run_dir.clone(),
        generation: work.generation,
        request: work.request,
        rank: item.rank,
        launch: item.launch.as_ref().and_then(|launch| {
            let template = work.templates.get(usize::try_from(launch.template).ok()?)?;
            Some((launch, template))
        }),
        nofile: work.nofile,
        steps_socket: work.steps_socket.clone(),
        boot_id: &work.boot_id,
    };
    step::main(&task, fds)
}
