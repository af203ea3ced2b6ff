//! `query`: asks an agent and prints its answer as it comes.

use std::io::Read as _;
use std::path::PathBuf;

use a2arun_core::a2a::TaskState;
use a2arun_core::exit_code::LauncherCode;
use a2arun_core::lines::visible;
use a2arun_core::mask::{Mask, MaskText};
use anyhow::Context as _;
use serde::Serialize;

use crate::a2a::{Answer, AskOptions, Asked, Client, Step, ask};
use crate::cli::{OutputFormat, QueryArgs};
use crate::cmd::asked::{asked, failure};
use crate::cmd::{Context, Failure};
use crate::output::{Style, print_json, print_line, print_piece, say};

/// A question that does not end is a mistake.
const QUESTION_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(super) async fn query(args: &QueryArgs, context: &Context) -> anyhow::Result<u8> {
    let (asked, mask) = asked(&args.target, args.agent.as_deref(), context).await?;
    let text = question(&args.text).await?;
    let cert_file = context.var("SSL_CERT_FILE").filter(|v| !v.is_empty()).map(PathBuf::from);
    let client = Client::new(args.header.clone(), cert_file);
    let options = AskOptions {
        session: args.session.clone(),
        task: args.task.clone(),
        timeout: Some(args.timeout),
        whole: args.no_stream,
    };
    let mut shower = Shower::new(args, context, mask.clone());
    let answer = ask(&client, &asked, &text, &options, &mut |step| shower.step(step)).await;
    shower.finish()?;
    let mut answer = answer.map_err(|error| failure(&error))?;
    answer.text = mask.text(&answer.text);
    let document = AnswerJson::of(&asked, &answer);
    match (args.output.output, args.raw) {
        (_, true) | (OutputFormat::Quiet, _) => {}
        (OutputFormat::Json, _) => print_json(&document)?,
        (OutputFormat::Jsonl, _) => print_line(&serde_json::to_string(&document)?)?,
        (OutputFormat::Human, _) if answer.exit_code() != LauncherCode::AgentFailed => {
            last_words(args, &answer);
        }
        (OutputFormat::Human, _) => {}
    }
    match answer.exit_code() {
        LauncherCode::AgentFailed => {
            let state = answer.state.map_or("", TaskState::as_str);
            let message = format!("the task of {} is {state}", asked.who);
            Err(Failure::new(LauncherCode::AgentFailed, message).into())
        }
        code => Ok(code.code()),
    }
}

/// `query --output json`.
#[derive(Debug, Serialize)]
struct AnswerJson<'a> {
    agent: &'a str,
    url: &'a str,
    dialect: &'a str,
    state: Option<&'a str>,
    session: Option<&'a str>,
    task: Option<&'a str>,
    answer: &'a str,
}

impl<'a> AnswerJson<'a> {
    fn of(asked: &'a Asked, answer: &'a Answer) -> Self {
        Self {
            agent: &asked.who,
            url: &answer.url,
            dialect: answer.dialect.as_str(),
            state: answer.state.map(TaskState::as_str),
            session: answer.context.as_deref(),
            task: answer.task.as_deref(),
            answer: &answer.text,
        }
    }
}

async fn question(text: &str) -> anyhow::Result<String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    // A thread of its own: a terminal may never end.
    let read = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(QUESTION_BYTES_MAX).read_to_string(&mut text);
        read.map(|_| text)
    });
    let text = read.await?.context("cannot read the question from standard input")?;
    if text.trim().is_empty() {
        return Err(Failure::new(LauncherCode::Usage, "standard input has no question").into());
    }
    Ok(text)
}

/// Shows what happens as it happens.
struct Shower {
    raw: bool,
    /// Whether the answer is printed as it comes.
    live: bool,
    talks: bool,
    terminal: bool,
    terminal_talk: bool,
    style: Style,
    mask: Mask,
    /// The answer, which comes in pieces.
    masked: MaskText,
    /// The last character printed; `None`: nothing yet.
    last: Option<char>,
    error: Option<std::io::Error>,
}

impl Shower {
    fn new(args: &QueryArgs, context: &Context, mask: Mask) -> Self {
        let format = args.output.output;
        let live = matches!(format, OutputFormat::Human | OutputFormat::Quiet) && !args.raw;
        Self {
            raw: args.raw,
            live,
            talks: format != OutputFormat::Quiet,
            terminal: context.stdout_terminal,
            terminal_talk: context.stderr_terminal,
            style: context.stderr_style(args.output),
            masked: MaskText::new(&mask),
            mask,
            last: None,
            error: None,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Raw(text) if self.raw => {
                let text = self.mask.text(&text);
                self.print(&format!("{text}\n"));
            }
            Step::Answer(text) if self.live => {
                let text = self.masked.push(&text);
                self.answer(text);
            }
            Step::Warning(text) => self.talk(&format!("{} {text}", self.style.warning("warning:"))),
            Step::Asking { dialect, url } => self.talk(&format!("asking {url} ({dialect})")),
            Step::Note(text) => self.talk(&self.mask.text(&text)),
            Step::Raw(_) | Step::Answer(_) => {}
        }
    }

    fn answer(&mut self, text: String) {
        let text = if self.terminal { visible(&text) } else { text };
        self.print(&text);
    }

    fn talk(&mut self, text: &str) {
        if !self.talks {
            return;
        }
        // On a terminal both end up in one place: talk begins on a line of its own.
        if self.terminal && self.terminal_talk && self.last.is_some_and(|c| c != '\n') {
            self.print("\n");
        }
        say(&if self.terminal_talk { visible_talk(text) } else { text.to_owned() });
    }

    fn print(&mut self, text: &str) {
        if let Some(last) = text.chars().last() {
            self.last = Some(last);
            self.error = self.error.take().or(print_piece(text).err());
        }
    }

    /// Ends the last line.
    fn finish(&mut self) -> anyhow::Result<()> {
        let rest = self.masked.finish();
        self.answer(rest);
        if self.last.is_some_and(|c| c != '\n') {
            self.print("\n");
        }
        match self.error.take() {
            Some(error) => Err(error).context("cannot write the answer"),
            None => Ok(()),
        }
    }
}

/// Our own colour stays; it stands at the beginning, behind it are words from the network.
fn visible_talk(text: &str) -> String {
    match text.split_once("\x1b[0m ") {
        Some((ours, words)) if ours.starts_with("\x1b[1;33m") => {
            format!("{ours}\x1b[0m {}", visible(words))
        }
        _ => visible(text),
    }
}

/// How to go on, where that is possible.
fn last_words(args: &QueryArgs, answer: &Answer) {
    let asks = answer.state.is_some_and(TaskState::is_interrupted);
    if let Some(state) = answer.state.filter(|_| asks) {
        say(&format!("the task is {state}"));
    }
    let Some(session) = &answer.context else { return };
    let mut line = format!("to go on: a2arun query {}", quoted(&args.target));
    if let Some(agent) = &args.agent {
        line.push_str(&format!(" --agent {}", quoted(agent)));
    }
    line.push_str(&format!(" --session {}", quoted(session)));
    if let (Some(task), true) = (&answer.task, asks) {
        line.push_str(&format!(" --task {}", quoted(task)));
    }
    say(&format!("{line} TEXT"));
}

/// For a shell: ids come from the network.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", visible(text).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_from_the_network_are_quoted() {
        assert_eq!(quoted("0b9c-1"), "0b9c-1");
        assert_eq!(quoted("a b'; rm -rf /"), "'a b'\\''; rm -rf /'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("\u{1b}[31m"), "'␛[31m'");
    }

    #[test]
    fn only_our_own_colour_is_obeyed() {
        let warning = Style::Colour.warning("warning:");
        assert_eq!(visible_talk(&format!("{warning} a\x1b[2J")), format!("{warning} a␛[2J"));
        assert_eq!(visible_talk("\x1b[2J"), "␛[2J");
    }
}
