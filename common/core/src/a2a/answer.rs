//! What comes back, in any dialect: 1.0's `{"task"|"message"|"statusUpdate"|"artifactUpdate"}`,
//! 0.3's `kind`, the JSON of 0.3's protocol buffers, the original's `response`. Read tolerantly: a
//! person who waits for an answer does not care whether a member is in order.

use std::fmt;

use serde_json::{Map, Value};

use crate::a2a::dialect::Dialect;
use crate::card::shown;

/// Where a task is (1.0 §4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Taken.
    Submitted,
    /// Being worked on.
    Working,
    /// Done.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended by somebody.
    Canceled,
    /// The agent wants to know more.
    InputRequired,
    /// The agent did not want it.
    Rejected,
    /// The agent wants credentials.
    AuthRequired,
    /// Something that we do not know.
    Unknown,
}

impl TaskState {
    /// `TASK_STATE_INPUT_REQUIRED` (1.0) or `input-required` (0.3).
    pub fn read(text: &str) -> Self {
        let word = text.to_ascii_lowercase().replace('_', "-");
        match word.strip_prefix("task-state-").unwrap_or(&word) {
            "submitted" => Self::Submitted,
            "working" => Self::Working,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "canceled" | "cancelled" => Self::Canceled,
            "input-required" => Self::InputRequired,
            "rejected" => Self::Rejected,
            "auth-required" => Self::AuthRequired,
            _ => Self::Unknown,
        }
    }

    /// The word in JSON and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Working => "working",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::InputRequired => "input-required",
            Self::Rejected => "rejected",
            Self::AuthRequired => "auth-required",
            Self::Unknown => "unknown",
        }
    }

    /// Nothing more will come.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Rejected)
    }

    /// Nothing more will come until the caller says something.
    pub fn is_interrupted(self) -> bool {
        matches!(self, Self::InputRequired | Self::AuthRequired)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A piece of content (1.0 §4.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(String),
    /// Structured data.
    Data(Value),
    /// A file, by its place or by how much of it came along.
    File {
        /// Its name.
        name: Option<String>,
        /// Its media type.
        media_type: Option<String>,
        /// Where it is.
        url: Option<String>,
        /// How much came along, in base64.
        encoded_bytes: usize,
    },
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Whether the agent said it.
    pub from_agent: bool,
    /// What.
    pub parts: Vec<Part>,
    /// The conversation.
    pub context: Option<String>,
    /// The task that it belongs to.
    pub task: Option<String>,
}

/// Something that was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifact {
    /// Its id; empty where there is none.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// What.
    pub parts: Vec<Part>,
}

/// A task as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: Option<String>,
    /// The conversation.
    pub context: Option<String>,
    /// Where it is.
    pub state: TaskState,
    /// What the agent says to that.
    pub message: Option<Message>,
    /// What was made.
    pub artifacts: Vec<Artifact>,
    /// What was said.
    pub history: Vec<Message>,
}

/// One thing that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A direct answer.
    Message(Message),
    /// A task as a whole.
    Task(Task),
    /// A task has moved.
    Status {
        /// Which task.
        task: Option<String>,
        /// The conversation.
        context: Option<String>,
        /// Where it is now.
        state: TaskState,
        /// What the agent says to that.
        message: Option<Message>,
    },
    /// A task has made something.
    Artifact {
        /// Which task.
        task: Option<String>,
        /// The conversation.
        context: Option<String>,
        /// It, or a piece of it.
        artifact: Artifact,
        /// Whether it belongs behind what came of it before.
        append: bool,
    },
}

/// What an agent says instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", code.map(|c| format!(" ({c})")).unwrap_or_default())]
pub struct AgentError {
    /// JSON-RPC's or HTTP's code.
    pub code: Option<i64>,
    /// Its words, with their details.
    pub message: String,
}

/// Why something that came back is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The agent says so.
    #[error("the agent answered with an error: {0}")]
    Agent(AgentError),
    /// It cannot be understood.
    #[error("the agent's answer cannot be understood: it has {members}, begins with `{begins}`")]
    Shape {
        /// What it has.
        members: String,
        /// Its beginning.
        begins: String,
    },
}

/// Reads one answer, or the data of one event.
///
/// # Errors
/// When it is an error, or nothing that an agent answers with.
pub fn read(dialect: Dialect, value: &Value) -> Result<Event, AnswerError> {
    let inner = match dialect {
        Dialect::JsonRpc1 | Dialect::JsonRpc03 => match value.get("result") {
            Some(result) if !result.is_null() => result,
            Some(_) | None => return Err(refused(value)),
        },
        Dialect::Rest1 | Dialect::Rest03 | Dialect::Grpc1 | Dialect::Query => value,
    };
    let event = match dialect {
        Dialect::Query => query(inner),
        Dialect::JsonRpc1
        | Dialect::Rest1
        | Dialect::Grpc1
        | Dialect::JsonRpc03
        | Dialect::Rest03 => event(inner),
    };
    event.ok_or_else(|| refused(value))
}

fn refused(value: &Value) -> AnswerError {
    if let Some(error) = read_error(value) {
        return AnswerError::Agent(error);
    }
    let members = match value {
        Value::Object(object) if !object.is_empty() => {
            let names: Vec<String> =
                object.keys().take(8).map(|k| format!("`{}`", shown(k))).collect();
            names.join(", ")
        }
        _ => "no members".to_owned(),
    };
    AnswerError::Shape {
        members,
        begins: shown(&value.to_string().chars().take(80).collect::<String>()),
    }
}

/// The error in a body: JSON-RPC's (1.0 §9.5), HTTP+JSON's (§11.6), FastAPI's `detail`.
pub fn read_error(value: &Value) -> Option<AgentError> {
    let object = value.as_object()?;
    let error = match object.get("error") {
        Some(Value::Object(error)) => error,
        Some(Value::String(text)) => return Some(AgentError { code: None, message: text.clone() }),
        Some(_) | None => match object.get("detail") {
            Some(Value::String(text)) => {
                return Some(AgentError { code: None, message: text.clone() });
            }
            Some(detail) if !detail.is_null() => {
                let message = shown(&detail.to_string());
                return Some(AgentError { code: None, message });
            }
            // google.rpc.Status without its wrapping, and 0.3's errors over HTTP.
            Some(_) | None if object.contains_key("code") || object.contains_key("type") => object,
            Some(_) | None => return None,
        },
    };
    let code = error.get("code").and_then(Value::as_i64);
    let message = error.get("message").and_then(Value::as_str);
    let mut message = message.unwrap_or("it gave no reason").to_owned();
    let details = ["data", "details"].iter().find_map(|name| error.get(*name)).and_then(detail);
    if let Some(detail) = details
        && !message.contains(&detail)
    {
        message.push_str(": ");
        message.push_str(&detail);
    }
    Some(AgentError { code, message })
}

/// What a person can use of `error.data`.
fn detail(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let words: Vec<String> = list
                .iter()
                .filter_map(|item| {
                    let violations = item.get("fieldViolations").and_then(Value::as_array);
                    if let Some(violation) = violations.and_then(|v| v.first()) {
                        let word = |name| violation.get(name).and_then(Value::as_str);
                        return Some(format!("{}: {}", word("field")?, word("description")?));
                    }
                    item.get("reason").and_then(Value::as_str).map(str::to_owned)
                })
                .collect();
            if words.is_empty() { None } else { Some(words.join(", ")) }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn query(value: &Value) -> Option<Event> {
    let object = value.as_object()?;
    let text = match object.get("response")? {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let context = text_of(object, &["session_id", "sessionId"]);
    let parts = vec![Part::Text(text)];
    Some(Event::Message(Message { from_agent: true, parts, context, task: None }))
}

fn event(value: &Value) -> Option<Event> {
    let object = value.as_object()?;
    // 1.0, and 0.3's protocol buffers, name what is in it.
    for (name, read) in [
        ("task", task as fn(&Map<String, Value>) -> Option<Event>),
        ("message", |o| Some(Event::Message(message(o)))),
        ("msg", |o| Some(Event::Message(message(o)))),
        ("statusUpdate", status),
        ("status_update", status),
        ("artifactUpdate", artifact),
        ("artifact_update", artifact),
    ] {
        if let Some(Value::Object(inner)) = object.get(name)
            && !object.contains_key("kind")
            && !object.contains_key("status")
        {
            return read(inner);
        }
    }
    // 0.3 says what it is; without that its members do.
    match object.get("kind").and_then(Value::as_str) {
        Some("message") => Some(Event::Message(message(object))),
        Some("task") => task(object),
        Some("status-update") => status(object),
        Some("artifact-update") => artifact(object),
        Some(_) | None if object.contains_key("artifact") => artifact(object),
        Some(_) | None if object.contains_key("parts") => Some(Event::Message(message(object))),
        Some(_) | None if object.contains_key("status") => {
            if object.contains_key("id") {
                task(object)
            } else {
                status(object)
            }
        }
        Some(_) | None => None,
    }
}

fn text_of(object: &Map<String, Value>, names: &[&str]) -> Option<String> {
    let text = names.iter().find_map(|name| object.get(*name)?.as_str())?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn state_of(object: &Map<String, Value>) -> (TaskState, Option<Message>) {
    let Some(Value::Object(status)) = object.get("status") else {
        return (TaskState::Unknown, None);
    };
    let state = status.get("state").and_then(Value::as_str).map(TaskState::read);
    let said = ["message", "update"].iter().find_map(|name| status.get(*name)?.as_object());
    (state.unwrap_or(TaskState::Unknown), said.map(message))
}

const CONTEXT: [&str; 2] = ["contextId", "context_id"];
const TASK: [&str; 2] = ["taskId", "task_id"];

fn task(object: &Map<String, Value>) -> Option<Event> {
    let (state, said) = state_of(object);
    let list = |name: &str| object.get(name).and_then(Value::as_array).into_iter().flatten();
    Some(Event::Task(Task {
        id: text_of(object, &["id"]),
        context: text_of(object, &CONTEXT),
        state,
        message: said,
        artifacts: list("artifacts").filter_map(Value::as_object).map(artifact_of).collect(),
        history: list("history").filter_map(Value::as_object).map(message).collect(),
    }))
}

fn status(object: &Map<String, Value>) -> Option<Event> {
    let (state, message) = state_of(object);
    let (task, context) = (text_of(object, &TASK), text_of(object, &CONTEXT));
    Some(Event::Status { task, context, state, message })
}

fn artifact(object: &Map<String, Value>) -> Option<Event> {
    let inner = object.get("artifact")?.as_object()?;
    Some(Event::Artifact {
        task: text_of(object, &TASK),
        context: text_of(object, &CONTEXT),
        artifact: artifact_of(inner),
        append: object.get("append").and_then(Value::as_bool).unwrap_or(false),
    })
}

fn artifact_of(object: &Map<String, Value>) -> Artifact {
    Artifact {
        id: text_of(object, &["artifactId", "artifact_id"]).unwrap_or_default(),
        name: text_of(object, &["name"]),
        parts: parts(object),
    }
}

fn message(object: &Map<String, Value>) -> Message {
    let role = text_of(object, &["role"]).unwrap_or_default();
    Message {
        from_agent: !role.to_ascii_lowercase().ends_with("user"),
        parts: parts(object),
        context: text_of(object, &CONTEXT),
        task: text_of(object, &TASK),
    }
}

fn parts(object: &Map<String, Value>) -> Vec<Part> {
    let list = ["parts", "content"].iter().find_map(|name| object.get(*name)?.as_array());
    list.into_iter().flatten().filter_map(Value::as_object).filter_map(part).collect()
}

/// 1.0: `text`, `raw`, `url` or `data` in the part itself; 0.3: with `kind`, files in `file`.
fn part(object: &Map<String, Value>) -> Option<Part> {
    if let Some(text) = object.get("text").and_then(Value::as_str) {
        return Some(Part::Text(text.to_owned()));
    }
    if let Some(file) = object.get("file").and_then(Value::as_object) {
        return Some(file_part(file));
    }
    if ["raw", "url"].iter().any(|name| object.contains_key(*name)) {
        return Some(file_part(object));
    }
    match object.get("data") {
        // The JSON of 0.3's protocol buffers wraps it once more.
        Some(Value::Object(data)) if data.len() == 1 && data.contains_key("data") => {
            data.get("data").cloned().map(Part::Data)
        }
        Some(data) => Some(Part::Data(data.clone())),
        None => None,
    }
}

fn file_part(file: &Map<String, Value>) -> Part {
    let encoded = ["raw", "bytes", "fileWithBytes", "file_with_bytes"];
    Part::File {
        name: text_of(file, &["filename", "name"]),
        media_type: text_of(file, &["mediaType", "media_type", "mimeType", "mime_type"]),
        url: text_of(file, &["url", "uri", "fileWithUri", "file_with_uri"]),
        encoded_bytes: encoded
            .iter()
            .find_map(|name| file.get(*name)?.as_str())
            .map_or(0, str::len),
    }
}
