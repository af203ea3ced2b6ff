//! A job that is asked: its answer is what it was for.

use std::fs;

use a2arun_e2e::bed::{Bed, repository};
use anyhow::{Result, ensure};

#[test]
fn a_job_is_asked_and_ends_with_its_answer() -> Result<()> {
    let bed = Bed::new("question")?;
    let job = repository().join("jobs/examples/simple-weather.yaml");
    let asked = bed.a2arun(["--query", "Tokyo, coming from Oslo?"]).arg(&job).run()?;
    asked.expect_code(0)?;
    ensure!(asked.stdout.starts_with("weather: Tokyo: 19 degrees"), "{}", asked.describe());
    ensure!(asked.stdout.contains("maps: Tokyo to Oslo: 8406 km."), "{}", asked.describe());
    ensure!(!asked.stdout.contains('['), "the answer alone: {}", asked.stdout);
    bed.nothing_runs()?;
    let asked = bed.a2arun(["--query", "Lima?", "--output", "json"]).arg(&job).run()?;
    asked.expect_code(0)?;
    let result = asked.json()?;
    ensure!(result["result"] == "completed", "{result}");
    ensure!(result["answer"].as_str().unwrap_or_default().contains("Lima: 17"), "{result}");
    let job = bed.job(
        "input",
        "\
agents:
  - {id: w, command: ['{agent}', serve], config: {port: auto}}
execution: {entry_point: w, input: 'are you there?'}
",
    )?;
    let asked = bed.a2arun([&job]).run()?;
    asked.expect_code(0)?;
    ensure!(asked.stdout.contains("are you there?"), "{}", asked.describe());
    let job = bed.job(
        "mute",
        "agents: [{id: w, command: [sleep, '1000'], protocol: none, lifecycle: service}]\n",
    )?;
    let asked = bed.a2arun(["--query", "x"]).arg(&job).run()?;
    asked.expect_code(65)?.expect_stderr(&["nobody in this job can be asked"])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_question_is_answered_or_the_command_fails() -> Result<()> {
    let bed = Bed::new("unanswered")?;
    // A task that is done long before does not end a job that was started to be asked.
    let job = bed.job(
        "mixed",
        "\
agents:
  - {id: w, command: ['{agent}', serve, --start-ms, '300'], config: {port: auto}}
  - {id: t, command: ['true'], protocol: none}
",
    )?;
    let asked = bed.a2arun(["--query", "are you there?"]).arg(&job).run()?;
    asked.expect_code(0)?;
    ensure!(asked.stdout.contains("are you there?"), "{}", asked.describe());
    // Whoever is asked leaves without a word, as if all were well.
    let leaves = "\
import http.server, os
class Leaves(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)
    def do_POST(self):
        os._exit(0)
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Leaves).serve_forever()
";
    fs::write(bed.folder().join("jobs/leaves.py"), leaves)?;
    let job = bed.job(
        "leaves",
        "agents: [{id: w, command: [python3, leaves.py], workdir: ., config: {port: auto}}]\n",
    )?;
    // Or as if not: its end is the cause then, not the connection that broke with it.
    let crash = leaves.replace("_exit(0)", "_exit(5)");
    fs::write(bed.folder().join("jobs/crash.py"), crash)?;
    let text =
        "agents: [{id: w, command: [python3, crash.py], workdir: ., config: {port: auto}}]\n";
    let asked = bed.a2arun(["--query", "x"]).arg(&bed.job("crash", text)?).run()?;
    asked.expect_code(5)?.expect_stderr(&["w[0] on", "exited with 5"])?;
    ensure!(!asked.stderr.contains("before it was ready"), "{}", asked.describe());
    let asked = bed.a2arun(["--query", "are you there?", "--output", "json"]).arg(&job).run()?;
    ensure!(asked.code != 0, "{}", asked.describe());
    let result = asked.json()?;
    ensure!(result["result"] == "failed" && result["answer"].is_null(), "{result}");
    ensure!(result["first_cause"]["why"].is_string(), "{result}");
    bed.nothing_runs()?;
    bed.finish()
}
