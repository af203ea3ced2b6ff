//! Peers that changed: files are replaced, then whoever wants to know is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use a2arun_core::ids::Rank;
use a2arun_core::launch::{PeersHook, SignalNumber};
use a2arun_core::peers::PeersUpdate;
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Instrument;

use super::Phase;
use super::actor::{Run, Supervisor};
use super::instance::Instance;
use crate::os::pidfd;
use crate::peers::{self, PeersText};
use crate::probe;

/// How long an agent may take to answer the POST of its peers.
const POST_LIMIT: Duration = Duration::from_secs(5);

/// What is done once an instance's file is there.
enum Hook {
    Signal(OwnedFd, SignalNumber),
    Post(SocketAddr, String, Bytes),
}

impl Supervisor {
    pub(super) fn peers_changed(&mut self, run: &mut Run, update: PeersUpdate) {
        let texts = run.peers.merge(update);
        if texts.is_empty() {
            return;
        }
        // Who is yet to be started finds its file; who runs already does not keep us waiting.
        let (running, new): (Vec<_>, Vec<_>) =
            texts.into_iter().partition(|t| run.instances.contains_key(&t.rank));
        let run_dir = self.ledger.run_dir(&run.identity.run);
        if let Err(error) = peers::write(&run_dir, &new) {
            tracing::warn!(run = %run.identity.run, %error, "cannot write peers files");
        }
        if running.is_empty() {
            return;
        }
        let hooks: Vec<Hook> =
            running.iter().filter_map(|text| hook(run.instances.get(&text.rank)?, text)).collect();
        let before = self.peers_written.take();
        let (written, done) = oneshot::channel();
        self.peers_written = Some(done);
        let span = tracing::debug_span!("peers", run = %run.identity.run);
        let task = async move {
            // In the order of the changes.
            if let Some(before) = before {
                let _ = before.await;
            }
            let write = tokio::task::spawn_blocking(move || peers::write(&run_dir, &running));
            if let Ok(Err(error)) = write.await {
                tracing::warn!(%error, "cannot write peers files");
            }
            drop(written);
            for hook in hooks {
                hook.call().await;
            }
        };
        self.tasks.spawn(task.instrument(span));
    }

    /// The variable that names an instance's file, where it has one.
    pub(super) fn peers_variable(&self, run: &Run, rank: Rank) -> Option<(String, String)> {
        let path = peers::path(&self.ledger.run_dir(&run.identity.run), rank);
        // A noded that is new finds the file, and hears of the peers a moment later.
        let known = run.peers.knows(rank) || path.exists();
        known.then(|| ("A2ARUN_PEERS_FILE".to_owned(), path.display().to_string()))
    }
}

fn hook(instance: &Instance, text: &PeersText) -> Option<Hook> {
    let runs = matches!(instance.phase, Phase::Starting | Phase::Ready | Phase::Unready);
    let process = instance.process.as_ref().filter(|p| runs && p.running)?;
    match &instance.peers_hook {
        PeersHook::File => None,
        PeersHook::Signal(signal) => {
            // An agent that has no handler yet would die of it; it reads its file when it starts.
            let ready = instance.ready.is_some();
            let fd = process.pidfd.as_ref().filter(|_| ready)?.try_clone().ok()?;
            Some(Hook::Signal(fd, *signal))
        }
        PeersHook::Http(path) => {
            instance.ready?;
            let told = instance.address.as_ref().and_then(|a| a.parse::<IpAddr>().ok());
            let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
            // Bound to its address alone it does not answer on loopback.
            let on_loopback = instance.seen.as_ref().is_none_or(|seen| {
                seen.listens.iter().any(|l| l.ip().is_unspecified() || l.ip().is_loopback())
            });
            let ip = if on_loopback { local } else { told.unwrap_or(local) };
            Some(Hook::Post(SocketAddr::new(ip, instance.port?), path.clone(), text.text.clone()))
        }
    }
}

impl Hook {
    async fn call(self) {
        match self {
            Self::Signal(fd, signal) => {
                // It may have ended meanwhile.
                if let Err(error) = pidfd::signal(&fd, signal) {
                    tracing::debug!(%error, "peers signal");
                }
            }
            Self::Post(address, path, json) => {
                let told = async {
                    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
                    let posted = probe::post(stream, address, &path, json, POST_LIMIT).await;
                    match posted {
                        Ok(status) if (200..300).contains(&status) => Ok(()),
                        Ok(status) => Err(format!("it answers {status}")),
                        Err(error) => Err(error.to_string()),
                    }
                };
                let told = timeout(POST_LIMIT, told).await;
                if let Err(why) = told.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                    tracing::info!(%address, path, why, "an agent was not told of its peers");
                }
            }
        }
    }
}
