//! Requests that a host has not answered yet. After a break they are sent again under the same
//! ids; noded does nothing twice.

use std::collections::HashMap;
use std::sync::Arc;

use a2arun_core::ids::{Incarnation, Rank, RequestId};
use a2arun_core::launch::LaunchBatch;
use a2arun_core::outcome::StopCause;
use std::time::Duration;

use crate::session::types::{InstanceReport, PhaseReport, PortRequest, ReachTarget};

/// A request as it was made.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Reserve { ports: Vec<PortRequest>, bind_address: String, range: (u16, u16) },
    Launch(LaunchBatch),
    Stop { ranks: Vec<Rank>, grace: Option<Duration>, cause: StopCause },
    Reach { targets: Vec<ReachTarget>, limit: Duration },
}

/// A request under its id.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: RequestId,
    pub(super) request: Arc<Request>,
    /// Ranks of a launch that nothing was heard of yet, with the incarnation that it makes: what
    /// is said of an earlier one does not say that this launch has arrived.
    unheard: HashMap<Rank, Incarnation>,
}

/// Everything unanswered, in the order it was asked.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    last: u64,
    pending: Vec<Pending>,
    /// How often each rank was launched.
    launched: HashMap<Rank, u32>,
}

impl Outbox {
    /// Gives a request its id and keeps it until it is answered.
    pub(super) fn add(&mut self, make: impl FnOnce(RequestId) -> Request) -> Pending {
        self.last += 1;
        let id = RequestId(self.last);
        let request = make(id);
        let unheard = match &request {
            Request::Launch(batch) => {
                let count = |rank| {
                    let count = self.launched.entry(rank).or_default();
                    *count += 1;
                    (rank, Incarnation(*count))
                };
                batch.instances.iter().map(|i| i.rank).map(count).collect()
            }
            Request::Reserve { .. } | Request::Stop { .. } | Request::Reach { .. } => {
                HashMap::new()
            }
        };
        let pending = Pending { id, request: Arc::new(request), unheard };
        self.pending.push(pending.clone());
        pending
    }

    /// A reservation was answered, or anything was refused: gives the ranks of a refused launch
    /// that nothing had been heard of.
    pub(super) fn answered(&mut self, id: RequestId) -> Vec<Rank> {
        let Some(at) = self.pending.iter().position(|p| p.id == id) else { return Vec::new() };
        let mut ranks: Vec<Rank> = self.pending.remove(at).unheard.into_keys().collect();
        ranks.sort_unstable();
        ranks
    }

    /// Something was heard of these: their launch has arrived.
    pub(super) fn heard(&mut self, of: impl IntoIterator<Item = (Rank, Incarnation)>) {
        let launches = self.pending.iter().any(|p| matches!(*p.request, Request::Launch(_)));
        if !launches {
            return;
        }
        let of: HashMap<Rank, Incarnation> = of.into_iter().collect();
        let has_come = |made: &Incarnation, heard: Option<&Incarnation>| heard >= Some(made);
        self.pending.retain_mut(|pending| match &*pending.request {
            Request::Launch(_) => {
                if pending.unheard.len() < of.len() {
                    pending.unheard.retain(|rank, made| !has_come(made, of.get(rank)));
                } else {
                    for (rank, heard) in &of {
                        if pending.unheard.get(rank).is_some_and(|m| has_come(m, Some(heard))) {
                            pending.unheard.remove(rank);
                        }
                    }
                }
                !pending.unheard.is_empty()
            }
            Request::Reserve { .. } | Request::Stop { .. } | Request::Reach { .. } => true,
        });
    }

    /// What is to be sent again to a host that reports `instances`. One that was taken and not
    /// spawned is not written down yet: should noded die now, only a repeated launch brings it.
    pub(super) fn again(&mut self, instances: &[InstanceReport]) -> Vec<Pending> {
        let written = instances.iter().filter(|i| is_written_down(i));
        self.heard(written.map(|i| (i.rank, i.incarnation)));
        let over = |rank: &Rank| {
            instances.iter().any(|i| i.rank == *rank && matches!(i.phase, PhaseReport::Exited(_)))
        };
        let launching = self.pending.iter().any(|p| matches!(*p.request, Request::Launch(_)));
        let all_over =
            !launching && instances.iter().all(|i| matches!(i.phase, PhaseReport::Exited(_)));
        self.pending.retain(|pending| match &*pending.request {
            Request::Stop { ranks, .. } if ranks.is_empty() => !all_over,
            Request::Stop { ranks, .. } => !ranks.iter().all(over),
            Request::Reserve { .. } | Request::Launch(_) | Request::Reach { .. } => true,
        });
        self.pending.clone()
    }
}

fn is_written_down(instance: &InstanceReport) -> bool {
    instance.pid.is_some() || instance.phase != PhaseReport::Starting
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use a2arun_core::ids::{Generation, Incarnation};
    use a2arun_core::launch::InstanceLaunch;
    use a2arun_core::outcome::ExitRecord;

    use super::*;

    fn launch(ranks: &[u32]) -> impl FnOnce(RequestId) -> Request {
        let instances = ranks
            .iter()
            .map(|rank| InstanceLaunch {
                rank: Rank(*rank),
                name: String::new(),
                template: 0,
                argv: Vec::new(),
                env: BTreeMap::new(),
                port: None,
                ports: Vec::new(),
                stdin: false,
            })
            .collect();
        |request| {
            Request::Launch(LaunchBatch {
                request,
                generation: Generation(1),
                templates: Vec::new(),
                instances,
            })
        }
    }

    fn stop(ranks: &[u32]) -> impl FnOnce(RequestId) -> Request {
        let ranks = ranks.iter().map(|r| Rank(*r)).collect();
        |_| Request::Stop { ranks, grace: None, cause: StopCause::User }
    }

    fn report(rank: u32, phase: PhaseReport) -> InstanceReport {
        InstanceReport {
            rank: Rank(rank),
            name: String::new(),
            incarnation: Incarnation(1),
            phase,
            pid: None,
            started: None,
            ready: None,
            seen: None,
            last_look: None,
            cpu_percent: None,
            memory_bytes: None,
        }
    }

    fn exited() -> PhaseReport {
        let record = ExitRecord::spawn_failed(String::new(), jiff::Timestamp::UNIX_EPOCH);
        PhaseReport::Exited(Box::new(record))
    }

    fn ids(pending: &[Pending]) -> Vec<u64> {
        pending.iter().map(|p| p.id.0).collect()
    }

    #[test]
    fn a_launch_is_answered_when_every_rank_was_heard_of() {
        let mut outbox = Outbox::default();
        outbox.add(launch(&[0, 1]));
        outbox.add(launch(&[2]));
        outbox.heard([(Rank(0), Incarnation(1)), (Rank(2), Incarnation(1))]);
        assert_eq!(ids(&outbox.again(&[])), [1]);
        assert_eq!(ids(&outbox.again(&[report(1, PhaseReport::Starting)])), [1]);
        let spawned = InstanceReport { pid: Some(7), ..report(1, PhaseReport::Starting) };
        assert_eq!(ids(&outbox.again(&[spawned])), [0_u64; 0]);
    }

    #[test]
    fn the_end_of_an_earlier_incarnation_is_no_answer_to_the_next_launch() {
        let mut outbox = Outbox::default();
        outbox.add(launch(&[0]));
        outbox.heard([(Rank(0), Incarnation(1))]);
        outbox.add(launch(&[0]));
        // The connection breaks before the second launch is there.
        assert_eq!(ids(&outbox.again(&[report(0, exited())])), [2]);
        let spawned = InstanceReport {
            pid: Some(7),
            incarnation: Incarnation(2),
            ..report(0, PhaseReport::Starting)
        };
        assert_eq!(ids(&outbox.again(&[spawned])), [0_u64; 0]);
    }

    #[test]
    fn ids_are_kept_over_a_break_and_never_used_again() {
        let mut outbox = Outbox::default();
        outbox.add(launch(&[0]));
        assert_eq!(ids(&outbox.again(&[])), [1]);
        assert_eq!(outbox.answered(RequestId(1)), [Rank(0)]);
        assert_eq!(outbox.add(launch(&[1])).id, RequestId(2));
        assert_eq!(outbox.answered(RequestId(9)), []);
    }

    #[test]
    fn a_stop_is_repeated_until_its_ranks_are_over() {
        let mut outbox = Outbox::default();
        outbox.add(stop(&[]));
        outbox.add(stop(&[1]));
        let running = [report(0, PhaseReport::Ready), report(1, exited())];
        assert_eq!(ids(&outbox.again(&running)), [1]);
        assert_eq!(ids(&outbox.again(&[report(0, exited()), report(1, exited())])), [0_u64; 0]);
    }

    #[test]
    fn a_stop_of_all_waits_for_launches_on_their_way() {
        let mut outbox = Outbox::default();
        outbox.add(launch(&[0]));
        outbox.add(stop(&[]));
        assert_eq!(ids(&outbox.again(&[])), [1, 2]);
    }
}
