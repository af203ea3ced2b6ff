//! Heads: who has a run, what they ask for, and what happens when they are gone.

use a2arun_core::ids::RunId;
use a2arun_core::launch::RunIdentity;
use a2arun_core::machine::lease::{self, Effect, Event, HeadId};
use a2arun_core::outcome::StopCause;
use std::collections::BTreeMap;
use std::time::Duration;

use a2arun_core::ids::{Generation, RequestId};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Instrument;

use super::actor::{Run, Supervisor, Timer};
use super::instance::Instance;
use super::{HeadInput, Input, Output, Refusal};
use crate::ledger::RunRecord;
use crate::peers::PeerBook;
use crate::{describe, probe};

/// How many ended runs keep their output.
const RUNS_KEPT: usize = 32;
/// How many more there may be before old ones are removed at once.
const UNPRUNED_MAX: usize = 128;
/// When they are removed otherwise. Not with each run: ext4 searches long for an inode number
/// that was not freed lately, which a launch would pay for.
const PRUNE_LATER: Duration = Duration::from_secs(60);

impl Supervisor {
    /// Folds what a head said.
    pub(super) fn head(&mut self, head: HeadId, input: HeadInput) {
        if let HeadInput::Attach { run, generation, outbox } = input {
            self.attach(head, run, generation, outbox);
            return;
        }
        let Some(id) = self.heads.get(&head).cloned() else { return };
        match input {
            HeadInput::Attach { .. } => {}
            HeadInput::Reserve { request, address, range, ports } => {
                self.with_run(&id, |this, run| {
                    let result = this.ports.reserve(&run.identity.run, address, range, ports);
                    run.answer(Output::Reserved(request, result));
                });
            }
            HeadInput::Launch(batch) => self.with_run(&id, |this, run| this.launch(run, batch)),
            HeadInput::Stop { ranks, grace, cause } => self.with_run(&id, |this, run| {
                this.stop(run, &ranks, grace, cause);
            }),
            HeadInput::Reach { request, targets, limit } => {
                let inbox = self.inbox.clone();
                let span = tracing::debug_span!("reach", run = %id);
                let reach = async move {
                    let failures = probe::reach(targets, limit).await;
                    let _ = inbox.send(Input::Reached(id, request, failures)).await;
                };
                self.probes.spawn(reach.instrument(span));
            }
            HeadInput::Peers(update) => {
                self.with_run(&id, |this, run| this.peers_changed(run, update));
            }
            HeadInput::Heard => self.lease_event(&id, Event::LeaseRenewed(head)),
            HeadInput::Release => {
                self.heads.remove(&head);
                self.lease_event(&id, Event::LeaseReleased(head));
                self.with_run(&id, |this, run| {
                    run.answer(Output::Released);
                    run.outbox = None;
                    run.released = true;
                    // A head that lets go of what runs wants it gone.
                    this.stop(run, &[], None, StopCause::Job);
                });
            }
            HeadInput::Closed => {
                self.heads.remove(&head);
                self.lease_event(&id, Event::HeadClosed(head));
            }
        }
    }

    fn attach(
        &mut self,
        head: HeadId,
        identity: RunIdentity,
        generation: Generation,
        outbox: mpsc::Sender<Output>,
    ) {
        let id = identity.run.clone();
        if let Some(known) = self.runs.get(&id)
            && generation < known.generation
        {
            let message = format!("generation {generation} is older than {}", known.generation);
            let _ = outbox.try_send(Output::Refused(RequestId(0), Refusal::Stale, message));
            return;
        }
        let record = RunRecord { identity: identity.clone(), generation };
        if let Err(error) = self.ledger.write_run(&record) {
            let message = describe(&error);
            tracing::error!(run = %id, error = message, "cannot keep a run");
            let _ = outbox.try_send(Output::Refused(RequestId(0), Refusal::Failed, message));
            return;
        }
        if !self.runs.contains_key(&id) {
            self.add_run(identity.clone(), generation);
            // One that this noded has forgotten, or a folder that is new and empty.
            self.with_run(&id, |this, run| {
                for rank in this.ledger.ranks(&id) {
                    this.recover_instance(run, rank);
                }
            });
            tracing::info!(run = %id, head = identity.head, "a head has come");
        }
        self.heads.insert(head, id.clone());
        self.with_run(&id, |_, run| {
            run.generation = generation;
            run.identity = identity;
            // It is back before the last instance was over.
            run.released = false;
            // What is pending is in the reports.
            run.pending.clear();
            run.outbox = Some(outbox);
            let reports = run.instances.values().map(Instance::report).collect();
            run.answer(Output::Attached(reports, Vec::new()));
        });
        self.lease_event(&id, Event::LeaseRequested(head));
    }

    /// A run with nothing in it.
    pub(super) fn add_run(&mut self, identity: RunIdentity, generation: Generation) {
        let views_sender = self.views.add(&identity.run);
        let id = identity.run.clone();
        let run = Run {
            identity,
            generation,
            lease: lease::State::Idle,
            outbox: None,
            instances: BTreeMap::new(),
            pending: Vec::new(),
            views: Vec::new(),
            views_changed: false,
            views_sender,
            stop_all: None,
            peers: PeerBook::default(),
            released: false,
        };
        self.runs.insert(id, run);
    }

    /// Folds a lease event and carries its effects out.
    pub(super) fn lease_event(&mut self, id: &RunId, event: Event) {
        let now = self.clock.elapsed();
        self.with_run(id, |this, run| {
            let (next, effects) = lease::advance(&run.identity.orphan, &run.lease, event, now);
            run.lease = next;
            for effect in effects {
                match effect {
                    Effect::TickAt(at) => {
                        let at = this.clock + at;
                        this.timers.set(at, Timer::Lease(run.identity.run.clone()));
                    }
                    Effect::StopRun => {
                        tracing::warn!(run = %run.identity.run, "no head: stopping the run");
                        this.stop(run, &[], None, StopCause::HeadGone);
                        run.released = true;
                    }
                    // Its stream ends when its outbox is dropped, which the attach has done.
                    Effect::Displace(old) => {
                        this.heads.remove(&old);
                    }
                }
            }
            if matches!(event, Event::HeadClosed(_))
                && matches!(run.lease, lease::State::Orphaned { .. })
            {
                run.outbox = None;
            }
        });
    }

    /// Removes old runs, off the loop.
    pub(super) fn prune(&mut self) {
        self.unpruned = 0;
        let ledger = self.ledger.clone();
        self.tasks.spawn_blocking(move || ledger.prune(RUNS_KEPT));
    }

    /// A run that is over leaves memory; its output stays on disk for a while.
    pub(super) fn forget(&mut self, run: Run) {
        let id = &run.identity.run;
        self.ports.release(id);
        run.views_sender.send_modify(|view| {
            view.instances = std::sync::Arc::new(run.views.clone());
            view.ended = true;
        });
        self.views.remove(id);
        self.heads.retain(|_, r| r != id);
        if let Err(error) = self.ledger.mark_ended(id) {
            tracing::warn!(run = %id, error = describe(&error), "cannot mark a run as over");
        }
        self.unpruned += 1;
        if self.unpruned >= UNPRUNED_MAX {
            self.prune();
        } else if self.unpruned == 1 {
            self.timers.set(Instant::now() + PRUNE_LATER, Timer::Prune);
        }
        tracing::info!(run = %id, "a run is over");
        drop(run);
        crate::os::heap::trim();
    }
}
