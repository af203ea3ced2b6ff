//! The test suite's agent: one small program that behaves as badly as it is told to.
//!
//! `testagent MODE [ARGS]`; see `MODES`. Rank, port and peers come from a2arun's environment.
#![expect(clippy::print_stdout, reason = "an agent prints")]
#![expect(clippy::print_stderr, reason = "an agent prints")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use a2arun_e2e::wait::pause;
use a2arun_e2e::{http, lines};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigHandler, Signal, signal};
use serde_json::{Value, json};

const MODES: &str = "\
serve [--start-ms N] [--no-card] [--children N] [--die-after MS CODE] [--bind ADDR] [--card-url URL]
      [--in-use-once] [--deaf-while FILE] [--hup]   HTTP, card, JSON-RPC on $PORT
peers-task               prints its peers file, waits for it to change, prints it again
crash CODE [MS]          exits with CODE after MS
ignore-term              stays when told to end
setsid-children N        N children in sessions of their own that ignore SIGTERM, then waits
flood LINES SIZE [fd]    numbered, checksummed lines as fast as they go (fd 1 or 2)
rate PER_SECOND SIZE FILE   the same at a rhythm, until FILE exists; then exits with rank % 8
half-lines               parts of lines with pauses, and no newline at the end
invalid-utf8             bytes that are no text
listen-elsewhere         listens on $PORT + 1 only
exit-before-ready CODE   ends before it listens
never-ready              runs and never listens
hold-port ADDR PORT      takes a port and says so
echo-stdin               copies standard input
both-streams             one line to each stream
env                      prints its environment, sorted
sleep [MS]               waits";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("testagent: {error:#}");
            ExitCode::from(99)
        }
    }
}

fn run(args: &[&str]) -> Result<u8> {
    match args {
        ["serve", options @ ..] => serve(options),
        ["crash", code, rest @ ..] => {
            pause(Duration::from_millis(rest.first().map_or(Ok(0), |ms| ms.parse())?));
            eprintln!("crashing with {code}");
            Ok(code.parse()?)
        }
        ["ignore-term"] => {
            ignore_term();
            println!("ignoring SIGTERM");
            forever()
        }
        ["setsid-children", count] => {
            start_children(count.parse()?)?;
            println!("children started");
            forever()
        }
        ["child-in-own-session"] => {
            ignore_term();
            nix::unistd::setsid()?;
            println!("ready");
            forever()
        }
        ["flood", count, size, rest @ ..] => flood(count.parse()?, size.parse()?, rest == ["2"]),
        ["rate", per_second, size, until] => {
            rate(per_second.parse()?, size.parse()?, until.as_ref())
        }
        ["half-lines"] => half_lines(),
        ["invalid-utf8"] => {
            print_bytes(b"before\nbad \xff\xfe bytes \xc3\nafter\n")?;
            Ok(0)
        }
        ["listen-elsewhere"] => {
            let listener = TcpListener::bind((bind_host(), port()? + 1))?;
            println!("listening on {}", listener.local_addr()?);
            accept(&listener, &json!({}))
        }
        ["exit-before-ready", code] => {
            eprintln!("no configuration: giving up");
            Ok(code.parse()?)
        }
        ["never-ready"] => {
            println!("thinking about it");
            forever()
        }
        ["hold-port", address, port] => {
            let _held = TcpListener::bind((*address, port.parse::<u16>()?))?;
            println!("holding");
            forever()
        }
        ["peers-task"] => peers_task(),
        ["echo-stdin"] => {
            let copied = std::io::copy(&mut std::io::stdin(), &mut std::io::stdout())?;
            println!("end of input after {copied} bytes");
            Ok(0)
        }
        ["both-streams"] => {
            println!("to stdout");
            eprintln!("to stderr");
            Ok(0)
        }
        ["env"] => {
            let mut all: Vec<_> = std::env::vars().collect();
            all.sort();
            all.iter().for_each(|(name, value)| println!("{name}={value}"));
            Ok(0)
        }
        ["sleep"] => forever(),
        ["sleep", ms] => {
            pause(Duration::from_millis(ms.parse()?));
            Ok(0)
        }
        _ => bail!("usage: testagent MODE\n{MODES}"),
    }
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn rank() -> u32 {
    env("A2ARUN_RANK").parse().unwrap_or(0)
}

fn port() -> Result<u16> {
    env("PORT").parse().with_context(|| format!("PORT={:?}", env("PORT")))
}

fn bind_host() -> String {
    let host = env("A2A_BIND_HOST");
    if host.is_empty() { "127.0.0.1".to_owned() } else { host }
}

fn forever() -> ! {
    loop {
        pause(Duration::from_secs(3600));
    }
}

#[expect(unsafe_code, reason = "ignoring a signal has no safe form")]
fn ignore_term() {
    // SAFETY: SIG_IGN is no handler, so no code of ours runs in signal context.
    let _ = unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) };
}

fn start_children(count: u32) -> Result<()> {
    for _ in 0..count {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("child-in-own-session")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("piped")?).read_line(&mut line)?;
    }
    Ok(())
}

fn print_bytes(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

fn flood(count: u64, size: usize, to_stderr: bool) -> Result<u8> {
    let mut out: Box<dyn Write> =
        if to_stderr { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
    let mut block = Vec::with_capacity(1 << 16);
    for seq in 0..count {
        block.extend_from_slice(lines::make(rank(), seq, size).as_bytes());
        block.push(b'\n');
        if block.len() > (1 << 16) - 2 * size.max(64) {
            out.write_all(&block)?;
            block.clear();
        }
    }
    block.extend_from_slice(lines::make_end(rank(), count).as_bytes());
    block.push(b'\n');
    out.write_all(&block)?;
    out.flush()?;
    Ok(0)
}

fn rate(per_second: u32, size: usize, until: &Path) -> Result<u8> {
    let start = Instant::now();
    let gap = Duration::from_secs(1) / per_second.max(1);
    let mut seq = 0;
    // The end is staggered, so that exits fall between kills.
    while !until.exists() {
        print_bytes(format!("{}\n", lines::make(rank(), seq, size)).as_bytes())?;
        seq += 1;
        let due = gap * u32::try_from(seq).unwrap_or(u32::MAX);
        pause(due.saturating_sub(start.elapsed()));
    }
    for _ in 0..rank() * 4 {
        print_bytes(format!("{}\n", lines::make(rank(), seq, size)).as_bytes())?;
        seq += 1;
        pause(gap);
    }
    print_bytes(format!("{}\n", lines::make_end(rank(), seq)).as_bytes())?;
    Ok(u8::try_from(rank() % 8)?)
}

fn half_lines() -> Result<u8> {
    for round in 0..5 {
        for part in ["one ", "two ", "three\n"] {
            print_bytes(format!("{round}-{part}").as_bytes())?;
            pause(Duration::from_millis(30));
        }
    }
    print_bytes(b"no newline at the end")?;
    Ok(0)
}

fn serve(options: &[&str]) -> Result<u8> {
    let (mut card, mut card_url, mut bind, mut deaf) = (true, None, bind_host(), None);
    let mut options = options.iter();
    let number = |options: &mut std::slice::Iter<'_, &str>| -> Result<u64> {
        Ok(options.next().context("an option wants a number")?.parse()?)
    };
    while let Some(option) = options.next() {
        match *option {
            "--start-ms" => pause(Duration::from_millis(number(&mut options)?)),
            "--no-card" => card = false,
            "--bind" => bind = (*options.next().context("--bind wants an address")?).to_owned(),
            "--card-url" => card_url = options.next().copied(),
            "--in-use-once" if env("A2ARUN_INCARNATION") == "1" => {
                eprintln!("OSError: [Errno 98] Address already in use");
                return Ok(1);
            }
            "--in-use-once" => {}
            "--deaf-while" => deaf = options.next().copied(),
            "--hup" => tell_hups()?,
            "--ignore-term" => ignore_term(),
            "--children" => start_children(u32::try_from(number(&mut options)?)?)?,
            "--die-after" => {
                let after = Duration::from_millis(number(&mut options)?);
                let code = i32::try_from(number(&mut options)?)?;
                std::thread::spawn(move || die(after, code));
            }
            other => bail!("unknown option {other}"),
        }
    }
    let card = if card { card_text(card_url) } else { Value::Null };
    if let Some(file) = deaf {
        return listen_unless(Path::new(file), &bind, &card);
    }
    let listener = TcpListener::bind((bind, port()?))?;
    println!("listening on {}", listener.local_addr()?);
    accept(&listener, &card)
}

/// Listens but while `file` exists.
fn listen_unless(file: &Path, bind: &str, card: &Value) -> Result<u8> {
    let card = card.to_string();
    loop {
        let listener = TcpListener::bind((bind, port()?))?;
        listener.set_nonblocking(true)?;
        println!("listening on {}", listener.local_addr()?);
        while !file.exists() {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    let card = card.clone();
                    std::thread::spawn(move || answer(stream, &card));
                }
                Err(_) => pause(Duration::from_millis(5)),
            }
        }
        drop(listener);
        println!("deaf");
        while file.exists() {
            pause(Duration::from_millis(5));
        }
    }
}

/// Prints the peers file at each SIGHUP.
fn tell_hups() -> Result<()> {
    let mut hup = nix::sys::signal::SigSet::empty();
    hup.add(Signal::SIGHUP);
    // Before any other thread is there: all of them inherit it.
    hup.thread_block()?;
    std::thread::spawn(move || {
        while hup.wait().is_ok() {
            println!("hup: {}", peers_line());
        }
    });
    Ok(())
}

fn peers_line() -> String {
    let text = std::fs::read_to_string(env("A2ARUN_PEERS_FILE")).unwrap_or_default();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    json.to_string()
}

fn peers_task() -> Result<u8> {
    let first = peers_line();
    println!("peers: {first}");
    while peers_line() == first {
        pause(Duration::from_millis(5));
    }
    println!("changed: {}", peers_line());
    Ok(0)
}

#[expect(clippy::exit, reason = "an agent that dies does so from any thread")]
fn die(after: Duration, code: i32) {
    pause(after);
    eprintln!("dying with {code}");
    std::process::exit(code);
}

fn card_text(url: Option<&str>) -> Value {
    let url = url.map_or_else(|| env("A2A_PUBLIC_URL"), str::to_owned);
    json!({
        "name": env("AGENT_ID"), "description": "a test agent", "version": "1.0.0", "url": url,
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "capabilities": {}, "skills": [{"id": "echo", "name": "echo", "description": "echo", "tags": []}],
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
    })
}

fn accept(listener: &TcpListener, card: &Value) -> Result<u8> {
    let card = card.to_string();
    for stream in listener.incoming() {
        let (stream, card) = (stream?, card.clone());
        let builder = std::thread::Builder::new().stack_size(128 << 10);
        builder.spawn(move || answer(stream, &card))?;
    }
    Ok(0)
}

/// One request per connection.
fn answer(mut stream: TcpStream, card: &str) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split(' ');
    let (status, text) = match (words.next(), words.next()) {
        (Some("GET"), Some("/.well-known/agent-card.json")) if card != "null" => {
            ("200 OK", card.to_owned())
        }
        (Some("GET"), Some("/pid")) => ("200 OK", std::process::id().to_string()),
        (Some("POST"), Some("/peers")) => {
            println!(
                "told: {}",
                String::from_utf8_lossy(&body).split_whitespace().collect::<String>()
            );
            ("204 No Content", String::new())
        }
        (Some("POST"), _) => ("200 OK", rpc(&body)),
        _ => ("404 Not Found", String::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n");
    let rest = format!("Content-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
    stream.write_all((head + &rest).as_bytes())?;
    Ok(())
}

/// Echoes with its own name; "ask-peers" is passed on to every connected agent.
fn rpc(body: &[u8]) -> String {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = request["params"]["message"]["parts"][0]["text"].as_str().unwrap_or_default();
    let me = format!("{}[{}]@{}", env("AGENT_ID"), env("A2ARUN_INDEX"), env("A2ARUN_NODE"));
    let said = if text == "ask-peers" {
        let peers = env("CONNECTED_AGENTS");
        let asked = peers.split(',').filter(|url| !url.is_empty()).map(|url| {
            http::ask(url, "hello").unwrap_or_else(|error| format!("failed: {error:#}"))
        });
        asked.collect::<Vec<_>>().join("\n")
    } else {
        format!("{me}: {text}")
    };
    let parts = json!([{"text": said, "kind": "text"}]);
    let result = if request["method"] == "message/send" {
        json!({"kind": "message", "messageId": "1", "role": "agent", "parts": parts})
    } else {
        json!({"message": {"messageId": "1", "role": "ROLE_AGENT", "parts": parts}})
    };
    json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string()
}
