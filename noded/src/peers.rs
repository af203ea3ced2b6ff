//! Who an instance's callees are: the book of a run on this host, and the file in which each of
//! its instances reads them (`A2ARUN_PEERS_FILE`, DESIGN §6).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use a2arun_core::ids::Rank;
use a2arun_core::peers::{Peer, PeersUpdate};
use bytes::Bytes;
use serde::Serialize;

/// Everything that is known of a run's peers on this host.
#[derive(Debug, Default)]
pub struct PeerBook {
    generation: u64,
    peers: BTreeMap<u32, Peer>,
    groups: HashMap<u32, BTreeSet<u32>>,
    members: BTreeMap<Rank, Option<u32>>,
    /// What the files say, without their generation.
    written: HashMap<Rank, u64>,
    changed: BTreeSet<u32>,
    all: bool,
}

/// A file's content, and for whom it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeersText {
    /// Whose file.
    pub rank: Rank,
    /// JSON.
    pub text: Bytes,
}

#[derive(Serialize)]
struct Content<'a> {
    generation: u64,
    peers: Vec<&'a Peer>,
}

impl PeerBook {
    /// Takes an update; once it is complete, gives the files that say something else now.
    pub fn merge(&mut self, update: PeersUpdate) -> Vec<PeersText> {
        if update.reset {
            self.peers.clear();
            self.groups.clear();
            self.members.clear();
            self.all = true;
        }
        self.generation = update.generation;
        for peer in update.peers {
            self.changed.insert(peer.key);
            self.peers.insert(peer.key, peer);
        }
        for (group, keys) in update.groups {
            self.groups.entry(group).or_default().extend(keys);
        }
        self.members.extend(update.members);
        if update.more {
            return Vec::new();
        }
        let (changed, all) = (std::mem::take(&mut self.changed), std::mem::take(&mut self.all));
        let hit: Vec<Rank> = self
            .members
            .iter()
            .filter(|(_, group)| {
                all || group
                    .and_then(|g| self.groups.get(&g))
                    .is_some_and(|keys| changed.iter().any(|key| keys.contains(key)))
            })
            .map(|(rank, _)| *rank)
            .collect();
        hit.into_iter().filter_map(|rank| self.renewed(rank)).collect()
    }

    /// Whether the head has spoken of this instance: it has a file.
    pub fn knows(&self, rank: Rank) -> bool {
        self.members.contains_key(&rank)
    }

    fn renewed(&mut self, rank: Rank) -> Option<PeersText> {
        let keys = self.members.get(&rank)?.and_then(|group| self.groups.get(&group));
        let keys = keys.into_iter().flatten().filter(|key| **key != rank.0);
        let peers: Vec<&Peer> = keys.filter_map(|key| self.peers.get(key)).collect();
        let mut hasher = DefaultHasher::new();
        peers.hash(&mut hasher);
        let hash = hasher.finish();
        if self.written.get(&rank) == Some(&hash) {
            return None;
        }
        let text = serde_json::to_vec_pretty(&Content { generation: self.generation, peers });
        self.written.insert(rank, hash);
        Some(PeersText { rank, text: text.ok()?.into() })
    }
}

/// Where an instance's file is.
pub fn path(run_dir: &Path, rank: Rank) -> PathBuf {
    run_dir.join("peers").join(format!("{rank}.json"))
}

/// Writes files aside and renames them: a reader sees the old content or the new.
///
/// # Errors
/// The first that failed; the others are written all the same.
pub fn write(run_dir: &Path, texts: &[PeersText]) -> io::Result<()> {
    let folder = run_dir.join("peers");
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut first = Ok(());
    for PeersText { rank, text } in texts {
        let aside = folder.join(format!(".{rank}"));
        let written =
            fs::write(&aside, text).and_then(|()| fs::rename(&aside, path(run_dir, *rank)));
        first = first.and(written);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(key: u32, ready: bool) -> Peer {
        let url = Some(format!("http://h:{}", 9000 + key));
        Peer { key, name: format!("w[{key}]"), agent: "w".into(), url, ready }
    }

    fn ranks(texts: &[PeersText]) -> Vec<u32> {
        texts.iter().map(|t| t.rank.0).collect()
    }

    #[test]
    fn only_files_that_change_are_renewed() {
        let mut book = PeerBook::default();
        let members = vec![(Rank(0), Some(1)), (Rank(1), Some(1)), (Rank(5), None)];
        let first = PeersUpdate {
            generation: 1,
            reset: true,
            peers: vec![peer(1, false), peer(2, false)],
            groups: vec![(1, vec![1])],
            members,
            more: true,
        };
        assert_eq!(book.merge(first.clone()), []);
        let rest =
            PeersUpdate { generation: 1, groups: vec![(1, vec![2])], ..PeersUpdate::default() };
        let texts = book.merge(rest.clone());
        assert_eq!(ranks(&texts), [0, 1, 5]);
        let json: serde_json::Value = serde_json::from_slice(&texts[0].text).unwrap();
        assert_eq!(json["peers"][1]["url"], "http://h:9002");
        // A copy is not its own peer.
        let json: serde_json::Value = serde_json::from_slice(&texts[1].text).unwrap();
        assert_eq!(json["peers"].as_array().unwrap().len(), 1);
        // 1 becomes ready: its own file says nothing new.
        let change = |ready| PeersUpdate {
            generation: 2,
            peers: vec![peer(1, ready)],
            ..PeersUpdate::default()
        };
        assert_eq!(ranks(&book.merge(change(true))), [0]);
        assert!(book.merge(change(true)).is_empty());
        // A head that came back says everything again: nothing is news but what is.
        book.merge(first);
        assert_eq!(ranks(&book.merge(rest)), [0]);
    }

    #[test]
    fn a_file_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let text = |text: &'static str| PeersText { rank: Rank(3), text: text.into() };
        write(dir.path(), &[text("{}")]).unwrap();
        write(dir.path(), &[text("[]")]).unwrap();
        assert_eq!(fs::read_to_string(path(dir.path(), Rank(3))).unwrap(), "[]");
        assert_eq!(fs::read_dir(dir.path().join("peers")).unwrap().count(), 1);
    }
}
