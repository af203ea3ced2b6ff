//! From what a person names to an agent that can be asked.

use a2arun_core::card::{Scheme, WebUrl};
use a2arun_core::exit_code::LauncherCode;
use a2arun_core::mask::Mask;
use a2arun_core::status::{InstanceState, InstanceStatusJson, StatusJson};
use anyhow::Context as _;

use crate::a2a::{AskError, Asked};
use crate::cli::JobRef;
use crate::cmd::status::{entry, from_hosts};
use crate::cmd::{Context, Failure, secrets};
use crate::registry::{Entry, Life};
use crate::session::ask_status;
use crate::target::chain;

/// `http://…`, `RUN`, `RUN/AGENT[I]`; `agent` is `--agent AGENT[I]`. With what is known of the
/// secrets of its run, which it may repeat.
pub(super) async fn asked(
    target: &str,
    agent: Option<&str>,
    context: &Context,
) -> anyhow::Result<(Asked, Mask)> {
    let usage = |message: String| Failure::new(LauncherCode::Usage, message);
    if target.contains("://") {
        if agent.is_some() {
            return Err(usage("--agent names an agent of a run, not of a URL".to_owned()).into());
        }
        let url: WebUrl = target.parse().map_err(|error| usage(format!("{error}")))?;
        let asked = Asked { who: url.to_string(), url, names: Vec::new(), instance: false };
        return Ok((asked, Mask::default()));
    }
    let mut job: JobRef = target.parse().map_err(|error| usage(format!("{error}")))?;
    if let Some(agent) = agent {
        if job.agent.is_some() {
            return Err(usage("both RUN/AGENT and --agent name an agent".to_owned()).into());
        }
        let named: JobRef = format!("{}/{agent}", job.job)
            .parse()
            .map_err(|_| usage(format!("`{agent}` is not of the form AGENT[I]")))?;
        job = named;
    }
    let entry = entry(&job.job, context)?;
    let asked = named_agent(&job, &entry, context).await?;
    Ok((asked, secrets::known(&entry.run, context).0))
}

async fn named_agent(job: &JobRef, entry: &Entry, context: &Context) -> anyhow::Result<Asked> {
    let run = &entry.run;
    let mut job = job.clone();
    if job.agent.is_none() {
        let only = || (run.agents.len() == 1).then(|| run.agents[0].id.clone());
        let id = run.entry.clone().or_else(only).ok_or_else(|| whom(entry))?;
        job.agent = Some(id.to_string());
    }
    let external = run.agents.iter().find(|a| Some(a.id.as_str()) == job.agent.as_deref());
    if let Some((id, url)) = external.and_then(|a| Some((&a.id, a.external.as_ref()?))) {
        let url: WebUrl = url.parse().with_context(|| format!("{id} cannot be asked"))?;
        return Ok(Asked { who: id.to_string(), url, names: Vec::new(), instance: false });
    }
    let status = status(entry, context).await?;
    let wanted = job.agent.as_deref().unwrap_or_default();
    let copy = |i: &&InstanceStatusJson| {
        job.index.is_none_or(|n| i.name == format!("{wanted}[{n}]"))
            && (i.agent == wanted || (job.index.is_none() && i.rank.to_string() == wanted))
    };
    // Of several copies any will do that is ready.
    let found = status.instances.iter().filter(copy);
    let best = found.min_by_key(|i| (i.state != InstanceState::Ready, i.rank));
    let Some(instance) = best else {
        return Err(super::logs::no_such_agent(&job, run));
    };
    instance_asked(instance, entry)
}

fn whom(entry: &Entry) -> Failure {
    let agents: Vec<&str> = entry.run.agents.iter().map(|a| a.id.as_str()).collect();
    let message = "the run has no entry point: say which agent is meant";
    Failure::new(LauncherCode::Usage, message)
        .hint(format!("--agent {}", agents.join(", --agent ")))
}

async fn status(entry: &Entry, context: &Context) -> anyhow::Result<StatusJson> {
    match &entry.life {
        Life::Alive => ask_status(&entry.run.socket)
            .await
            .with_context(|| format!("cannot ask the head of {}", entry.run.run)),
        Life::HeadGone => Ok(from_hosts(entry, None, context).await?.0),
        Life::Ended(_) => {
            let message = format!("run {} is over", entry.run.run);
            let failure = Failure::new(LauncherCode::HostUnreachable, message);
            Err(failure.hint("a2arun list shows what runs").into())
        }
    }
}

fn instance_asked(instance: &InstanceStatusJson, entry: &Entry) -> anyhow::Result<Asked> {
    let run = &entry.run.run;
    let gone = |message: String| Failure::new(LauncherCode::HostUnreachable, message);
    let name = &instance.name;
    if matches!(
        instance.state,
        InstanceState::Pending | InstanceState::Assigned | InstanceState::Exited
    ) {
        let failure = gone(format!("{name} of {run} is {}", instance.state.as_str()));
        return Err(failure.hint(format!("a2arun logs {run}/{name}")).into());
    }
    let Some(url) = &instance.url else {
        let (message, hint) = match entry.life {
            Life::HeadGone => (
                format!("the head of {run} is gone, and only it knew the URL of {name}"),
                "a2arun query http://HOST:PORT asks an agent anywhere".to_owned(),
            ),
            Life::Alive | Life::Ended(_) => (
                format!("{name} of {run} has no URL"),
                "an agent with `config: {port: auto}` has one".to_owned(),
            ),
        };
        return Err(gone(message).hint(hint).into());
    };
    let url: WebUrl = url.parse().with_context(|| format!("{name} cannot be asked"))?;
    // On one machine agents bind to loopback, where its name leads nowhere.
    let names = if url.host.is_loopback() { Vec::new() } else { vec![instance.host.clone()] };
    debug_assert_eq!(url.scheme, Scheme::Http, "jobs give plain URLs");
    Ok(Asked { who: name.clone(), url, names, instance: true })
}

/// As an error of the command line.
pub(super) fn failure(error: &AskError) -> anyhow::Error {
    let failure = Failure::new(error.exit_code(), chain(error));
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
    .into()
}
