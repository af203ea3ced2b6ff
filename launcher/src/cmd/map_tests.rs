//! The same map whatever is asked: `plan`, `run --dry-run` and what a run would launch, over random
//! jobs, hosts and options, up to the environment in which an instance reads where it is.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use a2arun_core::plan::{Bindings, LaunchBuilder, LaunchInputs, ResolvedPlan, StageIx};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::cli::{Cli, TrustInitArgs, TrustVerb, Verb, parse};
use crate::cmd::load::Request;
use crate::cmd::{Context, plan, prepare, report, trust};
use crate::head::Job;
use crate::target::Target;

const CASES: u32 = 1000;

/// A job, its hosts and what is typed.
#[derive(Debug, Clone)]
struct Case {
    job: String,
    hosts: Option<String>,
    options: Vec<String>,
}

/// Name, host and stage of every rank, and how many there are; or the refusal.
type Map = Result<(usize, BTreeMap<u32, (String, String, u32)>), (String, u8)>;

fn agents() -> impl Strategy<Value = (usize, String)> {
    let replicas = prop_oneof![
        3 => Just(String::new()),
        2 => (1..6_u32).prop_map(|n| format!(", replicas: {n}")),
        2 => Just(", replicas: auto".to_owned()),
    ];
    let port = prop_oneof![
        Just(String::new()),
        Just(", config: {port: auto}".to_owned()),
        // Far enough from the next agent's for every copy on one host.
        Just(", config: {port: @PORT@}".to_owned()),
    ];
    let place = prop_oneof![
        12 => Just(String::new()),
        1 => Just(", placement: {spread: host}".to_owned()),
        1 => Just(", placement: {host: n1}".to_owned()),
        1 => Just(", placement: {host: '@head'}".to_owned()),
        1 => Just(", placement: {labels: [gpu]}".to_owned()),
        1 => Just(", placement: {apart: [a0]}".to_owned()),
        1 => Just(", placement: {with: [a0]}".to_owned()),
        1 => Just(", deployment: {target: remote, host: far}".to_owned()),
        1 => Just(", resources: {gpu: 1}".to_owned()),
    ];
    let waits = prop_oneof![4 => Just(""), 1 => Just(", depends_on: [a0]")];
    let runs = prop_oneof![
        9 => Just("command: [x, $(A2ARUN_NODE)]"),
        2 => Just("module: m"),
        1 => Just("external: 'http://e.example.org'"),
    ];
    prop::collection::vec((replicas, port, place, waits, runs), 1..6).prop_map(|all| {
        let count = all.len();
        let lines = all.into_iter().enumerate().map(|(n, (replicas, port, place, waits, runs))| {
            if runs.starts_with("external") {
                return format!("  - {{id: a{n}, {runs}}}\n");
            }
            let port = port.replace("@PORT@", &format!("{}", 9000 + 1000 * n));
            let waits = if n == 0 { "" } else { waits };
            format!("  - {{id: a{n}, {runs}{replicas}{port}{place}{waits}}}\n")
        });
        (count, format!("agents:\n{}", lines.collect::<String>()))
    })
}

fn jobs() -> impl Strategy<Value = String> {
    let strategy =
        prop_oneof![Just("staged"), Just("parallel"), Just("sequential"), Just("top-down")];
    (agents(), 0..8_u32, strategy).prop_map(|((count, agents), shape, strategy)| {
        let names = |from: usize| (from..count).map(|n| format!("a{n}")).collect::<Vec<_>>();
        let rest = names(1).join(", ");
        let topology = match shape {
            0 => "{type: mesh}".to_owned(),
            1 => format!("{{type: hub-spoke, hub: a0, spokes: [{rest}]}}"),
            2 => format!("{{type: pipeline, stages: [{}]}}", names(0).join(", ")),
            3 => format!("{{type: dag, connections: [{{from: a0, to: [{rest}]}}]}}"),
            4 => format!("{{type: hierarchical, root: a0, levels: [[{rest}]]}}"),
            5 => format!(
                "{{type: custom, connections: [{{from: a0, to: [{rest}]}}, {{from: a{}, to: a0}}]}}",
                count - 1
            ),
            _ => return format!("{agents}deployment: {{strategy: {strategy}}}\n"),
        };
        format!("{agents}topology: {topology}\ndeployment: {{strategy: {strategy}}}\n")
    })
}

fn hosts() -> impl Strategy<Value = Option<String>> {
    let host = (
        prop_oneof![2 => Just(String::new()), 3 => (1..9_u32).prop_map(|n| format!(" slots={n}"))],
        prop_oneof![4 => Just(String::new()), 1 => (4..9_u32).prop_map(|n| format!(" max_slots={n}"))],
        prop_oneof![
            Just(""),
            Just(" addr=10.1.2.3"),
            Just(" labels=gpu gpus=2"),
            Just(" noded_port=99")
        ],
    );
    let list = prop::collection::vec(host, 1..5).prop_map(|all| {
        let line = |(n, (slots, max, more)): (usize, (String, String, &str))| {
            format!("n{}{slots}{max}{more}\n", n + 1)
        };
        all.into_iter().enumerate().map(line).collect::<String>()
    });
    prop_oneof![
        2 => Just(None),
        1 => Just(Some("localhost slots=4\n".to_owned())),
        5 => list.prop_map(Some)
    ]
}

fn options() -> impl Strategy<Value = Vec<String>> {
    let some = |name: &'static str, values: Vec<&'static str>| {
        let value = prop::sample::select(values);
        prop::option::weighted(0.25, value).prop_map(move |value| {
            value.map(|value| vec![name.to_owned(), value.to_owned()]).unwrap_or_default()
        })
    };
    (
        some("-np", vec!["1", "3", "5", "8", "13"]),
        some("-N", vec!["2", "4", "8"]),
        some("--map-by", vec!["slot", "node", "span", "ppr:2:host"]),
        some("--max-per-host", vec!["3", "6"]),
        some("--scale", vec!["a0=2", "a1=4"]),
        prop::option::weighted(0.25, Just(vec!["--oversubscribe".to_owned()])),
    )
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f.unwrap_or_default()].concat())
}

fn case() -> impl Strategy<Value = Case> {
    (jobs(), hosts(), options()).prop_map(|(job, hosts, options)| Case { job, hosts, options })
}

fn context(folder: &Path) -> Context {
    let variables = [("HOME", folder.join("home")), ("A2ARUN_TRUST", folder.join("trust"))];
    let environment = variables.map(|(name, value)| (name.into(), value.into_os_string()));
    Context {
        environment: environment.into_iter().collect(),
        cwd: folder.to_owned(),
        exe: folder.join("a2arun"),
        uid: rustix::process::getuid().as_raw(),
        hostname: "head".to_owned(),
        stdout_terminal: false,
        stderr_terminal: false,
    }
}

fn typed(start: &[&str], case: &Case, folder: &Path) -> Cli {
    let mut words: Vec<OsString> =
        std::iter::once(&"a2arun").chain(start).map(Into::into).collect();
    words.extend(case.options.iter().map(OsString::from));
    if case.hosts.is_some() {
        words.extend(["--hostfile".into(), folder.join("hosts").into()]);
    }
    words.push(folder.join("job.yaml").into());
    parse(words, None).unwrap()
}

fn of_plan(request: &Request<'_>, context: &Context) -> Map {
    let (planned, _) = plan::make(request, context).map_err(|error| report(&error))?;
    let json = plan::json(&planned);
    // The stages are said twice: as a list, and by each instance.
    for (stage, names) in json.stages.iter().enumerate() {
        let by_instance: Vec<&String> =
            json.instances.iter().filter(|i| i.stage as usize == stage).map(|i| &i.name).collect();
        assert_eq!(by_instance.into_iter().collect::<BTreeSet<_>>(), names.iter().collect());
    }
    let map = json.instances.into_iter().map(|i| (i.rank, (i.name, i.host, i.stage))).collect();
    Ok((json.size as usize, map))
}

/// What the agents of a launch would read of themselves, stage by stage as the head sends it.
fn of_launch(job: &Job) -> Map {
    let plan = &job.plan;
    let mut bindings = Bindings::assumed(plan, 20_000);
    for host in plan.host_indices() {
        bindings.set_address(host, plan.host(host).name().clone());
    }
    let resolved = ResolvedPlan::new(plan.clone(), bindings).unwrap();
    let inputs = LaunchInputs {
        spec: &job.spec,
        resolved: &resolved,
        run: &job.run,
        trace_id: Some(&job.trace_id),
        exports: &job.exports,
        stdin: job.stdin,
        facts: &job.facts,
    };
    let (builder, _) = LaunchBuilder::new(inputs).unwrap();
    let mut map = BTreeMap::new();
    for stage in (0_u32..).take(plan.stages.len()) {
        for (host, ranks) in plan.stage_by_host(StageIx(stage)) {
            let here = matches!(job.targets[host.get()], Target::Local(_));
            let base = job.elsewhere.base(here, &job.environment);
            let site = |agent: a2arun_core::spec::AgentIx| job.sites[agent.get()].clone();
            let launch = builder.host(host, &ranks, base, &site);
            for instance in &launch.instances {
                let template = &launch.templates[instance.template as usize];
                let read = |name: &str| {
                    instance.env.get(name).or_else(|| template.env.get(name)).unwrap().clone()
                };
                assert_eq!(read("A2ARUN_RANK"), instance.rank.to_string());
                assert_eq!(read("A2ARUN_SIZE"), plan.size().to_string());
                let node = read("A2ARUN_NODE");
                let argv = if instance.argv.is_empty() { &template.argv } else { &instance.argv };
                // What is filled into a command says the same.
                assert!(argv.iter().all(|word| !word.contains("$(")), "{argv:?}");
                assert!(argv[0] != "x" || argv[1] == node, "{argv:?} on {node}");
                let entry = (instance.name.clone(), node, stage);
                assert!(map.insert(instance.rank.0, entry).is_none(), "launched twice");
            }
        }
    }
    Ok((plan.size() as usize, map))
}

#[test]
fn plan_dry_run_and_run_make_the_same_map() {
    let dir = tempfile::tempdir().unwrap();
    let context = context(dir.path());
    let init = TrustInitArgs { dir: Some(dir.path().join("trust")), force: false };
    trust::trust(&TrustVerb::Init(init), &context).unwrap();
    let (good, hosts, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    let run = TestRunner::new(config).run(&case(), |case| {
        fs::write(dir.path().join("job.yaml"), &case.job).unwrap();
        fs::write(dir.path().join("hosts"), case.hosts.as_deref().unwrap_or_default()).unwrap();
        let Cli { verb: Some(Verb::Plan(args)), .. } = typed(&["plan"], &case, dir.path()) else {
            return Err(TestCaseError::fail("not a plan"));
        };
        let planned = of_plan(&plan::request(&args), &context);
        let dry = typed(&["--dry-run"], &case, dir.path()).run;
        prop_assert!(dry.dry_run);
        prop_assert_eq!(&of_plan(&prepare::request(&dry), &context), &planned);
        let launched = match prepare::prepare(&typed(&[], &case, dir.path()).run, &context) {
            Ok(prepared) => of_launch(&prepared.job),
            Err(error) => Err(report(&error)),
        };
        prop_assert_eq!(&launched, &planned);
        match planned {
            Ok((size, map)) => {
                prop_assert_eq!(size, map.len());
                count(&good);
                if map.values().map(|(_, host, _)| host).collect::<BTreeSet<_>>().len() > 1 {
                    count(&hosts);
                }
            }
            Err((text, _)) => {
                prop_assert!(!text.contains("internal"), "{}", text);
                count(&refused);
            }
        }
        Ok(())
    });
    run.unwrap();
    // Enough of each kind, or the above says little.
    let (good, hosts, refused) = (good.get(), hosts.get(), refused.get());
    assert!(good > 300 && hosts > 100 && refused > 50, "{good} good, {hosts} on hosts, {refused}");
}
