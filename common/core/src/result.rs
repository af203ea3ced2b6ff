//! `result.json`: how a run ended and what began it. Absent is null, never a missing key.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::status::ResultWord;

/// Whose fault the end was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// An agent's: the exit code is its own.
    Agent,
    /// a2arun's, a host's or the user's: the exit code is one of DESIGN §3.
    Launcher,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultJson {
    /// The job's name.
    pub job: String,
    /// The run's id.
    pub run: String,
    /// How it ended.
    pub result: ResultWord,
    /// What `a2arun` ended with.
    pub exit_code: u8,
    /// Where the exit code comes from.
    pub origin: Origin,
    /// What began the end; null where all went as wanted.
    pub first_cause: Option<FirstCause>,
    /// The answer to the job's question; null: nothing was asked, or nobody answered.
    #[serde(default)]
    pub answer: Option<String>,
    /// When the launcher began.
    pub started: Timestamp,
    /// When the job was ready; null: never.
    pub ready: Option<Timestamp>,
    /// When nothing was left.
    pub ended: Timestamp,
    /// How the instances ended.
    pub counts: Counts,
}

/// The first final failure, in the head's order of arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstCause {
    /// `agent[index]`; null: no agent's.
    pub agent: Option<String>,
    /// Its rank.
    pub rank: Option<u32>,
    /// The host.
    pub host: Option<String>,
    /// When it was seen.
    pub when: Timestamp,
    /// For people.
    pub why: String,
    /// The reason's word (DESIGN §7), where an agent ended.
    pub reason: Option<String>,
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal's number.
    pub signal: Option<i32>,
    /// The last lines it wrote to stderr, at most 40.
    pub stderr: Vec<String>,
}

/// How the instances of a run ended; the sum of `completed` to `unknown` is the job's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All instances.
    pub size: u32,
    /// Ended as wanted by themselves.
    pub completed: u32,
    /// Failed.
    pub failed: u32,
    /// Stopped by a2arun.
    pub stopped: u32,
    /// Never spawned.
    pub not_started: u32,
    /// Nobody could learn how they ended, or whether.
    pub unknown: u32,
    /// Processes that could not be stopped, of all instances.
    #[serde(default)]
    pub survivors: u32,
}

impl Counts {
    /// Counts one end; `None`: never spawned.
    pub fn add(&mut self, reason: Option<crate::outcome::ExitReason>) {
        use crate::outcome::ExitReason as R;
        self.size += 1;
        let slot = match reason {
            None => &mut self.not_started,
            Some(R::Completed) => &mut self.completed,
            Some(R::Stopped | R::GraceKilled) => &mut self.stopped,
            Some(R::Unknown | R::HostLost) => &mut self.unknown,
            Some(
                R::Failed
                | R::Signaled
                | R::Oom
                | R::LivenessFailed
                | R::StartTimeout
                | R::SpawnFailed
                | R::ExitedBeforeReady
                | R::Exhausted,
            ) => &mut self.failed,
        };
        *slot += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::ExitReason;

    #[test]
    fn the_file_has_every_key() {
        let mut counts = Counts::default();
        ExitReason::ALL.into_iter().for_each(|r| counts.add(Some(r)));
        counts.add(None);
        assert_eq!(counts.size, 14);
        let result = ResultJson {
            job: "weather".to_owned(),
            run: "weather-0a1b2c3d".to_owned(),
            result: ResultWord::Failed,
            exit_code: 3,
            origin: Origin::Agent,
            first_cause: Some(FirstCause {
                agent: Some("worker[1]".to_owned()),
                rank: Some(2),
                host: Some("n1".to_owned()),
                when: Timestamp::UNIX_EPOCH,
                why: "worker[1] exited with 3".to_owned(),
                reason: Some("failed".to_owned()),
                code: Some(3),
                signal: None,
                stderr: vec!["boom".to_owned()],
            }),
            answer: None,
            started: Timestamp::UNIX_EPOCH,
            ready: None,
            ended: Timestamp::UNIX_EPOCH,
            counts,
        };
        insta::assert_snapshot!(serde_json::to_string_pretty(&result).unwrap(), @r#"
{
  "job": "weather",
  "run": "weather-0a1b2c3d",
  "result": "failed",
  "exit_code": 3,
  "origin": "agent",
  "first_cause": {
    "agent": "worker[1]",
    "rank": 2,
    "host": "n1",
    "when": "1970-01-01T00:00:00Z",
    "why": "worker[1] exited with 3",
    "reason": "failed",
    "code": 3,
    "signal": null,
    "stderr": [
      "boom"
    ]
  },
  "answer": null,
  "started": "1970-01-01T00:00:00Z",
  "ready": null,
  "ended": "1970-01-01T00:00:00Z",
  "counts": {
    "size": 14,
    "completed": 1,
    "failed": 8,
    "stopped": 2,
    "not_started": 1,
    "unknown": 2,
    "survivors": 0
  }
}
"#);
    }
}
