//! Reading hostfiles and `--host` lists.
//!
//! A line is `HOST[:N] [key=value]...`, `#` begins a comment. HOST may be a bracket list. A host
//! that stands twice adds its slots, one for a line without a number, as Open MPI does. `^HOST`
//! takes hosts away, `+n1` is the second host of an allocation, `+e` all of it. A file with a
//! number behind every host is one of columns.

use crate::hostfile::columns::{self, Line};
use crate::hostfile::entry::{HostEntry, PortRange};
use crate::hostfile::hostlist;
use crate::hostfile::keys::KEYS;
use crate::ids::HostName;
use crate::source::{Code, Finding, Span, nearest};

/// Numbers behind `host:` from here on are refused as likely ports (Hydra's syntax means slots).
const LIKELY_PORT: u32 = 1024;
/// More slots than this on one host are a typing error.
const SLOTS_MAX: u32 = 1_000_000;
/// Larger texts are no hostfiles.
const BYTES_MAX: usize = 16 << 20;

/// Reads a hostfile; every finding at once. An empty file is an error.
pub fn parse(text: &str) -> Result<Vec<HostEntry>, Vec<Finding>> {
    parse_within(text, None)
}

/// As [`parse`], inside an allocation: `+n1` and a file of nothing but `^host` mean its hosts.
pub fn parse_within(
    text: &str,
    base: Option<&[HostEntry]>,
) -> Result<Vec<HostEntry>, Vec<Finding>> {
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
    // Places count from behind a byte order mark, as in job files.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { base, ..Reader::default() };
    if let Some(rows) = columns_of(text) {
        match rows {
            Ok(rows) => {
                for (host, slots, span) in rows {
                    for entry in reader.host_word(host, span) {
                        reader.add(HostEntry { slots: Some(slots), ..entry });
                    }
                }
            }
            Err(finding) => reader.findings.push(*finding),
        }
        return reader.finish("hostfile names no host");
    }
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        reader.line(line.split('#').next().unwrap_or(""), offset);
        offset += line.len();
    }
    reader.finish("hostfile names no host")
}

/// The rows of a file of columns; `None`: it is none.
fn columns_of(text: &str) -> Option<Result<Vec<columns::Row<'_>>, Box<Finding>>> {
    // The first line with a word decides, so that a long file of names is not kept twice.
    let first =
        text.lines().map(|l| l.split('#').next().unwrap_or("")).find(|l| !l.trim().is_empty())?;
    first.split_whitespace().nth(1)?.parse::<u32>().ok()?;
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let words = plain_words(line.split('#').next().unwrap_or(""), offset);
        if !words.is_empty() {
            lines.push(words);
        }
        offset += line.len();
    }
    if columns::is_columns(&lines) { columns::read(&lines) } else { None }
}

/// Reads a `--host` list: `a,b:4,a`. A host that stands twice adds slots.
pub fn parse_hosts(list: &str) -> Result<Vec<HostEntry>, Vec<Finding>> {
    parse_hosts_within(list, None)
}

/// As [`parse_hosts`], inside an allocation.
pub fn parse_hosts_within(
    list: &str,
    base: Option<&[HostEntry]>,
) -> Result<Vec<HostEntry>, Vec<Finding>> {
    let mut reader = Reader { base, ..Reader::default() };
    let mut offset = 0;
    let mut depth = 0_i32;
    // Commas inside brackets belong to a host list.
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
struct Reader<'b> {
    /// The hosts of the allocation, for relative ones.
    base: Option<&'b [HostEntry]>,
    /// `^host`, taken away at the end.
    without: Vec<(HostName, Span)>,
    hosts: Vec<HostEntry>,
    by_name: std::collections::HashMap<HostName, usize>,
    findings: Vec<Finding>,
}

impl Reader<'_> {
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
        self.take_away();
        if !self.findings.is_empty() {
            self.findings.sort_by_key(|f| f.span);
            return Err(self.findings);
        }
        if self.hosts.is_empty() {
            return Err(vec![Finding::whole(Code::Missing, empty)]);
        }
        Ok(self.hosts)
    }

    /// Hosts that `^host` names; alone in a file they are taken from the allocation.
    fn take_away(&mut self) {
        if self.without.is_empty() {
            return;
        }
        if self.hosts.is_empty()
            && let Some(base) = self.base
        {
            self.hosts = base.to_vec();
        }
        let gone: std::collections::HashSet<HostName> =
            self.without.drain(..).map(|(name, _)| name).collect();
        self.hosts.retain(|h| !gone.contains(&h.name));
    }

    fn line(&mut self, line: &str, offset: usize) {
        let words = words_of(line, offset);
        let Some(((host, span), settings)) = words.split_first() else { return };
        let entries = self.host_word(host, *span);
        let Some(entry) = entries.first() else {
            if host.starts_with('^')
                && let Some((word, span)) = settings.first()
            {
                let message = format!("`{}` behind `{host}`", word.escape_debug());
                self.findings.push(
                    Finding::error(Code::Syntax, *span, message)
                        .help("a host that is taken away has no settings"),
                );
            }
            return;
        };
        let slots_written = entry.slots.is_some();
        let mut seen: Vec<&str> = Vec::new();
        let mut good: Vec<(&String, Span)> = Vec::new();
        for (word, span) in settings {
            let key = word.split('=').next().unwrap_or(word);
            if seen.contains(&key) {
                let message = format!("`{key}` is given twice for host `{}`", entry.name);
                self.findings.push(Finding::error(Code::Duplicate, *span, message));
                continue;
            }
            seen.push(key);
            if key == "slots" && slots_written && !host.starts_with('+') {
                let message =
                    format!("host `{}` has its slots twice: `{host}` and `{word}`", entry.name);
                self.findings.push(
                    Finding::error(Code::Conflict, *span, message).help("write one of the two"),
                );
                continue;
            }
            good.push((word, *span));
        }
        // What stands behind a list holds for each of it; its mistakes are said once.
        for (n, mut entry) in entries.into_iter().enumerate() {
            for (word, span) in &good {
                if let Err(finding) = set(&mut entry, word, *span)
                    && n == 0
                {
                    self.findings.push(*finding);
                }
            }
            self.add(entry);
        }
    }

    fn host(&mut self, word: &str, span: Span) {
        for entry in self.host_word(word, span) {
            self.add(entry);
        }
    }

    /// The hosts that a word stands for, with the slots behind its colon; none where it takes
    /// hosts away, or is wrong.
    fn host_word(&mut self, word: &str, span: Span) -> Vec<HostEntry> {
        let found = if let Some(rest) = word.strip_prefix('^') {
            names_of(rest, span).map(|names| {
                self.without.extend(names.into_iter().map(|name| (name, span)));
                Vec::new()
            })
        } else if word.starts_with('+') {
            relative(word, span, self.base)
        } else {
            hosts_of(word, span)
        };
        found.unwrap_or_else(|finding| {
            self.findings.push(*finding);
            Vec::new()
        })
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

/// The words of a line with their places.
fn plain_words(line: &str, offset: usize) -> Line<'_> {
    let mut at = 0;
    let words = line.split_whitespace().map(|word| {
        let start = at + line[at..].find(word).unwrap_or(0);
        at = start + word.len();
        (word, Span::new(offset + start, offset + at))
    });
    words.collect()
}

fn hosts_of(word: &str, span: Span) -> Result<Vec<HostEntry>, Box<Finding>> {
    let (name, slots) = split_slots(word);
    if let Some(key) = name.split_once('=').map(|(key, _)| key) {
        let message = format!("expected a host name, found `{}`", word.escape_debug());
        return Err(Box::new(
            Finding::error(Code::Syntax, span, message)
                .help(format!("a line begins with the host: `HOST {key}=…`")),
        ));
    }
    let names = names_of(name, span)?;
    let slots = match (slots, names.first()) {
        (Some(slots), Some(first)) => Some(slots_behind_colon(slots, first, span)?),
        _ => None,
    };
    let entry = |name| HostEntry { span, slots, ..HostEntry::bare(name) };
    Ok(names.into_iter().map(entry).collect())
}

/// One name, or what a list stands for.
fn names_of(text: &str, span: Span) -> Result<Vec<HostName>, Box<Finding>> {
    let value = |why: String| Box::new(Finding::error(Code::Value, span, why));
    let parse = |name: &str| name.parse().map_err(|e: crate::ids::IdError| value(e.to_string()));
    if !text.contains(['[', ']', ',']) {
        return parse(text).map(|name| vec![name]);
    }
    let names = hostlist::expand(text).map_err(|e| value(e.to_string()))?;
    names.iter().map(|name| parse(name)).collect()
}

/// `+n2`: the third host of the allocation; `+e`: all of it; `+e:2`: its first two.
fn relative(
    word: &str,
    span: Span,
    base: Option<&[HostEntry]>,
) -> Result<Vec<HostEntry>, Box<Finding>> {
    let error = |code, message: String| Box::new(Finding::error(code, span, message));
    let shown = word.escape_debug();
    let Some(base) = base else {
        return Err(Box::new(
            error(
                Code::Missing,
                format!("`{shown}` means a host of an allocation, and there is none"),
            )
            .help("write the host's name"),
        ));
    };
    let at = |host: &HostEntry| HostEntry { span, ..host.clone() };
    if let Some(n) = word.strip_prefix("+n") {
        let Ok(n) = n.parse::<usize>() else {
            return Err(error(Code::Value, format!("`{shown}` is no number of a host")));
        };
        return match base.get(n) {
            Some(host) => Ok(vec![at(host)]),
            None => Err(error(
                Code::UnknownName,
                format!("`{shown}`: the allocation has {} hosts, counted from 0", base.len()),
            )),
        };
    }
    let count = match word.strip_prefix("+e") {
        Some("") => Some(base.len()),
        Some(n) => n.strip_prefix(':').and_then(|n| n.parse().ok()),
        None => None,
    };
    match count {
        Some(n) if n <= base.len() => Ok(base.iter().take(n).map(at).collect()),
        Some(n) => Err(error(
            Code::UnknownName,
            format!("`{shown}` wants {n} hosts; the allocation has {}", base.len()),
        )),
        None => {
            Err(error(Code::Syntax, format!("`{shown}` is no relative host: `+n1`, `+e`, `+e:2`")))
        }
    }
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
    // A colon inside brackets is none of ours.
    let tail = word.rfind(']').map_or(0, |i| i + 1);
    match word[tail..].split_once(':').map(|(name, slots)| (&word[..tail + name.len()], slots)) {
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
            let known = || KEYS.iter().map(|k| k.key);
            return Err(Box::new(match nearest(key, known()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => {
                    let known: Vec<&str> = known().collect();
                    finding.help(format!("known keys: {}", known.join(", ")))
                }
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
