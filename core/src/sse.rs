//! Server-sent events: bytes to events and back, by the rules of the WHATWG HTML standard, section
//! 9.2 "Server-sent events" (cited below as "9.2.5" for the stream format and "9.2.6" for its
//! interpretation).
//!
//! [`Decoder`] is pushed chunks as they come from the wire and lends out events. An event that lies
//! whole in a chunk is borrowed from it; one that spans chunks is joined in a buffer that is used
//! again. Every byte is searched for its line end once, whatever the size of the chunks.
//! [`encode`] and [`comment`] write the same format. In [`Framing::Lines`] each line is an event:
//! how Ollama streams.
//!
//! What this module is not:
//! - It reads no text. `data` is bytes: the standard decodes the stream as UTF-8 with replacement
//!   characters before it splits, here whoever reads the data decides what invalid UTF-8 means.
//!   Both split alike, because no byte of a longer UTF-8 sequence is a CR, an LF or a colon.
//! - It reads no protocol. `[DONE]`, JSON and event names are the reader's, and so is an event
//!   whose `data` is empty (`data:` and a blank line), which the standard dispatches.
//! - It keeps no connection: the standard's "last event ID" is the last [`Event::id`] a client saw.
//!
//! ```
//! use streamgate_core::sse::{Decoder, EVENT_BYTES_MAX_DEFAULT};
//!
//! let mut decoder = Decoder::new(EVENT_BYTES_MAX_DEFAULT);
//! let mut seen = Vec::new();
//! for mut chunk in [&b"data: one\n\ndata: t"[..], b"wo\n\n"] {
//!     while let Some(event) = decoder.next(&mut chunk)? {
//!         seen.push(event.data.to_vec());
//!     }
//! }
//! assert_eq!(seen, [b"one", b"two"]);
//! assert_eq!(decoder.finish(), None);
//! # Ok::<(), streamgate_core::sse::TooLong>(())
//! ```

use std::fmt;
use std::mem;

/// The cap for a [`Decoder`] that has no reason for another one, in bytes: a data line of 16 MiB
/// (an inlined image, say) and its fields.
pub const EVENT_BYTES_MAX_DEFAULT: usize = 16 * 1024 * 1024 + 4096;

/// How much of a buffer is kept for the next event, in bytes. A larger one is given back as soon as
/// its event was read.
pub const KEPT_BYTES_MAX: usize = 16 * 1024;

/// How a provider's stream is cut into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Events,
    /// A line each, whose data it is whole; blank lines are none. Of JSON texts that is called
    /// NDJSON.
    Lines,
}

/// Splits a byte stream into events.
///
/// Its memory is bounded: the cap and a line end for the bytes of an unfinished event, and up to twice
/// the cap where data lines are joined. An event that lies whole in its chunk, in one data line, needs
/// none.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    state: State,
    /// The bytes so far of an event that spans chunks, else empty.
    frame: Vec<u8>,
    /// What the lines in `frame` said.
    fields: Fields,
    aside: Aside,
    event_bytes_max: usize,
}

/// One event, borrowed from the chunk or from the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event` field; `""` where there was none, which a browser calls `message`. A name that is
    /// not UTF-8 is one nobody listens for, and reads `"\u{FFFD}"`.
    pub name: &'a str,
    /// The `data` lines, joined by LF. May be empty, may be invalid UTF-8.
    pub data: &'a [u8],
    /// The event's own `id` field, if it has one. An id with a NUL is ignored, as the standard says;
    /// so is one that is not UTF-8.
    pub id: Option<&'a str>,
    /// The event as it came: from its first line to the end of its blank line, comments between
    /// included, comments before it not. A block without data is no event and has no frame. All
    /// frames in a row are a stream of the same events.
    ///
    /// When the blank line's CR is the last byte of a chunk, the event does not wait to see whether an
    /// LF follows. The frame then has the LF already if its other lines end in CR LF, since there are
    /// clients which know no CR alone, and ends in the CR if they do not.
    pub raw: &'a [u8],
}

impl Event<'_> {
    /// Whether it is an error by its name: `event: error`, a field `error` in place of `data`, as
    /// llama-server wrote it (ggml-org/llama.cpp#16104), or a line of JSON that begins with it.
    pub fn is_error(&self) -> bool {
        self.name == ERROR
    }
}

/// What a stream left unfinished when it ended.
///
/// The standard drops all of it. A proxy may not: providers forget the last blank line, and what was
/// cut must not look as if it had never been there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover<'a> {
    /// Every line was ended and there is data; only the blank line is missing.
    Event(Event<'a>),
    /// Cut inside a line, or before the data: the event as far as it came, its last line read as if
    /// it had ended there. `data` may be short or empty; `raw` is what there was.
    Cut(Event<'a>),
}

/// An event was longer than the decoder's cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The cap, in bytes.
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event of the stream is longer than {} bytes", self.limit)
    }
}

impl std::error::Error for TooLong {}

impl Decoder {
    /// A decoder for one stream of server-sent events, which fails at an event of more than
    /// `event_bytes_max` bytes: everything before its blank line counts, comments and line ends
    /// included.
    pub fn new(event_bytes_max: usize) -> Self {
        Self::framed(Framing::Events, event_bytes_max)
    }

    /// A decoder for one stream in this framing, which fails at an event of more than
    /// `event_bytes_max` bytes.
    pub fn framed(framing: Framing, event_bytes_max: usize) -> Self {
        Self {
            framing,
            state: State::AnswerMeta { mark_bytes: 0 },
            frame: Vec::new(),
            fields: Fields::default(),
            aside: Aside::default(),
            event_bytes_max,
        }
    }

    /// The next event, taken from the front of `chunk`. `None` when the chunk is used up, and then
    /// what is left of it is kept: go on with the stream's next chunk.
    ///
    /// Where chunks are cut makes no difference to events and errors.
    ///
    /// # Errors
    ///
    /// [`TooLong`], once. The decoder is then closed: it gives up its buffers, swallows every chunk
    /// and yields nothing more, for behind a gap nothing is known to be whole.
    pub fn next<'d, 'c: 'd>(
        &'d mut self,
        chunk: &mut &'c [u8],
    ) -> Result<Option<Event<'d>>, TooLong> {
        if self.state != State::Reading {
            self.settle(chunk);
        }
        if !self.frame.is_empty() && self.join(chunk)? {
            return Ok(Some(self.lend_frame()));
        }
        self.scan(chunk)
    }

    /// Ends the stream, and yields what was left in it. The decoder is closed afterwards.
    ///
    /// Unfinished comments are not reported.
    pub fn finish(&mut self) -> Option<Leftover<'_>> {
        let state = mem::replace(&mut self.state, State::Closed);
        if matches!(state, State::Lent | State::Closed) || self.frame.is_empty() {
            return None;
        }
        let line = Span { start: self.fields.line, end: self.frame.len() };
        let cut = line.start < line.end;
        let (framing, aside) = (self.framing, &mut self.aside);
        if cut && self.fields.end(framing, &self.frame, line, line.end, aside) == Step::Nothing {
            return None;
        }
        let whole = !cut && self.fields.data != Data::None;
        let event = self.fields.event(&self.frame, &self.aside.joined);
        Some(if whole { Leftover::Event(event) } else { Leftover::Cut(event) })
    }

    /// The reconnection time the stream last asked for (`retry`), in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.aside.retry_ms
    }
}

/// Appends an event to `out`, data line by data line, with its blank line.
///
/// CR LF, CR and LF in `data` each begin a new data line, so a reader sees them all as LF. A name or
/// an id cannot smuggle in a field: line ends in them are left out, and so is NUL.
pub fn encode(out: &mut Vec<u8>, event: Option<&str>, id: Option<&str>, data: &[u8]) {
    if let Some(name) = event {
        encode_field(out, b"event: ", name);
    }
    if let Some(id) = id {
        encode_field(out, b"id: ", id);
    }
    encode_lines(out, b"data: ", data);
    out.push(b'\n');
}

/// Appends a comment with a blank line of its own, such as a heartbeat. Only fit between events.
pub fn comment(out: &mut Vec<u8>, text: &str) {
    encode_lines(out, b": ", text.as_bytes());
    out.push(b'\n');
}

/// The name of events that are errors.
const ERROR: &str = "error";

/// 9.2.5: one leading U+FEFF is dropped.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No more was seen than the first bytes of what may be a byte order mark.
    AnswerMeta {
        mark_bytes: usize,
    },
    Reading,
    /// The event in the buffers was lent out; they are free again.
    Lent,
    /// Nothing more comes: the stream was finished, or an event was too long.
    Closed,
}

impl Decoder {
    /// Carries on an event that began in an earlier chunk, and says whether it is complete.
    fn join(&mut self, chunk: &mut &[u8]) -> Result<bool, TooLong> {
        self.join_line_end(chunk);
        while !self.frame.is_empty() {
            let Some((end, next)) = line_end(chunk, 0) else {
                self.hold(mem::take(chunk))?;
                return Ok(false);
            };
            let line = Span { start: self.fields.line, end: self.frame.len() + end };
            self.check(line.end)?;
            let (bytes, rest) = chunk.split_at(next);
            self.append(bytes);
            *chunk = rest;
            let next = self.frame.len();
            match self.fields.end(self.framing, &self.frame, line, next, &mut self.aside) {
                Step::Within => {}
                Step::Nothing => self.clear_frame(),
                Step::Complete => {
                    if chunk.is_empty() && lacks_lf(&self.frame) {
                        self.append(b"\n");
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// 9.2.5: CR LF is one line end, also when it is cut between chunks. Between events the LF may
    /// stay alone: there it is a blank line, which says nothing.
    fn join_line_end(&mut self, chunk: &mut &[u8]) {
        let after_cr = self.fields.line == self.frame.len() && self.frame.ends_with(b"\r");
        if after_cr && let Some(rest) = chunk.strip_prefix(b"\n") {
            self.append(b"\n");
            self.fields.line += 1;
            *chunk = rest;
        }
    }

    /// Looks for an event that lies whole in the chunk, and keeps what is left when there is none.
    fn scan<'d, 'c: 'd>(&'d mut self, chunk: &mut &'c [u8]) -> Result<Option<Event<'d>>, TooLong> {
        let mut block = *chunk;
        let mut fields = Fields::default();
        while let Some((end, next)) = line_end(block, fields.line) {
            self.check(end)?;
            let line = Span { start: fields.line, end };
            match fields.end(self.framing, block, line, next, &mut self.aside) {
                Step::Within => {}
                Step::Nothing => block = &block[next..],
                Step::Complete => {
                    let (raw, rest) = block.split_at(next);
                    *chunk = rest;
                    if rest.is_empty() && lacks_lf(raw) {
                        return Ok(Some(self.lend_with_lf(raw, fields)));
                    }
                    if fields.data == Data::Joined {
                        self.state = State::Lent;
                    }
                    return Ok(Some(fields.event(raw, &self.aside.joined)));
                }
            }
        }
        *chunk = &[];
        if !block.is_empty() {
            self.hold(block)?;
            self.fields = fields;
        }
        Ok(None)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.check(self.frame.len() + bytes.len())?;
        self.append(bytes);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) {
        if bytes.len() > self.frame.capacity() - self.frame.len() {
            self.grow(self.frame.len() + bytes.len());
        }
        self.frame.extend_from_slice(bytes);
    }

    /// Twice as large, but never larger than the cap and its line end.
    #[cold]
    fn grow(&mut self, needed: usize) {
        let most = self.event_bytes_max.saturating_add(2).max(needed);
        let capacity = self.frame.capacity().saturating_mul(2).clamp(needed, most);
        self.frame.reserve_exact(capacity - self.frame.len());
    }

    fn check(&mut self, event_bytes: usize) -> Result<(), TooLong> {
        if event_bytes > self.event_bytes_max { Err(self.too_long()) } else { Ok(()) }
    }

    #[cold]
    fn too_long(&mut self) -> TooLong {
        let limit = self.event_bytes_max;
        let retry_ms = self.aside.retry_ms;
        *self = Self { state: State::Closed, ..Self::framed(self.framing, limit) };
        self.aside.retry_ms = retry_ms;
        TooLong { limit }
    }

    fn lend_frame(&mut self) -> Event<'_> {
        self.state = State::Lent;
        mem::take(&mut self.fields).event(&self.frame, &self.aside.joined)
    }

    #[cold]
    fn lend_with_lf(&mut self, raw: &[u8], fields: Fields) -> Event<'_> {
        self.append(raw);
        self.append(b"\n");
        self.fields = fields;
        self.lend_frame()
    }

    /// Gets ready to read.
    fn settle(&mut self, chunk: &mut &[u8]) {
        match self.state {
            State::Reading => {}
            State::Lent => {
                self.state = State::Reading;
                self.clear_frame();
                self.aside.trim();
            }
            State::AnswerMeta { mark_bytes } => self.open(mark_bytes, chunk),
            State::Closed => *chunk = &[],
        }
    }

    /// 9.2.5: `stream = [ bom ] *event`. The mark may be cut between chunks.
    fn open(&mut self, mut mark_bytes: usize, chunk: &mut &[u8]) {
        while let (Some(expected), Some((byte, rest))) =
            (BYTE_ORDER_MARK.get(mark_bytes), chunk.split_first())
        {
            if byte != expected {
                self.append(&BYTE_ORDER_MARK[..mark_bytes]);
                self.state = State::Reading;
                return;
            }
            mark_bytes += 1;
            *chunk = rest;
        }
        self.state = match mark_bytes {
            3.. => State::Reading,
            _ => State::AnswerMeta { mark_bytes },
        };
    }

    fn clear_frame(&mut self) {
        self.frame.clear();
        self.frame.shrink_to(KEPT_BYTES_MAX);
    }
}

/// What an event seldom needs.
#[derive(Debug, Default)]
struct Aside {
    /// The data lines so far, where there are several.
    joined: Vec<u8>,
    retry_ms: Option<u64>,
}

impl Aside {
    fn trim(&mut self) {
        self.joined.clear();
        self.joined.shrink_to(KEPT_BYTES_MAX);
    }
}

/// What the lines of the event being read said. Offsets count from the event's first byte, wherever
/// that lies: in the chunk or in the frame.
#[derive(Clone, Copy, Debug, Default)]
struct Fields {
    /// Where the line being read begins.
    line: usize,
    name: Span,
    id: Option<Span>,
    data: Data,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Data {
    #[default]
    None,
    Line(Span),
    Joined,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

/// What the end of a line means for the event.
#[derive(PartialEq, Eq)]
enum Step {
    /// It goes on.
    Within,
    /// It is complete.
    Complete,
    /// There is no event yet: its bytes so far may go.
    Nothing,
}

impl Fields {
    // Inlined, as what it calls.
    #[inline(always)]
    fn end(
        &mut self,
        framing: Framing,
        bytes: &[u8],
        line: Span,
        next: usize,
        aside: &mut Aside,
    ) -> Step {
        match framing {
            Framing::Events => self.end_line(bytes, line, next, aside),
            Framing::Lines => self.end_record(line),
        }
    }

    /// A line is an event by itself.
    fn end_record(&mut self, line: Span) -> Step {
        if line.start == line.end {
            return Step::Nothing;
        }
        self.data = Data::Line(line);
        Step::Complete
    }

    /// Reads a line of `bytes`; the one after it begins at `next`.
    // Inlined, it takes an eighth off the time of a whole event.
    #[inline(always)]
    fn end_line(&mut self, bytes: &[u8], line: Span, next: usize, aside: &mut Aside) -> Step {
        if line.start == line.end {
            return self.end_block();
        }
        if line.start == 0 && !opens_event(bytes) {
            return Step::Nothing;
        }
        self.line = next;
        match value(bytes, line, b"data") {
            Some(value) if self.data == Data::None => self.data = Data::Line(value),
            Some(value) => self.add_data(bytes, value, aside),
            None => self.read_field(bytes, line, aside),
        }
        Step::Within
    }

    /// 9.2.6, "dispatch the event": without data there is no event, and the name is forgotten.
    fn end_block(&mut self) -> Step {
        if self.data == Data::None {
            *self = Self::default();
            return Step::Nothing;
        }
        Step::Complete
    }

    /// 9.2.6: each data line adds its value and an LF; the last LF is dropped at the end.
    fn add_data(&mut self, bytes: &[u8], value: Span, aside: &mut Aside) {
        if let Data::Line(first) = self.data {
            aside.joined.extend_from_slice(first.of(bytes));
            self.data = Data::Joined;
        }
        aside.joined.push(b'\n');
        aside.joined.extend_from_slice(value.of(bytes));
    }

    /// 9.2.6, "process the field", all but data. Names are matched exactly, every other line is
    /// ignored, comments too, since they begin with a colon; but not an error in place of data.
    fn read_field(&mut self, bytes: &[u8], line: Span, aside: &mut Aside) {
        if let Some(name) = value(bytes, line, b"event") {
            self.name = name;
        } else if let Some(id) = value(bytes, line, b"id") {
            if !id.of(bytes).contains(&0) && str::from_utf8(id.of(bytes)).is_ok() {
                self.id = Some(id);
            }
        } else if let Some(retry) = value(bytes, line, b"retry") {
            aside.retry_ms = retry_ms(retry.of(bytes)).or(aside.retry_ms);
        } else if self.data == Data::None
            && let Some((name, error)) = error(bytes, line)
        {
            (self.name, self.data) = (name, Data::Line(error));
        }
    }

    fn event<'a>(&self, raw: &'a [u8], joined: &'a [u8]) -> Event<'a> {
        Event {
            name: match self.name.of(raw) {
                [] => "",
                name => str::from_utf8(name).unwrap_or("\u{FFFD}"),
            },
            data: match self.data {
                Data::None => &[],
                Data::Line(value) => value.of(raw),
                Data::Joined => joined,
            },
            id: self.id.and_then(|id| str::from_utf8(id.of(raw)).ok()),
            raw,
        }
    }
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start..self.end]
    }
}

/// Where the line that begins at `from` ends, and where the next one begins. 9.2.5: a line ends at
/// CR LF, at LF or at CR. A CR in the last place is a line end already; an LF may still follow it.
fn line_end(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let end = match bytes.get(from)? {
        // A blank line follows almost every data line.
        b'\n' | b'\r' => from,
        _ => from + memchr::memchr2(b'\n', b'\r', &bytes[from..])?,
    };
    let crlf = bytes[end] == b'\r' && bytes.get(end + 1) == Some(&b'\n');
    Some((end, end + if crlf { 2 } else { 1 }))
}

/// Whether a frame at the end of a chunk awaits an LF, to judge by its lines before.
fn lacks_lf(raw: &[u8]) -> bool {
    raw.ends_with(b"\r\n\r")
}

/// Whether an event's first line says anything. Comments do not. Nor does a line that begins with
/// the first byte of a byte order mark, which no field does; and left in front of a frame, the mark
/// would be dropped from a stream of frames, and the line would become a field.
fn opens_event(line: &[u8]) -> bool {
    !matches!(line.first(), Some(b':' | 0xEF))
}

/// The value of a line of this field. 9.2.6: after the colon and one optional space; a line without a
/// colon is a field with an empty value.
fn value(bytes: &[u8], line: Span, field: &[u8]) -> Option<Span> {
    let skip = match line.of(bytes).strip_prefix(field)? {
        [] => 0,
        [b':', b' ', ..] => 2,
        [b':', ..] => 1,
        _ => return None,
    };
    Some(Span { start: line.start + field.len() + skip, end: line.end })
}

/// The name and the value of a line that is an error: `error: {...}`, or `{"error": ...}`.
fn error(bytes: &[u8], line: Span) -> Option<(Span, Span)> {
    let name = |from: usize| {
        let start = line.start + from;
        Span { start, end: start + ERROR.len() }
    };
    match value(bytes, line, ERROR.as_bytes()) {
        Some(error) if error.start < error.end => Some((name(0), error)),
        Some(_) => None,
        None => line.of(bytes).starts_with(b"{\"error\":").then(|| (name(2), line)),
    }
}

/// 9.2.6: "if the field value consists of only ASCII digits". One that does not fit is ignored.
fn retry_ms(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok()
}

fn encode_field(out: &mut Vec<u8>, field: &[u8], value: &str) {
    out.extend_from_slice(field);
    out.extend(value.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
    out.push(b'\n');
}

fn encode_lines(out: &mut Vec<u8>, field: &[u8], text: &[u8]) {
    let mut from = 0;
    while let Some((end, next)) = line_end(text, from) {
        encode_line(out, field, &text[from..end]);
        from = next;
    }
    encode_line(out, field, &text[from..]);
}

fn encode_line(out: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    out.reserve(field.len() + value.len() + 2);
    out.extend_from_slice(field);
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests;
