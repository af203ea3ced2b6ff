//! The proof that everybody reaches whom they call: from the caller's host, before the job counts
//! as running (DESIGN §6).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::Rank;
use a2arun_core::launch::ReadinessCheck;
use a2arun_core::machine::job::{Event, OnFailure, Phase};
use a2arun_core::plan::{HostIx, Plan};
use a2arun_core::spec::AgentIx;
use a2arun_core::status::InstanceState;
use tokio::time::Instant;

use crate::head::actor::{Head, Told};
use crate::registry::JournalEntry as Entry;
use crate::session::{Command, ReachTarget};

/// How long somebody who does not answer is tried: a listener may be a moment late.
const LIMIT: Duration = Duration::from_secs(5);
/// How many broken edges are named.
const NAMED_MAX: usize = 8;

/// Edges that are being proven, and what came of those that were.
#[derive(Debug, Default)]
pub(super) struct Edges {
    /// Hosts that have not answered, with those whom they try.
    waiting: BTreeMap<HostIx, Vec<u32>>,
    /// Callees that were not reached, from which host, and why.
    pub(super) broken: BTreeMap<(HostIx, u32), String>,
    /// Callees that were tried.
    pub(super) tried: BTreeSet<u32>,
    done: bool,
    /// When they are looked at again.
    pub(super) again_at: Option<Instant>,
    /// What a host was asked again and has not answered.
    pub(super) asked: BTreeMap<HostIx, BTreeSet<u32>>,
}

impl Edges {
    /// Whether a rank is reached by everybody who calls it; `None`: nobody has tried.
    pub(super) fn reached(&self, rank: Rank) -> Option<bool> {
        self.tried.contains(&rank.0).then(|| !self.broken.keys().any(|(_, key)| *key == rank.0))
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.again_at
    }
}

impl Head {
    /// Asks every host that has callers to connect to their callees.
    pub(super) fn prove_edges(&mut self) {
        let mut edges = Edges::default();
        let mut asks = Vec::new();
        for host in self.job.plan.host_indices() {
            let targets = self.reach_targets(host);
            if !targets.is_empty() {
                edges.waiting.insert(host, targets.iter().map(|t| t.key).collect());
                asks.push((host, Command::Reach { targets, limit: LIMIT }));
            }
        }
        for (host, command) in asks {
            if !self.hosts.get(host).is_some_and(|entry| entry.send(command)) {
                edges.waiting.remove(&host);
            }
        }
        self.edges = edges;
        if self.edges.waiting.is_empty() {
            self.edges_done();
        }
    }

    /// Whom the instances of a host call, by agent.
    fn callees_of(&self, host: HostIx) -> BTreeSet<AgentIx> {
        let plan = &self.job.plan;
        let live = self.instances.on_host(host).iter().filter(|r| self.instances.is_live(**r));
        let callers: BTreeSet<AgentIx> = live.map(|rank| plan.instance(*rank).agent).collect();
        callers.iter().flat_map(|agent| plan.wiring.callees(*agent)).copied().collect()
    }

    /// Those outside of the job.
    pub(super) fn outside_targets(&self, host: HostIx) -> Vec<ReachTarget> {
        let plan = &self.job.plan;
        let callees = self.callees_of(host).into_iter();
        let target = |agent: AgentIx| {
            let (host, port) = authority(plan.agent(agent).external.as_ref()?)?;
            Some(ReachTarget { key: external_key(plan, agent), host, port })
        };
        callees.filter_map(target).collect()
    }

    /// Those of the job that are ready: each copy once.
    pub(super) fn reach_targets(&self, host: HostIx) -> Vec<ReachTarget> {
        let (plan, Some(resolved)) = (&self.job.plan, &self.resolved) else { return Vec::new() };
        let callees = self.callees_of(host);
        let mut targets = Vec::new();
        for agent in callees {
            let planned = plan.agent(agent);
            for rank in planned.ranks() {
                let ready = self
                    .instances
                    .get(rank)
                    .is_some_and(|i| i.mirror.shown() == InstanceState::Ready);
                if let Some(port) = resolved.port(rank).filter(|_| ready) {
                    let host = resolved.address(plan.instance(rank).host).to_owned();
                    targets.push(ReachTarget { key: rank.0, host, port });
                }
            }
        }
        targets
    }

    /// A host has tried.
    pub(super) fn reached(&mut self, host: HostIx, failures: Vec<(u32, String)>) {
        let Some(tried) = self.edges.waiting.remove(&host) else {
            self.reached_again(host, failures);
            return;
        };
        self.edges.tried.extend(tried);
        for (key, why) in failures {
            self.edges.broken.insert((host, key), why);
        }
        if self.edges.waiting.is_empty() {
            self.edges_done();
        }
    }

    fn edges_done(&mut self) {
        if std::mem::replace(&mut self.edges.done, true)
            || !matches!(self.state.phase, Phase::Launching { .. })
        {
            return;
        }
        // Who has ended meanwhile, as a task may, is nobody's broken edge: its end is told.
        let instances = &self.instances;
        self.edges.broken.retain(|(_, key), _| {
            instances.get(Rank(*key)).is_none_or(|i| match i.mirror.shown() {
                InstanceState::Ready | InstanceState::Unready | InstanceState::Lost => true,
                InstanceState::Pending
                | InstanceState::Assigned
                | InstanceState::Starting
                | InstanceState::Stopping
                | InstanceState::Backoff
                | InstanceState::Exited => false,
            })
        });
        let broken: Vec<(HostIx, u32, String)> =
            self.edges.broken.iter().map(|((h, k), why)| (*h, *k, why.clone())).collect();
        let mut fatal = None;
        for (n, (host, key, why)) in broken.iter().enumerate() {
            let (text, listens) = self.edge_line(*host, *key, why);
            let plan = &self.job.plan;
            let from = plan.host(*host).name().as_str();
            let entry = Entry::instance("edge-broken", plan, Rank(*key));
            self.io.journal.write(entry.with("from", from).text(&text));
            let fails = self.must_be_reached(*key);
            if n < NAMED_MAX {
                match fails {
                    true => self.show.failure(&text),
                    false => self.show.warning(&text),
                }
                listens.iter().for_each(|hint| self.show.hint(hint));
            }
            if fails {
                fatal.get_or_insert((*host, text));
            }
        }
        if broken.len() > NAMED_MAX {
            self.show.failure(&format!("and {} more edges", broken.len() - NAMED_MAX));
        }
        match fatal {
            Some((host, text)) if self.job.on_failure == OnFailure::Stop => {
                let text = format!("not every agent reaches its peers: {text}");
                self.note_failure(host, text, Told::NotYet);
                self.queue([Event::StageFailed { host, code: LauncherCode::NotReady }]);
            }
            // Before whatever is queued: the end of the last task must find a job that is up.
            Some(_) | None => {
                self.look_again_first();
                self.queue_first(Event::EdgesProven);
                let terminal = self.instances.tally().terminal();
                self.queue(terminal);
            }
        }
    }

    /// A callee of which its own host knows that it listens. What is outside of the job may be
    /// reached through a proxy that only the agent knows.
    fn must_be_reached(&self, key: u32) -> bool {
        let plan = &self.job.plan;
        let Some(instance) = plan.get(Rank(key)) else { return false };
        match self.agent_check(instance.agent) {
            ReadinessCheck::Tcp { port }
            | ReadinessCheck::Http { port, .. }
            | ReadinessCheck::Card { port }
            | ReadinessCheck::Auto { port } => port.is_none(),
            ReadinessCheck::Alive | ReadinessCheck::Exec { .. } | ReadinessCheck::Log { .. } => {
                false
            }
        }
    }

    /// `controller[0]@n1 ✗ weather[0]@n2:9001: refused`, and what would help.
    pub(super) fn edge_line(&self, host: HostIx, key: u32, why: &str) -> (String, Option<String>) {
        let plan = &self.job.plan;
        let here = plan.host(host).name();
        let callee = plan.get(Rank(key)).map(|i| i.agent).or_else(|| external(plan, key));
        let caller = self.instances.on_host(host).iter().find(|rank| {
            let agent = plan.instance(**rank).agent;
            callee.is_some_and(|c| plan.wiring.callees(agent).contains(&c)) && rank.0 != key
        });
        let caller = caller.map_or_else(|| "?".to_owned(), |rank| plan.name(*rank).to_string());
        let Some(instance) = plan.get(Rank(key)) else {
            let peer = callee.map(|c| plan.agent(c));
            let url = peer.and_then(|p| p.external.clone()).unwrap_or_default();
            let id = peer.map(|p| p.id.to_string()).unwrap_or_default();
            return (format!("{caller}@{here} ✗ {id} ({url}): {why}"), None);
        };
        let rank = Rank(key);
        let there = plan.host(instance.host).name();
        let port = self.resolved.as_ref().and_then(|r| r.port(rank)).unwrap_or(0);
        let text = format!("{caller}@{here} ✗ {}@{there}:{port}: {why}", plan.name(rank));
        let seen = self.instances.get(rank).and_then(|i| i.seen.as_ref());
        let own: Vec<_> =
            seen.into_iter().flat_map(|seen| &seen.listens).filter(|l| l.port() == port).collect();
        let only_loopback = !own.is_empty() && own.iter().all(|l| l.ip().is_loopback());
        let hint = only_loopback.then(|| {
            let list: Vec<String> = own.iter().map(ToString::to_string).collect();
            format!(
                "{} listens on {} only: let it bind $A2A_BIND_HOST, which is 0.0.0.0 here",
                plan.name(rank),
                list.join(", ")
            )
        });
        (text, hint)
    }
}

/// External peers are numbered behind the last rank.
pub(super) fn external_key(plan: &Plan, agent: AgentIx) -> u32 {
    plan.size() + agent.0
}

fn external(plan: &Plan, key: u32) -> Option<AgentIx> {
    let agent = AgentIx(key.checked_sub(plan.size())?);
    plan.agents.get(agent.get()).is_some().then_some(agent)
}

/// Host and port of a URL (RFC 3986 §3.2); `None`: it has none.
fn authority(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']')?;
            (host, tail.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(port) if !port.is_empty() => port.parse().ok()?,
        Some(_) | None => default,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn urls_have_an_authority() {
        let check = |url: &str, want: Option<(&str, u16)>| {
            assert_eq!(authority(url), want.map(|(h, p)| (h.to_owned(), p)), "{url}");
        };
        check("https://search.example.org/a2a", Some(("search.example.org", 443)));
        check("http://u:p@h:8080?x", Some(("h", 8080)));
        check("http://[fe80::1]:81/", Some(("fe80::1", 81)));
        check("http://[::1]", Some(("::1", 80)));
        check("http://h:", Some(("h", 80)));
        check("http://:80", None);
        check("http://h:99999", None);
    }
}
