//! What is said to the person at the terminal, on stderr.

use a2arun_core::mask::Mask;
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

/// Errors that found no room and are kept for the end; more are lost.
const KEPT_DEPTH: usize = 32;

/// Errors that are still to be said.
#[derive(Debug)]
pub(crate) struct Kept(mpsc::Receiver<Vec<u8>>);

impl Kept {
    /// The next one.
    pub(crate) fn take(&mut self) -> Option<String> {
        self.0.try_recv().ok().map(|text| String::from_utf8_lossy(&text).into_owned())
    }
}

/// Says it. Never waits: a terminal that stands still must not hold up the job.
#[derive(Debug, Clone)]
pub(crate) struct Talk {
    stderr: mpsc::Sender<Vec<u8>>,
    kept: mpsc::Sender<Vec<u8>>,
    style: Style,
    volume: Volume,
    mask: Mask,
}

impl Talk {
    /// What `mask` knows is starred out: hosts and agents may say anything.
    pub(crate) fn new(sinks: &Sinks, style: Style, volume: Volume, mask: Mask) -> (Self, Kept) {
        let (keep, kept) = mpsc::channel(KEPT_DEPTH);
        (Self { stderr: sinks.stderr.clone(), kept: keep, style, volume, mask }, Kept(kept))
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
            // Full: the reader stands still, and this line is worth less than the job.
            let _ = self.send(text);
        }
    }

    /// Something unexpected that is carried on from.
    pub(crate) fn warning(&self, text: &str) {
        let _ = self.send(&format!("{} {text}", self.style.warning("warning:")));
    }

    /// Something that went wrong; it is said in the end if not now.
    pub(crate) fn error(&self, text: &str) {
        self.error_block(&format!("{} {text}", self.style.error("error:")));
    }

    /// The same with lines of its own form.
    pub(crate) fn error_block(&self, text: &str) {
        if let Err(unsaid) = self.send(text) {
            // More than that is a repetition of what is kept.
            let _ = self.kept.try_send(unsaid);
        }
    }

    /// What would help.
    pub(crate) fn hint(&self, text: &str) {
        self.block(&format!("{} {text}", self.style.bold("hint:")));
    }

    /// Lines as they are.
    pub(crate) fn block(&self, text: &str) {
        let _ = self.send(text);
    }

    fn send(&self, text: &str) -> Result<(), Vec<u8>> {
        let mut bytes = self.mask.bytes(text.as_bytes());
        if bytes.last() != Some(&b'\n') {
            bytes.push(b'\n');
        }
        self.stderr.try_send(bytes).map_err(mpsc::error::TrySendError::into_inner)
    }
}
