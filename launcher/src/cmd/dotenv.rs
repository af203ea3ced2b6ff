//! The `.env` beside a job file: it answers `${VAR}` where the shell does not. Read when it is
//! first asked, so that a job without variables never trips over one.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use a2arun_core::source::{Code, Finding};
use a2arun_core::spec::parse_env_file;
use a2arun_core::spec::render::{Style, render};

/// What core reads of a file of variables.
const BYTES_MAX: u64 = 1 << 20;

/// The file, once it was looked at. Values are secrets: they are in no `Debug` and no message.
pub(super) struct DotEnv {
    path: Option<PathBuf>,
    read: OnceCell<Read>,
}

#[derive(Default)]
struct Read {
    variables: Vec<(String, String)>,
    /// Findings with the text they are in, starred out.
    wrong: Option<(String, Vec<Finding>)>,
}

impl std::fmt::Debug for DotEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.read.get().map(|read| read.variables.len());
        f.debug_struct("DotEnv").field("path", &self.path).field("variables", &count).finish()
    }
}

impl DotEnv {
    /// That of a job file.
    pub(super) fn beside(job: &Path) -> Self {
        Self { path: Some(job.with_file_name(".env")), read: OnceCell::new() }
    }

    /// Of a job without a file.
    pub(super) fn none() -> Self {
        Self { path: None, read: OnceCell::new() }
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let read = self.read.get_or_init(|| self.path.as_deref().map(read).unwrap_or_default());
        let found = read.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    /// Its path, for messages.
    pub(super) fn shown(&self) -> String {
        self.path.as_deref().map(|p| p.display().to_string()).unwrap_or_default()
    }

    /// What is wrong with it, as far as anybody asked.
    pub(super) fn findings(&self) -> Option<&[Finding]> {
        self.wrong().map(|(_, findings)| findings.as_slice())
    }

    /// The findings as text.
    pub(super) fn rendered(&self, style: Style) -> Option<String> {
        self.wrong().map(|(text, findings)| render(&self.shown(), text, findings, style))
    }

    fn wrong(&self) -> Option<&(String, Vec<Finding>)> {
        self.read.get().and_then(|read| read.wrong.as_ref())
    }
}

fn read(path: &Path) -> Read {
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Read::default(),
        Err(error) => {
            let finding = Finding::whole(Code::Input, format!("cannot read it: {error}"));
            return Read { wrong: Some((String::new(), vec![finding])), ..Read::default() };
        }
    };
    match parse(&bytes) {
        Ok(variables) => Read { variables, wrong: None },
        Err(wrong) => Read { wrong: Some(wrong), ..Read::default() },
    }
}

/// Not more than a file of variables may have, and one byte to tell that it has.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Names and values, in order.
pub(super) type Variables = Vec<(String, String)>;

/// Reads a file of variables. What is wrong comes with the text to show it in, starred out byte by
/// byte so that every place stays where it is.
pub(super) fn parse(bytes: &[u8]) -> Result<Variables, (String, Vec<Finding>)> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let finding = Finding::whole(Code::Input, "the file is no UTF-8 text");
        return Err((String::new(), vec![finding]));
    };
    parse_env_file(text).map_err(|findings| {
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        let stars = body.bytes().map(|b| if b == b'\n' { '\n' } else { '*' }).collect();
        (stars, findings)
    })
}
