//! What agents say of themselves once they are ready, held against how the job calls them.

use std::collections::BTreeSet;

use a2arun_core::card::{Card, CardPath, View, WebUrl, check};
use a2arun_core::ids::Rank;
use a2arun_core::seen::Seen;
use a2arun_core::spec::AgentIx;

use crate::head::actor::Head;
use crate::registry::JournalEntry as Entry;

/// Agents whose cards were complained of: their copies say the same.
#[derive(Debug, Default)]
pub(super) struct Cards {
    said: BTreeSet<AgentIx>,
    /// What would help is said once.
    hinted: BTreeSet<&'static str>,
}

impl Head {
    /// Warns of what in an instance's card a peer could not use, and of where it listens.
    pub(super) fn check_card(&mut self, rank: Rank, seen: &Seen) {
        let plan = self.job.plan.clone();
        let agent = plan.instance(rank).agent;
        let mut complaints = self.card_warnings(rank, seen);
        complaints.extend(self.unreachable_listener(rank, seen));
        let Some((first, hint)) = complaints.first() else { return };
        for (text, _) in &complaints {
            self.io.journal.write(Entry::instance("card", &plan, rank).text(text));
        }
        if self.cards.said.insert(agent) {
            let copies = plan.agent(agent).count;
            let others = if copies > 1 { " (its copies alike)" } else { "" };
            let host = plan.host(plan.instance(rank).host).name();
            self.show.warning(&format!("{}@{host}: {first}{others}", plan.name(rank)));
            if self.cards.hinted.insert(hint) {
                self.show.hint(hint);
            }
        }
    }

    fn card_warnings(&self, rank: Rank, seen: &Seen) -> Vec<(String, &'static str)> {
        let Some(resolved) = &self.resolved else { return Vec::new() };
        let Some((path, text)) =
            seen.card.as_ref().and_then(|card| Some((&card.path, card.text.as_ref()?)))
        else {
            return Vec::new();
        };
        let path = CardPath::ALL.into_iter().find(|known| known.as_str() == path);
        let Some(url) = resolved.url(rank).and_then(|url| url.parse::<WebUrl>().ok()) else {
            return Vec::new();
        };
        let card = match Card::parse_at(path.unwrap_or(CardPath::AgentCard), text.as_bytes()) {
            Ok(card) => card,
            Err(error) => {
                let hint = "`a2arun card` shows it as it came";
                return vec![(format!("its card cannot be read: {error}"), hint)];
            }
        };
        let plan = &self.job.plan;
        let host = plan.host(plan.instance(rank).host).name().as_str();
        let names: &[&str] = if plan.loopback { &[] } else { &[host] };
        let ports: Vec<u16> = resolved.named_ports(rank).map(|(_, port)| port).collect();
        let warnings = check(&card, View { url: &url, ports: &ports, names });
        warnings.iter().map(|warning| (warning.to_string(), warning.hint())).collect()
    }

    /// A listener on loopback is of no use to callers on other hosts.
    fn unreachable_listener(&self, rank: Rank, seen: &Seen) -> Option<(String, &'static str)> {
        let plan = &self.job.plan;
        let port = self.resolved.as_ref()?.port(rank)?;
        let mut own = seen.listens.iter().filter(|l| l.port() == port).peekable();
        own.peek()?;
        if plan.loopback || !own.clone().all(|l| l.ip().is_loopback()) {
            return None;
        }
        let here = plan.instance(rank);
        let called_from_afar = plan.instances.iter().any(|caller| {
            caller.host != here.host && plan.wiring.callees(caller.agent).contains(&here.agent)
        });
        called_from_afar.then(|| {
            let list: Vec<String> = own.map(ToString::to_string).collect();
            let text =
                format!("it listens on {} only, out of reach of its callers", list.join(", "));
            (text, "let it bind $A2A_BIND_HOST, which is 0.0.0.0 here")
        })
    }
}
