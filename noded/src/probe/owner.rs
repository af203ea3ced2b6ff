//! Whose listener is it?

use std::collections::HashSet;
use std::net::SocketAddr;

use crate::os::proc::{self, Listener};
use crate::ports;

/// The sockets that the tree of `pid` has open.
fn inodes(pid: i32) -> HashSet<u64> {
    let tree = std::iter::once(pid).chain(proc::descendants(pid));
    tree.flat_map(proc::socket_inodes).collect()
}

/// Who has the port, if none of its listeners belongs to the tree of `pid`.
pub(super) fn stranger(pid: i32, port: u16) -> Option<String> {
    let listeners: Vec<Listener> =
        proc::listeners().into_iter().filter(|l| l.address.port() == port).collect();
    if listeners.is_empty() {
        // It has just closed, or is in a namespace that this process does not see.
        return None;
    }
    let own = inodes(pid);
    if listeners.iter().any(|l| own.contains(&l.inode)) {
        return None;
    }
    Some(ports::holder(port).unwrap_or_else(|| format!("a stranger listens on port {port}")))
}

/// Everything that the tree of `pid` listens on.
pub(super) fn listening(pid: i32) -> Vec<SocketAddr> {
    let own = inodes(pid);
    proc::listeners().into_iter().filter(|l| own.contains(&l.inode)).map(|l| l.address).collect()
}
