//! Every field that the table declares as not acted on, or as kept, gives one warning that names
//! agent and field.

use super::*;
use crate::spec::fields::{SECTIONS, Status};

/// Something that a field which is not acted on yet may hold, and that is not its default.
fn sample(section: &str, key: &str) -> &'static str {
    match (section, key) {
        ("agents[]", "limits") => "{memory: 1G}",
        ("agents[]", "liveness") => "{type: tcp}",
        ("agents[]", "restart") => "always",
        ("agents[]", "on_host_lost") => "fail-job",
        ("agents[]", "on_peers_change") => "restart",
        ("deployment", "ssh") => "{timeout: 1}",
        ("deployment", "retry_policy") => "{delay: 1}",
        ("deployment.health_check", _) => "3",
        ("execution", "input") => "hello",
        // What is kept is not looked into.
        _ => "{any: [thing]}",
    }
}

/// A job in which one key of a section stands.
fn job(section: &str, key: &str) -> Option<String> {
    let item = format!("{key}: {}", sample(section, key));
    let base = "id: a, command: [x], config: {port: 1}";
    let other = "{id: b, command: [x], protocol: none}";
    let text = match section {
        "" => format!("agents: [{{{base}}}]\n{item}\n"),
        "agents[]" => format!("agents: [{{{base}, {item}}}]\n"),
        "agents[].deployment" => format!("agents: [{{{base}, deployment: {{{item}}}}}]\n"),
        "topology.connections[]" => format!(
            "agents: [{{{base}}}, {other}]\ntopology: {{type: custom, connections: [{{from: a, to: b, {item}}}]}}\n"
        ),
        "deployment" | "execution" => format!("agents: [{{{base}}}]\n{section}: {{{item}}}\n"),
        "deployment.health_check" => {
            format!("agents: [{{{base}}}]\ndeployment: {{health_check: {{{item}}}}}\n")
        }
        _ => return None,
    };
    Some(text)
}

#[test]
fn what_is_not_acted_on_is_one_warning_with_agent_and_field() {
    let mut seen = 0;
    for section in SECTIONS {
        for field in section.fields {
            let kept = matches!(field.status, Status::NotYet | Status::Reserved);
            if !kept {
                continue;
            }
            let (name, key) = (section.name, field.key);
            let text = job(name, key).unwrap_or_else(|| panic!("no job for `{name}`.`{key}`"));
            let loaded =
                load("job.yaml", &text, &vars).unwrap_or_else(|all| panic!("{text}: {all:?}"));
            let [warning] = &loaded.warnings[..] else { panic!("{text}: {:?}", loaded.warnings) };
            assert_eq!(warning.code, Code::NotYet, "{text}");
            let field = warning.field.as_deref().unwrap_or_default();
            assert!(field.ends_with(key) && warning.message.contains(field), "{text}: {warning:?}");
            let of_agent = name.starts_with("agents") || name.starts_with("topology.");
            assert_eq!(warning.agent.as_deref(), of_agent.then_some("a"), "{text}");
            let at = warning.span.unwrap();
            assert_eq!(at.of(&text), key, "the place is the key");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}
