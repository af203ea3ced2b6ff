//! How long planning takes: 100,000 instances over 1,000 hosts, each step apart.
//!
//!     cargo run --release -p a2arun-core --features spec --example plan_large [INSTANCES [HOSTS]]

#![expect(clippy::disallowed_methods, reason = "it looks at the clock, which core does not")]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::fmt::Write as _;
use std::time::Instant;

use a2arun_core::hostfile;
use a2arun_core::plan::{Bindings, Hosts, PlanOptions, ResolvedPlan, StageIx, plan};
use a2arun_core::spec::load;

/// A hub over workers of every kind: free, spread, labelled, with a request, each on its own host.
fn job(instances: u32, hosts: u32) -> String {
    let share = instances / 4;
    let free = instances - 1 - 3 * share - hosts;
    format!(
        "agents:\n\
         - {{id: guard, command: [x], replicas: {hosts}, placement: {{apart: [guard]}}}}\n\
         - {{id: hub, command: [hub], config: {{port: auto}}}}\n\
         - {{id: free, command: [x], config: {{port: auto}}, replicas: {free}}}\n\
         - {{id: spread, command: [x], config: {{port: auto}}, replicas: {share}, placement: {{spread: host}}}}\n\
         - {{id: labelled, command: [x], config: {{port: auto}}, replicas: {share}, placement: {{labels: [gpu]}}}}\n\
         - {{id: hungry, command: [x], config: {{port: 9000}}, replicas: {share}, resources: {{gpu: 1}}}}\n\
         topology: {{type: hub-spoke, hub: hub, spokes: [free, spread, labelled, hungry]}}\n"
    )
}

fn main() {
    let mut numbers = std::env::args().skip(1).map_while(|a| a.parse::<u32>().ok());
    let (instances, hosts) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(1_000));
    let slots = 2 * instances / hosts + 8;
    let mut list = String::new();
    for n in 0..hosts {
        let label = if n % 2 == 0 { "labels=gpu" } else { "labels=cpu" };
        let written =
            writeln!(list, "node{n:05}.cluster slots={slots} {label} gpus=1000 addr=10.0.0.1");
        assert!(written.is_ok(), "a text can be written to");
    }
    let text = job(instances, hosts);
    let mut last = Instant::now();
    let mut step = |what: &str| {
        println!("{what:<28} {:>8.1} ms", last.elapsed().as_secs_f64() * 1000.0);
        last = Instant::now();
    };
    let entries = hostfile::parse(&list).unwrap_or_default();
    step("read the hostfile");
    let Ok(loaded) = load("large.yaml", &text, &|_| None) else { return step("a bad job") };
    step("read the job file");
    let hosts = Hosts::List(entries);
    let made = plan(&loaded.spec, &hosts, &PlanOptions::default());
    step("plan");
    let made = match made {
        Ok(made) => std::sync::Arc::new(made),
        Err(error) => return println!("{error}"),
    };
    let by_host = made.by_host();
    let stages: usize = (0..made.stages.len())
        .map(|s| made.stage_by_host(StageIx(u32::try_from(s).unwrap_or(0))).len())
        .sum();
    step("ranks by host and stage");
    let mut bindings = Bindings::of(&made);
    for instance in &made.instances {
        bindings.set_port(instance.rank, 20_000);
    }
    let resolved = ResolvedPlan::new(made.clone(), bindings);
    let peers = resolved.map_or(0, |r| r.peer_urls(made.agents[1].first).len());
    step("resolve, and the hub's URLs");
    println!(
        "{} instances on {} hosts, {} edges, {stages} parts of stages, {peers} bytes of URLs",
        made.size(),
        by_host.len(),
        made.edges()
    );
}
