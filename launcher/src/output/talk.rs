//! What is said to the person at the terminal, on stderr.

use tokio::sync::mpsc;

use crate::output::printer::Sinks;
use crate::output::style::Style;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Volume {
    /// Only what went wrong.
    Errors,
    /// And what happens.
    Progress,
}

/// Says it. Never waits: a terminal that stands still must not hold up the job.
#[derive(Debug, Clone)]
pub(crate) struct Talk {
    stderr: mpsc::Sender<Vec<u8>>,
    style: Style,
    volume: Volume,
}

impl Talk {
    pub(crate) fn new(sinks: &Sinks, style: Style, volume: Volume) -> Self {
        Self { stderr: sinks.stderr.clone(), style, volume }
    }

    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Whether progress is said.
    pub(crate) fn is_on(&self) -> bool {
        self.volume >= Volume::Progress
    }

    /// Something that happens.
    pub(crate) fn progress(&self, text: &str) {
        if self.is_on() {
            self.send(text);
        }
    }

    /// Something unexpected that is carried on from.
    pub(crate) fn warning(&self, text: &str) {
        self.send(&format!("{} {text}", self.style.warning("warning:")));
    }

    /// Something that went wrong.
    pub(crate) fn error(&self, text: &str) {
        self.send(&format!("{} {text}", self.style.error("error:")));
    }

    /// What would help.
    pub(crate) fn hint(&self, text: &str) {
        self.send(&format!("{} {text}", self.style.bold("hint:")));
    }

    /// Lines as they are.
    pub(crate) fn block(&self, text: &str) {
        self.send(text);
    }

    fn send(&self, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        if bytes.last() != Some(&b'\n') {
            bytes.push(b'\n');
        }
        // Full: the reader stands still, and this line is worth less than the job.
        let _ = self.stderr.try_send(bytes);
    }
}
