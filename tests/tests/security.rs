//! P8 and P9: no unauthenticated byte reaches a control handler, and secrets are written nowhere.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use a2arun_e2e::bed::{Bed, skipped};
use a2arun_e2e::procs;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(20);
const PORT: u16 = 7741;

/// Sends bytes and gives what comes back until the other side closes.
fn talk(address: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect((address, PORT))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Ok(answer),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(answer),
        Err(error) => Err(error.into()),
    }
}

#[test]
fn p8_plaintext_on_the_port_reaches_nobody() -> Result<()> {
    let bed = Bed::with_hosts("plaintext", 1)?;
    bed.allow_log("handshake");
    bed.allow_log("refused");
    let address = bed.address(1);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let rpc = b"POST /a2arun.v1.Control/Describe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    for bytes in [&preface[..], &rpc[..], b"\0\0\0\0", &[0xff; 4096][..]] {
        let answer = talk(&address, bytes)?;
        // A TLS alert is all there may be: content type 21, RFC 8446 section 5.1.
        ensure!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    }
    // Somebody who connects and says nothing is shown the door, and blocks nobody meanwhile.
    let silent: Vec<_> =
        (0..20).map(|_| TcpStream::connect((address.as_str(), PORT))).collect::<Result<_, _>>()?;
    bed.a2arun_on_hosts(["-np", "1", "--", "/bin/true"]).run()?.expect_code(0)?;
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut rest = Vec::new();
        let closed = stream.read_to_end(&mut rest);
        ensure!(
            closed.is_ok()
                || closed.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
        );
    }
    bed.finish()
}

/// `openssl s_client` with the given identity; what the host says until it closes.
fn s_client(bed: &Bed, identity: Option<&Path>) -> Result<a2arun_e2e::Output> {
    let run = bed.program("timeout").args(["10", "openssl", "s_client", "-alpn", "h2", "-connect"]);
    let mut run = run.arg(format!("{}:{PORT}", bed.address(1)));
    run = run.arg("-CAfile").arg(bed.trust().join("ca.pem")).args(["-tls1_3", "-ign_eof"]);
    if let Some(identity) = identity {
        run = run
            .arg("-cert")
            .arg(identity.join("head.pem"))
            .arg("-key")
            .arg(identity.join("head.key"));
    }
    run.run()
}

#[test]
fn p8_no_certificate_or_a_foreign_one_is_refused() -> Result<()> {
    let bed = Bed::with_hosts("nocert", 1)?;
    bed.allow_log("handshake");
    bed.allow_log("refused");
    bed.allow_log("certificate");
    if bed.program("openssl").arg("version").run().is_err() {
        skipped("a client without a certificate: no openssl here");
        return bed.finish();
    }
    let other = bed.folder().join("other");
    bed.a2arun(["trust", "init", "--trust"]).arg(&other).run()?.expect_code(0)?;
    for identity in [None, Some(other.as_path())] {
        let output = s_client(&bed, identity)?;
        let said = a2arun_e2e::bed::both(&output).to_lowercase();
        ensure!(said.contains("alert") || said.contains("errno"), "{}", output.describe());
    }
    // The right one stays connected: timeout ends it.
    let output = s_client(&bed, Some(&bed.trust()))?;
    ensure!(output.code == 124, "{}", output.describe());
    bed.finish()
}

#[test]
fn p8_a_viewer_may_look_and_not_act() -> Result<()> {
    let bed = Bed::with_hosts("viewer", 1)?;
    bed.allow_log("refused");
    bed.allow_log("viewer");
    let viewer = bed.folder().join("viewer");
    let issue = bed.a2arun(["trust", "issue", "--trust"]).arg(bed.trust());
    issue.args(["--role", "viewer", "watcher", "--out"]).arg(&viewer).run()?.expect_code(0)?;
    let viewer = viewer.join("watcher");
    let output = bed.a2arun_trusting(&viewer, ["-np", "1", "--", "/bin/true"]).run()?;
    output.expect_code(77)?.expect_stderr(&["n1"])?;
    bed.nothing_runs()?;
    // A run of somebody else: it may be read and not be stopped.
    let script = "echo said-it; exec sleep 600";
    let mut head = bed.a2arun_on_hosts(["-np", "1", "--", "sh", "-c", script]).spawn()?;
    head.until_stdout("said-it", READY)?;
    let look = |verb: &str| bed.a2arun([verb, "sh", "--trust"]).arg(&viewer).run();
    let output = look("logs")?;
    output.expect_code(0)?;
    ensure!(output.stdout.contains("said-it"), "{}", output.describe());
    head.signal(Signal::SIGKILL);
    drop(head);
    look("stop")?.expect_code(77)?.expect_stderr(&["n1"])?;
    bed.a2arun(["stop", "sh"]).run()?.expect_code(0)?;
    bed.nothing_runs()?;
    bed.finish()
}

/// Unix sockets below a folder.
fn sockets(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_socket() {
            found.push(entry.path());
        } else if kind.is_dir() {
            sockets(&entry.path(), found);
        }
    }
}

/// Paths of the unix sockets that a process listens on.
fn sockets_of(pid: i32) -> Result<Vec<PathBuf>> {
    let inodes: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))?
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/unix"))?;
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = fields.filter(|f| f.len() == 8 && inodes.iter().any(|inode| inode == f[6]));
    let mut paths: Vec<PathBuf> = ours.map(|f| f[7].into()).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

#[test]
fn p8_sockets_are_private_and_another_uid_is_refused() -> Result<()> {
    let bed = Bed::new("sockets")?;
    let agent = bed.agent();
    let mut head = bed.a2arun(["-np", "1", "--", &agent, "sleep"]).spawn()?;
    head.until("it runs", READY, |_| procs::agents(bed.folder()).len() == 1)?;
    let mut found = Vec::new();
    sockets(bed.folder(), &mut found);
    for proc in procs::of_folder(bed.folder()).iter().filter(|p| p.is_ours()) {
        for path in sockets_of(proc.pid)? {
            ensure!(!path.to_string_lossy().starts_with('@'), "an abstract socket: {path:?}");
            found.push(path);
        }
    }
    ensure!(!found.is_empty(), "no socket was found");
    found.sort();
    found.dedup();
    for socket in &found {
        let mode = fs::metadata(socket)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{} has mode {mode:o}", socket.display());
        let folder = fs::metadata(socket.parent().context("a folder")?)?;
        ensure!(
            folder.permissions().mode() & 0o077 == 0,
            "{} is in an open folder",
            socket.display()
        );
        ensure!(folder.uid() == nix::unistd::geteuid().as_raw(), "{}", socket.display());
    }
    // The first python in PATH may stand in a folder that only we may enter.
    let python = "/usr/bin/python3";
    let as_other = |bed: &Bed| {
        let ids = ["--reuid", "23457", "--regid", "23457", "--clear-groups", "--", python];
        bed.program("setpriv").args(ids)
    };
    if !nix::unistd::geteuid().is_root() {
        skipped("another uid: only root can take one");
    } else if !as_other(&bed).args(["-I", "-c", ""]).run().is_ok_and(|ran| ran.code == 0) {
        skipped("another uid: it cannot run /usr/bin/python3 here");
    } else {
        // Even with the way open, the uid of the other side is looked at.
        let opened = bed.folder().join("opened");
        fs::create_dir(&opened)?;
        fs::set_permissions(bed.folder(), fs::Permissions::from_mode(0o755))?;
        for socket in &found {
            let script = format!(
                "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(5)\n\
                 try:\n s.connect({:?})\nexcept OSError as e:\n print('refused',e); sys.exit(0)\nprint('connected')",
                socket.display().to_string()
            );
            let output = as_other(&bed).args(["-I", "-c", &script]).run()?;
            ensure!(
                output.stdout.contains("refused"),
                "{}: {}",
                socket.display(),
                output.describe()
            );
        }
    }
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.finish()
}

/// Ports that are listened on in a process's network namespace, of one process.
fn listens(pid: i32) -> Result<Vec<u16>> {
    let inodes: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))?
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let mut ports = Vec::new();
    for table in ["tcp", "tcp6"] {
        for line in fs::read_to_string(format!("/proc/{pid}/net/{table}"))?.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // State 0A is LISTEN: proc_net_tcp in the kernel's documentation.
            if fields.get(3) == Some(&"0A")
                && fields.get(9).is_some_and(|i| inodes.contains(&(*i).to_owned()))
            {
                let port = fields[1].rsplit_once(':').context("address:port")?.1;
                ports.push(u16::from_str_radix(port, 16)?);
            }
        }
    }
    Ok(ports)
}

#[test]
fn p8_nothing_of_ours_listens_but_the_tls_port() -> Result<()> {
    let bed = Bed::with_hosts("listeners", 1)?;
    let agent = bed.agent();
    let mut here = bed.a2arun(["-np", "1", "--", &agent, "sleep"]).spawn()?;
    let mut there = bed.a2arun_on_hosts(["-np", "1", "--", &agent, "sleep"]).spawn()?;
    here.until("both run", READY, |_| procs::agents(bed.folder()).len() == 2)?;
    for proc in procs::of_folder(bed.folder()).iter().filter(|p| p.is_ours()) {
        for port in listens(proc.pid)? {
            let allowed = port == PORT && proc.comm == "noded" && proc.args.contains("--listen");
            ensure!(allowed, "{proc:?} listens on {port}");
        }
    }
    for head in [&mut here, &mut there] {
        head.signal(Signal::SIGINT);
    }
    here.wait(END)?.expect_code(130)?;
    there.wait(END)?.expect_code(130)?;
    bed.finish()
}

/// Files below `folder` that contain `needle`.
fn containing(folder: &Path, needle: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            containing(&path, needle, found);
        } else if kind.is_file() {
            let content = fs::read(&path).unwrap_or_default();
            if content.windows(needle.len()).any(|part| part == needle.as_bytes()) {
                found.push(path);
            }
        }
    }
}

/// P9: a2arun writes secrets nowhere.
#[test]
fn p9_a_key_of_the_environment_is_written_nowhere() -> Result<()> {
    let bed = Bed::new("p9")?;
    let secret = "sk-e2e-6f1c0d9b7a";
    let agent = bed.agent();
    let out = bed.folder().join("out");
    let run = bed.a2arun(["-np", "2", "--output-dir"]).arg(&out).env("OPENAI_API_KEY", secret);
    let mut head = run.args(["--", &agent, "sleep"]).spawn()?;
    head.until("both run", READY, |_| procs::agents(bed.folder()).len() == 2)?;
    for (_, proc) in procs::agents(bed.folder()) {
        ensure!(proc.env("OPENAI_API_KEY").as_deref() == Some(secret), "the agent has it");
    }
    let run = bed.list()?[0]["run"].as_str().context("a run")?.to_owned();
    for args in [vec!["status", &run, "--output", "json"], vec!["list", "--output", "json"]] {
        let output = bed.a2arun(args).run()?;
        ensure!(!a2arun_e2e::bed::both(&output).contains(secret), "{}", output.describe());
    }
    for proc in procs::of_folder(bed.folder()) {
        ensure!(!proc.args.contains(secret), "in the arguments of {proc:?}");
    }
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    let mut found = Vec::new();
    containing(bed.folder(), secret, &mut found);
    ensure!(found.is_empty(), "{found:?}");
    bed.finish()
}

#[test]
fn the_ca_key_is_private_and_hosts_do_not_get_it() -> Result<()> {
    let bed = Bed::with_hosts("cakey", 1)?;
    let mode = fs::metadata(bed.trust().join("ca.key"))?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "ca.key has mode {mode:o}");
    let host = bed.host_trust(1);
    ensure!(
        host.join("ca.pem").exists()
            && host.join("host.pem").exists()
            && host.join("host.key").exists()
    );
    ensure!(!host.join("ca.key").exists(), "a host has the CA's key");
    let mode = fs::metadata(host.join("host.key"))?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "host.key has mode {mode:o}");
    bed.finish()
}
