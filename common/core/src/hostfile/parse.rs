//! Reading hostfiles and `--host` lists.
//!
//! A line is `HOST[:N] [key=value]...`, `#` begins a comment. A host that stands twice adds its
//! slots, one for a line without a number, as Open MPI does. What other dialects write
//! (bracket lists, `^host`, `+n1`) is refused by name and not read as something else.

use crate::hostfile::entry::{HostEntry, PortRange};
use crate::ids::HostName;
use crate::source::{Code, Finding, Span, nearest};

/// Numbers behind `host:` from here on are refused as likely ports (Hydra's syntax means slots).
const LIKELY_PORT: u32 = 1024;
/// More slots than this on one host are a typing error.
const SLOTS_MAX: u32 = 1_000_000;
/// Larger texts are no hostfiles.
const BYTES_MAX: usize = 16 << 20;

const KEYS: [&str; 12] = [
    "slots",
    "max_slots",
    "user",
    "port",
    "addr",
    "noded_port",
    "labels",
    "groups",
    "gpus",
    "ports",
    "cpu",
    "count",
];

/// Reads a hostfile; every finding at once. An empty file is an error.
pub fn parse(text: &str) -> Result<Vec<HostEntry>, Vec<Finding>> {
    let mut reader = Reader::default();
    if text.len() > BYTES_MAX {
        let message = format!("hostfile has {} bytes; at most {BYTES_MAX} are read", text.len());
        return Err(vec![Finding::whole(Code::Input, message)]);
    }
    if text.contains('\0') {
        return Err(vec![Finding::whole(
            Code::Input,
            "hostfile contains a NUL byte: it is no text",
        )]);
    }
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        reader.line(line.split('#').next().unwrap_or(""), offset);
        offset += line.len();
    }
    reader.finish("hostfile names no host")
}

/// Reads a `--host` list: `a,b:4,a`. A host that stands twice adds slots.
pub fn parse_hosts(list: &str) -> Result<Vec<HostEntry>, Vec<Finding>> {
    let mut reader = Reader::default();
    let mut offset = 0;
    let mut depth = 0_i32;
    // Commas inside brackets belong to a host list, so that it is refused as a whole.
    for item in list.split_inclusive(move |c: char| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == ',' && depth <= 0
    }) {
        let word = item.trim_end_matches(',');
        let skipped = word.len() - word.trim_start().len();
        let trimmed = word.trim();
        if trimmed.is_empty() {
            let span = Span::new(offset, offset + word.len());
            reader.findings.push(
                Finding::error(Code::Syntax, span, "empty host name in the list")
                    .help("separate hosts by one comma: `--host a,b:4`"),
            );
        } else {
            reader.host(trimmed, Span::new(offset + skipped, offset + skipped + trimmed.len()));
        }
        offset += item.len();
    }
    reader.finish("the list names no host")
}

#[derive(Default)]
struct Reader {
    hosts: Vec<HostEntry>,
    by_name: std::collections::HashMap<HostName, usize>,
    findings: Vec<Finding>,
}

impl Reader {
    fn finish(mut self, empty: &str) -> Result<Vec<HostEntry>, Vec<Finding>> {
        for host in &self.hosts {
            if let (Some(slots), Some(max)) = (host.slots, host.max_slots)
                && slots > max
            {
                let message =
                    format!("host `{}` has slots={slots}, above max_slots={max}", host.name);
                self.findings.push(Finding::error(Code::Conflict, host.span, message));
            }
        }
        if !self.findings.is_empty() {
            return Err(self.findings);
        }
        if self.hosts.is_empty() {
            return Err(vec![Finding::whole(Code::Missing, empty)]);
        }
        Ok(self.hosts)
    }

    fn line(&mut self, line: &str, offset: usize) {
        let words = words_of(line, offset);
        let Some(((host, span), settings)) = words.split_first() else { return };
        let Some(mut entry) = self.host_word(host, *span) else { return };
        let slots_written = entry.slots.is_some();
        let mut seen: Vec<&str> = Vec::new();
        for (word, span) in settings {
            let key = word.split('=').next().unwrap_or(word);
            if seen.contains(&key) {
                let message = format!("`{key}` is given twice for host `{}`", entry.name);
                self.findings.push(Finding::error(Code::Duplicate, *span, message));
                continue;
            }
            seen.push(key);
            if key == "slots" && slots_written {
                let message =
                    format!("host `{}` has its slots twice: `{host}` and `{word}`", entry.name);
                self.findings.push(
                    Finding::error(Code::Conflict, *span, message).help("write one of the two"),
                );
                continue;
            }
            if let Err(finding) = set(&mut entry, word, *span) {
                self.findings.push(*finding);
            }
        }
        self.add(entry);
    }

    fn host(&mut self, word: &str, span: Span) {
        if let Some(entry) = self.host_word(word, span) {
            self.add(entry);
        }
    }

    fn host_word(&mut self, word: &str, span: Span) -> Option<HostEntry> {
        host_of(word, span).map_err(|finding| self.findings.push(*finding)).ok()
    }

    /// Adds a host, or its slots to the same host of an earlier line.
    fn add(&mut self, entry: HostEntry) {
        let Some(&at) = self.by_name.get(&entry.name) else {
            self.by_name.insert(entry.name.clone(), self.hosts.len());
            self.hosts.push(entry);
            return;
        };
        let old = &mut self.hosts[at];
        let sum = old.slots.unwrap_or(1).saturating_add(entry.slots.unwrap_or(1));
        old.slots = Some(sum.min(SLOTS_MAX));
        let name = &entry.name;
        let mut conflict = |key: &str| {
            let message = format!("host `{name}` stands twice with another `{key}`");
            self.findings.push(
                Finding::error(Code::Conflict, entry.span, message)
                    .other(old.span, "first here")
                    .help("a host that stands twice adds its slots; give the rest once"),
            );
        };
        macro_rules! keep {
            ($($field:ident as $key:literal),*) => {$(
                if old.$field.is_none() {
                    old.$field = entry.$field;
                } else if entry.$field.is_some() && entry.$field != old.$field {
                    conflict($key);
                }
            )*};
        }
        keep!(
            max_slots as "max_slots", addr as "addr", noded_port as "noded_port", user as "user",
            ssh_port as "port", gpus as "gpus", ports as "ports"
        );
        for label in entry.labels {
            if !old.labels.contains(&label) {
                old.labels.push(label);
            }
        }
        for group in entry.groups {
            if !old.groups.contains(&group) {
                old.groups.push(group);
            }
        }
    }
}

/// The words of a line with their places; `key = value` counts as one word, as in Open MPI.
fn words_of(line: &str, offset: usize) -> Vec<(String, Span)> {
    let mut words: Vec<(String, Span)> = Vec::new();
    let mut at = 0;
    for word in line.split_whitespace() {
        // `split_whitespace` yields slices of `line` in order.
        let start = at + line[at..].find(word).unwrap_or(0);
        at = start + word.len();
        let span = Span::new(offset + start, offset + at);
        match words.last_mut() {
            Some((last, last_span)) if words_join(last, word) => {
                last.push_str(word);
                last_span.end = span.end;
            }
            Some(_) | None => words.push((word.to_owned(), span)),
        }
    }
    words
}

fn words_join(last: &str, word: &str) -> bool {
    (last.ends_with('=') || word.starts_with('=')) && !last.is_empty()
}

fn host_of(word: &str, span: Span) -> Result<HostEntry, Box<Finding>> {
    let not_yet = |what: &str, help: &str| {
        let message = format!("`{}`: {what} are not read yet", word.escape_debug());
        Box::new(Finding::error(Code::NotYet, span, message).help(help))
    };
    if word.starts_with('^') {
        return Err(not_yet("exclusions (`^host`)", "leave the host out"));
    }
    if word.starts_with('+') {
        return Err(not_yet("relative hosts (`+n1`)", "write the host's name"));
    }
    let (name, slots) = split_slots(word);
    if !word.starts_with('[') && (word.contains('[') || word.contains(']')) {
        return Err(not_yet(
            "bracket lists",
            "write one host a line, or use `scontrol show hostnames`",
        ));
    }
    if let Some(key) = name.split_once('=').map(|(key, _)| key) {
        let message = format!("expected a host name, found `{}`", word.escape_debug());
        return Err(Box::new(
            Finding::error(Code::Syntax, span, message)
                .help(format!("a line begins with the host: `HOST {key}=…`")),
        ));
    }
    let name: HostName = name.parse().map_err(|e: crate::ids::IdError| {
        Box::new(Finding::error(Code::Value, span, e.to_string()))
    })?;
    let mut entry = HostEntry { span, ..HostEntry::bare(name) };
    if let Some(slots) = slots {
        entry.slots = Some(slots_behind_colon(slots, &entry.name, span)?);
    }
    Ok(entry)
}

/// `host:4`, `[::1]:4`, `::1` (an IPv6 literal has no slots without brackets).
fn split_slots(word: &str) -> (&str, Option<&str>) {
    if let Some(rest) = word.strip_prefix('[')
        && let Some((name, after)) = rest.split_once(']')
        && name.contains(':')
    {
        return (
            name,
            after.strip_prefix(':').or(if after.is_empty() { None } else { Some(after) }),
        );
    }
    match word.split_once(':') {
        Some((name, slots)) if !slots.contains(':') && !name.is_empty() => (name, Some(slots)),
        Some(_) | None => (word, None),
    }
}

fn slots_behind_colon(text: &str, host: &HostName, span: Span) -> Result<u32, Box<Finding>> {
    match text.parse::<u32>() {
        Ok(n) if (1..LIKELY_PORT).contains(&n) => Ok(n),
        Ok(n) if n >= LIKELY_PORT => Err(Box::new(
            Finding::error(
                Code::Value,
                span,
                format!("`{host}:{n}` means {n} slots, and looks like a port"),
            )
            .help(format!(
                "for slots write `{host} slots={n}` in a hostfile; for ports `noded_port=` or, for SSH, `port=`"
            )),
        )),
        Ok(_) | Err(_) => Err(Box::new(
            Finding::error(
                Code::Value,
                span,
                format!("`{}` behind `{host}:` is no number of slots", text.escape_debug()),
            )
            .help(format!("write `{host}:N` with N from 1 to {}", LIKELY_PORT - 1)),
        )),
    }
}

fn set(entry: &mut HostEntry, word: &str, span: Span) -> Result<(), Box<Finding>> {
    let Some((key, value)) = word.split_once('=') else {
        let message = format!("expected `key=value`, found `{}`", word.escape_debug());
        return Err(Box::new(Finding::error(Code::Syntax, span, message).help("one host a line")));
    };
    if value.is_empty() {
        return Err(Box::new(Finding::error(
            Code::Missing,
            span,
            format!("`{key}=` has no value"),
        )));
    }
    let number = |min: u32, max: u32| match value.parse::<u32>() {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        Ok(_) | Err(_) => {
            let shown = value.escape_debug();
            let message = format!("`{key}={shown}` is no number from {min} to {max}");
            Err(Box::new(Finding::error(Code::Value, span, message)))
        }
    };
    let port = || number(1, 65535).map(|n| u16::try_from(n).unwrap_or(u16::MAX));
    let list = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
    let invalid = |e: String| Box::new(Finding::error(Code::Value, span, e));
    match key {
        // `cpu` and `count` are Open MPI's older words for the same.
        "slots" | "cpu" | "count" => entry.slots = Some(number(1, SLOTS_MAX)?),
        "max_slots" | "max-slots" => entry.max_slots = Some(number(1, SLOTS_MAX)?),
        "user" | "username" => entry.user = Some(user_of(value, span)?),
        "port" => entry.ssh_port = Some(port()?),
        "noded_port" => entry.noded_port = Some(port()?),
        "addr" => {
            let bare = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')).unwrap_or(value);
            entry.addr =
                Some(bare.parse().map_err(|e: crate::ids::IdError| invalid(e.to_string()))?);
        }
        "labels" => entry.labels = list(),
        "groups" => entry.groups = list(),
        "gpus" => entry.gpus = Some(number(0, 1024)?),
        "ports" => {
            let range: PortRange = value
                .parse()
                .map_err(|e: crate::hostfile::entry::PortRangeError| invalid(e.to_string()))?;
            entry.ports = Some(range);
        }
        _ => {
            let message = format!("unknown key `{}`", key.escape_debug());
            let finding = Finding::error(Code::UnknownKey, span, message);
            return Err(Box::new(match nearest(key, KEYS) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!("known keys: {}", KEYS[..10].join(", "))),
            }));
        }
    }
    Ok(())
}

/// A user name is handed to `ssh`: nothing that could be read as an option or by a shell.
fn user_of(value: &str, span: Span) -> Result<String, Box<Finding>> {
    let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '\\');
    if value.starts_with('-') || !value.chars().all(good) {
        let message = format!("`{}` is no user name", value.escape_debug());
        return Err(Box::new(Finding::error(Code::Value, span, message)));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
