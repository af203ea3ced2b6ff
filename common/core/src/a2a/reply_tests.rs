//! What a person sees of an answer while it comes, and the whole of it.

use super::*;

fn parts(text: &str) -> Vec<Part> {
    vec![Part::Text(text.to_owned())]
}

fn said(text: &str) -> Message {
    Message { from_agent: true, parts: parts(text), ..Message::default() }
}

fn artifact(id: &str, text: &str, append: bool) -> Event {
    let artifact = Artifact { id: id.into(), name: None, parts: parts(text) };
    Event::Artifact { task: Some("t".into()), context: None, artifact, append }
}

fn status(state: TaskState, text: Option<&str>) -> Event {
    let (task, context) = (Some("t".into()), Some("c".into()));
    Event::Status { task, context, state, message: text.map(said) }
}

fn task(state: TaskState, made: &[(&str, &str)], history: Vec<Message>) -> Event {
    let artifacts = made
        .iter()
        .map(|(id, text)| Artifact { id: (*id).into(), name: None, parts: parts(text) })
        .collect();
    let (id, context) = (Some("t".into()), Some("c".into()));
    Event::Task(Task { id, context, state, message: None, artifacts, history })
}

/// What is shown: `answer` plain, notes in brackets; then the whole.
fn shown(events: Vec<Event>) -> String {
    let mut reply = Reply::new();
    let mut text = String::new();
    let mut answer = String::new();
    let mut pieces: Vec<Piece> = events.into_iter().flat_map(|e| reply.take(e)).collect();
    pieces.extend(reply.end());
    for piece in pieces {
        match piece {
            Piece::Answer(piece) => {
                text.push_str(&format!("{piece:?} "));
                answer.push_str(&piece);
            }
            Piece::Note(note) => text.push_str(&format!("({note}) ")),
        }
    }
    // What came in pieces is the whole, unless something was made anew.
    assert!(
        answer == reply.text() || answer.ends_with(&format!("\n{}", reply.text())),
        "{answer:?}"
    );
    let state = reply.state.map_or("-", TaskState::as_str);
    format!("{text}| {state} over={}", reply.is_over())
}

#[test]
fn answers_that_come_at_once() {
    use TaskState::{Completed, Failed, InputRequired, Working};
    let direct = Event::Message(said("hi"));
    assert_eq!(shown(vec![direct]), r#""hi" | - over=true"#);
    let made = task(Completed, &[("a", "one"), ("b", "two")], vec![said("thinking")]);
    assert_eq!(shown(vec![made]), r#""one\ntwo" | completed over=true"#);
    // Agents that make no artifacts say it in the status, or in the history.
    let words = vec![Message { from_agent: false, ..said("q") }, said("it is so")];
    assert_eq!(shown(vec![task(Completed, &[], words)]), r#""it is so" | completed over=true"#);
    assert_eq!(shown(vec![status(Failed, Some("no"))]), r#""no" | failed over=true"#);
    assert_eq!(
        shown(vec![status(InputRequired, Some("which?"))]),
        r#""which?" | input-required over=true"#
    );
    let asked = vec![artifact("a", "so far", false), status(InputRequired, Some("which?"))];
    assert_eq!(shown(asked), r#""so far" "\nwhich?" | input-required over=true"#);
    // An echo of the question is no answer.
    let echo = vec![Message { from_agent: false, ..said("q") }];
    assert_eq!(shown(vec![task(Working, &[], echo)]), "| working over=false");
}

#[test]
fn answers_that_come_in_pieces() {
    use TaskState::{Completed, Submitted, Working};
    let stream = vec![
        task(Submitted, &[], Vec::new()),
        status(Working, Some("looking")),
        status(Working, Some("looking")),
        artifact("a", "The ", false),
        artifact("a", "weather", true),
        artifact("b", "Maps", false),
        status(Completed, Some("done")),
        // A last whole task repeats what came.
        task(Completed, &[("a", "The weather"), ("b", "Maps")], Vec::new()),
    ];
    assert_eq!(
        shown(stream),
        r#"(looking) "The " "weather" "\nMaps" (done) | completed over=true"#
    );
    // Made anew: what was shown stays, the new text comes on a line of its own.
    let anew = vec![artifact("a", "first", false), artifact("a", "second", false)];
    assert_eq!(shown(anew), r#""first" "\nsecond" | - over=false"#);
    // Only words on the way: the last of them is the answer.
    let words =
        vec![status(Working, Some("half")), status(Working, Some("all")), status(Completed, None)];
    assert_eq!(shown(words), r#"(half) (all) "all" | completed over=true"#);
}

#[test]
fn names_of_task_and_conversation_are_kept() {
    let mut reply = Reply::new();
    reply.take(status(TaskState::Working, None));
    reply.take(Event::Status {
        task: None,
        context: None,
        state: TaskState::Completed,
        message: None,
    });
    assert_eq!((reply.task.as_deref(), reply.context.as_deref()), (Some("t"), Some("c")));
}

#[test]
fn parts_that_are_no_text() {
    let file = |url: Option<&str>| Part::File {
        name: Some("f.png".into()),
        media_type: Some("image/png".into()),
        url: url.map(str::to_owned),
        encoded_bytes: 400,
    };
    let parts = vec![Part::Data(serde_json::json!({"k": 1})), file(None), file(Some("http://x"))];
    let mut reply = Reply::new();
    reply.take(Event::Message(Message { parts, ..said("") }));
    assert_eq!(reply.text(), "{\"k\":1}\n[f.png, image/png, 300 bytes]\nhttp://x");
}
