//! Edges while the job runs: a network may break between two hosts that we both hear, and what is
//! outside of the job comes and goes as it likes.

use std::collections::BTreeMap;
use std::time::Duration;

use a2arun_core::ids::Rank;
use a2arun_core::launch::Readiness;
use a2arun_core::machine::job::Phase;
use a2arun_core::plan::HostIx;
use a2arun_core::status::InstanceState;
use tokio::time::Instant;

use crate::head::actor::Head;
use crate::registry::JournalEntry as Entry;
use crate::session::Command;

/// How long somebody who does not answer is tried.
const AGAIN_LIMIT: Duration = Duration::from_secs(1);
/// Edges are looked at again no sooner than this.
const AGAIN_MIN: Duration = Duration::from_secs(1);

impl Head {
    /// The job runs from now on. Who is outside of it is looked at at once: nobody waited for it.
    pub(super) fn look_again_first(&mut self) {
        let plan = self.job.plan.clone();
        let outside = plan.host_indices().any(|host| !self.outside_targets(host).is_empty());
        if outside {
            self.edges.again_at = Some(Instant::now());
        } else if !self.edges.tried.is_empty() {
            self.look_again_later();
        }
    }

    fn look_again_later(&mut self) {
        let plan = &self.job.plan;
        let called = self.called.iter().filter(|a| plan.agent(**a).external.is_none());
        let periods =
            called.map(|a| self.job.spec.agent(*a).readiness_of(&self.job.spec.deployment).period);
        let period = periods.min().unwrap_or(Readiness::default_period());
        // A mesh of a thousand is no reason to do nothing else.
        let count: usize = plan.host_indices().map(|h| self.reach_targets(h).len()).sum();
        let floor = AGAIN_MIN.max(Duration::from_millis(10 * u64::try_from(count).unwrap_or(0)));
        self.edges.again_at = Some(Instant::now() + period.max(floor));
    }

    /// While the job runs every edge is looked at again: a network may break between two hosts
    /// that we both hear.
    pub(super) fn look_again(&mut self) {
        if self.edges.again_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        match self.state.phase {
            Phase::Running | Phase::Degraded => {}
            // It runs in a moment.
            Phase::New
            | Phase::Allocated
            | Phase::Mapped
            | Phase::Connecting
            | Phase::Launching { .. } => return,
            Phase::Cleanup { .. } | Phase::Inactive { .. } => {
                self.edges.again_at = None;
                return;
            }
        }
        for host in self.job.plan.clone().host_indices() {
            let mut targets = self.reach_targets(host);
            targets.extend(self.outside_targets(host));
            if targets.is_empty() || self.edges.asked.contains_key(&host) {
                continue;
            }
            let keys = targets.iter().map(|t| t.key).collect();
            let command = Command::Reach { targets, limit: AGAIN_LIMIT };
            if self.hosts.get(host).is_some_and(|entry| entry.connected && entry.send(command)) {
                self.edges.asked.insert(host, keys);
            }
        }
        self.look_again_later();
    }

    pub(super) fn reached_again(&mut self, host: HostIx, failures: Vec<(u32, String)>) {
        let Some(asked) = self.edges.asked.remove(&host) else { return };
        let failures: BTreeMap<u32, String> = failures.into_iter().collect();
        let plan = self.job.plan.clone();
        let from = plan.host(host).name().as_str();
        self.edges.tried.extend(&asked);
        for key in asked {
            // One that ended meanwhile is told of as such.
            let ready = plan.get(Rank(key)).is_none_or(|i| {
                let shown = self.instances.get(i.rank).map(|i| i.mirror.shown());
                shown == Some(InstanceState::Ready)
            });
            let before = self.edges.broken.contains_key(&(host, key));
            match failures.get(&key) {
                Some(why) if !before && ready => {
                    let (text, _) = self.edge_line(host, key, why);
                    let entry = Entry::instance("edge-broken", &plan, Rank(key));
                    self.io.journal.write(entry.with("from", from).text(&text));
                    self.show.warning(&text);
                    self.edges.broken.insert((host, key), why.clone());
                }
                None if before => {
                    let (text, _) = self.edge_line(host, key, "reached again");
                    let text = text.replace('✗', "✓");
                    let entry = Entry::instance("edge-again", &plan, Rank(key));
                    self.io.journal.write(entry.with("from", from).text(&text));
                    self.show.warning(&text);
                    self.edges.broken.remove(&(host, key));
                }
                Some(_) | None => {}
            }
        }
    }
}
