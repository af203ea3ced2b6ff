//! Raw output of a host to tagged lines, in buffers for the printing threads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use a2arun_core::ids::{Incarnation, Rank};
use a2arun_core::lines::{LineAssembler, Sink, visible};
use a2arun_core::mask::{Mask, MaskStream};
use a2arun_core::status::EventJson;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::output::files::{Files, Piece};
use crate::output::printer::Sinks;
use crate::output::style::Style;
use crate::session::{Chunk, ChunkSink, StreamKind};

/// Half a line is shown on a terminal when nothing more came for this long.
const PARTIAL_AGE: Duration = Duration::from_millis(500);

/// Whose output it is: agent and copy by rank, on one host.
pub(crate) type Names = Arc<dyn Fn(Rank) -> Option<(String, u32)> + Send + Sync>;

/// How lines are written.
#[derive(Debug, Clone)]
pub(crate) enum LogFormat {
    /// Behind their tag; what each of our streams is decides about control characters.
    Tagged { stdout: Sink, stderr: Sink, style: Style, all_to_stderr: bool },
    /// One JSON document a line, on stdout.
    Jsonl { seq: Arc<AtomicU64> },
}

/// Whether output moves, over all hosts: a reader of ours that stands still is not a host that
/// sends nothing.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    chunks: AtomicU64,
    blocked: AtomicU64,
}

impl Activity {
    /// How many pieces have come.
    pub(crate) fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }

    /// Whether a printing thread lets somebody wait.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) > 0
    }
}

/// Takes the output of one host.
pub(crate) struct LogSink {
    activity: Arc<Activity>,
    mask: Mask,
    host: String,
    names: Names,
    format: LogFormat,
    sinks: Sinks,
    files: Option<Files>,
    streams: HashMap<(Rank, StreamKind), Stream>,
    partials: usize,
    last_lines: Option<watch::Sender<LastLines>>,
}

/// The last whole line of each instance, masked, for whoever waits for it.
pub(crate) type LastLines = BTreeMap<Rank, String>;

/// More of a line does not fit beside what is said of it.
const LAST_LINE_CHARS: usize = 100;

/// Whether the agent ended the last of these lines itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastLine {
    Whole,
    Partial,
}

struct Stream {
    incarnation: Incarnation,
    assembler: LineAssembler,
    /// `None`: there is nothing to mask.
    mask: Option<MaskStream>,
    prefix: Arc<[u8]>,
    last: Instant,
}

impl LogSink {
    pub(crate) fn new(
        host: String,
        names: Names,
        format: LogFormat,
        sinks: Sinks,
        files: Option<Files>,
        activity: Arc<Activity>,
        mask: Mask,
    ) -> Self {
        let streams = HashMap::new();
        let last_lines = None;
        Self { activity, mask, host, names, format, sinks, files, streams, partials: 0, last_lines }
    }

    /// Also tells the last line of each instance.
    pub(crate) fn telling_last_lines(mut self) -> (Self, watch::Receiver<LastLines>) {
        let (sender, receiver) = watch::channel(LastLines::new());
        self.last_lines = Some(sender);
        (self, receiver)
    }

    fn tell_last_line(&self, rank: Rank, data: &[u8]) {
        // Nobody listens once everybody is ready.
        let Some(sender) = self.last_lines.as_ref().filter(|s| !s.is_closed()) else { return };
        let mut lines = data.rsplit(|b| *b == b'\n').skip(1).filter(|l| !l.trim_ascii().is_empty());
        if let Some(line) = lines.next() {
            let text = visible(String::from_utf8_lossy(line).trim());
            let text = text.chars().take(LAST_LINE_CHARS).collect();
            sender.send_modify(|lines| drop(lines.insert(rank, text)));
        }
    }

    fn stream(&mut self, rank: Rank, incarnation: Incarnation, kind: StreamKind) -> &mut Stream {
        let (names, format, host) = (&self.names, &self.format, &self.host);
        let mask = &self.mask;
        self.streams.entry((rank, kind)).or_insert_with(|| {
            let (sink, style) = match (format, kind) {
                (
                    LogFormat::Tagged { stdout, style, all_to_stderr: false, .. },
                    StreamKind::Stdout,
                ) => (*stdout, *style),
                (LogFormat::Tagged { stderr, style, .. }, _) => (*stderr, *style),
                (LogFormat::Jsonl { .. }, _) => (Sink::Raw, Style::Plain),
            };
            let agent = names(rank).map_or_else(|| "?".to_owned(), |(agent, _)| agent);
            let prefix = match format {
                LogFormat::Tagged { .. } => style.tag(rank.0, &format!("[{rank} {agent}@{host}]")),
                LogFormat::Jsonl { .. } => Vec::new(),
            };
            Stream {
                incarnation,
                assembler: LineAssembler::new(sink),
                mask: mask.stream(),
                prefix: prefix.into(),
                last: Instant::now(),
            }
        })
    }

    async fn send(
        &self,
        (rank, incarnation, kind): (Rank, Incarnation, StreamKind),
        lines: Vec<u8>,
        last: LastLine,
    ) {
        if lines.is_empty() {
            return;
        }
        self.activity.blocked.fetch_add(1, Ordering::Relaxed);
        // A printing thread that is gone has no reader; the output is dropped.
        let _ = match (&self.format, kind) {
            (LogFormat::Tagged { all_to_stderr: false, .. }, StreamKind::Stdout) => {
                self.sinks.stdout.send(lines).await
            }
            (LogFormat::Tagged { .. }, _) => self.sinks.stderr.send(lines).await,
            (LogFormat::Jsonl { seq }, _) => {
                let text = self.as_json(seq, (rank, incarnation, kind), &lines, last);
                self.sinks.stdout.send(text).await
            }
        };
        self.activity.blocked.fetch_sub(1, Ordering::Relaxed);
    }

    fn as_json(
        &self,
        seq: &AtomicU64,
        (rank, incarnation, kind): (Rank, Incarnation, StreamKind),
        lines: &[u8],
        last: LastLine,
    ) -> Vec<u8> {
        let stream = match kind {
            StreamKind::Stdout => "stdout",
            StreamKind::Stderr => "stderr",
        };
        let agent = (self.names)(rank).map(|(agent, index)| format!("{agent}[{index}]"));
        let mut text = Vec::with_capacity(lines.len() * 2);
        let mut lines =
            lines.strip_suffix(b"\n").unwrap_or(lines).split(|b| *b == b'\n').peekable();
        while let Some(line) = lines.next() {
            let partial = lines.peek().is_none() && last == LastLine::Partial;
            let mut more = serde_json::Map::new();
            more.insert("stream".into(), stream.into());
            more.insert("line".into(), String::from_utf8_lossy(line).into());
            more.insert("partial".into(), partial.into());
            let event = EventJson {
                seq: seq.fetch_add(1, Ordering::Relaxed),
                time: Timestamp::now(),
                kind: "output".to_owned(),
                agent: agent.clone(),
                rank: Some(rank.0),
                host: Some(self.host.clone()),
                incarnation: Some(incarnation.0),
                more,
            };
            // Strings and numbers can always be written.
            if serde_json::to_writer(&mut text, &event).is_ok() {
                text.push(b'\n');
            }
        }
        text
    }
}

/// What may be seen of a piece of output.
#[derive(Default)]
struct Shown {
    masked: Vec<u8>,
}

impl Shown {
    /// What was held of a stream that is over.
    fn rest(&mut self, mask: Option<&mut MaskStream>) {
        if let Some(mask) = mask {
            mask.finish(&mut self.masked);
        }
    }

    /// Behind that, what may be seen of `data`: itself, where nothing is masked.
    fn take(mut self, data: Bytes, end: bool, mask: Option<&mut MaskStream>) -> Bytes {
        let Some(mask) = mask else { return data };
        mask.push(&data, &mut self.masked);
        if end {
            mask.finish(&mut self.masked);
        }
        self.masked.into()
    }
}

impl std::fmt::Debug for LogSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogSink").field("host", &self.host).finish_non_exhaustive()
    }
}

impl ChunkSink for LogSink {
    async fn chunk(&mut self, chunk: Chunk) {
        self.activity.chunks.fetch_add(1, Ordering::Relaxed);
        let Chunk { rank, incarnation, stream: kind, data, end, .. } = chunk;
        let mut lines = Vec::with_capacity(data.len() + data.len() / 2 + 64);
        let stream = self.stream(rank, incarnation, kind);
        let had = stream.assembler.has_partial();
        let prefix = stream.prefix.clone();
        let mut shown = Shown::default();
        if stream.incarnation != incarnation {
            stream.incarnation = incarnation;
            shown.rest(stream.mask.as_mut());
            stream.assembler.tag_into(&shown.masked, &prefix, &mut lines);
            stream.assembler.finish(&prefix, &mut lines);
        }
        let begun = shown.masked.len();
        let data = shown.take(data, end, stream.mask.as_mut());
        stream.assembler.tag_into(&data[begun..], &prefix, &mut lines);
        stream.last = Instant::now();
        self.tell_last_line(rank, &data[begun..]);
        let stream = self.stream(rank, incarnation, kind);
        let mut last = LastLine::Whole;
        if end && stream.assembler.finish(&prefix, &mut lines) {
            last = LastLine::Partial;
        }
        let has = stream.assembler.has_partial();
        self.partials = self.partials + usize::from(has) - usize::from(had);
        if let Some(files) = &self.files
            && !data.is_empty()
        {
            files.write(Piece { rank, stream: kind, data }).await;
        }
        self.send((rank, incarnation, kind), lines, last).await;
    }

    fn has_partial(&self) -> bool {
        // A file or pipe waits for the whole line: nobody looks at a half one.
        self.partials > 0
            && matches!(
                self.format,
                LogFormat::Tagged { stdout: Sink::Terminal, .. }
                    | LogFormat::Tagged { stderr: Sink::Terminal, .. }
            )
    }

    async fn flush_partial(&mut self) {
        let mut due = Vec::new();
        for ((rank, kind), stream) in &mut self.streams {
            if stream.assembler.has_partial() && stream.last.elapsed() >= PARTIAL_AGE {
                let mut lines = Vec::new();
                let prefix = stream.prefix.clone();
                stream.assembler.flush_partial(&prefix, &mut lines);
                due.push((*rank, stream.incarnation, *kind, lines));
            }
        }
        self.partials -= due.len();
        for (rank, incarnation, kind, lines) in due {
            self.send((rank, incarnation, kind), lines, LastLine::Partial).await;
        }
    }
}

impl LogSink {
    /// The end of everything: half lines go out.
    pub(crate) async fn finish(mut self) {
        let streams = std::mem::take(&mut self.streams);
        for ((rank, kind), mut stream) in streams {
            let mut lines = Vec::new();
            let mut shown = Shown::default();
            shown.rest(stream.mask.as_mut());
            stream.assembler.tag_into(&shown.masked, &stream.prefix, &mut lines);
            if let Some(files) = self.files.as_ref().filter(|_| !shown.masked.is_empty()) {
                files.write(Piece { rank, stream: kind, data: shown.masked.into() }).await;
            }
            if stream.assembler.finish(&stream.prefix, &mut lines) {
                self.send((rank, stream.incarnation, kind), lines, LastLine::Partial).await;
            }
        }
    }
}
