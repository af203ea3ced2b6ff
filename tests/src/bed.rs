//! One test's surroundings: a folder of its own, an empty HOME, a state folder, and, where asked
//! for, several hosts made by scripts/testbed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::leftovers;
use crate::run::{Output, Run};

/// How scripts/testbed is to make hosts: `ns` or `loopback`; unset, whatever is possible.
pub(crate) const ADDRESSES: &str = "A2ARUN_TESTBED_ADDRESSES";

/// One test's surroundings. [`Bed::finish`] ends it and looks at what is left.
#[derive(Debug)]
pub struct Bed {
    folder: PathBuf,
    bin: PathBuf,
    hosts: Option<Hosts>,
    runs: Cell<u32>,
    allowed: RefCell<Vec<String>>,
    finished: Cell<bool>,
}

/// What scripts/testbed made.
#[derive(Debug)]
struct Hosts {
    folder: PathBuf,
    namespaces: bool,
    net: String,
}

/// Where the repository is.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the repository")
}

/// The folder with the built binaries: A2ARUN_BIN_DIR, else where this program was built to.
///
/// # Errors
/// When they are not built.
pub fn binaries() -> Result<PathBuf> {
    let found = match std::env::var_os("A2ARUN_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let me = std::env::current_exe()?;
            let folder = me.parent().context("a program stands in a folder")?;
            // Tests are in deps/, binaries one above.
            if folder.ends_with("deps") { folder.join("..").canonicalize()? } else { folder.into() }
        }
    };
    for name in ["a2arun", "noded", "testagent"] {
        ensure!(
            found.join(name).exists(),
            "{name} is not built in {}: cargo build",
            found.display()
        );
    }
    Ok(found)
}

impl Bed {
    /// A test on this machine alone.
    ///
    /// # Errors
    /// When the folder cannot be made or the binaries are not built.
    pub fn new(name: &str) -> Result<Self> {
        // Short, because sockets live below it and a socket's path has 107 bytes.
        let folder = PathBuf::from(format!("/tmp/a2e/{name}.{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for part in ["home", "cfg", "st", "rt", "jobs", "s"] {
            fs::create_dir_all(folder.join(part))?;
        }
        private(&folder.join("rt"))?;
        private(&folder.join("s"))?;
        Ok(Self {
            folder,
            bin: binaries()?,
            hosts: None,
            runs: Cell::new(0),
            allowed: RefCell::default(),
            finished: Cell::new(false),
        })
    }

    /// A test on `count` hosts, each with a noded and an address of its own.
    ///
    /// # Errors
    /// When the hosts cannot be made.
    pub fn with_hosts(name: &str, count: u32) -> Result<Self> {
        let mut bed = Self::new(name)?;
        let folder = bed.folder.join("h");
        // What it prints is worth reading only when it fails.
        let made = bed.testbed_in(&folder, "up", &["-n", &count.to_string()])?;
        ensure!(made.status.success(), "testbed up: {}", String::from_utf8_lossy(&made.stderr));
        let record = fs::read_to_string(folder.join("testbed.env"))?;
        let value = |key: &str| {
            record.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned()
        };
        bed.hosts = Some(Hosts { folder, namespaces: value("mode=") == "ns", net: value("net=") });
        Ok(bed)
    }

    /// The test's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The state folder of this machine's own noded.
    pub fn state(&self) -> PathBuf {
        self.folder.join("s")
    }

    /// The state folder of host `nK`.
    pub fn host_state(&self, k: u32) -> PathBuf {
        self.folder.join(format!("h/n{k}"))
    }

    /// The hostfile.
    pub fn hostfile(&self) -> PathBuf {
        self.folder.join("h/hosts")
    }

    /// The head's trust folder.
    pub fn trust(&self) -> PathBuf {
        self.folder.join("h/trust")
    }

    /// The trust folder of host `nK`.
    pub fn host_trust(&self, k: u32) -> PathBuf {
        self.folder.join(format!("h/issued/n{k}"))
    }

    /// The address of host `nK`.
    pub fn address(&self, k: u32) -> String {
        let hosts = self.hosts.as_ref().expect("this bed has hosts");
        let first = if hosts.namespaces { 10 } else { 127 };
        format!("{first}.77.{}.{k}", hosts.net)
    }

    /// True where hosts are namespaces; says so on standard error where they are not.
    pub fn has_namespaces(&self, needed_for: &str) -> bool {
        let has = self.hosts.as_ref().is_some_and(|hosts| hosts.namespaces);
        if !has {
            skipped(&format!("{needed_for}: network namespaces are refused here"));
        }
        has
    }

    /// The folder with the built binaries.
    pub fn binaries(&self) -> &Path {
        &self.bin
    }

    /// The test agent's path.
    pub fn agent(&self) -> String {
        self.binary("testagent")
    }

    /// The path of a built binary.
    pub fn binary(&self, name: &str) -> String {
        self.bin.join(name).to_string_lossy().into_owned()
    }

    /// Writes a job file (`{agent}` is the test agent's path) and gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn job(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join("jobs").join(format!("{name}.yaml"));
        fs::write(&path, text.replace("{agent}", &self.agent()))?;
        Ok(path)
    }

    /// `a2arun` on this machine.
    pub fn a2arun<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.program(&self.binary("a2arun")).args(args)
    }

    /// `a2arun` with the hosts of this bed; `args` come after `--hostfile`.
    pub fn a2arun_on_hosts<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Run {
        self.a2arun_trusting(&self.trust(), args)
    }

    /// The same with another trust folder.
    pub fn a2arun_trusting<S: AsRef<std::ffi::OsStr>>(
        &self,
        trust: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Run {
        let run = self.program(&self.binary("a2arun")).arg("--trust").arg(trust);
        run.arg("--hostfile").arg(self.hostfile()).args(args)
    }

    /// `a2arun` as another user, from copies of the binaries that it can reach. Needs root.
    ///
    /// # Errors
    /// When the binaries cannot be copied.
    pub fn a2arun_as(&self, uid: u32, args: &[&str]) -> Result<Run> {
        let bin = self.folder.join("bin");
        fs::create_dir_all(&bin)?;
        for name in ["a2arun", "noded", "testagent"] {
            let to = bin.join(name);
            if !to.exists() && fs::hard_link(self.bin.join(name), &to).is_err() {
                fs::copy(self.bin.join(name), &to)?;
            }
        }
        for part in ["", "home", "cfg", "st", "rt", "jobs", "s"] {
            std::os::unix::fs::chown(self.folder.join(part), Some(uid), Some(uid))?;
        }
        let user = uid.to_string();
        let run = self.program("setpriv");
        let run = run.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]);
        Ok(run.arg(bin.join("a2arun")).args(args).env("USER", "e2e"))
    }

    /// Any program in this bed's surroundings.
    pub fn program(&self, program: &str) -> Run {
        let number = self.runs.get();
        self.runs.set(number + 1);
        let base = self.folder.join(format!("run{number}"));
        let mut command = Command::new(program);
        self.surround(&mut command);
        let out = fs::File::create(base.with_extension("out")).expect("the test's folder is there");
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(out);
        Run::new(command, base)
    }

    fn surround(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        let folder = |name: &str| self.folder.join(name);
        command
            .env_clear()
            .env("PATH", format!("{}:{path}", self.bin.display()))
            .env("HOME", folder("home"))
            .env("USER", std::env::var("USER").unwrap_or_else(|_| "root".to_owned()))
            .env("LANG", "C.UTF-8")
            .env("NO_COLOR", "1")
            .env("RUST_BACKTRACE", "1")
            .env("XDG_CONFIG_HOME", folder("cfg"))
            .env("XDG_STATE_HOME", folder("st"))
            .env("XDG_RUNTIME_DIR", folder("rt"))
            .env("A2ARUN_STATE_DIR", self.state())
            .env("E2E_FOLDER", &self.folder);
    }

    /// `scripts/testbed VERB` on this bed's hosts.
    ///
    /// # Errors
    /// When it fails.
    pub fn testbed(&self, verb: &str, args: &[&str]) -> Result<()> {
        let done = self.testbed_in(&self.folder.join("h"), verb, args)?;
        ensure!(
            done.status.success(),
            "testbed {verb} {args:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }

    fn testbed_in(&self, folder: &Path, verb: &str, args: &[&str]) -> Result<std::process::Output> {
        let mut command = Command::new(repository().join("scripts/testbed"));
        self.surround(&mut command);
        command.env_remove("A2ARUN_STATE_DIR").env("A2ARUN_BIN_DIR", &self.bin);
        if let Some(addresses) = std::env::var_os(ADDRESSES) {
            command.env(ADDRESSES, addresses);
        }
        // Its own output goes to files: a daemon that inherited a pipe would keep it open.
        let (out, err) = (self.folder.join("testbed.out"), self.folder.join("testbed.err"));
        command.stdout(fs::File::create(&out)?).stderr(fs::File::create(&err)?);
        let status = command.arg(verb).arg("--dir").arg(folder).args(args).status()?;
        Ok(std::process::Output { status, stdout: fs::read(out)?, stderr: fs::read(err)? })
    }

    /// `a2arun status JOB --output json`.
    ///
    /// # Errors
    /// When it fails or prints no JSON.
    pub fn status(&self, job: &str) -> Result<Value> {
        let output = self.a2arun(["status", job, "--output", "json"]).run()?;
        output.expect_code(0)?.json()
    }

    /// `a2arun list --all --output json`.
    ///
    /// # Errors
    /// When it fails or prints no list.
    pub fn list(&self) -> Result<Vec<Value>> {
        let output = self.a2arun(["list", "--all", "--output", "json"]).run()?;
        match output.expect_code(0)?.json()? {
            Value::Array(runs) => Ok(runs),
            other => bail!("not a list: {other}"),
        }
    }

    /// What the records of this machine's noded say of every rank's end, in the order of ranks.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn exit_records(&self) -> Result<BTreeMap<u32, Value>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.state()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.ends_with("exit") {
                    let rank = folder.file_name().and_then(|name| name.to_str()?.parse().ok());
                    let text = fs::read_to_string(&path)?;
                    // A header line with a checksum, then the record.
                    let record = text.lines().nth(1).context("a record has two lines")?;
                    found.insert(rank.context("a rank's folder")?, serde_json::from_str(record)?);
                }
            }
        }
        Ok(found)
    }

    /// Lines of noded's log that contain `text` are expected in this test, at any level.
    pub fn allow_log(&self, text: &str) {
        self.allowed.borrow_mut().push(text.to_owned());
    }

    /// No agent and no step is left; noded may still be there.
    ///
    /// # Errors
    /// With the list of what is.
    pub fn nothing_runs(&self) -> Result<()> {
        leftovers::instances(&self.folder).map_err(anyhow::Error::msg)
    }

    /// Ends the test: nothing may be left but what noded is allowed to keep, and noded itself goes
    /// when told. The folder is removed when all is well.
    ///
    /// # Errors
    /// With what was left.
    pub fn finish(self) -> Result<()> {
        self.finished.set(true);
        let mut wrong = Vec::new();
        if let Err(left) = leftovers::instances(&self.folder) {
            wrong.push(left);
        }
        wrong.extend(self.clear());
        wrong.extend(leftovers::unexpected_lines(&self.folder, &self.allowed.borrow()));
        if wrong.is_empty() {
            fs::remove_dir_all(&self.folder)?;
            return Ok(());
        }
        bail!("left behind ({}):\n  {}", self.folder.display(), wrong.join("\n  "))
    }

    /// Takes hosts and daemons down, come what may.
    fn clear(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Err(left) = leftovers::end_daemons(&self.folder) {
            wrong.push(left);
        }
        let Some(hosts) = &self.hosts else {
            // A page of the guide makes hosts itself, and may have failed before it took them down.
            let made = self.folder.join("h");
            if made.join("testbed.env").exists() {
                wrong.push("a testbed is left".to_owned());
                let _ = self.testbed_in(&made, "down", &[]);
            }
            return wrong;
        };
        if let Err(error) = self.testbed_in(&hosts.folder, "down", &[]) {
            wrong.push(error.to_string());
        }
        let listed = Command::new("ip").args(["netns", "list"]).output();
        let listed = listed.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        let prefix = format!("a2t{}n", hosts.net);
        for line in listed.unwrap_or_default().lines().filter(|line| line.starts_with(&prefix)) {
            if hosts.namespaces {
                wrong.push(format!("a network namespace is left: {line}"));
            }
        }
        wrong
    }
}

impl Drop for Bed {
    /// A test that failed must not disturb the next one; its folder stays for reading.
    fn drop(&mut self) {
        if !self.finished.get() {
            let _ = self.clear();
        }
    }
}

/// Says on the test's output that a part could not be run here, and why.
#[expect(clippy::print_stderr, reason = "a test that is skipped must be seen")]
pub fn skipped(why: &str) {
    eprintln!("SKIPPED {why}");
}

/// Everything that a command printed, when it should have said one thing.
pub fn both(output: &Output) -> String {
    format!("{}\n{}", output.stdout, output.stderr)
}

fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o700))?)
}
