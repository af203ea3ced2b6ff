//! One way being gone: the question, its answer as it comes, and its task until that is over.

use a2arun_core::a2a::{
    AgentError, AnswerError, Call, Delivery, Dialect, Event, Piece, Question, Reply, SseReader,
    read, read_error,
};
use a2arun_core::backoff;
use a2arun_core::card::WebUrl;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::time::sleep;

use crate::a2a::ask::{Answer, AskOptions, Asked, Doing, OnStep, Step};
use crate::a2a::error::AskError;
use crate::a2a::grpc::{Grpc, GrpcFailure};
use crate::a2a::http::{Ask, Client, HttpError, Response};
use crate::a2a::ways::Way;

/// A longer answer is refused.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The first looks of [`backoff::poll`] are for processes that start, not for tasks that think.
const POLLS_SKIPPED: usize = 5;

/// What is sent on a way.
#[derive(Debug, Clone, Copy)]
enum Request<'a> {
    /// The question.
    Send(&'a Question, Delivery),
    /// How its task stands.
    Look(&'a str),
}

/// Why a way gave no answer.
pub(super) enum Miss {
    /// The question was not taken: another way may be tried.
    Next(AskError),
    /// It was, or may have been.
    Final(AskError),
}

/// One way being gone.
pub(super) struct Conversation<'a> {
    client: &'a Client,
    asked: &'a Asked,
    way: &'a Way,
    on: OnStep<'a>,
    doing: &'a mut Doing,
    reply: Reply,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        client: &'a Client,
        asked: &'a Asked,
        way: &'a Way,
        on: OnStep<'a>,
        doing: &'a mut Doing,
    ) -> Self {
        Self { client, asked, way, on, doing, reply: Reply::new() }
    }

    /// # Cancel safety
    /// Dropping it closes its connection.
    pub(super) async fn run(
        &mut self,
        question: &Question,
        options: &AskOptions,
    ) -> Result<(), Miss> {
        let dialect = self.way.dialect;
        let mut delivery =
            if self.way.streams && !options.whole { Delivery::Stream } else { Delivery::Whole };
        loop {
            match self.once(Request::Send(question, delivery)).await {
                // It says that it streams and does not.
                Err(Miss::Next(_)) if delivery == Delivery::Stream => delivery = Delivery::Whole,
                Err(miss) => return Err(miss),
                Ok(()) => break,
            }
        }
        // 1.0 §3.1.1: a task may go on behind its first answer.
        let mut waits = backoff::poll().skip(POLLS_SKIPPED);
        while !self.reply.is_over() {
            let Some(task) = self.reply.task.clone().filter(|_| dialect != Dialect::Query) else {
                let (who, url) = (self.who(), self.way.url.to_string());
                return Err(Miss::Final(AskError::Empty { who, url }));
            };
            if let Some(wait) = waits.next() {
                sleep(wait).await;
            }
            self.once(Request::Look(&task)).await.map_err(|miss| match miss {
                Miss::Next(error) | Miss::Final(error) => Miss::Final(error),
            })?;
        }
        if delivery == Delivery::Stream && dialect != Dialect::Query && self.reply.text().is_empty()
        {
            self.look_once().await;
        }
        let last = self.reply.end();
        self.show(last);
        Ok(())
    }

    /// Some agents stream how their task stands and leave what came of it in the task.
    async fn look_once(&mut self) {
        let Some(task) = self.reply.task.clone() else { return };
        if let Err(Miss::Next(error) | Miss::Final(error)) = self.once(Request::Look(&task)).await {
            tracing::debug!(%error, "the task of an empty answer");
        }
    }

    pub(super) fn answer(self) -> Answer {
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
    async fn once(&mut self, request: Request<'_>) -> Result<(), Miss> {
        let dialect = self.way.dialect;
        let call = match request {
            Request::Send(question, delivery) => dialect.send(question, delivery),
            Request::Look(task) => dialect.get_task(task, self.way.tenant.as_deref()),
        };
        match call {
            Some(call) => self.http(&call).await,
            None => self.grpc(request).await,
        }
    }

    async fn grpc(&mut self, request: Request<'_>) -> Result<(), Miss> {
        let (who, url) = (self.who(), self.way.url.clone());
        let miss = |failure| grpc_miss(failure, &who, &url);
        let mut agent = Grpc::connect(self.client, &url).await.map_err(miss)?;
        match request {
            Request::Look(task) => {
                let event = agent.look(task, self.way.tenant.as_deref()).await.map_err(miss)?;
                self.came(event);
            }
            Request::Send(question, Delivery::Whole) => {
                let event = agent.send(question).await.map_err(miss)?;
                self.came(event);
            }
            Request::Send(question, Delivery::Stream) => {
                let mut stream = agent.stream(question).await.map_err(miss)?;
                loop {
                    match stream.next().await {
                        Ok(Some(event)) => self.came(event),
                        Ok(None) => break,
                        // A task can still be asked for; without one the answer is lost.
                        Err(_) if self.reply.task.is_some() || self.reply.is_over() => break,
                        Err(failure) => return Err(miss(failure)),
                    }
                }
            }
        }
        Ok(())
    }

    /// A message of protocol buffers has no text of its own: its meaning is shown as raw.
    fn came(&mut self, event: Event) {
        (self.on)(Step::Raw(format!("{event:?}")));
        self.took(event);
    }

    async fn http(&mut self, call: &Call) -> Result<(), Miss> {
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
                Err(_) if self.reply.task.is_some() || self.reply.is_over() => return Ok(()),
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
                self.took(event);
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

    fn took(&mut self, event: Event) {
        let pieces = self.reply.take(event);
        self.doing.task = self.reply.task.clone();
        self.doing.state = self.reply.state;
        self.show(pieces);
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

fn grpc_miss(failure: GrpcFailure, who: &str, url: &WebUrl) -> Miss {
    let (who, url) = (who.to_owned(), url.to_string());
    match failure {
        GrpcFailure::Connect(source) => Miss::Next(AskError::Unreachable { who, source }),
        GrpcFailure::Refused(status) => Miss::Final(AskError::Refused { who, url, status }),
        GrpcFailure::NotTaken(error) => {
            Miss::Next(AskError::Answer { who, url, source: AnswerError::Agent(error) })
        }
        GrpcFailure::Agent(error) => {
            Miss::Final(AskError::Answer { who, url, source: AnswerError::Agent(error) })
        }
        GrpcFailure::Empty => Miss::Final(AskError::Empty { who, url }),
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
