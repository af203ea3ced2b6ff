//! Answers as the SDKs send them, and as nobody should.

use serde_json::{Value, json};

use super::*;

fn read_as(dialect: Dialect, value: &Value) -> String {
    match read(dialect, value) {
        Ok(event) => format!("{event:?}"),
        Err(error) => format!("error: {error}"),
    }
}

fn result(value: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": value})
}

#[test]
fn one_question_four_dialects() {
    let want = "Message(Message { from_agent: true, parts: [Text(\"hi\")], context: Some(\"c\"), task: None })";
    let new = json!({"messageId": "m", "contextId": "c", "role": "ROLE_AGENT", "parts": [{"text": "hi"}]});
    let old = json!({"kind": "message", "messageId": "m", "contextId": "c", "role": "agent", "parts": [{"kind": "text", "text": "hi"}]});
    let proto = json!({"message_id": "m", "context_id": "c", "role": "ROLE_AGENT", "content": [{"text": "hi"}]});
    for (dialect, value) in [
        (Dialect::JsonRpc1, result(json!({"message": new}))),
        (Dialect::Rest1, json!({"message": new})),
        (Dialect::JsonRpc03, result(old.clone())),
        // Without `kind`, as some servers leave it out.
        (Dialect::JsonRpc03, result(new.clone())),
        (Dialect::Rest03, json!({"message": proto})),
        (Dialect::Rest03, json!({"msg": proto})),
        (Dialect::Rest03, json!({"message": old})),
        (Dialect::Query, json!({"response": "hi", "session_id": "c"})),
    ] {
        assert_eq!(read_as(dialect, &value), want, "{dialect} {value}");
    }
}

#[test]
fn tasks_and_what_moves_them() {
    let task = json!({"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "x"},
        "artifacts": [{"artifactId": "a", "name": "n", "parts": [{"text": "x"}, {"data": {"k": 1}},
            {"raw": "QUJD", "filename": "f.png", "mediaType": "image/png"}, {"url": "http://x/y"}]}],
        "history": [{"role": "ROLE_USER", "parts": [{"text": "q"}]}, {"role": "ROLE_AGENT", "parts": [{"text": "a"}]}]});
    insta::assert_snapshot!(read_as(Dialect::Rest1, &json!({"task": task})), @r#"Task(Task { id: Some("t"), context: Some("c"), state: Completed, message: None, artifacts: [Artifact { id: "a", name: Some("n"), parts: [Text("x"), Data(Object {"k": Number(1)}), File { name: Some("f.png"), media_type: Some("image/png"), url: None, encoded_bytes: 4 }, File { name: None, media_type: None, url: Some("http://x/y"), encoded_bytes: 0 }] }], history: [Message { from_agent: false, parts: [Text("q")], context: None, task: None }, Message { from_agent: true, parts: [Text("a")], context: None, task: None }] })"#);
    let old = json!({"kind": "task", "id": "t", "contextId": "c", "status": {"state": "input-required",
        "message": {"role": "agent", "parts": [{"kind": "data", "data": {"q": 1}}, {"kind": "file", "file": {"uri": "http://x", "mimeType": "a/b"}}, {"kind": "new"}]}}});
    insta::assert_snapshot!(read_as(Dialect::JsonRpc03, &result(old)), @r#"Task(Task { id: Some("t"), context: Some("c"), state: InputRequired, message: Some(Message { from_agent: true, parts: [Data(Object {"q": Number(1)}), File { name: None, media_type: Some("a/b"), url: Some("http://x"), encoded_bytes: 0 }], context: None, task: None }), artifacts: [], history: [] })"#);
    let status =
        json!({"taskId": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}});
    assert_eq!(
        read_as(Dialect::JsonRpc1, &result(json!({"statusUpdate": status}))),
        "Status { task: Some(\"t\"), context: Some(\"c\"), state: Working, message: None }"
    );
    let old = json!({"kind": "status-update", "taskId": "t", "contextId": "c", "final": true, "status": {"state": "failed"}});
    assert_eq!(
        read_as(Dialect::JsonRpc03, &result(old)),
        "Status { task: Some(\"t\"), context: Some(\"c\"), state: Failed, message: None }"
    );
    let piece = json!({"kind": "artifact-update", "taskId": "t", "append": true, "artifact": {"artifactId": "a", "parts": [{"kind": "text", "text": "x"}]}});
    insta::assert_snapshot!(read_as(Dialect::JsonRpc03, &result(piece.clone())), @r#"Artifact { task: Some("t"), context: None, artifact: Artifact { id: "a", name: None, parts: [Text("x")] }, append: true }"#);
    assert_eq!(
        read(Dialect::Rest03, &json!({"artifact_update": piece})),
        read(Dialect::JsonRpc03, &result(piece)),
    );
}

#[test]
fn errors_in_every_form() {
    let check = |dialect, value: Value| read_as(dialect, &value);
    insta::assert_snapshot!(check(Dialect::JsonRpc1, json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "Invalid parameters",
        "data": [{"@type": "x", "fieldViolations": [{"field": "message.parts", "description": "At least one part is required"}]}]}})), @"error: the agent answered with an error: Invalid parameters: message.parts: At least one part is required (-32602)");
    insta::assert_snapshot!(check(Dialect::Rest1, json!({"error": {"code": 404, "status": "NOT_FOUND", "message": "no such task",
        "details": [{"@type": "x", "reason": "TASK_NOT_FOUND"}]}})), @"error: the agent answered with an error: no such task: TASK_NOT_FOUND (404)");
    insta::assert_snapshot!(check(Dialect::JsonRpc03, json!({"id": null, "error": {"code": -32600, "data": "why"}})), @"error: the agent answered with an error: it gave no reason: why (-32600)");
    insta::assert_snapshot!(check(Dialect::Query, json!({"detail": [{"loc": ["body", "query"], "msg": "Field required"}]})), @r#"error: the agent answered with an error: [{\"loc\":[\"body\",\"query\"],\"msg\":\"Field required\"}]"#);
    insta::assert_snapshot!(check(Dialect::Query, json!({"error": "no"})), @"error: the agent answered with an error: no");
    insta::assert_snapshot!(check(Dialect::JsonRpc1, json!({"jsonrpc": "2.0", "id": 1, "result": null})), @r#"error: the agent's answer cannot be understood: it has `jsonrpc`, `id`, `result`, begins with `{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}`"#);
    insta::assert_snapshot!(check(Dialect::JsonRpc1, json!([1])), @"error: the agent's answer cannot be understood: it has no members, begins with `[1]`");
    insta::assert_snapshot!(check(Dialect::Rest1, json!({"ok": true, "text": "hi"})), @r#"error: the agent's answer cannot be understood: it has `ok`, `text`, begins with `{\"ok\":true,\"text\":\"hi\"}`"#);
}

#[test]
fn states_of_both_generations() {
    for (text, want) in [
        ("TASK_STATE_COMPLETED", TaskState::Completed),
        ("completed", TaskState::Completed),
        ("TASK_STATE_INPUT_REQUIRED", TaskState::InputRequired),
        ("input-required", TaskState::InputRequired),
        ("cancelled", TaskState::Canceled),
        ("TASK_STATE_UNSPECIFIED", TaskState::Unknown),
        ("", TaskState::Unknown),
    ] {
        assert_eq!(TaskState::read(text), want, "{text}");
        assert!(want == TaskState::Unknown || TaskState::read(want.as_str()) == want);
    }
}

/// JSON with the members that answers have, in places where they do not belong.
fn any_value() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let word = prop_oneof![Just("task".to_owned()), Just("working".to_owned()), "\\PC{0,8}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from)
    ];
    let names = [
        "jsonrpc",
        "result",
        "error",
        "code",
        "message",
        "data",
        "details",
        "task",
        "msg",
        "kind",
        "status",
        "state",
        "artifact",
        "artifacts",
        "parts",
        "content",
        "text",
        "file",
        "raw",
        "url",
        "id",
        "taskId",
        "contextId",
        "history",
        "role",
        "append",
        "response",
        "session_id",
        "statusUpdate",
        "artifactUpdate",
        "detail",
        "type",
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let name = proptest::sample::select(names.to_vec()).prop_map(str::to_owned);
        let object = proptest::collection::btree_map(name, inner.clone(), 0..8);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_answer_panics(values in proptest::collection::vec(any_value(), 1..6)) {
        for dialect in [Dialect::JsonRpc1, Dialect::Rest1, Dialect::JsonRpc03, Dialect::Rest03, Dialect::Query] {
            let mut reply = Reply::new();
            for value in &values {
                if let Ok(event) = read(dialect, value) {
                    reply.take(event);
                }
                let _ = read_error(value);
            }
            reply.end();
            let _ = (reply.text(), reply.is_over());
        }
    }
}
