//! `graph`: a job's topology as text, Mermaid, DOT or JSON.

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::plan::Hosts;
use a2arun_core::topology::Graph;

use crate::cli::{GraphArgs, GraphFormat, OutputFormat, ShapeArgs, VariableArgs};
use crate::cmd::load::{self, Request};
use crate::cmd::{Context, Failure};
use crate::output::{print_json, print_line};

pub(super) fn graph(args: &GraphArgs, context: &Context) -> anyhow::Result<u8> {
    let request = Request {
        job: Some(&args.job),
        program: &[],
        shape: &args.shape,
        hosts: &args.hosts,
        variables: &VariableArgs::default(),
        until: None,
        stdin: None,
        strict: args.strict,
        output: args.output,
    };
    // Without a size and without hosts a job is drawn as it is written: `×auto` says more than a
    // number that nobody asked for.
    let hosts = load::hosts(&args.hosts, context, args.output)?;
    let (job, counts) = match (hosts, sized(&args.shape)) {
        (Hosts::Local(_), false) => (load::job(&request, context)?, None),
        (Hosts::Local(_) | Hosts::List(_), _) => {
            let planned = load::planned(&request, context)?;
            let counts: Vec<u32> = planned.plan.agents.iter().map(|a| a.count).collect();
            (planned.file, Some(counts))
        }
    };
    job.check_strict(args.strict)?;
    let graph = Graph::of(&job.spec, counts.as_deref())
        .map_err(|circle| Failure::new(LauncherCode::InvalidJob, circle.to_string()))?;
    job.say_warnings();
    match args.output.output {
        OutputFormat::Human => print_line(&match args.format.unwrap_or_default() {
            GraphFormat::Text => graph.text(),
            GraphFormat::Mermaid => graph.mermaid(),
            GraphFormat::Dot => graph.dot(),
        })?,
        OutputFormat::Json => print_json(&graph.json())?,
        OutputFormat::Jsonl => print_line(&graph.json().to_string())?,
        OutputFormat::Quiet => {}
    }
    Ok(LauncherCode::Ok.code())
}

fn sized(shape: &ShapeArgs) -> bool {
    shape.np.is_some() || !shape.scale.is_empty()
}
