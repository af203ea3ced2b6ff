//! Findings as rustc prints them.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::source::{Finding, Severity};
use crate::spec::redact;

/// Whether colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// ASCII only.
    Plain,
    /// ANSI colours.
    Colour,
}

/// All findings, in the order given, one blank line between them. `path` is shown as it is.
pub fn render(path: &str, text: &str, findings: &[Finding], style: Style) -> String {
    // Once for all findings.
    let text = redact::source(text);
    let all: Vec<String> = findings.iter().map(|f| rendered(path, &text, f, style)).collect();
    all.join("\n\n")
}

/// One finding, without a newline at the end. Values behind secret names are starred out.
pub fn render_one(path: &str, text: &str, finding: &Finding, style: Style) -> String {
    rendered(path, &redact::source(text), finding, style)
}

fn rendered(path: &str, text: &str, finding: &Finding, style: Style) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(finding.message.as_str()).id(finding.code.as_str());
    let mut group = Group::with_title(title);
    match finding.span {
        Some(span) => {
            let range = clamp(text, span.start as usize, span.end as usize);
            let mut primary = AnnotationKind::Primary.span(range);
            if let Some(label) = &finding.label {
                primary = primary.label(label.as_str());
            }
            let mut snippet = Snippet::source(text).path(path).fold(true).annotation(primary);
            if let Some((span, label)) = &finding.other {
                let range = clamp(text, span.start as usize, span.end as usize);
                snippet =
                    snippet.annotation(AnnotationKind::Context.span(range).label(label.as_str()));
            }
            group = group.element(snippet);
        }
        None => group = group.element(annotate_snippets::Origin::path(path)),
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Colour => Renderer::styled(),
    };
    renderer.render(&[group])
}

/// A range of the text on character boundaries, inside it.
fn clamp(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let floor = |at: usize| {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(start);
    start..floor(end).max(start)
}
