//! This machine's noded: a unix socket of the user, and its start on demand.
//!
//! Several launchers may find it gone at once. They take turns at a lock beside the sockets; the
//! first starts it, the others then find it there.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use a2arun_rt::paths::StatePaths;
use a2arun_rt::tls::Purpose;
use rustix::fd::AsRawFd;
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::target::{ConnectError, Connection, OnDemand, stream};

/// A start takes some 20 ms; a machine that swaps takes longer.
const START_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(2);
/// More than this is no complaint of noded's.
const COMPLAINT_BYTES_MAX: u64 = 8192;

/// Where this user's noded listens, and how it is started.
#[derive(Debug)]
pub(crate) struct Local {
    paths: StatePaths,
    noded: Result<PathBuf, PathBuf>,
}

impl Local {
    /// `noded` as [`find_noded`] gave it.
    pub(crate) fn new(paths: StatePaths, noded: Result<PathBuf, PathBuf>) -> Self {
        Self { paths, noded }
    }

    /// Where its sockets are.
    pub(crate) fn paths(&self) -> &StatePaths {
        &self.paths
    }

    pub(super) async fn connect(
        &self,
        purpose: Purpose,
        on_demand: OnDemand,
    ) -> Result<Connection, ConnectError> {
        let socket = match purpose {
            Purpose::Control => &self.paths.control_socket,
            Purpose::Bulk => &self.paths.bulk_socket,
        };
        let unix = match (UnixStream::connect(socket).await, on_demand) {
            (Ok(unix), _) => unix,
            (Err(error), OnDemand::Start) if is_absent(&error) => {
                self.start(socket).await?;
                dial(socket).await?
            }
            (Err(source), _) => {
                return Err(ConnectError::Dial { address: socket.display().to_string(), source });
            }
        };
        self.check_peer(&unix, socket)?;
        let broken = |e| ConnectError::Broken {
            address: socket.display().to_string(),
            why: super::error::chain(&e),
        };
        let (channel, verdict) = stream::channel(unix, purpose).await.map_err(broken)?;
        Ok(Connection { channel, address: None, verdict })
    }

    fn check_peer(&self, unix: &UnixStream, socket: &Path) -> Result<(), ConnectError> {
        let uid = unix
            .peer_cred()
            .map_err(|source| ConnectError::Dial { address: socket.display().to_string(), source })?
            .uid();
        if uid == self.paths.uid() {
            Ok(())
        } else {
            Err(ConnectError::Stranger { path: socket.to_owned(), uid })
        }
    }

    /// Starts noded unless somebody else just did.
    async fn start(&self, socket: &Path) -> Result<(), ConnectError> {
        let program = match &self.noded {
            Ok(program) => program,
            Err(beside) => return Err(ConnectError::NoNoded { beside: beside.clone() }),
        };
        self.paths.create()?;
        let failed = |source| ConnectError::Start { program: program.clone(), source };
        let lock = self.take_lock().await?;
        if UnixStream::connect(socket).await.is_ok() {
            return Ok(());
        }
        let mut ready = spawn(program, self.paths.uid()).map_err(failed)?;
        let complaint = tokio::task::spawn_blocking(move || {
            let mut text = Vec::new();
            ready.by_ref().take(COMPLAINT_BYTES_MAX).read_to_end(&mut text).map(|_| text)
        });
        // The reader ends when noded says something or is gone; a hanging one is left to it.
        let text = match timeout(START_LIMIT, complaint).await {
            Ok(Ok(text)) => text.map_err(failed)?,
            Ok(Err(join)) => return Err(failed(io::Error::other(join))),
            Err(_) => {
                let why = format!("it said nothing within {} s", START_LIMIT.as_secs());
                return Err(ConnectError::NotReady(why));
            }
        };
        drop(lock);
        let text = String::from_utf8_lossy(&text);
        match text.trim() {
            "ready" => Ok(()),
            // Another one may have won by means of its own lock.
            _ if UnixStream::connect(socket).await.is_ok() => Ok(()),
            "" => Err(ConnectError::NotReady("it ended without a word".to_owned())),
            why => Err(ConnectError::NotReady(why.to_owned())),
        }
    }

    async fn take_lock(&self) -> Result<File, ConnectError> {
        let path = self.paths.start_lock();
        let wrap = |source| ConnectError::Dial { address: path.display().to_string(), source };
        let limit = Instant::now() + START_LIMIT;
        loop {
            let opened =
                File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
            let file = match opened {
                Ok(file) => file,
                // A noded that left took its folder along.
                Err(error) if error.kind() == io::ErrorKind::NotFound && Instant::now() < limit => {
                    self.paths.create()?;
                    continue;
                }
                Err(error) => return Err(wrap(error)),
            };
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) if Instant::now() < limit => {
                        sleep(LOCK_POLL).await;
                    }
                    Err(TryLockError::WouldBlock) => {
                        let why = "another launcher is starting it and does not get done";
                        return Err(ConnectError::NotReady(why.to_owned()));
                    }
                    Err(TryLockError::Error(error)) => return Err(wrap(error)),
                }
            }
            if is_at(&file, &path) {
                return Ok(file);
            }
        }
    }
}

/// Whether a file is still the one of its path.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    let same = file.metadata().map(id).ok().zip(path.metadata().map(id).ok());
    same.is_some_and(|(ours, there)| ours == there)
}

async fn dial(socket: &Path) -> Result<UnixStream, ConnectError> {
    let address = || socket.display().to_string();
    match timeout(CONNECT_LIMIT, UnixStream::connect(socket)).await {
        Ok(Ok(unix)) => Ok(unix),
        Ok(Err(source)) => Err(ConnectError::Dial { address: address(), source }),
        Err(_) => Err(ConnectError::Timeout { address: address(), limit: CONNECT_LIMIT }),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Starts noded with nothing of ours but the writing end of a pipe; gives the reading end.
fn spawn(program: &Path, uid: u32) -> io::Result<io::PipeReader> {
    let (reader, writer) = io::pipe()?;
    // noded finds the descriptor by its number. It leaves our session, so that a Ctrl-C at our
    // terminal is not its own, and closes the rest of what is ours itself.
    fcntl_setfd(&writer, FdFlags::empty())?;
    let mut command = Command::new(program);
    command
        .args(["serve", "--on-demand", "--ready-fd"])
        .arg(writer.as_raw_fd().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/");
    if uid == 0 {
        command.arg("--allow-root");
    }
    let mut child = command.spawn()?;
    drop(writer);
    // It leaves the launcher's tree; should it end early, it must not stay a zombie of ours.
    std::thread::Builder::new().name("noded-wait".into()).spawn(move || child.wait())?;
    Ok(reader)
}

/// The program beside our own, else the first in PATH. `Err`: where it was expected.
pub(crate) fn find_noded(exe: &Path, search: Option<&OsStr>) -> Result<PathBuf, PathBuf> {
    let dir = exe.parent().unwrap_or(Path::new("/"));
    let beside = dir.join("noded");
    if executable(&beside) {
        return Ok(beside);
    }
    search
        .and_then(|s| std::env::split_paths(s).map(|d| d.join("noded")).find(|p| executable(p)))
        .ok_or_else(|| exe.to_owned())
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noded_is_looked_for_beside_us_first() {
        let dir = tempfile::tempdir().unwrap();
        let exe = dir.path().join("bin/a2arun");
        let other = dir.path().join("other");
        std::fs::create_dir_all(exe.parent().unwrap()).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        assert_eq!(find_noded(&exe, Some(other.as_os_str())), Err(exe.clone()));
        let make = |path: &Path| {
            std::fs::write(path, "").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        make(&other.join("noded"));
        assert_eq!(find_noded(&exe, Some(other.as_os_str())), Ok(other.join("noded")));
        let beside = exe.with_file_name("noded");
        make(&beside);
        assert_eq!(find_noded(&exe, Some(other.as_os_str())), Ok(beside));
    }
}
