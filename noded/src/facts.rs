//! What this host is, and what its agents use.

use std::collections::HashMap;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

use crate::os::proc;

/// What does not change while noded runs.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// The kernel's name of the host.
    pub hostname: String,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// The kernel's release.
    pub kernel: String,
    /// Processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The user that noded serves.
    pub uid: u32,
    /// Its name.
    pub user: String,
    /// When noded started, to tell it from others.
    pub epoch: u64,
}

impl HostFacts {
    /// Looks.
    pub fn gather(epoch: u64) -> Self {
        let memory_bytes = meminfo_total().unwrap_or(0);
        let uid = rustix::process::geteuid().as_raw();
        Self {
            hostname: System::host_name().unwrap_or_default(),
            boot_id: proc::boot_id(),
            kernel: System::kernel_version().unwrap_or_default(),
            cpus: std::thread::available_parallelism()
                .ok()
                .and_then(|n| u32::try_from(n.get()).ok())
                .unwrap_or(1),
            memory_bytes,
            uid,
            user: nix::unistd::User::from_uid(uid.into())
                .ok()
                .flatten()
                .map_or_else(|| uid.to_string(), |u| u.name),
            epoch,
        }
    }
}

/// `MemTotal` of /proc/meminfo: one line, where sysinfo would walk more than that.
fn meminfo_total() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// What a process uses.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Of one processor, over its life.
    pub cpu_percent: f64,
    /// Resident, in bytes.
    pub memory_bytes: u64,
}

/// What the named processes use. Blocks while it reads /proc.
pub fn usage(pids: &[i32]) -> HashMap<i32, Usage> {
    let Ok(mut system) = System::new_with_specifics(RefreshKind::nothing()) else {
        return HashMap::new();
    };
    let wanted: Vec<Pid> =
        pids.iter().filter_map(|p| usize::try_from(*p).ok().map(Pid::from)).collect();
    let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
    let _ = system.refresh_processes_specifics(ProcessesToUpdate::Some(&wanted), true, kind);
    let mut found = HashMap::new();
    for pid in pids {
        let key = usize::try_from(*pid).ok().map(Pid::from);
        let Some(process) = key.and_then(|k| system.process(k)) else { continue };
        // Both are milliseconds and seconds since the process started.
        let used_ms = process.accumulated_cpu_time() as f64;
        let ran_ms = (process.run_time().max(1) * 1000) as f64;
        let usage = Usage { cpu_percent: used_ms / ran_ms * 100.0, memory_bytes: process.memory() };
        found.insert(*pid, usage);
    }
    found
}
