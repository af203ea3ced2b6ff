//! The job's own question, `--query` or `execution.input`: asked once everybody is ready; its
//! answer is what the job was for.

use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::Rank;
use a2arun_core::machine::job::{Event, Phase, Rules, StopBy};
use a2arun_core::mask::MaskStream;
use a2arun_core::plan::HostIx;
use a2arun_core::spec::AgentIx;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::a2a::{Answer, AskOptions, Asked, Client, Step, ask};
use crate::head::actor::{Head, Told};
use crate::head::job::Job;
use crate::output::{Sinks, Talk};
use crate::registry::JournalEntry as Entry;
use crate::target::chain;

/// How long an agent that broke off may take to end: then its end is the cause.
const END_FOLLOWS: Duration = Duration::from_secs(1);

/// A question that failed because nobody is there any more.
#[derive(Debug)]
pub(super) struct BrokenOff {
    at: Instant,
    code: LauncherCode,
    text: String,
}

impl BrokenOff {
    pub(super) fn wake_at(&self) -> Instant {
        self.at
    }
}

/// How it went.
pub(super) type Asking = JoinSet<Result<Answer, (LauncherCode, String)>>;

impl Head {
    /// The rules of the job: where there is a question, its answer is what the job was for, and
    /// tasks that are done before do not end it.
    pub(super) fn rules(&self) -> Rules {
        let rules = self.instances.tally().rules(self.job.on_failure);
        match self.job.question.is_some() && rules.ends_with == 0 {
            true => Rules { tasks: 0, ..rules },
            false => rules,
        }
    }

    /// Whether an event has to wait: an agent may end with its answer on the way. What became of
    /// the question ends the job then.
    pub(super) fn waits_for_answer(&self, event: &Event) -> bool {
        let open = !self.asking.is_empty() || self.broken_off.is_some();
        matches!(event, Event::AllAgentsTerminal { .. }) && open && self.is_up()
    }

    fn is_up(&self) -> bool {
        match self.state.phase {
            Phase::Running | Phase::Degraded => true,
            Phase::New
            | Phase::Allocated
            | Phase::Mapped
            | Phase::Connecting
            | Phase::Launching { .. }
            | Phase::Cleanup { .. }
            | Phase::Inactive { .. } => false,
        }
    }

    pub(super) fn ask_question(&mut self) {
        let Some(question) = self.job.question.clone() else { return };
        let Some(asked) = self.asked() else {
            let text = "nobody in this job can be asked: it has no entry point with a URL";
            self.answered(Err((LauncherCode::InvalidJob, text.to_owned())));
            return;
        };
        self.io.journal.write(Entry::job("asked").text(&asked.who));
        let client = Client::new(Vec::new(), self.job.ssl_cert_file.clone());
        let (sinks, talk) = (self.io.sinks.clone(), self.io.talk.clone());
        let prints = self.job.prints_answer;
        let mask = self.job.mask.stream();
        self.asking.spawn(async move {
            let mut shower =
                Shower { sinks: prints.then_some(sinks), talk, mask, line: Vec::new() };
            let options = AskOptions::default();
            let answer =
                ask(&client, &asked, &question, &options, &mut |step| shower.step(step)).await;
            shower.finish().await;
            answer.map_err(|error| (error.exit_code(), chain(&error)))
        });
    }

    /// Whom the job is asked through: its entry point, the first copy.
    fn asked(&self) -> Option<Asked> {
        let agent = self.job.entry_point()?;
        let planned = self.job.plan.agent(agent);
        if let Some(url) = &planned.external {
            let url = url.parse().ok()?;
            return Some(Asked {
                who: planned.id.to_string(),
                url,
                names: Vec::new(),
                instance: false,
            });
        }
        let rank = planned.first;
        let url = self.resolved.as_ref()?.url(rank)?.parse().ok()?;
        let host = self.job.plan.host(self.job.plan.instance(rank).host).name().to_string();
        let names = if self.job.plan.loopback { Vec::new() } else { vec![host] };
        Some(Asked { who: self.job.plan.name(rank).to_string(), url, names, instance: true })
    }

    pub(super) fn answered(&mut self, answer: Result<Answer, (LauncherCode, String)>) {
        if !self.is_up() {
            // The job is being taken down for another reason, and so was whoever was asked.
            return;
        }
        match answer {
            Ok(mut answer) => {
                answer.text = self.job.mask.text(&answer.text);
                self.io.journal.write(Entry::job("answered").text(&answer.text));
                if answer.exit_code() != LauncherCode::Ok {
                    let state = answer.state.map_or("", |state| state.as_str());
                    let text = format!("the task of the question is {state}");
                    self.question_failed(answer.exit_code(), text);
                    return;
                }
                self.answer = Some(self.job.mask.text(&answer.text));
                self.feed(Event::StopRequested(StopBy::Done));
            }
            Err((code @ LauncherCode::HostUnreachable, text)) => {
                let at = Instant::now() + END_FOLLOWS;
                self.broken_off = Some(BrokenOff { at, code, text });
            }
            Err((code, text)) => self.question_failed(code, text),
        }
    }

    /// Nobody ended meanwhile, or in a way that explains it.
    pub(super) fn when_broken_off(&mut self) {
        let due = |broken: &mut BrokenOff| Instant::now() >= broken.at;
        if let Some(BrokenOff { code, text, .. }) = self.broken_off.take_if(due)
            && self.is_up()
        {
            self.question_failed(code, text);
        }
    }

    fn question_failed(&mut self, code: LauncherCode, text: String) {
        let host = self.entry_rank().map_or(HostIx(0), |r| self.job.plan.instance(r).host);
        self.note_failure(host, text, Told::NotYet);
        self.feed(Event::AskFailed { host, code });
    }

    fn entry_rank(&self) -> Option<Rank> {
        let planned = self.job.plan.agent(self.job.entry_point()?);
        (planned.count > 0).then_some(planned.first)
    }
}

impl Job {
    /// The agent that is asked where a person asks the job.
    pub(crate) fn entry_point(&self) -> Option<AgentIx> {
        let serves = |ix: AgentIx| {
            let agent = self.spec.agent(ix);
            agent.has_port() || agent.external().is_some()
        };
        a2arun_core::topology::entry_point(&self.spec, serves)
    }
}

/// Prints the answer as it comes, in whole lines: others write to the same terminal.
struct Shower {
    sinks: Option<Sinks>,
    talk: Talk,
    /// `None`: there is nothing to mask.
    mask: Option<MaskStream>,
    line: Vec<u8>,
}

impl Shower {
    fn step(&mut self, step: Step) {
        match step {
            Step::Warning(text) => self.talk.warning(&text),
            Step::Asking { dialect, url } => {
                self.talk.progress(&format!("asking {url} ({dialect})"));
            }
            Step::Note(text) => self.talk.progress(&text),
            Step::Answer(text) => match &mut self.mask {
                Some(mask) => mask.push(text.as_bytes(), &mut self.line),
                None => self.line.extend_from_slice(text.as_bytes()),
            },
            Step::Raw(_) => {}
        }
        let end = self.line.iter().rposition(|b| *b == b'\n');
        if let (Some(end), Some(sinks)) = (end, &self.sinks) {
            // Where there is no room the rest comes at the end, where it is waited for.
            if let Ok(permit) = sinks.stdout.try_reserve() {
                permit.send(self.line.drain(..=end).collect());
            }
        }
    }

    async fn finish(mut self) {
        if let Some(mask) = &mut self.mask {
            mask.finish(&mut self.line);
        }
        if self.line.is_empty() {
            return;
        }
        if self.line.last() != Some(&b'\n') {
            self.line.push(b'\n');
        }
        if let Some(sinks) = &self.sinks {
            // A reader that is gone does not want it.
            let _ = sinks.stdout.send(self.line).await;
        }
    }
}
