//! What a test may not leave behind: processes, namespaces, and warnings that nobody expected.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::procs::{self, Proc};
use crate::wait::{Poll, wait_for};

/// How long agents and steps may take to go after the command that stopped them has returned.
/// A stop proves that nothing is left, so this only covers reaping by a slow pid 1.
const GONE: Duration = Duration::from_secs(3);

/// Agents and steps that are still there, as text. noded and its spawner may stay.
pub fn instances(folder: &Path) -> Result<(), String> {
    let mut left = Vec::new();
    let gone = wait_for("agents and steps to be gone", GONE, || {
        left = procs::of_folder(folder);
        left.retain(|proc| !proc.is_daemon());
        Poll::when(left.is_empty(), String::new)
    });
    gone.map_err(|_| format!("still running: {}", describe(&left)))
}

/// Ends the daemons of a folder, and whatever else is there; says what did not go by itself.
pub fn end_daemons(folder: &Path) -> Result<(), String> {
    for proc in procs::of_folder(folder) {
        proc.signal(Signal::SIGTERM);
    }
    let gone = |limit| {
        wait_for("the daemons to be gone", limit, || {
            let left = procs::of_folder(folder);
            Poll::when(left.is_empty(), || describe(&left))
        })
    };
    if gone(Duration::from_secs(2)).is_ok() {
        return Ok(());
    }
    let stubborn = procs::of_folder(folder);
    let _ = wait_for("all to be gone", Duration::from_secs(5), || {
        let left = procs::of_folder(folder);
        left.iter().for_each(|proc| proc.signal(Signal::SIGKILL));
        Poll::when(left.is_empty(), || describe(&left))
    });
    Err(format!("did not end at SIGTERM: {}", describe(&stubborn)))
}

/// Lines of noded's logs at WARN or ERROR that no `allowed` text occurs in.
pub fn unexpected_lines(folder: &Path, allowed: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    visit(folder, &mut |path| {
        if path.file_name().is_none_or(|name| name != "noded.log") {
            return;
        }
        let content = fs::read(path).unwrap_or_default();
        for line in String::from_utf8_lossy(&content).lines() {
            let level =
                line.contains(" WARN ") || line.contains(" ERROR ") || line.contains("panicked");
            if level && !allowed.iter().any(|text| line.contains(text.as_str())) {
                found.push(format!("{}: {line}", path.display()));
            }
        }
    });
    found
}

fn visit(folder: &Path, look: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => visit(&path, look),
            Ok(kind) if kind.is_file() => look(&path),
            _ => {}
        }
    }
}

/// One line per process.
pub fn describe(procs: &[Proc]) -> String {
    let one =
        |p: &Proc| format!("pid {} ({}) child of {}: {:.150}", p.pid, p.comm, p.parent, p.args);
    procs.iter().map(one).collect::<Vec<_>>().join("\n  ")
}
