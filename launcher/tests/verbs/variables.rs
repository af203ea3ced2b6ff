//! Where variables come from: the shell, `.env`, files, `-x`. No value of a file gets into a message.

use crate::bed::Bed;

const JOB: &str = "\
agents:
  - id: a
    command: [echo, '${WORD}', '${OTHER:-other}']
    environment: {API_KEY: {secret: {env: API_KEY}}}
";

fn with(bed: &Bed, line: &str, variables: &[(&str, &str)]) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut command = bed.command(&words);
    command.envs(variables.iter().copied());
    let set: Vec<String> =
        variables.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    bed.shown(&format!("{line}   # {}", set.concat().trim_end()), &command.output().unwrap())
}

#[test]
fn the_file_beside_the_job_answers_where_the_shell_does_not() {
    let bed = Bed::new(&[("job.yaml", JOB)]);
    let mut text = bed.run("validate -v job.yaml");
    bed.write(".env", "# mine\nexport WORD='from the file'\nAPI_KEY=sk-1\n");
    text += &bed.run("validate -v job.yaml");
    text += &with(&bed, "validate -v job.yaml", &[("WORD", "shell"), ("OTHER", "")]);
    // From another folder as well.
    bed.write("sub/job.yaml", JOB);
    bed.write("sub/.env", "WORD=sub\nAPI_KEY=sk-2\n");
    text += &bed.run("validate -v sub/job.yaml");
    // A secret that somebody writes into a command is the command's, not ours to show.
    bed.write("key.yaml", "agents: [{id: a, command: [x, '--key=${API_KEY}']}]");
    text += &bed.run("validate -v key.yaml");
    assert!(!text.contains("sk-"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_wrong_with_it_is_shown_without_its_values() {
    let bed =
        Bed::new(&[("job.yaml", JOB), (".env", "WORD=sk-1\nsk-secret\nKEY='sk-secret\n=x\n")]);
    let lines =
        ["validate job.yaml", "plan job.yaml", "run job.yaml", "validate --output json job.yaml"];
    let text = lines.map(|line| bed.run(line)).concat();
    assert!(!text.contains("sk-"), "{text}");
    insta::assert_snapshot!(text);
    // Who needs nothing of it never trips over it.
    let nothing = "agents: [{id: a, command: [echo, $HOME]}]";
    bed.write("plain.yaml", nothing);
    assert!(bed.output(&["validate", "plain.yaml"]).status.success());
    // Neither does who gets everything from the shell.
    let text = with(&bed, "validate job.yaml", &[("WORD", "w"), ("OTHER", "o"), ("API_KEY", "k")]);
    assert!(text.ends_with(": good\n\n"), "{text}");
}

#[test]
fn files_of_variables_are_looked_at() {
    let job = "env_file: job.env\nagents: [{id: a, command: [echo], env_file: [none.env]}]";
    let bed = Bed::new(&[("d/job.yaml", job), ("d/job.env", "A=sk-1\nB=sk-2\n")]);
    bed.write("mine.env", "C=sk-3");
    bed.write("bad.env", "C=sk-3\nsk-4 sk-5\n");
    bed.write("ours.env", "A2ARUN_RANK=sk-6\n");
    let lines = [
        "validate -v --env-file mine.env d/job.yaml",
        "plan --env-file bad.env d/job.yaml",
        "plan --env-file ours.env d/job.yaml",
        "validate --env-file none.env d/job.yaml",
        "run d/job.yaml",
    ];
    let text = lines.map(|line| bed.run(line)).concat();
    assert!(!text.contains("sk-"), "{text}");
    insta::assert_snapshot!(text);
}
