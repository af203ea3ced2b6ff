//! Plan and bindings together: every address and port known.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::ids::{HostName, Rank};
use crate::launch::PortBinding;
use crate::plan::model::{HostIx, Plan, PlannedPort};

/// What the hosts gave: an address per host, a main port per rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bindings {
    addresses: Vec<Option<HostName>>,
    ports: Vec<Option<u16>>,
    /// `auto` ports beside the main one, by their place in `PlanAgent::ports`.
    named: BTreeMap<(Rank, usize), u16>,
}

impl Bindings {
    /// What a plan knows by itself: fixed ports, `addr=`, the loopback of a job on one machine.
    pub fn of(plan: &Plan) -> Self {
        let loopback = || "127.0.0.1".parse().ok();
        let addresses = plan
            .hosts
            .iter()
            .map(|h| if plan.loopback { loopback() } else { h.entry.addr.clone() })
            .collect();
        let ports = plan
            .instances
            .iter()
            .map(|i| match i.port {
                PlannedPort::None | PlannedPort::Auto => None,
                PlannedPort::Fixed(port) => Some(port),
            })
            .collect();
        Self { addresses, ports, named: BTreeMap::new() }
    }

    /// What a plan knows by itself, and for the rest what may be: names of hosts for addresses,
    /// `port` for every `auto` port. For what has to be looked at before any host is reached.
    pub fn assumed(plan: &Plan, port: u16) -> Self {
        let mut assumed = Self::of(plan);
        for host in plan.host_indices() {
            assumed.set_address(host, plan.host(host).name().clone());
        }
        for instance in &plan.instances {
            if instance.port == PlannedPort::Auto {
                assumed.set_port(instance.rank, port);
            }
            for at in 0..plan.agent(instance.agent).ports.len() {
                if plan.named_port(instance.rank, at).is_none() {
                    assumed.set_named_port(instance.rank, at, port);
                }
            }
        }
        assumed
    }

    /// The address under which a host is reached, without brackets. `addr=` and the loopback of a
    /// job on one machine stay.
    pub fn set_address(&mut self, host: HostIx, address: HostName) {
        if let Some(slot) = self.addresses.get_mut(host.get()) {
            slot.get_or_insert(address);
        }
    }

    /// The main port that a host reserved for a rank.
    pub fn set_port(&mut self, rank: Rank, port: u16) {
        if let Some(slot) = self.ports.get_mut(rank.0 as usize) {
            *slot = Some(port);
        }
    }

    /// The port that a host reserved for a rank under a name of `ports`.
    pub fn set_named_port(&mut self, rank: Rank, at: usize, port: u16) {
        self.named.insert((rank, at), port);
    }

    /// A port beside the main one, as far as it is known.
    pub fn named_port(&self, plan: &Plan, rank: Rank, at: usize) -> Option<u16> {
        plan.named_port(rank, at).or_else(|| self.named.get(&(rank, at)).copied())
    }

    /// The main port of a rank, as far as it is known.
    pub fn port(&self, rank: Rank) -> Option<u16> {
        self.ports.get(rank.0 as usize).copied().flatten()
    }

    /// The hosts whose address is not known yet.
    pub fn without_address(&self) -> impl Iterator<Item = HostIx> + '_ {
        let indices = (0_u32..).map(HostIx);
        indices.zip(&self.addresses).filter(|(_, a)| a.is_none()).map(|(ix, _)| ix)
    }

    /// The URL of a rank, as far as it is known.
    pub fn url(&self, plan: &Plan, rank: Rank) -> Option<String> {
        let port = self.ports.get(rank.0 as usize).copied().flatten()?;
        let address = self.addresses.get(plan.instance(rank).host.get())?.as_ref()?;
        Some(url(address, port))
    }
}

/// What the hosts did not give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No address is known.
    #[error("no address is known for host `{host}`")]
    Address {
        /// The host.
        host: HostName,
    },
    /// No port was reserved.
    #[error("host `{host}` reserved no port for `{instance}`")]
    Port {
        /// The host.
        host: HostName,
        /// `agent[index]`.
        instance: String,
    },
}

/// A plan with every address and port. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ResolvedPlan {
    plan: Arc<Plan>,
    bindings: Arc<Bindings>,
}

impl ResolvedPlan {
    /// Checks that nothing is missing.
    pub fn new(plan: Arc<Plan>, bindings: Bindings) -> Result<Self, ResolveError> {
        if let Some(host) = bindings.without_address().next() {
            return Err(ResolveError::Address { host: plan.host(host).name().clone() });
        }
        for (instance, port) in plan.instances.iter().zip(&bindings.ports) {
            if instance.port != PlannedPort::None && port.is_none() {
                return Err(ResolveError::Port {
                    host: plan.host(instance.host).name().clone(),
                    instance: plan.name(instance.rank).to_string(),
                });
            }
        }
        for instance in &plan.instances {
            for (at, (name, port)) in plan.agent(instance.agent).ports.iter().enumerate() {
                let wanted = *port != crate::spec::PortSpec::None;
                if wanted && bindings.named_port(&plan, instance.rank, at).is_none() {
                    return Err(ResolveError::Port {
                        host: plan.host(instance.host).name().clone(),
                        instance: format!("{} ({name})", plan.name(instance.rank)),
                    });
                }
            }
        }
        Ok(Self { plan, bindings: Arc::new(bindings) })
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The bindings.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// The address of a host, without brackets.
    pub fn address(&self, host: HostIx) -> &str {
        self.bindings.addresses[host.get()].as_ref().map_or("", HostName::as_str)
    }

    /// The main port of a rank, where it has one.
    pub fn port(&self, rank: Rank) -> Option<u16> {
        self.bindings.ports[rank.0 as usize]
    }

    /// Its ports by name: `port` for the main one.
    pub fn ports(&self, rank: Rank) -> Vec<PortBinding> {
        let main = self.port(rank).map(|port| PortBinding { name: "port".to_owned(), port });
        let named = self.named_ports(rank).map(|(name, port)| PortBinding { name, port });
        main.into_iter().chain(named).collect()
    }

    /// The ports of `ports:`, by name.
    pub fn named_ports(&self, rank: Rank) -> impl Iterator<Item = (String, u16)> + '_ {
        let agent = self.plan.agent(self.plan.instance(rank).agent);
        agent.ports.iter().enumerate().filter_map(move |(at, (name, _))| {
            Some((name.clone(), self.bindings.named_port(&self.plan, rank, at)?))
        })
    }

    /// The URLs of everybody an instance calls, in the order of agents and ranks, external peers
    /// at their place, comma-separated.
    pub fn peer_urls(&self, rank: Rank) -> String {
        let agent = self.plan.instance(rank).agent;
        let mut list = String::new();
        for callee in self.plan.wiring.callees(agent) {
            let planned = self.plan.agent(*callee);
            let urls = match &planned.external {
                Some(url) => url.clone(),
                None => self.urls(planned.ranks().filter(|r| *r != rank)),
            };
            if !list.is_empty() && !urls.is_empty() {
                list.push(',');
            }
            list.push_str(&urls);
        }
        list
    }

    /// `http://ADDRESS:PORT`; `None`: it has no port.
    pub fn url(&self, rank: Rank) -> Option<String> {
        self.bindings.url(&self.plan, rank)
    }

    /// The URLs of several ranks, comma-separated; ranks without a port are left out.
    pub fn urls(&self, ranks: impl Iterator<Item = Rank>) -> String {
        let mut list = String::new();
        for rank in ranks {
            if let Some(port) = self.port(rank) {
                if !list.is_empty() {
                    list.push(',');
                }
                push_url(&mut list, self.address(self.plan.instance(rank).host), port);
            }
        }
        list
    }
}

fn url(address: &HostName, port: u16) -> String {
    let mut text = String::with_capacity(address.as_str().len() + 16);
    push_url(&mut text, address.as_str(), port);
    text
}

/// IPv6 literals stand in brackets (RFC 3986 §3.2.2), their zone behind `%25` (RFC 6874).
fn push_url(text: &mut String, address: &str, port: u16) {
    // Writing to a String cannot fail.
    let _ = if address.contains(':') {
        write!(text, "http://[{}]:{port}", address.replace('%', "%25"))
    } else {
        write!(text, "http://{address}:{port}")
    };
}
