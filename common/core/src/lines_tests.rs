//! Tests of line assembly.

use super::*;

fn tag(sink: Sink, chunks: &[&[u8]]) -> String {
    let mut lines = LineAssembler::new(sink);
    let mut out = Vec::new();
    for chunk in chunks {
        lines.tag_into(chunk, b"[0] ", &mut out);
    }
    lines.flush_partial(b"[0] ", &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn lines_come_whole_and_partials_are_marked() {
    assert_eq!(tag(Sink::Raw, &[b"a\nb", b"c\n\nd"]), "[0] a\n[0] bc\n[0] \n[0] d …\n");
    assert_eq!(tag(Sink::Raw, &[b"", b"\n"]), "[0] \n");
    assert_eq!(tag(Sink::Raw, &[]), "");
}

#[test]
fn the_end_of_a_stream_is_marked_for_people_only() {
    for (sink, wanted) in [(Sink::Raw, "[0] a\n[0] b\n"), (Sink::Terminal, "[0] a\n[0] b …\n")] {
        let mut lines = LineAssembler::new(sink);
        let mut out = Vec::new();
        lines.tag_into(b"a\nb", b"[0] ", &mut out);
        assert!(lines.finish(b"[0] ", &mut out) && !lines.finish(b"[0] ", &mut out));
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}

#[test]
fn a_terminal_is_not_obeyed_to() {
    assert_eq!(tag(Sink::Terminal, &[b"\x1b[2Jx\x07\ty\r\n"]), "[0] ␛[2Jx␇\ty\n");
    assert_eq!(tag(Sink::Terminal, &[b"10%\r20%\n"]), "[0] 10%␍20%\n");
    assert_eq!(tag(Sink::Terminal, &[b"\xff\xc3", b"\xbc\n"]), "[0] \u{fffd}ü\n");
    assert_eq!(
        tag(Sink::Terminal, &["\u{9b}31m\u{202e}\n".as_bytes()]),
        "[0] \u{fffd}31m\u{fffd}\n"
    );
    assert_eq!(tag(Sink::Raw, &[b"\x1b[2J\r\n"]), "[0] \x1b[2J\r\n");
}

#[test]
fn a_line_without_end_costs_bounded_memory() {
    let mut lines = LineAssembler::new(Sink::Raw);
    let mut out = Vec::new();
    for _ in 0..100 {
        lines.tag_into(&[b'x'; 10_000], b"", &mut out);
        assert!(lines.tail.len() < TAIL_BYTES_MAX);
    }
    lines.flush_partial(b"", &mut out);
    assert_eq!(out.iter().filter(|b| **b == b'x').count(), 1_000_000);
}

#[test]
fn newlines_are_found_at_every_place() {
    for len in 0..40 {
        for at in 0..len {
            let mut bytes = vec![0x8a_u8; len];
            bytes[at] = b'\n';
            assert_eq!(find_newline(&bytes), Some(at));
            bytes[at] = 0x0b;
            assert_eq!(find_newline(&bytes), None);
        }
    }
}

proptest::proptest! {
    #[test]
    fn chunks_make_no_difference(
        text in proptest::collection::vec(proptest::prop_oneof![
            proptest::strategy::Just(b'\n'), proptest::prelude::any::<u8>()], 0..200),
        cuts in proptest::collection::vec(0..200_usize, 0..8),
        terminal: bool,
    ) {
        let sink = if terminal { Sink::Terminal } else { Sink::Raw };
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
        cuts.sort_unstable();
        let mut lines = LineAssembler::new(sink);
        let mut out = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            lines.tag_into(&text[from..cut], b"<0>", &mut out);
            from = cut;
        }
        let ended = !lines.flush_partial(b"<0>", &mut out);

        let mut whole = LineAssembler::new(sink);
        let mut once = Vec::new();
        whole.tag_into(&text, b"<0>", &mut once);
        whole.flush_partial(b"<0>", &mut once);
        proptest::prop_assert_eq!(&out, &once);

        // Every line has its tag at its beginning; without tags and mark, no byte is lost.
        let mut bytes = Vec::new();
        for line in out.split_inclusive(|b| *b == b'\n') {
            proptest::prop_assert!(line.starts_with(b"<0>") && line.ends_with(b"\n"));
            bytes.extend_from_slice(&line[3..]);
        }
        if !terminal {
            if !ended {
                bytes.truncate(bytes.len() - PARTIAL_MARK.len() - 1);
            }
            proptest::prop_assert_eq!(&bytes, &text);
        }
    }
}

#[test]
fn texts_for_a_terminal_keep_their_lines() {
    assert_eq!(visible("a\n\tb\r\n\x1b[31mc\n"), "a\n\tb\n␛[31mc\n");
    assert_eq!(visible("größe"), "größe");
    assert_eq!(visible(""), "");
}
