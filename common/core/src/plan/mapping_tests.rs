//! Tests of planning.

use std::time::Instant;

use proptest::prelude::Strategy as _;

use super::*;
use crate::hostfile;
use crate::plan::PlanJson;
use crate::plan::{Bindings, HostOrigin};
use crate::spec::{AgentSpec, PortSpec, Remote, Replicas, Target, Topology};

/// Agents from `id`, `id=3`, `id=auto`, `id@host`, `id:9001`, in any combination in this order.
fn job(agents: &str) -> JobSpec {
    let mut spec = JobSpec::program(vec!["x".to_owned()], None).unwrap();
    let base = AgentSpec { replicas: None, ..spec.agents[0].clone() };
    spec.agents = agents
        .split_whitespace()
        .map(|word| {
            let (word, port) = word.split_once(':').unwrap_or((word, ""));
            let (word, host) = word.split_once('@').unwrap_or((word, ""));
            let (id, replicas) = word.split_once('=').unwrap_or((word, ""));
            let mut agent = AgentSpec { id: id.parse().unwrap(), ..base.clone() };
            agent.replicas = match replicas {
                "" => None,
                "auto" => Some(Replicas::Auto),
                n => Some(Replicas::Fixed(n.parse().unwrap())),
            };
            agent.port = match port {
                "" => PortSpec::None,
                "auto" => PortSpec::Auto,
                n => PortSpec::Fixed(n.parse().unwrap()),
            };
            if !host.is_empty() {
                let host = host.parse().unwrap();
                agent.target =
                    Target::Remote(Remote { host, user: None, ssh_port: None, ssh_key: None });
            }
            agent
        })
        .collect();
    spec
}

fn hosts(list: &str) -> Hosts {
    match list {
        "" => Hosts::Local("here".parse().unwrap()),
        list => Hosts::List(hostfile::parse_hosts(list).unwrap()),
    }
}

/// `agent[index]@host:port` of every rank, or the refusal with its hints.
fn check(agents: &str, list: &str, options: &PlanOptions) -> String {
    match plan(&job(agents), &hosts(list), options) {
        Ok(plan) => plan
            .instances
            .iter()
            .map(|i| {
                let port = match i.port {
                    PlannedPort::None => String::new(),
                    PlannedPort::Auto => ":auto".to_owned(),
                    PlannedPort::Fixed(port) => format!(":{port}"),
                };
                format!("{}@{}{port}", plan.name(i.rank), plan.host(i.host).name())
            })
            .collect::<Vec<_>>()
            .join(" "),
        Err(error) => {
            let hints = error.hints().into_iter().map(|h| format!("\nhint: {h}"));
            let text = format!("{error}{}", hints.collect::<String>());
            assert!(text.lines().count() <= 12, "{text}");
            text
        }
    }
}

fn np(n: u32) -> PlanOptions {
    PlanOptions { np: Some(n), ..PlanOptions::default() }
}

fn scale(id: &str, n: u32) -> PlanOptions {
    PlanOptions { scale: vec![(id.to_owned(), n)], ..PlanOptions::default() }
}

#[test]
fn replicas_np_and_scale_agree() {
    let none = PlanOptions::default();
    assert_eq!(check("a", "", &none), "a[0]@here");
    assert_eq!(check("a", "", &np(3)), "a[0]@here a[1]@here a[2]@here");
    assert_eq!(check("a b=2", "", &none), "a[0]@here b[0]@here b[1]@here");
    assert_eq!(check("a b=auto c=auto", "", &np(4)), "a[0]@here b[0]@here b[1]@here c[0]@here");
    assert_eq!(check("a b=auto", "", &none), "a[0]@here b[0]@here");
    assert_eq!(check("a b=auto", "x:2,y:2", &none), "a[0]@x b[0]@x b[1]@y b[2]@y");
    assert_eq!(check("a b=auto", "", &scale("b", 2)), "a[0]@here b[0]@here b[1]@here");
}

#[test]
fn numbers_that_do_not_fit_are_refused_with_the_way_out() {
    insta::assert_snapshot!(check("controller worker=5", "", &np(7)), @r#"
-np 7 is more than the 6 instances of this job (controller 1, worker 5), and no agent has `replicas: auto`
hint: --scale worker=6
"#);
    insta::assert_snapshot!(check("controller worker=5", "", &np(5)), @r#"
-np 5 is less than the 6 instances of this job (controller 1, worker 5)
hint: --scale worker=4
"#);
    insta::assert_snapshot!(check("controller worker=auto", "", &np(1)), @r#"
-np 1 is less than the at least 2 instances of this job (controller 1, worker 1)
hint: -np 2 is the smallest that fits
"#);
    insta::assert_snapshot!(check("a", "", &np(0)), @"-np is 0; give at least 1");
    insta::assert_snapshot!(check("controller worker=5", "", &scale("workr", 2)), @r#"
--scale names `workr`, which is no agent of this job
hint: did you mean `--scale worker=…`?
"#);
    insta::assert_snapshot!(check("a b", "", &scale("a", 2_000_000)), @r#"
the job has 2000001 instances; at most 1000000 can be planned
hint: lower `replicas` or -np
"#);
}

#[test]
fn written_slots_are_filled_in_order_and_bind() {
    let none = PlanOptions::default();
    assert_eq!(check("a=3", "x:2,y:2", &none), "a[0]@x a[1]@x a[2]@y");
    assert_eq!(check("a=4", "x:2,bare", &none), "a[0]@x a[1]@x a[2]@bare a[3]@bare");
    assert_eq!(
        check("a=3", "x,y", &PlanOptions { per_host: Some(2), ..none.clone() }),
        "a[0]@x a[1]@x a[2]@y"
    );
    insta::assert_snapshot!(check("a b=8", "x:4,y:2", &none), @r#"
9 instances do not fit into 6 slots: 3 missing
  demanded: a 1, b 8
  x: 4 slots
  y: 2 slots
hint: --oversubscribe goes beyond written slots
hint: add hosts, raise slots=, or write hosts without slots
"#);
    insta::assert_snapshot!(check("a=5", "x,y", &PlanOptions { per_host: Some(2), ..none.clone() }), @r#"
5 instances do not fit into 4 slots: 1 missing
  demanded: a 5
  x: 2 slots
  y: 2 slots
hint: -N 2 limits every host; raise it or leave it out
hint: add hosts, raise slots=, or write hosts without slots
"#);
    insta::assert_snapshot!(check("a=3@x b=2", "x:2,y:9", &none), @r#"
5 instances do not fit into 11 slots: 1 missing
  demanded: a 3, b 2
  x: 2 slots, 3 pinned to it
  y: 9 slots
hint: --oversubscribe goes beyond written slots
hint: add hosts, raise slots=, or write hosts without slots
"#);
    let many: Vec<String> = (0..1000).map(|i| format!("n{i}:1")).collect();
    insta::assert_snapshot!(check("a b c d e f g h=2000", &many.join(","), &none), @r#"
2007 instances do not fit into 1000 slots: 1007 missing
  demanded: a 1, b 1, c 1, d 1, e 1, f 1, … 2 more
  n0: 1 slot
  n1: 1 slot
  n2: 1 slot
  n3: 1 slot
  n4: 1 slot
  … 995 more hosts with 995 slots
hint: --oversubscribe goes beyond written slots
hint: add hosts, raise slots=, or write hosts without slots
"#);
    let over = PlanOptions { oversubscribe: true, ..none };
    assert_eq!(check("a=3", "x:2", &over), "a[0]@x a[1]@x a[2]@x");
}

#[test]
fn bare_hosts_never_refuse_and_share_evenly() {
    let none = PlanOptions::default();
    assert_eq!(check("a b c d e", "x,y", &none), "a[0]@x b[0]@y c[0]@x d[0]@y e[0]@x");
    assert_eq!(check("a=2@x b c", "x,y", &none), "a[0]@x a[1]@x b[0]@y c[0]@y");
}

#[test]
fn remote_agents_are_pinned_even_to_hosts_nobody_listed() {
    let none = PlanOptions::default();
    assert_eq!(check("a@gpu b", "", &none), "a[0]@gpu b[0]@here");
    assert_eq!(check("a@y b", "x:1,y:1", &none), "a[0]@y b[0]@x");
    let local = plan(&job("a b"), &hosts(""), &none).unwrap();
    assert!(local.loopback);
    let mixed = plan(&job("a@gpu b"), &hosts(""), &none).unwrap();
    assert!(!mixed.loopback);
    assert_eq!(mixed.hosts[1].origin, HostOrigin::Pinned);
    assert_eq!(mixed.agents[0].target, "remote");
}

#[test]
fn fixed_ports_count_up_per_host_and_must_not_clash() {
    let none = PlanOptions::default();
    assert_eq!(check("a=3:9001", "x,y", &none), "a[0]@x:9001 a[1]@y:9001 a[2]@x:9002");
    assert_eq!(check("a:auto b:9001", "", &none), "a[0]@here:auto b[0]@here:9001");
    assert_eq!(check("a:9001 b:9001", "x,y", &none), "a[0]@x:9001 b[0]@y:9001");
    insta::assert_snapshot!(check("a=2:9001 b:9002 c:9001", "", &none), @r#"
two instances want the same port of one host
  here: port 9002 for a[1] and b[0]
  here: port 9001 for a[0] and c[0]
hint: use `port: auto`, another number, or more hosts
"#);
    insta::assert_snapshot!(check("a=30:9001 b=30:9001", "", &none), @r#"
two instances want the same port of one host
  here: port 9001 for a[0] and b[0]
  here: port 9002 for a[1] and b[1]
  here: port 9003 for a[2] and b[2]
  here: port 9004 for a[3] and b[3]
  here: port 9005 for a[4] and b[4]
  here: port 9006 for a[5] and b[5]
  here: port 9007 for a[6] and b[6]
  here: port 9008 for a[7] and b[7]
  … 22 more
hint: use `port: auto`, another number, or more hosts
"#);
    insta::assert_snapshot!(check("a=9:65530", "", &none), @r#"
`a[6]` on `here` would get port 65536; ports end at 65535
hint: use a lower port, or `port: auto`
"#);
}

#[test]
fn ranks_stages_and_peers_follow_the_file() {
    let mut spec = job("hub:9000 spoke=2:9001 alone");
    let (hub, spoke) = (AgentIx(0), AgentIx(1));
    spec.topology = Topology::HubSpoke { hub, spokes: vec![spoke] };
    let plan_of = |spec: &JobSpec| plan(spec, &hosts(""), &PlanOptions::default()).unwrap();
    let json = |plan: &Plan| {
        serde_json::to_string(&PlanJson::new(plan, &Bindings::of(plan), &[])).unwrap()
    };
    insta::assert_snapshot!(json(&plan_of(&spec)), @r#"{"job":"x","generation":0,"size":4,"stages":[["spoke[0]","spoke[1]","alone[0]"],["hub[0]"]],"instances":[{"name":"hub[0]","agent":"hub","index":0,"rank":0,"host":"here","target":"localhost","url":"http://127.0.0.1:9000","ports":{"port":9000},"peers":[{"name":"spoke[0]","url":"http://127.0.0.1:9001"},{"name":"spoke[1]","url":"http://127.0.0.1:9002"}],"stage":1},{"name":"spoke[0]","agent":"spoke","index":0,"rank":1,"host":"here","target":"localhost","url":"http://127.0.0.1:9001","ports":{"port":9001},"peers":[],"stage":0},{"name":"spoke[1]","agent":"spoke","index":1,"rank":2,"host":"here","target":"localhost","url":"http://127.0.0.1:9002","ports":{"port":9002},"peers":[],"stage":0},{"name":"alone[0]","agent":"alone","index":0,"rank":3,"host":"here","target":"localhost","url":null,"ports":{},"peers":[],"stage":0}],"warnings":[]}"#);
    spec.deployment.strategy = Strategy::Sequential;
    assert_eq!(plan_of(&spec).stages.len(), 4);
    spec.topology = Topology::Mesh { agents: vec![hub, spoke] };
    let mesh = plan_of(&spec);
    assert_eq!(mesh.edges(), 6);
    assert_eq!(mesh.peers(Rank(1)).collect::<Vec<_>>(), [Rank(0), Rank(2)]);
    assert!(mesh.peers_differ(spoke) && !mesh.peers_differ(hub));
}

#[test]
fn unknown_ports_and_addresses_are_null() {
    let plan = plan(&job("a:auto b:9000"), &hosts("x"), &PlanOptions::default()).unwrap();
    let json = PlanJson::new(&plan, &Bindings::of(&plan), &[]);
    assert_eq!(
        serde_json::to_value(&json.instances[0].ports).unwrap()["port"],
        serde_json::Value::Null
    );
    assert_eq!((&json.instances[0].url, &json.instances[1].url), (&None, &None));
}

#[test]
fn a_hundred_thousand_instances_are_planned_in_time() {
    let mut spec = job("hub:9000 worker=99999:auto");
    spec.topology = Topology::HubSpoke { hub: AgentIx(0), spokes: vec![AgentIx(1)] };
    let list: Vec<String> = (0..1000).map(|i| format!("n{i}:128")).collect();
    let hosts = hosts(&list.join(","));
    #[expect(clippy::disallowed_methods, reason = "a test of time")]
    let begin = Instant::now();
    let plan = plan(&spec, &hosts, &PlanOptions::default()).unwrap();
    // The promise is 1 s in release; this is a debug build on a busy machine.
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    assert_eq!(plan.size(), 100_000);
    assert_eq!(plan.by_host().iter().map(Vec::len).sum::<usize>(), 100_000);
}

fn jobs() -> impl proptest::strategy::Strategy<Value = (String, String)> {
    let agent = ("", "[=][1-9]", "(@[xyz])?").prop_map(|(_, r, h)| format!("{r}{h}"));
    let agents = proptest::collection::vec(agent, 1..6);
    let hosts = proptest::collection::vec("[xyzuv](:[1-9])?", 0..5);
    (agents, hosts).prop_map(|(agents, hosts)| {
        let agents: Vec<String> =
            agents.iter().enumerate().map(|(i, rest)| format!("a{i}{rest}")).collect();
        (agents.join(" "), hosts.join(","))
    })
}

proptest::proptest! {
    #[test]
    fn every_plan_keeps_its_promises((agents, list) in jobs()) {
        let (spec, hosts) = (job(&agents), hosts(&list));
        let options = PlanOptions::default();
        let Ok(plan) = plan(&spec, &hosts, &options) else { return Ok(()) };
        proptest::prop_assert_eq!(&super::plan(&spec, &hosts, &options).unwrap(), &plan);
        let mut staged: Vec<Rank> = plan.stages.iter().flatten().copied().collect();
        staged.sort_unstable();
        let ranks: Vec<Rank> = plan.instances.iter().map(|i| i.rank).collect();
        proptest::prop_assert_eq!(staged, ranks.clone());
        for (at, rank) in ranks.iter().enumerate() {
            proptest::prop_assert_eq!(rank.0 as usize, at);
        }
        for (host, ranks) in plan.hosts.iter().zip(plan.by_host()) {
            proptest::prop_assert!(host.instances as usize == ranks.len() && !ranks.is_empty());
            let locals: Vec<u32> = ranks.iter().map(|r| plan.instance(*r).local_rank).collect();
            proptest::prop_assert_eq!(locals, (0..host.instances).collect::<Vec<_>>());
            if let Some(slots) = host.entry.slots {
                proptest::prop_assert!(host.instances <= slots);
            }
        }
        for i in &plan.instances {
            if let Target::Remote(remote) = &spec.agent(i.agent).target {
                proptest::prop_assert_eq!(plan.host(i.host).name(), &remote.host);
            }
        }
        // Where nobody wrote slots and nobody is pinned, hosts differ by one at most.
        if !list.contains(':') && !agents.contains('@') {
            let loads = || plan.hosts.iter().map(|h| h.instances);
            let repeated = plan.hosts.iter().any(|h| h.entry.slots.is_some());
            proptest::prop_assert!(repeated || loads().max().unwrap() - loads().min().unwrap() <= 1);
        }
    }
}
