//! Who runs where: what `plan` says before is what agents of real runs print, over a few dozen jobs
//! on this machine and on four hosts.

use std::collections::BTreeMap;

use a2arun_e2e::bed::Bed;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

const RUNS: u64 = 30;

/// Numbers that look random and are the same every time (Knuth's MMIX generator).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.next(from.len() as u64)).unwrap_or(0)]
    }
}

/// A job of short tasks, each of which prints where it is.
fn job(numbers: &mut Numbers) -> String {
    let count = 1 + numbers.next(4);
    let mut text = "agents:\n".to_owned();
    for n in 0..count {
        let replicas =
            numbers.pick(&["", "", ", replicas: 2", ", replicas: 3", ", replicas: auto"]);
        let place = match n {
            0 => "",
            _ => numbers.pick(&[
                "",
                "",
                "",
                ", placement: {spread: host}",
                ", depends_on: {a0: started}",
            ]),
        };
        text.push_str(&format!(
            "  - {{id: a{n}, protocol: none, command: [sh, -c, 'echo map $A2ARUN_RANK \
             $AGENT_ID[$A2ARUN_INDEX] $A2ARUN_NODE $A2ARUN_SIZE']{replicas}{place}}}\n"
        ));
    }
    let rest: Vec<String> = (1..count).map(|n| format!("a{n}")).collect();
    let rest = rest.join(", ");
    let topology = match numbers.next(3) {
        0 => "{type: mesh}".to_owned(),
        1 => format!("{{type: hub-spoke, hub: a0, spokes: [{rest}]}}"),
        _ => return text,
    };
    let strategy = numbers.pick(&["staged", "parallel", "sequential", "top-down"]);
    format!("{text}topology: {topology}\ndeployment: {{strategy: {strategy}}}\n")
}

fn options(numbers: &mut Numbers, on_hosts: bool) -> Vec<String> {
    let mut words = Vec::new();
    if on_hosts {
        words.extend(["--map-by", numbers.pick(&["slot", "node", "span"])]);
        if numbers.next(3) == 0 {
            words.extend(["-N", "6"]);
        }
    }
    match numbers.next(4) {
        0 => words.extend(["-np", numbers.pick(&["6", "9", "12"])]),
        1 => words.extend(["--scale", numbers.pick(&["a0=2", "a0=4"])]),
        _ => {}
    }
    words.into_iter().map(str::to_owned).collect()
}

type Map = BTreeMap<u64, (String, String)>;

fn planned(plan: &Value) -> Result<Map> {
    let entry = |i: &Value| {
        let text = |key: &str| i[key].as_str().map(str::to_owned);
        Some((i["rank"].as_u64()?, (text("name")?, text("host")?)))
    };
    let all = plan["instances"].as_array().context("instances")?;
    all.iter().map(|i| entry(i).context("an instance")).collect()
}

fn printed(stdout: &str, size: u64) -> Result<Map> {
    let mut map = Map::new();
    for line in stdout.lines().filter_map(|line| Some(line.split_once("] map ")?.1)) {
        let words: Vec<&str> = line.split(' ').collect();
        let [rank, name, node, of] = words.as_slice() else { anyhow::bail!("{line}") };
        ensure!(of.parse() == Ok(size), "{line}: {size}");
        let before = map.insert(rank.parse()?, ((*name).to_owned(), (*node).to_owned()));
        ensure!(before.is_none(), "rank {rank} ran twice");
    }
    Ok(map)
}

#[test]
fn what_is_planned_is_what_runs() -> Result<()> {
    let bed = Bed::with_hosts("maps", 4)?;
    let mut numbers = Numbers(2026);
    let (mut ran, mut on_several) = (0, 0);
    for n in 0..RUNS {
        let text = job(&mut numbers);
        let job = bed.job(&format!("map{n}"), &text)?;
        let on_hosts = n % 3 != 0;
        let options = options(&mut numbers, on_hosts);
        let run = |verb: &[&str]| {
            let run = if on_hosts { bed.a2arun_on_hosts(verb) } else { bed.a2arun(verb) };
            run.args(&options).arg(&job)
        };
        // --trust is nothing that plan needs, and nothing that it minds.
        let plan = run(&["--dry-run", "--output", "json"]).run()?;
        let verb = if on_hosts {
            bed.a2arun(["plan", "--output", "json", "--hostfile"]).arg(bed.hostfile())
        } else {
            bed.a2arun(["plan", "--output", "json"])
        };
        let by_verb = verb.args(&options).arg(&job).run()?;
        ensure!(by_verb.code == plan.code && by_verb.stdout == plan.stdout, "{}", plan.describe());
        let done = run(&[]).run()?;
        if plan.code != 0 {
            ensure!(done.code == plan.code, "{}\n{}", plan.describe(), done.describe());
            continue;
        }
        done.expect_code(0)?;
        let plan = plan.json()?;
        let wanted = planned(&plan)?;
        let size = plan["size"].as_u64().context("size")?;
        let got = printed(&done.stdout, size)?;
        ensure!(got == wanted, "{text}{options:?}\n{wanted:?}\n{got:?}");
        ran += 1;
        let hosts: std::collections::BTreeSet<&String> = wanted.values().map(|(_, h)| h).collect();
        on_several += u32::from(hosts.len() > 1);
    }
    ensure!(ran >= 20 && on_several >= 10, "{ran} ran, {on_several} on several hosts");
    bed.finish()
}
