//! The first thing a step does: under the folder's lock, spawn the agent, take over one that
//! runs, or report one that has ended. Doing it twice does it once.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use a2arun_core::ids::Incarnation;
use a2arun_core::launch::{HOST_NAMES, InstanceLaunch, ReadinessCheck, Template, fill_host_names};
use a2arun_core::machine::instance::Rules;
use a2arun_core::outcome::{ExitReason, ExitRecord, Proof, WaitStatus};
use jiff::Timestamp;

use super::link::{Incoming, Link};
use super::output::Pump;
use super::run::Step;
use super::tree::{Leader, Members, mark};
use super::{StepFds, Task, program};
use crate::ledger::{InstanceDir, LedgerError, LogFile, SpawnRecord};
use crate::msg::{Spawned, StepCommand, StepMessage, environment};
use crate::os::clone::{self, ExecFailure, Stage, c_string};
use crate::os::{pidfd, proc};

/// Why a step cannot work. What the agent's own start fails with is no error of the step.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// The folder or its records.
    #[error("keep records")]
    Ledger(#[from] LedgerError),
    /// A descriptor that must be there is not.
    #[error("descriptor for {0} is missing")]
    Descriptor(&'static str),
    /// There is nothing to take over and nothing to spawn.
    #[error("no spawn record and no launch request")]
    Nothing,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Started {
    /// It had ended, or never ran: reported.
    Over,
    /// It runs.
    Running(Box<Step>),
}

/// Starts, takes over, or reports.
pub(super) fn start(task: &Task<'_>, mut fds: StepFds) -> Result<Started, StartError> {
    let path = task.run_dir.join(task.rank.to_string());
    let dir = InstanceDir::create_locked(&path)?;
    let mut link = Link::new(fds.control.take(), task.steps_socket.clone());
    // A record that cannot be read names no agent that could be taken over.
    let record = match dir.spawn() {
        Ok(record) => record,
        Err(error @ LedgerError::Record { .. }) => {
            super::complain(&task.key(), &error);
            // Nobody knows its process: whatever carries its mark is ended, as nobody could stop it.
            super::tree::end_marked(&dir);
            return Ok(report_unknown(&dir, &mut link, "its spawn record is torn"));
        }
        Err(error) => return Err(error.into()),
    };
    match (record, task.launch) {
        (Some(record), Some((launch, template))) if is_over(task, &dir, &record) => {
            let last = record.spawned.incarnation.0;
            dir.retire(last)?;
            spawn(task, dir, link, (launch, template), Incarnation(last + 1), fds)
        }
        (Some(record), _) => adopt(task, dir, link, record, fds),
        (None, Some((launch, template))) => {
            let last = dir.retired();
            if last > 0 {
                dir.retire(last)?;
            }
            spawn(task, dir, link, (launch, template), Incarnation(last + 1), fds)
        }
        (None, None) => Err(StartError::Nothing),
    }
}

/// The record is of an earlier request, and what it names has ended: this is another spawn.
fn is_over(task: &Task<'_>, dir: &InstanceDir, record: &SpawnRecord) -> bool {
    let newer = (task.generation, task.request) > (record.generation, record.request);
    newer && matches!(dir.exit(), Ok(Some(_)))
}

fn report(dir: &InstanceDir, link: &mut Link, exit: ExitRecord) -> Started {
    if let Err(error) = dir.write_exit(&exit) {
        tracing_free_warning(dir.path(), &error);
    }
    link.send(&StepMessage::Exited(exit), &[]);
    Started::Over
}

/// The step has no tracing; what it cannot keep on disk it says to the daemon's standard error.
fn tracing_free_warning(path: &Path, error: &LedgerError) {
    let text = format!("a2arun-step {}: {error}\n", path.display());
    let _ = rustix::io::write(std::io::stderr(), text.as_bytes());
}

fn report_unknown(dir: &InstanceDir, link: &mut Link, why: &str) -> Started {
    let mut exit = ExitRecord::spawn_failed(why.to_owned(), Timestamp::now());
    exit.reason = ExitReason::Unknown;
    exit.proof = Proof::Weak;
    exit.stdout_bytes = dir.log_size(LogFile::Out, 1);
    exit.stderr_bytes = dir.log_size(LogFile::Err, 1);
    report(dir, link, exit)
}

/// Takes over what the record names: whatever it is doing by now.
fn adopt(
    task: &Task<'_>,
    dir: InstanceDir,
    mut link: Link,
    record: SpawnRecord,
    mut fds: StepFds,
) -> Result<Started, StartError> {
    match dir.exit() {
        Ok(Some(exit)) => {
            link.send(&StepMessage::Exited(exit), &[]);
            return Ok(Started::Over);
        }
        Ok(None) => {}
        Err(error) => tracing_free_warning(dir.path(), &error),
    }
    let spawned = Spawned { adopted: true, ..record.spawned.clone() };
    let pidfd = open_same(&spawned, &record.boot_id, task.boot_id);
    let null = fds.null.take().ok_or(StartError::Descriptor("/dev/null"))?;
    // With the reading ends: this noded may be new, and the spawner all that had them.
    let held: Vec<_> = pidfd
        .iter()
        .flat_map(|pidfd| [Some(pidfd), fds.out_reader.as_ref(), fds.err_reader.as_ref()])
        .map(|fd| fd.map_or(null.as_fd(), AsFd::as_fd))
        .collect();
    link.send(&StepMessage::Spawned(spawned.clone()), &held);
    link.send(&StepMessage::Running, &[]);
    // It ended while no step was there, and was reaped. Its tree may not have.
    let ended = pidfd.is_none().then(|| {
        dir.leader()
            .or_else(|| {
                let verdict = fds.verdicts.as_ref().map(AsFd::as_fd);
                verdict.and_then(super::run::read_verdict).map(|v| v.status)
            })
            .unwrap_or(WaitStatus::Unknown)
    });
    let leader = Leader { pid: spawned.pid, reaped: pidfd.is_none(), pidfd };
    let members = Members::Marked(mark(dir.path()));
    let incarnation = spawned.incarnation.0;
    Ok(Started::Running(Box::new(Step {
        key: task.key(),
        out: Pump::new(&dir, LogFile::Out, incarnation, fds.out_reader.take()),
        err: Pump::new(&dir, LogFile::Err, incarnation, fds.err_reader.take()),
        ready_at_exec: matches!(record.readiness.check, ReadinessCheck::Alive),
        rules: record.rules,
        ended,
        dir,
        link,
        leader,
        members,
        spawned,
        stdin: fds.in_writer.take(),
        output_event: fds.output_event.take(),
        verdicts: fds.verdicts.take(),
        null,
    })))
}

/// The process of a record, if it is still the same one.
fn open_same(spawned: &Spawned, boot_id: &str, now: &str) -> Option<OwnedFd> {
    if now != boot_id {
        return None;
    }
    let fd = pidfd::open(spawned.pid).ok()?;
    let identity = proc::identity(spawned.pid).ok()?;
    (identity.start_ticks == spawned.start_ticks).then_some(fd)
}

/// Makes the agent's process, writes it down, lets noded hold it, and opens the gate.
fn spawn(
    task: &Task<'_>,
    dir: InstanceDir,
    mut link: Link,
    (launch, template): (&InstanceLaunch, &Template),
    incarnation: Incarnation,
    mut fds: StepFds,
) -> Result<Started, StartError> {
    let mut ports = Vec::new();
    loop {
        match link.receive() {
            Incoming::Command(StepCommand::Ports, fds) => ports.extend(fds),
            Incoming::Command(StepCommand::Stop { cause, .. }, _) => {
                // Stopped before it was started: it never runs.
                let why = "stopped before it started".to_owned();
                let mut exit = ExitRecord::spawn_failed(why, Timestamp::now());
                (exit.reason, exit.asked_by) = (ExitReason::Stopped, Some(cause));
                return Ok(report(&dir, &mut link, exit));
            }
            Incoming::Command(
                StepCommand::Welcome | StepCommand::Ready | StepCommand::CloseStdin,
                _,
            )
            | Incoming::Unknown => {}
            Incoming::Nothing | Incoming::Lost => break,
        }
    }
    let ours = [
        ("A2ARUN_RUN_DIR", dir.path().display().to_string()),
        ("A2ARUN_INCARNATION", incarnation.to_string()),
    ];
    let mut env = environment(template, launch, &ours);
    let known: Vec<(&str, String)> =
        HOST_NAMES.iter().filter_map(|name| Some((*name, env.get(*name)?.clone()))).collect();
    let of_host = |name: &str| known.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    for value in env.values_mut().filter(|value| value.contains("$(A2ARUN_")) {
        *value = fill_host_names(value, of_host);
    }
    let home = env.get("HOME").map(String::as_str);
    let workdir = template.workdir.clone().unwrap_or_else(|| PathBuf::from("/"));
    let workdir = program::at_home(&workdir, home);
    let argv = if launch.argv.is_empty() { &template.argv } else { &launch.argv };
    let argv: Vec<String> = argv.iter().map(|word| fill_host_names(word, of_host)).collect();
    let Some(first) = argv.first() else { return Err(StartError::Nothing) };
    let first = program::at_home(Path::new(first), home);
    let first = first.to_string_lossy();
    if !workdir.is_dir() {
        let message = format!("working directory `{}` does not exist", workdir.display());
        return Ok(report(&dir, &mut link, failed(126, message)));
    }
    let path = match program::find(&first, env.get("PATH").map(String::as_str), &workdir) {
        Ok(path) => path,
        Err(unfit) => return Ok(report(&dir, &mut link, failed(unfit.code, unfit.message))),
    };
    let null = fds.null.take().ok_or(StartError::Descriptor("/dev/null"))?;
    let out_writer = fds.out_writer.take().ok_or(StartError::Descriptor("standard output"))?;
    let err_writer = fds.err_writer.take().ok_or(StartError::Descriptor("standard error"))?;
    let stdin = fds.in_reader.take();
    let plan = clone::Plan {
        path: c_string(&path.to_string_lossy()),
        argv: argv.iter().map(|a| c_string(a)).collect(),
        env: env.iter().map(|(name, value)| c_string(&format!("{name}={value}"))).collect(),
        workdir: c_string(&workdir.to_string_lossy()),
        umask: template.umask,
        record: (dir.as_fd(), c_string("spawn")),
        nofile: task.nofile.map(|n| (n.soft, n.hard)),
        stdin: stdin.as_ref().map_or(null.as_fd(), AsFd::as_fd),
        stdout: out_writer.as_fd(),
        stderr: err_writer.as_fd(),
    };
    let gated = match clone::gated(&plan) {
        Ok(gated) => gated,
        Err(error) => return Ok(report(&dir, &mut link, failed(126, no_process(&error)))),
    };
    // From here on only the process at the gate holds its ports, and its exec lets go of them.
    drop(ports);
    let start_ticks = proc::identity(gated.pid).map_or(0, |i| i.start_ticks);
    let spawned =
        Spawned { pid: gated.pid, start_ticks, incarnation, at: Timestamp::now(), adopted: false };
    let rules = Rules {
        lifecycle: template.lifecycle,
        stop: template.stop.clone(),
        noded_away: task.run.orphan.noded_away,
    };
    let record = SpawnRecord {
        key: task.key(),
        name: launch.name.clone(),
        generation: task.generation,
        request: task.request,
        spawned: spawned.clone(),
        boot_id: task.boot_id.to_owned(),
        rules: rules.clone(),
        readiness: template.readiness.clone(),
        port: launch.port,
        more_ports: launch.ports.iter().map(|p| p.port).collect(),
        address: env.get("AGENT_HOST").cloned(),
        peers_hook: template.peers_hook.clone(),
    };
    if let Err(error) = dir.write_spawn(&record) {
        gated.abandon();
        let cause = std::error::Error::source(&error).map_or(String::new(), |s| format!(": {s}"));
        let message = format!("cannot keep its record: {error}{cause}");
        return Ok(report(&dir, &mut link, failed(126, message)));
    }
    // In flight in noded's socket the pidfd is held by noded; without a noded the gate opens too.
    link.send(&StepMessage::Spawned(spawned.clone()), &[gated.pidfd.as_fd()]);
    let (pid, pidfd) = match gated.open() {
        Ok(opened) => opened,
        Err(failure) => {
            let code = if failure.error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            let message = exec_failed(&failure, &path, &workdir);
            return Ok(report(&dir, &mut link, failed(code, message)));
        }
    };
    link.send(&StepMessage::Running, &[]);
    drop((out_writer, err_writer, stdin));
    Ok(Started::Running(Box::new(Step {
        key: task.key(),
        out: Pump::new(&dir, LogFile::Out, incarnation.0, fds.out_reader.take()),
        err: Pump::new(&dir, LogFile::Err, incarnation.0, fds.err_reader.take()),
        ready_at_exec: matches!(template.readiness.check, ReadinessCheck::Alive),
        rules,
        ended: None,
        dir,
        link,
        leader: Leader { pid, pidfd: Some(pidfd), reaped: false },
        members: Members::BelowUs,
        spawned,
        stdin: fds.in_writer.take(),
        output_event: fds.output_event.take(),
        verdicts: None,
        null,
    })))
}

fn failed(code: i32, message: String) -> ExitRecord {
    let mut exit = ExitRecord::spawn_failed(message, Timestamp::now());
    exit.code = Some(code);
    exit
}

fn no_process(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => {
            "no more processes are allowed for this user here (ulimit -u, or the cgroup's pids.max)"
                .to_owned()
        }
        _ => format!("cannot make a process: {error}"),
    }
}

fn exec_failed(failure: &ExecFailure, path: &Path, workdir: &Path) -> String {
    let error = &failure.error;
    match (failure.stage, error.raw_os_error()) {
        (Stage::Workdir, _) => {
            format!("cannot enter working directory `{}`: {error}", workdir.display())
        }
        (Stage::Prepare, _) => format!("cannot prepare `{}`: {error}", path.display()),
        (Stage::Exec, Some(libc::ENOEXEC)) => format!(
            "`{}` is no program for this machine (a script needs a first line like `#!/bin/sh`)",
            path.display()
        ),
        // The file is there, as was checked: what is missing is its interpreter.
        (Stage::Exec, Some(libc::ENOENT)) => {
            format!("the interpreter that `{}` names does not exist", path.display())
        }
        (Stage::Exec, _) => format!("cannot exec `{}`: {error}", path.display()),
    }
}
