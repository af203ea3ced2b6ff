//! What /proc says of processes and sockets (proc(5)).

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;

/// The facts of a process that tell it from a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The parent.
    pub ppid: i32,
    /// The process group.
    pub pgid: i32,
    /// Start in clock ticks since boot.
    pub start_ticks: u64,
    /// The state letter; `Z` has ended.
    pub state: u8,
}

/// Reads `/proc/PID/stat`.
pub fn identity(pid: i32) -> io::Result<Identity> {
    let text = std::fs::read(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::other("unexpected /proc/PID/stat"))
}

/// The name comes in parentheses and may contain any byte, so the last `)` ends it.
fn parse_stat(text: &[u8]) -> Option<Identity> {
    let end = text.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(text.get(end + 2..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let ppid = fields.next()?.parse().ok()?;
    let pgid = fields.next()?.parse().ok()?;
    // Field 22 of the line; state was field 3.
    let start_ticks = fields.nth(16)?.parse().ok()?;
    Some(Identity { ppid, pgid, start_ticks, state })
}

/// The command's name, for people.
pub fn comm(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map(|s| s.trim_end().to_owned())
        .unwrap_or_default()
}

/// The command line, for people: at most 120 bytes.
pub fn command_line(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    let text: String = text.trim().chars().take(120).collect();
    if text.is_empty() { comm(pid) } else { text }
}

/// The children of a process, of all its threads (`CONFIG_PROC_CHILDREN`); by a walk over /proc
/// where the kernel does not list them.
pub fn children(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return found };
    for thread in threads.flatten() {
        match std::fs::read_to_string(thread.path().join("children")) {
            Ok(text) => {
                found.extend(text.split_ascii_whitespace().filter_map(|w| w.parse::<i32>().ok()));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && thread.path().exists() => {
                return all_pids()
                    .into_iter()
                    .filter(|p| identity(*p).is_ok_and(|i| i.ppid == pid))
                    .collect();
            }
            Err(_) => {}
        }
    }
    found
}

/// Everything below `pid`, not itself.
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut todo = vec![pid];
    while let Some(next) = todo.pop() {
        for child in children(next) {
            if seen.insert(child) {
                found.push(child);
                todo.push(child);
            }
        }
    }
    found
}

/// Every pid there is.
pub fn all_pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a process was started with this variable. Unreadable (another user's, or ended): no.
pub fn has_variable(pid: i32, assignment: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|env| env.split(|b| *b == 0).any(|v| v == assignment.as_bytes()))
}

/// What a process was started with; empty where it may not be read.
pub fn environment(pid: i32) -> Vec<(OsString, OsString)> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let pairs = bytes.split(|b| *b == 0).filter_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=')?;
        let text = |part: &[u8]| OsString::from_vec(part.to_vec());
        Some((text(&pair[..at]), text(&pair[at + 1..])))
    });
    pairs.collect()
}

/// The kernel's id of this boot.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|s| s.trim().to_owned())
        .unwrap_or_default()
}

/// A listening TCP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `0.0.0.0:9001` or `[::]:9001`.
    pub address: std::net::SocketAddr,
    /// Its inode, which names it in `/proc/PID/fd`.
    pub inode: u64,
}

/// Every listening TCP socket of this network namespace.
pub fn listeners() -> Vec<Listener> {
    let v4 = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    v4.lines().chain(v6.lines()).filter_map(parse_listener).collect()
}

fn parse_listener(line: &str) -> Option<Listener> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = match ip.len() {
        // Each group of eight digits is one word in the machine's byte order.
        8 => std::net::IpAddr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes()),
        32 => {
            let mut bytes = [0u8; 16];
            for (i, word) in bytes.chunks_exact_mut(4).enumerate() {
                let text = ip.get(i * 8..i * 8 + 8)?;
                word.copy_from_slice(&u32::from_str_radix(text, 16).ok()?.to_ne_bytes());
            }
            std::net::IpAddr::from(bytes)
        }
        _ => return None,
    };
    Some(Listener { address: (address, port).into(), inode })
}

/// The inodes of the sockets that a process has open.
pub fn socket_inodes(pid: i32) -> Vec<u64> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let link = std::fs::read_link(entry.path()).ok()?;
            link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

/// Who has this socket open, as far as this user may see.
pub fn holder_of(inode: u64) -> Option<i32> {
    all_pids().into_iter().find(|pid| socket_inodes(*pid).contains(&inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = b"7 (a) b (c) S 3 5 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 9182 0 0\n";
        let want = Identity { ppid: 3, pgid: 5, start_ticks: 9182, state: b'S' };
        assert_eq!(parse_stat(line), Some(want));
    }

    #[test]
    fn this_process_is_found_below_its_parent() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mine = identity(me).unwrap();
        assert!(children(mine.ppid).contains(&me));
    }

    #[test]
    fn a_listener_is_found_with_its_holder() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let found = listeners().into_iter().find(|l| l.address == address).unwrap();
        assert_eq!(holder_of(found.inode), Some(i32::try_from(std::process::id()).unwrap()));
        let v6 = std::net::TcpListener::bind("[::1]:0");
        if let Ok(v6) = v6 {
            let address = v6.local_addr().unwrap();
            assert!(listeners().iter().any(|l| l.address == address));
        }
    }
}
