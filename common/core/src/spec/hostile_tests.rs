//! What is no job file, or wants to do harm: refused at once, clearly, within bounds.

use super::*;

#[test]
fn what_is_no_job_file_is_refused_at_once() {
    insta::assert_snapshot!(findings(""), @r#"
error[missing]: the file is empty
--> job.yaml
 = help: `a2arun init` writes one
"#);
    insta::assert_snapshot!(findings("- 1"), @r#"
error[type]: the file is a list; expected a map
 --> job.yaml:1:1
  |
1 | - 1
  | ^
"#);
    insta::assert_snapshot!(findings("agents: []"), @r#"
error[missing]: `agents` is empty: a job needs at least one agent
 --> job.yaml:1:9
  |
1 | agents: []
  |         ^
"#);
    insta::assert_snapshot!(findings("agents: 3\n"), @r#"
error[type]: `agents` is a number; expected a list of maps
 --> job.yaml:1:9
  |
1 | agents: 3
  |         ^
"#);
    insta::assert_snapshot!(findings("a: b: c"), @r#"
error[syntax]: mapping values are not allowed in this context
 --> job.yaml:1:5
  |
1 | a: b: c
  |     ^
"#);
    insta::assert_snapshot!(findings("agents: *x"), @r#"
error[syntax]: this alias names no anchor
 --> job.yaml:1:9
  |
1 | agents: *x
  |         ^
"#);
    insta::assert_snapshot!(findings("{null: 1}"), @r#"
error[syntax]: a key is a text, and this one is none
 --> job.yaml:1:2
  |
1 | {null: 1}
  |  ^^^^
"#);
    insta::assert_snapshot!(findings("? [a, b]\n: 1\n"), @r#"
error[syntax]: a key is a text, and this one is none
 --> job.yaml:1:3
  |
1 | ? [a, b]
  |   ^
"#);
    insta::assert_snapshot!(findings("agents: [\n"), @r#"
error[syntax]: unclosed bracket '['
 --> job.yaml:1:9
  |
1 | agents: [
  |         ^
"#);
    insta::assert_snapshot!(findings("agents: [{id: a, command: [x]}]\n---\nb: 1\n"), @r#"
error[syntax]: a second document begins here
 --> job.yaml:3:1
  |
3 | b: 1
  | ^
  |
  = help: one file describes one job
"#);
    insta::assert_snapshot!(findings("a\0b"), @r#"
error[input]: the file has a NUL byte at offset 1: it is no text
--> job.yaml
"#);
    let bytes = |b: &[u8]| render("x", "", &load_bytes("x", b, &vars).unwrap_err(), Style::Plain);
    insta::assert_snapshot!(bytes(&[b'a', 0xff]), @r#"
error[input]: the file is no UTF-8 text: byte 1 is 0xff
--> x
"#);
    insta::assert_snapshot!(bytes(&vec![b'a'; INPUT_BYTES_MAX + 1]), @r#"
error[input]: the file has 8388609 bytes; at most 8388608 are read
--> x
"#);
}

#[test]
fn bombs_are_refused() {
    let mut aliases = "a: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 9].join(",");
        aliases += &format!("b{i}: &a{i} [{list}]\n");
    }
    insta::assert_snapshot!(findings(&aliases).lines().next().unwrap(), @"error[input]: the file repeats itself too often by aliases");
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    insta::assert_snapshot!(findings(&deep).lines().next().unwrap(), @"error[input]: the file is nested too deeply");
    let nested: String = (0..3000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    insta::assert_snapshot!(findings(&nested).lines().next().unwrap(), @"error[input]: the file is too large or nested too deeply (at most 200000 values, 64 levels)");
}

#[test]
fn colours_are_only_there_when_asked_for() {
    let text = "agents: 3";
    let all = load("job.yaml", text, &vars).unwrap_err();
    assert!(!render("job.yaml", text, &all, Style::Plain).contains('\u{1b}'));
    assert!(render("job.yaml", text, &all, Style::Colour).contains('\u{1b}'));
}

/// Words that make up job files, in any order.
fn soup() -> impl proptest::strategy::Strategy<Value = String> {
    let words = [
        "agents",
        "id",
        "command",
        "topology",
        "type",
        "mesh",
        "config",
        "port",
        "job",
        "name",
        "environment",
        "deployment",
        "readiness",
        ": ",
        ":",
        "\n",
        "\n  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\"",
        "'",
        "*a",
        "&a ",
        "<<: ",
        "${X}",
        "$",
        "9001",
        "auto",
        "null",
        "ü",
        "#",
        "|",
        ">",
        "!!",
        "? ",
        "\t",
        "true",
        "1e999",
        "0x1",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40)
        .prop_map(|words| words.concat())
}
use proptest::strategy::Strategy as _;

proptest::proptest! {
    #[test]
    fn no_text_panics(text in soup()) {
        if let Err(all) = load("job.yaml", &text, &vars) {
            let _ = render("job.yaml", &text, &all, Style::Plain);
        }
    }

    #[test]
    fn no_text_under_an_agent_panics(text in soup()) {
        let text = format!("agents:\n  - id: a\n    command: [x]\n    config: {text}\n");
        if let Err(all) = load("job.yaml", &text, &vars) {
            let _ = render("job.yaml", &text, &all, Style::Plain);
        }
    }
}
