//! From an error to words and an exit code: the one place where that happens.

use std::fmt;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::plan::{LaunchError, PlanError};
use a2arun_core::spec::ProgramError;
use a2arun_rt::paths::PathsError;
use a2arun_rt::tls::TlsError;

use crate::cmd::found::Refused;
use crate::target::ConnectError;

/// A failure with its code, where no type of error says it.
#[derive(Debug)]
pub struct Failure {
    pub(crate) code: LauncherCode,
    pub(crate) message: String,
    pub(crate) hints: Vec<String>,
}

impl Failure {
    pub(crate) fn new(code: LauncherCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new() }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The words for an error, without a final line break, and its exit code.
pub fn report(error: &anyhow::Error) -> (String, u8) {
    let mut text = String::new();
    let (code, hints) = classify(error);
    let message = format!("{error:#}");
    // What was rendered with its place in a file says itself that it is an error.
    if !message.starts_with("error") && !message.starts_with("warning") {
        text.push_str("error: ");
    }
    text.push_str(message.trim_end());
    for hint in hints {
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    (text, code.code())
}

fn classify(error: &anyhow::Error) -> (LauncherCode, Vec<String>) {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return (failure.code, failure.hints.clone());
        }
        if cause.is::<Refused>() {
            return (LauncherCode::InvalidJob, Vec::new());
        }
        if let Some(plan) = cause.downcast_ref::<PlanError>() {
            return (plan.exit_code(), plan.hints());
        }
        if let Some(connect) = cause.downcast_ref::<ConnectError>() {
            return (connect.exit_code(), connect.hint().map(str::to_owned).into_iter().collect());
        }
        if cause.is::<TlsError>() {
            let hint = "a2arun trust init makes the folder; --trust DIR names another".to_owned();
            return (LauncherCode::Refused, vec![hint]);
        }
        if cause.is::<LaunchError>() || cause.is::<ProgramError>() {
            return (LauncherCode::Usage, Vec::new());
        }
        if cause.is::<PathsError>() {
            return (LauncherCode::Refused, Vec::new());
        }
    }
    (LauncherCode::Internal, Vec::new())
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn every_error_has_its_code() {
        let code = |error: anyhow::Error| report(&error).1;
        let plan = PlanError::NoHosts;
        assert_eq!(code(plan.into()), 71);
        assert_eq!(code(ProgramError::Empty.into()), 64);
        assert_eq!(code(ConnectError::NotReady("x".into()).into()), 68);
        assert_eq!(code(ConnectError::RefusedUs("x".into()).into()), 77);
        assert_eq!(code(TlsError::NoCertificate.into()), 77);
        assert_eq!(code(Failure::new(LauncherCode::InvalidJob, "x").into()), 65);
        assert_eq!(code(anyhow::anyhow!("x")), 70);
        let wrapped = Err::<(), _>(ProgramError::Empty).context("cannot run").unwrap_err();
        assert_eq!(code(wrapped), 64);
    }

    #[test]
    fn causes_are_on_one_line_and_hints_below() {
        let error = std::io::Error::other("no such thing");
        let error = anyhow::Error::from(error).context("cannot read x.yaml");
        assert_eq!(report(&error).0, "error: cannot read x.yaml: no such thing");
        let failure = Failure::new(LauncherCode::Usage, "no").hint("yes");
        assert_eq!(report(&failure.into()).0, "error: no\nhint: yes");
    }
}
