//! Looks at a run that tests have in common.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bed::Bed;
use crate::run::Head;
use crate::wait::{Poll, wait_for};

const SOON: Duration = Duration::from_secs(15);
const END: Duration = Duration::from_secs(20);

/// One instance of `status`.
///
/// # Errors
/// When there is no such run or instance.
pub fn instance(bed: &Bed, job: &str, name: &str) -> Result<Value> {
    let status = bed.status(job)?;
    let all = status["instances"].as_array().context("no instances")?;
    all.iter().find(|i| i["name"] == name).cloned().with_context(|| format!("no {name}: {status}"))
}

/// Waits until an instance is as wanted.
///
/// # Errors
/// When it is not in time.
pub fn until(
    bed: &Bed,
    job: &str,
    name: &str,
    what: &str,
    good: impl Fn(&Value) -> bool,
) -> Result<()> {
    wait_for(what, SOON, || match instance(bed, job, name) {
        Ok(found) if good(&found) => Poll::Ready(()),
        Ok(found) => Poll::NotYet(found.to_string()),
        Err(error) => Poll::NotYet(format!("{error:#}")),
    })
}

/// Ctrl-C, and nothing is left.
///
/// # Errors
/// When it ends otherwise, or something is left.
pub fn ends(head: Head, bed: &Bed) -> Result<()> {
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.nothing_runs()
}
