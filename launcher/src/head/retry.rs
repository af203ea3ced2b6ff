//! One more try on other ports for an agent that found its `auto` port taken: between the moment
//! when the reservation was let go and its own bind, somebody else was faster (DESIGN §6).

use std::collections::{BTreeMap, BTreeSet};

use a2arun_core::ids::{Incarnation, Rank};
use a2arun_core::machine::job::Phase;
use a2arun_core::outcome::ExitRecord;
use a2arun_core::plan::HostIx;

use crate::head::actor::Head;
use crate::head::instances::News;
use crate::registry::JournalEntry as Entry;
use crate::session::{Command, PortConflict};

/// Who was tried again, and why others may be.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// Who has the port of an instance, as its host said a moment ago.
    taken: BTreeMap<Rank, String>,
    /// New ports are on their way; with the end that is told if none are to be had.
    waiting: BTreeMap<Rank, Waiting>,
    /// Nobody is tried twice.
    tried: BTreeSet<Rank>,
}

/// The first end of somebody who is to be tried again.
#[derive(Debug)]
struct Waiting {
    incarnation: Incarnation,
    record: Box<ExitRecord>,
    holder: String,
}

impl Retries {
    pub(super) fn taken(&mut self, rank: Rank, holder: String) {
        self.taken.insert(rank, holder);
    }
}

impl Head {
    /// An instance ended. Gives the end back where it stands; `None`: it is started anew.
    pub(super) fn try_other_port(
        &mut self,
        rank: Rank,
        incarnation: Incarnation,
        mut record: Box<ExitRecord>,
    ) -> Option<Box<ExitRecord>> {
        let Some(holder) = self.retries.taken.remove(&rank) else { return Some(record) };
        let starting = match self.state.phase {
            Phase::Launching { .. } | Phase::Running | Phase::Degraded => record.ready.is_none(),
            Phase::New
            | Phase::Allocated
            | Phase::Mapped
            | Phase::Connecting
            | Phase::Cleanup { .. }
            | Phase::Inactive { .. } => false,
        };
        let ports = self.ports_of(rank);
        let movable = ports.iter().any(|p| p.fixed.is_none());
        if !starting || !movable || record.asked_by.is_some() || !self.retries.tried.insert(rank) {
            record.detail.get_or_insert(holder);
            return Some(record);
        }
        let plan = self.job.plan.clone();
        let host = plan.instance(rank).host;
        let name = plan.host(host).name();
        let text = format!("{}@{name}: {holder}; trying another port", plan.name(rank));
        self.io.journal.write(Entry::instance("port-retry", &plan, rank).text(&text));
        self.show.warning(&text);
        self.instances.retire(rank, incarnation, &record);
        self.retries.waiting.insert(rank, Waiting { incarnation, record, holder });
        let bind_address = self.bind_address();
        let range = self.port_range(host);
        let asked = self
            .hosts
            .get(host)
            .is_some_and(|entry| entry.send(Command::Reserve { ports, bind_address, range }));
        if !asked {
            self.no_other_port(rank, "its session does not take requests");
        }
        None
    }

    /// What was said of ports and not followed by an end is for people.
    pub(super) fn forget_taken(&mut self, host: HostIx) {
        for (rank, holder) in std::mem::take(&mut self.retries.taken) {
            self.io.journal.write(Entry::instance("notice", &self.job.plan, rank).text(&holder));
            self.instances.set_probe(rank, holder.clone());
            self.show.notice(rank, host, &holder);
        }
    }

    /// New ports came for instances that are tried again.
    pub(super) fn ports_again(&mut self, host: HostIx, ranks: &BTreeSet<Rank>) {
        let waits = |rank: &Rank| self.retries.waiting.contains_key(rank);
        let waiting: Vec<Rank> = ranks.iter().copied().filter(waits).collect();
        if waiting.is_empty() {
            return;
        }
        match self.resolve() {
            Ok(resolved) => self.resolved = Some(resolved),
            Err((_, why)) => {
                waiting.into_iter().for_each(|rank| self.no_other_port(rank, &why));
                return;
            }
        }
        for rank in &waiting {
            self.retries.waiting.remove(rank);
            self.peer_changed(*rank);
        }
        self.launch_ranks(vec![(host, waiting)]);
    }

    /// None were to be had: the first end is told after all.
    pub(super) fn no_port_again(&mut self, conflicts: &[PortConflict]) {
        let ranks: BTreeSet<Rank> = conflicts.iter().map(|c| c.rank).collect();
        for rank in ranks {
            self.no_other_port(rank, "no other port is free");
        }
    }

    /// The job is taken down: nobody is tried again.
    pub(super) fn end_retries(&mut self) {
        let ranks: Vec<Rank> = self.retries.waiting.keys().copied().collect();
        ranks.into_iter().for_each(|rank| self.no_other_port(rank, "the job is being stopped"));
    }

    fn no_other_port(&mut self, rank: Rank, why: &str) {
        let Some(Waiting { incarnation, mut record, holder }) = self.retries.waiting.remove(&rank)
        else {
            return;
        };
        record.detail.get_or_insert_with(|| format!("{holder}; {why}"));
        self.instances.unretire(rank);
        let now = jiff::Timestamp::now();
        let moved = self.instances.heard(rank, incarnation, News::Exited(record), now);
        self.moved(moved);
    }
}
