//! A check by a command: beside the agent, with its environment, in its folder, in a group of its
//! own.
//!
//! tokio's own process handling is used here and nowhere else in noded: these are noded's
//! children, not agents, and the spawner and steps do all other reaping.

use std::process::Stdio;
use std::time::Duration;

use a2arun_core::launch::SignalNumber;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::seconds;
use crate::os::{pidfd, proc};

/// Runs it; what is wrong is said in words.
pub(super) async fn run(pid: i32, command: &[String], limit: Duration) -> Result<(), String> {
    let Some((program, args)) = command.split_first() else {
        return Err("no command".to_owned());
    };
    let child = Command::new(program)
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
    let mut group = Group(child);
    match timeout(limit, group.0.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("`{program}` ended with {status}")),
        Ok(Err(error)) => Err(format!("`{program}`: {error}")),
        Err(_) => {
            group.kill();
            let _ = group.0.wait().await;
            Err(format!("`{program}` took longer than {}", seconds(limit)))
        }
    }
}

/// The command with everything in its group, which is gone when this is: a look is broken off when
/// its instance ends.
struct Group(Child);

impl Group {
    fn kill(&self) {
        // Unreaped it has an id, and the group's number is still its own.
        if let Some(group) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = pidfd::signal_group(group, SignalNumber::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn what_a_check_started_is_gone_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let command = ["sh".to_owned(), "-c".to_owned(), script];
        let own = i32::try_from(std::process::id()).unwrap();
        let begun = Instant::now();
        let mut check = Box::pin(run(own, &command, Duration::from_secs(60)));
        let pid = loop {
            // The look is broken off by being dropped, as when its instance ends.
            assert!(timeout(Duration::from_millis(5), &mut check).await.is_err());
            let pid = std::fs::read_to_string(&file).unwrap_or_default();
            if let Ok(pid) = pid.trim().parse::<i32>() {
                break pid;
            }
            assert!(begun.elapsed() < Duration::from_secs(20));
        };
        drop(check);
        gone(pid, begun).await;
    }

    /// Waits until a process is gone, or a zombie of a reaper that has not come by.
    async fn gone(pid: i32, begun: Instant) {
        let lives = || {
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
        };
        while lives() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{pid} is left");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
