//! `query` and `card`: whom they ask, what they print, what they end with, and what they do about
//! agents that answer as no SDK does.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use a2arun_e2e::bed::{Bed, repository};
use a2arun_e2e::real_agents::source;
use a2arun_e2e::{Head, Output};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const READY: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(20);

fn stop(bed: Bed, mut head: Head) -> Result<()> {
    ensure!(!head.has_ended(), "the job ended by itself");
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.nothing_runs()?;
    bed.finish()
}

fn url(bed: &Bed, job: &str, name: &str) -> Result<String> {
    let status = bed.status(job)?;
    let all = status["instances"].as_array().context("no instances")?;
    let found = all.iter().find(|i| i["name"] == name).context("no such instance")?;
    Ok(found["url"].as_str().context("no url")?.to_owned())
}

#[test]
fn whom_a_question_goes_to() -> Result<()> {
    let bed = Bed::new("whom")?;
    let text = "\
agents:
  - {id: worker, command: ['{agent}', serve], config: {port: auto}, replicas: 3}
  - {id: mute, command: [sleep, '1000']}
  - {id: hub, command: ['{agent}', serve], config: {port: auto}}
  - {id: far, external: 'http://127.0.0.1:1'}
topology: {type: hub-spoke, hub: hub, spokes: [worker, mute]}
";
    let job = bed.job("whom", text)?;
    let mut head = bed.a2arun([job]).spawn()?;
    head.until_stderr("whom is ready after", READY)?;
    let ask = |args: &[&str]| bed.a2arun(["query"]).args(args).run();
    for (args, wanted) in [
        (&["whom", "hi"][..], "hub[0]@"),
        (&["who", "hi", "--agent", "worker"], "worker[0]@"),
        (&["whom", "hi", "--agent", "worker[2]"], "worker[2]@"),
        (&["whom/worker[1]", "hi"], "worker[1]@"),
        (&["whom/2", "hi"], "worker[2]@"),
    ] {
        let output = ask(args)?;
        let said = &output.expect_code(0)?.stdout;
        ensure!(said.starts_with(wanted) && said.ends_with(": hi\n"), "{args:?}: {said}");
    }
    for (args, code, texts) in [
        (
            &["whom/nobody", "hi"][..],
            64,
            &["nothing of run whom-", "hint: its agents: worker, mute, hub"][..],
        ),
        (&["whom/worker[7]", "hi"], 64, &["is called `whom/worker[7]`"]),
        (&["whom/hub", "hi", "--agent", "hub"], 64, &["both RUN/AGENT and --agent"]),
        (&["nosuch", "hi"], 64, &["no run is called `nosuch`", "hint: a2arun list"]),
        (&["whom", "hi", "--agent", "a["], 64, &["`a[` is not of the form AGENT[I]"]),
        (&["http://127.0.0.1:1", "hi", "--agent", "hub"], 64, &["--agent names an agent of a run"]),
        (&["ftp://x", "hi"], 64, &["`ftp://x` is no URL"]),
        (&["whom"], 64, &["TEXT"]),
        (&["whom/mute", "hi"], 68, &["mute[0] of whom-", "has no URL", "hint:"]),
        (&["whom/far", "hi"], 68, &["cannot reach far", "cannot connect to 127.0.0.1:1"]),
        (&["http://127.0.0.1:1", "hi"], 68, &["Connection refused"]),
        (&["http://no-such-host.invalid", "hi"], 68, &["cannot resolve no-such-host.invalid"]),
        (&["whom", "hi", "--header", "sesame"], 64, &["NAME:VALUE"]),
        (&["whom", "hi", "--timeout", "soon"], 64, &["`soon` is no length of time"]),
    ] {
        let output = ask(args)?;
        output.expect_code(code)?.expect_stderr(texts)?;
        ensure!(output.stdout.is_empty(), "{args:?} printed {}", output.stdout);
    }
    let run = bed.status("whom")?["run"].as_str().context("no run")?.to_owned();
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    let over = ask(&[&run, "hi"])?;
    over.expect_code(68)?.expect_stderr(&["is over"])?;
    bed.finish()
}

/// A job of odd agents, one for each kind of card, and a server that is no agent.
fn odd(bed: &Bed) -> Result<Head> {
    let script = source("odd/agent.py").display().to_string();
    let mut text = "agents:\n".to_owned();
    for kind in ["good", "stream", "wild", "second", "guarded", "none", "html", "foreign"] {
        let command = format!("[python3, '{script}', --card, {kind}]");
        text.push_str(&format!("  - {{id: {kind}, command: {command}, config: {{port: auto}}}}\n"));
    }
    text.push_str("  - {id: files, command: [python3, -m, http.server, '$(PORT)', --bind, 127.0.0.1], config: {port: auto}}\n");
    let job = bed.job("odd", &text)?;
    let mut head = bed.a2arun([job]).spawn()?;
    head.until_stderr("odd is ready after", READY)?;
    Ok(head)
}

fn ask(bed: &Bed, agent: &str, text: &str, more: &[&str]) -> Result<Output> {
    bed.a2arun(["query", &format!("odd/{agent}"), text]).args(more).run()
}

#[test]
fn agents_that_answer_as_no_sdk_does() -> Result<()> {
    let bed = Bed::new("odd")?;
    let mut head = odd(&bed)?;
    for (agent, text, more, code, answer, texts) in [
        (
            "good",
            "hi",
            &[][..],
            0,
            "hi (SendMessage, 1.0, None)\n",
            &["asking http://127.0.0.1:", "--session c1 TEXT"][..],
        ),
        ("good", "hi", &["--session", "s 7"], 0, "hi (SendMessage, 1.0, s 7)\n", &[]),
        ("good", "poll", &[], 0, "done at last\n", &["on my way"]),
        ("stream", "hi", &[], 0, "hi (SendStreamingMessage, 1.0, None)\n", &[]),
        ("stream", "hi", &["--no-stream"], 0, "hi (SendMessage, 1.0, None)\n", &[]),
        ("stream", "bytes", &[], 0, "größe ✓\n", &["lookïng"]),
        ("stream", "cut", &[], 0, "done at last\n", &[]),
        // It streams how its task stands, and not what came of it.
        ("stream", "mute", &[], 0, "left in the task\n", &[]),
        ("good", "escape", &[], 0, "\u{1b}[2Jhi\u{7}\n", &[]),
        ("good", "error", &[], 1, "", &["Invalid parameters: message: not today (-32602)"]),
        ("good", "junk", &[], 1, "", &["cannot be understood"]),
        ("good", "text", &[], 1, "", &["cannot be understood", "no JSON at all"]),
        ("good", "close", &[], 68, "", &["broke off", "the connection to 127.0.0.1:"]),
        (
            "good",
            "never",
            &["--timeout", "1"],
            124,
            "",
            &["gave no answer within 1.00 s", "hint: --timeout"],
        ),
        (
            "good",
            "login",
            &[],
            77,
            "log in at http://login.example\n",
            &["auth-required", "--session c1 --task 't 1' TEXT"],
        ),
        ("good", "key", &["--header", "X-Key: sesame"], 0, "sesame\n", &[]),
        ("guarded", "key", &[], 77, "", &["answered 401", "hint: --header"]),
        ("guarded", "key", &["--header", "x-key:sesame"], 0, "sesame\n", &[]),
        (
            "wild",
            "hi",
            &[],
            0,
            "hi (SendMessage, 1.0, None)\n",
            &[
                "warning: wild[0]: its card says http://0.0.0.0:",
                "an address to bind to",
                "it is called at http://127.0.0.1:",
            ],
        ),
        (
            "second",
            "hi",
            &[],
            0,
            "hi (SendMessage, 1.0, None)\n",
            &["/absent (A2A 1.0 HTTP+JSON)", "(A2A 1.0 JSON-RPC)"],
        ),
        (
            "none",
            "hi",
            &[],
            0,
            "hi (SendMessage, 1.0, None)\n",
            &["(POST /query)", "(A2A 1.0 JSON-RPC)"],
        ),
        ("html", "hi", &[], 0, "hi (SendMessage, 1.0, None)\n", &["(A2A 1.0 JSON-RPC)"]),
        (
            "foreign",
            "hi",
            &[],
            1,
            "",
            &["the card of foreign[0] offers https://example.org/own 1.0 at http://127.0.0.1:"],
        ),
        (
            "files",
            "hi",
            &[],
            1,
            "",
            &[
                "files[0] is no agent that can be asked: no card (404 Not Found)",
                "POST /query: 501",
                "hint:",
            ],
        ),
    ] {
        let what = format!("{agent} {text} {more:?}");
        let output = ask(&bed, agent, text, more)?;
        output.expect_code(code).and_then(|o| o.expect_stderr(texts)).context(what.clone())?;
        ensure!(output.stdout == answer, "{what}: {:?}", output.stdout);
    }
    // It was looked at until it was done, and no more.
    head.until_stdout("look 3 at t 1", END)?;
    ensure!(!head.stdout().contains("look 4"), "{}", head.stdout());
    stop(bed, head)
}

#[test]
fn what_scripts_get() -> Result<()> {
    let bed = Bed::new("scripts")?;
    let head = odd(&bed)?;
    let json = ask(&bed, "good", "poll", &["--output", "json"])?;
    let json = json.expect_code(0)?.json()?;
    let url = url(&bed, "odd", "good[0]")?;
    let wanted = serde_json::json!({
        "agent": "good[0]", "url": url, "dialect": "A2A 1.0 JSON-RPC", "state": "completed",
        "session": "c1", "task": "t 1", "answer": "done at last",
    });
    ensure!(json == wanted, "{json}");
    let raw = ask(&bed, "stream", "bytes", &["--raw"])?;
    let events: Vec<serde_json::Value> =
        raw.expect_code(0)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(events.len() == 2 && events[1]["result"]["task"]["id"] == "t 1", "{events:?}");
    let quiet = ask(&bed, "good", "hi", &["--output", "quiet"])?;
    quiet.expect_code(0)?;
    ensure!(quiet.stderr.is_empty() && quiet.stdout.starts_with("hi ("), "{}", quiet.describe());
    // A key is never printed, neither in an error nor in talk.
    let key = ask(&bed, "good", "error", &["--header", "X-Key: sesame"])?;
    ensure!(!format!("{}{}", key.stdout, key.stderr).contains("sesame"), "{}", key.describe());

    let question = bed.folder().join("question");
    fs::write(&question, "from a file")?;
    let stdin = fs::File::open(&question)?;
    let asked = bed.a2arun(["query", "odd/good", "-"]).stdin(stdin).run()?;
    ensure!(asked.expect_code(0)?.stdout.starts_with("from a file ("), "{}", asked.stdout);
    let empty = bed.a2arun(["query", "odd/good", "-"]).stdin(Stdio::null()).run()?;
    empty.expect_code(64)?.expect_stderr(&["standard input has no question"])?;

    let card = bed.a2arun(["card", "odd/wild", "--output", "json"]).run()?;
    let card = card.expect_code(0)?.json()?;
    ensure!(card["format"] == "A2A 1.0" && card["interfaces"][0]["binding"] == "JSONRPC", "{card}");
    let message = card["warnings"][0]["message"].as_str().context("no warning")?;
    ensure!(message.contains("0.0.0.0") && message.contains("127.0.0.1"), "{message}");
    let card = bed.a2arun(["card", "odd/guarded"]).run()?;
    card.expect_code(77)?.expect_stderr(&["answered 401 Unauthorized"])?;
    let card = bed.a2arun(["card", "odd/guarded", "--header", "X-Key: sesame"]).run()?;
    ensure!(
        card.expect_code(0)?.stdout.contains("an API key in the header `X-Key`"),
        "{}",
        card.stdout
    );
    let none = bed.a2arun(["card", "odd/files"]).run()?;
    none.expect_code(1)?.expect_stderr(&[
        "files[0] has no card",
        "agent-card.json: 404",
        "agent-configuration: 404",
    ])?;
    let html = bed.a2arun(["card", "odd/html"]).run()?;
    html.expect_code(1)?.expect_stderr(&["the card is no JSON", "<!doctype html>"])?;
    stop(bed, head)
}

/// A card of the original's format names what its agent binds; its callers never read that.
#[test]
fn agents_of_the_original_format_are_asked_with_query() -> Result<()> {
    let bed = Bed::new("asoriginal")?;
    let text = "\
agents:
  - {id: weather, module: examples.agents.weather_agent, config: {port: auto}}
  - {id: hub, module: examples.agents.controller_agent, config: {port: auto}}
topology: {type: hub-spoke, hub: hub, spokes: [weather]}
";
    let job = bed.job("orig", text)?;
    let mut head = bed.a2arun([job]).cwd(repository().join("tests/stand-ins")).spawn()?;
    head.until_stderr("orig is ready after", READY)?;
    let asked = bed.a2arun(["query", "orig", "hi"]).run()?;
    asked.expect_code(0)?.expect_stderr(&["(POST /query)", "--session 1 TEXT"])?;
    ensure!(asked.stdout == "hub: hi\n", "{}", asked.stdout);
    stop(bed, head)
}

#[test]
fn agents_outside_are_asked_over_tls() -> Result<()> {
    let bed = Bed::new("tls")?;
    let (cert, key) = (bed.folder().join("cert.pem"), bed.folder().join("key.pem"));
    let made = bed
        .program("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=odd", "-addext"])
        .args(["subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .run()?;
    made.expect_code(0)?;
    let script = source("odd/agent.py");
    let server = bed.program("python3").arg(script).arg("--tls").arg(&cert).arg(&key);
    let mut server = server.spawn()?;
    server.until_stdout("port ", READY)?;
    let said = server.stdout();
    let port = said.trim().rsplit(' ').next().context("a port")?.to_owned();
    let url = format!("https://127.0.0.1:{port}");
    let ask = |url: &str| bed.a2arun(["query", url, "hi"]);
    let asked = ask(&url).env("SSL_CERT_FILE", &cert).run()?;
    asked.expect_code(0)?;
    ensure!(asked.stdout == "hi (SendMessage, 1.0, None)\n", "{}", asked.stdout);
    // Nobody vouches for it.
    let stranger = bed.folder().join("stranger.pem");
    let made = bed
        .program("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=other", "-keyout", "/dev/null", "-out"])
        .arg(&stranger)
        .run()?;
    made.expect_code(0)?;
    let asked = ask(&url).env("SSL_CERT_FILE", &stranger).run()?;
    asked
        .expect_code(68)?
        .expect_stderr(&["cannot speak TLS with 127.0.0.1:", "hint: SSL_CERT_FILE"])?;
    let asked = ask(&url).env("SSL_CERT_FILE", "/nonexistent").run()?;
    asked.expect_code(68)?.expect_stderr(&["cannot read certificates from /nonexistent"])?;
    server.signal(Signal::SIGINT);
    server.wait(END)?.expect_code(130)?;
    bed.finish()
}

/// A server that takes the connection and says nothing holds nobody up.
#[test]
fn who_says_nothing_is_given_up() -> Result<()> {
    let bed = Bed::new("silent")?;
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let url = format!("http://{}", listener.local_addr()?);
    for args in [&["card", &url][..], &["query", &url, "hi"]] {
        let output = bed.a2arun(args).args(["--timeout", "0.3"]).limit(END).run()?;
        output.expect_code(124)?.expect_stderr(&["gave no answer within 0.30 s"])?;
    }
    bed.finish()
}
