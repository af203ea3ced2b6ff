//! Why there is no plan, with the numbers and the flags that would help.

use std::fmt::Write as _;

use crate::exit_code::LauncherCode;
use crate::ids::HostName;
use crate::source::nearest;
use crate::topology::CycleError;

/// Hosts that are listed in a refusal before the rest is summed up.
const HOSTS_SHOWN: usize = 6;
/// Clashes that are listed before the rest is counted.
const CLASHES_SHOWN: usize = 8;

/// Why a job cannot be planned. The text may have several lines, at most 12 with the hints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// `-np` does not fit the numbers in the file.
    #[error("{}", np_text(*np, *sum, *autos, demands))]
    Np {
        /// What was asked for.
        np: u32,
        /// The sum of fixed replicas, and 1 for each `auto` agent.
        sum: u64,
        /// How many agents have `replicas: auto`.
        autos: usize,
        /// Replicas per agent, in file order.
        demands: Vec<(String, u32)>,
    },
    /// A zero where at least one is meant.
    #[error("{what} is 0; give at least 1")]
    Zero {
        /// The flag.
        what: &'static str,
    },
    /// `--scale` names no agent.
    #[error("--scale names `{id}`, which is no agent of this job")]
    ScaleUnknown {
        /// What was written.
        id: String,
        /// The agents.
        known: Vec<String>,
    },
    /// More instances than anybody means.
    #[error("the job has {size} instances; at most {max} can be planned")]
    TooMany {
        /// The number asked for.
        size: u64,
        /// The limit.
        max: u32,
    },
    /// No host to run on.
    #[error("the list of hosts is empty")]
    NoHosts,
    /// Written slots are too few.
    #[error("{}", capacity_text(*demanded, *missing, hosts, by_agent))]
    Capacity {
        /// Instances that need a slot.
        demanded: u64,
        /// How many of them found none.
        missing: u64,
        /// Host, slots, instances pinned to it.
        hosts: Vec<(HostName, u64, u32)>,
        /// Instances per agent.
        by_agent: Vec<(String, u32)>,
        /// Some agent has `replicas: auto`.
        has_auto: bool,
        /// `-N` was given.
        per_host: Option<u32>,
        /// `--max-per-host` was given.
        max_per_host: Option<u32>,
        /// Only `max_slots` bind already.
        oversubscribed: bool,
    },
    /// No host is left that an agent's placement or resources allow.
    #[error("{}", placement_text(agent, *wanted, *placed, reasons))]
    Placement {
        /// The agent.
        agent: String,
        /// How many copies it has.
        wanted: u32,
        /// How many of them found a host.
        placed: u32,
        /// Why hosts are refused, and which ones.
        reasons: Vec<(String, Vec<String>)>,
    },
    /// Two instances want the same port of the same host.
    #[error("{}", clash_text(clashes, *more))]
    PortClash {
        /// Host, port, the two instances.
        clashes: Vec<(HostName, u16, String, String)>,
        /// How many more there are.
        more: usize,
    },
    /// A copy's port would be above 65535.
    #[error("`{instance}` on `{host}` would get port {port}; ports end at 65535")]
    PortRange {
        /// The instance.
        instance: String,
        /// Its host.
        host: HostName,
        /// `config.port` plus the copy's number on the host.
        port: u64,
    },
    /// `depends_on` in a circle.
    #[error(transparent)]
    Cycle(#[from] CycleError),
}

impl PlanError {
    /// What the launcher ends with.
    pub fn exit_code(&self) -> LauncherCode {
        match self {
            Self::Np { .. } | Self::Zero { .. } | Self::ScaleUnknown { .. } => LauncherCode::Usage,
            Self::TooMany { .. }
            | Self::NoHosts
            | Self::Capacity { .. }
            | Self::Placement { .. } => LauncherCode::Capacity,
            Self::PortClash { .. } | Self::PortRange { .. } | Self::Cycle(_) => {
                LauncherCode::InvalidJob
            }
        }
    }

    /// What would help, one line each, to be printed behind `hint: `.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Np { np, sum, autos, demands } => np_hints(*np, *sum, *autos, demands),
            Self::Zero { .. } | Self::Cycle(_) => Vec::new(),
            Self::ScaleUnknown { id, known } => match nearest(id, known.iter().map(String::as_str))
            {
                Some(near) => vec![format!("did you mean `--scale {near}=…`?")],
                None => vec![format!("its agents: {}", shorten(known, 8))],
            },
            Self::TooMany { .. } => vec!["lower `replicas` or -np".to_owned()],
            Self::NoHosts => vec!["give --host or --hostfile, or neither".to_owned()],
            Self::Capacity {
                demanded,
                missing,
                has_auto,
                per_host,
                max_per_host,
                oversubscribed,
                ..
            } => {
                let fits = (*has_auto && demanded > missing).then(|| demanded - missing);
                let mut hints = capacity_hints(fits, *per_host, *oversubscribed);
                if let Some(n) = max_per_host {
                    hints.insert(0, format!("--max-per-host {n} limits every host"));
                    hints.truncate(3);
                }
                hints
            }
            Self::Placement { agent, placed, .. } => {
                let mut hints = Vec::new();
                if *placed > 0 {
                    hints.push(format!("--scale {agent}={placed} fits"));
                }
                hints.push(
                    "`a2arun plan` shows who sits where; loosen `placement`, or add hosts"
                        .to_owned(),
                );
                hints
            }
            Self::PortClash { .. } => {
                vec!["use `port: auto`, another number, or more hosts".to_owned()]
            }
            Self::PortRange { .. } => vec!["use a lower port, or `port: auto`".to_owned()],
        }
    }
}

fn shorten(items: &[String], shown: usize) -> String {
    let mut text = items.iter().take(shown).cloned().collect::<Vec<_>>().join(", ");
    if items.len() > shown {
        let _ = write!(text, ", … {} more", items.len() - shown);
    }
    text
}

fn per_agent(demands: &[(String, u32)]) -> String {
    let items: Vec<String> = demands.iter().map(|(id, n)| format!("{id} {n}")).collect();
    shorten(&items, 6)
}

fn np_text(np: u32, sum: u64, autos: usize, demands: &[(String, u32)]) -> String {
    let list = per_agent(demands);
    if u64::from(np) < sum {
        let least = if autos == 0 { "" } else { " at least" };
        format!("-np {np} is less than the{least} {sum} instances of this job ({list})")
    } else {
        format!(
            "-np {np} is more than the {sum} instances of this job ({list}), and no agent has \
             `replicas: auto`"
        )
    }
}

/// The agent with the most copies takes the difference; of several, the last.
fn np_hints(np: u32, sum: u64, autos: usize, demands: &[(String, u32)]) -> Vec<String> {
    let wanted = |n: u32| (u64::from(n) + u64::from(np)).checked_sub(sum).filter(|n| *n > 0);
    let largest = demands.iter().max_by_key(|(_, n)| *n);
    match largest.and_then(|(id, n)| wanted(*n).map(|w| (id, w))) {
        Some((id, n)) if autos == 0 => vec![format!("--scale {id}={n}")],
        Some(_) | None => vec![format!("-np {sum} is the smallest that fits")],
    }
}

fn capacity_text(
    demanded: u64,
    missing: u64,
    hosts: &[(HostName, u64, u32)],
    by_agent: &[(String, u32)],
) -> String {
    let slots: u64 = hosts.iter().map(|(_, slots, _)| *slots).sum();
    let mut text = format!(
        "{demanded} instances do not fit into {slots} slots: {missing} missing\n  demanded: {}",
        per_agent(by_agent)
    );
    let shown = if hosts.len() > HOSTS_SHOWN { HOSTS_SHOWN - 1 } else { hosts.len() };
    for (host, slots, pinned) in &hosts[..shown] {
        let plural = if *slots == 1 { "" } else { "s" };
        let _ = write!(text, "\n  {host}: {slots} slot{plural}");
        if *pinned > 0 {
            let _ = write!(text, ", {pinned} pinned to it");
        }
    }
    if hosts.len() > shown {
        let rest: u64 = hosts[shown..].iter().map(|(_, slots, _)| *slots).sum();
        let _ = write!(text, "\n  … {} more hosts with {rest} slots", hosts.len() - shown);
    }
    text
}

fn capacity_hints(fits: Option<u64>, per_host: Option<u32>, oversubscribed: bool) -> Vec<String> {
    let mut hints = Vec::new();
    hints.extend(fits.map(|n| format!("-np {n} fits")));
    match per_host {
        Some(n) => hints.push(format!("-N {n} limits every host; raise it or leave it out")),
        None if oversubscribed => hints.push("max_slots= binds even so; raise it".to_owned()),
        None => hints.push("--oversubscribe goes beyond written slots".to_owned()),
    }
    hints.push("add hosts, raise slots=, or write hosts without slots".to_owned());
    hints
}

fn placement_text(
    agent: &str,
    wanted: u32,
    placed: u32,
    reasons: &[(String, Vec<String>)],
) -> String {
    let hosts: usize = reasons.iter().map(|(_, hosts)| hosts.len()).sum();
    let mut text = format!(
        "agent `{agent}`: {} of {wanted} instances found no host among {hosts}",
        wanted - placed
    );
    for (reason, hosts) in reasons.iter().take(HOSTS_SHOWN) {
        let _ = write!(text, "\n  {}: {reason}", shorten(hosts, 4));
    }
    if reasons.len() > HOSTS_SHOWN {
        let _ = write!(text, "\n  … {} more reasons", reasons.len() - HOSTS_SHOWN);
    }
    text
}

fn clash_text(clashes: &[(HostName, u16, String, String)], more: usize) -> String {
    let mut text = String::from("two instances want the same port of one host");
    for (host, port, first, second) in clashes.iter().take(CLASHES_SHOWN) {
        let _ = write!(text, "\n  {host}: port {port} for {first} and {second}");
    }
    let more = more + clashes.len().saturating_sub(CLASHES_SHOWN);
    if more > 0 {
        let _ = write!(text, "\n  … {more} more");
    }
    text
}
