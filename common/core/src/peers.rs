//! What a head tells a host of the peers of its instances. The host makes files of it.

use serde::Serialize;

use crate::ids::Rank;

/// A callee, as its callers read of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Peer {
    /// The head's number for it: its rank, or one behind the last.
    #[serde(skip)]
    pub key: u32,
    /// `agent[index]`; an external peer's id.
    pub name: String,
    /// Its agent.
    pub agent: String,
    /// Where it answers; `None`: it has no port.
    pub url: Option<String>,
    /// Whether it is ready; an external peer always is.
    pub ready: bool,
}

/// New peers, or what changed of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeersUpdate {
    /// Rises with each change.
    pub generation: u64,
    /// It begins anew: what was known is forgotten.
    pub reset: bool,
    /// It goes on in the next message.
    pub more: bool,
    /// New or changed ones.
    pub peers: Vec<Peer>,
    /// Keys to be added to groups.
    pub groups: Vec<(u32, Vec<u32>)>,
    /// Which group an instance calls, itself left out; `None`: nobody.
    pub members: Vec<(Rank, Option<u32>)>,
}
