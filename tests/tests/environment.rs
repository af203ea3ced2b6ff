//! `a2arun env`: what it says that an agent would get is what the agent has.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use a2arun_e2e::bed::Bed;
use a2arun_e2e::run::Run;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const READY: Duration = Duration::from_secs(20);
const END: Duration = Duration::from_secs(20);

/// Every variable with its value; secrets have none.
fn variables(run: Run) -> Result<BTreeMap<String, Option<String>>> {
    let printed = run.run()?.expect_code(0)?.json()?;
    let all = printed["variables"].as_array().context("variables")?;
    let pair = |v: &serde_json::Value| {
        let value = v["value"].as_str().map(str::to_owned);
        anyhow::ensure!(value.is_none() == (v["secret"] == true), "{v}");
        Ok((v["name"].as_str().context("a name")?.to_owned(), value))
    };
    all.iter().map(pair).collect()
}

/// `wanted` with `<…>` in it fits whatever stands there.
fn fits(wanted: &str, got: &str) -> bool {
    let mut parts = Vec::new();
    let mut rest = wanted;
    while let Some((before, behind)) = rest.split_once('<') {
        parts.push(before);
        rest = behind.split_once('>').map_or("", |(_, behind)| behind);
    }
    parts.push(rest);
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if parts.len() == 1 {
        return wanted == got;
    }
    got.starts_with(first) && got.ends_with(last) && {
        let mut at = got;
        parts.iter().all(|part| match at.find(part) {
            Some(found) => {
                at = &at[found + part.len()..];
                true
            }
            None => false,
        })
    }
}

fn compare(
    wanted: &BTreeMap<String, Option<String>>,
    got: &BTreeMap<String, Option<String>>,
) -> Result<()> {
    let names = |map: &BTreeMap<String, Option<String>>| map.keys().cloned().collect::<Vec<_>>();
    ensure!(names(wanted) == names(got), "{:?}\n{:?}", names(wanted), names(got));
    for (name, wanted) in wanted {
        let same = match (wanted, &got[name]) {
            (Some(wanted), Some(got)) => fits(wanted, got),
            (wanted, got) => wanted == got,
        };
        ensure!(same, "{name}: {wanted:?} and {:?}", got[name]);
    }
    Ok(())
}

const JOB: &str = "\
env_file: [job.env]
environment: {CLUSTER: dev}
agents:
  - id: hub
    command: ['{agent}', serve]
    config: {port: auto, region: eu}
    environment: {PEERS: '$(URL_WORKER)', MY_KEY: {secret: {env: THE_KEY}}}
  - id: worker
    command: ['{agent}', serve]
    replicas: 2
    config: {port: auto}
    ports: {grpc: 23456}
topology: {type: hub-spoke, hub: hub, spokes: [worker]}
";

#[test]
fn what_is_shown_is_what_an_agent_has() -> Result<()> {
    let bed = Bed::new("env")?;
    fs::write(bed.folder().join("jobs/job.env"), "DB_URL=sk-url\n")?;
    let job = bed.job("shown", JOB)?;
    let mut head = bed.a2arun([&job]).env("THE_KEY", "sk-key").spawn()?;
    let ready = |status: &serde_json::Value| {
        let all = status["instances"].as_array().cloned().unwrap_or_default();
        all.len() == 3 && all.iter().all(|i| i["state"] == "ready")
    };
    head.until("all ready", READY, |_| bed.status("shown").is_ok_and(|s| ready(&s)))?;
    for agent in ["hub", "worker[0]", "worker[1]"] {
        let file = format!("{}/{agent}", job.display());
        let wanted = bed.a2arun(["env", &file, "--output", "json"]).env("THE_KEY", "sk-key");
        let wanted = variables(wanted)?;
        let has = variables(bed.a2arun(["env", &format!("shown/{agent}"), "--output", "json"]))?;
        compare(&wanted, &has).with_context(|| agent.to_owned())?;
        ensure!(has["DB_URL"].is_none() && has["A2ARUN_NODE"].is_some());
        ensure!(has["CLUSTER"].as_deref() == Some("dev"));
    }
    let shown = bed.a2arun(["env", "shown/hub"]).run()?;
    shown.expect_code(0)?;
    ensure!(shown.stdout.contains("MY_KEY=***\n") && !shown.stdout.contains("sk-"), "{shown:?}");
    bed.a2arun(["env", "shown/hubb"])
        .run()?
        .expect_code(64)?
        .expect_stderr(&["its agents: hub"])?;
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    let ended = bed.a2arun(["env", "shown/hub"]).run()?;
    ended.expect_code(64)?.expect_stderr(&["hub[0] has no process: it is exited"])?;
    bed.finish()
}

#[test]
fn an_agent_elsewhere_is_not_read_but_said() -> Result<()> {
    let bed = Bed::with_hosts("envhosts", 2)?;
    let job = bed
        .job("away", "agents: [{id: a, command: [env], venv: /v, replicas: 2, protocol: none}]")?;
    // What is shown of hosts is what agents on them print.
    let hosts = bed.hostfile();
    let output = bed.a2arun_on_hosts(["--map-by", "node", "-x", "MORE=1"]).arg(&job).run()?;
    output.expect_code(0)?;
    for index in 0..2 {
        let tag = format!("[{index} a@n{}] ", index + 1);
        let printed = output.lines().filter_map(|line| line.strip_prefix(tag.as_str()));
        let printed = printed.filter_map(|line| line.split_once('='));
        let has: BTreeMap<_, _> =
            printed.map(|(n, v)| (n.to_owned(), Some(v.to_owned()))).collect();
        let path = has["PATH"].as_deref().context("a PATH")?;
        let hosts_own = path.strip_prefix("/v/bin:").context("its venv comes first")?;
        ensure!(hosts_own != "/usr/local/bin:/usr/bin:/bin", "behind it is no host's own: {path}");
        let file = format!("{}/a[{index}]", job.display());
        let wanted = bed.a2arun(["env", &file, "--output", "json", "--map-by", "node"]);
        let wanted = variables(wanted.arg("--hostfile").arg(&hosts).args(["-x", "MORE=1"]))?;
        // A host need not have all of them.
        let wanted = wanted.into_iter().filter(|(name, value)| {
            has.contains_key(name) || !value.as_ref().is_some_and(|v| v.starts_with("<of "))
        });
        compare(&wanted.collect(), &has).with_context(|| tag)?;
    }
    let stays = bed.job("stays", "agents: [{id: a, command: [sleep, '600'], protocol: none}]")?;
    let mut head = bed.a2arun_on_hosts([&stays]).spawn()?;
    head.until("it runs", READY, |_| {
        bed.status("stays").is_ok_and(|s| s["instances"][0]["pid"].is_number())
    })?;
    let refused = bed.a2arun(["env", "stays/a"]).run()?;
    refused.expect_code(64)?.expect_stderr(&["a[0] runs on n1", "/environ"])?;
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.finish()
}
