//! The hosts of a job: what each one is asked, what it answered, how far it is.

use std::net::IpAddr;

use a2arun_core::plan::HostIx;
use tokio::sync::{mpsc, oneshot, watch};

use crate::output::LastLines;
use crate::session::{Command, Contact, LogEnd, NodeFacts};
use crate::target::ConnectError;

/// Commands that a session has not taken yet; a head never has more under way.
pub(super) const COMMANDS_DEPTH: usize = 256;

/// How far a host is on its way to the first launch.
#[derive(Debug)]
pub(super) enum Reach {
    /// Being dialled.
    Dialling,
    /// Attached; its ports are being reserved.
    Reserving,
    /// Everything it had to give is there.
    Prepared,
    /// It cannot be reached.
    Failed(ConnectError),
    /// It was reached and its ports cannot be had.
    Conflict,
}

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) reach: Reach,
    pub(super) contact: Contact,
    pub(super) connected: bool,
    pub(super) facts: Option<NodeFacts>,
    pub(super) address: Option<IpAddr>,
    commands: Option<mpsc::Sender<Command>>,
    /// Where its log reader is told the ends.
    pub(super) ends: Option<oneshot::Sender<Vec<LogEnd>>>,
    /// What its instances wrote last, until everybody is ready.
    pub(super) last_lines: Option<watch::Receiver<LastLines>>,
    /// Its output is being read.
    pub(super) reading: bool,
    /// The release was sent, or cannot be.
    pub(super) closed: Option<bool>,
}

impl Host {
    pub(super) fn new(commands: mpsc::Sender<Command>) -> Self {
        Self {
            reach: Reach::Dialling,
            contact: Contact::Good,
            connected: false,
            facts: None,
            address: None,
            commands: Some(commands),
            ends: None,
            last_lines: None,
            reading: false,
            closed: None,
        }
    }

    /// Hands a command to the session; says whether it is on its way.
    pub(super) fn send(&mut self, command: Command) -> bool {
        match &self.commands {
            Some(commands) => commands.try_send(command).is_ok(),
            None => false,
        }
    }

    /// Ends the session without a word.
    pub(super) fn drop_session(&mut self) {
        self.commands = None;
        self.connected = false;
    }

    /// Whether something still has to be heard before the first launch.
    pub(super) fn is_open(&self) -> bool {
        match self.reach {
            Reach::Dialling | Reach::Reserving => true,
            Reach::Prepared | Reach::Failed(_) | Reach::Conflict => false,
        }
    }

    pub(super) fn is_prepared(&self) -> bool {
        match self.reach {
            Reach::Prepared => true,
            Reach::Dialling | Reach::Reserving | Reach::Failed(_) | Reach::Conflict => false,
        }
    }

    pub(super) fn was_reached(&self) -> bool {
        self.facts.is_some()
    }
}

/// All of them, by index.
#[derive(Debug, Default)]
pub(super) struct Hosts(pub(super) Vec<Host>);

impl Hosts {
    pub(super) fn get(&mut self, ix: HostIx) -> Option<&mut Host> {
        self.0.get_mut(ix.get())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (HostIx, &Host)> {
        (0_u32..).map(HostIx).zip(&self.0)
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = HostIx> + use<> {
        (0..u32::try_from(self.0.len()).unwrap_or(u32::MAX)).map(HostIx)
    }
}
