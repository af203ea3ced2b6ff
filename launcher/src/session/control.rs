//! The control stream of one host, as one task: it dials, attaches, sends the head's requests,
//! tells the head what the host says, and makes the connection again when it breaks.
//!
//! What follows from what is decided by [`a2arun_core::machine::session`]; here are the sockets.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use a2arun_core::backoff::Reconnect;
use a2arun_core::ids::Generation;
use a2arun_core::launch::{LaunchBatch, RunIdentity};
use a2arun_core::machine::session::{self as machine, Effect, HEARTBEAT_EVERY, LOST_AFTER, Reach};
use a2arun_core::plan::HostIx;
use a2arun_proto::v1::control_client::ControlClient;
use a2arun_proto::{MESSAGE_MAX_BYTES, v1};
use a2arun_rt::tls::Purpose;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::session::outbox::{Outbox, Request};
use crate::session::types::{
    Command, Contact, InstanceReport, NodeFacts, RefusedReason, SessionEvent,
};
use crate::session::wire::{self, Said};
use crate::target::{ConnectError, Connection, OnDemand, Target, chain};

/// Messages that are on their way to the connection; more wait in `unsent`.
const OUTGOING_DEPTH: usize = 64;
/// From the open connection to `Attached`.
const ATTACH_LIMIT: Duration = Duration::from_secs(5);
/// How long a release may take: a host that is away then is told by noded's own limits.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);
/// A noded on this machine that is away for this long is started again.
const START_AFTER: Duration = Duration::from_millis(500);

/// What a session is for.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) host: HostIx,
    pub(crate) target: Target,
    pub(crate) identity: RunIdentity,
    pub(crate) generation: Generation,
}

/// Runs a session until it has failed, is closed, or `commands` is dropped.
///
/// # Cancel safety
/// Dropping it closes the connection; noded then waits for the head to come back.
pub(crate) async fn run(
    session: Session,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<(HostIx, SessionEvent)>,
) {
    let mut beat = interval(HEARTBEAT_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.reset();
    let seed = u64::from(session.host.0) ^ (u64::from(std::process::id()) << 20);
    let mut actor = Actor {
        waits: Box::new(reconnect().waits(seed)),
        seed,
        session,
        commands,
        events,
        state: machine::State::Absent,
        beat,
        dials: JoinSet::new(),
        wait_until: None,
        link: None,
        outbox: Outbox::default(),
        unsent: VecDeque::new(),
        heard: false,
        contact: Contact::Good,
        away_since: None,
        was_up: false,
        release_by: None,
        ping: 0,
        over: false,
    };
    actor.feed(machine::Event::Dial(Reach::Connect)).await;
    while !actor.over {
        let input = actor.next().await;
        actor.take(input).await;
    }
}

fn reconnect() -> Reconnect {
    Reconnect { first: Duration::from_millis(10), max: Duration::from_secs(1), attempts: None }
}

struct Actor {
    session: Session,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<(HostIx, SessionEvent)>,
    state: machine::State,
    beat: Interval,
    dials: JoinSet<Result<Dialled, ConnectError>>,
    wait_until: Option<Instant>,
    waits: Box<dyn Iterator<Item = Duration> + Send>,
    seed: u64,
    link: Option<Link>,
    outbox: Outbox,
    unsent: VecDeque<v1::HeadMessage>,
    heard: bool,
    contact: Contact,
    away_since: Option<Instant>,
    was_up: bool,
    release_by: Option<Instant>,
    ping: u64,
    over: bool,
}

struct Link {
    outgoing: Option<mpsc::Sender<v1::HeadMessage>>,
    incoming: Streaming<v1::NodeMessage>,
}

struct Dialled {
    link: Link,
    address: Option<std::net::IpAddr>,
    facts: NodeFacts,
    instances: Vec<InstanceReport>,
    notices: Vec<String>,
}

enum Input {
    Command(Option<Command>),
    Dialled(Result<Dialled, ConnectError>),
    Said(Result<Option<v1::NodeMessage>, tonic::Status>),
    Room,
    Beat,
    Redial,
    ReleaseLimit,
}

impl Actor {
    async fn next(&mut self) -> Input {
        let (outgoing, incoming) = match &mut self.link {
            Some(link) => (link.outgoing.as_ref(), Some(&mut link.incoming)),
            None => (None, None),
        };
        let room = outgoing.filter(|_| !self.unsent.is_empty());
        // In order: what the host said comes before what the clock says, so that a host is not
        // called silent while its words wait here. All of these only look until they are ready:
        // nothing is lost when another one is.
        tokio::select! {
            biased;
            said = async {
                match incoming { Some(i) => i.message().await, None => pending().await }
            } => Input::Said(said),
            Some(dialled) = self.dials.join_next() => {
                Input::Dialled(dialled.unwrap_or_else(|e| Err(broken("the dial", &e.to_string()))))
            }
            command = self.commands.recv(), if self.release_by.is_none() => Input::Command(command),
            () = async {
                match room { Some(o) => drop(o.reserve().await), None => pending().await }
            } => Input::Room,
            () = at(self.wait_until) => Input::Redial,
            () = at(self.release_by) => Input::ReleaseLimit,
            _ = self.beat.tick() => Input::Beat,
        }
    }

    async fn take(&mut self, input: Input) {
        match input {
            Input::Command(Some(command)) => self.command(command).await,
            Input::Command(None) => self.over = true,
            Input::Dialled(Ok(dialled)) => self.dialled(dialled).await,
            Input::Dialled(Err(error)) => self.dial_failed(error).await,
            Input::Said(Ok(Some(message))) => self.message(message).await,
            Input::Said(Ok(None)) => self.ended("noded closed the connection".to_owned()).await,
            Input::Said(Err(status)) => self.ended(status_text(&status)).await,
            Input::Room => self.flush(),
            Input::Redial => {
                self.wait_until = None;
                match self.state {
                    // The machine counts this dial already; its wait is over.
                    machine::State::Connecting { .. } => self.dial(),
                    _ => self.feed(machine::Event::Dial(Reach::Connect)).await,
                }
            }
            Input::ReleaseLimit => self.close(false).await,
            Input::Beat => self.beat().await,
        }
    }

    async fn tell(&mut self, event: SessionEvent) {
        // A head that is gone has dropped the commands as well; the loop ends there.
        if self.events.send((self.session.host, event)).await.is_err() {
            self.over = true;
        }
    }

    /// Moves the machine and performs its effects.
    async fn feed(&mut self, event: machine::Event) {
        let (next, effects) = match machine::advance(&self.state, event, Timestamp::now()) {
            Ok(moved) => moved,
            Err(error) => {
                tracing::error!(host = self.session.host.0, %error, "session");
                return;
            }
        };
        self.state = next;
        for effect in effects {
            match effect {
                Effect::Connect { attempt: 1 } | Effect::Bootstrap => self.dial(),
                Effect::Connect { .. } | Effect::ReportLost => self.plan_redial(),
                Effect::Disconnect => self.link = None,
                Effect::ReportSuspect
                | Effect::ReportUp
                | Effect::ReportRejected
                | Effect::Handshake
                | Effect::Drain => {}
            }
        }
    }

    fn dial(&mut self) {
        let away = self.away_since.map(|since| since.elapsed());
        let on_demand = match away {
            Some(away) if away < START_AFTER => OnDemand::Never,
            Some(_) | None => OnDemand::Start,
        };
        let target = self.session.target.clone();
        let attach = wire::attach(&self.session.identity, self.session.generation);
        self.dials.spawn(dial(target, attach, on_demand));
    }

    fn plan_redial(&mut self) {
        if self.dials.is_empty() && self.wait_until.is_none() {
            let wait = self.waits.next().unwrap_or(Duration::from_secs(1));
            self.wait_until = Some(Instant::now() + wait);
        }
    }

    async fn dialled(&mut self, dialled: Dialled) {
        let Dialled { link, address, facts, instances, notices } = dialled;
        self.link = Some(link);
        self.heard = true;
        self.was_up = true;
        self.away_since = None;
        self.waits = Box::new(reconnect().waits(self.seed));
        self.feed(machine::Event::Connected).await;
        self.feed(machine::Event::HandshakeOk { epoch: 1 }).await;
        // What was queued for the broken connection is in the outbox as well.
        self.unsent.clear();
        for request in self.outbox.again(&instances) {
            self.unsent.push_back(wire::request(&request));
        }
        if self.release_by.is_some() {
            self.unsent.push_back(wire::release());
        }
        self.tell(SessionEvent::Up { facts, address, instances, notices }).await;
        self.contact(Contact::Good).await;
        self.flush();
    }

    async fn dial_failed(&mut self, error: ConnectError) {
        tracing::debug!(host = self.session.host.0, error = %chain(&error), "dial failed");
        let again = match self.state {
            machine::State::Connecting { attempt } => {
                error.may_pass() && attempt < machine::DIALS_MAX
            }
            _ => false,
        };
        if self.was_up || again {
            self.feed(machine::Event::StreamEnded).await;
        } else {
            self.tell(SessionEvent::Failed(error)).await;
            self.over = true;
        }
    }

    async fn command(&mut self, command: Command) {
        let pending = match command {
            Command::Reserve { ports, bind_address, range } => {
                self.outbox.add(|_| Request::Reserve { ports, bind_address, range })
            }
            Command::Launch { generation, templates, instances } => self.outbox.add(|request| {
                Request::Launch(LaunchBatch { request, generation, templates, instances })
            }),
            Command::Stop { ranks, grace, cause } => {
                self.outbox.add(|_| Request::Stop { ranks, grace, cause })
            }
            Command::Reach { targets, limit } => {
                self.outbox.add(|_| Request::Reach { targets, limit })
            }
            Command::Peers(update) => {
                if self.link.is_some() {
                    self.unsent.extend(wire::peers(update));
                    self.flush();
                }
                return;
            }
            Command::Release => {
                self.release_by = Some(Instant::now() + RELEASE_LIMIT);
                if self.link.is_some() {
                    self.unsent.push_back(wire::release());
                    self.flush();
                }
                return;
            }
        };
        if self.link.is_some() {
            self.unsent.push_back(wire::request(&pending));
            self.flush();
        }
    }

    fn flush(&mut self) {
        let Some(link) = &mut self.link else { return };
        let Some(outgoing) = &link.outgoing else { return };
        while let Some(message) = self.unsent.pop_front() {
            if let Err(error) = outgoing.try_send(message) {
                self.unsent.push_front(match error {
                    mpsc::error::TrySendError::Full(message)
                    | mpsc::error::TrySendError::Closed(message) => message,
                });
                return;
            }
        }
        if self.release_by.is_some() {
            // Nothing follows: noded sees the end of the stream behind the release.
            link.outgoing = None;
        }
    }

    async fn message(&mut self, message: v1::NodeMessage) {
        self.heard = true;
        if self.contact != Contact::Good {
            self.contact(Contact::Good).await;
        }
        let said = match wire::said(message) {
            Ok(said) => said,
            Err(error) => {
                tracing::warn!(host = self.session.host.0, %error, "message that cannot be read");
                return;
            }
        };
        match said {
            Said::Attached { facts, instances, notices } => {
                let up = SessionEvent::Up { facts, address: None, instances, notices };
                self.tell(up).await;
            }
            Said::Ports { request, answer } => {
                self.outbox.answered(request);
                self.tell(SessionEvent::Ports(answer)).await;
            }
            Said::Reached { request, failures } => {
                self.outbox.answered(request);
                self.tell(SessionEvent::Reached(failures)).await;
            }
            Said::Changed(changes) => {
                self.outbox.heard(changes.iter().map(|c| (c.rank, c.incarnation)));
                self.tell(SessionEvent::Changed(changes)).await;
            }
            Said::Refused { request, reason, message } => {
                let ranks = self.outbox.answered(request);
                self.tell(SessionEvent::Refused { reason, message, ranks }).await;
            }
            Said::Pong | Said::Released => {}
        }
    }

    async fn ended(&mut self, why: String) {
        self.link = None;
        if let Some(by) = self.release_by {
            let sent = self.unsent.is_empty();
            if sent || Instant::now() >= by {
                self.close(sent).await;
                return;
            }
        }
        self.away_since.get_or_insert_with(Instant::now);
        self.tell(SessionEvent::Broken(why)).await;
        self.feed(machine::Event::StreamEnded).await;
    }

    async fn close(&mut self, told: bool) {
        self.feed(machine::Event::DrainRequested).await;
        self.feed(machine::Event::DrainDone).await;
        self.tell(SessionEvent::Closed { told }).await;
        self.over = true;
    }

    async fn contact(&mut self, contact: Contact) {
        if self.contact != contact {
            self.contact = contact;
            self.tell(SessionEvent::Contact(contact)).await;
        }
    }

    async fn beat(&mut self) {
        if !self.was_up || self.release_by.is_some() {
            return;
        }
        let heard = std::mem::take(&mut self.heard);
        if self.link.is_some() {
            if self.unsent.is_empty() {
                self.ping += 1;
                self.unsent.push_back(wire::ping(self.ping));
                self.flush();
            }
            let event =
                if heard { machine::Event::Heartbeat } else { machine::Event::HeartbeatMissed };
            self.feed(event).await;
            if self.link.is_none() {
                self.away_since.get_or_insert_with(|| {
                    let silent = HEARTBEAT_EVERY * LOST_AFTER;
                    Instant::now().checked_sub(silent).unwrap_or_else(Instant::now)
                });
            }
        }
        let shown = match self.state.shown(Timestamp::now()) {
            machine::Shown::Suspect => Contact::Suspect,
            machine::Shown::Lost => Contact::Lost,
            machine::Shown::Up
            | machine::Shown::Connecting
            | machine::Shown::Rejected
            | machine::Shown::Closed => Contact::Good,
        };
        let by_age = match self.away_since.map(|since| since.elapsed().as_secs()) {
            Some(10..) => Contact::Lost,
            Some(3..) => Contact::Suspect,
            Some(_) | None => shown,
        };
        self.contact(by_age).await;
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}

fn broken(address: &str, why: &str) -> ConnectError {
    ConnectError::Broken { address: address.to_owned(), why: why.to_owned() }
}

fn status_text(status: &tonic::Status) -> String {
    match status.message() {
        "" => status.code().to_string(),
        message => message.to_owned(),
    }
}

/// Connects, opens the session's stream, and waits until the host has attached the run.
async fn dial(
    target: Target,
    attach: v1::HeadMessage,
    on_demand: OnDemand,
) -> Result<Dialled, ConnectError> {
    let Connection { channel, address, verdict } =
        target.connect(Purpose::Control, on_demand).await?;
    let (outgoing, messages) = mpsc::channel(OUTGOING_DEPTH);
    outgoing.try_send(attach).map_err(|_| broken("noded", "no room for the first message"))?;
    let mut client = ControlClient::new(channel)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    let refused = |status: tonic::Status| match verdict.alert() {
        Some(alert) => ConnectError::RefusedUs(alert.to_owned()),
        None => attach_status(&status, address.is_some()),
    };
    let first = async {
        let mut incoming =
            client.session(ReceiverStream::new(messages)).await.map_err(&refused)?.into_inner();
        let message = incoming.message().await.map_err(&refused)?;
        Ok::<_, ConnectError>((incoming, message))
    };
    // Dropping the call resets its stream and, with the channel, the connection.
    let (incoming, message) = match timeout(ATTACH_LIMIT, first).await {
        Ok(first) => first?,
        Err(_) => {
            let address = address.map_or_else(|| "noded".to_owned(), |a| a.to_string());
            return Err(ConnectError::Timeout { address, limit: ATTACH_LIMIT });
        }
    };
    let message = message.ok_or_else(|| broken("noded", "it closed the stream"))?;
    match wire::said(message).map_err(|e| broken("noded", &e.to_string()))? {
        Said::Attached { facts, instances, notices } => Ok(Dialled {
            link: Link { outgoing: Some(outgoing), incoming },
            address,
            facts,
            instances,
            notices,
        }),
        Said::Refused { reason: RefusedReason::Version, message, .. } => {
            Err(ConnectError::Version(message))
        }
        Said::Refused { message, .. } => Err(ConnectError::NotAttached(message)),
        Said::Ports { .. }
        | Said::Reached { .. }
        | Said::Changed(_)
        | Said::Pong
        | Said::Released => Err(broken("noded", "its first message was not `Attached`")),
    }
}

/// How a node says no to a session as a whole.
fn attach_status(status: &tonic::Status, tls: bool) -> ConnectError {
    use tonic::Code;
    match status.code() {
        Code::FailedPrecondition => ConnectError::Version(status_text(status)),
        Code::InvalidArgument | Code::Unimplemented => {
            ConnectError::NotAttached(status_text(status))
        }
        _ => from_status(status, tls),
    }
}

/// A first call that ends as if nobody had answered, over a TLS connection that was just made:
/// that is how a refused client certificate shows up when its alert is overtaken by the end. So
/// does a noded that ends.
pub(super) fn from_status(status: &tonic::Status, tls: bool) -> ConnectError {
    use tonic::Code;
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => {
            ConnectError::Denied(status.message().to_owned())
        }
        Code::NotFound => ConnectError::NoRun(status_text(status)),
        Code::Cancelled | Code::Unknown if tls => ConnectError::ClosedOnUs(chain_of(status)),
        _ => broken("noded", &chain_of(status)),
    }
}

fn chain_of(status: &tonic::Status) -> String {
    let text = status_text(status);
    match std::error::Error::source(status) {
        Some(source) => format!("{text}: {}", chain(source)),
        None => text,
    }
}
