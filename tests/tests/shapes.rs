//! What verbs print for scripts has exactly the keys that docs/design/json.md says, in its order.

use std::fs;
use std::iter::Peekable;
use std::str::Chars;
use std::time::Duration;

use a2arun_e2e::bed::{Bed, repository};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(20);

/// A shape as the page writes it.
#[derive(Debug)]
enum Shape {
    /// `…` at its end: there may be more keys.
    Map(Vec<(String, Shape)>, bool),
    List(Option<Box<Shape>>),
    Any,
}

/// The shape behind the name of a verb.
fn shape(page: &str, name: &str) -> Result<Shape> {
    let start = format!("\n`{name}`: `");
    let (_, rest) =
        page.split_once(&start).with_context(|| format!("{name} is not on the page"))?;
    let (text, _) = rest.split_once('`').context("a shape ends")?;
    let mut chars = text.chars().peekable();
    let shape = read(&mut chars).with_context(|| format!("{name}: {text}"))?;
    let left: String = chars.collect();
    ensure!(left.is_empty(), "{name}: behind the shape: {left}");
    Ok(shape)
}

fn read(chars: &mut Peekable<Chars<'_>>) -> Result<Shape> {
    skip(chars);
    match chars.peek() {
        Some('{') => {
            chars.next();
            let (mut keys, mut more) = (Vec::new(), false);
            loop {
                skip(chars);
                match chars.next().context("a map ends")? {
                    '}' => return Ok(Shape::Map(keys, more)),
                    '…' => more = true,
                    ',' => {}
                    '"' => {
                        let key: String = chars.by_ref().take_while(|c| *c != '"').collect();
                        skip(chars);
                        let value = match chars.next_if_eq(&':') {
                            Some(_) => read(chars)?,
                            None => Shape::Any,
                        };
                        keys.push((key, value));
                    }
                    other => bail!("`{other}` in a map"),
                }
            }
        }
        Some('[') => {
            chars.next();
            let mut item = None;
            loop {
                skip(chars);
                match chars.peek().context("a list ends")? {
                    ']' => {
                        chars.next();
                        return Ok(Shape::List(item));
                    }
                    '…' | ',' => drop(chars.next()),
                    _ => item = Some(Box::new(read(chars)?)),
                }
            }
        }
        // A text, or one of several.
        Some('"' | '|') => {
            let bar = chars.next_if_eq(&'|');
            ensure!(chars.next() == Some('"'), "a text behind {bar:?}");
            while chars.next().context("a text ends")? != '"' {}
            if chars.peek() == Some(&'|') { read(chars) } else { Ok(Shape::Any) }
        }
        other => bail!("{other:?} is no shape"),
    }
}

fn skip(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
}

/// Null fits everywhere: what is absent is null.
fn fits(shape: &Shape, value: &Value, at: &str) -> Result<()> {
    match (shape, value) {
        (Shape::Any, _) | (_, Value::Null) => Ok(()),
        (Shape::Map(keys, _), Value::Object(_)) if keys.is_empty() => Ok(()),
        (Shape::Map(keys, more), Value::Object(map)) => {
            let said: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
            let has: Vec<&str> = map.keys().map(String::as_str).collect();
            let same = if *more { has.starts_with(&said) } else { has == said };
            ensure!(same, "{at}: the page says {said:?}, there are {has:?}");
            keys.iter().try_for_each(|(key, shape)| fits(shape, &map[key], &format!("{at}.{key}")))
        }
        (Shape::List(None), Value::Array(_)) => Ok(()),
        (Shape::List(Some(item)), Value::Array(list)) => {
            list.iter().try_for_each(|value| fits(item, value, &format!("{at}[]")))
        }
        (shape, value) => bail!("{at}: {value} is not {shape:?}"),
    }
}

const JOB: &str = "\
agents:
  - {id: w, command: ['{agent}', serve], config: {port: auto}, ports: {grpc: auto}, replicas: 2}
  - {id: hub, command: ['{agent}', serve, --card-url, 'http://0.0.0.0:1/'], config: {port: auto}}
  - {id: far, external: 'http://127.0.0.1:1', deployment: {user: x}}
  - {id: sick, command: [sleep, '1000'], lifecycle: service, liveness: {type: tcp, port: 1}, depends_on: [w]}
topology: {type: hub-spoke, hub: hub, spokes: [w, far]}
";

#[test]
fn what_scripts_get_is_what_the_page_says() -> Result<()> {
    let bed = Bed::new("shapes")?;
    let page = fs::read_to_string(repository().join("docs/design/json.md"))?;
    let job = bed.job("shapes", JOB)?;
    let job = job.to_string_lossy().into_owned();
    let check = |name: &str, args: &[&str], code: i32| -> Result<()> {
        let output = bed.a2arun(args).args(["--output", "json"]).run()?;
        let value = output.expect_code(code)?.json()?;
        let empty = value.as_array().is_some_and(Vec::is_empty);
        ensure!(!empty, "{name}: nothing is in it");
        fits(&shape(&page, name)?, &value, name)
    };
    check("plan", &["plan", &job], 0)?;
    check("validate", &["validate", "-v", &job], 0)?;
    check("graph", &["graph", &job], 0)?;
    check("env", &["env", &format!("{job}/hub")], 0)?;
    check("init", &["init"], 0)?;
    let mut head = bed.a2arun(["--continue", &job]).spawn()?;
    head.until_stderr("shapes is ready", READY)?;
    check("status", &["status", "shapes"], 0)?;
    check("list", &["list"], 0)?;
    check("why", &["why", "shapes/hub"], 0)?;
    check("env", &["env", "shapes/hub"], 0)?;
    check("query", &["query", "shapes/w", "hi"], 0)?;
    check("card", &["card", "shapes/hub"], 0)?;
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    // With ends.
    check("status", &["status", "shapes"], 0)?;

    let failed = bed.a2arun(["--output", "json", "--", "false"]).run()?;
    fits(&shape(&page, "result.json")?, &failed.expect_code(1)?.json()?, "result.json")?;
    bed.nothing_runs()?;
    bed.finish()
}

/// Each event has the common keys and those of its kind, and its kind is on the page.
#[test]
fn events_are_those_of_the_page() -> Result<()> {
    let bed = Bed::new("kinds")?;
    let page = fs::read_to_string(repository().join("docs/design/json.md"))?;
    let job = bed.job("kinds", JOB)?;
    let mut head = bed.a2arun(["--continue".as_ref(), job.as_path()]).spawn()?;
    head.until_stderr("kinds is ready", READY)?;
    // Nobody waits for a peer outside: what is wrong with it comes behind.
    head.until_stderr("✗ far", READY)?;
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    let events = bed.a2arun(["events", "kinds", "--output", "json"]).run()?;
    let events = events.expect_code(0)?.json()?;
    let events = events.as_array().context("a list")?;
    let common = shape(&page, "events")?;
    let Shape::Map(keys, true) = &common else { bail!("events are maps with more: {common:?}") };
    for event in events {
        fits(&common, event, "events")?;
        let kind = event["kind"].as_str().context("a kind")?;
        let row = page.lines().find(|l| l.starts_with('|') && cell(l, 1).contains(&quoted(kind)));
        let row = row.with_context(|| format!("{kind} is not on the page"))?;
        let more: Vec<&String> =
            event.as_object().context("a map")?.keys().skip(keys.len()).collect();
        let said = cell(row, 3);
        let listed = said.matches('`').count() / 2;
        let all = more.iter().all(|key| said.contains(&quoted(key))) && listed == more.len();
        ensure!(all, "{kind} has {more:?}, the page says {said}");
    }
    for kind in ["job", "spawned", "ready", "card", "edge-broken", "stopping", "exited"] {
        ensure!(events.iter().any(|e| e["kind"] == kind), "no {kind}: {events:?}");
    }
    bed.nothing_runs()?;
    bed.finish()
}

fn quoted(word: &str) -> String {
    format!("`{word}`")
}

/// The n-th cell of a row.
fn cell(row: &str, n: usize) -> &str {
    row.split('|').nth(n).unwrap_or_default()
}
