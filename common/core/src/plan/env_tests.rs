//! Tests of the launch data.

use std::sync::Arc;

use super::*;
use crate::hostfile;
use crate::plan::{Bindings, EnvFile, Hosts, Origin, Plan, PlanOptions, VenvKind, plan};
use crate::spec::{AgentSpec, PortSpec, Replicas, SecretSource, Topology};

fn agent(spec: &JobSpec, id: &str) -> AgentSpec {
    AgentSpec {
        id: id.parse().unwrap(),
        replicas: Some(Replicas::Fixed(1)),
        ..spec.agents[0].clone()
    }
}

/// A hub with a port that calls two copies of `work-er`, and a Python agent.
fn job() -> JobSpec {
    let mut spec = JobSpec::program(vec!["x".to_owned()], None).unwrap();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut hub = agent(&spec, "hub");
    hub.port = PortSpec::Fixed(9000);
    hub.run = Run::Command(words("hub --peers $(CONNECTED_AGENTS) --id $(AGENT_ID) $$(X) $(date)"));
    hub.config = vec![("port".into(), 9000.into()), ("debug".into(), true.into())];
    hub.environment =
        [("PEER".to_owned(), "$(PEER_WORK_ER_URL)|$(URL_WORK_ER_1)|$(URL_PY)".to_owned())].into();
    let mut worker = agent(&spec, "work-er");
    worker.port = PortSpec::Auto;
    worker.replicas = Some(Replicas::Fixed(2));
    worker.run = Run::Command(words("work --port $(PORT)"));
    worker.environment =
        [("SELF".to_owned(), "$(A2ARUN_RANK) of $(A2ARUN_SIZE)".to_owned())].into();
    let mut py = agent(&spec, "py");
    py.run = Run::Module { module: "agents.py".to_owned(), class: None };
    py.config = vec![("debug".into(), true.into()), ("host".into(), "0.0.0.0".into())];
    spec.agents = vec![hub, worker, py];
    spec.topology = Topology::HubSpoke { hub: AgentIx(0), spokes: vec![AgentIx(1)] };
    spec.environment = [("CLUSTER".to_owned(), "dev".to_owned())].into();
    spec
}

fn resolved(spec: &JobSpec, hosts: &Hosts) -> ResolvedPlan {
    let plan = Arc::new(plan(spec, hosts, &PlanOptions::default()).unwrap());
    let mut bindings = Bindings::of(&plan);
    for (n, rank) in plan.instances.iter().map(|i| i.rank).enumerate() {
        if spec.agent(plan.instance(rank).agent).port == PortSpec::Auto {
            bindings.set_port(rank, 20000 + u16::try_from(n).unwrap());
        }
    }
    for host in plan.host_indices() {
        bindings.set_address(host, format!("10.0.0.{}", host.0 + 1).parse().unwrap());
    }
    ResolvedPlan::new(plan, bindings).unwrap()
}

fn local() -> Hosts {
    Hosts::Local("here".parse().unwrap())
}

fn base() -> BTreeMap<String, String> {
    [
        ("PATH", "/bin"),
        ("SLURM_PROCID", "3"),
        ("SLURM_JOB_ID", "7"),
        ("PMI_RANK", "1"),
        ("OMPI_X", "1"),
        ("CLUSTER", "outer"),
        ("NO_PROXY", "corp.example,10.0.0.1"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into()
}

fn site(_: AgentIx) -> Site {
    Site { workdir: Some("/w".into()), python: "/venv/bin/python".to_owned(), venv: None }
}

fn shown(launch: &HostLaunch) -> String {
    let env = |env: &BTreeMap<String, String>| {
        env.iter().map(|(k, v)| format!("    {k}={v}\n")).collect::<String>()
    };
    let mut text = String::new();
    for (n, t) in launch.templates.iter().enumerate() {
        text += &format!("template {n}: {:?} {:?}\n{}", t.argv, t.readiness.check, env(&t.env));
    }
    for i in &launch.instances {
        text +=
            &format!("{} {}: template {} {:?} {:?}\n", i.rank, i.name, i.template, i.argv, i.port);
        text += &env(&i.env);
    }
    text
}

fn inputs<'a>(spec: &'a JobSpec, resolved: &'a ResolvedPlan, run: &'a RunId) -> LaunchInputs<'a> {
    LaunchInputs {
        spec,
        resolved,
        run,
        trace_id: None,
        exports: &[],
        stdin: None,
        facts: LaunchFacts::NONE,
    }
}

fn all_ranks(plan: &Plan) -> Vec<Rank> {
    plan.instances.iter().map(|i| i.rank).collect()
}

#[test]
fn one_machine_gets_everything_over_loopback() {
    let (spec, run) = (job(), "job-1".parse().unwrap());
    let resolved = resolved(&spec, &local());
    let (builder, warnings) = LaunchBuilder::new(inputs(&spec, &resolved, &run)).unwrap();
    let texts: Vec<String> =
        warnings.iter().map(|w| format!("{} {}: {}", w.agent, w.field, w.message)).collect();
    insta::assert_snapshot!(texts.join("\n"), @r#"
hub command: `$(date)` is no known name and stays as written
hub environment.PEER: `$(URL_PY)` is no known name and stays as written
"#);
    let ranks = all_ranks(resolved.plan());
    let launch = builder.host(HostIx(0), &ranks, BaseEnv::Head(&base()), &site);
    insta::assert_snapshot!(shown(&launch), @r#"
template 0: ["hub", "--peers", "http://127.0.0.1:20001,http://127.0.0.1:20002", "--id", "hub", "$(X)", "$(date)"] Alive
    A2ARUN_JOB=x
    A2ARUN_LOCAL_SIZE=4
    A2ARUN_NODE=here
    A2ARUN_SIZE=4
    A2A_BIND_HOST=127.0.0.1
    AGENT_ALLOWED_HOSTS=127.0.0.1,localhost
    AGENT_DEBUG=true
    AGENT_HOST=127.0.0.1
    AGENT_ID=hub
    AGENT_MAX_PORT=20002
    AGENT_MIN_PORT=9000
    CLUSTER=dev
    CONNECTED_AGENTS=http://127.0.0.1:20001,http://127.0.0.1:20002
    JOB_ID=job-1
    NO_PROXY=corp.example,10.0.0.1,127.0.0.1,::1,localhost
    OTEL_RESOURCE_ATTRIBUTES=service.namespace=x,a2arun.run=job-1
    OTEL_SERVICE_NAME=hub
    PATH=/bin
    PEER=http://127.0.0.1:20001,http://127.0.0.1:20002|http://127.0.0.1:20002|$(URL_PY)
    SLURM_JOB_ID=7
    no_proxy=corp.example,10.0.0.1,127.0.0.1,::1,localhost
template 1: ["work", "--port", "$(PORT)"] Alive
    A2ARUN_JOB=x
    A2ARUN_LOCAL_SIZE=4
    A2ARUN_NODE=here
    A2ARUN_SIZE=4
    A2A_BIND_HOST=127.0.0.1
    AGENT_ALLOWED_HOSTS=127.0.0.1,localhost
    AGENT_HOST=127.0.0.1
    AGENT_ID=work-er
    AGENT_MAX_PORT=20002
    AGENT_MIN_PORT=9000
    CLUSTER=dev
    JOB_ID=job-1
    NO_PROXY=corp.example,10.0.0.1,127.0.0.1,::1,localhost
    OTEL_RESOURCE_ATTRIBUTES=service.namespace=x,a2arun.run=job-1
    OTEL_SERVICE_NAME=work-er
    PATH=/bin
    SLURM_JOB_ID=7
    no_proxy=corp.example,10.0.0.1,127.0.0.1,::1,localhost
template 2: ["/venv/bin/python", "-m", "agents.py"] Alive
    A2ARUN_JOB=x
    A2ARUN_LOCAL_SIZE=4
    A2ARUN_NODE=here
    A2ARUN_SIZE=4
    A2A_BIND_HOST=127.0.0.1
    AGENT_ALLOWED_HOSTS=127.0.0.1,localhost
    AGENT_DEBUG=True
    AGENT_HOST=0.0.0.0
    AGENT_ID=py
    AGENT_MAX_PORT=20002
    AGENT_MIN_PORT=9000
    CLUSTER=dev
    JOB_ID=job-1
    NO_PROXY=corp.example,10.0.0.1,127.0.0.1,::1,localhost
    OTEL_RESOURCE_ATTRIBUTES=service.namespace=x,a2arun.run=job-1
    OTEL_SERVICE_NAME=py
    PATH=/bin
    SLURM_JOB_ID=7
    no_proxy=corp.example,10.0.0.1,127.0.0.1,::1,localhost
0 hub[0]: template 0 [] Some(9000)
    A2ARUN_INDEX=0
    A2ARUN_LOCAL_RANK=0
    A2ARUN_RANK=0
    A2A_PORT=9000
    A2A_PUBLIC_URL=http://127.0.0.1:9000
    AGENT_PORT=9000
    PORT=9000
1 work-er[0]: template 1 ["work", "--port", "20001"] Some(20001)
    A2ARUN_INDEX=0
    A2ARUN_LOCAL_RANK=1
    A2ARUN_RANK=1
    A2A_PORT=20001
    A2A_PUBLIC_URL=http://127.0.0.1:20001
    AGENT_PORT=20001
    PORT=20001
    SELF=1 of 4
2 work-er[1]: template 1 ["work", "--port", "20002"] Some(20002)
    A2ARUN_INDEX=1
    A2ARUN_LOCAL_RANK=2
    A2ARUN_RANK=2
    A2A_PORT=20002
    A2A_PUBLIC_URL=http://127.0.0.1:20002
    AGENT_PORT=20002
    PORT=20002
    SELF=2 of 4
3 py[0]: template 2 [] None
    A2ARUN_INDEX=0
    A2ARUN_LOCAL_RANK=3
    A2ARUN_RANK=3
"#);
}

#[test]
fn other_hosts_get_addresses_and_their_own_base() {
    let (spec, run) = (job(), "job-1".parse().unwrap());
    let hosts = Hosts::List(hostfile::parse_hosts("n1,n2").unwrap());
    let resolved = resolved(&spec, &hosts);
    let (builder, _) = LaunchBuilder::new(inputs(&spec, &resolved, &run)).unwrap();
    let by_host = resolved.plan().by_host();
    let launch = builder.host(HostIx(1), &by_host[1], BaseEnv::Host, &site);
    assert!(launch.templates.iter().all(|t| t.host_env));
    insta::assert_snapshot!(shown(&launch), @r#"
template 0: ["work", "--port", "$(PORT)"] Alive
    A2ARUN_JOB=x
    A2ARUN_LOCAL_SIZE=2
    A2ARUN_NODE=n2
    A2ARUN_SIZE=4
    A2A_BIND_HOST=0.0.0.0
    AGENT_ALLOWED_HOSTS=10.0.0.1,10.0.0.2,127.0.0.1,localhost,n1,n2
    AGENT_HOST=0.0.0.0
    AGENT_ID=work-er
    AGENT_MAX_PORT=20002
    AGENT_MIN_PORT=9000
    CLUSTER=dev
    JOB_ID=job-1
    NO_PROXY=10.0.0.1,10.0.0.2,127.0.0.1,::1,localhost,n1,n2
    OTEL_RESOURCE_ATTRIBUTES=service.namespace=x,a2arun.run=job-1
    OTEL_SERVICE_NAME=work-er
    no_proxy=10.0.0.1,10.0.0.2,127.0.0.1,::1,localhost,n1,n2
template 1: ["/venv/bin/python", "-m", "agents.py"] Alive
    A2ARUN_JOB=x
    A2ARUN_LOCAL_SIZE=2
    A2ARUN_NODE=n2
    A2ARUN_SIZE=4
    A2A_BIND_HOST=0.0.0.0
    AGENT_ALLOWED_HOSTS=10.0.0.1,10.0.0.2,127.0.0.1,localhost,n1,n2
    AGENT_DEBUG=True
    AGENT_HOST=0.0.0.0
    AGENT_ID=py
    AGENT_MAX_PORT=20002
    AGENT_MIN_PORT=9000
    CLUSTER=dev
    JOB_ID=job-1
    NO_PROXY=10.0.0.1,10.0.0.2,127.0.0.1,::1,localhost,n1,n2
    OTEL_RESOURCE_ATTRIBUTES=service.namespace=x,a2arun.run=job-1
    OTEL_SERVICE_NAME=py
    no_proxy=10.0.0.1,10.0.0.2,127.0.0.1,::1,localhost,n1,n2
1 work-er[0]: template 0 ["work", "--port", "20001"] Some(20001)
    A2ARUN_INDEX=0
    A2ARUN_LOCAL_RANK=0
    A2ARUN_RANK=1
    A2A_PORT=20001
    A2A_PUBLIC_URL=http://10.0.0.2:20001
    AGENT_PORT=20001
    PORT=20001
    SELF=1 of 4
3 py[0]: template 1 [] None
    A2ARUN_INDEX=0
    A2ARUN_LOCAL_RANK=1
    A2ARUN_RANK=3
"#);
}

#[test]
fn exports_are_literal_and_must_not_be_ours() {
    let (spec, run) = (job(), "job-1".parse().unwrap());
    let resolved = resolved(&spec, &local());
    let build = |name: &str, value: &str| {
        let exports = [(name.to_owned(), value.to_owned())];
        let (builder, _) = LaunchBuilder::new(LaunchInputs {
            exports: &exports,
            ..inputs(&spec, &resolved, &run)
        })?;
        let launch = builder.host(HostIx(0), &[Rank(0)], BaseEnv::Head(&base()), &site);
        Ok::<_, LaunchError>(launch.templates[0].env.get(name).cloned())
    };
    assert_eq!(build("CLUSTER", "$(PORT)"), Ok(Some("$(PORT)".to_owned())));
    insta::assert_snapshot!(build("PORT", "1").unwrap_err(), @"-x sets `PORT`, which a2arun sets itself: use `config: {port: …}`");
    insta::assert_snapshot!(build("AGENT_DEBUG", "1").unwrap_err(), @"-x sets `AGENT_DEBUG`, which `config.debug` of agent `hub` sets");
    insta::assert_snapshot!(build("A=B", "1").unwrap_err(), @"-x: `A=B` is no variable name");
}

#[test]
fn copies_that_call_each_other_have_their_own_peers() {
    let (mut spec, run) = (job(), "job-1".parse().unwrap());
    spec.agents[1].environment = [("P".to_owned(), "$(PEER_WORK_ER_URL)".to_owned())].into();
    spec.topology = Topology::Mesh { agents: vec![AgentIx(1)] };
    let resolved = resolved(&spec, &local());
    let (builder, _) = LaunchBuilder::new(inputs(&spec, &resolved, &run)).unwrap();
    let launch = builder.host(HostIx(0), &[Rank(1), Rank(2)], BaseEnv::Head(&base()), &site);
    assert_eq!(launch.templates.len(), 1);
    assert!(!launch.templates[0].env.contains_key("CONNECTED_AGENTS"));
    for (instance, peer) in launch.instances.iter().zip([20002, 20001]) {
        let url = format!("http://127.0.0.1:{peer}");
        assert_eq!((&instance.env["CONNECTED_AGENTS"], &instance.env["P"]), (&url, &url));
    }
}

#[test]
fn a_probe_that_differs_makes_a_template_for_each() {
    let (mut spec, run) = (job(), "job-1".parse().unwrap());
    spec.agents[1].readiness.check = Some(ReadinessCheck::Http {
        port: None,
        path: "/$(A2ARUN_INDEX)".to_owned(),
        status: None,
    });
    let resolved = resolved(&spec, &local());
    let (builder, _) = LaunchBuilder::new(inputs(&spec, &resolved, &run)).unwrap();
    let launch =
        builder.host(HostIx(0), &all_ranks(resolved.plan()), BaseEnv::Head(&base()), &site);
    let path = |rank: usize| match &launch.templates[launch.instances[rank].template as usize]
        .readiness
        .check
    {
        ReadinessCheck::Http { path, .. } => path.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!((path(1), path(2)), ("/0".to_owned(), "/1".to_owned()));
    assert_eq!(launch.templates.len(), 4);
}

#[test]
fn what_the_kernel_cannot_carry_is_left_out_and_said() {
    let (mut spec, run) = (job(), "job-1".parse().unwrap());
    spec.agents[1].replicas = Some(Replicas::Fixed(6000));
    let plan = Arc::new(plan(&spec, &local(), &PlanOptions::default()).unwrap());
    let mut bindings = Bindings::of(&plan);
    plan.instances.iter().for_each(|i| bindings.set_port(i.rank, 20000));
    let resolved = ResolvedPlan::new(plan, bindings).unwrap();
    let (builder, warnings) = LaunchBuilder::new(inputs(&spec, &resolved, &run)).unwrap();
    assert!(warnings.iter().any(|w| w.field == "CONNECTED_AGENTS"), "{warnings:?}");
    let launch = builder.host(HostIx(0), &[Rank(0)], BaseEnv::Head(&base()), &site);
    assert!(!launch.templates[0].env.contains_key("CONNECTED_AGENTS"));
}

#[test]
fn ipv6_stands_in_brackets() {
    let mut spec = job();
    spec.agents.truncate(1);
    spec.topology = Topology::Absent;
    let hosts = Hosts::List(hostfile::parse("n1 addr=fe80::1%eth0\n").unwrap());
    let resolved = resolved(&spec, &hosts);
    assert_eq!(resolved.url(Rank(0)).as_deref(), Some("http://[fe80::1%25eth0]:9000"));
}

/// What stands in the template of the first agent, by name.
fn first_template(spec: &JobSpec, facts: &LaunchFacts, site: &Site) -> (Template, InstanceLaunch) {
    let run = "job-1".parse().unwrap();
    let resolved = resolved(spec, &local());
    let inputs = LaunchInputs { facts, ..inputs(spec, &resolved, &run) };
    let (builder, _) = LaunchBuilder::new(inputs).unwrap();
    let launch = builder.host(HostIx(0), &[Rank(0)], BaseEnv::Head(&base()), &|_| site.clone());
    (launch.templates[0].clone(), launch.instances[0].clone())
}

fn file(name: &str, variables: &[(&str, &str)]) -> EnvFile {
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    EnvFile { name: name.to_owned(), variables }
}

#[test]
fn files_secrets_and_prefixes_are_acted_on() {
    let mut spec = job();
    spec.agents[0].run = Run::Module { module: "m".to_owned(), class: None };
    spec.agents[0].setup = Some("module load cuda".to_owned());
    let source = SecretSource::Env("KEY_HERE".to_owned());
    spec.agents[0].secrets = [("API_KEY".to_owned(), source.clone())].into();
    let facts = LaunchFacts {
        job_files: vec![file(".env", &[("A", "1"), ("B", "$(PORT)"), ("CLUSTER", "x")])],
        agent_files: vec![vec![file("own.env", &[("A", "2")])]],
        cli_files: vec![file("cli.env", &[("C", "3")])],
        secrets: [(source, "s3cret $(PORT)".to_owned())].into(),
    };
    let venv = Venv { prefix: "/v".to_owned(), kind: VenvKind::Venv };
    let site = Site { workdir: None, python: venv.python(), venv: Some(venv) };
    let (template, _) = first_template(&spec, &facts, &site);
    let of = |name: &str| template.env.get(name).map_or("—", String::as_str);
    assert_eq!((of("A"), of("B"), of("C"), of("CLUSTER")), ("2", "$(PORT)", "3", "dev"));
    assert_eq!(
        (of("API_KEY"), of("VIRTUAL_ENV"), of("PATH")),
        ("s3cret $(PORT)", "/v", "/v/bin:/bin")
    );
    assert_eq!(template.argv[..2], ["bash", "-c"]);
    assert_eq!(template.argv[4..], ["module load cuda", "/v/bin/python", "-m", "m"]);
}

#[test]
fn files_do_not_set_what_is_ours_and_no_secret_is_missing() {
    let (mut spec, run) = (job(), "job-1".parse().unwrap());
    let resolved = resolved(&spec, &local());
    let facts =
        LaunchFacts { cli_files: vec![file("x.env", &[("PORT", "1")])], ..Default::default() };
    let error =
        LaunchBuilder::new(LaunchInputs { facts: &facts, ..inputs(&spec, &resolved, &run) });
    insta::assert_snapshot!(error.unwrap_err(), @"x.env sets `PORT`, which a2arun sets itself: use `config: {port: …}`");
    spec.secrets = [("K".to_owned(), SecretSource::Env("K".to_owned()))].into();
    let error = LaunchBuilder::new(inputs(&spec, &resolved, &run));
    insta::assert_snapshot!(error.unwrap_err(), @"the secret `K` of the job is not known");
}

#[test]
fn named_ports_and_external_peers_have_their_names() {
    let mut spec = job();
    let mut search = agent(&spec, "search");
    search.run = Run::External { url: "https://s.example.org/x".to_owned() };
    spec.agents.insert(1, search);
    spec.agents[0].ports = vec![("grpc".to_owned(), PortSpec::Fixed(7000))];
    spec.agents[0].run =
        Run::Command(["x", "$(PORT_GRPC)", "$(PEER_SEARCH_URL)"].map(str::to_owned).to_vec());
    spec.topology = Topology::HubSpoke { hub: AgentIx(0), spokes: vec![AgentIx(1), AgentIx(2)] };
    let (template, instance) = first_template(&spec, LaunchFacts::NONE, &site(AgentIx(0)));
    assert_eq!(instance.argv, ["x", "7000", "https://s.example.org/x"]);
    assert_eq!(instance.env["PORT_GRPC"], "7000");
    assert_eq!(
        template.env["CONNECTED_AGENTS"],
        "https://s.example.org/x,http://127.0.0.1:20001,http://127.0.0.1:20002"
    );
    assert!(template.env["AGENT_ALLOWED_HOSTS"].ends_with("s.example.org"));
    assert!(!template.env["NO_PROXY"].contains("s.example.org"));
}

#[test]
fn every_variable_has_the_layer_that_gave_it() {
    let mut spec = job();
    spec.environment = [("J".to_owned(), "1".to_owned()), ("A".to_owned(), "1".to_owned())].into();
    let hub = &mut spec.agents[0];
    hub.environment.insert("A".to_owned(), "2".to_owned());
    hub.environment.insert("X".to_owned(), "2".to_owned());
    hub.secrets.insert("K".to_owned(), SecretSource::Env("K".to_owned()));
    let file = |name: &str, sets: &[&str]| EnvFile {
        name: name.to_owned(),
        variables: sets.iter().map(|n| ((*n).to_owned(), "3".to_owned())).collect(),
    };
    let facts = LaunchFacts {
        job_files: vec![file("job.env", &["F", "G", "J"])],
        agent_files: vec![vec![file("hub.env", &["G"])]],
        cli_files: vec![file("cli.env", &["H"])],
        secrets: [(SecretSource::Env("K".to_owned()), "s".to_owned())].into(),
    };
    let plan = Arc::new(
        plan(&spec, &Hosts::Local("here".parse().unwrap()), &PlanOptions::default()).unwrap(),
    );
    let resolved = ResolvedPlan::new(plan.clone(), Bindings::assumed(&plan, 20_000)).unwrap();
    let exports = [("X".to_owned(), "4".to_owned())];
    let inputs = LaunchInputs {
        spec: &spec,
        resolved: &resolved,
        run: &"r-1".parse().unwrap(),
        trace_id: None,
        exports: &exports,
        stdin: None,
        facts: &facts,
    };
    let (builder, _) = LaunchBuilder::new(inputs).unwrap();
    let base = [("PATH", "/bin"), ("SHELL", "sh"), ("H", "0"), ("A2A_PORT", "1")];
    let base = base.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let venv = Venv { prefix: "/v".to_owned(), kind: VenvKind::Venv };
    let site = Site { workdir: None, python: "python3".to_owned(), venv: Some(venv) };
    let launch = builder.host(HostIx(0), &[Rank(0)], BaseEnv::Head(&base), &|_| site.clone());
    let mut names: Vec<&String> =
        launch.templates[0].env.keys().chain(launch.instances[0].env.keys()).collect();
    names.sort();
    let shown: Vec<String> = names
        .iter()
        .map(|name| (name, builder.origin(Rank(0), name, true)))
        .filter(|(_, origin)| *origin != Origin::Ours)
        .map(|(name, origin)| format!("{name} {origin:?}"))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
A Agent
AGENT_DEBUG Config("debug")
F File("job.env")
G File("hub.env")
H File("cli.env")
J Job
K Secret(Env("K"))
PATH Venv
PEER Agent
SHELL Base
VIRTUAL_ENV Venv
X Export
"#);
    assert_eq!(builder.origin(Rank(0), "A2A_PORT", true), Origin::Ours);
    // Without a port of its own an agent has what was there before.
    let portless = spec.indices().find(|ix| !spec.agent(*ix).has_port()).unwrap();
    let rank = plan.agent(portless).first;
    assert_eq!(builder.origin(rank, "A2A_PORT", false), Origin::Base);
}
