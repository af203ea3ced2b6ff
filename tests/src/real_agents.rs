//! The agents in tests/agents and the environments that `scripts/real-agents` makes for them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::bed::{Bed, repository, skipped};

/// An environment of `scripts/real-agents`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `a2a-sdk` 1.x, and FastAPI.
    Py1,
    /// `a2a-sdk` 0.3.
    Py03,
    /// `@a2a-js/sdk` under tsx.
    Js,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Py1 => "py1",
            Self::Py03 => "py03",
            Self::Js => "js",
        }
    }

    fn folder(self) -> PathBuf {
        let base = std::env::var_os("A2ARUN_AGENTS_DIR").map(PathBuf::from);
        let base = base.unwrap_or_else(|| repository().join("target/agents"));
        base.join(self.name())
    }

    /// True where the environment is there; says so loudly where it is not.
    pub fn is_made(self) -> bool {
        let made = self.folder().join(".made").exists();
        if !made {
            let name = self.name();
            skipped(&format!(
                "agents of {name}: target/agents/{name} is not there; scripts/real-agents makes it"
            ));
        }
        made
    }
}

/// Where an agent's source is.
pub fn source(path: &str) -> PathBuf {
    repository().join("tests/agents").join(path)
}

/// The words of an agent's command, as YAML: `[program, script, …]`.
///
/// # Errors
/// When the script cannot be put where it finds its packages.
pub fn command(bed: &Bed, kind: Kind, script: &str, args: &[&str]) -> Result<String> {
    let (program, script) = match kind {
        Kind::Py1 | Kind::Py03 => (kind.folder().join("bin/python"), source(script)),
        Kind::Js => {
            // Modules are looked for beside the script.
            let folder = bed.folder().join("js");
            fs::create_dir_all(&folder)?;
            let modules = kind.folder().join("node_modules");
            if !folder.join("node_modules").exists() {
                symlink(&modules, folder.join("node_modules"))?;
                fs::copy(source("js/package.json"), folder.join("package.json"))?;
            }
            let name = source(script);
            let to = folder.join(name.file_name().context("a script has a name")?);
            fs::copy(&name, &to)?;
            (modules.join(".bin/tsx"), to)
        }
    };
    let words: Vec<String> = [program, script]
        .iter()
        .map(|path| path.display().to_string())
        .chain(args.iter().map(|arg| (*arg).to_owned()))
        .map(|word| format!("'{word}'"))
        .collect();
    Ok(format!("[{}]", words.join(", ")))
}
