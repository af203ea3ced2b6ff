//! `env`: the environment of an instance, as a job file would give it, or as a process has it.

use std::collections::BTreeMap;
use std::path::Path;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::{Rank, RunId};
use a2arun_core::launch::HOST_PATH;
use a2arun_core::plan::reserved::{HOST_VARIABLES, is_secret_name};
use a2arun_core::plan::{BaseEnv, Bindings, LaunchBuilder, LaunchInputs, Origin, ResolvedPlan};
use a2arun_core::source::nearest;
use a2arun_core::spec::SecretSource;
use anyhow::Context as _;
use serde::Serialize;

use crate::cli::{EnvArgs, JobRef, OutputFormat};
use crate::cmd::load::{self, Planned, Request};
use crate::cmd::survey::{self, Survey, survey};
use crate::cmd::{Context, Failure, status};
use crate::output::{Table, print_json, print_line};
use crate::registry::HostReach;

/// Ports that stand for `auto` ones: two, to tell where a value depends on them.
const STAND_INS: [u16; 4] = [65_521, 65_519, 65_497, 65_479];
/// Stand for what a launch makes up.
const RUN: &str = "0run0at0launch0";
const TRACE: &str = "0trace0at0launch0";
/// A secret, for people.
const STARS: &str = "***";

/// The environment of an instance.
#[derive(Debug, Serialize)]
struct EnvJson {
    job: String,
    /// Null: what a job file would give.
    run: Option<String>,
    instance: String,
    host: String,
    variables: Vec<VariableJson>,
}

#[derive(Debug, Serialize)]
struct VariableJson {
    name: String,
    /// Null: a secret. What only a launch knows stands in `<…>`.
    value: Option<String>,
    secret: bool,
    /// Null: nobody knows any more.
    from: Option<String>,
}

/// What an instance of a job file would get.
pub(super) fn of_file(
    path: &Path,
    agent: Option<&JobRef>,
    args: &EnvArgs,
    context: &Context,
) -> anyhow::Result<u8> {
    print(&planned(path, agent, args, context)?, args)
}

/// What an instance of a run has, where it runs on this machine.
///
/// # Cancel safety
/// Nothing is changed.
pub(super) async fn of_run(job: &JobRef, args: &EnvArgs, context: &Context) -> anyhow::Result<u8> {
    print(&running(job, context).await?, args)
}

fn print(json: &EnvJson, args: &EnvArgs) -> anyhow::Result<u8> {
    match args.output.output {
        OutputFormat::Json => print_json(json)?,
        OutputFormat::Jsonl => print_line(&serde_json::to_string(json)?)?,
        OutputFormat::Quiet => {}
        OutputFormat::Human => print_line(&text(json, args.verbose))?,
    }
    Ok(LauncherCode::Ok.code())
}

fn text(json: &EnvJson, verbose: bool) -> String {
    // A value may have several lines: each variable keeps to its own.
    let value = |v: &VariableJson| match &v.value {
        None => STARS.to_owned(),
        Some(value) => value.replace('\n', r"\n"),
    };
    if !verbose {
        let lines = json.variables.iter().map(|v| format!("{}={}\n", v.name, value(v)));
        return lines.collect();
    }
    let mut table = Table::new(&["NAME", "FROM", "VALUE"]);
    for variable in &json.variables {
        let from = variable.from.clone().unwrap_or_else(|| "-".to_owned());
        table.row([variable.name.clone(), from, value(variable)]);
    }
    table.render()
}

fn planned(
    path: &Path,
    agent: Option<&JobRef>,
    args: &EnvArgs,
    context: &Context,
) -> anyhow::Result<EnvJson> {
    let request = Request {
        job: Some(path),
        program: &[],
        shape: &args.shape,
        hosts: &args.hosts,
        variables: &args.variables,
        until: None,
        stdin: None,
        strict: false,
        output: args.output,
    };
    let mut planned = load::planned(&request, context)?;
    let survey = survey(&mut planned, &request, context)?;
    planned.file.say_warnings();
    let rank = rank_of(&planned, agent)?;
    let plan = &planned.plan;
    let host = plan.host(plan.instance(rank).host);
    Ok(EnvJson {
        job: plan.job.to_string(),
        run: None,
        instance: plan.name(rank).to_string(),
        host: host.name().to_string(),
        variables: variables(&planned, &survey, rank, context)?,
    })
}

/// Which instance is meant; the only agent need not be named.
fn rank_of(planned: &Planned, wanted: Option<&JobRef>) -> anyhow::Result<Rank> {
    let plan = &planned.plan;
    let known: Vec<&str> = plan.agents.iter().map(|a| a.id.as_str()).collect();
    let refuse = |message: String| Failure::new(LauncherCode::Usage, message);
    let agent = match wanted.and_then(|w| w.agent.as_deref()) {
        Some(id) => plan.agents.iter().find(|a| a.id.as_str() == id).ok_or(id),
        None => match plan.agents.as_slice() {
            [only] => Ok(only),
            _ => {
                let failure = refuse("an agent has to be named: JOB/AGENT[I]".to_owned());
                return Err(failure.hint(format!("its agents: {}", known.join(", "))).into());
            }
        },
    };
    let agent = match agent {
        Ok(agent) => agent,
        Err(id) => {
            let rank = id.parse().ok().map(Rank).and_then(|rank| plan.get(rank));
            if let Some(instance) = rank {
                return Ok(instance.rank);
            }
            let failure = refuse(format!("`{id}` is no agent of this job"));
            return Err(match nearest(id, known.iter().copied()) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint(format!("its agents: {}", known.join(", "))),
            }
            .into());
        }
    };
    if let Some(url) = &agent.external {
        let message = format!("`{}` is external ({url}): it is not launched", agent.id);
        return Err(refuse(message).into());
    }
    let index = wanted.and_then(|w| w.index).unwrap_or(0);
    if index >= agent.count {
        let (id, count) = (&agent.id, agent.count);
        let message = format!("there is no `{id}[{index}]`: `{id}` has {count} of them, from 0");
        return Err(refuse(message).into());
    }
    Ok(Rank(agent.first.0 + index))
}

fn variables(
    planned: &Planned,
    survey: &Survey,
    rank: Rank,
    context: &Context,
) -> anyhow::Result<Vec<VariableJson>> {
    let plan = &planned.plan;
    let instance = plan.instance(rank);
    let site = &survey.sites[instance.agent.get()].site;
    let run: RunId = RUN.parse().context("cannot name the run")?;
    let here = survey::here(planned, context)[instance.host.get()];
    let base = survey.base.1.base(here, &survey.base.0);
    // Two launches that differ in their ports alone.
    let filled =
        |port: u16| -> anyhow::Result<(BTreeMap<String, String>, BTreeMap<String, Origin>)> {
            let resolved = ResolvedPlan::new(plan.clone(), Bindings::assumed(plan, port))
                .context("cannot fill in what the hosts would give")?;
            let inputs = LaunchInputs {
                spec: &planned.file.spec,
                resolved: &resolved,
                run: &run,
                trace_id: Some(TRACE),
                exports: &survey.exports,
                stdin: None,
                facts: &survey.facts,
            };
            let (builder, _) = LaunchBuilder::new(inputs)?;
            let launch = builder.host(instance.host, &[rank], base, &|_| site.clone());
            let mut env = BTreeMap::new();
            for template in launch.templates {
                env.extend(template.env);
            }
            for instance in launch.instances {
                env.extend(instance.env);
            }
            let venv = site.venv.is_some();
            let origins =
                env.keys().map(|name| (name.clone(), builder.origin(rank, name, venv))).collect();
            Ok((env, origins))
        };
    let (other, origins) = filled(STAND_INS[0])?;
    let unused = |port: &&u16| {
        let digits = port.to_string();
        !other.values().any(|value| value.contains(&digits))
    };
    let port = *STAND_INS[1..].iter().find(unused).unwrap_or(&STAND_INS[1]);
    let (env, _) = filled(port)?;
    let host = plan.host(instance.host).name();
    let mut all: Vec<VariableJson> = env
        .into_iter()
        .map(|(name, value)| {
            let depends = other.get(&name) != Some(&value);
            let value = if depends { value.replace(&port.to_string(), "<auto>") } else { value };
            let value = value
                .replace(RUN, "<run>")
                .replace(TRACE, "<trace>")
                .replace(&TRACE[..16], "<span>");
            let value = match name.as_str() {
                "PATH" => value.replace(HOST_PATH, &format!("<of {host}>")),
                _ => value,
            };
            let origin = origins.get(&name);
            let secret = !value.is_empty() && is_secret(&name, origin);
            let value = (!secret).then(|| planned.file.masked(&value));
            let from = origin.map(|origin| from(origin, here, planned, rank));
            VariableJson { name, value, secret, from }
        })
        .collect();
    all.extend(set_by_host(&all, base, planned, rank));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// What only the host itself can say.
fn set_by_host(
    known: &[VariableJson],
    base: BaseEnv<'_>,
    planned: &Planned,
    rank: Rank,
) -> Vec<VariableJson> {
    let plan = &planned.plan;
    let host = plan.host(plan.instance(rank).host).name().to_string();
    let variable = |name: &str, value: String, from: &str| VariableJson {
        name: name.to_owned(),
        value: Some(value),
        secret: false,
        from: Some(from.to_owned()),
    };
    let mut set = vec![
        variable("A2ARUN_INCARNATION", "<spawn>".to_owned(), "a2arun"),
        variable("A2ARUN_RUN_DIR", format!("<folder on {host}>"), "a2arun"),
    ];
    if !planned.file.is_program() {
        set.push(variable("A2ARUN_PEERS_FILE", format!("<file on {host}>"), "a2arun"));
    }
    match base {
        BaseEnv::Head(_) => {}
        BaseEnv::Host | BaseEnv::HostAnd(_) => {
            let absent = |name: &&str| known.iter().all(|v| v.name != **name);
            let own = HOST_VARIABLES.iter().filter(|n| !n.to_lowercase().ends_with("proxy"));
            let own = own.copied().filter(absent);
            set.extend(own.map(|name| variable(name, format!("<of {host}>"), &host)));
        }
    }
    set
}

fn is_secret(name: &str, origin: Option<&Origin>) -> bool {
    let by_origin = match origin {
        Some(Origin::Secret(_) | Origin::File(_)) => true,
        Some(
            Origin::Ours
            | Origin::Venv
            | Origin::Config(_)
            | Origin::Export
            | Origin::Agent
            | Origin::Job
            | Origin::Base,
        )
        | None => false,
    };
    by_origin || is_secret_name(name)
}

fn from(origin: &Origin, here: bool, planned: &Planned, rank: Rank) -> String {
    match origin {
        Origin::Ours => "a2arun".to_owned(),
        Origin::Venv => "venv".to_owned(),
        Origin::Config(key) => format!("config.{key}"),
        Origin::Export => "-x".to_owned(),
        Origin::Agent => {
            let agent = planned.plan.instance(rank).agent;
            format!("environment of {}", planned.file.spec.agent(agent).id)
        }
        Origin::Job => "environment of the job".to_owned(),
        Origin::Secret(SecretSource::Env(name)) => format!("secret, ${name}"),
        Origin::Secret(SecretSource::File(file)) => format!("secret, {file}"),
        Origin::Secret(SecretSource::Cmd(argv)) => {
            format!("secret, {}", argv.first().map_or("", String::as_str))
        }
        Origin::File(file) => file.clone(),
        Origin::Base if here => "this shell".to_owned(),
        Origin::Base => "this shell, by --export".to_owned(),
    }
}

/// The environment that a process was given, where it runs on this machine.
async fn running(wanted: &JobRef, context: &Context) -> anyhow::Result<EnvJson> {
    let entry = status::entry(&wanted.job, context)?;
    let run = &entry.run;
    let refuse = |message: String| Failure::new(LauncherCode::Usage, message);
    let Some(agent) = &wanted.agent else {
        let known: Vec<&str> = run.agents.iter().map(|a| a.id.as_str()).collect();
        return Err(refuse("an agent has to be named: JOB/AGENT[I]".to_owned())
            .hint(format!("its agents: {}", known.join(", ")))
            .into());
    };
    let (status, _) = status::current(&entry, context).await?;
    let index = wanted.index.unwrap_or(0);
    let instance = status
        .instances
        .iter()
        .find(|i| i.name == format!("{agent}[{index}]"))
        .or_else(|| status.instances.iter().find(|i| i.rank.to_string() == *agent))
        .ok_or_else(|| super::logs::no_such_agent(wanted, run))?;
    let name = &instance.name;
    let Some(pid) = instance.pid else {
        let state = instance.state.as_str();
        return Err(refuse(format!("{name} has no process: it is {state}")).into());
    };
    let at = run.placed.get(instance.rank as usize).copied().unwrap_or(0);
    match run.hosts.get(at as usize) {
        Some(HostReach::Local { .. }) => {}
        Some(HostReach::Installed { .. }) | None => {
            let host = &instance.host;
            let message = format!("{name} runs on {host}: its environment can only be read there");
            return Err(refuse(message)
                .hint(format!("on {host}: tr '\\0' '\\n' </proc/{pid}/environ"))
                .hint("a2arun env JOB.yaml/AGENT shows what it was to get")
                .into());
        }
    }
    let path = format!("/proc/{pid}/environ");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {path}"))?;
    let mut variables = Vec::new();
    for pair in bytes.split(|b| *b == 0).filter(|pair| !pair.is_empty()) {
        let pair = String::from_utf8_lossy(pair);
        let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
        let secret = !value.is_empty()
            && (is_secret_name(name) || run.secret_names.iter().any(|known| known == name));
        variables.push(VariableJson {
            name: name.to_owned(),
            value: (!secret).then(|| value.to_owned()),
            secret,
            from: None,
        });
    }
    // A pid is used again: what it says of itself must be what was asked for.
    let ours = |name: &str, value: &str| {
        variables.iter().any(|v| v.name == name && v.value.as_deref() == Some(value))
    };
    if !ours("JOB_ID", run.run.as_str()) || !ours("A2ARUN_RANK", &instance.rank.to_string()) {
        return Err(refuse(format!("{name} has ended: process {pid} is another one now")).into());
    }
    variables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(EnvJson {
        job: run.job.to_string(),
        run: Some(run.run.to_string()),
        instance: name.clone(),
        host: instance.host.clone(),
        variables,
    })
}
