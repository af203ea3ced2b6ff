//! A command written as one text: split into words as a shell would, without any of its
//! expansions.

/// Why a text is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WordsError {
    /// A quote is open at the end.
    #[error("the quote {0} is not closed")]
    Quote(char),
    /// A backslash is last.
    #[error("a backslash at the end escapes nothing")]
    Backslash,
}

/// Quotes `'…'` and `"…"` (POSIX sh §2.2), backslash outside of single quotes.
pub(super) fn split(text: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(WordsError::Quote('\'')),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err(WordsError::Quote('"')),
                        },
                        Some(c) => word.push(c),
                        None => return Err(WordsError::Quote('"')),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(WordsError::Backslash),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would() {
        let cases: [(&str, &[&str]); 6] = [
            ("python3 -u agent.py", &["python3", "-u", "agent.py"]),
            (
                r#"sh -c "echo \"$(PORT)\" \n" 'a  b'"#,
                &["sh", "-c", "echo \"$(PORT)\" \\n", "a  b"],
            ),
            (r"a\ b '' c", &["a b", "", "c"]),
            ("  \t", &[]),
            ("a'b'\"c\"", &["abc"]),
            ("one \\\n two", &["one", "two"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        assert_eq!(split("a 'b"), Err(WordsError::Quote('\'')));
        assert_eq!(split("a \"b\\"), Err(WordsError::Quote('"')));
        assert_eq!(split("a\\"), Err(WordsError::Backslash));
    }

    #[test]
    fn quoting_each_word_gives_it_back() {
        proptest::proptest!(|(words in proptest::collection::vec("\\PC{0,8}", 1..5))| {
            let quoted: Vec<String> =
                words.iter().map(|w| format!("'{}'", w.replace('\'', "'\\''"))).collect();
            proptest::prop_assert_eq!(split(&quoted.join(" ")).unwrap(), words);
        });
    }
}
