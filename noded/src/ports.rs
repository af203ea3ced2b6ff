//! Ports, reserved by sockets that are bound and never listen: nobody else gets them, and the
//! agent's exec closes the last copy.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use a2arun_core::ids::Rank;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use crate::msg::InstanceKey;
use crate::os::proc;

/// A port that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// For which instance.
    pub rank: Rank,
    /// `port`, or the name under `ports:`.
    pub name: String,
    /// This one and no other; `None`: any of the range.
    pub fixed: Option<u16>,
}

/// A port that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// For which instance.
    pub rank: Rank,
    /// `port`, or the name under `ports:`.
    pub name: String,
    /// The number.
    pub port: u16,
}

/// A port that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// For which instance.
    pub rank: Rank,
    /// `port`, or the name under `ports:`.
    pub name: String,
    /// The number; 0 where none of the range is free.
    pub port: u16,
    /// Who has it, as far as this user may see.
    pub holder: String,
}

/// Where `auto` ports come from, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// All reservations of this noded.
#[derive(Debug)]
pub struct Reservations {
    held: HashMap<InstanceKey, Vec<OwnedFd>>,
    next: u16,
    /// The kernel's own: for outgoing connections, and reserved by the administrator.
    avoid: Vec<Range>,
}

impl Default for Reservations {
    fn default() -> Self {
        Self { held: HashMap::new(), next: 0, avoid: kernel_ranges() }
    }
}

impl Reservations {
    /// Reserves every port, or none and says why.
    pub fn reserve(
        &mut self,
        run: &a2arun_core::ids::RunId,
        address: Option<IpAddr>,
        range: Range,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<Held>, Vec<Conflict>> {
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        // A request that is asked again must not meet what it got the first time.
        let again =
            |held: &InstanceKey| held.run == *run && wanted.iter().any(|w| w.rank == held.rank);
        self.held.retain(|key, _| !again(key));
        let mut got = Vec::new();
        let mut conflicts = Vec::new();
        for want in wanted {
            let found = match want.fixed {
                Some(port) => fixed(address, port).map_err(|holder| (port, holder)),
                None => self.auto(address, range).ok_or_else(|| (0, none_free(range))),
            };
            match found {
                Ok((port, socket)) => {
                    got.push((Held { rank: want.rank, name: want.name, port }, socket));
                }
                Err((port, holder)) => {
                    conflicts.push(Conflict { rank: want.rank, name: want.name, port, holder });
                }
            }
        }
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut all = Vec::with_capacity(got.len());
        for (held, socket) in got {
            let key = InstanceKey { run: run.clone(), rank: held.rank };
            self.held.entry(key).or_default().push(socket);
            all.push(held);
        }
        Ok(all)
    }

    fn auto(&mut self, address: IpAddr, range: Range) -> Option<(u16, OwnedFd)> {
        let count = u32::from(range.last.saturating_sub(range.first)) + 1;
        let seed = u32::from(self.next);
        for step in 0..count {
            let offset = u16::try_from((seed + step) % count).unwrap_or(0);
            let port = range.first + offset;
            if port == 0 || self.avoid.iter().any(|a| (a.first..=a.last).contains(&port)) {
                continue;
            }
            // Without SO_REUSEADDR: free of listeners, of other reservations, of old connections.
            if let Ok(socket) = bind_port(address, port, false) {
                self.next = offset.wrapping_add(1);
                return Some((port, socket));
            }
        }
        None
    }

    /// Starts the search for `auto` ports at a place of this noded's own.
    pub fn seed(&mut self, seed: u16) {
        self.next = seed;
    }

    /// The sockets of an instance, to be handed down to its process.
    pub fn take(&mut self, key: &InstanceKey) -> Vec<OwnedFd> {
        self.held.remove(key).unwrap_or_default()
    }

    /// Lets go of everything that a run still holds.
    pub fn release(&mut self, run: &a2arun_core::ids::RunId) {
        self.held.retain(|key, _| key.run != *run);
    }
}

fn none_free(range: Range) -> String {
    format!("no port of {}-{} is free", range.first, range.last)
}

/// A port by number. With SO_REUSEADDR, as the agent itself will bind: a connection that is
/// still in TIME_WAIT (RFC 9293 §3.6) is no conflict, a listener is.
fn fixed(address: IpAddr, port: u16) -> Result<(u16, OwnedFd), String> {
    bind_port(address, port, false)
        .or_else(|_| bind_port(address, port, true))
        .map(|socket| (port, socket))
        .map_err(|error| holder(port).unwrap_or_else(|| error.to_string()))
}

/// Holds a port that was reserved before, if it is still free.
pub fn hold_again(port: u16) -> Option<OwnedFd> {
    bind_port(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port, false).ok()
}

fn bind_port(address: IpAddr, port: u16, reuse: bool) -> std::io::Result<OwnedFd> {
    let family = match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if reuse {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &SocketAddr::new(address, port))?;
    Ok(socket)
}

/// Who listens on a port, for people: `pid 812 (python3 -m http.server 9001) listens on 0.0.0.0:9001`.
pub fn holder(port: u16) -> Option<String> {
    let listener = proc::listeners().into_iter().find(|l| l.address.port() == port)?;
    Some(match proc::holder_of(listener.inode) {
        Some(pid) => {
            format!("pid {pid} ({}) listens on {}", proc::command_line(pid), listener.address)
        }
        None => format!("a process of another user listens on {}", listener.address),
    })
}

/// The kernel's range for outgoing connections, and what the administrator keeps free
/// (ip-sysctl: `ip_local_port_range`, `ip_local_reserved_ports`).
fn kernel_ranges() -> Vec<Range> {
    let read = |name| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}"));
    let outgoing = read("ip_local_port_range").unwrap_or_default();
    let mut words = outgoing.split_ascii_whitespace().filter_map(|w| w.parse().ok());
    let outgoing = words.next().zip(words.next()).map(|(first, last)| Range { first, last });
    let reserved = read("ip_local_reserved_ports").unwrap_or_default();
    let reserved = reserved.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(Range { first: first.parse().ok()?, last: last.parse().ok()? })
    });
    outgoing.into_iter().chain(reserved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    const RANGE: Range = Range { first: 20000, last: 29999 };

    fn want(rank: u32, fixed: Option<u16>) -> Wanted {
        Wanted { rank: Rank(rank), name: "port".into(), fixed }
    }

    #[test]
    fn a_reserved_port_is_refused_to_others_and_open_to_its_agent_afterwards() {
        let run: a2arun_core::ids::RunId = "r-1".parse().unwrap();
        let mut ports = Reservations::default();
        let held = ports.reserve(&run, LOCAL, RANGE, vec![want(0, None), want(1, None)]).unwrap();
        assert_ne!(held[0].port, held[1].port);
        let address = ("127.0.0.1", held[0].port);
        assert!(std::net::TcpListener::bind(address).is_err());
        drop(ports.take(&InstanceKey { run, rank: Rank(0) }));
        assert!(std::net::TcpListener::bind(address).is_ok());
    }

    #[test]
    fn a_stranger_is_named_and_nothing_is_held() {
        let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = stranger.local_addr().unwrap().port();
        let run: a2arun_core::ids::RunId = "r-2".parse().unwrap();
        let mut ports = Reservations::default();
        let conflicts = ports
            .reserve(&run, LOCAL, RANGE, vec![want(0, None), want(1, Some(port))])
            .unwrap_err();
        assert_eq!((conflicts.len(), conflicts[0].rank), (1, Rank(1)));
        assert!(conflicts[0].holder.contains(&format!("pid {}", std::process::id())));
        assert!(ports.held.is_empty());
    }
}
