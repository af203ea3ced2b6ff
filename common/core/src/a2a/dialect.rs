//! What is sent, in each dialect.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::card::{Binding, Interface};

/// A way of asking an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// A2A 1.0 over JSON-RPC (§9).
    JsonRpc1,
    /// A2A 1.0 over HTTP+JSON (§11).
    Rest1,
    /// A2A 1.0 over gRPC (§10).
    Grpc1,
    /// A2A 0.3 (and 0.2, which asks alike) over JSON-RPC (0.3 §7).
    JsonRpc03,
    /// A2A 0.3 over HTTP+JSON: the JSON of its protocol buffers, below `/v1`.
    Rest03,
    /// The original project's `POST /query`.
    Query,
}

/// Whether the answer is wanted at once or piece by piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// One answer.
    Whole,
    /// Server-sent events.
    Stream,
}

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Asks.
    Post,
}

/// What an agent is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// The text.
    pub text: String,
    /// Made by the client, once per message.
    pub message_id: String,
    /// Continues a conversation: A2A's `contextId`, the original's `session_id`.
    pub context: Option<String>,
    /// Continues a task that wants more input.
    pub task: Option<String>,
    /// The interface's tenant.
    pub tenant: Option<String>,
}

/// A request below an interface's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// GET or POST.
    pub method: Method,
    /// Behind the interface's URL; empty: the URL itself.
    pub path: String,
    /// `A2A-Version`, where the dialect has one.
    pub version: Option<&'static str>,
    /// What is accepted.
    pub accept: &'static str,
    /// The body.
    pub body: Option<Value>,
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

impl Dialect {
    /// How an interface is asked; `None`: we do not speak that.
    pub fn of(interface: &Interface) -> Option<Self> {
        let legacy = interface.version.is_legacy();
        match (&interface.binding, legacy) {
            (Binding::JsonRpc, false) => Some(Self::JsonRpc1),
            (Binding::JsonRpc, true) => Some(Self::JsonRpc03),
            (Binding::Rest, false) => Some(Self::Rest1),
            (Binding::Rest, true) => Some(Self::Rest03),
            (Binding::Grpc, false) => Some(Self::Grpc1),
            (Binding::Query, _) => Some(Self::Query),
            (Binding::Grpc, true) | (Binding::Other(_), _) => None,
        }
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonRpc1 => "A2A 1.0 JSON-RPC",
            Self::Rest1 => "A2A 1.0 HTTP+JSON",
            Self::Grpc1 => "A2A 1.0 gRPC",
            Self::JsonRpc03 => "A2A 0.3 JSON-RPC",
            Self::Rest03 => "A2A 0.3 HTTP+JSON",
            Self::Query => "POST /query",
        }
    }

    /// Whether it knows answers piece by piece.
    pub fn streams(self) -> bool {
        self != Self::Query
    }

    /// The value of `A2A-Version`: always sent (1.0 §3.6.1), an agent that finds none takes 0.3.
    fn version(self) -> Option<&'static str> {
        match self {
            Self::JsonRpc1 | Self::Rest1 | Self::Grpc1 => Some("1.0"),
            Self::JsonRpc03 | Self::Rest03 => Some("0.3"),
            Self::Query => None,
        }
    }

    /// The request that asks. For gRPC it is the message's JSON.
    pub fn send(self, question: &Question, delivery: Delivery) -> Call {
        let stream = delivery == Delivery::Stream;
        let accept = match (stream, self) {
            (true, Self::JsonRpc1 | Self::Rest1 | Self::JsonRpc03 | Self::Rest03) => EVENTS,
            (_, _) => JSON,
        };
        let rest = if stream { "message:stream" } else { "message:send" };
        let (path, body) = match self {
            Self::JsonRpc1 => {
                let method = if stream { "SendStreamingMessage" } else { "SendMessage" };
                (String::new(), rpc(method, request_1(question)))
            }
            Self::JsonRpc03 => {
                let method = if stream { "message/stream" } else { "message/send" };
                (String::new(), rpc(method, request_03(question)))
            }
            Self::Rest1 | Self::Grpc1 => (tenant_path(question, rest), request_1(question)),
            Self::Rest03 => (format!("v1/{rest}"), request_proto_03(question)),
            Self::Query => {
                let mut body = json!({"query": question.text});
                put(&mut body, "session_id", question.context.as_deref());
                ("query".to_owned(), body)
            }
        };
        Call { method: Method::Post, path, version: self.version(), accept, body: Some(body) }
    }

    /// The request for a task's state; `None`: the dialect has no tasks.
    pub fn get_task(self, id: &str, tenant: Option<&str>) -> Option<Call> {
        let mut params = json!({"id": id});
        let (method, path, body) = match self {
            Self::JsonRpc1 => {
                put(&mut params, "tenant", tenant);
                (Method::Post, String::new(), Some(rpc("GetTask", params)))
            }
            Self::JsonRpc03 => (Method::Post, String::new(), Some(rpc("tasks/get", params))),
            Self::Rest1 => {
                let tenant = tenant.map(|t| format!("{}/", escape(t))).unwrap_or_default();
                (Method::Get, format!("{tenant}tasks/{}", escape(id)), None)
            }
            Self::Grpc1 => {
                put(&mut params, "tenant", tenant);
                (Method::Post, String::new(), Some(params))
            }
            Self::Rest03 => (Method::Get, format!("v1/tasks/{}", escape(id)), None),
            Self::Query => return None,
        };
        Some(Call { method, path, version: self.version(), accept: JSON, body })
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn rpc(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn put(object: &mut Value, name: &str, value: Option<&str>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), Value::from(value));
    }
}

fn with_ids(mut message: Value, question: &Question) -> Value {
    put(&mut message, "contextId", question.context.as_deref());
    put(&mut message, "taskId", question.task.as_deref());
    message
}

/// 1.0 §3.2.1. Blocking is the default there (§3.2.2).
fn request_1(question: &Question) -> Value {
    let message = json!({
        "messageId": question.message_id, "role": "ROLE_USER", "parts": [{"text": question.text}],
    });
    let mut request = Map::new();
    if let Some(tenant) = &question.tenant {
        request.insert("tenant".to_owned(), Value::from(tenant.as_str()));
    }
    request.insert("message".to_owned(), with_ids(message, question));
    Value::Object(request)
}

/// 0.3 §7.1.1. An agent that does not wait is asked again until its task is over.
fn request_03(question: &Question) -> Value {
    let message = json!({
        "kind": "message", "messageId": question.message_id, "role": "user",
        "parts": [{"kind": "text", "text": question.text}],
    });
    json!({"message": with_ids(message, question), "configuration": {"blocking": true}})
}

/// The same in the JSON of 0.3's protocol buffers, where parts are called `content`.
fn request_proto_03(question: &Question) -> Value {
    let message = json!({
        "messageId": question.message_id, "role": "ROLE_USER",
        "content": [{"text": question.text}],
    });
    json!({"message": with_ids(message, question), "configuration": {"blocking": true}})
}

/// 1.0's second URL pattern for interfaces with a tenant.
fn tenant_path(question: &Question, rest: &str) -> String {
    match &question.tenant {
        Some(tenant) => format!("{}/{rest}", escape(tenant)),
        None => rest.to_owned(),
    }
}

/// A segment of a path (RFC 3986 §3.3): ids come from the network.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    // `.` and `..` would be taken as steps.
    if matches!(escaped.as_str(), "." | "..") { escaped.replace('.', "%2E") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Dialect; 6] = [
        Dialect::JsonRpc1,
        Dialect::Rest1,
        Dialect::Grpc1,
        Dialect::JsonRpc03,
        Dialect::Rest03,
        Dialect::Query,
    ];

    fn line(call: &Call) -> String {
        let version = call.version.map(|v| format!(" A2A-Version: {v}")).unwrap_or_default();
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        format!("{:?} /{}{version} {}\n  {body}\n", call.method, call.path, call.accept)
    }

    #[test]
    fn requests() {
        let plain = Question { text: "hi".into(), message_id: "m".into(), ..Question::default() };
        let full = Question {
            context: Some("c".into()),
            task: Some("t".into()),
            tenant: Some("a/b".into()),
            ..plain.clone()
        };
        let mut text = String::new();
        for dialect in ALL {
            text.push_str(&format!("# {dialect}\n"));
            text.push_str(&line(&dialect.send(&plain, Delivery::Whole)));
            text.push_str(&line(&dialect.send(&full, Delivery::Stream)));
            if let Some(call) = dialect.get_task("../t 1", Some("a")) {
                text.push_str(&line(&call));
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn ids_stay_in_their_segment() {
        assert_eq!(escape(".."), "%2E%2E");
        assert_eq!(escape("a/../b?c#d%"), "a%2F..%2Fb%3Fc%23d%25");
    }
}
