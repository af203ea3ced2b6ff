//! What a person sees of a job while it runs. Nothing is decided here.

use std::sync::Arc;
use std::time::Duration;

use a2arun_core::ids::Rank;
use a2arun_core::machine::job::{self, Cause, Phase, StopBy, is_failure};
use a2arun_core::machine::mirror::End;
use a2arun_core::plan::{HostIx, Plan, ResolvedPlan, StageIx};
use a2arun_core::status::InstanceState;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::head::hosts::{Hosts, Reach};
use crate::head::instances::{Instance, Instances, News};
use crate::head::job::{Io, Job};
use crate::output::{Talk, cause_line, duration};
use crate::session::Contact;
use crate::target::chain;

/// A larger job is told in numbers, not in lines.
pub(super) const LINES_MAX: u32 = 64;
/// How often those are named that let the others wait.
const WAITING_EVERY: Duration = Duration::from_secs(10);
/// And for the first time.
const WAITING_FIRST: Duration = Duration::from_secs(3);
/// How many are named.
const NAMED_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Show {
    talk: Talk,
    plan: Arc<Plan>,
    begun: Instant,
    waiting_said: Instant,
    failures: u32,
    stops: u32,
}

impl Show {
    pub(super) fn new(job: &Job, io: &Io) -> Self {
        let now = Instant::now();
        Self {
            talk: io.talk.clone(),
            plan: job.plan.clone(),
            begun: now,
            waiting_said: now.checked_sub(WAITING_EVERY - WAITING_FIRST).unwrap_or(now),
            failures: 0,
            stops: 0,
        }
    }

    fn host(&self, host: HostIx) -> &str {
        self.plan.host(host).name().as_str()
    }

    fn name(&self, rank: Rank) -> String {
        let instance = self.plan.instance(rank);
        format!("{}@{}", self.plan.name(rank), self.host(instance.host))
    }

    fn in_lines(&self) -> bool {
        self.plan.size() <= LINES_MAX
    }

    pub(super) fn connecting(&self, job: &Job) {
        if !self.talk.is_on() {
            return;
        }
        let hosts = match self.plan.hosts.len() {
            1 => format!("on {}", self.host(HostIx(0))),
            n => format!("on {n} hosts"),
        };
        let plural = if self.plan.size() == 1 { "instance" } else { "instances" };
        self.talk.progress(&format!(
            "{}: {} {plural} {hosts}, run {}",
            job.plan.job,
            self.plan.size(),
            job.run
        ));
        if !self.plan.loopback
            && self.plan.instances.iter().any(|i| i.port != a2arun_core::plan::PlannedPort::None)
        {
            self.talk.progress("agents are given their host's address and bind 0.0.0.0");
        }
    }

    pub(super) fn stage(&self, stage: StageIx, job: &Job) {
        let stages = job.plan.stages.len();
        if stages > 1 && !self.in_lines() {
            let count = job.plan.stages[stage.get()].len();
            self.talk.progress(&format!("stage {} of {stages}: {count} instances", stage.0 + 1));
        }
    }

    pub(super) fn ready(&self, job: &Job, resolved: Option<&ResolvedPlan>) {
        if !self.talk.is_on() {
            return;
        }
        let took = duration(self.begun.elapsed());
        let style = self.talk.style();
        let entry = job.entry_point().and_then(|agent| {
            let planned = job.plan.agent(agent);
            let external = planned.external.clone();
            let url = external.or_else(|| resolved.and_then(|r| r.url(planned.first)));
            url.map(|url| (agent, url))
        });
        let text = format!("{} {} is ready after {took}", style.good("✓"), job.plan.job);
        match entry {
            Some((agent, url)) => {
                let id = &job.spec.agent(agent).id;
                self.talk.progress(&format!("{text}: {id} answers at {}", style.bold(&url)));
            }
            None => self.talk.progress(&text),
        }
    }

    pub(super) fn news(
        &mut self,
        rank: Rank,
        news: &News,
        state: &job::State,
        job: &Job,
        resolved: Option<&ResolvedPlan>,
    ) {
        match news {
            News::Ready { after, .. } => {
                if self.talk.is_on() && self.in_lines() {
                    let after = after.map(|a| format!(" in {}", duration(a))).unwrap_or_default();
                    let url = resolved.and_then(|r| r.url(rank));
                    let url = url.map(|u| format!("  {u}")).unwrap_or_default();
                    self.talk.progress(&format!("{} ready{after}{url}", self.name(rank)));
                }
            }
            News::Unready(why) => {
                self.talk.warning(&format!("{} is not ready any more: {why}", self.name(rank)));
            }
            News::Exited(record) => {
                let end = End::from(&**record);
                if is_failure(&end) {
                    self.failures += 1;
                    // The first is the cause and is told at the end with what it wrote; the others
                    // are its company.
                    if self.failures > 1 && self.in_lines() {
                        self.say_end(rank, record);
                    } else if self.failures == 1 && job.plan.size() > 1 {
                        let left = job.plan.size() - 1;
                        let stops = job.on_failure == job::OnFailure::Stop && left > 0;
                        let tail = if stops { "; stopping the others" } else { "" };
                        self.talk.progress(&format!("{}{tail}", self.end_line(rank, record)));
                    }
                } else if self.in_lines() && !matches!(state.phase, Phase::Cleanup { .. }) {
                    self.say_end(rank, record);
                }
                if !record.survivors.is_empty() {
                    let list: Vec<String> = record
                        .survivors
                        .iter()
                        .map(|s| format!("{} ({})", s.pid, s.comm))
                        .collect();
                    self.talk.error(&format!(
                        "{} left processes behind: {}",
                        self.name(rank),
                        list.join(", ")
                    ));
                }
            }
            News::Spawned { .. } | News::Stopping | News::Backoff => {}
        }
    }

    fn end_line(&self, rank: Rank, record: &a2arun_core::outcome::ExitRecord) -> String {
        let host = self.plan.instance(rank).host;
        cause_line(&self.plan.name(rank).to_string(), self.host(host), record)
    }

    fn say_end(&self, rank: Rank, record: &a2arun_core::outcome::ExitRecord) {
        self.talk.progress(&self.end_line(rank, record));
    }

    pub(super) fn notice(&self, rank: Rank, host: HostIx, text: &str) {
        let who =
            self.plan.get(rank).map_or_else(|| self.host(host).to_owned(), |_| self.name(rank));
        self.talk.warning(&format!("{who}: {text}"));
    }

    pub(super) fn host_notice(&self, host: HostIx, text: &str) {
        self.talk.warning(&format!("{}: {text}", self.host(host)));
    }

    pub(super) fn warning(&self, text: &str) {
        self.talk.warning(text);
    }

    pub(super) fn hint(&self, text: &str) {
        self.talk.hint(text);
    }

    pub(super) fn failure(&self, text: &str) {
        self.talk.error(text);
    }

    pub(super) fn contact(&self, host: HostIx, contact: Contact) {
        let name = self.host(host);
        match contact {
            Contact::Good => self.talk.warning(&format!("{name} is heard again")),
            Contact::Suspect => self.talk.warning(&format!("nothing is heard of {name} for 3 s")),
            Contact::Lost => self.talk.warning(&format!(
                "{name} is lost: nothing is heard of it for 10 s; the fate of its instances is not known"
            )),
        }
    }

    /// Every bad host with its cause, and how the others are.
    pub(super) fn bad_hosts(&self, job: &Job, hosts: &Hosts) {
        let style = self.talk.style();
        let mut good = Vec::new();
        let mut hints = Vec::new();
        let mut lines = Vec::new();
        for (ix, host) in hosts.iter() {
            let name = job.plan.host(ix).name();
            match &host.reach {
                Reach::Failed(error) => {
                    lines.push(format!("{} {name}: {}", style.error("error:"), chain(error)));
                    hints.extend(error.hint());
                }
                Reach::Conflict => {}
                Reach::Prepared | Reach::Reserving | Reach::Dialling => good.push(name.to_string()),
            }
        }
        hints.dedup();
        lines.extend(hints.iter().map(|hint| format!("{} {hint}", style.bold("hint:"))));
        let tail = "nothing was started";
        lines.push(match good.len() {
            0 => tail.to_owned(),
            n if n <= NAMED_MAX => format!("{} answered; {tail}", good.join(", ")),
            n => format!("the other {n} hosts answered; {tail}"),
        });
        // One message: a hundred of them would not find room.
        self.talk.error_block(&lines.join("\n"));
    }

    pub(super) fn wall_time(&self, limit: Option<Duration>, state: &job::State) {
        // A job that ends already ends for its own reason.
        if matches!(state.phase, Phase::Cleanup { .. } | Phase::Inactive { .. }) {
            return;
        }
        let limit = limit.map(duration).unwrap_or_default();
        self.talk.error(&format!("the time is over: --timeout {limit}"));
    }

    pub(super) fn stop_asked(&mut self, by: StopBy, state: &job::State, instances: &Instances) {
        self.stops += 1;
        let live = instances.tally().live();
        let how = match by {
            StopBy::Interrupt => "interrupted",
            StopBy::Terminate => "asked to end",
            StopBy::Request | StopBy::RequestNow => "asked to stop from another shell",
            StopBy::Done => return,
        };
        match state.phase {
            Phase::Cleanup { .. } if state.kills(by, Timestamp::now()) => {
                self.talk.block(&format!("{how} again: killing what is left ({live})"));
            }
            Phase::Cleanup { .. } | Phase::Inactive { .. } => {}
            Phase::New
            | Phase::Allocated
            | Phase::Mapped
            | Phase::Connecting
            | Phase::Launching { .. }
            | Phase::Running
            | Phase::Degraded => {
                if live > 0 && by == StopBy::Interrupt {
                    self.talk.block(&format!("{how}: stopping; once more kills at once"));
                }
            }
        }
    }

    pub(super) fn stopping(&mut self, state: &job::State, instances: &Instances) {
        if matches!(state.phase, Phase::Cleanup { cause: Cause::Complete, .. }) {
            self.complete(instances);
        }
        // Who is left is told from the next tick on: most jobs are gone by then.
        self.waiting_said = Instant::now();
    }

    /// What was waited for has ended, and others have not: that is said, as it is no failure.
    fn complete(&self, instances: &Instances) {
        let is = |state: InstanceState| move |(_, i): &(Rank, &Instance)| i.mirror.shown() == state;
        let unstarted: Vec<String> = instances
            .iter()
            .filter(is(InstanceState::Pending))
            .map(|(rank, _)| self.name(rank))
            .take(NAMED_MAX)
            .collect();
        let live = instances.tally().live();
        if !unstarted.is_empty() {
            let names = unstarted.join(", ");
            self.talk.warning(&format!("the job is complete and never started {names}"));
            self.talk.hint("a task ends its job: `depends_on` lets it wait for others");
        } else if live > 0 {
            self.talk.progress(&format!("the job is complete: stopping {live} more"));
        }
    }

    /// Once a second: who lets the others wait.
    pub(super) fn tick(
        &mut self,
        job: &Job,
        state: &job::State,
        instances: &Instances,
        hosts: &Hosts,
    ) {
        match state.phase {
            Phase::Cleanup { .. } => self.left(instances),
            Phase::Launching { .. } if self.waiting_said.elapsed() >= WAITING_EVERY => {
                self.waiting_said = Instant::now();
                self.waiting(job, instances, hosts);
            }
            Phase::Connecting if self.waiting_said.elapsed() >= WAITING_EVERY => {
                self.waiting_said = Instant::now();
                let open: Vec<&str> = hosts
                    .iter()
                    .filter(|(_, h)| h.is_open())
                    .take(NAMED_MAX)
                    .map(|(ix, _)| self.host(ix))
                    .collect();
                self.talk.progress(&format!("waiting for {}", open.join(", ")));
            }
            Phase::New
            | Phase::Allocated
            | Phase::Mapped
            | Phase::Connecting
            | Phase::Launching { .. }
            | Phase::Running
            | Phase::Degraded
            | Phase::Inactive { .. } => {}
        }
    }

    fn left(&self, instances: &Instances) {
        let live: Vec<Rank> =
            instances.iter().map(|(r, _)| r).filter(|r| instances.is_live(*r)).collect();
        if live.is_empty() {
            return;
        }
        let names: Vec<String> = live.iter().take(NAMED_MAX).map(|r| self.name(*r)).collect();
        let more = live.len() - names.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.talk.block(&format!("still there: {}{more}", names.join(", ")));
    }

    /// `llm[0]@n1 starting 2:13 / 10:00  its last line`, or what its probe saw where it has none.
    fn waiting(&self, job: &Job, instances: &Instances, hosts: &Hosts) {
        let now = Timestamp::now();
        let starting = instances.iter().filter(|(_, i)| {
            matches!(i.mirror.shown(), InstanceState::Starting | InstanceState::Assigned)
        });
        for (rank, instance) in starting.take(NAMED_MAX) {
            let host = &hosts.0.get(self.plan.instance(rank).host.get());
            let lines = host.and_then(|host| host.last_lines.as_ref());
            let line = lines.and_then(|lines| lines.borrow().get(&rank).cloned());
            let last = line.or_else(|| instance.probe.clone());
            let last = last.map(|last| format!("  {last}")).unwrap_or_default();
            let name = self.name(rank);
            // Its deadline counts from its spawn, not from ours.
            let age = instance.started.and_then(|at| now.duration_since(at).try_into().ok());
            let Some(age) = age else {
                self.talk.progress(&format!("{name} is not spawned yet"));
                continue;
            };
            let agent = job.spec.agent(self.plan.instance(rank).agent);
            let deadline = duration(agent.readiness_of(&job.spec.deployment).deadline);
            self.talk.progress(&format!("{name} starting {} / {deadline}{last}", duration(age)));
        }
    }

    pub(super) fn given_up(&self, left: &[Rank], job: &Job) {
        if left.is_empty() {
            return;
        }
        let names: Vec<String> = left.iter().take(NAMED_MAX).map(|r| self.name(*r)).collect();
        let more = left.len() - names.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.talk.error(&format!(
            "nobody said that these ended: {}{more}; their hosts stop them by themselves",
            names.join(", ")
        ));
        tracing::warn!(run = %job.run, count = left.len(), "instances given up");
    }

    pub(super) fn not_told(&self, hosts: &[HostIx]) {
        if hosts.is_empty() {
            return;
        }
        let names: Vec<&str> = hosts.iter().map(|h| self.host(*h)).collect();
        self.talk.error(&format!(
            "could not be told that the job is over: {}; they find out by themselves",
            names.join(", ")
        ));
    }

    pub(super) fn output_missing(&self, host: HostIx) {
        self.talk.error(&format!("the output of {} is not complete here", self.host(host)));
    }
}
