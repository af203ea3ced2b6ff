//! `validate`: every finding of every job file, with its place, and with `-v` what was understood.

use std::path::Path;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::source::{Code, Finding, Severity, nearest};
use a2arun_core::spec::JobSpec;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::{HostArgs, OutputFormat, ShapeArgs, ValidateArgs};
use crate::cmd::found::{Found, Refused};
use crate::cmd::load::{self, JobFile, Planned, Request};
use crate::cmd::plan::counted;
use crate::cmd::survey::{self, Survey};
use crate::cmd::understood::{Lines, understood};
use crate::cmd::{Context, Failure, report};
use crate::output::{Table, print_json, print_line, say};

/// One job file, for scripts.
#[derive(Debug, Serialize)]
struct FileJson {
    file: String,
    /// Null where it could not be read as a job.
    job: Option<String>,
    good: bool,
    findings: Vec<FindingJson>,
    /// With `-v`, by label.
    agents: Option<Vec<Map<String, Value>>>,
}

#[derive(Debug, Serialize)]
struct FindingJson {
    severity: Severity,
    code: Code,
    file: String,
    /// From 1, in characters; null: the file as a whole.
    line: Option<usize>,
    column: Option<usize>,
    agent: Option<String>,
    field: Option<String>,
    message: String,
    help: Option<String>,
}

/// What is known of a file.
struct Checked {
    shown: String,
    found: Vec<Found>,
    /// What it says, where it could be read.
    job: Option<(JobSpec, Vec<Lines>)>,
}

impl Checked {
    fn findings(&self) -> impl Iterator<Item = (&Found, &Finding)> {
        self.found.iter().flat_map(|found| found.findings.iter().map(move |f| (found, f)))
    }

    fn is_good(&self) -> bool {
        self.job.is_some() && !self.findings().any(|(_, f)| f.is_error())
    }
}

pub(super) fn validate(args: &ValidateArgs, context: &Context) -> anyhow::Result<u8> {
    if let Some(code) = &args.explain {
        explain(code.as_deref(), args)?;
        return Ok(LauncherCode::Ok.code());
    }
    let mut all = Vec::with_capacity(args.jobs.len());
    for path in &args.jobs {
        let mut checked = check(path, args, context);
        if args.strict {
            let found = checked.found.iter_mut().flat_map(|found| &mut found.findings);
            found.for_each(|finding| finding.severity = Severity::Error);
        }
        match args.output.output {
            OutputFormat::Human => tell(&checked, args, context)?,
            OutputFormat::Jsonl => print_line(&serde_json::to_string(&json(&checked, args))?)?,
            OutputFormat::Json => {}
            OutputFormat::Quiet => say_findings(&checked, args, context),
        }
        all.push(checked);
    }
    if args.output.output == OutputFormat::Json {
        print_json(&all.iter().map(|checked| json(checked, args)).collect::<Vec<_>>())?;
    }
    let good = all.iter().all(Checked::is_good);
    Ok(if good { LauncherCode::Ok.code() } else { LauncherCode::InvalidJob.code() })
}

fn check(path: &Path, args: &ValidateArgs, context: &Context) -> Checked {
    let (shape, hosts) = (ShapeArgs::default(), HostArgs::default());
    let request = Request {
        job: Some(path),
        program: &[],
        shape: &shape,
        hosts: &hosts,
        variables: &args.variables,
        until: None,
        stdin: None,
        strict: false,
        output: args.output,
    };
    let shown = path.display().to_string();
    match load::job(&request, context).and_then(|file| looked(file, &request, context)) {
        Ok((file, survey)) => {
            let spec = &file.spec;
            let mut agents: Vec<Lines> =
                spec.indices().map(|ix| understood(spec, ix, &survey)).collect();
            let lines = agents.iter_mut().flatten();
            lines.for_each(|(_, line)| *line = file.masked(line));
            Checked { shown, found: vec![file.found()], job: Some((file.spec, agents)) }
        }
        Err(error) => Checked { found: refused(&shown, &error), shown, job: None },
    }
}

/// Looks at what lies beside the file, and at its launch where it can be planned without hosts.
fn looked(
    file: JobFile,
    request: &Request<'_>,
    context: &Context,
) -> anyhow::Result<(JobFile, Survey)> {
    let mut file = file;
    match load::plan_of(&file.spec, request, context) {
        Ok((hosts, plan)) => {
            let mut planned = Planned { file, hosts, plan, stdin: None };
            let survey = survey::survey(&mut planned, request, context)?;
            Ok((planned.file, survey))
        }
        // It may fit the hosts that it is written for.
        Err(_) => {
            let survey = survey::beside(&mut file, survey::Here::Some, request.variables, context)?;
            Ok((file, survey))
        }
    }
}

fn refused(shown: &str, error: &anyhow::Error) -> Vec<Found> {
    if let Some(refused) = error.downcast_ref::<Refused>() {
        return refused.found.clone();
    }
    let (text, _) = report(error);
    let message = text.strip_prefix("error: ").unwrap_or(&text).to_owned();
    let findings = vec![Finding::whole(Code::Input, message)];
    vec![Found { shown: shown.to_owned(), text: String::new(), findings }]
}

fn say_findings(checked: &Checked, args: &ValidateArgs, context: &Context) {
    for found in checked.found.iter().filter(|found| !found.findings.is_empty()) {
        // A blank line between the files, as between findings.
        say(&format!("{}\n", found.rendered(load::style(context, args.output))));
    }
}

fn tell(checked: &Checked, args: &ValidateArgs, context: &Context) -> anyhow::Result<()> {
    say_findings(checked, args, context);
    let shown = &checked.shown;
    let warnings = checked.findings().filter(|(_, f)| !f.is_error()).count();
    let errors = checked.findings().filter(|(_, f)| f.is_error()).count();
    let verdict = match (errors, warnings) {
        (0, 0) => "good".to_owned(),
        (0, _) => format!("good, {}", counted(warnings, "warning")),
        (_, 0) => counted(errors, "error"),
        (_, _) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    };
    let Some((spec, agents)) = &checked.job else {
        return Ok(print_line(&format!("{shown}: {verdict}"))?);
    };
    let kind = match spec.topology.kind() {
        "none" => String::new(),
        kind => format!(", {kind}"),
    };
    let count = counted(spec.agents.len(), "agent");
    let mut text = format!("{shown}: {} with {count}{kind}: {verdict}\n", spec.name);
    if args.verbose {
        for (agent, lines) in spec.agents.iter().zip(agents) {
            text.push_str(&format!("\n  {}\n", agent.id));
            for (label, line) in lines {
                text.push_str(&format!("    {label:14}{line}\n"));
            }
        }
    }
    Ok(print_line(&text)?)
}

fn json(checked: &Checked, args: &ValidateArgs) -> FileJson {
    let finding = |(found, finding): (&Found, &Finding)| {
        let place = finding.line_column(&found.text);
        FindingJson {
            severity: finding.severity,
            code: finding.code,
            file: found.shown.clone(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            agent: finding.agent.clone(),
            field: finding.field.clone(),
            message: finding.message.clone(),
            help: finding.help.clone(),
        }
    };
    let agents = checked.job.as_ref().filter(|_| args.verbose).map(|(spec, agents)| {
        let agent = |(id, lines): (String, &Lines)| {
            let id = ("id".to_owned(), Value::from(id));
            let lines = lines
                .iter()
                .map(|(label, text)| (label.replace(' ', "_"), Value::from(text.as_str())));
            std::iter::once(id).chain(lines).collect()
        };
        spec.agents.iter().map(|a| a.id.to_string()).zip(agents).map(agent).collect()
    });
    FileJson {
        file: checked.shown.clone(),
        job: checked.job.as_ref().map(|(spec, _)| spec.name.to_string()),
        good: checked.is_good(),
        findings: checked.findings().map(finding).collect(),
        agents,
    }
}

#[derive(Debug, Serialize)]
struct CodeJson {
    code: Code,
    means: &'static str,
}

fn explain(code: Option<&str>, args: &ValidateArgs) -> anyhow::Result<()> {
    let known = || Code::ALL.into_iter();
    let codes: Vec<Code> = match code {
        None => known().collect(),
        Some(word) => {
            let bare = word.trim_start_matches("error").trim_start_matches("warning");
            let bare = bare.trim_matches(['[', ']']);
            let Some(code) = known().find(|code| code.as_str() == bare) else {
                let failure =
                    Failure::new(LauncherCode::Usage, format!("`{word}` is no code of a finding"));
                return Err(match nearest(bare, known().map(Code::as_str)) {
                    Some(near) => failure.hint(format!("did you mean `{near}`?")),
                    None => failure.hint("a2arun validate --explain lists them"),
                }
                .into());
            };
            vec![code]
        }
    };
    let json: Vec<CodeJson> =
        codes.iter().map(|code| CodeJson { code: *code, means: code.explain() }).collect();
    match args.output.output {
        OutputFormat::Human => {
            let mut table = Table::new(&["CODE", "MEANS"]);
            codes.iter().for_each(|c| table.row([c.to_string(), c.explain().to_owned()]));
            print_line(&table.render())?;
        }
        OutputFormat::Json => print_json(&json)?,
        OutputFormat::Jsonl => {
            for code in &json {
                print_line(&serde_json::to_string(code)?)?;
            }
        }
        OutputFormat::Quiet => {}
    }
    Ok(())
}
