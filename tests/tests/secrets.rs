//! P9, readers: a secret that an agent prints is starred out wherever a2arun shows or writes it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use a2arun_e2e::bed::{Bed, both};
use anyhow::{Result, ensure};

const LIMIT: Duration = Duration::from_secs(30);

/// Of a file, of an env_file, by its name, and of a file with two lines.
const VALUES: [&str; 4] = [
    "from-a-file-7f3a",
    "from-an-env-file-91",
    "by-its-name-55c2",
    "line-one-of-it\nline-two-of-it",
];

/// Prints every value, the first in two pieces that are read apart: between them it waits for the
/// file `go`, which is made when the first piece was seen.
const LEAK: &str = r#"
import os, sys, time
first, second = os.environ["A_TOKEN"][:9], os.environ["A_TOKEN"][9:]
os.write(1, f"half is here\n{first}".encode())
while not os.path.exists("go"):
    time.sleep(0.01)
os.write(1, f"{second}\nfile {os.environ['FROM_FILE']} end\n".encode())
os.write(1, f"name {os.environ['MY_API_KEY']} end\nlines {os.environ['B_SECRET']} end\n".encode())
os.write(1, b"short ab12 stays, 4096 stays\n")
os.write(2, f"failed with {os.environ['A_TOKEN']}".encode())
sys.exit(3)
"#;

const JOB: &str = r#"
agents:
  - id: leak
    command: [python3, leak.py]
    workdir: .
    protocol: none
    env_file: [leak.env]
    environment:
      A_TOKEN: {secret: {file: token}}
      B_SECRET: {secret: {file: lines}}
      C_TOKEN: {secret: {cmd: [printf, of-a-command]}}
      MY_API_KEY: by-its-name-55c2
      MAX_TOKENS: 4096
"#;

/// A bed with the job and everything it reads.
fn leaking(name: &str) -> Result<(Bed, std::path::PathBuf)> {
    let bed = Bed::new(name)?;
    let folder = bed.folder().join("jobs");
    fs::write(folder.join("leak.py"), LEAK)?;
    fs::write(folder.join("token"), format!("{}\n", VALUES[0]))?;
    fs::write(folder.join("leak.env"), format!("FROM_FILE={}\nSHORT=ab12\n", VALUES[1]))?;
    fs::write(folder.join("lines"), format!("{}\n", VALUES[3]))?;
    let job = bed.job("leak", JOB)?;
    Ok((bed, job))
}

fn clean(what: &str, text: &str) -> Result<()> {
    for part in VALUES.iter().flat_map(|value| value.split('\n')) {
        ensure!(!text.contains(part), "{what} shows {part}:\n{text}");
    }
    ensure!(!text.contains("from-a-fi"), "{what} shows the half of a value:\n{text}");
    Ok(())
}

/// Every file below a folder.
fn clean_files(folder: &Path) -> Result<u32> {
    let mut seen = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            seen += clean_files(&path)?;
        } else if path.is_file() {
            clean(&path.display().to_string(), &String::from_utf8_lossy(&fs::read(&path)?))?;
            seen += 1;
        }
    }
    Ok(seen)
}

const LINES: [&str; 5] = [
    "[0 leak@", // the tag; the host's name is the machine's
    "file ****** end",
    "name ****** end",
    "lines ****** end",
    "short ab12 stays, 4096 stays",
];

#[test]
fn p9_a_secret_that_is_printed_is_shown_and_written_nowhere() -> Result<()> {
    let (bed, job) = leaking("masked")?;
    let out = bed.folder().join("out");
    let mut head = bed.a2arun(["--output-dir"]).arg(&out).arg(&job).spawn()?;
    // One write, so the half has come with the line before it.
    head.until_stdout("half is here", LIMIT)?;
    clean("the head, half way", &head.stdout())?;
    fs::write(bed.folder().join("jobs/go"), "")?;
    let output = head.wait(LIMIT)?;
    output.expect_code(3)?;
    clean("the head", &both(&output))?;
    for line in LINES {
        ensure!(output.stdout.contains(line), "{line}: {}", output.describe());
    }
    ensure!(
        output.stdout.contains("] ******\n"),
        "both halves are one value: {}",
        output.describe()
    );
    // On stderr as a line, and in the block of its last lines.
    let failed = output.stderr.matches("failed with ******").count();
    ensure!(failed == 2, "{failed}: {}", output.describe());

    let written = fs::read_to_string(out.join("leak.0.out"))?;
    ensure!(written.starts_with("half is here\n******\nfile ****** end\n"), "{written}");
    ensure!(fs::read_to_string(out.join("leak.0.err"))? == "failed with ******");
    ensure!(fs::read_to_string(out.join("result.json"))?.contains("failed with ******"));
    ensure!(clean_files(&out)? == 3);
    ensure!(clean_files(&bed.folder().join("st"))? >= 3, "the run's own folder");
    bed.finish()
}

#[test]
fn p9_logs_in_another_shell_masks_what_can_be_known_again() -> Result<()> {
    let (bed, job) = leaking("masklogs")?;
    fs::write(bed.folder().join("jobs/go"), "")?;
    let head = bed.a2arun([&job]).env("OUR_API_KEY", "only-in-that-shell").run()?;
    head.expect_code(3)?;
    for format in [&["logs", "leak"][..], &["logs", "leak", "--output", "jsonl"]] {
        let output = bed.a2arun(format).run()?;
        output.expect_code(0)?;
        clean("logs", &both(&output))?;
        ensure!(output.stdout.contains("name ****** end"), "{}", output.describe());
        let unknown = "not known in this shell, so not masked: $OUR_API_KEY, the output of printf";
        ensure!(output.stderr.contains(unknown), "{}", output.describe());
    }
    // What is gone cannot be masked, and that is said.
    fs::remove_file(bed.folder().join("jobs/token"))?;
    let output = bed.a2arun(["logs", "leak", "--stderr"]).run()?;
    ensure!(output.stdout.contains(VALUES[0]) || output.stderr.contains(VALUES[0]));
    ensure!(output.stderr.contains("jobs/token"), "{}", output.describe());
    bed.finish()
}

#[test]
fn p9_answers_events_and_reasons_show_no_secret() -> Result<()> {
    let bed = Bed::new("maskask")?;
    let text = "\
agents:
  - id: w
    command: ['{agent}', serve, --card-url, 'http://by-its-name-55c2.example/']
    config: {port: auto}
    environment: {MY_API_KEY: by-its-name-55c2}
";
    let job = bed.job("maskask", text)?;
    let asked = bed.a2arun(["--query", "is it by-its-name-55c2 ?"]).arg(&job).run()?;
    asked.expect_code(0)?;
    ensure!(asked.stdout.contains("is it ****** ?"), "{}", asked.describe());
    ensure!(asked.stderr.contains("its card says http://******"), "{}", asked.describe());
    clean("the head", &both(&asked))?;
    let events = bed.a2arun(["events", "maskask", "--output", "jsonl"]).run()?;
    ensure!(events.stdout.contains("is it ****** ?"), "{}", events.describe());
    clean("events", &both(&events))?;
    ensure!(clean_files(&bed.folder().join("st"))? >= 3, "the run's own folder");

    let (bed2, job) = leaking("maskwhy")?;
    fs::write(bed2.folder().join("jobs/go"), "")?;
    bed2.a2arun([&job]).run()?.expect_code(3)?;
    let why = bed2.a2arun(["why", "leak"]).run()?;
    ensure!(why.stdout.contains("failed with ******"), "{}", why.describe());
    clean("why", &both(&why))?;
    bed2.finish()?;
    bed.finish()
}

#[test]
fn a_job_without_secrets_is_shown_byte_for_byte() -> Result<()> {
    let bed = Bed::new("unmasked")?;
    let out = bed.folder().join("out");
    let run = bed.a2arun(["-np", "1", "--output-dir"]).arg(&out);
    let run = run.args(["--", "printf", "a ****** b\\n\\000\\377 tail"]).run()?;
    run.expect_code(0)?;
    ensure!(fs::read(out.join("printf.0.out"))? == b"a ****** b\n\0\xff tail");
    bed.finish()
}

/// Answers questions and nothing else, with its key in the answer, in two writes.
const CHATTY: &str = r#"
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
key = os.environ["MY_API_KEY"]
class Agent(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"response": f"the key is {key} here"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("stderr has", key, file=sys.stderr, flush=True)
HTTPServer((os.environ["A2A_BIND_HOST"], int(os.environ["PORT"])), Agent).serve_forever()
"#;

const CHATTY_JOB: &str = r#"
agents:
  - id: chatty
    command: [python3, chatty.py]
    workdir: .
    config: {port: auto}
    environment: {MY_API_KEY: by-its-name-55c2}
"#;

#[test]
fn p9_an_answer_and_a_reason_show_no_secret() -> Result<()> {
    let bed = Bed::new("answers")?;
    fs::write(bed.folder().join("jobs/chatty.py"), CHATTY)?;
    let job = bed.job("chatty", CHATTY_JOB)?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("chatty is ready after", LIMIT)?;
    // A server that knows no GET has no card, which is found out with one look.
    let looked = head.stderr().matches("GET /.well-known/").count();
    ensure!(looked == 3, "{looked} requests: {}", head.stderr());
    for args in [&["why", "chatty/0"][..], &["why", "chatty/0", "--output", "json"]] {
        let output = bed.a2arun(args).run()?;
        output.expect_code(0)?;
        clean("why", &both(&output))?;
        ensure!(output.stdout.contains("stderr has ******"), "{}", output.describe());
    }
    for args in [
        &["query", "chatty", "what is it?"][..],
        &["query", "chatty", "what is it?", "--output", "json"],
        &["query", "chatty", "what is it?", "--raw"],
    ] {
        let output = bed.a2arun(args).run()?;
        output.expect_code(0)?;
        clean("an answer", &both(&output))?;
        ensure!(output.stdout.contains("the key is ****** here"), "{}", output.describe());
    }
    bed.a2arun(["stop", "chatty"]).run()?.expect_code(0)?;
    head.wait(LIMIT)?;
    let asked = bed.a2arun(["--query", "what is it?"]).arg(&job).run()?;
    asked.expect_code(0)?;
    clean("the job's own answer", &both(&asked))?;
    ensure!(asked.stdout.contains("the key is ****** here"), "{}", asked.describe());
    ensure!(clean_files(&bed.folder().join("st"))? >= 3, "results and journals");
    bed.finish()
}
