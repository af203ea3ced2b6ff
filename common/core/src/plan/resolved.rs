//! Plan and bindings together: every address and port known.

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
        Self { addresses, ports }
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
        main.into_iter().collect()
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
