//! `topology`: names become indices, and each type has the fields it needs.

use crate::source::{Code, Finding, Span};
use crate::spec::load::Roster;
use crate::spec::model::{AgentIx, Connection, Topology};
use crate::spec::table::{Findings, Table, scalar, texts};
use crate::spec::yaml::{Node, Value};
use crate::topology::Wiring;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    HubSpoke,
    Pipeline,
    Dag,
    Custom,
    Mesh,
    Hierarchical,
    Single,
    Dynamic,
}

pub(super) const KINDS: [(&str, Kind); 8] = [
    ("hub-spoke", Kind::HubSpoke),
    ("pipeline", Kind::Pipeline),
    ("dag", Kind::Dag),
    ("custom", Kind::Custom),
    ("mesh", Kind::Mesh),
    ("hierarchical", Kind::Hierarchical),
    ("single", Kind::Single),
    ("dynamic", Kind::Dynamic),
];

/// Which keys a type reads.
fn reads(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::HubSpoke => &["hub", "spokes"],
        Kind::Pipeline => &["stages"],
        Kind::Dag | Kind::Custom => &["connections"],
        Kind::Mesh => &["agents"],
        Kind::Hierarchical => &["root", "levels"],
        Kind::Single => &["entry"],
        Kind::Dynamic => &[],
    }
}

/// Which of them have to be there.
pub(super) fn needs(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Mesh | Kind::Single => &[],
        Kind::HubSpoke
        | Kind::Pipeline
        | Kind::Dag
        | Kind::Custom
        | Kind::Hierarchical
        | Kind::Dynamic => reads(kind),
    }
}

const FIELDS: [&str; 8] =
    ["hub", "spokes", "stages", "connections", "agents", "root", "levels", "entry"];

/// Reads the section; where it is wrong, findings say so and it counts as absent.
pub(super) fn topology(table: &mut Table<'_>, roster: &Roster, f: &mut Findings) -> Topology {
    let Some((key, node)) = table.get_with_key("topology") else { return Topology::Absent };
    let Some(mut table) = Table::new(node, "topology", f) else { return Topology::Absent };
    if table.get("type").is_none() {
        f.push(
            Finding::error(Code::Missing, key.span, "`topology` has no `type`")
                .help(format!("one of: {}", KINDS.map(|(word, _)| word).join(", "))),
        );
    }
    let kind = table.word("type", &KINDS, f);
    for field in FIELDS {
        if let Some((key, _)) = table.get_with_key(field)
            && let Some(kind) = kind
            && !reads(kind).contains(&field)
        {
            let word = KINDS.iter().find(|(_, k)| *k == kind).map_or("", |(word, _)| word);
            f.no_effect(key.span, &format!("topology.{field}"), &format!("with `type: {word}`"));
        }
    }
    let mut reader = Reader { table: &mut table, roster, f };
    let read = match kind {
        None => None,
        Some(Kind::HubSpoke) => reader.hub_spoke(),
        Some(Kind::Pipeline) => reader.pipeline(),
        Some(Kind::Dag) => reader.dag(),
        Some(Kind::Custom) => reader.connections().map(Topology::Custom),
        Some(Kind::Mesh) => reader.mesh(),
        Some(Kind::Hierarchical) => reader.hierarchical(),
        Some(Kind::Single) => reader.single(),
        Some(Kind::Dynamic) => {
            f.not_acted_on(key.span, "topology.type: dynamic");
            Some(Topology::Dynamic)
        }
    };
    table.finish(f);
    read.unwrap_or_default()
}

struct Reader<'r, 'a> {
    table: &'r mut Table<'a>,
    roster: &'r Roster,
    f: &'r mut Findings,
}

impl<'a> Reader<'_, 'a> {
    fn required(&mut self, key: &'static str) -> Option<&'a Node> {
        let node = self.table.get(key);
        if node.is_none() {
            let message = format!("`topology.{key}` is missing");
            self.f.push(Finding::error(Code::Missing, self.table.span, message));
        }
        node
    }

    fn one(&mut self, key: &'static str) -> Option<AgentIx> {
        let node = self.required(key)?;
        let path = self.table.at(key);
        match scalar(node) {
            Some(id) => self.roster.find(&id, node.span, &path, self.f),
            None => {
                self.f.wrong_type(node, &path, "an agent's id");
                None
            }
        }
    }

    /// Agents by name, each once.
    fn many(&mut self, node: &Node, path: &str) -> Vec<(AgentIx, Span)> {
        let mut found: Vec<(AgentIx, Span)> = Vec::new();
        for (id, span) in texts(node, path, self.f).unwrap_or_default() {
            let Some(ix) = self.roster.find(&id, span, path, self.f) else { continue };
            match found.iter().find(|(known, _)| *known == ix) {
                Some((_, first)) => {
                    let message = format!("`{path}` names `{id}` twice");
                    self.f.push(
                        Finding::warning(Code::Duplicate, span, message)
                            .other(*first, "first here"),
                    );
                }
                None => found.push((ix, span)),
            }
        }
        found
    }

    /// What is empty means nothing, which is rarely meant.
    fn warn_empty(&mut self, node: &Node, path: &str) {
        if node.value == Value::List(Vec::new()) {
            self.f.no_effect(node.span, path, "as long as it is empty: nobody is named");
        }
    }

    fn hub_spoke(&mut self) -> Option<Topology> {
        let hub = self.one("hub");
        let node = self.required("spokes")?;
        self.warn_empty(node, "topology.spokes");
        let spokes = self.many(node, "topology.spokes");
        let hub = hub?;
        if let Some((_, span)) = spokes.iter().find(|(ix, _)| *ix == hub) {
            let message = format!("the hub `{}` is also one of the spokes", self.roster.id(hub));
            self.f.push(Finding::error(Code::Conflict, *span, message));
        }
        Some(Topology::HubSpoke { hub, spokes: spokes.into_iter().map(|(ix, _)| ix).collect() })
    }

    fn pipeline(&mut self) -> Option<Topology> {
        let node = self.required("stages")?;
        let Value::List(items) = &node.value else {
            self.f.wrong_type(node, "topology.stages", "a list of agents, or of lists of them");
            return None;
        };
        let mut seen: std::collections::HashMap<AgentIx, Span> = std::collections::HashMap::new();
        self.warn_empty(node, "topology.stages");
        let mut stages = Vec::with_capacity(items.len());
        for item in items {
            if matches!(&item.value, Value::List(list) if list.is_empty()) {
                self.f.push(
                    Finding::error(Code::Value, item.span, "a stage of `topology.stages` is empty")
                        .about(None, "topology.stages")
                        .help("the stages before and behind it would not call each other"),
                );
            }
            let stage = self.many(item, "topology.stages");
            for (ix, span) in &stage {
                if let Some(first) = seen.insert(*ix, *span) {
                    let message = format!("`{}` stands in two stages", self.roster.id(*ix));
                    self.f.push(
                        Finding::error(Code::Duplicate, *span, message)
                            .other(first, "first here")
                            .help("for a circle use `type: custom`"),
                    );
                }
            }
            stages.push(stage.into_iter().map(|(ix, _)| ix).collect());
        }
        Some(Topology::Pipeline { stages })
    }

    /// One agent, without peers; `entry` may be left out where there is no other.
    fn single(&mut self) -> Option<Topology> {
        let alone = match self.roster.all()[..] {
            [only] if self.table.get("entry").is_none() => Some(only),
            _ => self.one("entry"),
        };
        alone.map(Topology::Single)
    }

    fn mesh(&mut self) -> Option<Topology> {
        let agents = match self.table.get("agents") {
            Some(node) => {
                self.warn_empty(node, "topology.agents");
                self.many(node, "topology.agents").into_iter().map(|(ix, _)| ix).collect()
            }
            None => self.roster.all(),
        };
        Some(Topology::Mesh { agents })
    }

    fn dag(&mut self) -> Option<Topology> {
        let connections = self.connections()?;
        self.no_circle(&connections, "dag", "connections");
        Some(Topology::Dag(connections))
    }

    fn no_circle(&mut self, edges: &[Connection], what: &str, key: &'static str) {
        let wiring = Wiring::from_edges(self.roster.all().len(), edges);
        let Some(cycle) = wiring.cycle() else { return };
        let path: Vec<&str> = cycle.iter().map(|ix| self.roster.id(*ix)).collect();
        let message = format!("a {what} has no circle, and this one has: {}", path.join(" → "));
        let span = self.table.get_with_key(key).map_or(self.table.span, |(k, _)| k.span);
        self.f.push(
            Finding::error(Code::Cycle, span, message)
                .help("where it is meant, use `type: custom`"),
        );
    }

    fn connections(&mut self) -> Option<Vec<Connection>> {
        let node = self.required("connections")?;
        let Value::List(items) = &node.value else {
            self.f.wrong_type(node, "topology.connections", "a list of `{from, to}`");
            return None;
        };
        self.warn_empty(node, "topology.connections");
        let mut connections = Vec::new();
        for item in items {
            let Some(mut table) = Table::new(item, "topology.connections[]", self.f) else {
                continue;
            };
            let (from, to) = (table.get("from"), table.get("to"));
            for (key, node) in [("from", from), ("to", to)] {
                if node.is_none() {
                    let message = format!("a connection has no `{key}`");
                    self.f.push(Finding::error(Code::Missing, table.span, message));
                }
            }
            // Both may be lists: every pair is meant.
            let froms = from.map(|n| self.many(n, "topology.connections[].from"));
            let tos = to.map(|n| self.many(n, "topology.connections[].to"));
            for (from, _) in froms.iter().flatten() {
                for (to, _) in tos.iter().flatten() {
                    connections.push(Connection { from: *from, to: *to });
                }
            }
            if let Some((first, _)) = froms.iter().flatten().next() {
                self.f.agent = Some(self.roster.id(*first).to_owned());
            }
            table.reserved(&["type", "address", "condition"], self.f);
            self.f.agent = None;
            table.finish(self.f);
        }
        Some(connections)
    }

    /// `levels` is a list of `{parent, children}`, or a list of lists: each of a level calls all
    /// of the next, the root all of the first.
    fn hierarchical(&mut self) -> Option<Topology> {
        let root = self.one("root");
        let node = self.required("levels")?;
        let Value::List(items) = &node.value else {
            self.f.wrong_type(
                node,
                "topology.levels",
                "a list of `{parent, children}`, or of lists",
            );
            return None;
        };
        self.warn_empty(node, "topology.levels");
        let mut links = Vec::new();
        let mut above: Vec<AgentIx> = root.into_iter().collect();
        for item in items {
            if let Value::Map(_) = item.value {
                links.extend(self.family(item));
                continue;
            }
            let level: Vec<AgentIx> = self
                .many(item, "topology.levels")
                .into_iter()
                .map(|(ix, _)| ix)
                .filter(|ix| Some(*ix) != root)
                .collect();
            if level.is_empty() {
                continue;
            }
            for from in &above {
                links.extend(level.iter().map(|to| Connection { from: *from, to: *to }));
            }
            above = level;
        }
        self.no_circle(&links, "hierarchy", "levels");
        Some(Topology::Hierarchical { root: root?, links })
    }

    fn family(&mut self, item: &'a Node) -> Vec<Connection> {
        let Some(mut table) = Table::new(item, "topology.levels[]", self.f) else {
            return Vec::new();
        };
        let path = "topology.levels[].parent";
        let parent = match table.get("parent") {
            Some(node) => match scalar(node) {
                Some(id) => self.roster.find(&id, node.span, path, self.f),
                None => {
                    self.f.wrong_type(node, path, "an agent's id");
                    None
                }
            },
            None => {
                self.f.push(Finding::error(Code::Missing, table.span, "a level has no `parent`"));
                None
            }
        };
        let children = table.get("children").map(|n| self.many(n, "topology.levels[].children"));
        if children.is_none() {
            self.f.push(Finding::error(Code::Missing, table.span, "a level has no `children`"));
        }
        table.finish(self.f);
        let Some(from) = parent else { return Vec::new() };
        let children = children.into_iter().flatten();
        children.map(|(to, _)| Connection { from, to }).collect()
    }
}
