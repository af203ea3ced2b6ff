//! A topology as text that a person can read, as Mermaid and as DOT. Pure functions of a job.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::spec::{AgentIx, DependsOn, JobSpec, Replicas};
use crate::topology::{CycleError, Wiring, levels};

/// What is drawn of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    job: String,
    kind: &'static str,
    strategy: &'static str,
    agents: Vec<Node>,
    edges: Vec<(AgentIx, AgentIx)>,
    waits: Vec<(AgentIx, AgentIx, DependsOn)>,
    stages: Vec<Vec<AgentIx>>,
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
        let stages = levels(spec, &wiring)?;
        let copies =
            |ix: AgentIx| match (counts.and_then(|c| c.get(ix.get())), spec.agent(ix).replicas) {
                (Some(1), _) | (None, None | Some(Replicas::Fixed(1))) => String::new(),
                (Some(n), _) => format!(" ×{n}"),
                (None, Some(Replicas::Fixed(n))) => format!(" ×{n}"),
                (None, Some(Replicas::Auto)) => " ×auto".to_owned(),
            };
        let agents = spec
            .indices()
            .map(|ix| {
                let agent = spec.agent(ix);
                let external = agent.external().map(str::to_owned);
                let copies = if external.is_some() { String::new() } else { copies(ix) };
                Node { id: agent.id.to_string(), copies, external, target: agent.target.kind() }
            })
            .collect();
        let waits = spec
            .indices()
            .flat_map(|ix| spec.agent(ix).depends_on.iter().map(move |(on, how)| (ix, *on, *how)))
            .collect();
        Ok(Self {
            job: spec.name.to_string(),
            kind: spec.topology.kind(),
            strategy: spec.deployment.strategy.as_str(),
            agents,
            edges: wiring.edges().map(|e| (e.from, e.to)).collect(),
            waits,
            stages,
        })
    }

    /// Lines for a terminal: every agent with whom it calls, then the order of starting.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{}: {}, {} agents, {} edges, {} stages ({})\n",
            self.job,
            self.kind,
            self.agents.len(),
            self.edges.len(),
            self.stages.len(),
            self.strategy
        );
        let mut callees: BTreeMap<AgentIx, Vec<String>> = BTreeMap::new();
        for (from, to) in &self.edges {
            callees.entry(*from).or_default().push(self.label(*to));
        }
        let width = self.agents.iter().map(|a| a.id.chars().count() + a.copies.chars().count());
        let width = width.max().unwrap_or(0);
        out.push_str("\ncalls\n");
        for (ix, agent) in (0_u32..).map(AgentIx).zip(&self.agents) {
            let label = self.label(ix);
            let called = callees.get(&ix).map_or_else(|| "—".to_owned(), |list| list.join(", "));
            let _ = match &agent.external {
                Some(url) => writeln!(out, "  {label:width$}  is {url}"),
                None if called == "—" => writeln!(out, "  {label:width$}  nobody"),
                None => writeln!(out, "  {label:width$}  → {called}"),
            };
        }
        if !self.waits.is_empty() {
            out.push_str("\nwaits\n");
            for (from, on, how) in &self.waits {
                let (from, on) = (self.label(*from), self.label(*on));
                let _ = writeln!(out, "  {from:width$}  until {on} is {}", how.as_str());
            }
        }
        out.push_str("\nstages\n");
        for (n, stage) in self.stages.iter().enumerate() {
            let names: Vec<String> = stage.iter().map(|ix| self.label(*ix)).collect();
            let _ = writeln!(out, "  {n}  {}", names.join(", "));
        }
        out
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

/// Quotes end a label; Mermaid reads HTML entities in it.
fn escape_mermaid(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
