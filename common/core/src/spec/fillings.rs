//! `$(NAME)`s that nobody will know: they stay as written, which is rarely meant.

use std::collections::BTreeMap;

use crate::launch::ReadinessCheck;
use crate::plan::KnownNames;
use crate::source::{Code, Finding, Span};
use crate::spec::agent::Draft;
use crate::spec::environment::Environment;
use crate::spec::table::Findings;
use crate::spec::{AgentIx, AgentSpec, JobSpec, Run};
use crate::topology::Wiring;

/// How many agents are looked at for a variable of the whole job: time stays bounded, and a name
/// that so many know is no typing error.
const LOOKED_AT: usize = 256;

/// Where the texts of an agent stand in which names are filled in.
pub(super) struct Places {
    command: Span,
    readiness: Span,
    environment: BTreeMap<String, Span>,
}

impl Places {
    pub(super) fn of(draft: &Draft) -> Self {
        let environment = &draft.environment;
        let names = draft.spec.environment.keys();
        let place = |name: &String| Some((name.clone(), environment.value_place(name)?));
        Self {
            command: draft.command,
            readiness: draft.readiness,
            environment: names.filter_map(place).collect(),
        }
    }
}

/// One warning for each name, agent and field.
pub(super) fn check(
    spec: &JobSpec,
    wiring: &Wiring,
    places: &[Places],
    job: &Environment,
    f: &mut Findings,
) {
    let known = KnownNames::new(spec, wiring);
    let launched: Vec<AgentIx> =
        spec.indices().filter(|ix| spec.agent(*ix).external().is_none()).collect();
    for (name, text) in spec.environment.iter().filter(|(_, text)| text.contains("$(")) {
        let span = job.value_place(name).unwrap_or_default();
        // An agent's own variable of this name hides the job's.
        let seen = |ix: &AgentIx| !spec.agent(*ix).environment.contains_key(name);
        let unknown: Vec<(AgentIx, Vec<String>)> = launched
            .iter()
            .take(LOOKED_AT)
            .filter(|ix| seen(ix))
            .map(|ix| (*ix, known.unknown(*ix, text)))
            .collect();
        let all = unknown.first().map(|(_, names)| names.clone()).unwrap_or_default();
        if unknown.iter().all(|(_, names)| *names == all) {
            all.iter().for_each(|n| warn(None, &format!("environment.{name}"), n, span, f));
            continue;
        }
        for (ix, names) in unknown {
            let id = spec.agent(ix).id.as_str();
            names.iter().for_each(|n| warn(Some(id), &format!("environment.{name}"), n, span, f));
        }
    }
    for ix in launched {
        let (agent, places) = (spec.agent(ix), &places[ix.get()]);
        let mut look = |field: &str, text: &str, span: Span| {
            for name in known.unknown(ix, text) {
                warn(Some(agent.id.as_str()), field, &name, span, f);
            }
        };
        for (field, text, span) in texts(agent, places) {
            look(&field, text, span);
        }
    }
}

fn texts<'a>(agent: &'a AgentSpec, places: &Places) -> Vec<(String, &'a str, Span)> {
    let mut found = Vec::new();
    match &agent.run {
        Run::Command(argv) => {
            found.extend(argv.iter().map(|t| ("command".to_owned(), t.as_str(), places.command)));
        }
        Run::Module { .. } | Run::External { .. } | Run::Image => {}
    }
    for (name, text) in &agent.environment {
        let span = places.environment.get(name).copied().unwrap_or_default();
        found.push((format!("environment.{name}"), text.as_str(), span));
    }
    let probe: Vec<&String> = match &agent.readiness.check {
        Some(ReadinessCheck::Http { path, .. }) => vec![path],
        Some(ReadinessCheck::Exec { command }) => command.iter().collect(),
        Some(
            ReadinessCheck::Alive
            | ReadinessCheck::Tcp { .. }
            | ReadinessCheck::Card { .. }
            | ReadinessCheck::Auto { .. }
            | ReadinessCheck::Log { .. },
        )
        | None => Vec::new(),
    };
    found.extend(probe.into_iter().map(|t| ("readiness".to_owned(), t.as_str(), places.readiness)));
    found
}

fn warn(agent: Option<&str>, field: &str, name: &str, span: Span, f: &mut Findings) {
    let of = agent.map_or_else(String::new, |id| format!(" of agent `{id}`"));
    let message = format!("`$({name})` in `{field}`{of} is no known name and stays as written");
    let help = match name {
        "PORT" | "AGENT_PORT" | "A2A_PORT" | "A2A_PUBLIC_URL" => {
            "it has no port; give it `config: {port: auto}`".to_owned()
        }
        _ => format!("where that is meant, write `$$({name})`"),
    };
    f.push(Finding::warning(Code::Variable, span, message).about(agent, field).help(help));
}

#[cfg(test)]
#[path = "fillings_tests.rs"]
mod tests;
