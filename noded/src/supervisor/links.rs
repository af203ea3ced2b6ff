//! Connections to steps and to the spawner: tasks that read messages and hand them in.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::{Input, LinkId, Settings};
use crate::msg::{Hello, InstanceKey, SpawnerCommand, StepCommand, StepMessage};
use crate::os::async_fd::register;
use crate::os::fork::{Fork, close_all_but, fork_single_threaded};
use crate::os::seqpacket::{self, MESSAGE_MAX_BYTES, Received};
use crate::spawner;

/// How many spawn requests may wait for the spawner.
const SPAWNER_DEPTH: usize = 1024;
/// How long to wait when the kernel has no room just now.
const BUSY: std::time::Duration = std::time::Duration::from_millis(5);

/// A step that called by itself: noded is new, or was away.
#[derive(Debug)]
pub struct CalledStep {
    /// The connection.
    pub link: StepLink,
    /// What it said.
    pub hello: Hello,
    /// pidfd, output, error output, input: see [`Hello`].
    pub fds: Vec<OwnedFd>,
}

/// The writing side of a step's connection.
#[derive(Debug, Clone)]
pub struct StepLink {
    /// Which connection.
    pub id: LinkId,
    socket: Arc<AsyncFd<OwnedFd>>,
}

impl StepLink {
    /// Sends a command. Whether it went out: a step that does not read is treated as hung.
    pub fn send(&self, command: &StepCommand, fds: &[BorrowedFd<'_>]) -> bool {
        match serde_json::to_vec(command) {
            Ok(bytes) => seqpacket::send(self.socket.get_ref(), &bytes, fds).is_ok(),
            Err(_) => false,
        }
    }
}

/// Reads a step's messages until its connection ends.
pub(super) fn serve_step(
    tasks: &mut JoinSet<()>,
    id: LinkId,
    key: InstanceKey,
    socket: OwnedFd,
    inbox: mpsc::Sender<Input>,
) -> io::Result<StepLink> {
    let socket = Arc::new(register(socket, Interest::READABLE)?);
    let link = StepLink { id, socket: socket.clone() };
    let span = tracing::debug_span!("step", run = %key.run, rank = %key.rank);
    tasks.spawn(read_step(id, key, socket, inbox).instrument(span));
    Ok(link)
}

async fn read_step(
    id: LinkId,
    key: InstanceKey,
    socket: Arc<AsyncFd<OwnedFd>>,
    inbox: mpsc::Sender<Input>,
) {
    while let Some((message, fds)) = receive::<StepMessage>(&socket).await {
        let Some(message) = message else { continue };
        if inbox.send(Input::Step(id, key.clone(), message, fds)).await.is_err() {
            return;
        }
    }
    let _ = inbox.send(Input::StepLost(id, key)).await;
}

/// The next message; `Some((None, _))` for one that is not understood; `None` at the end.
///
/// # Cancel safety
/// Cancel safe: a message is taken from the socket only when it is returned.
async fn receive<T: serde::de::DeserializeOwned>(
    socket: &AsyncFd<OwnedFd>,
) -> Option<(Option<T>, Vec<OwnedFd>)> {
    loop {
        let mut guard = socket.readable().await.ok()?;
        // Not before there is something to read: most connections are silent most of the time.
        let mut buffer = vec![0u8; MESSAGE_MAX_BYTES];
        match seqpacket::recv(socket.get_ref(), &mut buffer) {
            Ok(Received::Message(len, fds)) => {
                let message = serde_json::from_slice(&buffer[..len]);
                if let Err(error) = &message {
                    tracing::warn!(%error, "a message is not understood");
                }
                return Some((message.ok(), fds));
            }
            Ok(Received::WouldBlock) => guard.clear_ready(),
            Ok(Received::End) => return None,
            Err(error) => {
                tracing::warn!(%error, "cannot read a connection");
                return None;
            }
        }
    }
}

/// Accepts steps that call, and reads their hello.
pub async fn accept_steps(listener: OwnedFd, inbox: mpsc::Sender<Input>, mut next_link: u64) {
    let Ok(listener) = register(listener, Interest::READABLE) else { return };
    let mut greeting = JoinSet::new();
    loop {
        let Ok(mut guard) = listener.readable().await else { return };
        match seqpacket::accept(listener.get_ref()) {
            Ok(Some(socket)) if is_ours(&socket) => {
                next_link += 1;
                greeting.spawn(greet(LinkId(next_link), socket, inbox.clone()));
            }
            Ok(Some(_)) => tracing::warn!("a process of another user called as a step"),
            Ok(None) => guard.clear_ready(),
            Err(error) => {
                // Out of descriptors, most likely; the one that calls is still there.
                tracing::warn!(%error, "cannot accept a step");
                tokio::time::sleep(BUSY).await;
            }
        }
        while greeting.try_join_next().is_some() {}
    }
}

fn is_ours(socket: &OwnedFd) -> bool {
    seqpacket::peer_uid(socket).is_ok_and(|uid| uid == rustix::process::geteuid().as_raw())
}

/// Reads the hello and goes on reading.
async fn greet(id: LinkId, socket: OwnedFd, inbox: mpsc::Sender<Input>) {
    let Ok(socket) = register(socket, Interest::READABLE).map(Arc::new) else {
        return;
    };
    let Some((Some(StepMessage::Hello(hello)), fds)) = receive(&socket).await else {
        tracing::warn!("a step called without a hello");
        return;
    };
    let key = hello.key.clone();
    let called = CalledStep { link: StepLink { id, socket: socket.clone() }, hello, fds };
    if inbox.send(Input::StepCalled(called)).await.is_ok() {
        read_step(id, key, socket, inbox).await;
    }
}

/// The connection to the spawner.
#[derive(Debug)]
pub(super) struct SpawnerLink {
    requests: mpsc::Sender<(SpawnerCommand, Vec<OwnedFd>)>,
    writer: tokio::task::JoinHandle<()>,
}

impl SpawnerLink {
    /// Whether the spawner was found to be gone.
    pub(super) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Says goodbye, and waits until that is written.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped early, the goodbye may not go out.
    pub(super) async fn goodbye(self) {
        self.send(SpawnerCommand::Bye, vec![]);
        drop(self.requests);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), self.writer).await;
    }

    /// Sends a request. Whether there was room.
    pub(super) fn send(&self, command: SpawnerCommand, fds: Vec<OwnedFd>) -> bool {
        self.requests.try_send((command, fds)).is_ok()
    }
}

/// Finds the spawner of this state folder, or becomes its parent. Called before there is a
/// runtime or any thread.
pub fn connect_spawner(settings: &Settings) -> io::Result<OwnedFd> {
    if let Ok(socket) = seqpacket::connect(&settings.spawner_socket) {
        return Ok(socket);
    }
    let listener = seqpacket::listen(&settings.spawner_socket)?;
    match fork_single_threaded()? {
        Fork::Child => {
            close_all_but(&mut [listener.as_raw_fd()]);
            spawner::run(listener)
        }
        Fork::Parent(_) => seqpacket::connect(&settings.spawner_socket),
    }
}

/// Starts another spawner beside a running runtime: by exec, because this process has threads.
pub(super) fn start_spawner(settings: &Settings) -> io::Result<OwnedFd> {
    let listener = seqpacket::listen(&settings.spawner_socket)?;
    // Before it is there: should we die in between, it sees a noded that came and went, and ends.
    let socket = seqpacket::connect(&settings.spawner_socket)?;
    let mut child = Command::new(&settings.exe)
        .arg("spawner")
        .stdin(Stdio::from(listener))
        .stdout(Stdio::null())
        .spawn()?;
    tracing::info!(pid = child.id(), "started another spawner");
    // Reaped when it ends; it outlives this noded in all other cases.
    std::thread::Builder::new().name("reap-spawner".into()).spawn(move || child.wait())?;
    Ok(socket)
}

/// Reads and writes the spawner's connection until it ends.
pub(super) fn serve_spawner(
    tasks: &mut JoinSet<()>,
    socket: OwnedFd,
    inbox: mpsc::Sender<Input>,
) -> io::Result<SpawnerLink> {
    let socket = Arc::new(register(socket, Interest::READABLE | Interest::WRITABLE)?);
    let (requests, waiting) = mpsc::channel(SPAWNER_DEPTH);
    // Ends with its queue: the link holds the only sender.
    let writer = tokio::spawn(write_spawner(socket.clone(), waiting));
    tasks.spawn(async move {
        while let Some((message, _)) = receive(&socket).await {
            let Some(message) = message else { continue };
            if inbox.send(Input::Spawner(message)).await.is_err() {
                return;
            }
        }
        let _ = inbox.send(Input::SpawnerLost).await;
    });
    Ok(SpawnerLink { requests, writer })
}

async fn write_spawner(
    socket: Arc<AsyncFd<OwnedFd>>,
    mut waiting: mpsc::Receiver<(SpawnerCommand, Vec<OwnedFd>)>,
) {
    while let Some((command, fds)) = waiting.recv().await {
        let Ok(bytes) = serde_json::to_vec(&command) else { continue };
        debug_assert!(bytes.len() <= MESSAGE_MAX_BYTES);
        let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        loop {
            match seqpacket::send(socket.get_ref(), &bytes, &borrowed) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let Ok(mut guard) = socket.writable().await else { return };
                    guard.clear_ready();
                }
                // Too many descriptors are under way, or memory is short: it passes.
                Err(e) if matches!(e.raw_os_error(), Some(libc::ETOOMANYREFS | libc::ENOBUFS)) => {
                    tokio::time::sleep(BUSY).await;
                }
                Err(error) => {
                    // The reading side sees the end and says so; what was asked is asked again.
                    tracing::debug!(%error, "cannot ask the spawner");
                    let _ = rustix::net::shutdown(socket.get_ref(), rustix::net::Shutdown::Both);
                    return;
                }
            }
        }
    }
}
