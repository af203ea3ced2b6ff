//! Runs the pages of docs/guide as a reader would: files are written, commands typed one after the
//! other into shells, and what the page shows of their output is looked for in it.
//!
//! What a page may have between its fences:
//!
//! - `console`: lines that begin with `$ ` are commands, the lines below are what they print. A line
//!   `...` stands for anything else; without it a command that ends prints nothing else. The order
//!   of lines is not looked at: several agents talk at once. A command ends with 0, unless
//!   `$ echo $?` is the next. With `console stays` the last command goes on in its shell while
//!   others are typed elsewhere.
//!   `^C` ends the command above it, else the last one that goes on.
//! - any language and `file=PATH`: what stands in that file from now on.
//! - `yaml`, `json`, `python`, `text`: nothing that is run.
//!
//! Ports, pids, times and ids differ from run to run: they fit any other, but what a page once
//! showed for one stays for it, also in the commands that follow. Ports 18900 to 18999 and the
//! address 127.0.0.2 are the page's own choice: here they are others, that nobody else has.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use regex_lite::{Captures, Regex};

use crate::bed::{ADDRESSES, Bed, repository};
use crate::run::{Head, Run};
use crate::{Poll, wait_for};

/// How long a command may take, and how long its output may take to come.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a command may take that was interrupted.
const END: Duration = Duration::from_secs(20);
/// What a job ends with that was stopped from another shell.
const STOPPED: i32 = 143;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Write { path: String, text: String },
    Run { command: String, shown: Shown, stays: bool },
    Interrupt { shown: Shown },
}

/// What a page shows of a command's output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Shown {
    lines: Vec<String>,
    /// There is more than it shows.
    more: bool,
}

/// Runs a page of docs/guide in a folder that looks like a clone; says how many commands it has.
///
/// # Errors
/// When something is not as the page says.
pub fn run(bed: &Bed, page: &str) -> Result<usize> {
    let path = repository().join("docs/guide").join(page);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let steps = steps(&text)?;
    let commands = steps.iter().filter(|step| matches!(step, Step::Run { .. })).count();
    let mut reader = Reader::new(bed)?;
    reader.eyes.known = own(&text)?;
    for (step, next) in steps.iter().zip(steps.iter().skip(1).map(Some).chain([None])) {
        reader.step(step, next).with_context(|| format!("{page}: {step:?}"))?;
    }
    for (command, mut head) in reader.staying {
        wait_for(&format!("`{command}` to end"), END, || {
            Poll::when(head.has_ended(), || "the page leaves it running".to_owned())
        })?;
    }
    Ok(commands)
}

/// What a page chose itself, and what it is here: several tests run at once.
fn own(page: &str) -> Result<Known> {
    let chosen = Regex::new(r"\b189\d\d\b")?;
    let pid = std::process::id();
    let address = format!("127.{}.{}.2", 1 + pid / 250 % 250, pid % 250);
    let mut known = Known::from([("127.0.0.2".to_owned(), address)]);
    // All are held until each has its own.
    let mut held = Vec::new();
    for port in chosen.find_iter(page) {
        if !known.contains_key(port.as_str()) {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            let free = listener.local_addr()?.port().to_string();
            known.insert(port.as_str().to_owned(), free);
            held.push(listener);
        }
    }
    Ok(known)
}

fn steps(page: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        ensure!(!line.starts_with("    "), "indented, so nobody runs it: {line}");
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (language, attribute) = info.split_once(' ').unwrap_or((info, ""));
        match (language, attribute) {
            ("console", "" | "stays") => session(&block, attribute == "stays", &mut steps)?,
            (_, attribute) if attribute.starts_with("file=") => {
                let path = attribute.trim_start_matches("file=").to_owned();
                steps.push(Step::Write { path, text: block.join("\n") + "\n" });
            }
            ("yaml" | "json" | "python" | "text", "") => {}
            _ => bail!("what is ```{info}?"),
        }
    }
    Ok(steps)
}

fn session(block: &[&str], stays: bool, steps: &mut Vec<Step>) -> Result<()> {
    let first = steps.len();
    let mut lines = block.iter().copied().peekable();
    while let Some(line) = lines.next() {
        let mut command = line.strip_prefix("$ ").map(str::to_owned);
        ensure!(command.is_some() || line == "^C", "neither a command nor its output: {line}");
        while let Some(text) = command.as_mut().filter(|text| text.ends_with('\\')) {
            text.push('\n');
            text.push_str(lines.next().context("a command goes on behind its block")?);
        }
        let mut shown = Shown::default();
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ") && *line != "^C") {
            match line {
                "..." => shown.more = true,
                line => shown.lines.push(line.to_owned()),
            }
        }
        let stays = lines.peek().map_or(stays, |next| *next == "^C");
        // What goes on is not over, and what is stopped may have last words.
        shown.more |= stays || command.is_none();
        steps.push(match command {
            Some(command) => Step::Run { command, shown, stays },
            None => Step::Interrupt { shown },
        });
    }
    ensure!(steps.len() > first, "an empty session");
    Ok(())
}

/// Somebody with a clone, a page and as many shells as needed.
struct Reader<'a> {
    bed: &'a Bed,
    /// What the shell has exported, as a script.
    exported: PathBuf,
    cwd: PathBuf,
    code: i32,
    staying: Vec<(String, Head)>,
    eyes: Eyes,
}

impl<'a> Reader<'a> {
    fn new(bed: &'a Bed) -> Result<Self> {
        let clone = bed.folder().join("clone");
        fs::create_dir_all(&clone)?;
        for name in ["jobs", "scripts", "docs"] {
            std::os::unix::fs::symlink(repository().join(name), clone.join(name))?;
        }
        let exported = bed.folder().join("exported");
        fs::write(&exported, "")?;
        let eyes = Eyes::new(&clone.display().to_string())?;
        Ok(Self { bed, exported, cwd: clone, code: 0, staying: Vec::new(), eyes })
    }

    fn step(&mut self, step: &Step, next: Option<&Step>) -> Result<()> {
        match step {
            Step::Write { path, text } => {
                let path = self.cwd.join(path);
                fs::create_dir_all(path.parent().context("a folder")?)?;
                Ok(fs::write(path, self.eyes.translated(text))?)
            }
            Step::Run { command, shown, stays: true } => {
                let mut head = self.shell(command).spawn()?;
                let shows = |head: &Head| self.eyes.compare(shown, &head.stdout());
                // The reason of the last look says more than that it took too long.
                let _ = head.until("what is shown", LIMIT, |head| shows(head).is_ok());
                self.eyes.known = shows(&head)?;
                self.staying.push((command.clone(), head));
                Ok(())
            }
            Step::Run { command, shown, stays: false } => {
                let output = self.shell(command).limit(LIMIT).run()?;
                let looks = matches!(next, Some(Step::Run { command, .. }) if command == "echo $?");
                if !looks {
                    output.expect_code(0)?;
                }
                let silent = shown.more && output.stdout.trim().is_empty();
                ensure!(!silent, "it prints nothing\n{}", output.describe());
                self.code = output.code;
                let cwd = fs::read_to_string(self.exported.with_extension("cwd"))?;
                self.cwd = cwd.trim_end().into();
                self.eyes.known = self.eyes.compare(shown, &output.stdout)?;
                Ok(())
            }
            Step::Interrupt { shown } => loop {
                let (command, head) = self.staying.pop().context("nothing goes on")?;
                let _ = killpg(Pid::from_raw(head.pid()), Signal::SIGINT);
                let output = head.wait(END)?;
                if output.code == STOPPED {
                    continue;
                }
                ensure!(matches!(output.code, 0 | 130), "{command}: {}", output.describe());
                self.eyes.known = self.eyes.compare(shown, &output.stdout)?;
                self.code = output.code;
                return Ok(());
            },
        }
    }

    /// A command in a shell that knows what was exported before and where it was.
    fn shell(&self, command: &str) -> Run {
        const SCRIPT: &str = r#"exec 2>&1; . "$1"; cd "$2" || exit 99; (exit "$3")
            eval "$4"; code=$?; export -p >"$1"; pwd >"$1.cwd"; exit $code"#;
        let mut run = self
            .bed
            .program("bash")
            .args(["-c", SCRIPT, "bash"])
            .arg(&self.exported)
            .arg(&self.cwd)
            .arg(self.code.to_string())
            .arg(self.eyes.translated(command))
            .env("A2ARUN_BIN_DIR", self.bed.binaries())
            .env("A2ARUN_TESTBED_DIR", self.bed.folder().join("h"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // As at a terminal: Python keeps back what it writes to a file.
            .env("PYTHONUNBUFFERED", "1");
        if let Some(addresses) = std::env::var_os(ADDRESSES) {
            run = run.env(ADDRESSES, addresses);
        }
        // A Ctrl-C goes to the whole group, as at a terminal.
        run.command.process_group(0);
        run
    }
}

/// What a page shows of a thing, and what it is here.
type Known = BTreeMap<String, String>;

/// Compares lines as people do.
struct Eyes {
    /// What is written otherwise on every machine, and how pages write it.
    same: Vec<(Regex, &'static str)>,
    vague: Regex,
    known: Known,
}

impl Eyes {
    fn new(clone: &str) -> Result<Self> {
        let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
        let same = [
            (regex_lite::escape(clone), "/home/me/a2arun"),
            (format!(r"\b{}\b", regex_lite::escape(&host)), "laptop"),
            (r"\b(10|127)\.77\.\d+\.".to_owned(), "10.77.0."),
            // The column of pids in `status`.
            (r"([✓✗-]) \d+ (-|\d+|signal \d+) ".to_owned(), "$1 1000 $2 "),
            (r"\bpid([ =])\d+".to_owned(), "pid${1}1000"),
            // A program is shown by the path that its shell found.
            (r"\(/\S*/python3 ".to_owned(), "(python3 "),
            // How often peers changed before anybody looked.
            (r#""generation": \d+"#.to_owned(), r#""generation": 1"#),
        ];
        let same = same.into_iter().map(|(re, text)| Ok((Regex::new(&re)?, text)));
        let vague = [
            r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", // dates
            r"\b\d+:\d\d(:\d\d)?(\.\d+)?\b",                // times of day, long times
            r"\d+(\.\d+)? m?s\b",                           // times
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}",       // UUIDs
            r"\b[0-9a-f]{16,}\b",                           // traces
            r"-[0-9a-f]{8}\b",                              // runs
            r"\b\d{4,}\b",                                  // ports, pids
        ];
        Ok(Self {
            same: same.collect::<Result<_>>()?,
            vague: Regex::new(&vague.join("|"))?,
            known: Known::new(),
        })
    }

    /// Spaces count as one.
    fn plain(&self, line: &str) -> String {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        self.same.iter().fold(line, |line, (re, text)| re.replace_all(&line, *text).into_owned())
    }

    /// What is vague in both and fits what is known; `None`: they are not the same line.
    fn pairs(&self, shown: &str, seen: &str, known: &Known) -> Option<Vec<(String, String)>> {
        let (shown, seen) = (self.plain(shown), self.plain(seen));
        let clear = |line: &str| self.vague.replace_all(line, "\u{0}").into_owned();
        if clear(&shown) != clear(&seen) {
            return None;
        }
        let all = |line: &str| -> Vec<String> {
            self.vague.find_iter(line).map(|found| found.as_str().to_owned()).collect()
        };
        let mut pairs: Vec<_> = all(&shown).into_iter().zip(all(&seen)).collect();
        pairs.retain(|(shown, _)| is_name(shown));
        let fits = |(shown, seen): &(String, String)| known.get(shown).is_none_or(|k| k == seen);
        pairs.iter().all(fits).then_some(pairs)
    }

    /// Whether the output has every line that is shown, and no other unless the page says so.
    /// Gives what things are called from now on.
    fn compare(&self, shown: &Shown, output: &str) -> Result<Known> {
        let mut known = self.known.clone();
        let mut left: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in shown.lines.iter().filter(|line| !line.trim().is_empty()) {
            let fits = |(at, seen)| Some((at, self.pairs(line, seen, &known)?));
            let found = left.iter().copied().enumerate().find_map(fits);
            let Some((at, pairs)) = found else { bail!("not printed: {line}\nprinted:\n{output}") };
            known.extend(pairs);
            left.remove(at);
        }
        ensure!(shown.more || left.is_empty(), "not shown: {left:?}\nprinted:\n{output}");
        Ok(known)
    }

    /// A text of the page, with what things are called here.
    fn translated(&self, text: &str) -> String {
        let names: Vec<String> = self.known.keys().map(|name| regex_lite::escape(name)).collect();
        let Ok(names) = Regex::new(&names.join("|")) else { return text.to_owned() };
        // In one go: what a thing is called here may be what the page calls another.
        let here = |found: &Captures<'_>| self.known.get(&found[0]).cloned().unwrap_or_default();
        names.replace_all(text, here).into_owned()
    }
}

/// Whether it stands for one thing wherever the page shows it: a port, a run.
fn is_name(shown: &str) -> bool {
    shown.starts_with('-') || (shown.len() == 5 && shown.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[&str], more: bool) -> Shown {
        Shown { lines: lines.iter().map(|line| (*line).to_owned()).collect(), more }
    }

    #[test]
    fn a_page_is_files_and_commands() {
        let page = "Text.\n\n```yaml file=a/b.yaml\nx: 1\n```\n```console stays\n$ one \\\n  two\nout\n...\n```\n\
                    ```console\n$ three\n$ four\n^C\nended\n```\n```console\n^C\n```\n";
        let found = steps(page).unwrap();
        let run = |command: &str, shown, stays| Step::Run { command: command.into(), shown, stays };
        let wanted = [
            Step::Write { path: "a/b.yaml".into(), text: "x: 1\n".into() },
            run("one \\\n  two", shown(&["out"], true), true),
            run("three", Shown::default(), false),
            run("four", shown(&[], true), true),
            Step::Interrupt { shown: shown(&["ended"], true) },
            Step::Interrupt { shown: shown(&[], true) },
        ];
        assert_eq!(found, wanted);
        for bad in ["```sh\nls\n```\n", "    ls\n", "```console\nls\n```\n", "```console\n```\n"] {
            assert!(steps(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_differs_from_run_to_run_is_not_compared() {
        let mut eyes = Eyes::new("/tmp/clone").unwrap();
        let page = shown(&["w-0a1b2c3d at :20001 after 0.12 s", "other"], false);
        let output = "other\nw-ffffffff   at :28888 after 12 s\n";
        eyes.known = eyes.compare(&page, output).unwrap();
        assert_eq!(eyes.translated("ask w-0a1b2c3d :20001"), "ask w-ffffffff :28888");
        // What was shown once is that thing from then on.
        assert!(eyes.compare(&shown(&["at :20001"], false), "at :28888").is_ok());
        assert!(eyes.compare(&shown(&["at :20001"], false), "at :28889").is_err());
        assert!(eyes.compare(&shown(&[":20002", ":20002 too"], false), ":1 too\n:28888").is_err());
        // A line too many, a line too few, another word.
        assert!(eyes.compare(&page, &format!("{output}more\n")).is_err());
        assert!(eyes.compare(&shown(&[], true), output).is_ok());
        assert!(eyes.compare(&page, "other\n").is_err());
        assert!(eyes.compare(&shown(&["ready"], false), "unready").is_err());
    }
}
