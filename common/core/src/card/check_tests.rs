//! What is warned of, and what is not.

use serde_json::json;

use super::*;

fn card(url: &str, binding: &str) -> Card {
    let interface = json!({"url": url, "protocolBinding": binding, "protocolVersion": "1.0"});
    let text = json!({"name": "a", "supportedInterfaces": [interface]}).to_string();
    Card::parse(text.as_bytes()).unwrap()
}

fn troubles(card_url: &str, binding: &str, url: &str) -> String {
    let url: WebUrl = url.parse().unwrap();
    let view = View { url: &url, ports: &[20002], names: &["n1", "fd00::1"] };
    let warnings = check(&card(card_url, binding), view);
    let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    if lines.is_empty() { "fine".to_owned() } else { lines.join("\n") }
}

#[test]
fn seen_from_other_hosts() {
    let mut text = String::new();
    for (url, binding) in [
        ("http://10.77.1.1:20001", "JSONRPC"),
        ("http://10.77.1.1:20001/sub/path/", "JSONRPC"),
        ("http://n1:20001", "JSONRPC"),
        ("http://N1.:20001", "JSONRPC"),
        ("http://[fd00::1]:20001", "JSONRPC"),
        ("10.77.1.1:20002", "GRPC"),
        ("http://0.0.0.0:20001/", "JSONRPC"),
        ("http://[::]:20001/", "HTTP+JSON"),
        ("http://localhost:20001/", "JSONRPC"),
        ("http://127.0.0.1:20001/", "JSONRPC"),
        ("http://[::1]:20001", "JSONRPC"),
        ("localhost:20002", "GRPC"),
        ("http://10.77.1.1:9999/", "JSONRPC"),
        ("http://10.77.1.1/", "JSONRPC"),
        ("http://10.77.1.2:20001/", "JSONRPC"),
        ("https://agent.example.com/a2a", "JSONRPC"),
        ("https://10.77.1.1:20001/", "JSONRPC"),
        ("https://10.77.1.1:20002/", "JSONRPC"),
        ("/a2a", "JSONRPC"),
        ("ws://10.77.1.1:20001/", "HTTP+JSON"),
        ("ws://10.77.1.1:20001/", "https://example.com/bindings/websocket/v1"),
        ("not a url", "JSONRPC"),
        ("http://\u{1b}[31m/", "JSONRPC"),
    ] {
        let found = troubles(url, binding, "http://10.77.1.1:20001");
        text.push_str(&format!("{url:?} {binding}\n  {found}\n"));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn on_one_machine_loopback_is_right() {
    let here = "http://127.0.0.1:20001";
    assert_eq!(troubles("http://127.0.0.1:20001/a2a", "JSONRPC", here), "fine");
    assert_eq!(troubles("http://localhost:20001", "JSONRPC", here), "fine");
    insta::assert_snapshot!(troubles("http://[::1]:20001", "JSONRPC", here), @"its card says http://[::1]:20001 (JSONRPC), which is another host; it is called at http://127.0.0.1:20001");
    insta::assert_snapshot!(troubles("http://0.0.0.0:20001", "JSONRPC", here), @"its card says http://0.0.0.0:20001 (JSONRPC), an address to bind to, not to call; it is called at http://127.0.0.1:20001");
    insta::assert_snapshot!(troubles("http://10.0.0.5:20001", "JSONRPC", here), @"its card says http://10.0.0.5:20001 (JSONRPC), which is another host; it is called at http://127.0.0.1:20001");
    // Hosts that are loopback addresses are hosts all the same.
    insta::assert_snapshot!(troubles("http://127.0.0.1:20001", "JSONRPC", "http://127.77.1.2:20001"), @"its card says http://127.0.0.1:20001 (JSONRPC), which is another host; it is called at http://127.77.1.2:20001");
}

#[test]
fn one_warning_for_each_url_and_one_for_none() {
    let url: WebUrl = "http://10.77.1.1:20001".parse().unwrap();
    let bad = "http://0.0.0.0:20001";
    let text = json!({"name": "a", "url": bad, "protocolVersion": "0.3.0", "supportedInterfaces": [
        {"url": bad, "protocolBinding": "JSONRPC"}, {"url": bad, "protocolBinding": "HTTP+JSON"},
        {"url": "http://10.77.1.1:20001", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]});
    let card = Card::parse(text.to_string().as_bytes()).unwrap();
    let warnings = check(&card, View::of(&url));
    assert_eq!(warnings.len(), 1);
    assert_eq!((&warnings[0].trouble, warnings[0].card_url.as_str()), (&Trouble::Wildcard, bad));
    assert!(warnings[0].hint().contains("A2A_PUBLIC_URL"));

    let none = Card::parse(br#"{"name": "a"}"#).unwrap();
    let warnings = check(&none, View::of(&url));
    insta::assert_snapshot!(warnings[0], @"its card names no URL; it is called at http://10.77.1.1:20001");
    let original = Card::parse_at(CardPath::AgentConfiguration, br#"{"name": "a"}"#).unwrap();
    assert_eq!(check(&original, View::of(&url)), []);
}

proptest::proptest! {
    /// What the launcher told the agent is never complained about.
    #[test]
    fn an_agent_that_says_what_it_was_told_is_right(
        host in "(10\\.[0-9]{1,2}\\.1\\.[1-9]|127\\.0\\.0\\.1|\\[fd00::[0-9a-f]{1,4}\\]|[a-z][a-z0-9]{0,8})",
        port in 1..65535_u16, path in "(/[a-z]{1,5}){0,3}/?",
    ) {
        let url: WebUrl = format!("http://{host}:{port}").parse().unwrap();
        let told = format!("{url}{path}");
        for binding in ["JSONRPC", "HTTP+JSON", "GRPC"] {
            proptest::prop_assert_eq!(check(&card(&told, binding), View::of(&url)), []);
        }
    }

    /// A wildcard is always complained about.
    #[test]
    fn no_wildcard_passes(port in 1..65535_u16, six: bool) {
        let url: WebUrl = format!("http://10.0.0.1:{port}").parse().unwrap();
        let wild = if six { "[::]" } else { "0.0.0.0" };
        let warnings = check(&card(&format!("http://{wild}:{port}/x"), "JSONRPC"), View::of(&url));
        proptest::prop_assert_eq!(&warnings[0].trouble, &Trouble::Wildcard);
    }
}
