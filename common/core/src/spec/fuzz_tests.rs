//! Job files made of every field that there is, with good values and bad ones, and good files with
//! pieces cut out: nothing panics, every finding has a place inside the file, and what loads plans.

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::plan::{Hosts, PlanOptions, plan};
use crate::spec::fields::{Field, FieldKind, SECTIONS};
use crate::topology::Graph;

/// Good files, to be damaged.
const GOOD: [&str; 3] = [
    include_str!("../../../../jobs/examples/simple-weather.yaml"),
    include_str!("../../../../jobs/examples/distributed-dag.yaml"),
    include_str!("../../../../jobs/examples/hierarchical-tree.yaml"),
];

/// Larger jobs are loaded, and planned elsewhere.
const PLANNED_MAX: u64 = 200;

fn check(text: &str) -> Result<(), TestCaseError> {
    let loaded = load("job.yaml", text, &vars);
    let findings = match &loaded {
        Ok(loaded) => {
            prop_assert!(loaded.warnings.iter().all(|w| w.severity == Severity::Warning));
            &loaded.warnings
        }
        Err(all) => {
            prop_assert!(all.iter().any(Finding::is_error));
            all
        }
    };
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    for finding in findings {
        for span in finding.span.iter().chain(finding.other.iter().map(|(span, _)| span)) {
            let range = span.start as usize..span.end as usize;
            prop_assert!(body.get(range).is_some(), "{finding:?} is not in the file");
        }
        prop_assert!(!finding.message.is_empty() && !finding.message.contains('\n'), "{finding:?}");
    }
    let shown = render("job.yaml", text, findings, Style::Plain);
    prop_assert!(findings.is_empty() || shown.contains("job.yaml"));
    let Ok(Loaded { spec, .. }) = loaded else { return Ok(()) };
    let copies = |agent: &AgentSpec| match agent.replicas {
        Some(Replicas::Fixed(n)) => u64::from(n),
        Some(Replicas::Auto) | None => 1,
    };
    if spec.agents.iter().map(copies).sum::<u64>() > PLANNED_MAX {
        return Ok(());
    }
    Graph::of(&spec, None).map_err(|e| TestCaseError::fail(e.to_string()))?;
    let hosts = crate::hostfile::parse("n1 slots=4 labels=gpu\nn2\n").unwrap();
    for hosts in [Hosts::Local("here".parse().unwrap()), Hosts::List(hosts)] {
        match plan(&spec, &hosts, &PlanOptions::default()) {
            Ok(plan) => prop_assert_eq!(plan.stages.iter().flatten().count(), plan.size() as usize),
            Err(error) => {
                let lines = error.to_string().lines().count() + error.hints().len();
                prop_assert!(lines <= 12, "{error}");
            }
        }
    }
    Ok(())
}

/// Choices, from bytes that proptest can make smaller.
struct Choices<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Mostly good jobs, so that planning sees some.
    tame: bool,
    ids: usize,
}

impl<'a> Choices<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let tame = bytes.first().is_some_and(|b| b % 2 == 1);
        Self { bytes, at: 1, tame, ids: 0 }
    }

    fn byte(&mut self) -> u8 {
        self.at += 1;
        self.bytes.get(self.at - 1).copied().unwrap_or(0)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn section(&mut self, name: &str, depth: usize) -> Json {
        let section = SECTIONS.iter().find(|s| s.name == name).unwrap();
        let mut map = Map::new();
        for field in section.fields {
            let needed = matches!(field.key, "id" | "agents" | "type" | "command");
            let rare = if self.tame { 30 } else { 4 };
            if needed || self.below(rare) == 0 {
                map.insert(field.key.to_owned(), self.field(field, depth));
            }
        }
        if !self.tame && self.below(12) == 0 {
            map.insert("nobody_knows".to_owned(), json!(1));
        }
        Json::Object(map)
    }

    fn field(&mut self, field: &Field, depth: usize) -> Json {
        if (!self.tame && self.below(8) == 0) || depth > 6 {
            return self.garbage(depth);
        }
        if field.key == "id" {
            self.ids += 1;
            let n = if self.tame { self.ids - 1 } else { self.below(4) };
            return json!(["a", "b", "c", "d-1"][n % 4]);
        }
        match field.kind {
            FieldKind::Text => {
                json!(self.one_of(&["x", "./y", "${NAME}", "$(PORT)", "http://h:1", ""]))
            }
            FieldKind::Bool => json!(self.below(2) == 0),
            FieldKind::Number(min, max) => json!(self.one_of(&[min, max, min.saturating_add(1)])),
            FieldKind::Factor | FieldKind::FactorOrWords(_) => json!(1.5),
            FieldKind::Target => {
                json!(self.one_of(&["localhost", "remote", "container", "kubernetes", "host:n1"]))
            }
            FieldKind::Port => json!(self.one_of(&[1, 9000, 65535])),
            FieldKind::Duration => {
                self.one_of_json(&[json!(0), json!(1.5), json!("2m"), json!("1h 3s")])
            }
            FieldKind::Bytes => self.one_of_json(&[json!("2G"), json!(0), json!("1.5Gi")]),
            FieldKind::Cpu => self.one_of_json(&[json!(2), json!("500m")]),
            FieldKind::Words(words) | FieldKind::MapOrWords(_, words) => {
                let words = words();
                json!(words[self.below(words.len())])
            }
            FieldKind::Texts | FieldKind::Command => {
                self.one_of_json(&[json!("x y"), json!(["x", "$(A2ARUN_RANK)"]), json!([])])
            }
            FieldKind::Replicas => {
                self.one_of_json(&[json!(1), json!(3), json!("auto"), json!(1_000_000)])
            }
            FieldKind::Agent => json!(self.one_of(&["a", "b", "nobody"])),
            FieldKind::Agents => {
                self.one_of_json(&[json!("a"), json!(["a", "b"]), json!(["c", "c"])])
            }
            FieldKind::Stages => self.one_of_json(&[json!(["a", ["b", "c"]]), json!([["a"], []])]),
            FieldKind::Levels => self.one_of_json(&[
                json!([["a", "b"], ["c"]]),
                json!([{"parent": "a", "children": ["b"]}, {"parent": "b", "children": ["a"]}]),
            ]),
            FieldKind::DependsOn => {
                self.one_of_json(&[json!(["a"]), json!({"b": "ready"}), json!({"a": "started"})])
            }
            FieldKind::Environment => self.one_of_json(&[
                json!({"A": 1, "B_KEY": "${X:-y}", "C": {"secret": {"env": "NAME"}}}),
                json!({"PORT": 1, "D": {"secret": {"env": "A", "file": "b"}}}),
                json!({"E": "$(URL_B)", "F": null}),
            ]),
            FieldKind::Config => {
                self.one_of_json(&[json!({"port": 9000}), json!({"port": "auto", "k": [1]})])
            }
            FieldKind::Ports => {
                self.one_of_json(&[json!({"g": 9001}), json!({"g-1": 1, "g_1": "auto"})])
            }
            FieldKind::PeersChange => self.one_of_json(&[json!("file"), json!({"signal": "HUP"})]),
            FieldKind::Map(name) => self.section(name, depth + 1),
            FieldKind::List(name) => {
                let count = 1 + self.below(4);
                Json::Array((0..count).map(|_| self.section(name, depth + 1)).collect())
            }
            FieldKind::Any => self.garbage(depth),
        }
    }

    fn one_of_json(&mut self, all: &[Json]) -> Json {
        all[self.below(all.len())].clone()
    }

    fn garbage(&mut self, depth: usize) -> Json {
        let deeper = depth + 1;
        match self.below(if depth > 4 { 8 } else { 11 }) {
            0 => Json::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(1e300),
            4 => json!(u64::MAX),
            5 => json!("ü\u{0}\n'\"{${"),
            6 => json!("${"),
            7 => json!("$($($$("),
            8 => json!([self.garbage(deeper), self.garbage(deeper)]),
            9 => json!({"": self.garbage(deeper)}),
            _ => json!({"a": self.garbage(deeper), "secret": self.garbage(deeper)}),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_field_with_any_value_is_a_job_or_a_finding(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut choices = Choices::new(&bytes);
        // JSON is YAML.
        check(&choices.section("", 0).to_string())?;
    }

    #[test]
    fn a_damaged_file_is_a_job_or_a_finding(
        which in 0..GOOD.len(),
        cuts in proptest::collection::vec((any::<u16>(), 0_u16..40, 0_usize..8), 1..6),
    ) {
        let mut text: Vec<char> = GOOD[which].chars().collect();
        for (at, len, put) in cuts {
            let at = usize::from(at) % (text.len() + 1);
            let end = (at + usize::from(len)).min(text.len());
            let puts = ["", " ", "\n", ": ", "- ", "[", "\"", "ü\u{feff}"];
            text.splice(at..end, puts[put].chars());
        }
        check(&text.into_iter().collect::<String>())?;
    }
}

/// So that the property above is not about refused files alone.
#[test]
fn some_of_them_are_good_jobs() {
    let mut good = 0;
    for seed in 0..600_u64 {
        let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()[4]
        };
        let bytes: Vec<u8> = (0..400).map(|_| next()).collect();
        let text = Choices::new(&bytes).section("", 0).to_string();
        good += u32::from(load("job.yaml", &text, &vars).is_ok());
    }
    assert!(good > 20, "{good} of 600");
}
