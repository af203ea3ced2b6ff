//! Tests of `--map-by`, limits per host, placement and resources.

use super::*;
use crate::hostfile;
use crate::plan::{Hosts, PlanOptions, plan};
use crate::spec::{AgentSpec, Placement, Replicas, Run};

/// `id=3` words; what follows is changed by the test.
fn job(agents: &str) -> JobSpec {
    let mut spec = JobSpec::program(vec!["x".to_owned()], None).unwrap();
    let run = Run::Command(vec!["x".to_owned()]);
    spec.agents = agents
        .split_whitespace()
        .map(|word| {
            let (id, n) = word.split_once('=').unwrap_or((word, "1"));
            let replicas = Some(Replicas::Fixed(n.parse().unwrap()));
            AgentSpec { replicas, ..AgentSpec::new(id.parse().unwrap(), run.clone()) }
        })
        .collect();
    spec
}

fn check(spec: &JobSpec, list: &str, options: &PlanOptions) -> String {
    let hosts = match list {
        "" => Hosts::Local("here".parse().unwrap()),
        list => Hosts::List(hostfile::parse(list).unwrap()),
    };
    match plan(spec, &hosts, options) {
        Ok(plan) => {
            let shown = plan
                .instances
                .iter()
                .map(|i| format!("{}@{}", plan.name(i.rank), plan.host(i.host).name()));
            shown.collect::<Vec<_>>().join(" ")
        }
        Err(error) => {
            let hints = error.hints().into_iter().map(|h| format!("\nhint: {h}"));
            let text = format!("{error}{}", hints.collect::<String>());
            assert!(text.lines().count() <= 12, "{text}");
            text
        }
    }
}

fn by(text: &str) -> PlanOptions {
    PlanOptions { map_by: text.parse().unwrap(), ..PlanOptions::default() }
}

const THREE: &str = "x slots=3\ny slots=3\nz slots=1\n";

#[test]
fn ranks_are_mapped_by_what_is_asked_for() {
    let spec = job("a=6");
    assert_eq!(check(&spec, THREE, &by("slot")), "a[0]@x a[1]@x a[2]@x a[3]@y a[4]@y a[5]@y");
    assert_eq!(check(&spec, THREE, &by("node")), "a[0]@x a[1]@y a[2]@z a[3]@x a[4]@y a[5]@x");
    assert_eq!(check(&spec, THREE, &by("span")), "a[0]@x a[1]@x a[2]@x a[3]@y a[4]@y a[5]@z");
    assert_eq!(check(&job("a=4"), "x\ny\n", &by("ppr:2:host")), "a[0]@x a[1]@x a[2]@y a[3]@y");
    assert_eq!(
        "ppr:0:host".parse::<MapBy>().unwrap_err().to_string(),
        "`ppr:0:host` is no way to map; write slot, node, span or ppr:N:host"
    );
    let two = PlanOptions { max_per_host: Some(2), ..PlanOptions::default() };
    assert_eq!(check(&job("a=4"), "x slots=8\ny\n", &two), "a[0]@x a[1]@x a[2]@y a[3]@y");
    insta::assert_snapshot!(check(&job("a=5"), "x slots=8\ny\n", &two), @r#"
5 instances do not fit into 4 slots: 1 missing
  demanded: a 5
  x: 2 slots
  y: 2 slots
hint: --max-per-host 2 limits every host
hint: --oversubscribe goes beyond written slots
hint: add hosts, raise slots=, or write hosts without slots
"#);
}

#[test]
fn placement_is_kept_or_refused_with_its_reasons() {
    let none = PlanOptions::default();
    let list = "x labels=gpu,big\ny labels=gpu\nz\n";
    let mut spec = job("a=4 b=2 c");
    spec.agents[0].placement =
        Placement { labels: vec!["gpu".into()], spread: Some(Spread::Host), ..Default::default() };
    spec.agents[1].placement = Placement { apart: vec![AgentIx(1)], ..Default::default() };
    spec.agents[2].placement =
        Placement { host: Some(PlaceHost::Named("z".parse().unwrap())), ..Default::default() };
    assert_eq!(check(&spec, list, &none), "a[0]@x a[1]@y a[2]@x a[3]@y b[0]@z b[1]@x c[0]@z");

    // `with` a later agent: seated behind it, ranks in file order.
    let mut spec = job("a b=2");
    spec.agents[0].placement = Placement { with: vec![AgentIx(1)], ..Default::default() };
    spec.agents[1].placement = Placement { labels: vec!["big".into()], ..Default::default() };
    assert_eq!(check(&spec, list, &none), "a[0]@x b[0]@x b[1]@x");

    let mut spec = job("a=4 b");
    spec.agents[0].placement = Placement { apart: vec![AgentIx(0)], ..Default::default() };
    insta::assert_snapshot!(check(&spec, list, &none), @r#"
agent `a`: 1 of 4 instances found no host among 3
  x, y, z: has one `a` already
hint: --scale a=3 fits
hint: `a2arun plan` shows who sits where; loosen `placement`, or add hosts
"#);
    let mut spec = job("a");
    spec.agents[0].placement = Placement { labels: vec!["tpu".into()], ..Default::default() };
    insta::assert_snapshot!(check(&spec, list, &none), @r#"
agent `a`: 1 of 1 instances found no host among 3
  x, y, z: no label `tpu`
hint: `a2arun plan` shows who sits where; loosen `placement`, or add hosts
"#);
    spec.agents[0].placement =
        Placement { host: Some(PlaceHost::Named("gpu-1".parse().unwrap())), ..Default::default() };
    insta::assert_snapshot!(check(&spec, "", &none), @r#"
agent `a`: 1 of 1 instances found no host among 1
  here: is not `gpu-1`
hint: `a2arun plan` shows who sits where; loosen `placement`, or add hosts
"#);
}

#[test]
fn the_head_is_where_it_was_launched() {
    let head = PlanOptions { head: Some("me".parse().unwrap()), ..PlanOptions::default() };
    let mut spec = job("a b");
    spec.agents[0].placement = Placement { host: Some(PlaceHost::Head), ..Default::default() };
    assert_eq!(check(&spec, "x\ny\n", &head), "a[0]@me b[0]@x");
    assert_eq!(check(&spec, "x\nme slots=2\n", &head), "a[0]@me b[0]@me");
    assert_eq!(check(&spec, "", &head), "a[0]@here b[0]@here");
}

#[test]
fn resources_bind_where_they_are_known() {
    let mut spec = job("a=3");
    spec.agents[0].resources.gpus = Some(1);
    let none = PlanOptions::default();
    assert_eq!(check(&spec, "x gpus=1\ny gpus=2\n", &none), "a[0]@x a[1]@y a[2]@y");
    assert_eq!(check(&spec, "x\ny\n", &none), "a[0]@x a[1]@y a[2]@x");
    insta::assert_snapshot!(check(&spec, "x gpus=1\ny gpus=1\n", &none), @r#"
agent `a`: 1 of 3 instances found no host among 2
  x, y: 0 GPUs left, 1 needed
hint: --scale a=2 fits
hint: `a2arun plan` shows who sits where; loosen `placement`, or add hosts
"#);
    spec.agents[0].resources = Resources { memory_bytes: Some(1 << 30), ..Default::default() };
    let mut known = PlanOptions::default();
    let amount = Amounts { memory_bytes: Some(3 << 29), ..Default::default() };
    known.amounts = [("x".parse().unwrap(), amount)].into();
    assert_eq!(check(&spec, "x\ny\n", &known), "a[0]@x a[1]@y a[2]@y");
}

#[test]
fn external_agents_have_no_instances() {
    let mut spec = job("a e b");
    spec.agents[1].run = Run::External { url: "http://e:1".to_owned() };
    spec.agents[1].replicas = None;
    assert_eq!(check(&spec, "", &PlanOptions::default()), "a[0]@here b[0]@here");
}

use proptest::prelude::Strategy as _;

fn jobs() -> impl proptest::strategy::Strategy<Value = (JobSpec, String, PlanOptions)> {
    let agent = (1_u32..5, 0_u8..6, 0_u32..4, 0_u32..4, proptest::bool::ANY);
    let host = (0_u32..4, proptest::bool::ANY, 0_u32..3);
    let maps = ["slot", "node", "span", "ppr:3:host"];
    let map = (proptest::sample::select(maps.to_vec()), proptest::option::of(1_u32..6));
    let agents = proptest::collection::vec(agent, 1..5);
    (agents, proptest::collection::vec(host, 1..6), map).prop_map(|(agents, hosts, (map, max))| {
        let words: Vec<String> =
            agents.iter().enumerate().map(|(i, a)| format!("a{i}={}", a.0)).collect();
        let mut spec = job(&words.join(" "));
        let n = u32::try_from(agents.len()).unwrap();
        for (agent, (_, kind, one, other, gpu)) in spec.agents.iter_mut().zip(&agents) {
            let (one, other) = (AgentIx(one % n), AgentIx(other % n));
            let placement = &mut agent.placement;
            match kind {
                0 => placement.spread = Some(Spread::Host),
                1 => placement.apart = vec![one],
                2 => placement.labels = vec!["gpu".into()],
                3 if one != other => (placement.with, placement.apart) = (vec![one], vec![other]),
                _ => {}
            }
            agent.resources.gpus = gpu.then_some(1);
        }
        let hosts = hosts.iter().enumerate().map(|(i, (slots, label, gpus))| {
            let slots = if *slots == 0 { String::new() } else { format!(" slots={slots}") };
            let label = if *label { " labels=gpu" } else { "" };
            let gpus = if *gpus == 0 { String::new() } else { format!(" gpus={}", gpus - 1) };
            format!("h{i}{slots}{label}{gpus}\n")
        });
        let options =
            PlanOptions { map_by: map.parse().unwrap(), max_per_host: max, ..Default::default() };
        (spec, hosts.collect::<String>(), options)
    })
}

proptest::proptest! {
    #[test]
    fn every_map_keeps_its_promises((spec, list, options) in jobs()) {
        let entries = hostfile::parse(&list).unwrap();
        let hosts = Hosts::List(entries);
        let made = match plan(&spec, &hosts, &options) {
            Ok(made) => made,
            Err(error) => {
                let lines = error.to_string().lines().count() + error.hints().len();
                proptest::prop_assert!(lines <= 12, "{error}");
                return Ok(());
            }
        };
        proptest::prop_assert_eq!(&plan(&spec, &hosts, &options).unwrap(), &made);
        let on = |agent: AgentIx| -> Vec<HostIx> {
            made.agent(agent).ranks().map(|r| made.instance(r).host).collect()
        };
        for ix in spec.indices() {
            let (agent, seats) = (spec.agent(ix), on(ix));
            proptest::prop_assert_eq!(seats.len(), made.agent(ix).count as usize);
            for other in &agent.placement.apart {
                if *other == ix {
                    let mut alone = seats.clone();
                    alone.sort_unstable();
                    alone.dedup();
                    proptest::prop_assert_eq!(alone.len(), seats.len());
                } else {
                    proptest::prop_assert!(on(*other).iter().all(|h| !seats.contains(h)));
                }
            }
            for label in &agent.placement.labels {
                proptest::prop_assert!(seats.iter().all(|h| made.host(*h).entry.labels.contains(label)));
            }
        }
        for host in &made.hosts {
            let cap = [host.entry.slots, options.max_per_host].into_iter().flatten().min();
            proptest::prop_assert!(cap.is_none_or(|cap| host.instances <= cap));
            if let Some(gpus) = host.entry.gpus {
                let used: u32 = made
                    .instances
                    .iter()
                    .filter(|i| made.host(i.host).name() == host.name())
                    .filter_map(|i| spec.agent(i.agent).resources.gpus)
                    .sum();
                proptest::prop_assert!(used <= gpus);
            }
        }
    }
}

#[test]
fn an_agent_may_follow_another_to_a_host_of_its_own() {
    let mut spec = job("a b c");
    let host = "gpu".parse().unwrap();
    let remote = crate::spec::Remote { host, user: None, ssh_port: None, ssh_key: None };
    spec.agents[1].target = crate::spec::Target::Remote(remote);
    spec.agents[0].placement = Placement { with: vec![AgentIx(1)], ..Default::default() };
    assert_eq!(check(&spec, "x\n", &PlanOptions::default()), "a[0]@gpu b[0]@gpu c[0]@x");
}

#[test]
fn who_is_pinned_later_is_kept_away_from_all_the_same() {
    let mut spec = job("a b");
    let host = "x".parse().unwrap();
    let remote = crate::spec::Remote { host, user: None, ssh_port: None, ssh_key: None };
    spec.agents[1].target = crate::spec::Target::Remote(remote);
    spec.agents[0].placement = Placement { apart: vec![AgentIx(1)], ..Default::default() };
    assert_eq!(check(&spec, "x\ny\n", &PlanOptions::default()), "a[0]@y b[0]@x");
}

#[test]
fn who_may_go_anywhere_leaves_room_for_who_may_not() {
    let mut spec = job("w=4 guard=2");
    spec.agents[1].placement = Placement { apart: vec![AgentIx(1)], ..Default::default() };
    assert_eq!(
        check(&spec, "a slots=3\nb slots=3\n", &PlanOptions::default()),
        "w[0]@a w[1]@a w[2]@b w[3]@b guard[0]@a guard[1]@b"
    );
}
