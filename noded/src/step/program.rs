//! Which file an agent's first word means, and what to say where there is none.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// A program that cannot be run, as a shell would say it: 127 not found, 126 not executable.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    /// The exit code.
    pub code: i32,
    /// What and where.
    pub message: String,
}

/// Finds the program: with a `/` it is a path, from `workdir` where it is relative; else it is
/// looked for in `search` (`PATH`), as execvp(3) does.
pub(super) fn find(program: &str, search: Option<&str>, workdir: &Path) -> Result<PathBuf, Unfit> {
    if program.contains('/') {
        let path = workdir.join(program);
        return check(&path).map(|()| path);
    }
    let search = search.unwrap_or("/usr/local/bin:/usr/bin:/bin");
    let mut found_unfit = None;
    for dir in search.split(':') {
        let path = workdir.join(dir).join(program);
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(unfit) if unfit.code == 126 => found_unfit = found_unfit.or(Some(unfit)),
            Err(_) => {}
        }
    }
    Err(found_unfit.unwrap_or_else(|| Unfit {
        code: 127,
        message: format!("program `{program}` not found in PATH ({search})"),
    }))
}

/// `~` and `~/…` in the home folder of the agent's own environment: the head cannot know another
/// host's. What else begins with `~` stays.
pub(super) fn at_home(path: &Path, home: Option<&str>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) if !home.is_empty() => {
            Path::new(home).join(rest).components().collect()
        }
        _ => path.to_owned(),
    }
}

fn check(path: &Path) -> Result<(), Unfit> {
    let shown = path.display();
    match path.metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Unfit { code: 127, message: format!("program `{shown}` does not exist") })
        }
        Err(e) => Err(Unfit { code: 126, message: format!("program `{shown}`: {e}") }),
        Ok(meta) if meta.is_dir() => {
            Err(Unfit { code: 126, message: format!("program `{shown}` is a folder") })
        }
        Ok(_) if access(path, Access::EXEC_OK).is_err() => {
            let message = format!("program `{shown}` is not executable (chmod +x?)");
            Err(Unfit { code: 126, message })
        }
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_agents_home() {
        let at = |path: &str, home| at_home(Path::new(path), home).display().to_string();
        assert_eq!(at("~/a/b", Some("/home/u")), "/home/u/a/b");
        assert_eq!((at("~", Some("/h")), at("~/x", None)), ("/h".into(), "~/x".into()));
        assert_eq!(
            (at("~bob/x", Some("/h")), at("/~/x", Some("/h"))),
            ("~bob/x".into(), "/~/x".into())
        );
    }

    #[test]
    fn programs_are_found_as_execvp_does_and_refused_as_a_shell_does() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plain"), "x").unwrap();
        let path = dir.path().display().to_string();
        let code = |program: &str| find(program, Some(&path), dir.path()).unwrap_err().code;
        assert_eq!(code("plain"), 126);
        assert_eq!(code("./plain"), 126);
        assert_eq!(code("missing"), 127);
        assert_eq!(code("./missing"), 127);
        let sh = find("sh", Some(&format!("{path}:/bin")), dir.path()).unwrap();
        assert_eq!(sh, Path::new("/bin/sh"));
    }
}
