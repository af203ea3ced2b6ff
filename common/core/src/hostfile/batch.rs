//! The hosts of a batch allocation, from the variables that its system sets. All variables of a
//! family have to agree: half an allocation is worse than none.

use std::collections::BTreeMap;

use crate::hostfile::entry::HostEntry;
use crate::hostfile::hostlist;
use crate::hostfile::parse;
use crate::ids::HostName;
use crate::plan::Amounts;

/// Whose allocation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchFamily {
    /// Slurm.
    Slurm,
    /// PBS, Torque, OpenPBS.
    Pbs,
    /// LSF.
    Lsf,
    /// Grid Engine.
    Sge,
}

impl BatchFamily {
    /// For messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slurm => "Slurm",
            Self::Pbs => "PBS",
            Self::Lsf => "LSF",
            Self::Sge => "Grid Engine",
        }
    }
}

/// An allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Whose.
    pub family: BatchFamily,
    /// Its job id.
    pub job: Option<String>,
    /// Its hosts; slots only where somebody asked for tasks.
    pub hosts: Vec<HostEntry>,
    /// What is known of each.
    pub amounts: BTreeMap<HostName, Amounts>,
}

/// Why the variables are no allocation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// One of them cannot be read.
    #[error("${variable} cannot be read: {why}")]
    Unreadable {
        /// The variable.
        variable: &'static str,
        /// Why.
        why: String,
    },
    /// Two of them disagree.
    #[error("${first} says {one}, ${second} says {other}")]
    Disagree {
        /// One variable.
        first: &'static str,
        /// What it says.
        one: String,
        /// Another one.
        second: &'static str,
        /// What that says.
        other: String,
    },
    /// Two families at once.
    #[error("variables of two batch systems are set: {} and {}", first.as_str(), second.as_str())]
    TwoFamilies {
        /// One.
        first: BatchFamily,
        /// The other.
        second: BatchFamily,
    },
}

/// A look-up of a variable, or of a file's text by its path.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The allocation that the variables describe; `None`: there is none.
pub fn allocation(env: Lookup<'_>, read: Lookup<'_>) -> Result<Option<Allocation>, BatchError> {
    let set = |name: &str| env(name).filter(|v| !v.trim().is_empty());
    let families = [
        (BatchFamily::Slurm, &["SLURM_JOB_NODELIST", "SLURM_NODELIST"][..]),
        (BatchFamily::Pbs, &["PBS_NODEFILE"]),
        (BatchFamily::Lsf, &["LSB_DJOB_HOSTFILE", "LSB_MCPU_HOSTS", "LSB_HOSTS"]),
        (BatchFamily::Sge, &["PE_HOSTFILE"]),
    ];
    let mut found = families
        .iter()
        .filter(|(_, names)| names.iter().any(|n| set(n).is_some()))
        .map(|(f, _)| *f);
    let Some(family) = found.next() else { return Ok(None) };
    if let Some(second) = found.next() {
        return Err(BatchError::TwoFamilies { first: family, second });
    }
    let allocation = match family {
        BatchFamily::Slurm => slurm(&set),
        BatchFamily::Pbs => pbs(&set, read),
        BatchFamily::Lsf => lsf(&set, read),
        BatchFamily::Sge => sge(&set, read),
    };
    allocation.map(Some)
}

type Set<'a> = &'a dyn Fn(&str) -> Option<String>;

fn slurm(set: Set<'_>) -> Result<Allocation, BatchError> {
    let variable = "SLURM_JOB_NODELIST";
    let list = match (set(variable), set("SLURM_NODELIST")) {
        (Some(one), Some(other)) if one != other => {
            return Err(BatchError::Disagree {
                first: variable,
                one,
                second: "SLURM_NODELIST",
                other,
            });
        }
        (Some(list), _) | (None, Some(list)) => list,
        (None, None) => String::new(),
    };
    let unreadable = |why: String| BatchError::Unreadable { variable, why };
    let names = hostlist::expand(list.trim()).map_err(|e| unreadable(e.to_string()))?;
    let mut hosts: Vec<HostEntry> = Vec::with_capacity(names.len());
    for name in names {
        let name: HostName =
            name.parse().map_err(|e: crate::ids::IdError| unreadable(e.to_string()))?;
        hosts.push(HostEntry::bare(name));
    }
    for count in ["SLURM_JOB_NUM_NODES", "SLURM_NNODES"] {
        agree(set, variable, count, hosts.len() as u64)?;
    }
    // Slots bind where somebody asked for tasks; `sbatch -N 4` alone asks for none.
    let asked = set("SLURM_NTASKS").or_else(|| set("SLURM_NTASKS_PER_NODE")).is_some();
    if let Some(tasks) = set("SLURM_TASKS_PER_NODE").filter(|_| asked) {
        for (host, n) in hosts.iter_mut().zip(per_node("SLURM_TASKS_PER_NODE", &tasks)?) {
            host.slots = u32::try_from(n).ok().filter(|n| *n > 0);
        }
    }
    let mut amounts = BTreeMap::new();
    let cpus = set("SLURM_JOB_CPUS_PER_NODE");
    let cpus = cpus.map(|c| per_node("SLURM_JOB_CPUS_PER_NODE", &c)).transpose()?;
    let memory = set("SLURM_MEM_PER_NODE").and_then(|m| m.trim().parse::<u64>().ok());
    let gpus = set("SLURM_GPUS_PER_NODE").and_then(|g| g.rsplit(':').next()?.trim().parse().ok());
    for (n, host) in hosts.iter().enumerate() {
        let known = Amounts {
            cpu_milli: cpus.as_ref().and_then(|c| c.get(n)).map(|c| c.saturating_mul(1000)),
            memory_bytes: memory.map(|m| m.saturating_mul(1 << 20)),
            gpus,
        };
        amounts.insert(host.name.clone(), known);
    }
    Ok(Allocation { family: BatchFamily::Slurm, job: set("SLURM_JOB_ID"), hosts, amounts })
}

/// `4(x2),3` → 4, 4, 3.
fn per_node(variable: &'static str, text: &str) -> Result<Vec<u64>, BatchError> {
    let bad = || BatchError::Unreadable { variable, why: format!("`{}`", text.escape_debug()) };
    let mut all = Vec::new();
    for part in text.trim().split(',') {
        let (n, times) = match part.split_once("(x") {
            Some((n, times)) => (n, times.strip_suffix(')').ok_or_else(bad)?),
            None => (part, "1"),
        };
        let n: u64 = n.parse().map_err(|_| bad())?;
        let times: usize = times.parse().map_err(|_| bad())?;
        if all.len() + times > hostlist::HOSTS_MAX {
            return Err(bad());
        }
        all.extend(std::iter::repeat_n(n, times));
    }
    Ok(all)
}

/// A variable that counts what another one lists.
fn agree(set: Set<'_>, list: &'static str, count: &'static str, n: u64) -> Result<(), BatchError> {
    match set(count).map(|text| text.trim().parse::<u64>()) {
        None => Ok(()),
        Some(Ok(counted)) if counted == n => Ok(()),
        Some(counted) => Err(BatchError::Disagree {
            first: list,
            one: n.to_string(),
            second: count,
            other: counted.map_or_else(|_| "no number".to_owned(), |c| c.to_string()),
        }),
    }
}

fn file(set: Set<'_>, read: Lookup<'_>, variable: &'static str) -> Result<String, BatchError> {
    let path = set(variable).unwrap_or_default();
    let unreadable = || BatchError::Unreadable { variable, why: format!("no file {path}") };
    read(path.trim()).ok_or_else(unreadable)
}

/// Each line is a slot.
fn hosts_of(variable: &'static str, text: &str) -> Result<Vec<HostEntry>, BatchError> {
    let mut hosts = parse(text).map_err(|findings| {
        let why = findings.first().map_or_else(String::new, |f| f.message.clone());
        BatchError::Unreadable { variable, why }
    })?;
    for host in &mut hosts {
        host.slots = host.slots.or(Some(1));
    }
    Ok(hosts)
}

fn slots(hosts: &[HostEntry]) -> u64 {
    hosts.iter().map(|h| u64::from(h.slots.unwrap_or(1))).sum()
}

fn pbs(set: Set<'_>, read: Lookup<'_>) -> Result<Allocation, BatchError> {
    let variable = "PBS_NODEFILE";
    let hosts = hosts_of(variable, &file(set, read, variable)?)?;
    agree(set, variable, "PBS_NUM_NODES", hosts.len() as u64)?;
    agree(set, variable, "PBS_NP", slots(&hosts))?;
    let amounts = BTreeMap::new();
    Ok(Allocation { family: BatchFamily::Pbs, job: set("PBS_JOBID"), hosts, amounts })
}

fn lsf(set: Set<'_>, read: Lookup<'_>) -> Result<Allocation, BatchError> {
    let mut found: Vec<(&'static str, Vec<HostEntry>)> = Vec::new();
    if set("LSB_DJOB_HOSTFILE").is_some() {
        let text = file(set, read, "LSB_DJOB_HOSTFILE")?;
        found.push(("LSB_DJOB_HOSTFILE", hosts_of("LSB_DJOB_HOSTFILE", &text)?));
    }
    if let Some(pairs) = set("LSB_MCPU_HOSTS") {
        let words: Vec<&str> = pairs.split_whitespace().collect();
        let lines: Vec<String> = words.chunks(2).map(|pair| pair.join(" slots=")).collect();
        found.push(("LSB_MCPU_HOSTS", hosts_of("LSB_MCPU_HOSTS", &lines.join("\n"))?));
    }
    if let Some(names) = set("LSB_HOSTS") {
        let lines = names.split_whitespace().collect::<Vec<_>>().join("\n");
        found.push(("LSB_HOSTS", hosts_of("LSB_HOSTS", &lines)?));
    }
    let shown = |hosts: &[HostEntry]| {
        let all: BTreeMap<&str, u32> =
            hosts.iter().map(|h| (h.name.as_str(), h.slots.unwrap_or(1))).collect();
        all.iter().take(8).map(|(h, n)| format!("{h}:{n}")).collect::<Vec<_>>().join(",")
    };
    for pair in found.windows(2) {
        let ((first, one), (second, other)) = (&pair[0], &pair[1]);
        let same = slots(one) == slots(other) && one.len() == other.len();
        if !same || shown(one) != shown(other) {
            let (one, other) = (shown(one), shown(other));
            return Err(BatchError::Disagree { first, one, second, other });
        }
    }
    let hosts = found.into_iter().next().map(|(_, hosts)| hosts).unwrap_or_default();
    let amounts = BTreeMap::new();
    Ok(Allocation { family: BatchFamily::Lsf, job: set("LSB_JOBID"), hosts, amounts })
}

fn sge(set: Set<'_>, read: Lookup<'_>) -> Result<Allocation, BatchError> {
    let variable = "PE_HOSTFILE";
    let hosts = hosts_of(variable, &file(set, read, variable)?)?;
    agree(set, variable, "NHOSTS", hosts.len() as u64)?;
    agree(set, variable, "NSLOTS", slots(&hosts))?;
    let amounts = BTreeMap::new();
    Ok(Allocation { family: BatchFamily::Sge, job: set("JOB_ID"), hosts, amounts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(vars: &[(&str, &str)]) -> String {
        let look = |name: &str| {
            vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        match allocation(&look, &look) {
            Ok(None) => "none".to_owned(),
            Ok(Some(a)) => {
                let hosts = a.hosts.iter().map(|h| match h.slots {
                    Some(n) => format!("{}:{n}", h.name),
                    None => h.name.to_string(),
                });
                format!("{}: {}", a.family.as_str(), hosts.collect::<Vec<_>>().join(" "))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn families_are_read() {
        assert_eq!(shown(&[]), "none");
        let nodes = ("SLURM_JOB_NODELIST", "n[1-3]");
        let tasks = ("SLURM_TASKS_PER_NODE", "4(x2),3");
        assert_eq!(shown(&[nodes, tasks]), "Slurm: n1 n2 n3");
        assert_eq!(shown(&[nodes, tasks, ("SLURM_NTASKS", "11")]), "Slurm: n1:4 n2:4 n3:3");
        let pbs = [("PBS_NODEFILE", "/f"), ("/f", "a\na\nb\n"), ("PBS_NP", "3")];
        assert_eq!(shown(&pbs), "PBS: a:2 b:1");
        let lsf = [("LSB_MCPU_HOSTS", "a 2 b 1"), ("LSB_HOSTS", "a a b")];
        assert_eq!(shown(&lsf), "LSF: a:2 b:1");
        let sge = [("PE_HOSTFILE", "/f"), ("/f", "a 2 q@a UNDEFINED\nb 1 q@b UNDEFINED\n")];
        assert_eq!(shown(&sge), "Grid Engine: a:2 b:1");
    }

    #[test]
    fn what_does_not_agree_is_refused() {
        let refused = |vars: &[(&str, &str)]| shown(vars);
        insta::assert_snapshot!(refused(&[("SLURM_JOB_NODELIST", "n[1-3]"), ("SLURM_NNODES", "2")]), @"$SLURM_JOB_NODELIST says 3, $SLURM_NNODES says 2");
        insta::assert_snapshot!(refused(&[("SLURM_JOB_NODELIST", "n[1-")]), @"$SLURM_JOB_NODELIST cannot be read: `n[1-` has a bracket without its other half");
        insta::assert_snapshot!(refused(&[("LSB_MCPU_HOSTS", "a 2"), ("LSB_HOSTS", "a b")]), @"$LSB_MCPU_HOSTS says a:2, $LSB_HOSTS says a:1,b:1");
        insta::assert_snapshot!(refused(&[("PBS_NODEFILE", "/nope")]), @"$PBS_NODEFILE cannot be read: no file /nope");
        insta::assert_snapshot!(refused(&[("PBS_NODEFILE", "/x"), ("PE_HOSTFILE", "/y")]), @"variables of two batch systems are set: PBS and Grid Engine");
    }

    #[test]
    fn no_text_panics() {
        proptest::proptest!(|(list in "[an0-9\\[\\],()x-]{0,30}", tasks in "[0-9(x),]{0,20}")| {
            let _ = shown(&[
                ("SLURM_JOB_NODELIST", &list),
                ("SLURM_TASKS_PER_NODE", &tasks),
                ("SLURM_NTASKS", "1"),
            ]);
            let _ = shown(&[("LSB_MCPU_HOSTS", &list)]);
        });
    }
}
