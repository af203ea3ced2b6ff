//! One question to one agent: its card, the dialect that it names first and we speak, and the next
//! one where that does not take the question.

use std::fmt::Write as _;
use std::time::Duration;

use a2arun_core::a2a::{Dialect, Question, TaskState};
use a2arun_core::card::{Scheme, View, WebUrl};
use a2arun_core::exit_code::LauncherCode;
use tokio::time::timeout;

use crate::a2a::conversation::{Conversation, Miss};
use crate::a2a::error::AskError;
use crate::a2a::find::{Lookup, find_card};
use crate::a2a::http::Client;
use crate::a2a::ways::{card_ways, guesses};

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

impl Answer {
    /// What a command ends with that was for this answer.
    pub(crate) fn exit_code(&self) -> LauncherCode {
        match self.state {
            None | Some(TaskState::Completed | TaskState::InputRequired) => LauncherCode::Ok,
            Some(TaskState::AuthRequired) => LauncherCode::Refused,
            Some(
                TaskState::Failed
                | TaskState::Canceled
                | TaskState::Rejected
                | TaskState::Submitted
                | TaskState::Working
                | TaskState::Unknown,
            ) => LauncherCode::AgentFailed,
        }
    }
}

/// Takes each step as it happens.
pub(crate) type OnStep<'a> = &'a mut (dyn FnMut(Step) + Send + Sync);

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
pub(super) struct Doing {
    pub(super) task: Option<String>,
    pub(super) state: Option<TaskState>,
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
        let mut conversation = Conversation::new(client, asked, &way, &mut *on, &mut *doing);
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
