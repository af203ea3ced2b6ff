//! The step: one process per instance. It starts the agent, moves its output to disk, stops it
//! and writes down how it ended, whether noded is there or not.
//!
//! It is forked by the spawner without exec, has one thread and a poll loop, and must not know
//! tokio, gRPC or the network.
//!
//! ```text
//! fork ─▶ lock the folder ─▶ exit record? ── report it
//!                      ├──▶ spawn record? ── take the agent over (`start::adopt`)
//!                      └──▶ nothing ─────── gate, record, exec (`start::spawn`)
//!                                └─▶ poll: output, noded, children, timers (`run`) ─▶ exit record
//! ```

mod link;
mod output;
mod program;
mod run;
mod start;
mod tree;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use a2arun_core::ids::{Generation, Rank, RequestId, RunId};
use a2arun_core::launch::{InstanceLaunch, RunIdentity, Template};

use crate::msg::InstanceKey;
use crate::os::fork::exit_now;
use crate::os::limits::Nofile;

pub use link::Link;

/// The step has done its work: the exit record is written or was reported.
pub const DONE: i32 = 0;
/// The step cannot go on; another has to.
pub const BROKEN: i32 = 1;

/// The descriptors of a step.
#[derive(Debug, Default)]
pub struct StepFds {
    /// The connection to noded.
    pub control: Option<OwnedFd>,
    /// Where the agent's standard output is read.
    pub out_reader: Option<OwnedFd>,
    /// Where the agent writes it.
    pub out_writer: Option<OwnedFd>,
    /// Where the agent's standard error is read.
    pub err_reader: Option<OwnedFd>,
    /// Where the agent writes it.
    pub err_writer: Option<OwnedFd>,
    /// Where the agent reads its standard input.
    pub in_reader: Option<OwnedFd>,
    /// Kept open for the head.
    pub in_writer: Option<OwnedFd>,
    /// Raised when there is new output.
    pub output_event: Option<OwnedFd>,
    /// How an agent that this step did not fork has ended comes from the spawner.
    pub verdicts: Option<OwnedFd>,
    /// `/dev/null`, to read and write.
    pub null: Option<OwnedFd>,
}

/// What a step has to do.
#[derive(Debug)]
pub struct Task<'a> {
    /// The run.
    pub run: &'a RunIdentity,
    /// The folder of the run.
    pub run_dir: PathBuf,
    /// The plan's generation.
    pub generation: Generation,
    /// The request's id.
    pub request: RequestId,
    /// The rank.
    pub rank: Rank,
    /// What to spawn, with its template; `None`: only take over.
    pub launch: Option<(&'a InstanceLaunch, &'a Template)>,
    /// The limit of descriptors that the agent gets back.
    pub nofile: Option<Nofile>,
    /// Where noded is found again.
    pub steps_socket: PathBuf,
    /// The kernel's id of this boot.
    pub boot_id: &'a str,
}

impl Task<'_> {
    fn key(&self) -> InstanceKey {
        InstanceKey { run: RunId::clone(&self.run.run), rank: self.rank }
    }
}

/// Runs a step to its end, which is the end of the process.
pub fn main(task: &Task<'_>, fds: StepFds) -> ! {
    let code = match start::start(task, fds) {
        Ok(start::Started::Over) => DONE,
        Ok(start::Started::Running(step)) => run::run(*step),
        Err(error) => {
            // The step has no log of its own; its standard error is the daemon's.
            complain(&task.key(), &error);
            BROKEN
        }
    };
    exit_now(code)
}

fn complain(key: &InstanceKey, error: &dyn std::error::Error) {
    use std::fmt::Write;
    let mut text = format!("a2arun-step {} rank {}: {error}", key.run, key.rank);
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text.push('\n');
    let _ = rustix::io::write(std::io::stderr(), text.as_bytes());
}
