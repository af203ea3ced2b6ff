//! Job files of the original project load and plan unchanged. They are not part of this
//! repository: `A2ARUN_CORPUS` names their folder; without it nothing is tested here.

use std::path::PathBuf;

use crate::plan::{Hosts, Plan, PlanOptions, plan};
use crate::spec::render::{Style, render};
use crate::spec::{JobSpec, load};
use crate::topology::{Graph, Wiring};

#[expect(clippy::disallowed_methods, reason = "a test of files that are not ours")]
fn files() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("A2ARUN_CORPUS") else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

#[expect(clippy::disallowed_methods, reason = "a test of files that are not ours")]
fn planned(path: &PathBuf) -> (JobSpec, Plan) {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let spec = match load(name, &text, &|_| None) {
        Ok(loaded) => loaded.spec,
        Err(all) => panic!("{}", render(name, &text, &all, Style::Plain)),
    };
    let hosts = Hosts::Local("here".parse().unwrap());
    let plan = plan(&spec, &hosts, &PlanOptions::default()).unwrap();
    Graph::of(&spec, None).unwrap();
    (spec, plan)
}

#[test]
fn all_load_and_plan_with_the_expected_numbers() {
    for path in files() {
        let (spec, plan) = planned(&path);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let shape = (plan.size(), plan.edges(), plan.stages.len());
        match stem {
            "hierarchical-tree" => {
                assert_eq!(shape, (10, 9, 3));
                let wiring = Wiring::of(&spec);
                let called: Vec<usize> =
                    spec.indices().map(|ix| wiring.callees(ix).len()).collect();
                assert_eq!(called, [3, 2, 2, 2, 0, 0, 0, 0, 0, 0]);
            }
            "collaborative-mesh" => assert_eq!((shape.0, shape.1), (5, 20)),
            "distributed-dag" => assert_eq!((shape.1, shape.2), (7, 4)),
            "large-mesh" => assert_eq!((shape.0, spec.topology.kind()), (11, "hub-spoke")),
            _ => {}
        }
    }
}
