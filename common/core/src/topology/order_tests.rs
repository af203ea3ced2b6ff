//! Tests of wiring and order.

use proptest::prelude::Strategy as _;

use super::*;
use crate::spec::{Connection, DependsOn, Topology};

/// A job of `n` agents with these edges.
fn job(n: u32, edges: &[(u32, u32)], strategy: Strategy) -> JobSpec {
    let mut spec = JobSpec::program(vec!["x".to_owned()], None).unwrap();
    let agent = spec.agents[0].clone();
    spec.agents = (0..n)
        .map(|i| AgentSpec { id: format!("a{i}").parse().unwrap(), ..agent.clone() })
        .collect();
    spec.topology = Topology::Custom(
        edges.iter().map(|(a, b)| Connection { from: AgentIx(*a), to: AgentIx(*b) }).collect(),
    );
    spec.deployment.strategy = strategy;
    spec
}
use crate::spec::AgentSpec;

fn shown(spec: &JobSpec) -> String {
    match levels(spec, &Wiring::of(spec)) {
        Ok(levels) => levels
            .iter()
            .map(|l| l.iter().map(|a| a.0.to_string()).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join(" | "),
        Err(cycle) => cycle.to_string(),
    }
}

#[test]
fn strategies_order_as_they_say() {
    let edges = [(0, 1), (1, 2), (0, 3)];
    assert_eq!(shown(&job(5, &edges, Strategy::Staged)), "2 3 4 | 1 | 0");
    assert_eq!(shown(&job(5, &edges, Strategy::Sequential)), "2 3 4 | 1 | 0");
    assert_eq!(shown(&job(5, &edges, Strategy::TopDown)), "0 4 | 1 3 | 2");
    assert_eq!(shown(&job(5, &edges, Strategy::Parallel)), "0 1 2 3 4");
}

#[test]
fn a_circle_of_the_topology_is_one_stage() {
    assert_eq!(shown(&job(4, &[(0, 1), (1, 2), (2, 1), (2, 3)], Strategy::Staged)), "3 | 1 2 | 0");
    assert_eq!(shown(&job(2, &[(0, 0), (0, 1)], Strategy::Staged)), "1 | 0");
}

#[test]
fn depends_on_orders_and_must_not_go_round() {
    let mut spec = job(3, &[], Strategy::Parallel);
    spec.agents[0].depends_on = vec![(AgentIx(2), DependsOn::Ready)];
    assert_eq!(shown(&spec), "1 2 | 0");
    spec.agents[2].depends_on = vec![(AgentIx(1), DependsOn::Ready)];
    spec.agents[1].depends_on = vec![(AgentIx(0), DependsOn::Started)];
    insta::assert_snapshot!(shown(&spec), @"agents depend on each other in a circle: a0 → a2 → a1 → a0");
    let mut spec = job(2, &[(0, 1)], Strategy::Staged);
    spec.agents[1].depends_on = vec![(AgentIx(0), DependsOn::Ready)];
    insta::assert_snapshot!(shown(&spec), @"agents depend on each other in a circle: a1 → a0 → a1");
    spec.agents[1].depends_on = vec![(AgentIx(1), DependsOn::Ready)];
    insta::assert_snapshot!(shown(&spec), @"agents depend on each other in a circle: a1 → a1");
}

#[test]
fn topologies_have_their_edges() {
    let edges = |topology| {
        let spec = JobSpec { topology, ..job(4, &[], Strategy::Staged) };
        Wiring::of(&spec)
            .edges()
            .map(|e| format!("{}{}", e.from.0, e.to.0))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let a = |n| AgentIx(n);
    assert_eq!(edges(Topology::HubSpoke { hub: a(3), spokes: vec![a(1), a(0)] }), "30 31");
    assert_eq!(
        edges(Topology::Pipeline { stages: vec![vec![a(0)], vec![a(1), a(2)], vec![a(3)]] }),
        "01 02 13 23"
    );
    assert_eq!(edges(Topology::Mesh { agents: vec![a(0), a(2)] }), "00 02 20 22");
    assert_eq!(edges(Topology::Dynamic), "");
}

#[test]
fn a_long_chain_does_not_overflow_the_stack() {
    let n = 100_000;
    let edges: Vec<(u32, u32)> = (1..n).map(|i| (i - 1, i)).collect();
    let spec = job(n, &edges, Strategy::Staged);
    assert_eq!(levels(&spec, &Wiring::of(&spec)).unwrap().len(), n as usize);
}

fn graph() -> impl proptest::strategy::Strategy<Value = (u32, Vec<(u32, u32)>)> {
    (1..12_u32).prop_flat_map(|n| (Just(n), proptest::collection::vec((0..n, 0..n), 0..25)))
}
use proptest::prelude::Just;

proptest::proptest! {
    #[test]
    fn stages_hold_everybody_once_and_callees_first((n, edges) in graph()) {
        for strategy in [Strategy::Staged, Strategy::TopDown, Strategy::Parallel] {
            let spec = job(n, &edges, strategy);
            let wiring = Wiring::of(&spec);
            let found = levels(&spec, &wiring).unwrap();
            let mut seen: Vec<u32> = found.iter().flatten().map(|a| a.0).collect();
            seen.sort_unstable();
            proptest::prop_assert_eq!(seen, (0..n).collect::<Vec<_>>());
            proptest::prop_assert!(found.iter().all(|l| !l.is_empty()));
            let level = |a: AgentIx| found.iter().position(|l| l.contains(&a)).unwrap();
            for edge in wiring.edges() {
                match strategy {
                    Strategy::Staged | Strategy::Sequential => {
                        proptest::prop_assert!(level(edge.to) <= level(edge.from));
                    }
                    Strategy::TopDown => {
                        proptest::prop_assert!(level(edge.from) <= level(edge.to));
                    }
                    Strategy::Parallel => {}
                }
            }
            proptest::prop_assert_eq!(levels(&spec, &wiring).unwrap(), found);
        }
    }

    #[test]
    fn a_cycle_found_is_a_cycle_and_none_is_missed((n, edges) in graph()) {
        let spec = job(n, &edges, Strategy::Staged);
        let wiring = Wiring::of(&spec);
        match wiring.cycle() {
            Some(path) => {
                proptest::prop_assert_eq!(path.first(), path.last());
                for pair in path.windows(2) {
                    proptest::prop_assert!(wiring.callees(pair[0]).contains(&pair[1]));
                }
            }
            // Without a cycle every callee starts strictly before its caller.
            None => {
                let found = levels(&spec, &wiring).unwrap();
                let level = |a: AgentIx| found.iter().position(|l| l.contains(&a)).unwrap();
                for edge in wiring.edges() {
                    proptest::prop_assert!(level(edge.to) < level(edge.from));
                }
            }
        }
    }
}

/// Any topology over `n` agents with some copies, and the edges that its definition says.
fn topologies() -> impl proptest::strategy::Strategy<Value = (JobSpec, u64)> {
    let parts = (2_u32..9, 0_u8..5, proptest::collection::vec(1_u32..4, 9), 0_u8..4);
    parts.prop_map(|(n, kind, copies, strategy)| {
        let strategies =
            [Strategy::Staged, Strategy::Parallel, Strategy::Sequential, Strategy::TopDown];
        let mut spec = job(n, &[], strategies[usize::from(strategy)]);
        for (agent, copies) in spec.agents.iter_mut().zip(&copies) {
            agent.replicas = Some(crate::spec::Replicas::Fixed(*copies));
        }
        let all: Vec<AgentIx> = spec.indices().collect();
        let count = |ix: &AgentIx| u64::from(copies[ix.get()]);
        let sum = |list: &[AgentIx]| list.iter().map(count).sum::<u64>();
        let (hub, rest) = (all[0], all[1..].to_vec());
        let stages: Vec<Vec<AgentIx>> = all.chunks(2).map(<[AgentIx]>::to_vec).collect();
        let between: u64 = stages.windows(2).map(|w| sum(&w[0]) * sum(&w[1])).sum();
        // A binary tree: the parent of n is (n - 1) / 2.
        let links: Vec<Connection> =
            rest.iter().map(|c| Connection { from: AgentIx((c.0 - 1) / 2), to: *c }).collect();
        let tree: u64 = links.iter().map(|c| count(&c.from) * count(&c.to)).sum();
        let total = sum(&all);
        let (topology, edges) = match kind {
            0 => (Topology::HubSpoke { hub, spokes: rest.clone() }, count(&hub) * sum(&rest)),
            1 => (Topology::Pipeline { stages }, between),
            2 => (Topology::Mesh { agents: all }, total * (total - 1)),
            3 => (Topology::Hierarchical { root: hub, links }, tree),
            _ => (Topology::Dynamic, 0),
        };
        spec.topology = topology;
        (spec, edges)
    })
}

proptest::proptest! {
    #[test]
    fn every_topology_has_the_edges_of_its_definition((spec, edges) in topologies()) {
        use crate::plan::{Hosts, PlanOptions, plan};
        let hosts = Hosts::List(crate::hostfile::parse("x\ny slots=90\n").unwrap());
        let made = plan(&spec, &hosts, &PlanOptions::default()).unwrap();
        proptest::prop_assert_eq!(made.edges(), edges);
        let peers: u64 = made.instances.iter().map(|i| made.peers(i.rank).count() as u64).sum();
        proptest::prop_assert_eq!(peers, edges);
        let mut staged: Vec<_> = made.stages.iter().flatten().collect();
        staged.sort_unstable();
        staged.dedup();
        proptest::prop_assert_eq!(staged.len(), made.instances.len());
        if spec.deployment.strategy == Strategy::Staged {
            for i in &made.instances {
                let later = made.peers(i.rank).any(|p| made.instance(p).stage > i.stage);
                proptest::prop_assert!(!later);
            }
        }
        proptest::prop_assert_eq!(&plan(&spec, &hosts, &PlanOptions::default()).unwrap(), &made);
    }
}
