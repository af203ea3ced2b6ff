//! What a host needs to know to run instances: templates shared by the copies of an agent, and
//! per instance only what differs. The head makes them from the plan; noded hands them to the
//! spawner as they are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{Generation, HostName, JobName, Rank, RequestId, RunId};

/// The PATH of a host, which it fills in itself.
pub const HOST_PATH: &str = "$(PATH)";
/// What execvp(3) uses where PATH is not set.
pub const NO_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Names that only an instance's host knows: it fills in their `$(NAME)` when it spawns.
pub const HOST_NAMES: [&str; 3] = ["A2ARUN_INCARNATION", "A2ARUN_RUN_DIR", "A2ARUN_PEERS_FILE"];

/// Fills in [`HOST_NAMES`] by `value`; `$$(NAME)` writes `$(NAME)`. A name without a value stays.
pub fn fill_host_names(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        let tail = &rest[at + 2..];
        let name = HOST_NAMES
            .into_iter()
            .find(|n| tail.strip_prefix(n).is_some_and(|t| t.starts_with(')')));
        let Some(name) = name else {
            out.push_str(&rest[..at + 2]);
            rest = tail;
            continue;
        };
        let written = &rest[at..at + name.len() + 3];
        match rest[..at].strip_suffix('$') {
            Some(before) => {
                out.push_str(before);
                out.push_str(written);
            }
            None => {
                out.push_str(&rest[..at]);
                out.push_str(&value(name).unwrap_or_else(|| written.to_owned()));
            }
        }
        rest = &rest[at + written.len()..];
    }
    out.push_str(rest);
    out
}

/// A POSIX signal that stops an agent, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignalNumber(pub i32);

impl SignalNumber {
    /// `SIGTERM`, the default of `stop.signal`.
    pub const TERM: Self = Self(15);
    /// `SIGKILL`.
    pub const KILL: Self = Self(9);

    const NAMES: [(&'static str, i32); 15] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("TRAP", 5),
        ("ABRT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
    ];

    /// Reads `TERM`, `SIGTERM`, `term` or `15` (Linux numbers of x86_64 and aarch64, signal(7)).
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<i32>() {
            return (1..=64).contains(&number).then_some(Self(number));
        }
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        Self::NAMES.iter().find(|(name, _)| *name == short).map(|(_, number)| Self(*number))
    }

    /// `SIGTERM` for 15; `signal 34` where it has no name here.
    pub fn name(self) -> String {
        match Self::NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => format!("SIG{name}"),
            None => format!("signal {}", self.0),
        }
    }
}

/// How an agent is stopped: `stop:` of the job file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// The first signal.
    pub signal: SignalNumber,
    /// From the first signal to `SIGKILL`.
    pub grace: Duration,
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self { signal: SignalNumber::TERM, grace: Duration::from_secs(10) }
    }
}

/// `task` (its exit 0 is success) or `service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Runs to its end; ready when exec'ed.
    Task,
    /// Runs until it is stopped; ready when its probe says so.
    Service,
}

/// What an agent speaks: `protocol:` of the job file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Found out by looking at the agent.
    Auto,
    /// The A2A protocol, any version.
    A2a,
    /// `POST /query` of the original format.
    Query,
    /// Plain HTTP.
    Http,
    /// Nothing: a program that is not asked anything.
    None,
}

/// Which check says that an instance is ready. DESIGN §6.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum ReadinessCheck {
    /// exec succeeded.
    Alive,
    /// A TCP connection to the port succeeds.
    Tcp {
        /// The port; `None`: the instance's own.
        port: Option<u16>,
    },
    /// `GET path` answers with a status that counts.
    Http {
        /// The port; `None`: the instance's own.
        port: Option<u16>,
        /// Begins with `/`.
        path: String,
        /// The status that counts; `None`: 200–299, 401, 403.
        status: Option<u16>,
    },
    /// One of the card's well-known paths answers with 200, 401 or 403.
    Card {
        /// The port; `None`: the instance's own.
        port: Option<u16>,
    },
    /// Wait for TCP, then up to 2 s for a card; 404 on every card path means ready at TCP.
    Auto {
        /// The port; `None`: the instance's own.
        port: Option<u16>,
    },
    /// A command that exits with 0, run by noded beside the agent.
    Exec {
        /// argv; the first is found by the agent's `PATH`.
        command: Vec<String>,
    },
    /// A line of its output, of either stream, matches.
    Log {
        /// A regular expression, found anywhere in the line.
        pattern: String,
    },
}

/// `readiness:` of the job file, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// What is looked at.
    pub check: ReadinessCheck,
    /// From the instance's own spawn to failure.
    pub deadline: Duration,
    /// The limit of one look.
    pub timeout: Duration,
    /// From one look to the next once it is ready.
    #[serde(default = "Readiness::default_period")]
    pub period: Duration,
}

impl Readiness {
    /// Ready as soon as exec succeeded.
    pub fn alive() -> Self {
        Self {
            check: ReadinessCheck::Alive,
            deadline: Duration::from_secs(120),
            timeout: Duration::from_secs(2),
            period: Self::default_period(),
        }
    }

    /// 10 s.
    pub const fn default_period() -> Duration {
        Duration::from_secs(10)
    }
}

/// What becomes of a run's instances when their control plane is away. DESIGN §7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanPolicy {
    /// The head's connection was closed under noded's eyes: stop after this long. `None`: go on.
    pub head_closed: Option<Duration>,
    /// Nothing was heard from the head: stop after this long. `None`: go on.
    pub head_silent: Option<Duration>,
    /// noded itself is away: the step stops its agent after this long. `None`: go on.
    pub noded_away: Option<Duration>,
}

impl OrphanPolicy {
    /// A job that belongs to a terminal: 2 s, 60 s, 60 s.
    pub fn foreground() -> Self {
        Self {
            head_closed: Some(Duration::from_secs(2)),
            head_silent: Some(Duration::from_secs(60)),
            noded_away: Some(Duration::from_secs(60)),
        }
    }
}

/// What every copy of an agent on a host has in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The program and its arguments; never empty. The first is looked up in the instance's
    /// `PATH` unless it contains a `/`; a relative path is taken from `workdir`.
    pub argv: Vec<String>,
    /// Variables of every copy. Not there: not set (nothing is inherited from noded), except
    /// what `host_env` adds.
    pub env: BTreeMap<String, String>,
    /// Start from the host's own PATH, HOME, USER, SHELL, LANG, TMPDIR and proxies, under `env`.
    pub host_env: bool,
    /// The working directory, absolute; `None`: the home directory of noded's user.
    pub workdir: Option<PathBuf>,
    /// The umask; `None`: noded's own.
    pub umask: Option<u32>,
    /// Task or service.
    pub lifecycle: Lifecycle,
    /// How it is stopped.
    pub stop: StopPolicy,
    /// When it is ready.
    pub readiness: Readiness,
    /// What happens beside its peers file when its peers change.
    #[serde(default)]
    pub peers_hook: PeersHook,
}

/// How an agent learns that its peers file was replaced: `on_peers_change` of the job file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeersHook {
    /// It looks by itself.
    #[default]
    File,
    /// Its leader gets a signal.
    Signal(SignalNumber),
    /// Its main port gets a POST of the file's content to this path.
    Http(String),
}

/// A port that noded reserved for an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// `port` for the main one, else the name under `ports:`.
    pub name: String,
    /// The number.
    pub port: u16,
}

/// One instance to be spawned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceLaunch {
    /// Its number in the job.
    pub rank: Rank,
    /// `agent[index]`, for messages.
    pub name: String,
    /// Index into the batch's templates.
    pub template: u32,
    /// Arguments of this copy alone; empty: the template's.
    #[serde(default)]
    pub argv: Vec<String>,
    /// Variables of this copy alone, over the template's.
    pub env: BTreeMap<String, String>,
    /// The main port, where there is one.
    pub port: Option<u16>,
    /// Its ports beside the main one.
    #[serde(default)]
    pub ports: Vec<PortBinding>,
    /// Keep its standard input open for the head (`--stdin`); otherwise /dev/null.
    pub stdin: bool,
}

/// One batch for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchBatch {
    /// The request's id within the generation.
    pub request: RequestId,
    /// The plan's generation.
    pub generation: Generation,
    /// What the instances share.
    pub templates: Vec<Template>,
    /// Whom to spawn.
    pub instances: Vec<InstanceLaunch>,
}

/// What noded keeps of a run, beside its instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunIdentity {
    /// The run.
    pub run: RunId,
    /// The job's name, for people.
    pub job: JobName,
    /// The host's name as the head writes it.
    pub host: HostName,
    /// What happens without a head, without noded.
    pub orphan: OrphanPolicy,
    /// The head's machine and process, for people: `user@machine pid N`.
    pub head: String,
}

#[cfg(test)]
mod host_names_tests {
    use super::fill_host_names;

    #[test]
    fn a_host_fills_in_its_own_names_and_no_others() {
        let fill = |text: &str| {
            fill_host_names(text, |name| (name == "A2ARUN_RUN_DIR").then(|| "/run/0".to_owned()))
        };
        assert_eq!(fill("--log=$(A2ARUN_RUN_DIR)/log"), "--log=/run/0/log");
        assert_eq!(fill("$$(A2ARUN_RUN_DIR) $(A2ARUN_RUN_DIR)"), "$(A2ARUN_RUN_DIR) /run/0");
        assert_eq!(fill("$(A2ARUN_INCARNATION)"), "$(A2ARUN_INCARNATION)");
        assert_eq!(fill("$(PORT) $(date) $( $"), "$(PORT) $(date) $( $");
        assert_eq!(
            fill("$(A2ARUN_RUN_DIR2) $(A2ARUN_RUN_DIR"),
            "$(A2ARUN_RUN_DIR2) $(A2ARUN_RUN_DIR"
        );
    }
}
