//! The `status`, `list` and `events` shapes of DESIGN §11. Absent is null, never a missing key.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A job's displayed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Hosts are known.
    Allocated,
    /// Hosts are being reached.
    Connecting,
    /// Stages are being started.
    Launching,
    /// Everything is up.
    Running,
    /// Something is not ready or lost.
    Degraded,
    /// It is being taken down.
    Cleanup,
    /// It is over.
    Inactive,
}

impl JobState {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allocated => "allocated",
            Self::Connecting => "connecting",
            Self::Launching => "launching",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Cleanup => "cleanup",
            Self::Inactive => "inactive",
        }
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultWord {
    /// All as wanted.
    Completed,
    /// An agent failed.
    Failed,
    /// Somebody stopped it.
    Canceled,
    /// `--timeout` was over.
    TimedOut,
    /// It never came up.
    LaunchFailed,
}

impl ResultWord {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::TimedOut => "timed-out",
            Self::LaunchFailed => "launch-failed",
        }
    }
}

/// An instance's displayed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Planned only.
    Pending,
    /// Its host was told.
    Assigned,
    /// Spawned, not ready.
    Starting,
    /// Ready.
    Ready,
    /// Was ready, is not now.
    Unready,
    /// Asked to stop.
    Stopping,
    /// Waits for its restart.
    Backoff,
    /// No contact, fate unknown.
    Lost,
    /// Ended.
    Exited,
}

impl InstanceState {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Assigned => "assigned",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Stopping => "stopping",
            Self::Backoff => "backoff",
            Self::Lost => "lost",
            Self::Exited => "exited",
        }
    }
}

/// `status JOB --output json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusJson {
    /// The job's name.
    pub job: String,
    /// The run's id.
    pub run: String,
    /// Its state.
    pub state: JobState,
    /// Its result, once inactive.
    pub result: Option<ResultWord>,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
    /// By rank.
    pub instances: Vec<InstanceStatusJson>,
}

/// One instance in `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatusJson {
    /// `agent[index]`.
    pub name: String,
    /// Its agent.
    pub agent: String,
    /// Its number.
    pub rank: u32,
    /// Its host.
    pub host: String,
    /// Its state.
    pub state: InstanceState,
    /// Whether its probe says ready; null: not known.
    pub ready: Option<bool>,
    /// Whether a card was seen; null: not looked for.
    pub card: Option<bool>,
    /// Whether its port answers; null: not looked at.
    pub net: Option<bool>,
    /// Its pid, while it runs.
    pub pid: Option<i32>,
    /// Its incarnation; null: never spawned.
    pub incarnation: Option<u32>,
    /// Spawns after the first.
    pub restarts: u32,
    /// Its URL.
    pub url: Option<String>,
    /// How its last incarnation ended.
    pub exit: Option<ExitJson>,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
    /// Of one core.
    pub cpu_percent: Option<f64>,
    /// Resident.
    pub memory_bytes: Option<u64>,
}

/// An end in `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitJson {
    /// The exit code.
    pub code: Option<i32>,
    /// The signal's number.
    pub signal: Option<i32>,
    /// The reason's word.
    pub reason: String,
}

impl From<&crate::outcome::ExitRecord> for ExitJson {
    fn from(exit: &crate::outcome::ExitRecord) -> Self {
        Self { code: exit.code, signal: exit.signal.map(|s| s.0), reason: exit.reason.to_string() }
    }
}

/// One line of `list --output json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListJson {
    /// The job's name.
    pub job: String,
    /// The run's id.
    pub run: String,
    /// Its state.
    pub state: JobState,
    /// Number of instances.
    pub size: u32,
    /// How many are ready; null: not known.
    pub ready: Option<u32>,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub result: Option<ResultWord>,
    /// What its command ended with.
    pub exit_code: Option<u8>,
}

/// One line of `events --output jsonl`. Keys of the kind come behind the common ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventJson {
    /// Rises by one.
    pub seq: u64,
    /// When it was seen.
    pub time: Timestamp,
    /// What happened, a word.
    pub kind: String,
    /// Whom it is about.
    pub agent: Option<String>,
    /// Whom it is about.
    pub rank: Option<u32>,
    /// Where it happened.
    pub host: Option<String>,
    /// Which spawn.
    pub incarnation: Option<u32>,
    /// What only this kind has.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_null_and_words_are_the_contracts() {
        let status = StatusJson {
            job: "weather".to_owned(),
            run: "weather-0a1b2c3d".to_owned(),
            state: JobState::Running,
            result: None,
            since: Some(Timestamp::UNIX_EPOCH),
            instances: vec![InstanceStatusJson {
                name: "worker[0]".to_owned(),
                agent: "worker".to_owned(),
                rank: 0,
                host: "n1".to_owned(),
                state: InstanceState::Backoff,
                ready: None,
                card: None,
                net: None,
                pid: None,
                incarnation: None,
                restarts: 0,
                url: None,
                exit: Some(ExitJson { code: None, signal: Some(9), reason: "oom".to_owned() }),
                since: None,
                cpu_percent: None,
                memory_bytes: None,
            }],
        };
        insta::assert_snapshot!(serde_json::to_string_pretty(&status).unwrap(), @r#"
{
  "job": "weather",
  "run": "weather-0a1b2c3d",
  "state": "running",
  "result": null,
  "since": "1970-01-01T00:00:00Z",
  "instances": [
    {
      "name": "worker[0]",
      "agent": "worker",
      "rank": 0,
      "host": "n1",
      "state": "backoff",
      "ready": null,
      "card": null,
      "net": null,
      "pid": null,
      "incarnation": null,
      "restarts": 0,
      "url": null,
      "exit": {
        "code": null,
        "signal": 9,
        "reason": "oom"
      },
      "since": null,
      "cpu_percent": null,
      "memory_bytes": null
    }
  ]
}
"#);
        let list = ListJson {
            job: "weather".to_owned(),
            run: "weather-0a1b2c3d".to_owned(),
            state: JobState::Inactive,
            size: 1,
            ready: None,
            hosts: vec!["n1".to_owned()],
            started: Some(Timestamp::UNIX_EPOCH),
            ended: None,
            result: None,
            exit_code: None,
        };
        insta::assert_snapshot!(serde_json::to_string(&list).unwrap(), @r#"{"job":"weather","run":"weather-0a1b2c3d","state":"inactive","size":1,"ready":null,"hosts":["n1"],"started":"1970-01-01T00:00:00Z","ended":null,"result":null,"exit_code":null}"#);
        let event = EventJson {
            seq: 1,
            time: Timestamp::UNIX_EPOCH,
            kind: "ready".to_owned(),
            agent: None,
            rank: None,
            host: None,
            incarnation: None,
            more: serde_json::Map::new(),
        };
        insta::assert_snapshot!(serde_json::to_string(&event).unwrap(), @r#"{"seq":1,"time":"1970-01-01T00:00:00Z","kind":"ready","agent":null,"rank":null,"host":null,"incarnation":null}"#);
    }

    #[test]
    fn words_are_spelt_once() {
        for state in [JobState::Allocated, JobState::Degraded, JobState::Inactive] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for state in [InstanceState::Pending, InstanceState::Unready, InstanceState::Exited] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for word in [ResultWord::TimedOut, ResultWord::LaunchFailed, ResultWord::Completed] {
            assert_eq!(serde_json::to_value(word).unwrap(), word.as_str());
        }
    }
}
