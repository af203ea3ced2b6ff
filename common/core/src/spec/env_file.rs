//! `.env` files: `NAME=value` lines, as `env_file` and the `.env` beside a job file have them.
//!
//! `export NAME=value`, comments, `'literal'`, `"with \n escapes"` over several lines. Nothing is
//! filled in: a `$` is a `$`. Values are secrets; no finding shows one.

use crate::plan::reserved::is_variable_name;
use crate::source::{Code, Finding, Span};

/// Larger files are none.
const BYTES_MAX: usize = 1 << 20;

/// Reads a file; the last of equal names wins. Every finding at once.
pub fn parse_env_file(text: &str) -> Result<Vec<(String, String)>, Vec<Finding>> {
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes; at most {BYTES_MAX} are read", text.len());
        return Err(vec![Finding::whole(Code::Input, message)]);
    }
    if let Some(at) = text.find('\0') {
        let message = format!("the file has a NUL byte at offset {at}: it is no text");
        return Err(vec![Finding::whole(Code::Input, message)]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut found, mut findings) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < text.len() {
        let line_end = text[at..].find('\n').map_or(text.len(), |i| at + i + 1);
        let line = text[at..line_end].trim_end_matches(['\n', '\r']);
        let (start, next) = (at, line_end);
        at = next;
        let body = line.trim_start();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let body = body.strip_prefix("export ").map_or(body, str::trim_start);
        let place = || Span::new(start, start + line.len());
        let Some((name, _)) = body.split_once('=') else {
            findings.push(
                Finding::error(Code::Syntax, name_span(text, start, body), "a line without `=`")
                    .help("`NAME=value`; a comment begins with `#`"),
            );
            continue;
        };
        let name = name.trim_end();
        if !is_variable_name(name) {
            let message = "no variable name stands before `=`";
            findings.push(Finding::error(Code::Value, place(), message));
            continue;
        }
        let value_at = start + line.len() - body.len() + body.find('=').map_or(0, |i| i + 1);
        match value(&text[value_at..]) {
            Ok((value, used)) => {
                let end = value_at + used;
                let rest = text[end..].find('\n').map_or(text.len(), |i| end + i + 1);
                at = at.max(rest);
                found.retain(|(known, _): &(String, String)| known != name);
                found.push((name.to_owned(), value));
            }
            Err(message) => {
                let message = format!("`{name}`: {message}");
                findings.push(Finding::error(Code::Syntax, place(), message));
            }
        }
    }
    if findings.is_empty() { Ok(found) } else { Err(findings) }
}

/// Only the first word: what stands there may be a secret.
fn name_span(text: &str, start: usize, body: &str) -> Span {
    let line = &text[start..];
    let skip = line.find(body).unwrap_or(0);
    Span::new(start + skip, start + skip + 1)
}

/// A value and how many bytes it took.
fn value(text: &str) -> Result<(String, usize), &'static str> {
    let skipped = text.len() - text.trim_start_matches([' ', '\t']).len();
    let rest = &text[skipped..];
    match rest.chars().next() {
        Some('\'') => {
            let end = rest[1..].find('\'').ok_or("the quote ' is not closed")?;
            after(&rest[end + 2..])?;
            Ok((rest[1..=end].to_owned(), skipped + end + 2))
        }
        Some('"') => {
            let (mut value, mut escaped) = (String::new(), false);
            for (at, c) in rest.char_indices().skip(1) {
                match (escaped, c) {
                    (true, 'n') => value.push('\n'),
                    (true, 't') => value.push('\t'),
                    (true, 'r') => value.push('\r'),
                    (true, '"' | '\\' | '$' | '`') => value.push(c),
                    (true, c) => value.extend(['\\', c]),
                    (false, '\\') => {}
                    (false, '"') => {
                        after(&rest[at + 1..])?;
                        return Ok((value, skipped + at + 1));
                    }
                    (false, c) => value.push(c),
                }
                escaped = !escaped && c == '\\';
            }
            Err("the quote \" is not closed")
        }
        Some(_) | None => {
            let line = rest.split('\n').next().unwrap_or("");
            let kept = line.find(" #").map_or(line, |i| &line[..i]);
            Ok((kept.trim_end().to_owned(), skipped + line.len()))
        }
    }
}

/// Behind a closing quote there is only a comment.
fn after(text: &str) -> Result<(), &'static str> {
    let rest = text.split('\n').next().unwrap_or("").trim();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(())
    } else {
        Err("text behind the closing quote")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_dotenv_writes_them() {
        let text = "\u{feff}# c\r\nA=1\r\nexport B = two words # c\nC='$x # y'\nD=\"a\\nb\\\"c\"\nE=\nF=\"two\nlines\" # c\nA=2\nG=a#b\n";
        let read = parse_env_file(text).unwrap();
        let shown: Vec<String> = read.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        assert_eq!(
            shown.join(" "),
            r#"B="two words" C="$x # y" D="a\nb\"c" E="" F="two\nlines" A="2" G="a#b""#
        );
    }

    #[test]
    fn mistakes_never_show_a_value() {
        let text = "sk-secret\n=sk-secret\nA='sk-secret\n";
        let all = parse_env_file(text).unwrap_err();
        let messages: Vec<&str> = all.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "a line without `=`",
                "no variable name stands before `=`",
                "`A`: the quote ' is not closed"
            ]
        );
    }

    #[test]
    fn no_text_panics() {
        proptest::proptest!(|(text in "[A-C='\"\\\\# \n\rü]{0,40}")| { let _ = parse_env_file(&text); });
    }
}
