//! Secrets never reach a message: values that variables gave are written as `${NAME}` again, and
//! values behind secret names in the lines that are shown are starred out.

use std::borrow::Cow;

use crate::plan::reserved::is_secret_name;
use crate::source::Finding;

/// Below this many bytes a value is only replaced between backticks: it may be part of any word.
const ALONE_BELOW: usize = 4;

/// Writes `${NAME}` for every value of a secret variable in the texts of a finding.
pub(super) fn finding(finding: &mut Finding, used: &[(String, String)]) {
    let texts = [Some(&mut finding.message), finding.label.as_mut(), finding.help.as_mut()];
    for text in texts.into_iter().flatten() {
        for (name, value) in
            used.iter().filter(|(name, value)| is_secret_name(name) && !value.is_empty())
        {
            let shown = format!("${{{name}}}");
            for value in [value.clone(), value.escape_debug().to_string()] {
                if value.len() < ALONE_BELOW {
                    *text = within_backticks(text, &value, &shown);
                } else if text.contains(&value) {
                    *text = text.replace(&value, &shown);
                }
            }
        }
    }
}

/// Replaces in what stands between backticks: names and values of the user's.
fn within_backticks(text: &str, value: &str, shown: &str) -> String {
    let parts = text.split('`').enumerate().map(|(n, part)| {
        let quoted = n % 2 == 1 && !part.contains("${");
        if quoted { part.replace(value, shown) } else { part.to_owned() }
    });
    parts.collect::<Vec<_>>().join("`")
}

/// The text with the values of `*_KEY: value` and the like starred out, byte for byte as long, so
/// that every place stays where it is. References (`${VAR}`, `{secret: …}`) are shown.
pub(super) fn source(text: &str) -> Cow<'_, str> {
    let mut out: Option<String> = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        for (start, end) in values(line) {
            let out = out.get_or_insert_with(|| text.to_owned());
            let stars = "*".repeat(end - start);
            out.replace_range(offset + start..offset + end, &stars);
        }
        offset += line.len();
    }
    out.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Byte ranges of secret values in a line.
fn values(line: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(colon) = line[at..].find([':', '=']).map(|i| at + i) {
        at = colon + 1;
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let before = line[..colon].trim_end_matches(['"', '\'', ' ']);
        let name_start = before
            .rfind(|c| !word(c))
            .map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
        let name = &before[name_start..];
        let rest = &line[at..];
        let spaced = line[colon..].starts_with('=') || rest.starts_with([' ', '\t', '"', '\'']);
        if !spaced || !is_secret_name(name) || is_path_key(name) {
            continue;
        }
        let start = at + (rest.len() - rest.trim_start().len());
        let value = &line[start..];
        if value.is_empty() || value.starts_with(['{', '[', '&', '*', '|', '>', '#']) {
            continue;
        }
        let (skip, len) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                (1, value[1..].find(quote).unwrap_or(value.trim_end().len() - 1))
            }
            Some(_) | None => {
                // The braces of a `${…}` belong to the value.
                let inside =
                    if value.starts_with("${") { value.find('}').map_or(0, |i| i + 1) } else { 0 };
                let end = value[inside..].find([',', '}', ']', '\n', '\r']);
                let end = end.map_or(value.len(), |i| inside + i);
                (0, value[..end].trim_end().len())
            }
        };
        let inner = &value[skip..skip + len];
        let reference = inner.starts_with("${") && inner.ends_with('}') && !inner.contains(":-");
        if !inner.is_empty() && !reference {
            found.push((start + skip, start + skip + len));
        }
        at = start + skip + len;
    }
    found
}

/// Keys of ours that hold the place of a secret, not one.
fn is_path_key(name: &str) -> bool {
    matches!(name, "ssh_key" | "key_file" | "secret")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Code, Span};

    #[test]
    fn secret_values_are_starred_out_in_place() {
        for (line, shown) in [
            ("API_KEY: sk-1234\n", "API_KEY: *******\n"),
            ("{A: 1, MY_TOKEN: \"x y\", B: 2}", "{A: 1, MY_TOKEN: \"***\", B: 2}"),
            ("password: 'p}q'", "password: '***'"),
            ("K_KEY: ${OPENAI_KEY}", "K_KEY: ${OPENAI_KEY}"),
            ("K_KEY: ${X:-sk-1}", "K_KEY: **********"),
            ("K_KEY: {secret: {env: X}}", "K_KEY: {secret: {env: X}}"),
            ("ssh_key: ~/.ssh/id", "ssh_key: ~/.ssh/id"),
            ("command: [x, --api-key=abc]", "command: [x, --api-key=***]"),
            ("name: x", "name: x"),
            ("SECRET: üä", "SECRET: ****"),
        ] {
            assert_eq!(source(line), shown);
            assert_eq!(source(line).len(), line.len());
        }
    }

    #[test]
    fn values_of_variables_become_their_names() {
        let used =
            [("MY_KEY".to_owned(), "s3cr3t".to_owned()), ("PIN_KEY".to_owned(), "7".to_owned())];
        let mut found =
            Finding::error(Code::Value, Span::default(), "`x.port` is `s3cr3t`, `7` of 17");
        finding(&mut found, &used);
        assert_eq!(found.message, "`x.port` is `${MY_KEY}`, `${PIN_KEY}` of 17");
    }

    #[test]
    fn no_text_panics() {
        proptest::proptest!(|(text in "[A-Zü_KEY:=\"'{}\\[\\], \n$]{0,60}")| {
            proptest::prop_assert_eq!(source(&text).len(), text.len());
        });
    }
}
