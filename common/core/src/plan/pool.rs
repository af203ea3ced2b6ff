//! The hosts while ranks are dealt: who has room, and whose turn it is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::hostfile::HostEntry;
use crate::ids::HostName;
use crate::plan::error::PlanError;
use crate::plan::model::{
    Amounts, HostIx, HostOrigin, Hosts, MapBy, PlanHost, PlanInstance, PlanOptions,
};
use crate::plan::replicas;
use crate::spec::{JobSpec, PlaceHost, Remote, Target};

/// One host while ranks are dealt.
pub(super) struct Seat {
    pub(super) host: PlanHost,
    /// How many it takes; `None`: any number.
    pub(super) capacity: Option<u32>,
    /// How many it has; what is pinned is counted from the start.
    pub(super) used: u32,
    /// How many of them are pinned.
    pinned: u32,
    /// What is known to be left of it.
    pub(super) left: Amounts,
}

impl Seat {
    pub(super) fn has_room(&self) -> bool {
        self.capacity.is_none_or(|c| self.used < c)
    }
}

/// The hosts while ranks are dealt.
pub(super) struct Pool<'a> {
    hosts: &'a Hosts,
    options: &'a PlanOptions,
    pub(super) seats: Vec<Seat>,
    /// How many of the seats take agents that are not pinned: the first ones.
    pub(super) open: usize,
    /// The first open seat with a number that may still have room.
    next: usize,
    /// Open seats, fewest instances first; filled when first asked for.
    even: Option<BinaryHeap<Reverse<(u32, usize)>>>,
    /// `--map-by span`: what is left of each seat's share.
    shares: Option<Vec<u32>>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(hosts: &'a Hosts, options: &'a PlanOptions) -> Result<Self, PlanError> {
        for (what, value) in [("-N", options.per_host), ("--max-per-host", options.max_per_host)] {
            if value == Some(0) {
                return Err(PlanError::Zero { what });
            }
        }
        if options.map_by == MapBy::PerHost(0) {
            return Err(PlanError::Zero { what: "--map-by ppr:N:host: N" });
        }
        let seat = |entry: HostEntry, origin| seat(entry, origin, options);
        let seats: Vec<Seat> = match hosts {
            Hosts::Local(name) => {
                vec![seat(HostEntry::bare(name.clone()), HostOrigin::Local)]
            }
            Hosts::List(list) if list.is_empty() => return Err(PlanError::NoHosts),
            Hosts::List(list) => list.iter().map(|e| seat(e.clone(), HostOrigin::Listed)).collect(),
        };
        let open = seats.len();
        Ok(Self { hosts, options, seats, open, next: 0, even: None, shares: None })
    }

    pub(super) fn options(&self) -> &PlanOptions {
        self.options
    }

    /// What somebody wrote down, in all; `None`: nobody did.
    pub(super) fn slots_written(&self) -> Option<u64> {
        let written = self.seats.iter().filter_map(|s| {
            let entry = &s.host.entry;
            least(entry.slots.or(entry.max_slots), per_host(self.options))
        });
        written.map(u64::from).reduce(|a, b| a + b)
    }

    /// Seats the pinned agents; gives the host of each agent that is.
    pub(super) fn pin(&mut self, spec: &JobSpec, counts: &[u32]) -> Vec<Option<HostIx>> {
        let mut by_name: HashMap<HostName, usize> = HashMap::new();
        for (at, seat) in self.seats.iter().enumerate() {
            by_name.entry(seat.host.name().clone()).or_insert(at);
        }
        let mut pinned = Vec::with_capacity(counts.len());
        for (agent, count) in spec.agents.iter().zip(counts) {
            let at = match (&agent.target, &agent.placement.host) {
                (Target::Remote(remote), _) => {
                    let at = *by_name.entry(remote.host.clone()).or_insert_with(|| {
                        let bare = HostEntry::bare(remote.host.clone());
                        let entry = HostEntry { span: agent.span, ..bare };
                        self.seats.push(extra(entry, HostOrigin::Pinned));
                        self.seats.len() - 1
                    });
                    overlay(&mut self.seats[at].host, remote);
                    at
                }
                (_, Some(PlaceHost::Head)) => match self.hosts {
                    Hosts::Local(_) => 0,
                    Hosts::List(_) => {
                        let head = self.options.head.clone();
                        let head = head.or_else(|| "localhost".parse().ok());
                        let Some(head) = head else {
                            pinned.push(None);
                            continue;
                        };
                        *by_name.entry(head.clone()).or_insert_with(|| {
                            self.seats.push(extra(HostEntry::bare(head), HostOrigin::Local));
                            self.seats.len() - 1
                        })
                    }
                },
                (Target::Localhost | Target::Container(_) | Target::Kubernetes(_), _) => {
                    pinned.push(None);
                    continue;
                }
            };
            let seat = &mut self.seats[at];
            seat.pinned += count;
            seat.used += count;
            seat.left.spend(&agent.resources, *count);
            pinned.push(Some(HostIx(u32::try_from(at).unwrap_or(u32::MAX))));
        }
        pinned
    }

    /// The next seat for an instance that may go anywhere; `total`: how many of those there are.
    pub(super) fn take(&mut self, total: u64) -> Option<HostIx> {
        match self.options.map_by {
            MapBy::Slot | MapBy::PerHost(_) => self.take_slot().or_else(|| self.take_even(true)),
            MapBy::Node => self.take_even(false),
            MapBy::Span => self.take_share(total),
        }
    }

    fn take_slot(&mut self) -> Option<HostIx> {
        while self.next < self.open {
            let seat = &self.seats[self.next];
            if seat.capacity.is_some() && seat.has_room() {
                return Some(self.sit(self.next));
            }
            self.next += 1;
        }
        None
    }

    /// The seat with the fewest instances; `bare`: only among those without a number.
    fn take_even(&mut self, bare: bool) -> Option<HostIx> {
        let (seats, open) = (&self.seats, self.open);
        let even = self.even.get_or_insert_with(|| {
            let all = seats[..open].iter().enumerate();
            let fit = all.filter(|(_, s)| !bare || s.capacity.is_none());
            fit.map(|(at, seat)| Reverse((seat.used, at))).collect()
        });
        while let Some(Reverse((used, at))) = even.pop() {
            let seat = &self.seats[at];
            if !seat.has_room() {
                continue;
            }
            // Somebody with a placement sat down meanwhile.
            if seat.used != used {
                even.push(Reverse((seat.used, at)));
                continue;
            }
            even.push(Reverse((used + 1, at)));
            return Some(self.sit(at));
        }
        None
    }

    /// As even as by node, but consecutive ranks stay together.
    fn take_share(&mut self, total: u64) -> Option<HostIx> {
        if self.shares.is_none() {
            self.shares = Some(self.even_shares(total));
        }
        let shares = self.shares.as_mut()?;
        while self.next < self.open {
            if shares[self.next] > 0 && self.seats[self.next].has_room() {
                shares[self.next] -= 1;
                return Some(self.sit(self.next));
            }
            self.next += 1;
        }
        // Somebody with a placement took a seat of a share.
        self.take_even(false)
    }

    fn even_shares(&self, total: u64) -> Vec<u32> {
        let mut shares = vec![0_u32; self.open];
        let mut heap: BinaryHeap<Reverse<(u32, usize)>> = self.seats[..self.open]
            .iter()
            .enumerate()
            .map(|(at, s)| Reverse((s.used, at)))
            .collect();
        for _ in 0..total {
            while let Some(Reverse((used, at))) = heap.pop() {
                if self.seats[at].capacity.is_none_or(|c| used < c) {
                    shares[at] += 1;
                    heap.push(Reverse((used + 1, at)));
                    break;
                }
            }
        }
        shares
    }

    pub(super) fn sit(&mut self, at: usize) -> HostIx {
        self.seats[at].used += 1;
        HostIx(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// How many pinned instances are above their host's written slots.
    pub(super) fn over_pinned(&self) -> u64 {
        let over = |s: &Seat| s.capacity.map_or(0, |c| s.pinned.saturating_sub(c));
        self.seats.iter().map(|s| u64::from(over(s))).sum()
    }

    pub(super) fn refuse(&self, spec: &JobSpec, counts: &[u32], missing: u64) -> PlanError {
        let counted = self.seats.iter().filter(|s| s.capacity.is_some());
        PlanError::Capacity {
            demanded: counts.iter().map(|c| u64::from(*c)).sum(),
            missing,
            hosts: counted
                .map(|s| (s.host.name().clone(), u64::from(s.capacity.unwrap_or(0)), s.pinned))
                .collect(),
            by_agent: spec
                .agents
                .iter()
                .zip(counts)
                .filter(|(_, count)| **count > 0)
                .map(|(agent, count)| (agent.id.to_string(), *count))
                .collect(),
            has_auto: replicas::has_auto(spec, self.options),
            per_host: per_host(self.options),
            max_per_host: self.options.max_per_host,
            oversubscribed: self.options.oversubscribe,
        }
    }

    pub(super) fn is_loopback(&self, instances: &[PlanInstance]) -> bool {
        match self.hosts {
            Hosts::Local(_) => instances.iter().all(|i| i.host == HostIx(0)),
            Hosts::List(_) => false,
        }
    }

    /// Drops the hosts that got nothing, renumbers the rest, and numbers ranks on each.
    pub(super) fn into_hosts(self, instances: &mut [PlanInstance]) -> Vec<PlanHost> {
        let mut kept = Vec::new();
        let mut moved = vec![HostIx(0); self.seats.len()];
        for (at, seat) in self.seats.into_iter().enumerate() {
            if seat.used > 0 {
                moved[at] = HostIx(u32::try_from(kept.len()).unwrap_or(u32::MAX));
                kept.push(seat.host);
            }
        }
        for instance in instances {
            instance.host = moved[instance.host.get()];
            let host = &mut kept[instance.host.get()];
            instance.local_rank = host.instances;
            host.instances += 1;
        }
        kept
    }
}

fn seat(entry: HostEntry, origin: HostOrigin, options: &PlanOptions) -> Seat {
    let capacity = capacity(&entry, options);
    let mut left = options.amounts.get(&entry.name).copied().unwrap_or_default();
    left.gpus = left.gpus.or(entry.gpus);
    let host = PlanHost { entry, origin, ssh_key: None, instances: 0 };
    Seat { host, capacity, used: 0, pinned: 0, left }
}

/// A host that only pinned agents use.
fn extra(entry: HostEntry, origin: HostOrigin) -> Seat {
    let host = PlanHost { entry, origin, ssh_key: None, instances: 0 };
    Seat { host, capacity: None, used: 0, pinned: 0, left: Amounts::default() }
}

fn least(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// `-N`, and `--map-by ppr:N:host`, which says the same.
fn per_host(options: &PlanOptions) -> Option<u32> {
    match options.map_by {
        MapBy::PerHost(n) => least(options.per_host, Some(n)),
        MapBy::Slot | MapBy::Node | MapBy::Span => options.per_host,
    }
}

fn capacity(entry: &HostEntry, options: &PlanOptions) -> Option<u32> {
    let written =
        if options.oversubscribe { entry.max_slots } else { entry.slots.or(entry.max_slots) };
    least(least(written, per_host(options)), options.max_per_host)
}

/// What `deployment:` says of SSH counts over the hostfile.
fn overlay(host: &mut PlanHost, remote: &Remote) {
    let entry = &mut host.entry;
    entry.user = remote.user.clone().or(entry.user.take());
    entry.ssh_port = remote.ssh_port.or(entry.ssh_port);
    host.ssh_key = remote.ssh_key.clone().or(host.ssh_key.take());
}
