//! Files of columns: SGE's PE_HOSTFILE (`host 4 queue@host UNDEFINED`) and LSF's pairs
//! (`h1 4 h2 2`). A file that both read differently is refused, with both readings.

use crate::source::{Code, Finding, Span};

/// A host's name, its slots, and where it stands.
pub(super) type Row<'a> = (&'a str, u32, Span);

/// A line's words with their places.
pub(super) type Line<'a> = Vec<(&'a str, Span)>;

/// Hosts that are shown of each reading.
const SHOWN: usize = 4;

/// Whether every line has a number behind its host: then it is a file of columns.
pub(super) fn is_columns(lines: &[Line<'_>]) -> bool {
    let number = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
    !lines.is_empty() && lines.iter().all(|l| l.len() > 1 && number(l[1].0) && !number(l[0].0))
}

/// Reads it; `None` where it is neither, and the usual rules shall say what is wrong.
pub(super) fn read<'a>(lines: &[Line<'a>]) -> Option<Result<Vec<Row<'a>>, Box<Finding>>> {
    let (sge, lsf) = (sge(lines), lsf(lines));
    match (sge, lsf) {
        (Some(sge), Some(lsf)) if sge != lsf => {
            let span = lines.iter().find(|l| l.len() > 2).map_or(lines[0][0].1, |l| l[0].1);
            Some(Err(Box::new(two_ways(&sge, &lsf, span))))
        }
        (Some(rows), _) | (None, Some(rows)) => Some(Ok(rows)),
        (None, None) => None,
    }
}

fn number(word: &str) -> Option<u32> {
    word.parse().ok().filter(|n| (1..=1_000_000).contains(n))
}

/// `host slots [queue [processors]]`, sge_pe(5).
fn sge<'a>(lines: &[Line<'a>]) -> Option<Vec<Row<'a>>> {
    let row = |line: &Line<'a>| match line[..] {
        [(host, span), (slots, _), ..] if line.len() <= 4 => Some((host, number(slots)?, span)),
        _ => None,
    };
    lines.iter().map(row).collect()
}

/// `host slots host slots …`, as in LSB_MCPU_HOSTS.
fn lsf<'a>(lines: &[Line<'a>]) -> Option<Vec<Row<'a>>> {
    let words: Vec<&(&str, Span)> = lines.iter().flatten().collect();
    let pair = |pair: &[&(&'a str, Span)]| match pair {
        [(host, span), (slots, _)] if number(host).is_none() => {
            Some((*host, number(slots)?, *span))
        }
        _ => None,
    };
    words.chunks(2).map(pair).collect()
}

fn two_ways(sge: &[Row<'_>], lsf: &[Row<'_>], span: Span) -> Finding {
    let shown = |rows: &[Row<'_>]| {
        let all: Vec<String> = rows
            .iter()
            .take(SHOWN)
            .map(|(h, n, _)| format!("{} slots={n}", h.escape_debug()))
            .collect();
        format!("{}{}", all.join(", "), if rows.len() > SHOWN { ", …" } else { "" })
    };
    let message = format!(
        "the file reads two ways: as SGE's `host slots queue …` it is {}; as LSF's pairs it is {}",
        shown(sge),
        shown(lsf)
    );
    Finding::error(Code::Ambiguous, span, message).help("write one host a line: `HOST slots=N`")
}
