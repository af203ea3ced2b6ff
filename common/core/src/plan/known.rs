//! Which `$(NAME)`s can have a value, before anything is planned: what a job file alone shows.
//!
//! A launch knows more (how many copies there are) and looks again.

use std::collections::HashMap;

use crate::launch::HOST_NAMES;
use crate::plan::names::is_ours;
use crate::plan::reserved::{config_variable, id_variable, port_variable};
use crate::plan::subst::Pattern;
use crate::spec::{AgentIx, JobSpec};
use crate::topology::Wiring;

/// Whom `URL_<ID>` means; built once per job.
pub(crate) struct KnownNames<'a> {
    spec: &'a JobSpec,
    wiring: &'a Wiring,
    /// `None`: two agents share the variable, so neither has it.
    by_variable: HashMap<String, Option<AgentIx>>,
}

impl<'a> KnownNames<'a> {
    pub(crate) fn new(spec: &'a JobSpec, wiring: &'a Wiring) -> Self {
        let mut by_variable = HashMap::new();
        for ix in spec.indices() {
            by_variable
                .entry(id_variable(spec.agent(ix).id.as_str()))
                .and_modify(|slot| *slot = None)
                .or_insert(Some(ix));
        }
        Self { spec, wiring, by_variable }
    }

    /// The names in a text of an agent that nobody can know, each once.
    pub(crate) fn unknown(&self, ix: AgentIx, text: &str) -> Vec<String> {
        if !text.contains("$(") {
            return Vec::new();
        }
        let mut found: Vec<String> = Vec::new();
        for name in Pattern::parse(text).names() {
            if !self.has(ix, name) && !found.iter().any(|f| f == name) {
                found.push(name.to_owned());
            }
        }
        found
    }

    fn has(&self, ix: AgentIx, name: &str) -> bool {
        let agent = self.spec.agent(ix);
        if is_ours(name) {
            let of_port = matches!(name, "PORT" | "AGENT_PORT" | "A2A_PORT" | "A2A_PUBLIC_URL");
            return !of_port || agent.has_port();
        }
        if HOST_NAMES.contains(&name) {
            return true;
        }
        let config = agent.config.iter().any(|(k, v)| !v.is_null() && config_variable(k) == name);
        let port = agent.ports.iter().any(|(port, _)| port_variable(port) == name);
        config || port || self.is_url(ix, name)
    }

    /// `URL_<ID>[_<I>]` of whoever has one, `PEER_<ID>_URL[_<I>]` of whom it calls.
    fn is_url(&self, ix: AgentIx, name: &str) -> bool {
        let copy = |text: &'_ str| {
            let (head, index) = text.rsplit_once('_')?;
            index.parse::<u32>().ok().map(|_| head.to_owned())
        };
        if let Some(id) = name.strip_prefix("URL_") {
            let of_copy = || copy(id).is_some_and(|id| self.with_url(&id).is_some());
            return self.with_url(id).is_some() || of_copy();
        }
        let Some(rest) = name.strip_prefix("PEER_") else { return false };
        let head = copy(rest).unwrap_or_else(|| rest.to_owned());
        let peer = head.strip_suffix("_URL").and_then(|id| self.with_url(id));
        peer.is_some_and(|peer| self.wiring.callees(ix).binary_search(&peer).is_ok())
    }

    fn with_url(&self, id: &str) -> Option<AgentIx> {
        let ix = self.by_variable.get(id).copied().flatten()?;
        let agent = self.spec.agent(ix);
        (agent.has_port() || agent.external().is_some()).then_some(ix)
    }
}
