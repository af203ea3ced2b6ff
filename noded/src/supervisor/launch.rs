//! Launch requests become spawn requests: pipes, sockets and a memfd for the spawner. A step that
//! died is replaced the same way.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use a2arun_core::ids::{Incarnation, Rank};
use a2arun_core::launch::{HOST_PATH, LaunchBatch, NO_PATH, RunIdentity, Template};
use a2arun_core::outcome::{ExitReason, ExitRecord, Proof};
use jiff::Timestamp;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::time::Instant;

use super::actor::{Run, Supervisor, Timer};
use super::instance::{Instance, Launch};
use super::links::{SpawnerLink, serve_step};
use super::views::InstanceView;
use super::{EventKind, LinkId, NoticeKind, Output, Refusal};
use crate::msg::{FdRole, InstanceKey, SpawnerCommand, StepCommand, Work, WorkItem};
use crate::os::seqpacket;

/// Descriptors that noded holds for a live instance: its step's connection, two pidfds, two
/// reading ends, two writing ends until it runs, and its standard input where that is kept.
const FDS_AN_INSTANCE: u64 = 8;
/// Descriptors that are ours whatever we supervise.
const FDS_OWN: u64 = 128;
/// Descriptors of one spawn message, below the kernel's limit of 253.
const FDS_A_MESSAGE: usize = 240;
/// A step that dies this often before it says anything is not tried again.
const STILLBORN_MAX: u32 = 5;
/// How long to wait before a step is replaced once that is so, for an agent that runs.
const REPLACE_LATER: std::time::Duration = std::time::Duration::from_secs(1);

/// One message to the spawner in the making.
struct Message {
    work: Work,
    fds: Vec<OwnedFd>,
}

impl Supervisor {
    /// Carries a launch request out. A replay starts nothing twice (promise P1).
    pub(super) fn launch(&mut self, run: &mut Run, batch: LaunchBatch) {
        if batch.generation < run.generation {
            let message =
                format!("generation {} is older than {}", batch.generation, run.generation);
            run.answer(Output::Refused(batch.request, Refusal::Stale, message));
            return;
        }
        let new: Vec<_> = batch
            .instances
            .into_iter()
            .filter(|i| match run.instances.get(&i.rank) {
                Some(known) => {
                    known.request < (batch.generation, batch.request) && !known.is_live()
                }
                None => true,
            })
            .collect();
        if let Err(message) = self.check_room(new.len()) {
            run.answer(Output::Refused(batch.request, Refusal::Capacity, message));
            return;
        }
        let mut templates = batch.templates;
        for template in &mut templates {
            self.add_host_env(template);
        }
        let templates = Arc::new(templates);
        run.stop_all = None;
        let mut ranks = Vec::with_capacity(new.len());
        for mut instance in new {
            let rank = instance.rank;
            instance.env.extend(self.peers_variable(run, rank));
            let key = InstanceKey { run: run.identity.run.clone(), rank };
            let launch = Launch { instance, templates: templates.clone() };
            let mut instance = Instance::new(key, launch, (batch.generation, batch.request));
            if let Some(last) = run.instances.get(&rank).filter(|i| i.process.is_some()) {
                instance.incarnation = Incarnation(last.incarnation.0 + 1);
            }
            let incarnation = instance.incarnation;
            run.instances.insert(rank, instance);
            run.views.push(InstanceView { rank, incarnation, has_output: [false; 2], ended: None });
            ranks.push(rank);
        }
        run.views_changed = true;
        self.start_steps(run, &ranks);
    }

    /// Whether this process may hold the descriptors of so many more instances.
    fn check_room(&self, new: usize) -> Result<(), String> {
        let live = u64::try_from(self.live_instances()).unwrap_or(u64::MAX);
        let new = u64::try_from(new).unwrap_or(u64::MAX);
        let limit = self.settings.nofile_now;
        let need = live.saturating_add(new) * FDS_AN_INSTANCE + FDS_OWN;
        if need <= limit {
            return Ok(());
        }
        let fits = limit.saturating_sub(FDS_OWN + live * FDS_AN_INSTANCE) / FDS_AN_INSTANCE;
        Err(format!(
            "{new} more instances need {need} open files and noded may have {limit} (ulimit -Hn); \
             {fits} more would fit: raise the limit, or use more hosts"
        ))
    }

    fn add_host_env(&self, template: &mut Template) {
        if !template.host_env {
            return;
        }
        for (name, value) in &self.settings.host_env {
            match template.env.get_mut(name) {
                None => {
                    template.env.insert(name.clone(), value.clone());
                }
                // What the head adds for the job stands beside what the host has.
                Some(own) if name.eq_ignore_ascii_case("no_proxy") && !value.is_empty() => {
                    *own = format!("{value},{own}");
                }
                // A venv stands before what the host has.
                Some(own) if name == "PATH" => *own = own.replace(HOST_PATH, value),
                Some(_) => {}
            }
        }
        if let Some(path) = template.env.get_mut("PATH").filter(|p| p.contains(HOST_PATH)) {
            *path = path.replace(HOST_PATH, NO_PATH);
        }
        template.host_env = false;
    }

    /// Starts steps for instances that have none: with pipes of their own for new ones, with the
    /// guarded ones for those whose agent may run.
    pub(super) fn start_steps(&mut self, run: &mut Run, ranks: &[Rank]) {
        if self.spawner.as_ref().is_none_or(SpawnerLink::is_closed) {
            let keys = ranks.iter().filter_map(|r| run.instances.get(r)).map(|i| i.key.clone());
            self.waiting_for_spawner.extend(keys);
            return;
        }
        let mut message: Option<Message> = None;
        for rank in ranks {
            // One whose step is there already needs no other: it would take its place here while
            // it waits for the first one's lock.
            let wanting = |i: &&Instance| i.is_live() && i.link.is_none();
            let Some(instance) = run.instances.get(rank).filter(wanting) else { continue };
            // Templates of different batches do not share a message.
            let templates = instance.launch.as_ref().map(|l| l.templates.clone());
            let request = instance.request;
            let differs = message.as_ref().is_some_and(|m| {
                (m.work.generation, m.work.request) != request || m.fds.len() > FDS_A_MESSAGE - 12
            });
            if differs {
                self.send_work(run, message.take());
            }
            let message = message.get_or_insert_with(|| Message {
                work: Work {
                    run: run.identity.clone(),
                    run_dir: self.ledger.run_dir(&run.identity.run),
                    generation: request.0,
                    request: request.1,
                    nofile: self.settings.nofile_before,
                    steps_socket: self.settings.steps_socket.clone(),
                    boot_id: self.settings.boot_id.clone(),
                    templates: templates.map_or_else(Vec::new, |t| t.to_vec()),
                    items: Vec::new(),
                },
                fds: Vec::new(),
            });
            if let Err(error) = self.add_item(run, *rank, message) {
                self.never_started(run, *rank, &format!("cannot make its pipes: {error}"));
            }
        }
        self.send_work(run, message);
    }

    fn add_item(&mut self, run: &mut Run, rank: Rank, message: &mut Message) -> io::Result<()> {
        let Some(instance) = run.instances.get_mut(&rank) else { return Ok(()) };
        let (ours, theirs) = seqpacket::pair()?;
        let mut own = vec![(FdRole::Control, theirs)];
        let running = instance.process.as_ref().is_some_and(|p| p.running);
        if !running {
            if instance.guard.is_none() {
                let flags = PipeFlags::CLOEXEC;
                let (out_reader, out_writer) = pipe_with(flags)?;
                let (err_reader, err_writer) = pipe_with(flags)?;
                instance.guard = Some((out_reader, err_reader));
                instance.writers = Some((out_writer, err_writer));
            }
            if let Some((out, err)) = &instance.writers {
                own.push((FdRole::OutWriter, out.try_clone()?));
                own.push((FdRole::ErrWriter, err.try_clone()?));
            }
            let mut ports = self.ports.take(&instance.key);
            if instance.stillborn > 0 {
                // The first step took the reservations with it.
                let all = instance.port.iter().chain(&instance.more_ports);
                ports.extend(all.filter_map(|port| crate::ports::hold_again(*port)));
            }
            let borrowed: Vec<_> = ports.iter().map(AsFd::as_fd).collect();
            if !borrowed.is_empty() {
                seqpacket::send(&ours, &serde_json::to_vec(&StepCommand::Ports)?, &borrowed)?;
            }
            if instance.launch.as_ref().is_some_and(|l| l.instance.stdin) {
                let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
                own.push((FdRole::InReader, reader));
                own.push((FdRole::InWriter, writer.try_clone()?));
                instance.stdin = Some(writer);
            }
        } else if let Some(stdin) = &instance.stdin {
            own.push((FdRole::InWriter, stdin.try_clone()?));
        }
        if let Some((out, err)) = &instance.guard {
            own.push((FdRole::OutReader, out.try_clone()?));
            own.push((FdRole::ErrReader, err.try_clone()?));
        }
        self.next_link += 1;
        let id = LinkId(self.next_link);
        let link = serve_step(&mut self.tasks, id, instance.key.clone(), ours, self.inbox.clone())?;
        instance.link = Some(link);
        let launch = instance.launch.as_ref().map(|l| l.instance.clone());
        // A step that takes over, or starts late, first reads what its predecessor was told.
        self.brief_step(run, rank);
        let (roles, fds): (Vec<_>, Vec<_>) = own.into_iter().unzip();
        message.work.items.push(WorkItem { launch, rank, fds: roles });
        message.fds.extend(fds);
        Ok(())
    }

    fn send_work(&mut self, run: &mut Run, message: Option<Message>) {
        let Some(message) = message.filter(|m| !m.work.items.is_empty()) else { return };
        let ranks: Vec<Rank> = message.work.items.iter().map(|i| i.rank).collect();
        let sent = match (&self.spawner, memfd(&message.work)) {
            (Some(spawner), Ok(memfd)) => {
                let fds = std::iter::once(memfd).chain(message.fds).collect();
                // One that is gone by now drops the request and with it the steps' connections:
                // they are asked for again.
                if spawner.send(SpawnerCommand::Spawn, fds) || spawner.is_closed() {
                    Ok(())
                } else {
                    Err("the spawner does not take requests".to_owned())
                }
            }
            // Their connections close with the message: they are started again with the next
            // spawner, which is on its way.
            (None, Ok(_)) => Ok(()),
            (_, Err(error)) => Err(format!("cannot make a memfd: {error}")),
        };
        if let Err(why) = sent {
            for rank in ranks {
                self.never_started(run, rank, &why);
            }
        }
    }

    /// An instance whose process never came to be.
    /// One whose agent may run waits for its next step instead.
    pub(super) fn never_started(&mut self, run: &mut Run, rank: Rank, why: &str) {
        if let Some(instance) = run.instances.get_mut(&rank)
            && instance.process.is_some()
        {
            instance.link = None;
            self.replace_later(run, rank);
            return;
        }
        let exit = ExitRecord::spawn_failed(why.to_owned(), Timestamp::now());
        self.exited(run, rank, exit);
    }

    /// The step of a live instance is gone: another takes over.
    pub(super) fn step_lost(&mut self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get_mut(&rank).filter(|i| i.is_live()) else { return };
        instance.link = None;
        instance.stillborn += 1;
        if instance.stillborn <= STILLBORN_MAX {
            self.start_steps(run, &[rank]);
        } else if instance.process.is_some() {
            self.replace_later(run, rank);
        } else {
            self.never_started(run, rank, "its step cannot start (noded's log says why)");
        }
    }

    fn replace_later(&mut self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get_mut(&rank) else { return };
        if instance.replace_at.is_none() {
            let at = Instant::now() + REPLACE_LATER;
            instance.replace_at = Some(at);
            tracing::warn!(run = %instance.key.run, %rank, "its agent runs without a step for now");
            self.timers.set(at, Timer::Replace(instance.key.clone()));
        }
    }

    /// A step that took an agent over says so.
    pub(super) fn note_adoption(&mut self, run: &mut Run, rank: Rank) {
        let Some(instance) = run.instances.get_mut(&rank) else { return };
        instance.adoptions += 1;
        let pid = instance.process.as_ref().map_or(0, |p| p.pid);
        let text = format!("its step died and was replaced; the agent (pid {pid}) goes on");
        run.event(rank, EventKind::Notice(NoticeKind::StepReplaced, text));
    }

    /// An instance of which neither a step nor an end is known, and none can be.
    pub(super) fn unknown_exit(why: &str) -> ExitRecord {
        let mut exit = ExitRecord::spawn_failed(why.to_owned(), Timestamp::now());
        (exit.reason, exit.proof) = (ExitReason::Unknown, Proof::Weak);
        exit
    }
}

fn memfd(work: &Work) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("spawn", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(&serde_json::to_vec(work)?)?;
    Ok(file.into())
}

/// A run identity for steps whose run record cannot be read.
pub(super) fn nameless(run: &a2arun_core::ids::RunId) -> Option<RunIdentity> {
    Some(RunIdentity {
        run: run.clone(),
        job: run.as_str().parse().ok()?,
        host: "localhost".parse().ok()?,
        orphan: a2arun_core::launch::OrphanPolicy::foreground(),
        head: "unknown".to_owned(),
    })
}
