//! The tables in jobs/spec are made of what the readers of job files and hostfiles know.
//!
//! Between `<!-- made: WHAT -->` and `<!-- /made -->` a page has what [`made`] gives. With
//! UPDATE_PAGES=1 (scripts/generate) the pages are written, else a difference fails.

#![expect(clippy::unwrap_used, reason = "all of it is a test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use a2arun_core::hostfile;
use a2arun_core::source::{Code, Finding};
use a2arun_core::spec::render::{Style, render};
use a2arun_core::spec::{Field, FieldKind, SECTIONS, Section, Status, load};

mod examples;

use examples::{EXAMPLES, Kind};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs/spec")
}

#[expect(clippy::disallowed_methods, reason = "the pages are files of the repository")]
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages: Vec<(PathBuf, String)> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    pages.sort();
    pages
}

/// A page with everything between its markers made anew.
fn filled(page: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in page.lines() {
        let end = line == "<!-- /made -->";
        if end {
            inside = false;
        }
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
        if let Some(what) = line.strip_prefix("<!-- made: ").and_then(|l| l.strip_suffix(" -->")) {
            inside = true;
            write!(out, "\n{}\n", made(what)).unwrap();
        }
    }
    out
}

fn made(what: &str) -> String {
    match what.split_once(' ') {
        None if what == "hostkeys" => host_keys(),
        None if what == "codes" => codes(),
        Some(("fields", "(file)")) => fields(section("")),
        Some(("fields", name)) => fields(section(name)),
        _ => panic!("nobody makes `{what}`"),
    }
}

fn section(name: &str) -> &'static Section {
    SECTIONS.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no section `{name}`"))
}

fn fields(section: &Section) -> String {
    let mut out = "| key | value | default | meaning |\n|---|---|---|---|\n".to_owned();
    let mut kept = Vec::new();
    for field in section.fields {
        if field.status == Status::Reserved {
            kept.push(format!("`{}`", field.key));
            continue;
        }
        let note = match field.status {
            Status::Required => " **Required.**",
            Status::NotYet => " *Checked, not acted on yet.*",
            Status::Active | Status::Reserved => "",
        };
        let default = field.default.replace('|', "\\|");
        let (value, doc) = (value(field), field.doc.replace('|', "\\|"));
        writeln!(out, "| `{}` | {value} | {default} | {doc}.{note} |", field.key).unwrap();
    }
    if !kept.is_empty() {
        let keys = kept.join(", ");
        writeln!(out, "\nKept for later, one warning each, not looked into: {keys}.").unwrap();
    }
    out
}

fn value(field: &Field) -> String {
    let words = |words: Vec<&str>| {
        words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    };
    // Where a section has a heading, GitHub's anchor of it.
    let map = |name: &str| match SECTIONS.iter().any(|s| s.name == name) {
        true => "map, see below".to_owned(),
        false => panic!("no section `{name}`"),
    };
    match field.kind {
        FieldKind::Text => "text".to_owned(),
        FieldKind::Bool => "`true`, `false`".to_owned(),
        FieldKind::Number(min, max) => format!("{min}–{max}"),
        FieldKind::Factor => "1–1000".to_owned(),
        FieldKind::FactorOrWords(all) => format!("1–1000, or {}", words(all())),
        FieldKind::Target => {
            "`localhost`, `remote`, `container`, `kubernetes`, `host:NAME`, `container:NAME`"
                .to_owned()
        }
        FieldKind::Port => "port".to_owned(),
        FieldKind::Duration => "time".to_owned(),
        FieldKind::Bytes => "memory".to_owned(),
        FieldKind::Cpu => "CPU".to_owned(),
        FieldKind::Words(all) => words(all()),
        FieldKind::Texts => "texts".to_owned(),
        FieldKind::Command => "words".to_owned(),
        FieldKind::Replicas => "1–1000000, or `auto`".to_owned(),
        FieldKind::Agent => "id".to_owned(),
        FieldKind::Agents => "ids".to_owned(),
        FieldKind::Stages => "list of ids and of lists of ids".to_owned(),
        FieldKind::Levels => "list of maps or of lists".to_owned(),
        FieldKind::DependsOn => "ids, or a map to `started`, `ready`, `completed`".to_owned(),
        FieldKind::Environment => "map of variables".to_owned(),
        FieldKind::Config => "map; `port` is a port or `auto`".to_owned(),
        FieldKind::Ports => "map of names to ports or `auto`".to_owned(),
        FieldKind::PeersChange => "`file`, `restart`, `{signal: NAME}`, `{http: PATH}`".to_owned(),
        FieldKind::Map(name) => map(name),
        FieldKind::MapOrWords(name, all) => format!("{}, or {}", map(name), words(all())),
        FieldKind::List(name) => format!("list of {}s", map(name).replace(", see below", "")),
        FieldKind::Any => "anything".to_owned(),
    }
}

fn host_keys() -> String {
    let mut out = "| key | value | meaning |\n|---|---|---|\n".to_owned();
    for key in hostfile::KEYS {
        writeln!(out, "| `{}=` | {} | {} |", key.key, key.value, key.doc).unwrap();
    }
    out
}

fn codes() -> String {
    let mut out = String::new();
    for code in Code::ALL {
        let example = EXAMPLES.iter().find(|e| e.code == code);
        let example = example.unwrap_or_else(|| panic!("no example of `{code}`"));
        let (name, findings) = findings(example.kind, example.text);
        let of_code: Vec<Finding> = findings.into_iter().filter(|f| f.code == code).collect();
        assert!(!of_code.is_empty(), "the example of `{code}` has no such finding");
        let message = render(name, example.text, &of_code[..1], Style::Plain);
        // A control picture, because a page is a text.
        let text = example.text.replace('\0', "\u{2400}");
        writeln!(out, "## `{code}`\n\n{}.\n", capital(code.explain())).unwrap();
        let language = match example.kind {
            Kind::Job => "yaml",
            Kind::Hosts => "",
        };
        writeln!(out, "```{language}\n{}\n```\n\n```text\n{message}\n```\n", text.trim()).unwrap();
    }
    out.trim_end().to_owned() + "\n"
}

fn findings(kind: Kind, text: &str) -> (&'static str, Vec<Finding>) {
    match kind {
        Kind::Job => (
            "job.yaml",
            match load("job.yaml", text, &|_| None) {
                Ok(loaded) => loaded.warnings,
                Err(all) => all,
            },
        ),
        Kind::Hosts => ("hosts", hostfile::parse(text).unwrap_err()),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it writes when it is asked to")]
fn the_pages_are_what_the_code_says() {
    let mut differ = Vec::new();
    for (path, text) in pages() {
        let wanted = filled(&text);
        if wanted == text {
            continue;
        }
        if std::env::var_os("UPDATE_PAGES").is_some() {
            std::fs::write(&path, wanted).unwrap();
        } else {
            differ.push(path.display().to_string());
        }
    }
    assert!(differ.is_empty(), "{differ:?} are out of date: scripts/generate writes them");
}

#[test]
fn every_section_stands_on_exactly_one_page() {
    let pages: String = pages().into_iter().map(|(_, text)| text).collect();
    for section in SECTIONS {
        let name = if section.name.is_empty() { "(file)" } else { section.name };
        let marker = format!("<!-- made: fields {name} -->");
        assert_eq!(pages.matches(&marker).count(), 1, "{marker}");
    }
}

/// The bracket behind `error` or `warning` is what scripts look at.
#[test]
fn every_code_has_its_own_word_and_example() {
    let words: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), Code::ALL.len());
    let examples: BTreeSet<&str> = EXAMPLES.iter().map(|e| e.code.as_str()).collect();
    assert_eq!(examples, words);
}

/// Every YAML block of the pages is a good job, or a part of one.
#[test]
fn the_jobs_on_the_pages_are_good() {
    for (path, text) in pages().iter().filter(|(path, _)| !path.ends_with("findings.md")) {
        for block in text.split("```yaml\n").skip(1) {
            let job = block.split("```").next().unwrap();
            if !job.contains("agents:") {
                continue;
            }
            let vars = |name: &str| (name == "OPENAI_API_KEY").then(|| "x".to_owned());
            let loaded = load("job.yaml", job, &vars);
            assert!(loaded.is_ok_and(|l| l.warnings.is_empty()), "{}: {job}", path.display());
        }
    }
}
