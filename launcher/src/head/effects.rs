//! What the job machine asks for, performed: reaching hosts, launching stages, stopping.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::{HostName, Rank};
use a2arun_core::launch::{OrphanPolicy, RunIdentity};
use a2arun_core::machine::job::{Effect, Event, Phase};
use a2arun_core::outcome::StopCause;
use a2arun_core::plan::{HostIx, LaunchBuilder, LaunchInputs, ResolvedPlan, StageIx};
use a2arun_core::spec::Strategy;
use a2arun_core::status::{InstanceState, InstanceStatusJson, StatusJson};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::head::actor::{Head, TICK, Told};
use crate::head::batches;
use crate::head::hosts::{COMMANDS_DEPTH, Host, Reach};
use crate::head::instances::Instance;
use crate::head::peers::When;
use crate::head::show::LINES_MAX;
use crate::head::stops::Schedule;
use crate::output::LogSink;
use crate::session::{
    self, Command, Forwarded, MAIN_PORT, PortGiven, PortsReserved, Session, Until, close_stdin,
    follow_logs, forward_stdin,
};
use crate::target::{ConnectError, Target, chain};

/// Behind the deadline at which nodeds kill, until instances of silent hosts are given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

impl Head {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            // The plan is there before the head is.
            Effect::MakePlan => {}
            Effect::ConnectHosts => self.connect_hosts(),
            Effect::LaunchStage { stage } => self.launch_stage(stage),
            Effect::ProveEdges => self.prove_edges(),
            Effect::AnnounceReady => {
                self.ready = Some(Timestamp::now());
                self.hosts.0.iter_mut().for_each(|host| host.last_lines = None);
                self.show.ready(&self.job, self.resolved.as_ref());
                self.ask_question();
            }
            Effect::StopAll { asked_by } => self.stop_all(asked_by),
            Effect::KillAll => self.kill_all(),
            Effect::Finish => {}
        }
    }

    fn connect_hosts(&mut self) {
        self.show.connecting(&self.job);
        for host in self.job.plan.host_indices() {
            let (commands_in, commands) = mpsc::channel(COMMANDS_DEPTH);
            let identity = RunIdentity {
                run: self.run_id(),
                job: self.job.plan.job.clone(),
                host: self.job.plan.host(host).name().clone(),
                orphan: OrphanPolicy::foreground(),
                head: self.job.head.clone(),
            };
            let session = Session {
                host,
                target: self.job.targets[host.get()].clone(),
                identity,
                generation: self.job.plan.generation,
            };
            self.new_host(Host::new(commands_in));
            self.sessions.spawn(session::run(session, commands, self.events_in.clone()));
        }
    }

    /// Attached for the first time: its output is read, its ports are reserved.
    pub(super) fn host_up(&mut self, host: HostIx) {
        if self.state.phase != Phase::Connecting {
            // The job was given up meanwhile: nothing is prepared and nothing will be written.
            return;
        }
        self.follow(host);
        let ports = self.ports_wanted(host);
        let bind_address = self.bind_address();
        let range = self.port_range(host);
        let Some(entry) = self.hosts.get(host) else { return };
        if ports.is_empty() {
            entry.reach = Reach::Prepared;
        } else {
            entry.reach = Reach::Reserving;
            entry.send(Command::Reserve { ports, bind_address, range });
        }
        self.when_all_prepared();
    }

    /// Where agents will bind; empty: all addresses.
    pub(super) fn bind_address(&self) -> String {
        if self.job.plan.loopback { "127.0.0.1".to_owned() } else { String::new() }
    }

    /// Where `auto` ports of a host come from.
    pub(super) fn port_range(&self, host: HostIx) -> (u16, u16) {
        self.job.plan.host(host).entry.ports.map_or(self.job.ports, |r| (r.first, r.last))
    }

    fn follow(&mut self, host: HostIx) {
        let plan = self.job.plan.clone();
        let names: crate::output::Names = std::sync::Arc::new(move |rank: Rank| {
            plan.get(rank).map(|i| (plan.agent(i.agent).id.to_string(), i.index))
        });
        let name = self.job.plan.host(host).name().to_string();
        let sink = LogSink::new(
            name,
            names,
            self.io.format.clone(),
            self.io.sinks.clone(),
            self.io.files.clone(),
            self.io.activity.clone(),
            self.job.mask.clone(),
        );
        let (sink, last_lines) = match self.job.plan.size() <= LINES_MAX {
            true => {
                let (sink, lines) = sink.telling_last_lines();
                (sink, Some(lines))
            }
            false => (sink, None),
        };
        let (ends_in, ends) = oneshot::channel();
        let target = self.job.targets[host.get()].clone();
        let run = self.run_id();
        self.logs.spawn(async move {
            // The head waits for its output; only the end that it gives is one.
            let (sink, _) = follow_logs(target, run, sink, Until::Ends(ends)).await;
            (host, sink)
        });
        if let Some(entry) = self.hosts.get(host) {
            entry.ends = Some(ends_in);
            entry.last_lines = last_lines;
            entry.reading = true;
        }
    }

    pub(super) fn ports(&mut self, host: HostIx, answer: PortsReserved) {
        match answer {
            PortsReserved::All(ports) => {
                let ranks = ports.iter().map(|p| p.rank).collect();
                for given in ports {
                    self.bind(given);
                }
                self.ports_again(host, &ranks);
                if let Some(entry) = self.hosts.get(host)
                    && entry.is_open()
                {
                    entry.reach = Reach::Prepared;
                }
            }
            PortsReserved::Conflicts(conflicts) if self.state.phase != Phase::Connecting => {
                self.no_port_again(&conflicts);
            }
            PortsReserved::Conflicts(conflicts) => {
                let name = self.job.plan.host(host).name().clone();
                for conflict in &conflicts {
                    let who = self.job.plan.name(conflict.rank);
                    let holder = match conflict.holder.as_str() {
                        "" => "it is taken".to_owned(),
                        holder => holder.to_owned(),
                    };
                    let text = if conflict.port == 0 {
                        format!("no free port for {who} on {name}: {holder}")
                    } else {
                        format!(
                            "port {} for {who} on {name} cannot be had: {holder}",
                            conflict.port
                        )
                    };
                    self.show.failure(&text);
                    self.note_failure(host, text, Told::Yes);
                }
                if let Some(entry) = self.hosts.get(host) {
                    entry.reach = Reach::Conflict;
                }
            }
        }
        self.when_all_prepared();
    }

    fn bind(&mut self, given: PortGiven) {
        let PortGiven { rank, name, port } = given;
        if name == MAIN_PORT {
            self.bindings.set_port(rank, port);
            return;
        }
        let Some(instance) = self.job.plan.get(rank) else { return };
        let ports = &self.job.plan.agent(instance.agent).ports;
        if let Some(at) = ports.iter().position(|(known, _)| *known == name) {
            self.bindings.set_named_port(rank, at, port);
        }
    }

    pub(super) fn host_failed(&mut self, host: HostIx, error: ConnectError) {
        let text = chain(&error);
        if let Some(entry) = self.hosts.get(host) {
            entry.drop_session();
            entry.closed = Some(false);
            entry.reach = Reach::Failed(error);
        }
        tracing::info!(host = host.0, error = %text, "host failed");
        self.when_all_prepared();
    }

    /// The first launch waits until every host has said yes or no: then either all of them are
    /// there, or all bad ones are named at once.
    fn when_all_prepared(&mut self) {
        if self.state.phase != Phase::Connecting || self.hosts.0.iter().any(Host::is_open) {
            return;
        }
        if self.hosts.0.iter().all(Host::is_prepared) {
            match self.resolve() {
                Ok(resolved) => {
                    self.resolved = Some(resolved);
                    for host in self.job.plan.clone().host_indices() {
                        self.send_peers(host);
                    }
                    self.queue([Event::AllSessionsUp]);
                }
                Err((host, text)) => {
                    self.note_failure(host, text, Told::NotYet);
                    self.queue([Event::SessionFailed { host, code: LauncherCode::Internal }]);
                }
            }
            return;
        }
        let first = self.hosts.iter().find_map(|(ix, host)| match &host.reach {
            Reach::Failed(error) => Some((ix, error.exit_code(), Some(chain(error)))),
            Reach::Conflict => Some((ix, LauncherCode::Capacity, None)),
            Reach::Dialling | Reach::Reserving | Reach::Prepared => None,
        });
        self.show.bad_hosts(&self.job, &self.hosts);
        if let Some((host, code, text)) = first {
            if let Some(text) = text {
                self.note_failure(host, text, Told::Yes);
            }
            self.queue([Event::SessionFailed { host, code }]);
        }
    }

    pub(super) fn resolve(&mut self) -> Result<ResolvedPlan, (HostIx, String)> {
        let plan = self.job.plan.clone();
        let reached: Vec<Option<IpAddr>> = self.hosts.0.iter().map(|h| h.address).collect();
        for host in plan.host_indices() {
            let address = reached[host.get()]
                .map(|ip| ip.to_string())
                .or_else(|| own_address(reached.iter().flatten().next().copied()));
            if let Some(name) = address.and_then(|a| a.parse::<HostName>().ok()) {
                self.bindings.set_address(host, name);
            }
        }
        let bindings = self.bindings.clone();
        ResolvedPlan::new(plan, bindings).map_err(|error| (HostIx(0), error.to_string()))
    }

    fn launch_stage(&mut self, stage: StageIx) {
        self.show.stage(stage, &self.job);
        self.launch_ranks(self.job.plan.stage_by_host(stage).into_iter().collect());
    }

    /// Starts these, each on its host.
    pub(super) fn launch_ranks(&mut self, by_host: Vec<(HostIx, Vec<Rank>)>) {
        let Some(resolved) = self.resolved.clone() else { return };
        self.tell_peers(When::Now);
        let plan = self.job.plan.clone();
        let inputs = LaunchInputs {
            spec: &self.job.spec,
            resolved: &resolved,
            run: &self.job.run,
            trace_id: Some(&self.job.trace_id),
            exports: &self.job.exports,
            stdin: self.job.stdin,
            facts: &self.job.facts,
        };
        let builder = match LaunchBuilder::new(inputs) {
            Ok((builder, _)) => builder,
            // The command checked the same inputs before it reached any host.
            Err(error) => {
                tracing::error!(%error, "launch");
                return;
            }
        };
        let mut commands = Vec::new();
        let all: Vec<Rank> = by_host.iter().flat_map(|(_, ranks)| ranks).copied().collect();
        for (host, ranks) in by_host {
            let here = match self.job.targets[host.get()] {
                Target::Local(_) => true,
                Target::Installed(_) => false,
            };
            let base = self.job.elsewhere.base(here, &self.job.environment);
            let launch =
                builder.host(host, &ranks, base, &|agent| self.job.sites[agent.get()].clone());
            for piece in batches::split(launch) {
                let (templates, instances) = (piece.templates, piece.instances);
                let generation = plan.generation;
                let ranks: Vec<Rank> = instances.iter().map(|i| i.rank).collect();
                let command = Command::Launch { generation, templates, instances };
                commands.push((host, ranks, command));
            }
        }
        // From here on they may be running, however much of the launch is handed over: a roll-back
        // must name them all.
        let now = Timestamp::now();
        for rank in all {
            let events = self.instances.assigned(rank, now);
            self.queue(events);
        }
        let mut unsent = Vec::new();
        for (host, ranks, command) in commands {
            let sent =
                unsent.is_empty() && self.hosts.get(host).is_some_and(|entry| entry.send(command));
            if !sent {
                let text = "its session does not take the launch".to_owned();
                self.note_failure(host, text, Told::NotYet);
                self.queue([Event::SessionFailed { host, code: LauncherCode::HostUnreachable }]);
                unsent.extend(ranks);
            }
        }
        for rank in unsent {
            let moved = self.instances.refused(rank, "its launch was not sent", now);
            self.queue(moved.events);
        }
    }

    /// Our standard input goes to the instance that asked for it, once it is there to take it.
    pub(super) fn forward_stdin(&mut self, spawned: Rank) {
        let Some(agent) = self.job.stdin else { return };
        let rank = self.job.plan.agent(agent).first;
        if rank != spawned || !self.stdin.is_empty() {
            return;
        }
        let instance = self.job.plan.instance(rank);
        let target = self.job.targets[instance.host.get()].clone();
        let run = self.run_id();
        let talk = self.io.talk.clone();
        self.stdin.spawn(async move {
            match forward_stdin(target.clone(), run.clone(), rank, std::io::stdin()).await {
                // An agent that has read enough of it is nothing to speak of.
                Ok(Forwarded::All | Forwarded::Closed) => {}
                Err(error) => {
                    talk.warning(&format!(
                        "standard input is not forwarded any more: {}; it ends there",
                        chain(&error)
                    ));
                    close_stdin(target, run, rank).await;
                }
            }
        });
    }

    fn stop_all(&mut self, cause: StopCause) {
        self.end_retries();
        let now = Instant::now();
        let plan = &self.job.plan;
        let mut stages: Vec<StageIx> = (0_u32..).map(StageIx).take(plan.stages.len()).collect();
        // Stages start callees first but for `top-down`: callers stop first.
        match self.job.spec.deployment.strategy {
            Strategy::Staged | Strategy::Parallel | Strategy::Sequential => stages.reverse(),
            Strategy::TopDown => {}
        }
        stages.retain(|stage| self.instances.stage_is_live(*stage));
        let grace = self
            .job
            .spec
            .agents
            .iter()
            .map(|agent| agent.stop.grace)
            .max()
            .unwrap_or(Duration::from_secs(10));
        if !stages.is_empty() {
            self.show.stopping(&self.state, &self.instances);
        }
        self.stop = Some(Schedule::new(stages, grace, cause, now));
        self.give_up_at = Some(now + grace + GIVE_UP_AFTER);
        // Who is left is said for the first time a second from now.
        self.tick_at = now + TICK;
        self.drive_stop();
        let terminal = self.instances.tally().terminal();
        self.queue(terminal);
    }

    /// Tells the stages whose turn it is.
    pub(super) fn drive_stop(&mut self) {
        let now = Instant::now();
        while let Some(stop) = &mut self.stop {
            let instances = &self.instances;
            let Some(stage) = stop.due(now, |stage| instances.stage_is_live(stage)) else { return };
            let left = stop.deadline.saturating_duration_since(now);
            let cause = stop.cause;
            self.stop_stage(stage, left, cause);
        }
    }

    fn stop_stage(&mut self, stage: StageIx, left: Duration, cause: StopCause) {
        let plan = self.job.plan.clone();
        // What is left of the deadline, or the agent's own grace where that is shorter.
        let mut asked: BTreeMap<(HostIx, Duration), Vec<Rank>> = BTreeMap::new();
        for rank in &plan.stages[stage.get()] {
            if self.instances.is_live(*rank) {
                let instance = plan.instance(*rank);
                let grace = self.job.spec.agent(instance.agent).stop.grace.min(left);
                asked.entry((instance.host, grace)).or_default().push(*rank);
            }
        }
        for ((host, grace), ranks) in asked {
            if let Some(entry) = self.hosts.get(host) {
                entry.send(Command::Stop { ranks, grace: Some(grace), cause });
            }
        }
    }

    fn kill_all(&mut self) {
        let now = Instant::now();
        let cause = self.stop.as_ref().map_or(StopCause::User, |stop| stop.cause);
        if let Some(stop) = &mut self.stop {
            stop.hasten(now);
        }
        for host in self.hosts.indices() {
            if let Some(entry) = self.hosts.get(host) {
                let grace = Some(Duration::ZERO);
                entry.send(Command::Stop { ranks: Vec::new(), grace, cause });
            }
        }
        self.give_up_at = Some(now + GIVE_UP_AFTER);
    }

    /// The deadline is long over: those of hosts that are away are counted as over, fate unknown.
    pub(super) fn give_up(&mut self) {
        let left: Vec<Rank> = self
            .instances
            .iter()
            .map(|(rank, _)| rank)
            .filter(|r| self.instances.is_live(*r))
            .collect();
        self.show.given_up(&left, &self.job);
        for rank in left {
            self.given_up.push(rank);
            let events = self.instances.give_up(rank);
            self.queue(events);
        }
    }

    /// The run in the shape of DESIGN §11.
    pub(super) fn status(&self) -> StatusJson {
        let plan = &self.job.plan;
        let instances = self
            .instances
            .iter()
            .map(|(rank, instance)| {
                let planned = plan.instance(rank);
                let report = instance.mirror.report();
                let ready = report.map(|_| instance.mirror.shown().as_str() == "ready");
                InstanceStatusJson {
                    name: plan.name(rank).to_string(),
                    agent: plan.agent(planned.agent).id.to_string(),
                    rank: rank.0,
                    host: plan.host(planned.host).name().to_string(),
                    state: instance.mirror.shown(),
                    ready,
                    card: instance.seen.as_ref().map(|seen| seen.card.is_some()),
                    net: self.net(rank, instance),
                    pid: instance.pid,
                    incarnation: report.map(|r| r.incarnation.0),
                    restarts: report.map_or(0, |r| r.incarnation.0.saturating_sub(1)),
                    url: self.resolved.as_ref().and_then(|r| r.url(rank)),
                    exit: instance.exit.as_ref().map(|(_, exit)| (&**exit).into()),
                    since: instance.since,
                    cpu_percent: None,
                    memory_bytes: None,
                }
            })
            .collect();
        StatusJson {
            job: plan.job.to_string(),
            run: self.job.run.to_string(),
            state: self.state.shown().unwrap_or(a2arun_core::status::JobState::Allocated),
            result: self.state.result().map(|(result, _)| result.word()),
            since: Some(self.since),
            instances,
        }
    }
}

impl Head {
    /// Whether an instance answers where its callers look for it.
    fn net(&self, rank: Rank, instance: &Instance) -> Option<bool> {
        self.resolved.as_ref()?.port(rank)?;
        match instance.mirror.shown() {
            InstanceState::Unready => Some(false),
            InstanceState::Ready => {
                let listens = instance.seen.as_ref().is_some_and(|s| !s.listens.is_empty());
                self.edges.reached(rank).or(listens.then_some(true))
            }
            InstanceState::Pending
            | InstanceState::Assigned
            | InstanceState::Starting
            | InstanceState::Stopping
            | InstanceState::Backoff
            | InstanceState::Lost
            | InstanceState::Exited => None,
        }
    }
}

/// This machine's address as others see it: the one that a packet to `peer` would leave from.
fn own_address(peer: Option<IpAddr>) -> Option<String> {
    let Some(peer) = peer else { return Some("127.0.0.1".to_owned()) };
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    // Connecting a datagram socket sends nothing; it asks the routing table.
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((peer, 9)).ok()?;
    socket.local_addr().ok().map(|a| a.ip().to_string())
}
