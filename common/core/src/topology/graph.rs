//! A topology as text that a person can read, as Mermaid and as DOT. Pure functions of a job.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::spec::{AgentIx, DependsOn, JobSpec, Replicas, Strategy};
use crate::topology::{CycleError, Wiring, in_no_set, levels};

/// Lines of text are broken before they are longer.
const LINE_WIDTH: usize = 100;
/// A longer name pushes its line to the right, not every line.
const LABEL_WIDTH_MAX: usize = 32;
/// Who calls more others than this, and all of them, calls everybody else.
const EVERYBODY_FROM: usize = 4;

/// What is drawn of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    job: String,
    kind: &'static str,
    strategy: Strategy,
    agents: Vec<Node>,
    edges: Vec<(AgentIx, AgentIx)>,
    waits: Vec<(AgentIx, AgentIx, DependsOn)>,
    /// Who is launched together; agents that are not launched stand in none.
    stages: Vec<Vec<AgentIx>>,
    circles: Vec<Vec<AgentIx>>,
    alone: Vec<AgentIx>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    id: String,
    copies: String,
    external: Option<String>,
    target: &'static str,
}

impl Graph {
    /// The graph of a job. `counts`: copies per agent where a plan knows them, else what is
    /// written.
    pub fn of(spec: &JobSpec, counts: Option<&[u32]>) -> Result<Self, CycleError> {
        let wiring = Wiring::of(spec);
        let mut stages = levels(spec, &wiring)?;
        for stage in &mut stages {
            stage.retain(|ix| spec.agent(*ix).external().is_none());
        }
        // As in the plan: a level of external agents alone launches nothing.
        stages.retain(|stage| !stage.is_empty());
        let copies =
            |ix: AgentIx| match (counts.and_then(|c| c.get(ix.get())), spec.agent(ix).replicas) {
                (Some(1), _) | (None, None | Some(Replicas::Fixed(1))) => String::new(),
                (Some(n), _) => format!(" ×{n}"),
                (None, Some(Replicas::Fixed(n))) => format!(" ×{n}"),
                (None, Some(Replicas::Auto)) => " ×auto".to_owned(),
            };
        let nodes: Vec<Node> = spec
            .indices()
            .map(|ix| {
                let agent = spec.agent(ix);
                let external = agent.external().map(str::to_owned);
                let copies = if external.is_some() { String::new() } else { copies(ix) };
                Node { id: agent.id.to_string(), copies, external, target: agent.target.kind() }
            })
            .collect();
        // One copy has no other copies to call.
        let several = |ix: AgentIx| !nodes[ix.get()].copies.is_empty();
        let edges = wiring.edges().filter(|e| e.from != e.to || several(e.from));
        let edges = edges.map(|e| (e.from, e.to)).collect();
        let waits = spec
            .indices()
            .flat_map(|ix| spec.agent(ix).depends_on.iter().map(move |(on, how)| (ix, *on, *how)))
            .collect();
        Ok(Self {
            job: spec.name.to_string(),
            kind: spec.topology.kind(),
            strategy: spec.deployment.strategy,
            agents: nodes,
            edges,
            waits,
            stages,
            circles: wiring.circles(),
            alone: in_no_set(spec),
        })
    }

    /// Lines for a terminal: who calls whom, what stands out, and the order of starting.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{}: {}, {}, {}\n",
            self.job,
            match self.kind {
                "none" => "no topology",
                kind => kind,
            },
            counted(self.agents.len(), "agent"),
            counted(self.edges.len(), "edge"),
        );
        let width = self.agents.iter().map(|a| a.id.chars().count() + a.copies.chars().count());
        let width = width.max().unwrap_or(0).min(LABEL_WIDTH_MAX);
        if !self.edges.is_empty() || self.agents.iter().any(|a| a.external.is_some()) {
            out.push_str("\ncalls\n");
            self.calls(width, &mut out);
        }
        if !self.circles.is_empty() {
            out.push_str("\ncircles: these reach each other and start together\n");
            for circle in &self.circles {
                if circle.len() == self.agents.len() && circle.len() > EVERYBODY_FROM {
                    out.push_str("  everybody\n");
                    continue;
                }
                wrapped(&mut out, "  ", &self.labels(circle), ", ");
            }
        }
        if !self.alone.is_empty() {
            out.push_str("\nin no set, launched without peers\n");
            wrapped(&mut out, "  ", &self.labels(&self.alone), ", ");
        }
        if !self.waits.is_empty() {
            out.push_str("\nwaits\n");
            for (from, on, how) in &self.waits {
                let (from, on) = (self.label(*from), self.label(*on));
                let _ = writeln!(out, "  {from:width$}  until {on} is {}", how.as_str());
            }
        }
        let order = match self.strategy {
            Strategy::Staged => "callees first",
            Strategy::Parallel => "all at once",
            Strategy::Sequential => "one by one",
            Strategy::TopDown => "callers first",
        };
        let _ = writeln!(out, "\nstarts, {order}");
        for (n, stage) in self.stages.iter().enumerate() {
            wrapped(&mut out, &format!("  {n}  "), &self.labels(stage), ", ");
        }
        out
    }

    fn calls(&self, width: usize, out: &mut String) {
        let others = self.agents.len() - 1;
        let mut callees: BTreeMap<AgentIx, Vec<AgentIx>> = BTreeMap::new();
        for (from, to) in &self.edges {
            callees.entry(*from).or_default().push(*to);
        }
        let calls_all = |(ix, called): (&AgentIx, &Vec<AgentIx>)| {
            others > EVERYBODY_FROM && called.iter().filter(|c| *c != ix).count() == others
        };
        if callees.len() == self.agents.len() && callees.iter().all(calls_all) {
            out.push_str("  everybody → everybody else\n");
            return;
        }
        for (ix, agent) in (0_u32..).map(AgentIx).zip(&self.agents) {
            let start = format!("  {:width$}  ", self.label(ix));
            if let Some(url) = &agent.external {
                let _ = writeln!(out, "{start}is {url}");
            }
            // Who calls nobody stands among the stages.
            let Some(called) = callees.get(&ix) else { continue };
            let names: Vec<String> = if calls_all((&ix, called)) {
                vec!["everybody else".to_owned()]
            } else {
                called.iter().map(|to| self.callee(ix, *to)).collect()
            };
            wrapped(out, &format!("{start}→ "), &names, ", ");
        }
    }

    fn callee(&self, from: AgentIx, to: AgentIx) -> String {
        if from == to { "its other copies".to_owned() } else { self.label(to) }
    }

    fn labels(&self, list: &[AgentIx]) -> Vec<String> {
        list.iter().map(|ix| self.label(*ix)).collect()
    }

    /// The same for scripts. `copies` is null where it is `auto` and no plan knows it.
    pub fn json(&self) -> Value {
        let id = |ix: &AgentIx| self.agents[ix.get()].id.as_str();
        let ids = |list: &[AgentIx]| list.iter().map(id).collect::<Vec<_>>();
        let agents = self.agents.iter().map(|agent| {
            let copies = match (&agent.external, agent.copies.trim_start_matches(" ×")) {
                (Some(_), _) => Some(0),
                (None, "") => Some(1),
                (None, copies) => copies.parse().ok(),
            };
            json!({
                "id": agent.id, "copies": copies, "target": agent.target, "external": agent.external,
            })
        });
        let edges = self.edges.iter().map(|(from, to)| json!({ "from": id(from), "to": id(to) }));
        let waits = self.waits.iter().map(
            |(agent, on, how)| json!({ "agent": id(agent), "on": id(on), "until": how.as_str() }),
        );
        json!({
            "job": self.job,
            "topology": self.kind,
            "strategy": self.strategy.as_str(),
            "agents": agents.collect::<Vec<_>>(),
            "edges": edges.collect::<Vec<_>>(),
            "waits": waits.collect::<Vec<_>>(),
            "stages": self.stages.iter().map(|s| ids(s)).collect::<Vec<_>>(),
            "circles": self.circles.iter().map(|c| ids(c)).collect::<Vec<_>>(),
            "in_no_set": ids(&self.alone),
        })
    }

    /// A Mermaid flow chart.
    pub fn mermaid(&self) -> String {
        let mut out = String::from("flowchart TD\n");
        for (n, agent) in self.agents.iter().enumerate() {
            let label = escape_mermaid(&format!("{}{}", agent.id, agent.copies));
            let _ = match &agent.external {
                Some(_) => writeln!(out, "  a{n}([\"{label}\"])"),
                None => writeln!(out, "  a{n}[\"{label}\"]"),
            };
        }
        for (from, to) in &self.edges {
            let _ = writeln!(out, "  a{} --> a{}", from.0, to.0);
        }
        for (from, on, how) in &self.waits {
            let _ = writeln!(out, "  a{} -. {} .-> a{}", from.0, how.as_str(), on.0);
        }
        out
    }

    /// A Graphviz graph.
    pub fn dot(&self) -> String {
        let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut out = format!("digraph {} {{\n  node [shape=box];\n", quote(&self.job));
        for agent in &self.agents {
            let label = quote(&format!("{}{}", agent.id, agent.copies));
            let style = match (&agent.external, agent.target) {
                (Some(_), _) => ", style=dashed",
                (None, "localhost") => "",
                (None, _) => ", style=bold",
            };
            let _ = writeln!(out, "  {} [label={label}{style}];", quote(&agent.id));
        }
        let id = |ix: &AgentIx| quote(&self.agents[ix.get()].id);
        for (from, to) in &self.edges {
            let _ = writeln!(out, "  {} -> {};", id(from), id(to));
        }
        for (from, on, how) in &self.waits {
            let label = how.as_str();
            let _ = writeln!(out, "  {} -> {} [style=dashed, label={label}];", id(from), id(on));
        }
        out.push_str("}\n");
        out
    }

    fn label(&self, ix: AgentIx) -> String {
        let agent = &self.agents[ix.get()];
        format!("{}{}", agent.id, agent.copies)
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Items behind a start, broken into lines that begin below the first item.
fn wrapped(out: &mut String, start: &str, items: &[String], between: &str) {
    let indent = start.chars().count();
    let mut used = indent;
    out.push_str(start);
    for (n, item) in items.iter().enumerate() {
        let width = item.chars().count() + between.chars().count();
        if n > 0 {
            out.push_str(between);
            if used + width > LINE_WIDTH {
                let shorter = out.trim_end_matches(' ').len();
                out.truncate(shorter);
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                used = indent;
            }
        }
        out.push_str(item);
        used += width;
    }
    out.push('\n');
}

/// Quotes end a label; Mermaid reads HTML entities in it.
fn escape_mermaid(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
