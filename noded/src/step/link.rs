//! The step's connection to noded. It may be gone at any time; then the step calls again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use crate::msg::{StepCommand, StepMessage};
use crate::os::seqpacket::{self, Received};

/// The first wait before calling noded again.
const RETRY_FIRST: Duration = Duration::from_millis(5);
/// The longest. A noded that is started again takes some 60 ms.
const RETRY_MAX: Duration = Duration::from_millis(200);

/// A connection, or the plan to make one.
#[derive(Debug)]
pub struct Link {
    socket: Option<OwnedFd>,
    path: PathBuf,
    retry: Duration,
}

/// What came in.
#[derive(Debug)]
pub enum Incoming {
    /// A command with its descriptors.
    Command(StepCommand, Vec<OwnedFd>),
    /// A message of a newer noded that this step does not know.
    Unknown,
    /// Nothing now.
    Nothing,
    /// The connection is gone.
    Lost,
}

impl Link {
    /// A link over `socket`, or to be made to `path`.
    pub fn new(socket: Option<OwnedFd>, path: PathBuf) -> Self {
        Self { socket, path, retry: RETRY_FIRST }
    }

    /// The connection to poll, while there is one.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Sends a message. Whether it went out; if not, the connection is gone.
    pub fn send(&mut self, message: &StepMessage, fds: &[BorrowedFd<'_>]) -> bool {
        let Some(socket) = &self.socket else { return false };
        let Ok(bytes) = serde_json::to_vec(message) else { return false };
        match seqpacket::send(socket, &bytes, fds) {
            Ok(()) => true,
            // noded does not read: the message is on disk or comes again with the next hello.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.socket = None;
                false
            }
        }
    }

    /// The next command.
    pub fn receive(&mut self) -> Incoming {
        let Some(socket) = &self.socket else { return Incoming::Nothing };
        let mut buffer = [0u8; 4096];
        match seqpacket::recv(socket, &mut buffer) {
            Ok(Received::Message(len, fds)) => match serde_json::from_slice(&buffer[..len]) {
                Ok(command) => Incoming::Command(command, fds),
                Err(_) => Incoming::Unknown,
            },
            Ok(Received::WouldBlock) => Incoming::Nothing,
            Ok(Received::End) | Err(_) => {
                self.socket = None;
                Incoming::Lost
            }
        }
    }

    /// Calls noded. The wait until the next try, where it is not there.
    pub fn call(&mut self) -> Result<(), Duration> {
        match seqpacket::connect(&self.path) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.retry = RETRY_FIRST;
                Ok(())
            }
            Err(_) => {
                let wait = self.retry;
                self.retry = (self.retry * 2).min(RETRY_MAX);
                Err(wait)
            }
        }
    }
}
