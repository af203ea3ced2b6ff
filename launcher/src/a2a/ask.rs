//! One question to one agent: its card, the dialect it names first and we speak, the answer as it
//! comes, and its task until that is over.

use std::fmt::Write as _;
use std::time::Duration;

use a2arun_core::a2a::{
    AgentError, AnswerError, Call, Delivery, Dialect, Piece, Question, Reply, SseReader, TaskState,
    read, read_error,
};
use a2arun_core::backoff;
use a2arun_core::card::{CardFormat, Interface, Scheme, Trouble, View, WebUrl, check};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::a2a::error::AskError;
use crate::a2a::find::{Found, Lookup, find_card};
use crate::a2a::http::{Ask, Client, HttpError, Response};

/// A longer answer is refused.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The first looks of [`backoff::poll`] are for processes that start, not for tasks that think.
const POLLS_SKIPPED: usize = 5;

/// Whom is asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// For messages: an instance's name, or the URL.
    pub(crate) who: String,
    /// Where it is.
    pub(crate) url: WebUrl,
    /// Other names of its host.
    pub(crate) names: Vec<String>,
    /// Whether the URL is the job's: then it is right and the card may be wrong.
    pub(crate) instance: bool,
}

impl Asked {
    /// How its card is checked.
    pub(crate) fn view<'a>(&'a self, names: &'a [&'a str]) -> View<'a> {
        View { url: &self.url, ports: &[], names }
    }
}

/// How it is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct AskOptions {
    /// Continues a conversation.
    pub(crate) session: Option<String>,
    /// Continues a task.
    pub(crate) task: Option<String>,
    /// `None`: as long as it takes.
    pub(crate) timeout: Option<Duration>,
    /// Never piece by piece.
    pub(crate) whole: bool,
}

/// What happens on the way, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something that a person should know.
    Warning(String),
    /// This is how it is asked.
    Asking { dialect: Dialect, url: String },
    /// A piece of the answer, right behind the one before.
    Answer(String),
    /// What the agent says on its way.
    Note(String),
    /// A body or an event, as it came.
    Raw(String),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    /// `None`: a direct answer without a task.
    pub(crate) state: Option<TaskState>,
    /// Names the conversation.
    pub(crate) context: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) dialect: Dialect,
    pub(crate) url: String,
}

/// Takes each step as it happens.
pub(crate) type OnStep<'a> = &'a mut (dyn FnMut(Step) + Send);

/// Asks, and waits until the answer is whole.
///
/// # Cancel safety
/// Dropping it closes its connection; the agent may go on with what it was asked.
pub(crate) async fn ask(
    client: &Client,
    asked: &Asked,
    text: &str,
    options: &AskOptions,
    on: OnStep<'_>,
) -> Result<Answer, AskError> {
    let mut doing = Doing::default();
    let asking = try_ways(client, asked, text, options, on, &mut doing);
    let Some(limit) = options.timeout else { return asking.await };
    // What was opened is closed; the answer is not wanted any more.
    match timeout(limit, asking).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(AskError::Late { who: asked.who.clone(), after: limit, doing: doing.words() })
        }
    }
}

/// What is being waited for, for the message when it takes too long.
#[derive(Debug, Default)]
struct Doing {
    task: Option<String>,
    state: Option<TaskState>,
}

impl Doing {
    fn words(&self) -> String {
        match (&self.task, self.state) {
            (Some(task), Some(state)) => format!("; its task {task} is {state}"),
            (Some(task), None) => format!("; its task is {task}"),
            (None, _) => String::new(),
        }
    }
}

/// A dialect at a URL.
#[derive(Debug, Clone)]
struct Way {
    dialect: Dialect,
    url: WebUrl,
    tenant: Option<String>,
    streams: bool,
}

/// Why a way gave no answer.
enum Miss {
    /// The question was not taken: another way may be tried.
    Next(AskError),
    /// It was, or may have been.
    Final(AskError),
}

async fn try_ways(
    client: &Client,
    asked: &Asked,
    text: &str,
    options: &AskOptions,
    on: OnStep<'_>,
    doing: &mut Doing,
) -> Result<Answer, AskError> {
    let who = || asked.who.clone();
    let lookup = find_card(client, &asked.url).await;
    let lookup = lookup.map_err(|source| AskError::Unreachable { who: who(), source })?;
    let (ways, mut tried) = match lookup {
        Lookup::Refused { at, status } => {
            return Err(AskError::Refused { who: who(), url: at.to_string(), status });
        }
        Lookup::Found(found) => (card_ways(&found, asked, on)?, None),
        Lookup::None(said) => (guesses(&asked.url), Some(no_card(&said))),
    };
    let question = Question {
        text: text.to_owned(),
        message_id: message_id(),
        context: options.session.clone(),
        task: options.task.clone(),
        tenant: None,
    };
    let mut last = None;
    for way in ways {
        if client.has_headers() && way.url.scheme == Scheme::Http && way.url.host != asked.url.host
        {
            let url = way.url.to_string();
            return Err(AskError::HeaderElsewhere { who: who(), url });
        }
        on(Step::Asking { dialect: way.dialect, url: way.url.to_string() });
        let question = Question { tenant: way.tenant.clone(), ..question.clone() };
        let mut conversation = Conversation {
            client,
            asked,
            way: &way,
            on: &mut *on,
            doing: &mut *doing,
            reply: Reply::new(),
        };
        match conversation.run(&question, options).await {
            Ok(()) => return Ok(conversation.answer()),
            Err(Miss::Final(error)) => return Err(error),
            Err(Miss::Next(error)) => {
                if let Some(tried) = &mut tried {
                    let why = match &error {
                        AskError::Status { status, .. } => status.to_string(),
                        other => crate::target::chain(other),
                    };
                    let _ = write!(tried, "; {}: {why}", way.dialect);
                }
                last = Some(error);
            }
        }
    }
    match (tried, last) {
        (Some(tried), _) => Err(AskError::NoWay { who: who(), tried }),
        (None, Some(error)) => Err(error),
        (None, None) => Err(AskError::NoDialect { who: who(), offers: "nothing".to_owned() }),
    }
}

fn no_card(said: &[(WebUrl, String)]) -> String {
    let first = said.first().map_or("no answer", |(_, said)| said.as_str());
    format!("no card ({first})")
}

/// Without a card: what the original's agents take, then A2A at the URL itself.
fn guesses(url: &WebUrl) -> Vec<Way> {
    let way = |dialect| Way { dialect, url: url.clone(), tenant: None, streams: false };
    [Dialect::Query, Dialect::JsonRpc1, Dialect::JsonRpc03].map(way).into()
}

/// The card's interfaces that we speak, in its order (1.0 §8.3.2).
fn card_ways(found: &Found, asked: &Asked, on: OnStep<'_>) -> Result<Vec<Way>, AskError> {
    let card = &found.card;
    if card.interfaces().is_empty() {
        return Ok(match card.format {
            // Its callers never read a URL in it.
            CardFormat::Original => guesses(&asked.url).into_iter().take(1).collect(),
            CardFormat::V1_0 | CardFormat::V0_3 | CardFormat::V0_2 => guesses(&asked.url),
        });
    }
    let names: Vec<&str> = asked.names.iter().map(String::as_str).collect();
    let warnings = check(card, asked.view(&names));
    let mut said = Vec::new();
    let mut ways = Vec::new();
    for interface in card.interfaces() {
        let Some(dialect) = Dialect::of(interface).filter(|d| *d != Dialect::Grpc1) else {
            continue;
        };
        let warning = warnings.iter().find(|w| w.card_url == interface.url);
        let resolved = interface.resolve(&found.at).ok();
        let url = match (warning, resolved) {
            (None, Some(url)) => url,
            (Some(warning), Some(url)) if is_fine_elsewhere(&warning.trouble, asked) => url,
            (warning, resolved) => {
                if let Some(warning) = warning
                    && !said.contains(warning)
                {
                    on(Step::Warning(format!("{}: {warning}", asked.who)));
                    said.push(warning.clone());
                }
                let path = resolved.map_or_else(String::new, |url| url.path);
                let path = if path.is_empty() { asked.url.path.clone() } else { path };
                WebUrl { path, ..asked.url.clone() }
            }
        };
        // The original says that it streams, and does not at /query.
        let streams = card.streaming == Some(true) && dialect.streams();
        ways.push(Way { dialect, url, tenant: interface.tenant.clone(), streams });
    }
    if ways.is_empty() {
        let offers = offers(card.interfaces());
        return Err(AskError::NoDialect { who: asked.who.clone(), offers });
    }
    Ok(ways)
}

/// A person who names a server trusts its card to name another one; a job knows where its
/// instances are.
fn is_fine_elsewhere(trouble: &Trouble, asked: &Asked) -> bool {
    match trouble {
        Trouble::OtherHost | Trouble::OtherPort | Trouble::OtherScheme => !asked.instance,
        Trouble::NotAUrl(_) | Trouble::Wildcard | Trouble::Loopback | Trouble::NoInterface => false,
    }
}

fn offers(interfaces: &[Interface]) -> String {
    let words: Vec<String> =
        interfaces.iter().map(|i| format!("{} {} at {}", i.binding, i.version, i.url)).collect();
    words.join(", ")
}

/// One way being gone.
struct Conversation<'a> {
    client: &'a Client,
    asked: &'a Asked,
    way: &'a Way,
    on: OnStep<'a>,
    doing: &'a mut Doing,
    reply: Reply,
}

impl Conversation<'_> {
    async fn run(&mut self, question: &Question, options: &AskOptions) -> Result<(), Miss> {
        let dialect = self.way.dialect;
        let mut delivery =
            if self.way.streams && !options.whole { Delivery::Stream } else { Delivery::Whole };
        loop {
            match self.once(&dialect.send(question, delivery)).await {
                // It says that it streams and does not.
                Err(Miss::Next(_)) if delivery == Delivery::Stream => delivery = Delivery::Whole,
                Err(miss) => return Err(miss),
                Ok(()) => break,
            }
        }
        // 1.0 §3.1.1: a task may go on behind its first answer.
        let mut waits = backoff::poll().skip(POLLS_SKIPPED);
        while !self.reply.is_over() {
            let call = self
                .reply
                .task
                .as_deref()
                .and_then(|task| dialect.get_task(task, self.way.tenant.as_deref()));
            let Some(call) = call else {
                let (who, url) = (self.who(), self.way.url.to_string());
                return Err(Miss::Final(AskError::Empty { who, url }));
            };
            if let Some(wait) = waits.next() {
                sleep(wait).await;
            }
            self.once(&call).await.map_err(|miss| match miss {
                Miss::Next(error) | Miss::Final(error) => Miss::Final(error),
            })?;
        }
        let last = self.reply.end();
        self.show(last);
        Ok(())
    }

    fn answer(self) -> Answer {
        Answer {
            text: self.reply.text(),
            state: self.reply.state,
            context: self.reply.context,
            task: self.reply.task,
            dialect: self.way.dialect,
            url: self.way.url.to_string(),
        }
    }

    fn who(&self) -> String {
        self.asked.who.clone()
    }

    /// Sends one request and takes everything that comes back.
    async fn once(&mut self, call: &Call) -> Result<(), Miss> {
        let url = if call.path.is_empty() {
            self.way.url.clone()
        } else {
            self.way.url.below(&call.path)
        };
        let body = call.body.as_ref().map(|body| Bytes::from(body.to_string()));
        let (method, accept, version) = (call.method, call.accept, call.version);
        let response = self.client.send(Ask { method, url: &url, accept, version, body }).await;
        let response = response.map_err(|source| {
            let who = self.who();
            match source {
                // It went out and may have been read.
                HttpError::Broken { .. } | HttpError::TooLarge { .. } => {
                    Miss::Final(AskError::Broken { who, source })
                }
                source => Miss::Next(AskError::Unreachable { who, source }),
            }
        })?;
        if !response.status.is_success() {
            return Err(self.refusal(response, &url).await);
        }
        if response.content_type.starts_with("text/event-stream") {
            return self.stream(response).await;
        }
        let bytes = self.whole(response).await?;
        let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            // Told as what cannot be understood, with its beginning.
            Value::from(String::from_utf8_lossy(&bytes).into_owned())
        });
        (self.on)(Step::Raw(value.to_string()));
        self.take(&value)
    }

    async fn whole(&self, response: Response) -> Result<Vec<u8>, Miss> {
        let who = self.who();
        let bytes = response.bytes(ANSWER_BYTES_MAX).await;
        bytes.map_err(|source| Miss::Final(AskError::Broken { who, source }))
    }

    async fn stream(&mut self, mut response: Response) -> Result<(), Miss> {
        let mut reader = SseReader::new();
        let mut events = Vec::new();
        loop {
            let chunk = response.chunk().await;
            match chunk {
                Ok(Some(chunk)) => {
                    if reader.push(&chunk, &mut events).is_err() {
                        let max = a2arun_core::a2a::EVENT_BYTES_MAX;
                        let source =
                            HttpError::TooLarge { authority: self.way.url.authority(), max };
                        return Err(Miss::Final(AskError::Broken { who: self.who(), source }));
                    }
                }
                Ok(None) => {
                    events.extend(reader.finish());
                    return events.drain(..).try_for_each(|event| self.event(&event));
                }
                // A task can still be asked for; without one the answer is lost.
                Err(_) if self.reply.task.is_some() && !self.reply.is_over() => return Ok(()),
                Err(source) => {
                    return Err(Miss::Final(AskError::Broken { who: self.who(), source }));
                }
            }
            events.drain(..).try_for_each(|event| self.event(&event))?;
        }
    }

    fn event(&mut self, data: &str) -> Result<(), Miss> {
        (self.on)(Step::Raw(data.to_owned()));
        let value = serde_json::from_str(data).unwrap_or_else(|_| Value::from(data));
        self.take(&value)
    }

    fn take(&mut self, value: &Value) -> Result<(), Miss> {
        match read(self.way.dialect, value) {
            Ok(event) => {
                let pieces = self.reply.take(event);
                self.doing.task = self.reply.task.clone();
                self.doing.state = self.reply.state;
                self.show(pieces);
                Ok(())
            }
            Err(source) => {
                let (who, url) = (self.who(), self.way.url.to_string());
                let next = matches!(&source, AnswerError::Agent(error) if was_not_taken(error));
                let error = AskError::Answer { who, url, source };
                // What came before was taken.
                let next = next && self.reply == Reply::new();
                Err(if next { Miss::Next(error) } else { Miss::Final(error) })
            }
        }
    }

    fn show(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            (self.on)(match piece {
                Piece::Answer(text) => Step::Answer(text),
                Piece::Note(text) => Step::Note(text),
            });
        }
    }

    /// What an HTTP error means.
    async fn refusal(&self, response: Response, url: &WebUrl) -> Miss {
        let (who, status) = (self.who(), response.status);
        let url = url.to_string();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Miss::Final(AskError::Refused { who, url, status });
        }
        let bytes = match self.whole(response).await {
            Ok(bytes) => bytes,
            Err(miss) => return miss,
        };
        let value: Option<Value> = serde_json::from_slice(&bytes).ok();
        let error = value.as_ref().and_then(read_error);
        // Nobody answers at this path or to this method, or not for a task of this name.
        let absent = matches!(
            status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        );
        let next = absent || error.as_ref().is_some_and(was_not_taken);
        let error = match error {
            Some(error) if !absent || error.code.is_some() => {
                AskError::Answer { who, url, source: AnswerError::Agent(error) }
            }
            Some(_) | None => AskError::Status { who, url, status, said: begins(&bytes) },
        };
        if next { Miss::Next(error) } else { Miss::Final(error) }
    }
}

/// Method or version not known (1.0 §5.4, §9.5), streaming not supported: nothing was done.
fn was_not_taken(error: &AgentError) -> bool {
    matches!(error.code, Some(-32601 | -32009 | -32004))
        || error.message.contains("VERSION_NOT_SUPPORTED")
        || error.message.contains("UNSUPPORTED_OPERATION")
}

fn begins(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 120;
    let text = String::from_utf8_lossy(bytes);
    let short: String = text.trim().chars().take(SHOWN_MAX).collect();
    if short.is_empty() { short } else { format!(": `{}`", short.escape_debug()) }
}

/// A random UUID (RFC 9562 §5.4).
fn message_id() -> String {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .expect("up to 256 bytes are always given: getrandom(2)");
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
