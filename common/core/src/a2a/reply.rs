//! An answer as it grows: takes events in any order that agents send them in, gives what is new
//! for the person, and in the end the whole.

use crate::a2a::answer::{Event, Message, Part, Task, TaskState};

/// Something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Belongs to the answer; goes right behind the piece before it.
    Answer(String),
    /// What the agent says on its way.
    Note(String),
}

/// An answer so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The conversation, as the agent calls it.
    pub context: Option<String>,
    /// The task, where there is one.
    pub task: Option<String>,
    /// Where the task is; `None`: a direct answer, or nothing yet.
    pub state: Option<TaskState>,
    /// Direct answers.
    messages: Vec<String>,
    artifacts: Vec<Made>,
    /// What the agent said to the last state.
    said: Option<String>,
    /// What it said to one before.
    said_before: Option<String>,
    /// The last that it said, as its task tells.
    history: Option<String>,
    shown: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Made {
    id: String,
    text: String,
}

impl Reply {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what came and gives what is new of it.
    pub fn take(&mut self, event: Event) -> Vec<Piece> {
        let mut pieces = Vec::new();
        match event {
            Event::Message(message) => {
                self.belongs(message.task.clone(), message.context.clone());
                self.messages.push(text_of(&message.parts));
            }
            Event::Task(task) => self.task(task, &mut pieces),
            Event::Status { task, context, state, message } => {
                self.belongs(task, context);
                self.moved(state, message, &mut pieces);
            }
            Event::Artifact { task, context, artifact, append } => {
                self.belongs(task, context);
                let text = text_of(&artifact.parts);
                let known = self.artifacts.iter_mut().find(|made| made.id == artifact.id);
                match (known, append) {
                    (Some(made), true) => made.text.push_str(&text),
                    (Some(made), false) => made.text = text,
                    (None, _) => self.artifacts.push(Made { id: artifact.id, text }),
                }
            }
        }
        self.news(&mut pieces);
        pieces
    }

    /// Nothing more comes. What an agent said to its last state is the answer where it gave no
    /// other; so is the last thing that it said at all.
    pub fn end(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let text = self.text();
        if self.shown.is_empty() && !text.is_empty() {
            pieces.push(Piece::Answer(text.clone()));
            self.shown = text;
        } else if let Some(rest) = text.strip_prefix(&self.shown)
            && !rest.is_empty()
        {
            pieces.push(Piece::Answer(rest.to_owned()));
            self.shown = text;
        }
        pieces
    }

    /// Whether nothing more is to be waited for.
    pub fn is_over(&self) -> bool {
        match self.state {
            Some(state) => state.is_terminal() || state.is_interrupted(),
            None => !self.messages.is_empty(),
        }
    }

    /// The whole answer.
    pub fn text(&self) -> String {
        let made = self.made();
        if !made.is_empty() || !self.messages.is_empty() {
            let messages = self.messages.iter().map(String::as_str);
            let texts: Vec<&str> =
                [made.as_str()].into_iter().chain(messages).filter(|t| !t.is_empty()).collect();
            let asks = self.state.is_some_and(TaskState::is_interrupted);
            return match &self.said {
                // A question comes behind what was made so far.
                Some(said) if asks => format!("{}\n{said}", texts.join("\n")),
                Some(_) | None => texts.join("\n"),
            };
        }
        let said = [&self.said, &self.history, &self.said_before];
        said.into_iter().flatten().next().cloned().unwrap_or_default()
    }

    fn made(&self) -> String {
        let texts = self.artifacts.iter().map(|made| made.text.as_str());
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn belongs(&mut self, task: Option<String>, context: Option<String>) {
        self.task = task.or_else(|| self.task.take());
        self.context = context.or_else(|| self.context.take());
    }

    fn task(&mut self, task: Task, pieces: &mut Vec<Piece>) {
        self.belongs(task.id, task.context);
        for artifact in task.artifacts {
            let text = text_of(&artifact.parts);
            match self.artifacts.iter_mut().find(|made| made.id == artifact.id) {
                Some(made) => made.text = text,
                None => self.artifacts.push(Made { id: artifact.id, text }),
            }
        }
        if let Some(message) = task.history.last().filter(|message| message.from_agent) {
            self.history = Some(text_of(&message.parts)).filter(|text| !text.is_empty());
        }
        self.moved(task.state, task.message, pieces);
    }

    fn moved(&mut self, state: TaskState, message: Option<Message>, pieces: &mut Vec<Piece>) {
        self.state = Some(state);
        let Some(text) = message.map(|m| text_of(&m.parts)).filter(|t| !t.is_empty()) else {
            self.said_before = self.said.take().or_else(|| self.said_before.take());
            return;
        };
        let over = state.is_terminal() || state.is_interrupted();
        let new = self.said.as_ref() != Some(&text);
        // The last word is the answer where nothing else is; then it is told in the end.
        let beside = state.is_terminal() && !self.made().is_empty();
        if new && (!over || beside) {
            pieces.push(Piece::Note(text.clone()));
        }
        self.said = Some(text);
    }

    /// What of artifacts and messages has not been shown.
    fn news(&mut self, pieces: &mut Vec<Piece>) {
        if self.made().is_empty() && self.messages.is_empty() {
            return;
        }
        let text = self.text();
        match text.strip_prefix(&self.shown) {
            Some("") => return,
            Some(rest) => pieces.push(Piece::Answer(rest.to_owned())),
            // It was made anew: what was shown cannot be taken back.
            None => pieces.push(Piece::Answer(format!("\n{text}"))),
        }
        self.shown = text;
    }
}

/// Parts as text: one a line, data as JSON, files by their place.
fn text_of(parts: &[Part]) -> String {
    let texts: Vec<String> = parts.iter().map(part_text).filter(|t| !t.is_empty()).collect();
    texts.join("\n")
}

fn part_text(part: &Part) -> String {
    match part {
        Part::Text(text) => text.clone(),
        Part::Data(value) => value.to_string(),
        Part::File { url: Some(url), .. } => url.clone(),
        Part::File { name, media_type, url: None, encoded_bytes } => {
            let name = name.as_deref().unwrap_or("a file");
            let media = media_type.as_deref().map(|m| format!(", {m}")).unwrap_or_default();
            format!("[{name}{media}, {} bytes]", encoded_bytes / 4 * 3)
        }
    }
}
