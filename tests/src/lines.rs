//! Lines that can be checked: rank, sequence number, padding, checksum. A lost, doubled or torn
//! line shows.

use std::collections::BTreeMap;

/// One line without its newline, `size` bytes long (at least what the numbers need).
pub fn make(rank: u32, seq: u64, size: usize) -> String {
    let mut body = format!("~{rank}:{seq}:");
    let room = size.saturating_sub(body.len() + 17);
    let first = usize::try_from(seq % 26).unwrap_or(0);
    body.extend(('a'..='z').cycle().skip(first).take(room));
    let sum = fnv1a(body.as_bytes());
    format!("{body}:{sum:016x}")
}

/// The last line of an agent: how many it wrote before.
pub fn make_end(rank: u32, count: u64) -> String {
    let body = format!("~{rank}:{count}:END");
    let sum = fnv1a(body.as_bytes());
    format!("{body}:{sum:016x}")
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo): short, and enough against tearing.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What was found in the output of one or many agents.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Whole lines with a right checksum, each counted once.
    pub whole: u64,
    /// Numbers that never came.
    pub lost: u64,
    /// Numbers that came more than once.
    pub doubled: u64,
    /// Lines whose checksum is wrong, or that are none of ours.
    pub torn: u64,
    /// Lines that came before one with a lower number.
    pub disordered: u64,
    /// Agents whose last line is there.
    pub ended: u32,
    /// The first damaged lines.
    pub samples: Vec<String>,
}

impl Tally {
    /// True when nothing is lost, doubled, torn or out of order.
    pub fn is_whole(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.torn == 0 && self.disordered == 0
    }

    fn sample(&mut self, text: &str) {
        if self.samples.len() < 5 {
            self.samples.push(text.chars().take(200).collect());
        }
    }
}

/// Checks lines without tags. Lines that do not begin with `~` are other output and are skipped
/// when `only_ours` is false.
#[derive(Debug, Default)]
pub struct Checker {
    seen: BTreeMap<u32, Seen>,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Seen {
    next: u64,
    end: Option<u64>,
    /// Numbers below `next` that are still missing.
    holes: Vec<(u64, u64)>,
}

impl Checker {
    /// Takes one line, without its newline.
    pub fn line(&mut self, line: &[u8]) {
        let Some((rank, seq, end)) = parse(line) else {
            self.tally.torn += 1;
            self.tally.sample(&String::from_utf8_lossy(line));
            return;
        };
        let seen = self.seen.entry(rank).or_default();
        if end {
            if seen.end.replace(seq).is_some() {
                self.tally.doubled += 1;
            }
            return;
        }
        self.tally.whole += 1;
        if seq == seen.next {
            seen.next += 1;
        } else if seq > seen.next {
            seen.holes.push((seen.next, seq));
            seen.next = seq + 1;
        } else if let Some(hole) =
            seen.holes.iter_mut().find(|(from, to)| (*from..*to).contains(&seq))
        {
            self.tally.disordered += 1;
            let rest = (seq + 1, hole.1);
            hole.1 = seq;
            seen.holes.push(rest);
        } else {
            self.tally.whole -= 1;
            self.tally.doubled += 1;
            self.tally.sample(&String::from_utf8_lossy(line));
        }
    }

    /// Takes the whole content of a file; a last line without newline counts as torn.
    pub fn content(&mut self, content: &[u8]) {
        let mut rest = content;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(&rest[..at]);
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() {
            self.tally.torn += 1;
            self.tally.sample(&String::from_utf8_lossy(rest));
        }
    }

    /// Counts what is missing up to each agent's last line.
    pub fn finish(mut self) -> Tally {
        for (rank, seen) in &self.seen {
            let holes: u64 = seen.holes.iter().map(|(from, to)| to - from).sum();
            let tail = seen.end.map_or(0, |end| end.saturating_sub(seen.next));
            if holes + tail > 0 {
                self.tally.lost += holes + tail;
                let (next, end) = (seen.next, seen.end);
                self.tally.sample(&format!(
                    "rank {rank}: next {next}, end {end:?}, holes {:?}",
                    seen.holes
                ));
            }
            self.tally.ended += u32::from(seen.end.is_some());
        }
        self.tally
    }
}

/// Rank, number, and whether it is the last line.
fn parse(line: &[u8]) -> Option<(u32, u64, bool)> {
    let text = std::str::from_utf8(line).ok()?;
    let (body, sum) = text.rsplit_once(':')?;
    if u64::from_str_radix(sum, 16).ok()? != fnv1a(body.as_bytes()) || sum.len() != 16 {
        return None;
    }
    let mut parts = body.strip_prefix('~')?.splitn(3, ':');
    let rank = parts.next()?.parse().ok()?;
    let seq = parts.next()?.parse().ok()?;
    Some((rank, seq, parts.next()? == "END"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[String]) -> Tally {
        let mut checker = Checker::default();
        lines.iter().for_each(|line| checker.line(line.as_bytes()));
        checker.finish()
    }

    #[test]
    fn a_whole_stream_is_whole() {
        let mut lines: Vec<_> = (0..50).map(|seq| make(3, seq, 100)).collect();
        lines.push(make_end(3, 50));
        let tally = check(&lines);
        assert!(tally.is_whole(), "{tally:?}");
        assert_eq!((tally.whole, tally.ended), (50, 1));
        assert!(lines[..50].iter().all(|line| line.len() == 100));
    }

    #[test]
    fn every_damage_shows() {
        let line = |seq| make(0, seq, 60);
        assert_eq!(check(&[line(0), line(2), make_end(0, 3)]).lost, 1);
        assert_eq!(check(&[line(0), make_end(0, 3)]).lost, 2);
        assert_eq!(check(&[line(0), line(0), line(1), make_end(0, 2)]).doubled, 1);
        assert_eq!(check(&[line(1), line(0), make_end(0, 2)]).disordered, 1);
        assert_eq!(check(&[line(0).replace("ab", "ba")]).torn, 1);
        assert_eq!(check(&[format!("{}{}", line(0), line(1))]).torn, 1);
    }
}
