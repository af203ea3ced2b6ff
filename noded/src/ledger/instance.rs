//! An instance's folder. Its lock is held by its step, and by a process on its way to exec; who
//! gets the lock knows that neither is there.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use a2arun_core::ids::{Generation, RequestId};
use a2arun_core::launch::{PeersHook, Readiness};
use a2arun_core::machine::instance::Rules;
use a2arun_core::outcome::{ExitRecord, WaitStatus};
use a2arun_core::record::{self, Kind};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LedgerError;
use crate::msg::{InstanceKey, Spawned};

/// Written before the agent execs, so that every agent that runs can be found again.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
pub struct SpawnRecord {
    /// Whose.
    pub key: InstanceKey,
    /// `agent[index]`.
    pub name: String,
    /// The request that was carried out: a replay of it starts nothing.
    pub generation: Generation,
    /// The same.
    pub request: RequestId,
    /// Its process.
    pub spawned: Spawned,
    /// The boot in which that is true.
    pub boot_id: String,
    /// How it is stopped and watched by whoever takes it over.
    pub rules: Rules,
    /// When it is ready.
    pub readiness: Readiness,
    /// Its main port.
    pub port: Option<u16>,
    /// Its ports beside the main one. Absent, as what follows, in records of older versions.
    #[serde(default)]
    pub more_ports: Vec<u16>,
    /// The address it was told, to look at beside loopback.
    #[serde(default)]
    pub address: Option<String>,
    /// What happens when its peers change.
    #[serde(default)]
    pub peers_hook: PeersHook,
}

/// Which stream of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFile {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl LogFile {
    /// The file's name for an incarnation.
    pub fn name(self, incarnation: u32) -> String {
        match self {
            Self::Out => format!("out.{incarnation}"),
            Self::Err => format!("err.{incarnation}"),
        }
    }
}

/// What came of trying to lock a folder.
#[derive(Debug)]
pub enum TryLock {
    /// Nobody is there.
    Locked(InstanceDir),
    /// Its step, or a process on its way to exec, is there.
    Busy,
    /// There is no such folder.
    Missing,
}

/// An open folder.
#[derive(Debug)]
pub struct InstanceDir {
    dir: OwnedFd,
    path: PathBuf,
}

impl InstanceDir {
    fn io(&self, action: &'static str, name: &str, source: impl Into<io::Error>) -> LedgerError {
        LedgerError::Io { action, path: self.path.join(name), source: source.into() }
    }

    /// Makes the folder where there is none, and waits for its lock.
    pub fn create_locked(path: &Path) -> Result<Self, LedgerError> {
        let io = |action, e: rustix::io::Errno| LedgerError::Io {
            action,
            path: path.to_owned(),
            source: e.into(),
        };
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(io("make folder", e)),
        }
        let dir = Self::open(path)?;
        rustix::fs::flock(&dir.dir, FlockOperation::LockExclusive)
            .map_err(|e| io("lock folder", e))?;
        Ok(dir)
    }

    /// Opens the folder to read; its step may be at work.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| LedgerError::Io {
            action: "open folder",
            path: path.to_owned(),
            source: e.into(),
        })?;
        Ok(Self { dir, path: path.to_owned() })
    }

    /// Looks whether a step is there, without waiting.
    pub fn try_lock(path: &Path) -> Result<TryLock, LedgerError> {
        let dir = match Self::open(path) {
            Ok(dir) => dir,
            Err(LedgerError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(TryLock::Missing);
            }
            Err(e) => return Err(e),
        };
        match rustix::fs::flock(&dir.dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(TryLock::Locked(dir)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(TryLock::Busy),
            Err(e) => Err(dir.io("lock folder", "", e)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Result<Option<T>, LedgerError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(e) => return Err(self.io("open", name, e)),
        };
        let bytes = read_all(file).map_err(|e| self.io("read", name, e))?;
        record::decode(kind, &bytes)
            .map(Some)
            .map_err(|source| LedgerError::Record { path: self.path.join(name), source })
    }

    /// Written aside and renamed: a reader sees the old record or the new one.
    fn write<T: Serialize>(&self, kind: Kind, name: &str, value: &T) -> Result<(), LedgerError> {
        let bytes = record::encode(kind, value)
            .map_err(|source| LedgerError::Record { path: self.path.join(name), source })?;
        let aside = format!(".{name}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.dir, &aside, flags | OFlags::NOFOLLOW, mode)
            .map_err(|e| self.io("create", &aside, e))?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let n = rustix::io::write(&file, rest).map_err(|e| self.io("write", &aside, e))?;
            rest = &rest[n..];
        }
        rustix::fs::renameat(&self.dir, &aside, &self.dir, name)
            .map_err(|e| self.io("rename", name, e))
    }

    /// The spawn record, if there is one.
    pub fn spawn(&self) -> Result<Option<SpawnRecord>, LedgerError> {
        self.read(Kind::Spawn, "spawn")
    }

    /// Writes the spawn record.
    pub fn write_spawn(&self, spawn: &SpawnRecord) -> Result<(), LedgerError> {
        self.write(Kind::Spawn, "spawn", spawn)
    }

    /// Puts the records of an incarnation that has ended aside, for the next one. Done twice, or
    /// gone on with after it was broken off, it does it once.
    pub fn retire(&self, incarnation: u32) -> Result<(), LedgerError> {
        for name in ["spawn", "exit"] {
            match rustix::fs::renameat(&self.dir, name, &self.dir, format!("{name}.{incarnation}"))
            {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(e) => return Err(self.io("rename", name, e)),
            }
        }
        match rustix::fs::unlinkat(&self.dir, "leader", AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(e) => Err(self.io("remove", "leader", e)),
        }
    }

    /// The last incarnation whose records were put aside; 0: none was.
    pub fn retired(&self) -> u32 {
        let there = |n: &u32| {
            let name = format!("spawn.{n}");
            rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
        };
        (1..).take_while(there).last().unwrap_or(0)
    }

    /// How the leader ended, where its tree had to be waited for.
    pub fn leader(&self) -> Option<WaitStatus> {
        self.read(Kind::Exit, "leader").ok().flatten()
    }

    /// Writes how the leader ended, before anything else is waited for.
    pub fn write_leader(&self, status: WaitStatus) -> Result<(), LedgerError> {
        self.write(Kind::Exit, "leader", &status)
    }

    /// The exit record, if there is one.
    pub fn exit(&self) -> Result<Option<ExitRecord>, LedgerError> {
        self.read(Kind::Exit, "exit")
    }

    /// Writes the exit record.
    pub fn write_exit(&self, exit: &ExitRecord) -> Result<(), LedgerError> {
        self.write(Kind::Exit, "exit", exit)
    }

    /// Opens a stream's file for writing, made where it is missing; with its size, where a
    /// successor goes on.
    pub fn log_writer(&self, log: LogFile, incarnation: u32) -> io::Result<(OwnedFd, u64)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.dir, log.name(incarnation), flags, mode)?;
        let size = rustix::fs::fstat(&file)?.st_size;
        Ok((file, u64::try_from(size).unwrap_or(0)))
    }

    /// Opens a stream's file for reading; `None` where nothing was written yet.
    pub fn log_reader(&self, log: LogFile, incarnation: u32) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(&self.dir, log.name(incarnation), flags, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The size of a stream's file in bytes; 0 where there is none.
    pub fn log_size(&self, log: LogFile, incarnation: u32) -> u64 {
        rustix::fs::statat(&self.dir, log.name(incarnation), AtFlags::SYMLINK_NOFOLLOW)
            .ok()
            .and_then(|s| u64::try_from(s.st_size).ok())
            .unwrap_or(0)
    }

    /// The last `bytes` of a stream.
    pub fn log_tail(&self, log: LogFile, incarnation: u32, bytes: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::openat(&self.dir, log.name(incarnation), flags, Mode::empty())?;
        let mut file = File::from(fd);
        let size = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(size.saturating_sub(bytes)))?;
        let mut tail = Vec::new();
        file.take(bytes).read_to_end(&mut tail)?;
        Ok(tail)
    }

    /// The folder's descriptor, which holds its lock until every copy is closed.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

fn read_all(file: OwnedFd) -> io::Result<Vec<u8>> {
    use std::io::Read;
    /// No record is larger; what is, is none of ours.
    const RECORD_MAX_BYTES: u64 = 1 << 20;
    let mut bytes = Vec::new();
    File::from(file).take(RECORD_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
