//! A check by a command: beside the agent, with its environment, in its folder, in a group of its
//! own.
//!
//! tokio's own process handling is used here and nowhere else in noded: these are noded's
//! children, not agents, and the spawner and steps do all other reaping.

use std::process::Stdio;
use std::time::Duration;

use a2arun_core::launch::SignalNumber;
use tokio::time::timeout;

use super::seconds;
use crate::os::{pidfd, proc};

/// Runs it; what is wrong is said in words.
pub(super) async fn run(pid: i32, command: &[String], limit: Duration) -> Result<(), String> {
    let Some((program, args)) = command.split_first() else {
        return Err("no command".to_owned());
    };
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .env_clear()
        .envs(proc::environment(pid))
        .current_dir(format!("/proc/{pid}/cwd"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("`{program}`: {error}"))?;
    match timeout(limit, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("`{program}` ended with {status}")),
        Ok(Err(error)) => Err(format!("`{program}`: {error}")),
        Err(_) => {
            // Unreaped, so the group's number is still its own.
            if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()) {
                let _ = pidfd::signal_group(group, SignalNumber::KILL);
            }
            let _ = child.wait().await;
            Err(format!("`{program}` took longer than {}", seconds(limit)))
        }
    }
}
