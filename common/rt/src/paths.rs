//! Where a host's daemon keeps its state and its sockets (DESIGN §7). `noded` makes the folders,
//! `a2arun` finds them: one calculation for both, from the same few inputs.
//!
//! ```text
//! root         $A2ARUN_STATE_DIR, else /var/tmp/a2arun-UID
//! state_dir    root/<machine id>-<network namespace>
//! runtime_dir  /run/a2arun-TAG (root), $XDG_RUNTIME_DIR/a2arun-TAG, state_dir/sock,
//!              /tmp/a2arun-UID-TAG: the first that can be and keeps a socket's path short
//! ```

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A socket's path is at most this long; `sun_path` holds 108 bytes (unix(7)).
pub const SOCKET_PATH_BYTES_MAX: usize = 100;

const CONTROL: &str = "control.sock";
const BULK: &str = "bulk.sock";

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// The network namespace or another fact of the machine cannot be read.
    #[error("cannot read {path}")]
    Fact {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder cannot be made or looked at.
    #[error("cannot create the folder {path}")]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder belongs to somebody else, is open to others, or is a symlink.
    #[error("the folder {path} is not safe to use: {why}")]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// `A2ARUN_STATE_DIR` is not an absolute path.
    #[error("the state folder {path} is not an absolute path")]
    Relative {
        /// What was given.
        path: PathBuf,
    },
}

/// The folders and sockets of the daemon of one user in one network namespace of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePaths {
    /// What belongs to this machine and network namespace: records, segments.
    pub state_dir: PathBuf,
    /// Where the sockets are.
    pub runtime_dir: PathBuf,
    /// The socket of the service `Control`.
    pub control_socket: PathBuf,
    /// The socket of the service `Bulk`.
    pub bulk_socket: PathBuf,
    root: PathBuf,
    uid: u32,
}

/// What the calculation depends on, apart from the environment.
#[derive(Debug, Clone)]
struct Facts {
    uid: u32,
    machine: String,
    netns: u64,
    run_writable: bool,
    user_runtime: Option<PathBuf>,
}

impl StatePaths {
    /// Finds the paths from the environment (`lookup`), the user and the machine. Makes nothing.
    pub fn discover(
        lookup: impl Fn(&str) -> Option<OsString>,
        uid: u32,
    ) -> Result<Self, PathsError> {
        let netns = Path::new("/proc/self/ns/net");
        let inode = fs::metadata(netns)
            .map_err(|source| PathsError::Fact { path: netns.to_owned(), source })?
            .ino();
        // A user's shells do not agree on XDG_RUNTIME_DIR (cron, su): its usual value counts too.
        let user_runtime = absolute(&lookup, "XDG_RUNTIME_DIR")
            .or_else(|| Some(PathBuf::from(format!("/run/user/{uid}"))))
            .filter(|dir| owned_dir(dir, uid));
        let facts = Facts {
            uid,
            machine: machine_id(),
            netns: inode,
            run_writable: uid == 0 && writable(Path::new("/run")),
            user_runtime,
        };
        let root = match lookup("A2ARUN_STATE_DIR").filter(|v| !v.is_empty()) {
            Some(given) => PathBuf::from(given),
            None => PathBuf::from(format!("/var/tmp/a2arun-{uid}")),
        };
        Self::calculate(root, &facts)
    }

    fn calculate(root: PathBuf, facts: &Facts) -> Result<Self, PathsError> {
        if !root.is_absolute() {
            return Err(PathsError::Relative { path: root });
        }
        let state_dir = root.join(format!("{}-{}", facts.machine, facts.netns));
        let tag = format!("{:08x}", fnv1a(state_dir.as_os_str().as_bytes()));
        let mut candidates = Vec::with_capacity(4);
        if facts.run_writable {
            candidates.push(PathBuf::from(format!("/run/a2arun-{tag}")));
        }
        if let Some(dir) = &facts.user_runtime {
            candidates.push(dir.join(format!("a2arun-{tag}")));
        }
        candidates.push(state_dir.join("sock"));
        let fits = |dir: &&PathBuf| {
            dir.as_os_str().len() + 1 + CONTROL.len().max(BULK.len()) <= SOCKET_PATH_BYTES_MAX
        };
        let runtime_dir = candidates
            .iter()
            .find(fits)
            .cloned()
            .unwrap_or_else(|| PathBuf::from(format!("/tmp/a2arun-{}-{tag}", facts.uid)));
        Ok(Self {
            control_socket: runtime_dir.join(CONTROL),
            bulk_socket: runtime_dir.join(BULK),
            runtime_dir,
            state_dir,
            root,
            uid: facts.uid,
        })
    }

    /// Held by the launcher that starts a noded on demand.
    pub fn start_lock(&self) -> PathBuf {
        self.runtime_dir.join("start.lock")
    }

    /// The user whose daemon this is.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Makes the folders, 0700, and checks that each is a real folder, ours and closed to others.
    pub fn create(&self) -> Result<(), PathsError> {
        if let Some(parent) = self.root.parent() {
            fs::create_dir_all(parent)
                .map_err(|source| PathsError::Create { path: parent.to_owned(), source })?;
        }
        // A state folder that the user made himself may be readable, its content is not.
        make_dir(&self.root)?;
        check_dir(&self.root, self.uid, 0o022)?;
        private_dir(&self.state_dir, self.uid)?;
        private_dir(&self.runtime_dir, self.uid)
    }
}

/// Makes one folder, 0700, and checks that it is a real folder, owned by `uid`, closed to others.
pub fn private_dir(path: &Path, uid: u32) -> Result<(), PathsError> {
    make_dir(path)?;
    check_dir(path, uid, 0o077)
}

fn make_dir(path: &Path) -> Result<(), PathsError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(PathsError::Create { path: path.to_owned(), source }),
    }
}

fn check_dir(path: &Path, uid: u32, forbidden: u32) -> Result<(), PathsError> {
    let meta = fs::symlink_metadata(path)
        .map_err(|source| PathsError::Create { path: path.to_owned(), source })?;
    let refuse = |why: String| Err(PathsError::Unsafe { path: path.to_owned(), why });
    if meta.file_type().is_symlink() {
        return refuse("it is a symlink".into());
    }
    if !meta.is_dir() {
        return refuse("it is not a folder".into());
    }
    if meta.uid() != uid {
        return refuse(format!("it belongs to uid {}, not {uid}", meta.uid()));
    }
    let mode = meta.mode() & 0o777;
    if mode & forbidden != 0 {
        return refuse(format!("its mode is {mode:04o}; `chmod 700` it"));
    }
    Ok(())
}

/// `$NAME` where it is set, not empty and absolute (XDG base directory specification).
pub fn absolute(lookup: &impl Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    lookup(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn owned_dir(path: &Path, uid: u32) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid)
}

fn writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// `/etc/machine-id` (machine-id(5)); where there is none, the host's name.
fn machine_id() -> String {
    let id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let id = id.trim();
    if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return id.to_owned();
    }
    hostname().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect()
}

/// The kernel's name of this host.
pub fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// FNV-1a, 32 bits: the tag must never change between versions, so it is spelt out here.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn facts() -> Facts {
        Facts {
            uid: 1000,
            machine: "0123456789abcdef0123456789abcdef".into(),
            netns: 4026531840,
            run_writable: false,
            user_runtime: None,
        }
    }

    #[test]
    fn sockets_lie_in_the_first_place_that_can_be() {
        let root = || PathBuf::from("/var/tmp/a2arun-1000");
        let check = |facts: &Facts, root: PathBuf| {
            StatePaths::calculate(root, facts).unwrap().control_socket.display().to_string()
        };
        let plain = facts();
        let base = "/var/tmp/a2arun-1000/0123456789abcdef0123456789abcdef-4026531840";
        assert_eq!(check(&plain, root()), format!("{base}/sock/control.sock"));
        let user = Facts { user_runtime: Some("/run/user/1000".into()), ..facts() };
        assert_eq!(check(&user, root()), "/run/user/1000/a2arun-ab136f40/control.sock");
        let system = Facts { run_writable: true, ..user };
        assert_eq!(check(&system, root()), "/run/a2arun-ab136f40/control.sock");
        let long = PathBuf::from(format!("/{}", "x".repeat(80)));
        let fallback = check(&plain, long);
        assert!(fallback.starts_with("/tmp/a2arun-1000-"), "{fallback}");
        assert!(fallback.len() <= SOCKET_PATH_BYTES_MAX);
    }

    #[test]
    fn a_relative_state_folder_is_refused() {
        let error = StatePaths::calculate("state".into(), &facts()).unwrap_err();
        assert_eq!(error.to_string(), "the state folder state is not an absolute path");
    }

    #[test]
    fn folders_of_others_links_and_open_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let uid = fs::metadata(dir.path()).unwrap().uid();
        let good = dir.path().join("good");
        private_dir(&good, uid).unwrap();
        private_dir(&good, uid).unwrap();
        assert!(matches!(private_dir(&good, uid + 1), Err(PathsError::Unsafe { .. })));
        let link = dir.path().join("link");
        symlink(&good, &link).unwrap();
        assert!(matches!(private_dir(&link, uid), Err(PathsError::Unsafe { .. })));
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let error = private_dir(&open, uid).unwrap_err().to_string();
        assert!(error.contains("0755"), "{error}");
    }

    #[test]
    fn discover_and_create_agree() {
        let dir = tempfile::tempdir().unwrap();
        let uid = fs::metadata(dir.path()).unwrap().uid();
        let root = dir.path().join("deep/state");
        let lookup =
            |name: &str| (name == "A2ARUN_STATE_DIR").then(|| root.clone().into_os_string());
        let paths = StatePaths::discover(lookup, uid).unwrap();
        paths.create().unwrap();
        paths.create().unwrap();
        assert!(paths.state_dir.is_dir() && paths.runtime_dir.is_dir());
        if !paths.runtime_dir.starts_with(dir.path()) {
            fs::remove_dir(&paths.runtime_dir).unwrap();
        }
    }
}
