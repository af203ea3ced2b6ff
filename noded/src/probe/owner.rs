//! Whose listener is it?

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::os::proc::{self, Listener};
use crate::ports;

/// The sockets that the tree of `pid` has open.
fn inodes(pid: i32) -> HashSet<u64> {
    let tree = std::iter::once(pid).chain(proc::descendants(pid));
    tree.flat_map(proc::socket_inodes).collect()
}

thread_local! {
    /// Every listener of this machine, and when that was so. The kernel walks its whole table of
    /// connections for it (proc_pid_net(5)): a thousand looks must not do that each.
    static LATELY: RefCell<Option<(Instant, Rc<[Listener]>)>> = const { RefCell::new(None) };
}

/// How old a list may be for those who were seen to be well before.
const LATELY_MAX: Duration = Duration::from_millis(250);

/// Everything that the tree of `pid` listens on where one of the port's listeners is its; else
/// who has the port.
pub(super) fn owner(pid: i32, port: u16) -> Result<Vec<SocketAddr>, String> {
    owner_in(&proc::listeners(), pid, port)
}

/// The same by a list that may be a moment old; what it finds wrong is looked up anew.
pub(super) fn owner_lately(pid: i32, port: u16) -> Result<Vec<SocketAddr>, String> {
    let known = LATELY.with_borrow(Clone::clone).filter(|(at, _)| at.elapsed() <= LATELY_MAX);
    if let Some((_, listeners)) = known
        && let Ok(own) = owner_in(&listeners, pid, port)
        && !own.is_empty()
    {
        return Ok(own);
    }
    let listeners: Rc<[Listener]> = proc::listeners().into();
    LATELY.set(Some((Instant::now(), listeners.clone())));
    owner_in(&listeners, pid, port)
}

fn owner_in(listeners: &[Listener], pid: i32, port: u16) -> Result<Vec<SocketAddr>, String> {
    let of_port = |l: &&Listener| l.address.port() == port;
    if !listeners.iter().any(|l| of_port(&l)) {
        // It has just closed, or is in a namespace that this process does not see.
        return Ok(Vec::new());
    }
    let own = inodes(pid);
    if listeners.iter().filter(of_port).any(|l| own.contains(&l.inode)) {
        return Ok(addresses(listeners, &own));
    }
    Err(ports::holder(port).unwrap_or_else(|| format!("a stranger listens on port {port}")))
}

/// Who listens on a port that the tree of `pid` was to have: somebody else.
pub fn taken(pid: i32, port: u16) -> Option<String> {
    owner(pid, port).err()
}

/// Everything that the tree of `pid` listens on.
pub fn listening(pid: i32) -> Vec<SocketAddr> {
    addresses(&proc::listeners(), &inodes(pid))
}

fn addresses(listeners: &[Listener], own: &HashSet<u64>) -> Vec<SocketAddr> {
    let mut list: Vec<SocketAddr> =
        listeners.iter().filter(|l| own.contains(&l.inode)).map(|l| l.address).collect();
    list.sort_unstable();
    list.dedup();
    list
}
