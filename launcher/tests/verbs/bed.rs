//! A folder with files, and the built program run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of its own, gone at the end.
#[derive(Debug)]
pub(crate) struct Bed {
    folder: tempfile::TempDir,
}

impl Bed {
    /// With these files.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let bed = Self { folder: tempfile::tempdir().unwrap() };
        files.iter().for_each(|(name, text)| bed.write(name, text));
        bed
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The program with nothing of ours in its environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_a2arun"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path());
        command
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Command line, output and code of a run, for a snapshot.
    pub(crate) fn run(&self, line: &str) -> String {
        self.shown(line, &self.output(&line.split(' ').collect::<Vec<_>>()))
    }

    pub(crate) fn shown(&self, line: &str, output: &Output) -> String {
        let text = |bytes: &[u8]| self.filtered(&String::from_utf8_lossy(bytes));
        let mut shown = format!("$ a2arun {line}\n{}", text(&output.stdout));
        if !output.stderr.is_empty() {
            shown.push_str("--- stderr\n");
            shown.push_str(&text(&output.stderr));
        }
        let code = output.status.code().unwrap_or(-1);
        if code != 0 {
            shown.push_str(&format!("--- code {code}\n"));
        }
        shown.push('\n');
        shown
    }

    /// Without what differs from machine to machine.
    fn filtered(&self, text: &str) -> String {
        let folder = self.folder.path().display().to_string();
        text.replace(&folder, "[FOLDER]").replace(&hostname(), "[HERE]")
    }
}

/// This machine's name, as the kernel has it.
pub(crate) fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Where the repository is.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
