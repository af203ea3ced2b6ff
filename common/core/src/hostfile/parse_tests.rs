//! Tests of the hostfile reader.

use super::*;

fn shown(result: Result<Vec<HostEntry>, Vec<Finding>>) -> String {
    match result {
        Ok(hosts) => hosts
            .iter()
            .map(|h| format!("{} {:?}/{:?}", h.name, h.slots, h.max_slots))
            .collect::<Vec<_>>()
            .join("; "),
        Err(all) => panic!("{all:?}"),
    }
}

#[cfg(feature = "spec")]
fn refused(text: &str) -> String {
    use crate::spec::render::{Style, render};
    render("hosts", text, &parse(text).unwrap_err(), Style::Plain)
}

#[cfg(feature = "spec")]
fn flag_refused(text: &str) -> String {
    use crate::spec::render::{Style, render};
    render("--host", text, &parse_hosts(text).unwrap_err(), Style::Plain)
}

#[test]
fn both_dialects_are_read() {
    let text = "# hosts\n\nn1 slots=4 max_slots=8 # comment\nw.1.net:4\nbare\n10.0.0.1 slots = 2\n::1\n[fe80::1]:3\r\n";
    assert_eq!(
        shown(parse(text)),
        "n1 Some(4)/Some(8); w.1.net Some(4)/None; bare None/None; 10.0.0.1 Some(2)/None; \
         ::1 None/None; fe80::1 Some(3)/None"
    );
}

#[test]
fn every_key_is_read() {
    let hosts = parse(
        "n1 user=bob port=2222 addr=10.1.0.1 noded_port=7000 labels=gpu,fast groups=g gpus=2 ports=21000-22000",
    )
    .unwrap();
    let host = &hosts[0];
    assert_eq!((host.user.as_deref(), host.ssh_port), (Some("bob"), Some(2222)));
    assert_eq!(host.addr.as_ref().map(HostName::as_str), Some("10.1.0.1"));
    assert_eq!((host.noded_port, host.gpus), (Some(7000), Some(2)));
    assert_eq!((host.labels.join("+"), host.groups.join("+")), ("gpu+fast".into(), "g".into()));
    assert_eq!(host.ports, Some(PortRange { first: 21000, last: 22000 }));
    assert_eq!(host.span, Span::new(0, 2));
}

#[test]
fn a_host_that_stands_twice_adds_its_slots() {
    assert_eq!(shown(parse("a\na\nb\n")), "a Some(2)/None; b None/None");
    assert_eq!(shown(parse("a slots=2\na slots=3 user=x\n")), "a Some(5)/None");
    assert_eq!(shown(parse_hosts("a,b:4,a")), "a Some(2)/None; b Some(4)/None");
    assert_eq!(shown(parse_hosts(" a , b ")), "a None/None; b None/None");
}

#[cfg(feature = "spec")]
#[test]
fn mistakes_have_their_place() {
    insta::assert_snapshot!(refused("n1 slots=4\nn2 slot=4\nn3 slots=x\nn4:7741\nn5 slots=0 slots=1\nn6:2 slots=2\nn7 foo\nn8 user=\n"), @r#"
error[unknown-key]: unknown key `slot`
 --> hosts:2:4
  |
2 | n2 slot=4
  |    ^^^^^^
  |
  = help: did you mean `slots`?

error[value]: `slots=x` is no number from 1 to 1000000
 --> hosts:3:4
  |
3 | n3 slots=x
  |    ^^^^^^^

error[value]: `n4:7741` means 7741 slots, and looks like a port
 --> hosts:4:1
  |
4 | n4:7741
  | ^^^^^^^
  |
  = help: for slots write `n4 slots=7741` in a hostfile; for ports `noded_port=` or, for SSH, `port=`

error[value]: `slots=0` is no number from 1 to 1000000
 --> hosts:5:4
  |
5 | n5 slots=0 slots=1
  |    ^^^^^^^

error[duplicate]: `slots` is given twice for host `n5`
 --> hosts:5:12
  |
5 | n5 slots=0 slots=1
  |            ^^^^^^^

error[conflict]: host `n6` has its slots twice: `n6:2` and `slots=2`
 --> hosts:6:6
  |
6 | n6:2 slots=2
  |      ^^^^^^^
  |
  = help: write one of the two

error[syntax]: expected `key=value`, found `foo`
 --> hosts:7:4
  |
7 | n7 foo
  |    ^^^
  |
  = help: one host a line

error[missing]: `user=` has no value
 --> hosts:8:4
  |
8 | n8 user=
  |    ^^^^^
"#);
    insta::assert_snapshot!(refused("slots=4 n1\n-oProxyCommand=x\nn1 user=-x port=0 ports=9-3 addr=a/b\nn2 slots=9 max_slots=3\n"), @r#"
error[syntax]: expected a host name, found `slots=4`
 --> hosts:1:1
  |
1 | slots=4 n1
  | ^^^^^^^
  |
  = help: a line begins with the host: `HOST slots=…`

error[syntax]: expected a host name, found `-oProxyCommand=x`
 --> hosts:2:1
  |
2 | -oProxyCommand=x
  | ^^^^^^^^^^^^^^^^
  |
  = help: a line begins with the host: `HOST -oProxyCommand=…`

error[value]: `-x` is no user name
 --> hosts:3:4
  |
3 | n1 user=-x port=0 ports=9-3 addr=a/b
  |    ^^^^^^^

error[value]: `port=0` is no number from 1 to 65535
 --> hosts:3:12
  |
3 | n1 user=-x port=0 ports=9-3 addr=a/b
  |            ^^^^^^

error[value]: `9-3` is no port range; write FIRST-LAST with 1 ≤ FIRST ≤ LAST ≤ 65535
 --> hosts:3:19
  |
3 | n1 user=-x port=0 ports=9-3 addr=a/b
  |                   ^^^^^^^^^

error[value]: host name `a/b` contains '/'; use letters, digits, `-`, `_` and `.`, beginning with a letter, a digit or `_`
 --> hosts:3:29
  |
3 | n1 user=-x port=0 ports=9-3 addr=a/b
  |                             ^^^^^^^^

error[conflict]: host `n2` has slots=9, above max_slots=3
 --> hosts:4:1
  |
4 | n2 slots=9 max_slots=3
  | ^^
"#);
    insta::assert_snapshot!(refused("a user=x\na user=y\nn1:x\n"), @r#"
error[conflict]: host `a` stands twice with another `user`
 --> hosts:2:1
  |
1 | a user=x
  | - first here
2 | a user=y
  | ^
  |
  = help: a host that stands twice adds its slots; give the rest once

error[value]: `x` behind `n1:` is no number of slots
 --> hosts:3:1
  |
3 | n1:x
  | ^^^^
  |
  = help: write `n1:N` with N from 1 to 1023
"#);
}

#[cfg(feature = "spec")]
#[test]
fn lists_and_what_is_taken_away_have_their_mistakes() {
    insta::assert_snapshot!(refused("node[04-01]-ib\n^n3 slots=2\n+n1\nn[1-1000000]\n"), @r#"
error[value]: `04-01` in `node[04-01]-ib` is no number and no range `A-B` with A ≤ B
 --> hosts:1:1
  |
1 | node[04-01]-ib
  | ^^^^^^^^^^^^^^

error[syntax]: `slots=2` behind `^n3`
 --> hosts:2:5
  |
2 | ^n3 slots=2
  |     ^^^^^^^
  |
  = help: a host that is taken away has no settings

error[missing]: `+n1` means a host of an allocation, and there is none
 --> hosts:3:1
  |
3 | +n1
  | ^^^
  |
  = help: write the host's name

error[value]: `n[1-1000000]` stands for 1000000 hosts; at most 131072 are read
 --> hosts:4:1
  |
4 | n[1-1000000]
  | ^^^^^^^^^^^^
"#);
    insta::assert_snapshot!(flag_refused("a,,n[1-2,4],b:2000"), @r#"
error[syntax]: empty host name in the list
 --> --host:1:3
  |
1 | a,,n[1-2,4],b:2000
  |   ^
  |
  = help: separate hosts by one comma: `--host a,b:4`

error[value]: `b:2000` means 2000 slots, and looks like a port
 --> --host:1:13
  |
1 | a,,n[1-2,4],b:2000
  |             ^^^^^^
  |
  = help: for slots write `b slots=2000` in a hostfile; for ports `noded_port=` or, for SSH, `port=`
"#);
}

fn read(text: &str) -> String {
    let base: Vec<HostEntry> = parse_hosts("x0,x1:2,x2").unwrap();
    let hosts = parse_within(text, Some(&base)).unwrap();
    let shown = hosts.iter().map(|h| match (h.slots, h.max_slots) {
        (None, None) => h.name.to_string(),
        (slots, max) => format!("{}:{}/{}", h.name, slots.unwrap_or(0), max.unwrap_or(0)),
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn golden_files_of_every_dialect() {
    for (text, hosts) in [
        // Open MPI
        ("a slots=2 max_slots=4\nb\n", "a:2/4 b"),
        ("a\na\nb\n", "a:2/0 b"),
        ("a\nb\nc\n^b\n", "a c"),
        ("^x1\n", "x0 x2"),
        ("+n1\n+n0 slots=3\n", "x1:2/0 x0:3/0"),
        ("+e\n", "x0 x1:2/0 x2"),
        ("+e:2\n", "x0 x1:2/0"),
        // Hydra
        ("a:2\nb:4 user=u\n# c\nc\n", "a:2/0 b:4/0 c"),
        // Slurm
        ("n[01-02]-ib,m slots=2\n", "n01-ib:2/0 n02-ib:2/0 m:2/0"),
        ("n[1-2]:3\n", "n1:3/0 n2:3/0"),
        ("n[1-4]\n^n[2-3]\n", "n1 n4"),
        ("r[1-2]n[1-2]\n", "r1n1 r1n2 r2n1 r2n2"),
        // Grid Engine, LSF
        ("a.x 4 all.q@a.x UNDEFINED\nb.x 2 all.q@b.x <NULL>\n", "a.x:4/0 b.x:2/0"),
        ("a 4\nb 2\n", "a:4/0 b:2/0"),
        // IPv6, marks, ends of lines
        ("::1\n[fe80::1%eth0]:2\n", "::1 fe80::1%eth0:2/0"),
        ("\u{feff}a slots=2\r\n\tb\r\n", "a:2/0 b"),
        ("w.1.net\nw.2.net\n", "w.1.net w.2.net"),
    ] {
        assert_eq!(read(text), hosts, "{text}");
    }
}

#[cfg(feature = "spec")]
#[test]
fn a_file_that_reads_two_ways_is_refused_with_both() {
    insta::assert_snapshot!(refused("a 4 b 2\nc 1 d 1\n"), @r#"
error[ambiguous]: the file reads two ways: as SGE's `host slots queue …` it is a slots=4, c slots=1; as LSF's pairs it is a slots=4, b slots=2, c slots=1, d slots=1
 --> hosts:1:1
  |
1 | a 4 b 2
  | ^
  |
  = help: write one host a line: `HOST slots=N`
"#);
}

#[test]
fn long_files_are_read_at_once() {
    let text: String = (0..100_000).map(|n| format!("n{n}.example.net slots=4\n")).collect();
    #[expect(clippy::disallowed_methods, reason = "a test of time")]
    let begin = std::time::Instant::now();
    assert_eq!(parse(&text).unwrap().len(), 100_000);
    assert_eq!(parse("n[1-100000]").unwrap().len(), 100_000);
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
}

#[cfg(feature = "spec")]
#[test]
fn nothing_to_run_on_is_an_error() {
    insta::assert_snapshot!(refused("# nothing\n\n"), @r#"
error[missing]: hostfile names no host
--> hosts
"#);
    insta::assert_snapshot!(refused("a\0b"), @r#"
error[input]: hostfile contains a NUL byte: it is no text
--> hosts
"#);
    insta::assert_snapshot!(flag_refused(""), @r#"
error[missing]: the list names no host
--> --host
"#);
}

#[cfg(feature = "spec")]
#[test]
fn relative_hosts_that_are_not_there_are_named() {
    let base = parse("n1\nn2\n").unwrap();
    let of = |text: &str| match parse_within(text, Some(&base)) {
        Ok(hosts) => hosts.iter().map(|h| h.name.to_string()).collect::<Vec<_>>().join(" "),
        Err(all) => format!("{}: {}", all[0].code, all[0].message),
    };
    let all: Vec<String> =
        ["+n1", "+e", "+e:1", "^n1", "+n7", "+nx", "+e:3", "+e:x", "+z", "n1 zz=1"].map(of).into();
    insta::assert_snapshot!(all.join("\n"), @r#"
n2
n1 n2
n1
n2
unknown-name: `+n7`: the allocation has 2 hosts, counted from 0
value: `+nx` is no number of a host
unknown-name: `+e:3` wants 3 hosts; the allocation has 2
syntax: `+e:x` is no relative host: `+n1`, `+e`, `+e:2`
syntax: `+z` is no relative host: `+n1`, `+e`, `+e:2`
unknown-key: unknown key `zz`
"#);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-c\\[\\]:=,# \n^+0-9ü.-]{0,60}") {
        let _ = parse(&text);
        let _ = parse_hosts(&text);
    }

    #[test]
    fn slots_are_kept_and_names_never_rewritten(
        hosts in proptest::collection::vec(("[a-z][a-z0-9.]{0,8}[a-z]", 1_u32..1000), 1..20)
    ) {
        let text: String = hosts.iter().map(|(n, s)| format!("{n} slots={s}\n")).collect();
        let read = parse(&text).unwrap();
        let mut want: std::collections::BTreeMap<&str, u32> = Default::default();
        for (name, slots) in &hosts {
            *want.entry(name).or_default() += slots;
        }
        let got: std::collections::BTreeMap<&str, u32> =
            read.iter().map(|h| (h.name.as_str(), h.slots.unwrap_or(0))).collect();
        proptest::prop_assert_eq!(got, want);
    }

    /// Lines of a hostfile's words, damaged: findings lie inside, what is read keeps its names.
    #[test]
    fn any_hostfile_is_hosts_or_findings_with_places(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "n1", "n[1-3]", "n[01-2,7]-ib", "a.b.c", "::1", "[::1]:2", "^n1", "+n1", "+e:2", ":4",
                " ", "\n", "\t", "#", "slots=", "slots=4", "max_slots=2", " = ", "addr=x", "gpus=1",
                "ports=1-2", "labels=a,b", "user=-x", "4", "1024", "UNDEFINED", "q@h", ",", "=", "ü",
                "\u{feff}", "[", "]", "n[1-9999999]",
            ]),
            0..30,
        ),
    ) {
        let text = words.concat();
        let base = parse("b1\nb2 slots=2\n").unwrap();
        for read in [parse(&text), parse_within(&text, Some(&base)), parse_hosts(&text)] {
            let body = text.strip_prefix('\u{feff}').unwrap_or(&text);
            match read {
                Ok(hosts) => {
                    proptest::prop_assert!(!hosts.is_empty());
                    for host in hosts {
                        proptest::prop_assert!(host.slots.is_none_or(|s| (1..=SLOTS_MAX).contains(&s)));
                    }
                }
                Err(all) => {
                    proptest::prop_assert!(all.iter().any(Finding::is_error));
                    for finding in all {
                        for span in finding.span.iter().chain(finding.other.iter().map(|(s, _)| s)) {
                            let range = span.start as usize..span.end as usize;
                            let inside = body.get(range.clone()).is_some() || text.get(range).is_some();
                            proptest::prop_assert!(inside, "{finding:?}");
                        }
                    }
                }
            }
        }
    }
}
