//! Cards as agents and SDKs really serve them, and as nobody should.

use serde_json::{Value, json};

use super::*;

/// A card in a few lines.
fn shown(card: &Card) -> String {
    let mut text = format!(
        "{} {:?} {:?} v{}\n",
        card.format.as_str(),
        card.name,
        card.description,
        card.version.as_deref().unwrap_or("-")
    );
    for i in card.interfaces() {
        let tenant = i.tenant.as_deref().map(|t| format!(" tenant {t}")).unwrap_or_default();
        text.push_str(&format!("  {} {} {}{tenant}\n", i.url, i.binding, i.version));
    }
    text.push_str(&format!("  streaming {:?}\n", card.streaming));
    for skill in &card.skills {
        text.push_str(&format!("  skill {} {:?} {:?}\n", skill.id, skill.name, skill.tags));
    }
    for scheme in &card.security_schemes {
        text.push_str(&format!("  scheme {} {:?}\n", scheme.name, scheme.kind));
    }
    if !card.security.is_empty() {
        text.push_str(&format!("  security {:?}\n", card.security));
    }
    for fault in &card.faults {
        text.push_str(&format!("  fault: {fault}\n"));
    }
    text
}

fn read(value: &Value) -> String {
    read_at(CardPath::AgentCard, value)
}

fn read_at(path: CardPath, value: &Value) -> String {
    match Card::parse_at(path, value.to_string().as_bytes()) {
        Ok(card) => shown(&card),
        Err(error) => format!("error: {error}"),
    }
}

/// The members of the sample in the specification (A2A 1.0 §8.5).
fn v1() -> Value {
    json!({
        "name": "GeoSpatial Route Planner Agent",
        "description": "Plans routes.",
        "supportedInterfaces": [
            {"url": "https://g.example.com/a2a/v1", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": "https://g.example.com/a2a/grpc", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
            {"url": "https://g.example.com/a2a/json", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0", "tenant": "acme"}
        ],
        "provider": {"organization": "Example", "url": "https://www.example.com"},
        "version": "1.2.0",
        "capabilities": {"streaming": true, "pushNotifications": true, "extendedAgentCard": true},
        "securitySchemes": {
            "google": {"openIdConnectSecurityScheme": {"openIdConnectUrl": "https://x/"}},
            "key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}}
        },
        "securityRequirements": [{"schemes": {"google": {"list": ["openid"]}}}],
        "defaultInputModes": ["application/json"], "defaultOutputModes": ["image/png"],
        "skills": [{"id": "route", "name": "Router", "description": "d", "tags": ["maps"], "examples": ["x"]}],
        "signatures": [{"protected": "e30", "signature": "x"}]
    })
}

#[test]
fn a2a_1_0() {
    insta::assert_snapshot!(read(&v1()), @r#"
    A2A 1.0 "GeoSpatial Route Planner Agent" "Plans routes." v1.2.0
      https://g.example.com/a2a/v1 JSONRPC 1.0
      https://g.example.com/a2a/grpc GRPC 1.0
      https://g.example.com/a2a/json HTTP+JSON 1.0 tenant acme
      streaming Some(true)
      skill route "Router" ["maps"]
      scheme google OpenIdConnect
      scheme key ApiKey { location: "header", name: "X-Key" }
      security [["google"]]
    "#);
}

#[test]
fn a2a_0_3() {
    insta::assert_snapshot!(read(&json!({
        "protocolVersion": "0.3.0", "name": "a", "description": "d", "version": "2",
        "url": "http://n1:20001/a2a", "preferredTransport": "HTTP+JSON",
        "additionalInterfaces": [
            {"url": "http://n1:20001/a2a", "transport": "HTTP+JSON"},
            {"url": "http://n1:20001/rpc", "transport": "JSONRPC"},
            {"url": "n1:20002", "transport": "GRPC"}
        ],
        "capabilities": {"streaming": false}, "skills": [],
        "securitySchemes": {"b": {"type": "http", "scheme": "bearer"}, "k": {"type": "apiKey", "in": "query", "name": "k"}, "m": {"type": "mutualTLS"}},
        "security": [{"b": []}, {"k": [], "m": []}],
        "supportsAuthenticatedExtendedCard": true
    })), @r#"
    A2A 0.3 "a" "d" v2
      http://n1:20001/a2a HTTP+JSON 0.3
      http://n1:20001/rpc JSONRPC 0.3
      n1:20002 GRPC 0.3
      streaming Some(false)
      scheme b Http { scheme: "bearer" }
      scheme k ApiKey { location: "query", name: "k" }
      scheme m MutualTls
      security [["b"], ["k", "m"]]
    "#);
}

#[test]
fn a2a_0_2_and_the_original() {
    let card = json!({"name": "a", "description": "d", "url": "http://0.0.0.0:9001", "version": "1.0.0",
        "capabilities": {"streaming": true, "push_notifications": false},
        "default_input_modes": ["text"], "skills": [{"id": "s", "name": "S", "description": ""}]});
    insta::assert_snapshot!(read_at(CardPath::AgentJson, &card), @r#"
    A2A 0.2 "a" "d" v1.0.0
      http://0.0.0.0:9001 JSONRPC 0.2
      streaming Some(true)
      skill s "S" []
    "#);
    insta::assert_snapshot!(read_at(CardPath::AgentConfiguration, &card), @r#"
    agent-configuration "a" "d" v1.0.0
      http://0.0.0.0:9001 query 0.2
      streaming Some(true)
      skill s "S" []
    "#);
    insta::assert_snapshot!(read_at(CardPath::AgentConfiguration, &json!({"name": "a"})), @r#"
    agent-configuration "a" "" v-
      streaming None
    "#);
}

#[test]
fn both_dialects_in_one_card() {
    insta::assert_snapshot!(read(&json!({
        "name": "a", "url": "http://h:1", "preferredTransport": "JSONRPC", "protocolVersion": "0.3.0",
        "supportedInterfaces": [
            {"url": "http://h:1", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": "http://h:1", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}
        ],
        "additionalInterfaces": [{"url": "http://h:1/v1", "transport": "HTTP+JSON"}, {"url": "http://h:1", "transport": "JSONRPC"}]
    })), @r#"
    A2A 1.0 "a" "" v-
      http://h:1 JSONRPC 1.0
      http://h:1 JSONRPC 0.3
      http://h:1/v1 HTTP+JSON 0.3
      streaming None
    "#);
}

#[test]
fn nulls_snake_case_and_what_nobody_knows() {
    insta::assert_snapshot!(read(&json!({
        "name": "a", "description": null, "version": 1.5, "x-own": {"y": []}, "documentationUrl": 7,
        "iconUrl": [], "provider": 3, "skills": null, "capabilities": null, "url": null,
        "supported_interfaces": [{"url": " http://h:1/ ", "protocol_binding": "json-rpc", "protocol_version": null, "tenant": ""}],
        "security_schemes": null, "securityRequirements": null, "additionalInterfaces": null
    })), @r#"
    A2A 1.0 "a" "" v1.5
      http://h:1/ JSONRPC 1.0
      streaming None
    "#);
}

#[test]
fn members_of_a_wrong_type_are_passed_over() {
    insta::assert_snapshot!(read(&json!({
        "name": ["a"], "description": {}, "version": true, "url": "http://h:1",
        "supportedInterfaces": [7, "http://h:2", {"url": 3}, {"protocolBinding": "GRPC"}, {"url": "http://h:3", "protocolBinding": "wss", "protocolVersion": "new"}],
        "additionalInterfaces": "none", "capabilities": {"streaming": "TRUE"},
        "skills": ["plain", 3, {"name": "only a name"}, {}], "securitySchemes": {"a": 1, "b": {"type": "own"}, "c": {"z": 1}}
    })), @r#"
    A2A 1.0 "" "" v-
      http://h:2 JSONRPC 1.0
      3 JSONRPC 1.0
      http://h:3 wss 1.0
      http://h:1 JSONRPC 0.3
      streaming Some(true)
      skill plain "plain" []
      skill only a name "only a name" []
      scheme b Other("own")
      scheme c Other("`z`")
      fault: `supportedInterfaces[]` of the card is a number, not an object
      fault: `url` of the card is null, not a text
      fault: `protocolVersion` of the card is a text, not a version
      fault: `additionalInterfaces` of the card is a text, not a list
      fault: `name` of the card is a list, not a text
      fault: `description` of the card is an object, not a text
      fault: `version` of the card is true or false, not a text
      fault: `skills[]` of the card is a number, not an object
      fault: `securitySchemes` of the card is a number, not an object of objects
    "#);
    insta::assert_snapshot!(read(&json!({
        "name": "a", "skills": {}, "capabilities": ["streaming"], "securitySchemes": [], "protocolVersion": 1
    })), @r#"
    A2A 0.3 "a" "" v-
      streaming Some(true)
      fault: `skills` of the card is an object, not a list
      fault: `securitySchemes` of the card is a list, not an object
    "#);
}

#[test]
fn what_is_no_card() {
    let bytes = |bytes: &[u8]| Card::parse(bytes).unwrap_err().to_string();
    insta::assert_snapshot!(bytes(b"<!doctype html>\n<title>Directory listing</title>"), @r#"the card is no JSON: expected value at line 1 column 1; it begins with `<!doctype html>\n<title>Directory listing</title>`"#);
    insta::assert_snapshot!(bytes(b""), @"the card is no JSON: EOF while parsing a value at line 1 column 0; it begins with ``");
    insta::assert_snapshot!(bytes(b"\xff\xfe{"), @"the card is no JSON: expected value at line 1 column 1; it begins with `��{`");
    insta::assert_snapshot!(bytes(b"[{}]"), @"the card is a list, not an object");
    insta::assert_snapshot!(bytes(br#"{"detail":"Not Found"}"#), @"the object has neither a name nor a URL, so it is no agent card; it has `detail`");
    insta::assert_snapshot!(bytes(b"{}"), @"the object has neither a name nor a URL, so it is no agent card; it has nothing");
    insta::assert_snapshot!(bytes(&vec![b' '; CARD_BYTES_MAX + 1]), @"the card has 1048577 bytes; at most 1048576 are read");
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(bytes(deep.as_bytes()).contains("recursion limit"));
    assert!(Card::parse(b"\xef\xbb\xbf{\"name\": \"with a byte order mark\"}").is_ok());
}

#[test]
fn interfaces_mean_a_place() {
    let base: WebUrl = "http://n1:20001/sub".parse().unwrap();
    let place = |url: &str, binding| {
        let (url, version) = (url.to_owned(), ProtocolVersion::V1_0);
        let interface = Interface { url, binding, version, tenant: None };
        interface.resolve(&base).map_or_else(|e| e.why.to_owned(), |u| u.to_string())
    };
    assert_eq!(place("http://n2:1/a2a/", Binding::JsonRpc), "http://n2:1/a2a/");
    assert_eq!(place("/a2a", Binding::Rest), "http://n1:20001/a2a");
    assert_eq!(place("n2:50051", Binding::Grpc), "http://n2:50051");
    assert_eq!(place("a2a", Binding::JsonRpc), "no scheme");
}

/// Any JSON: members that cards have, with values that they do not have.
fn any_value() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let word = prop_oneof![
        Just("http://[::]:1/x".to_owned()),
        Just("GRPC".to_owned()),
        Just("0.3".to_owned()),
        "\\PC{0,12}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from)
    ];
    let names = [
        "name",
        "url",
        "supportedInterfaces",
        "supported_interfaces",
        "additionalInterfaces",
        "protocolVersion",
        "protocolBinding",
        "transport",
        "preferredTransport",
        "capabilities",
        "streaming",
        "skills",
        "securitySchemes",
        "security",
        "securityRequirements",
        "schemes",
        "type",
        "tenant",
        "provider",
        "version",
        "description",
        "defaultInputModes",
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        let object = proptest::collection::btree_map(
            proptest::sample::select(names.to_vec()).prop_map(str::to_owned),
            inner.clone(),
            0..8,
        );
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_object_panics_and_none_is_refused_that_has_a_name(value in any_value()) {
        let text = value.to_string();
        for path in CardPath::ALL {
            let read = Card::parse_at(path, text.as_bytes());
            let name = value.get("name").and_then(Value::as_str).is_some_and(|n| !n.trim().is_empty());
            proptest::prop_assert!(!name || read.is_ok());
            if let Ok(card) = read {
                let base: WebUrl = "http://n1:20001".parse().unwrap();
                let warned = check(&card, View::of(&base));
                proptest::prop_assert!(warned.len() <= card.interfaces().len().max(1));
                proptest::prop_assert!(card.interfaces().iter().all(|i| !i.url.is_empty()));
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, cut in 0..2000_usize) {
        let _ = Card::parse(&bytes);
        // A card that broke off.
        let whole = v1().to_string().into_bytes();
        let cut = cut.min(whole.len() - 1);
        proptest::prop_assert!(Card::parse(&whole[..cut]).is_err());
    }

    #[test]
    fn members_that_nobody_knows_change_nothing(key in "x[a-z_A-Z]{0,10}", value in any_value()) {
        let mut card = v1();
        let before = Card::parse(card.to_string().as_bytes()).unwrap();
        card.as_object_mut().unwrap().insert(key, value);
        proptest::prop_assert_eq!(Card::parse(card.to_string().as_bytes()).unwrap(), before);
    }
}
