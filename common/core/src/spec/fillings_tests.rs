//! Tests of `$(NAME)`s that nobody will know.

use crate::spec::load;

/// `agent field name` of every warning.
fn unknown(text: &str) -> Vec<String> {
    let loaded = load("job.yaml", text, &|_| None).unwrap();
    let shown = loaded.warnings.iter().map(|w| {
        let agent = w.agent.as_deref().unwrap_or("-");
        let name = w.message.split('`').nth(1).unwrap_or_default();
        format!("{agent} {} {name}", w.field.as_deref().unwrap_or("-"))
    });
    shown.collect()
}

#[test]
fn every_name_that_an_agent_gets_is_known() {
    let text = r#"
agents:
  - id: hub
    command:
      - $(PORT)$(AGENT_PORT)$(A2A_PORT)$(A2A_PUBLIC_URL)$(PORT_GRPC)$(AGENT_LOG_LEVEL)$(AGENT_ID)
      - $(A2ARUN_RANK)$(A2ARUN_SIZE)$(A2ARUN_INDEX)$(A2ARUN_NODE)$(JOB_ID)$(CONNECTED_AGENTS)
      - $(URL_W_1)$(URL_W_1_3)$(PEER_W_1_URL)$(PEER_W_1_URL_0)$(URL_E)$(PEER_E_URL)$(URL_HUB)
      - $$(LITERAL) $(date +%s) $( x ) $()
    config: {port: auto, log-level: x}
    ports: {grpc: 7000}
    environment: {A: $(PORT)}
    readiness: {type: exec, command: [probe, $(PORT)]}
  - {id: w-1, command: [x], config: {port: auto}, replicas: 4}
  - {id: e, external: "http://e"}
topology: {type: hub-spoke, hub: hub, spokes: [w-1, e]}
environment: {J: $(A2ARUN_JOB)}
"#;
    assert_eq!(unknown(text), Vec::<String>::new());
}

#[test]
fn every_other_name_is_said_once_with_its_place() {
    let text = r#"
agents:
  - id: a
    command: [x, $(NOPE) $(NOPE), $(PORT), $(PEER_B_URL), $(URL_C)]
    environment: {X: $(URL_)}
    readiness: {type: http, port: 80, path: /$(PATH)}
  - {id: b, command: [x], config: {port: auto}}
  - {id: c, command: [x]}
environment: {ALL: $(NOBODY), SOME: $(PORT)}
"#;
    assert_eq!(
        unknown(text),
        [
            "a command $(NOPE)",
            "a command $(PORT)",
            "a command $(PEER_B_URL)",
            "a command $(URL_C)",
            "a environment.X $(URL_)",
            "a readiness $(PATH)",
            "- environment.ALL $(NOBODY)",
            "a environment.SOME $(PORT)",
            "c environment.SOME $(PORT)",
        ]
    );
}
