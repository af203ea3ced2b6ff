//! Slurm's bracket lists: `node[01-04,07]-ib,gpu[0-8/2]x[a,b]`.
//!
//! Several brackets are multiplied out, the rightmost fastest; a leading zero pads to the width
//! of the first number; `/N` steps. Names are never rewritten: what is no bracket stays.

/// More hosts of one list are a typing error.
pub const HOSTS_MAX: usize = 131_072;

/// Why a list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostlistError {
    /// `[` without `]`, or the other way round.
    #[error("`{text}` has a bracket without its other half")]
    Bracket {
        /// The list.
        text: String,
    },
    /// A range that is none.
    #[error("`{part}` in `{text}` is no number and no range `A-B` with A ≤ B")]
    Range {
        /// The list.
        text: String,
        /// The part.
        part: String,
    },
    /// More hosts than anybody means.
    #[error("`{text}` stands for {count} hosts; at most {HOSTS_MAX} are read")]
    TooMany {
        /// The list.
        text: String,
        /// How many, as far as they can be counted.
        count: u64,
    },
    /// Nothing between two commas.
    #[error("`{text}` has an empty name")]
    Empty {
        /// The list.
        text: String,
    },
}

/// The names of a list, in its order; repetitions stay.
pub fn expand(text: &str) -> Result<Vec<String>, HostlistError> {
    let mut names = Vec::new();
    for item in items(text) {
        if item.is_empty() {
            return Err(HostlistError::Empty { text: shown(text) });
        }
        expand_item(item, &mut names)?;
        if names.len() > HOSTS_MAX {
            return Err(HostlistError::TooMany { text: shown(text), count: names.len() as u64 });
        }
    }
    Ok(names)
}

/// The parts between commas that stand outside of brackets.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c: char| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == ',' && depth <= 0
    })
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    short.escape_debug().to_string()
}

enum Part<'a> {
    Text(&'a str),
    Values(Vec<Values<'a>>),
}

enum Values<'a> {
    One(&'a str),
    Range { first: u64, last: u64, step: u64, width: usize },
}

impl Values<'_> {
    fn count(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Range { first, last, step, .. } => ((last - first) / step).saturating_add(1),
        }
    }
}

fn expand_item(item: &str, names: &mut Vec<String>) -> Result<(), HostlistError> {
    let parts = parts(item)?;
    // Counted before anything is made: `n[1-4000000000]` costs nothing.
    let count = parts.iter().fold(1_u64, |count, part| match part {
        Part::Text(_) => count,
        Part::Values(values) => {
            count.saturating_mul(values.iter().fold(0, |n, v| v.count().saturating_add(n)))
        }
    });
    if count > HOSTS_MAX as u64 {
        return Err(HostlistError::TooMany { text: shown(item), count });
    }
    let mut made = vec![String::new()];
    for part in parts {
        match part {
            Part::Text(text) => made.iter_mut().for_each(|name| name.push_str(text)),
            Part::Values(values) => {
                let mut next = Vec::new();
                for name in &made {
                    for value in &values {
                        push_all(name, value, &mut next);
                    }
                }
                made = next;
            }
        }
    }
    names.append(&mut made);
    Ok(())
}

fn push_all(name: &str, values: &Values<'_>, into: &mut Vec<String>) {
    match values {
        Values::One(text) => into.push(format!("{name}{text}")),
        Values::Range { first, last, step, width } => {
            let mut n = *first;
            loop {
                into.push(format!("{name}{n:0width$}"));
                match n.checked_add(*step) {
                    Some(next) if next <= *last => n = next,
                    Some(_) | None => break,
                }
            }
        }
    }
}

fn parts(item: &str) -> Result<Vec<Part<'_>>, HostlistError> {
    let unbalanced = || HostlistError::Bracket { text: shown(item) };
    let mut parts = Vec::new();
    let mut rest = item;
    while let Some(open) = rest.find(['[', ']']) {
        if rest[open..].starts_with(']') {
            return Err(unbalanced());
        }
        parts.push(Part::Text(&rest[..open]));
        let inner = &rest[open + 1..];
        let close = inner.find(']').ok_or_else(unbalanced)?;
        if inner[..close].contains('[') {
            return Err(unbalanced());
        }
        let values = inner[..close].split(',').map(|part| values(item, part));
        parts.push(Part::Values(values.collect::<Result<_, _>>()?));
        rest = &inner[close + 1..];
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

fn values<'a>(item: &str, part: &'a str) -> Result<Values<'a>, HostlistError> {
    let bad = || HostlistError::Range { text: shown(item), part: shown(part) };
    let digits = |t: &str| !t.is_empty() && t.len() <= 18 && t.bytes().all(|b| b.is_ascii_digit());
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, step.parse().ok().filter(|s| *s > 0).ok_or_else(bad)?),
        None => (part, 1),
    };
    let Some((first, last)) = range.split_once('-') else {
        let word = range.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return if range.is_empty() || !word || step != 1 {
            Err(bad())
        } else {
            Ok(Values::One(part))
        };
    };
    if !digits(first) || !digits(last) {
        return Err(bad());
    }
    let width = if first.starts_with('0') { first.len() } else { 0 };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => Ok(Values::Range { first, last, step, width }),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_lists() {
        for (list, names) in [
            ("n1", "n1"),
            ("n[1-3]", "n1 n2 n3"),
            ("node[01-04,07]-ib", "node01-ib node02-ib node03-ib node04-ib node07-ib"),
            ("n[08-11]", "n08 n09 n10 n11"),
            ("n[098-101]", "n098 n099 n100 n101"),
            ("r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2"),
            ("r[1-2]n[01,03]s", "r1n01s r1n03s r2n01s r2n03s"),
            ("n[0-10/5]", "n0 n5 n10"),
            ("n[1-4/2],m", "n1 n3 m"),
            ("n[1,1-2]", "n1 n1 n2"),
            ("a,b[2],c.d[1-2].net", "a b2 c.d1.net c.d2.net"),
            ("w.1.net,w.2.net", "w.1.net w.2.net"),
            ("[1-2]", "1 2"),
            ("n[a,b]", "na nb"),
        ] {
            assert_eq!(expand(list).map(|n| n.join(" ")), Ok(names.to_owned()), "{list}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let refused = |list: &str| expand(list).unwrap_err().to_string();
        insta::assert_snapshot!(refused("n[1-1000000]"), @"`n[1-1000000]` stands for 1000000 hosts; at most 131072 are read");
        insta::assert_snapshot!(refused("n[1-999][1-999][1-999]"), @"`n[1-999][1-999][1-999]` stands for 997002999 hosts; at most 131072 are read");
        insta::assert_snapshot!(refused("n[1-2"), @"`n[1-2` has a bracket without its other half");
        insta::assert_snapshot!(refused("n]1["), @"`n]1[` has a bracket without its other half");
        insta::assert_snapshot!(refused("n[[1]]"), @"`n[[1]]` has a bracket without its other half");
        insta::assert_snapshot!(refused("n[3-1]"), @"`3-1` in `n[3-1]` is no number and no range `A-B` with A ≤ B");
        insta::assert_snapshot!(refused("n[]"), @"`` in `n[]` is no number and no range `A-B` with A ≤ B");
        insta::assert_snapshot!(refused("n[1-2/0]"), @"`1-2/0` in `n[1-2/0]` is no number and no range `A-B` with A ≤ B");
        insta::assert_snapshot!(refused("a,,b"), @"`a,,b` has an empty name");
    }

    #[test]
    fn no_text_panics_or_grows() {
        proptest::proptest!(|(text in "[a-c0-9\\[\\],/-]{0,40}")| {
            if let Ok(names) = expand(&text) {
                proptest::prop_assert!(names.len() <= HOSTS_MAX);
            }
        });
    }
}
