//! Texts with what was found in them: an error with places, for people and for scripts.

use std::fmt;

use a2arun_core::source::Finding;
use a2arun_core::spec::render::{Style, render};

/// A text and its findings. Values that are secrets are starred out in both.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its path, as given.
    pub(super) shown: String,
    pub(super) text: String,
    pub(super) findings: Vec<Finding>,
}

impl Found {
    pub(super) fn rendered(&self, style: Style) -> String {
        render(&self.shown, &self.text, &self.findings, style)
    }
}

/// Files that cannot be used as they are.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) found: Vec<Found>,
    pub(super) style: Style,
    /// Said behind the findings, where they alone would not explain it.
    pub(super) because: Option<String>,
}

impl Refused {
    pub(super) fn new(found: Vec<Found>, style: Style) -> Self {
        Self { found, style, because: None }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.found.iter().filter(|found| !found.findings.is_empty());
        let mut parts: Vec<String> = found.map(|found| found.rendered(self.style)).collect();
        parts.extend(self.because.as_ref().map(|text| format!("error: {text}")));
        f.write_str(&parts.join("\n\n"))
    }
}

impl std::error::Error for Refused {}
