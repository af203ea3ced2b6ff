//! A2A 1.0 over gRPC (§10): the same questions and answers as messages of protocol buffers. Its wire
//! types are named in here and nowhere else.

use std::sync::Mutex;

use a2arun_core::a2a::{
    AgentError, Artifact, Dialect, Event, Message, Part, Question, Task, TaskState,
};
use a2arun_core::card::WebUrl;
use a2arun_proto::a2a as wire;
use a2arun_proto::a2a::a2a_service_client::A2aServiceClient;
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Number, Value};
use tonic::metadata::{AsciiMetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tower::service_fn;

use crate::a2a::http::{Client, HttpError};

/// Answers with files in them are longer than gRPC's usual 4 MiB.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// More nesting is a mistake, and would cost stack.
const DEPTH_MAX: usize = 64;

/// Why a call gave no answer.
#[derive(Debug)]
pub(super) enum GrpcFailure {
    /// Nobody is there.
    Connect(HttpError),
    /// The agent wants to know who asks.
    Refused(StatusCode),
    /// It does not know the method.
    NotTaken(AgentError),
    /// It said no.
    Agent(AgentError),
    /// It answered with nothing.
    Empty,
}

/// An agent that is asked.
#[derive(Debug)]
pub(super) struct Grpc {
    service: A2aServiceClient<Channel>,
    headers: MetadataMap,
}

/// An answer in pieces.
#[derive(Debug)]
pub(super) struct Pieces(Streaming<wire::StreamResponse>);

impl Grpc {
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(super) async fn connect(client: &Client, url: &WebUrl) -> Result<Self, GrpcFailure> {
        let stream = client.connect_h2(url).await.map_err(GrpcFailure::Connect)?;
        let authority = url.authority();
        let uri: Uri = format!("{}://{authority}", url.scheme).parse().unwrap_or_default();
        // The connection is there already; whoever asks for a second one has lost it.
        let stream = Mutex::new(Some(stream));
        let connector = service_fn(move |_: Uri| {
            let taken = stream.lock().ok().and_then(|mut stream| stream.take());
            async move {
                taken
                    .map(TokioIo::new)
                    .ok_or_else(|| std::io::Error::other("the connection is gone"))
            }
        });
        let channel = Endpoint::from(uri).connect_with_connector(connector).await;
        let channel = channel.map_err(|error| {
            let source = std::io::Error::other(error);
            GrpcFailure::Connect(HttpError::Connect { authority, source })
        })?;
        let service = A2aServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { service, headers: metadata(client.headers()) })
    }

    pub(super) async fn send(&mut self, question: &Question) -> Result<Event, GrpcFailure> {
        use wire::send_message_response::Payload;
        let request = self.request(request(question));
        let response = self.service.send_message(request).await.map_err(failure)?;
        match response.into_inner().payload {
            Some(Payload::Task(task)) => Ok(Event::Task(task_of(task))),
            Some(Payload::Message(message)) => Ok(Event::Message(message_of(message))),
            None => Err(GrpcFailure::Empty),
        }
    }

    pub(super) async fn stream(&mut self, question: &Question) -> Result<Pieces, GrpcFailure> {
        let request = self.request(request(question));
        let response = self.service.send_streaming_message(request).await.map_err(failure)?;
        Ok(Pieces(response.into_inner()))
    }

    pub(super) async fn look(
        &mut self,
        task: &str,
        tenant: Option<&str>,
    ) -> Result<Event, GrpcFailure> {
        let tenant = tenant.unwrap_or_default().to_owned();
        let request = self.request(wire::GetTaskRequest { tenant, id: task.to_owned() });
        let response = self.service.get_task(request).await.map_err(failure)?;
        Ok(Event::Task(task_of(response.into_inner())))
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        // §10.2: service parameters are metadata.
        if let Some(version) = Dialect::Grpc1.version() {
            request.metadata_mut().insert("a2a-version", MetadataValue::from_static(version));
        }
        request
    }
}

impl Pieces {
    /// The next piece; `None`: that was all. A piece of a kind that we do not know is passed over.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, GrpcFailure> {
        use wire::stream_response::Payload;
        while let Some(response) = self.0.message().await.map_err(failure)? {
            let event = match response.payload {
                Some(Payload::Task(task)) => Event::Task(task_of(task)),
                Some(Payload::Message(message)) => Event::Message(message_of(message)),
                Some(Payload::StatusUpdate(update)) => {
                    let (state, message) = status_of(update.status);
                    let (task, context) = (some(update.task_id), some(update.context_id));
                    Event::Status { task, context, state, message }
                }
                Some(Payload::ArtifactUpdate(update)) => Event::Artifact {
                    task: some(update.task_id),
                    context: some(update.context_id),
                    artifact: update.artifact.map(artifact_of).unwrap_or_default(),
                    append: update.append,
                },
                None => continue,
            };
            return Ok(Some(event));
        }
        Ok(None)
    }
}

/// Headers of the person, as far as gRPC takes them.
fn metadata(headers: &[(HeaderName, HeaderValue)]) -> MetadataMap {
    let mut map = MetadataMap::new();
    for (name, value) in headers {
        let key = AsciiMetadataKey::from_bytes(name.as_str().as_bytes());
        if let (Ok(key), Ok(value)) = (key, MetadataValue::try_from(value.as_bytes())) {
            map.insert(key, value);
        }
    }
    map
}

fn failure(status: Status) -> GrpcFailure {
    let code = Some(i64::from(i32::from(status.code())));
    let error = AgentError { code, message: status.message().to_owned() };
    match status.code() {
        Code::Unauthenticated => GrpcFailure::Refused(StatusCode::UNAUTHORIZED),
        Code::PermissionDenied => GrpcFailure::Refused(StatusCode::FORBIDDEN),
        Code::Unimplemented => GrpcFailure::NotTaken(error),
        _ => GrpcFailure::Agent(error),
    }
}

fn request(question: &Question) -> wire::SendMessageRequest {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let content = wire::part::Content::Text(question.text.clone());
    wire::SendMessageRequest {
        tenant: text(&question.tenant),
        message: Some(wire::Message {
            message_id: question.message_id.clone(),
            context_id: text(&question.context),
            task_id: text(&question.task),
            role: wire::Role::User.into(),
            parts: vec![wire::Part { content: Some(content), ..wire::Part::default() }],
        }),
    }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn task_of(task: wire::Task) -> Task {
    let (state, message) = status_of(task.status);
    Task {
        id: some(task.id),
        context: some(task.context_id),
        state,
        message,
        artifacts: task.artifacts.into_iter().map(artifact_of).collect(),
        history: task.history.into_iter().map(message_of).collect(),
    }
}

fn status_of(status: Option<wire::TaskStatus>) -> (TaskState, Option<Message>) {
    let Some(status) = status else { return (TaskState::Unknown, None) };
    (TaskState::read(status.state().as_str_name()), status.message.map(message_of))
}

fn message_of(message: wire::Message) -> Message {
    Message {
        from_agent: message.role() != wire::Role::User,
        context: some(message.context_id),
        task: some(message.task_id),
        parts: message.parts.into_iter().filter_map(part_of).collect(),
    }
}

fn artifact_of(artifact: wire::Artifact) -> Artifact {
    Artifact {
        id: artifact.artifact_id,
        name: some(artifact.name),
        parts: artifact.parts.into_iter().filter_map(part_of).collect(),
    }
}

fn part_of(part: wire::Part) -> Option<Part> {
    use wire::part::Content;
    let (name, media_type) = (some(part.filename), some(part.media_type));
    Some(match part.content? {
        Content::Text(text) => Part::Text(text),
        Content::Data(value) => Part::Data(value_of(value, 0)),
        Content::Url(url) => Part::File { name, media_type, url: Some(url), encoded_bytes: 0 },
        // Elsewhere it comes in base64, four bytes for three.
        Content::Raw(raw) => {
            let encoded_bytes = raw.len().div_ceil(3) * 4;
            Part::File { name, media_type, url: None, encoded_bytes }
        }
    })
}

fn value_of(value: wire::Value, depth: usize) -> Value {
    use wire::value::Kind;
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => number_of(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::StructValue(object)) => {
            let mut fields: Vec<_> = object.fields.into_iter().collect();
            // Their order on the wire says nothing; the same every time is easier to read.
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            let fields = fields.into_iter().map(|(name, v)| (name, value_of(v, depth + 1)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(|v| value_of(v, depth + 1)).collect())
        }
    }
}

/// Whole numbers without a `.0`: JSON has one kind of number, and so has the wire.
fn number_of(number: f64) -> Value {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
        let whole = number as i64;
        return Value::Number(whole.into());
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: wire::value::Kind) -> wire::Value {
        wire::Value { kind: Some(kind) }
    }

    #[test]
    fn data_becomes_json() {
        use wire::value::Kind;
        let values = vec![value(Kind::NumberValue(1.0)), value(Kind::NumberValue(0.5))];
        let fields = [
            ("b".to_owned(), value(Kind::ListValue(wire::ListValue { values }))),
            ("a".to_owned(), value(Kind::NullValue(0))),
            ("c".to_owned(), value(Kind::NumberValue(f64::NAN))),
        ];
        let object = value(Kind::StructValue(wire::Struct { fields: fields.into() }));
        assert_eq!(value_of(object, 0).to_string(), r#"{"a":null,"b":[1,0.5],"c":null}"#);
        let mut deep = value(Kind::BoolValue(true));
        for _ in 0..200 {
            deep = value(Kind::ListValue(wire::ListValue { values: vec![deep] }));
        }
        assert!(value_of(deep, 0).to_string().contains("[null]"));
    }

    #[test]
    fn what_is_asked_and_answered() {
        let question = Question {
            text: "hi".into(),
            message_id: "m".into(),
            context: Some("c".into()),
            ..Question::default()
        };
        let sent = request(&question).message.unwrap();
        assert_eq!((sent.role(), sent.context_id.as_str()), (wire::Role::User, "c"));
        let status = wire::TaskStatus {
            state: wire::TaskState::InputRequired.into(),
            message: Some(wire::Message { role: wire::Role::Agent.into(), ..sent }),
        };
        let (state, said) = status_of(Some(status));
        assert_eq!(state, TaskState::InputRequired);
        assert_eq!(said.unwrap().parts, [Part::Text("hi".into())]);
        assert_eq!(status_of(None).0, TaskState::Unknown);
    }
}
