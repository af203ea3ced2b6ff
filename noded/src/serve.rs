//! From the command line to a serving noded, in the order that matters: folders, lock, spawner
//! (before any thread), runtime, recovery, listeners, ready.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use a2arun_core::plan::reserved::HOST_VARIABLES;
use a2arun_rt::paths::{PathsError, StatePaths};
use a2arun_rt::tls::{self, TlsError, TrustDir};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::cli::Serve;
use crate::facts::HostFacts;
use crate::ledger::{Ledger, LedgerError};
use crate::msg::Restart;
use crate::os::fork::close_all_but;
use crate::os::{limits, seqpacket, signals};
use crate::service::{
    BulkSettings, ControlService, Tls, serve_control, spawn_bulk_thread, tcp_listener,
    unix_listener,
};
use crate::supervisor::{Input, Left, Settings, Supervisor, Views, accept_steps, connect_spawner};

/// Connections for output that may wait for their thread.
const BULK_DEPTH: usize = 64;
/// Links of steps that call by themselves count from here; those that noded makes, from 1.
const CALLED_LINKS: u64 = 1 << 32;

/// Why noded does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Root, and nobody said that that is meant.
    #[error("refused to serve as root: agents would run as root (--allow-root if that is meant)")]
    Root,
    /// Another noded has the state folder.
    #[error("another noded serves {path}")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The state folder is not on this host.
    #[error("refused to keep state on {filesystem} ({path}): name a local folder (--state-dir)")]
    Network {
        /// The folder.
        path: PathBuf,
        /// What it is on.
        filesystem: &'static str,
    },
    /// Folders.
    #[error("prepare folders")]
    Paths(#[from] PathsError),
    /// Records.
    #[error("open the ledger")]
    Ledger(#[from] LedgerError),
    /// Certificates.
    #[error("read the trust folder {path}")]
    Trust {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: TlsError,
    },
    /// The kernel.
    #[error("{action}")]
    Io {
        /// What was tried.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// The transport.
    #[error("serve")]
    Transport(#[from] tonic::transport::Error),
}

fn io_error(action: impl Into<String>) -> impl FnOnce(io::Error) -> ServeError {
    let action = action.into();
    move |source| ServeError::Io { action, source }
}

/// Serves until told to end.
///
/// # Errors
/// When something that is needed cannot be had; nothing is left half-started then.
pub fn serve(options: &Serve) -> Result<(), ServeError> {
    // Nothing is open yet but what was inherited, and none of that is ours.
    close_all_but(&mut options.ready_fd.into_iter().collect::<Vec<_>>());
    if options.on_demand {
        // Away from the terminal of whoever happened to need it. EPERM: already a leader.
        let _ = rustix::process::setsid();
    }
    crate::os::heap::keep_small();
    // A spawner that starts noded again has its signals blocked.
    signals::unblock_all().map_err(io_error("unblock signals"))?;
    let uid = rustix::process::geteuid().as_raw();
    if uid == 0 && !options.allow_root {
        return Err(ServeError::Root);
    }
    let paths = StatePaths::discover(
        |name| match (name, &options.state_dir) {
            ("A2ARUN_STATE_DIR", Some(dir)) => Some(dir.clone().into_os_string()),
            _ => std::env::var_os(name),
        },
        uid,
    )?;
    paths.create()?;
    // Held until the process ends; a noded that was killed leaves no lock.
    let _lock = lock(&paths.state_dir)?;
    // The noded before us may have removed its folder of sockets until it let go of the lock.
    paths.create()?;
    let log = options.on_demand.then(|| paths.state_dir.join("noded.log"));
    set_up_logging(log.as_deref())?;
    let (mut nofile_before, nofile_now) =
        limits::raise_nofile().map_err(io_error("read the limit of open files"))?;
    if let Some(soft) = options.agents_nofile {
        nofile_before.soft = soft.min(nofile_before.hard);
    }
    let epoch = epoch();
    let exe = std::env::current_exe().map_err(io_error("find this program"))?;
    let settings = Settings {
        state_dir: paths.state_dir.clone(),
        steps_socket: paths.runtime_dir.join("steps.sock"),
        spawner_socket: paths.runtime_dir.join("spawner.sock"),
        restart: (!options.no_restart).then(|| restart(&exe, options, nofile_before.soft)),
        exe,
        nofile_before: Some(nofile_before),
        nofile_now: nofile_now.soft,
        host_env: HOST_VARIABLES
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
            .collect(),
        boot_id: crate::os::proc::boot_id(),
        epoch,
        linger: options.on_demand.then_some(options.linger),
    };
    refuse_network_filesystem(&paths.state_dir)?;
    let ledger = Ledger::open(&paths.state_dir)?;
    let tls = options.listen.map(|_| read_trust(options)).transpose()?;
    let spawner = connect_spawner(&settings).map_err(io_error("reach the spawner"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io_error("make the runtime"))?;
    runtime.block_on(run(options, &paths, settings, ledger, tls, spawner))
}

async fn run(
    options: &Serve,
    paths: &StatePaths,
    settings: Settings,
    ledger: Ledger,
    tls: Option<Tls>,
    spawner: OwnedFd,
) -> Result<(), ServeError> {
    let name = options.name.as_deref().unwrap_or("localhost");
    let span = tracing::info_span!("noded", host = name);
    let facts = HostFacts::gather(settings.epoch);
    let views = Views::default();
    let output_event = signals::eventfd().map_err(io_error("make an event counter"))?;
    let for_readers = output_event.try_clone().map_err(io_error("copy an event counter"))?;
    let steps = seqpacket::listen(&settings.steps_socket)
        .map_err(io_error(format!("listen on {}", settings.steps_socket.display())))?;
    let state_dir = settings.state_dir.display().to_string();
    let (mut supervisor, inbox, inputs, spawner_pid) =
        Supervisor::new(settings, ledger.clone(), views.clone(), output_event);

    let listen_error = |path: &Path| io_error(format!("listen on {}", path.display()));
    let control =
        unix_listener(&paths.control_socket).map_err(listen_error(&paths.control_socket))?;
    let bulk = unix_listener(&paths.bulk_socket).map_err(listen_error(&paths.bulk_socket))?;
    let (to_bulk, from_control) = mpsc::channel(BULK_DEPTH);
    spawn_bulk_thread(BulkSettings {
        unix: bulk.into_std().map_err(io_error("hand over a listener"))?,
        tcp: from_control,
        tls: tls.clone(),
        ledger,
        views,
        output_event: for_readers,
        inbox: inbox.clone(),
    })
    .map_err(io_error("start the bulk thread"))?;
    let tcp = match (options.listen, tls) {
        (Some(address), Some(tls)) => {
            let listener =
                tcp_listener(address).await.map_err(io_error(format!("listen on {address}")))?;
            Some((listener, tls, to_bulk))
        }
        _ => None,
    };
    // Only now, when nothing can fail any more, is the spawner asked to bring this noded back.
    supervisor.begin(spawner).map_err(io_error("talk to the spawner"))?;
    let service =
        ControlService::new(inbox.clone(), facts, state_dir, spawner_pid, TaskTracker::new());
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let serving = serve_control(control, tcp, service, async move {
        let _ = end.await;
    });
    // Before anybody is told that we are here: a TERM right then must end us with a goodbye.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io_error("watch signals"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(io_error("watch signals"))?;
    announce(options.ready_fd);
    tracing::info!(parent: &span, pid = std::process::id(), "serving");
    let calls = accept_steps(steps, inbox.clone(), CALLED_LINKS);
    let supervising = supervisor.run(inputs);
    tokio::pin!(serving, calls, supervising);
    let left = loop {
        // Cancel safe: signals are only watched, the other three are pinned and polled again.
        tokio::select! {
            left = &mut supervising => break left,
            served = &mut serving => return served.map_err(Into::into),
            () = &mut calls => tracing::error!("cannot hear steps any more"),
            _ = interrupt.recv() => stop(&inbox).await,
            _ = terminate.recv() => stop(&inbox).await,
        }
    };
    tracing::info!(parent: &span, "leaving");
    let _ = ended.send(());
    for socket in [&paths.control_socket, &paths.bulk_socket] {
        let _ = std::fs::remove_file(socket);
    }
    if left == Left::Nothing {
        remove_runtime_dir(paths);
    }
    Ok(())
}

/// Nobody needs the folder of sockets any more, unless a launcher is about to start a noded: it
/// holds the lock in there, and whoever waits for that lock looks whether it is still the file of
/// its path.
fn remove_runtime_dir(paths: &StatePaths) {
    let path = paths.start_lock();
    let lock = File::options().write(true).open(&path);
    if lock.as_ref().is_ok_and(|lock| lock.try_lock().is_err()) {
        return;
    }
    for name in ["steps.sock", "spawner.sock"] {
        let _ = std::fs::remove_file(paths.runtime_dir.join(name));
    }
    let _ = std::fs::remove_file(&path);
    // What somebody else put there stays.
    let _ = std::fs::remove_dir(&paths.runtime_dir);
    // Held to the end of this process, so that the next noded finds our other lock free.
    std::mem::forget(lock);
}

async fn stop(inbox: &mpsc::Sender<Input>) {
    let _ = inbox.send(Input::Shutdown).await;
}

fn lock(state_dir: &Path) -> Result<File, ServeError> {
    let path = state_dir.join("noded.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error(format!("open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(ServeError::Busy { path: state_dir.to_owned() })
        }
        Err(std::fs::TryLockError::Error(e)) => {
            Err(io_error(format!("lock {}", path.display()))(e))
        }
    }
}

/// Locks, renames and splice(2) mean less on a network filesystem, and a server that is away would
/// block a stop.
fn refuse_network_filesystem(state_dir: &Path) -> Result<(), ServeError> {
    // statfs(2), linux/magic.h
    const NETWORK: [(i64, &str); 7] = [
        (0x6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x5346_414f, "AFS"),
    ];
    let shown = state_dir.display();
    let found = rustix::fs::statfs(state_dir)
        .map_err(|e| io_error(format!("look at the filesystem of {shown}"))(e.into()))?;
    match NETWORK.iter().find(|(magic, _)| *magic == found.f_type) {
        Some((_, name)) => {
            Err(ServeError::Network { path: state_dir.to_owned(), filesystem: name })
        }
        None => Ok(()),
    }
}

/// To a file where noded has no terminal or journal; what spawner and steps say goes there, too.
fn set_up_logging(file: Option<&Path>) -> Result<(), ServeError> {
    if let Some(path) = file {
        let log = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(io_error(format!("open {}", path.display())))?;
        nix::unistd::dup2_stderr(&log).map_err(|e| io_error("redirect stderr")(e.into()))?;
    }
    let filter = std::env::var(a2arun_rt::logging::FILTER_VARIABLE).ok();
    let complaint =
        a2arun_rt::logging::init(a2arun_rt::logging::Sink::Stderr, filter.as_deref(), "info")
            .map_err(io_error("set up logging"))?;
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
    Ok(())
}

fn read_trust(options: &Serve) -> Result<Tls, ServeError> {
    let path = options.trust.clone().unwrap_or_default();
    let (config, domain) = tls::server_config(&TrustDir::new(&path))
        .map_err(|source| ServeError::Trust { path, source })?;
    Ok(Tls { acceptor: TlsAcceptor::from(config), domain })
}

/// The command line that brings this noded back.
fn restart(exe: &Path, options: &Serve, nofile: u64) -> Restart {
    let mut args = vec!["serve".to_owned()];
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            args.extend([name.to_owned(), value]);
        }
    };
    option("--listen", options.listen.map(|a| a.to_string()));
    // The spawner works in `/`.
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
    };
    option("--trust", options.trust.as_ref().map(absolute));
    option("--state-dir", options.state_dir.as_ref().map(absolute));
    option("--name", options.name.clone());
    option("--agents-nofile", Some(nofile.to_string()));
    option("--linger", Some(options.linger.as_secs_f64().to_string()));
    if options.allow_root {
        args.push("--allow-root".to_owned());
    }
    if options.on_demand {
        args.push("--on-demand".to_owned());
    }
    Restart { exe: exe.to_owned(), args }
}

/// A number that no earlier noded had.
fn epoch() -> u64 {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos());
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// Tells whoever waits that noded listens.
fn announce(fd: Option<i32>) {
    if let Some(fd) = fd {
        let path = format!("/proc/self/fd/{fd}");
        if let Ok(file) = File::options().write(true).open(path) {
            let _ = rustix::io::write(&file, b"ready\n");
        }
        // Its own copy is closed, so that the reader sees the end.
        crate::os::fork::close_inherited(fd);
    }
}
