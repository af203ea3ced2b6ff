//! The words for what happened.

use std::time::Duration;

use a2arun_core::outcome::{ExitReason, ExitRecord, Proof};

/// `0.31 s`, `12 s`, `2:13`, `1:02:03`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// How an instance ended: `exited with 3`, `was ended by SIGSEGV`.
pub(crate) fn exit_text(exit: &ExitRecord) -> String {
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was ended by {}", signal.name()),
        (None, None) => "ended, nobody could learn how".to_owned(),
    };
    match exit.reason {
        ExitReason::Completed | ExitReason::Failed | ExitReason::Signaled => how,
        ExitReason::Unknown => "ended, nobody could learn how".to_owned(),
        ExitReason::Oom => "was killed: the machine or its limit had no memory left".to_owned(),
        ExitReason::Stopped => "was stopped".to_owned(),
        ExitReason::GraceKilled => "was killed when its grace was over".to_owned(),
        ExitReason::LivenessFailed => "was stopped: it answered no more".to_owned(),
        ExitReason::StartTimeout => "was not ready in time".to_owned(),
        ExitReason::SpawnFailed => "could not be started".to_owned(),
        ExitReason::ExitedBeforeReady => format!("{how} before it was ready"),
        ExitReason::Exhausted => format!("{how}; its restarts are used up"),
        ExitReason::HostLost => "is lost with its host".to_owned(),
    }
}

/// [`exit_text`] with what is known beyond it.
pub(crate) fn why(exit: &ExitRecord) -> String {
    let mut text = exit_text(exit);
    if let Some(detail) = exit.detail.as_deref().filter(|d| !d.is_empty()) {
        text.push_str(": ");
        text.push_str(detail);
    }
    if exit.proof == Proof::Survivors && !exit.survivors.is_empty() {
        let list: Vec<String> =
            exit.survivors.iter().map(|s| format!("{} ({})", s.pid, s.comm)).collect();
        text.push_str(&format!("; still there: {}", list.join(", ")));
    }
    text
}

/// `worker[1] on n2 exited with 3 after 0.42 s`.
pub(crate) fn cause_line(name: &str, host: &str, exit: &ExitRecord) -> String {
    let after = exit.ran_for().map(|d| format!(" after {}", duration(d))).unwrap_or_default();
    let text = exit_text(exit);
    match exit.detail.as_deref().filter(|d| !d.is_empty()) {
        // It says within which time it was not.
        Some(detail) if exit.reason == ExitReason::StartTimeout => {
            format!("{name} on {host} was {detail}")
        }
        Some(detail) => format!("{name} on {host} {text}{after}: {detail}"),
        None => format!("{name} on {host} {text}{after}"),
    }
}

#[cfg(test)]
mod tests {
    use a2arun_core::launch::SignalNumber;
    use a2arun_core::outcome::Survivor;
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn lengths_of_time() {
        let text = |ms| duration(Duration::from_millis(ms));
        assert_eq!(
            [text(310), text(9_990), text(12_300), text(133_000), text(3_723_000)],
            ["0.31 s", "9.99 s", "12 s", "2:13", "1:02:03"]
        );
    }

    #[test]
    fn every_reason_has_words() {
        let mut text = String::new();
        for reason in ExitReason::ALL {
            let exit = ExitRecord {
                reason,
                code: Some(3),
                detail: None,
                ..ExitRecord::spawn_failed(String::new(), Timestamp::UNIX_EPOCH)
            };
            text.push_str(&format!("{reason}: {}\n", cause_line("w[0]", "n1", &exit)));
        }
        let killed = ExitRecord {
            reason: ExitReason::Signaled,
            code: None,
            signal: Some(SignalNumber::KILL),
            started: Some(Timestamp::UNIX_EPOCH),
            ended: Timestamp::from_second(2).unwrap(),
            proof: Proof::Survivors,
            survivors: vec![Survivor { pid: 7, comm: "sleep".into() }],
            ..ExitRecord::spawn_failed(String::new(), Timestamp::UNIX_EPOCH)
        };
        text.push_str(&format!("{}\n{}", cause_line("w[0]", "n1", &killed), why(&killed)));
        insta::assert_snapshot!(text);
    }
}
