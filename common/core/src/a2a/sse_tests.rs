//! Streams cut anywhere.

use super::*;

fn read_in(bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    let mut reader = SseReader::new();
    let mut events = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
        reader.push(chunk, &mut events).unwrap();
        rest = tail;
    }
    reader.push(rest, &mut events).unwrap();
    events.extend(reader.finish());
    events
}

/// The standard's words over the whole text, as slow as it likes.
fn plainly(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let mut data: Vec<&str> = Vec::new();
    for line in text.split('\n').chain([""]) {
        if line.is_empty() {
            let event = data.join("\n");
            if !event.is_empty() {
                events.push(event);
            }
            data.clear();
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        } else if line == "data" {
            data.push("");
        }
    }
    events
}

#[test]
fn what_agents_send() {
    let events = |text: &str| read_in(text.as_bytes(), &[]);
    assert_eq!(events("data: {\"a\":1}\n\ndata: {\"b\":2}\n\n"), ["{\"a\":1}", "{\"b\":2}"]);
    assert_eq!(events("data: one\r\ndata:two\r\n\r\n"), ["one\ntwo"]);
    assert_eq!(events(": ping - 2026-01-01\r\n\r\nevent: message\nid: 7\ndata: x\n\n"), ["x"]);
    assert_eq!(events("\u{feff}data: x\rdata: y\r\r"), ["x\ny"]);
    assert_eq!(events("data: without its end"), ["without its end"]);
    assert_eq!(events("retry: 1\n\n\n\ndata\n\ndata:\n\n"), Vec::<String>::new());
    assert_eq!(events("data: größe ✓\n\n"), ["größe ✓"]);
}

#[test]
fn an_event_without_end_is_refused() {
    let mut reader = SseReader::new();
    let chunk = vec![b'x'; EVENT_BYTES_MAX];
    let mut events = Vec::new();
    reader.push(b"data: ", &mut events).unwrap();
    assert_eq!(reader.push(&chunk, &mut events), Err(TooLarge));
    let mut reader = SseReader::new();
    let line = [b"data: ".as_slice(), &vec![b'y'; 1 << 20], b"\n"].concat();
    let read = (0..20).try_for_each(|_| reader.push(&line, &mut events));
    assert_eq!(read, Err(TooLarge));
}

proptest::proptest! {
    #[test]
    fn cuts_change_nothing(
        text in "\u{feff}?((data|event|id|: ping|dat)?:? ?[a-zä{}\":]{0,6}(\r\n|\n|\r)){0,12}[a-z:]{0,5}",
        cuts in proptest::collection::vec(0..7_usize, 0..40),
    ) {
        let whole = read_in(text.as_bytes(), &[]);
        proptest::prop_assert_eq!(&whole, &plainly(&text));
        proptest::prop_assert_eq!(read_in(text.as_bytes(), &cuts), whole);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, cuts in proptest::collection::vec(0..9_usize, 0..20)) {
        proptest::prop_assert_eq!(read_in(&bytes, &cuts), read_in(&bytes, &[]));
    }
}
