//! Server-sent events: bytes to events and back, by the rules of the WHATWG HTML standard, section
//! 9.2 "Server-sent events" (cited below as "9.2.5" for the stream format and "9.2.6" for its
//! interpretation).
//!
//! [`Decoder`] is pushed chunks as they come from the wire and lends out events. An event that lies
//! whole in a chunk is borrowed from it; one that spans chunks is joined in a buffer that is used
//! again. Every byte is searched for its line end once, whatever the size of the chunks.
//! [`encode`] and [`comment`] write the same format.
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

/// Splits a byte stream into events.
///
/// Its memory is bounded: at most the cap for the bytes of an unfinished event, and once more where
/// several data lines are joined.
#[derive(Debug)]
pub struct Decoder {
    /// The bytes so far of an event that spans chunks, else empty.
    frame: Vec<u8>,
    block: Block,
    event_bytes_max: usize,
    /// What is still missing of a byte order mark; empty once it is decided.
    mark: &'static [u8],
    /// The chunk before ended in CR: an LF that opens the next one belongs to that line end.
    after_cr: bool,
    /// `frame` was lent out as an event and is empty for the next one.
    lent: bool,
    /// Nothing more comes: the stream was finished, or an event was too long.
    closed: bool,
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
    /// Where a CR LF that ends the blank line is cut between two chunks, the frame ends in its CR,
    /// which is a line end too.
    pub raw: &'a [u8],
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
    /// A decoder for one stream, which fails at an event of more than `event_bytes_max` bytes:
    /// everything before its blank line counts, comments and line ends included.
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            frame: Vec::new(),
            block: Block::default(),
            event_bytes_max,
            mark: BYTE_ORDER_MARK,
            after_cr: false,
            lent: false,
            closed: false,
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
        let Some(&last) = chunk.last() else { return Ok(None) };
        self.prepare(chunk);
        let found = self.find(chunk);
        if chunk.is_empty() {
            self.after_cr = last == b'\r';
        }
        match found {
            Ok(found) => Ok(found.map(move |found| self.lend(found))),
            Err(error) => {
                self.close();
                Err(error)
            }
        }
    }

    /// Ends the stream, and yields what was left in it. The decoder is closed afterwards.
    ///
    /// Unfinished comments are not reported.
    pub fn finish(&mut self) -> Option<Leftover<'_>> {
        self.forget_lent();
        if mem::replace(&mut self.closed, true) || self.frame.is_empty() {
            return None;
        }
        let line = Span { start: self.block.fields.line, end: self.frame.len() };
        let cut = line.start < line.end;
        if cut && let Step::Nothing = self.block.end_line(&self.frame, line, line.end) {
            return None;
        }
        let whole = !cut && self.block.fields.data != Data::None;
        let event = self.lend(Found::InFrame);
        Some(if whole { Leftover::Event(event) } else { Leftover::Cut(event) })
    }

    /// The reconnection time the stream last asked for (`retry`), in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.block.retry_ms
    }
}

/// Appends an event to `out`, data line by data line, with its blank line.
///
/// CR LF, CR and LF in `data` each begin a new data line, so a reader sees them all as LF. A name or
/// an id cannot smuggle in a field: line ends in them, and a NUL in an id, are left out.
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

/// 9.2.5: one leading U+FEFF is dropped.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where a complete event lies.
enum Found<'c> {
    InChunk(&'c [u8]),
    InFrame,
}

impl Decoder {
    fn find<'c>(&mut self, chunk: &mut &'c [u8]) -> Result<Option<Found<'c>>, TooLong> {
        if self.closed {
            *chunk = &[];
        }
        if self.join(chunk)? {
            return Ok(Some(Found::InFrame));
        }
        if chunk.is_empty() {
            return Ok(None);
        }
        Ok(self.scan(chunk)?.map(Found::InChunk))
    }

    /// Carries on an event that began in an earlier chunk, and says whether it is complete.
    fn join(&mut self, chunk: &mut &[u8]) -> Result<bool, TooLong> {
        while !self.frame.is_empty() {
            let Some((end, next)) = line_end(chunk, 0) else {
                self.hold(mem::take(chunk))?;
                return Ok(false);
            };
            let line = Span { start: self.block.fields.line, end: self.frame.len() + end };
            self.check(line.end)?;
            let (bytes, rest) = chunk.split_at(next);
            self.append(bytes);
            *chunk = rest;
            match self.block.end_line(&self.frame, line, self.frame.len()) {
                Step::Within => {}
                Step::Nothing => self.clear_frame(),
                Step::Complete => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Looks for an event that lies whole in the chunk, and keeps what is left when there is none.
    fn scan<'c>(&mut self, chunk: &mut &'c [u8]) -> Result<Option<&'c [u8]>, TooLong> {
        let mut block = *chunk;
        while let Some((end, next)) = line_end(block, self.block.fields.line) {
            self.check(end)?;
            let line = Span { start: self.block.fields.line, end };
            match self.block.end_line(block, line, next) {
                Step::Within => {}
                Step::Nothing => block = &block[next..],
                Step::Complete => {
                    let (raw, rest) = block.split_at(next);
                    *chunk = rest;
                    return Ok(Some(raw));
                }
            }
        }
        *chunk = &[];
        self.hold(block)?;
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

    fn check(&self, event_bytes: usize) -> Result<(), TooLong> {
        let limit = self.event_bytes_max;
        if event_bytes > limit { Err(TooLong { limit }) } else { Ok(()) }
    }

    fn lend<'d, 'c: 'd>(&'d mut self, found: Found<'c>) -> Event<'d> {
        let fields = mem::take(&mut self.block.fields);
        match found {
            Found::InChunk(raw) => fields.event(raw, &self.block.joined),
            Found::InFrame => {
                self.lent = true;
                fields.event(&self.frame, &self.block.joined)
            }
        }
    }

    /// Settles what the chunk before left open.
    fn prepare(&mut self, chunk: &mut &[u8]) {
        self.forget_lent();
        if !self.mark.is_empty() {
            self.skip_mark(chunk);
        }
        if mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
            self.skip_lf(chunk);
        }
    }

    fn forget_lent(&mut self) {
        if mem::take(&mut self.lent) {
            self.clear_frame();
        }
        if self.block.joined.capacity() > KEPT_BYTES_MAX && self.block.fields.data != Data::Joined {
            self.block.joined = Vec::new();
        }
    }

    fn clear_frame(&mut self) {
        self.frame.clear();
        self.frame.shrink_to(KEPT_BYTES_MAX);
    }

    /// 9.2.5: `stream = [ bom ] *event`. The mark may be cut between chunks.
    fn skip_mark(&mut self, chunk: &mut &[u8]) {
        while let (Some((&expected, missing)), Some((&byte, rest))) =
            (self.mark.split_first(), chunk.split_first())
        {
            if byte == expected {
                self.mark = missing;
                *chunk = rest;
            } else {
                let held = BYTE_ORDER_MARK.len() - self.mark.len();
                self.frame.extend_from_slice(&BYTE_ORDER_MARK[..held]);
                self.mark = &[];
            }
        }
    }

    /// 9.2.5: CR LF is one line end, also when it is cut between chunks.
    fn skip_lf(&mut self, chunk: &mut &[u8]) {
        *chunk = &chunk[1..];
        if !self.frame.is_empty() {
            self.frame.push(b'\n');
            self.block.fields.line += 1;
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.frame = Vec::new();
        self.block = Block { retry_ms: self.block.retry_ms, ..Block::default() };
    }
}

/// The event being read, line by line. Its bytes are elsewhere, in the chunk or in the frame; every
/// offset counts from the first of them.
#[derive(Debug, Default)]
struct Block {
    fields: Fields,
    /// The data lines so far, where there are several.
    joined: Vec<u8>,
    retry_ms: Option<u64>,
}

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
enum Step {
    /// It goes on.
    Within,
    /// It is complete.
    Complete,
    /// There is no event yet: its bytes so far may go.
    Nothing,
}

impl Block {
    /// Reads a line of `bytes`; the one after it begins at `next`.
    fn end_line(&mut self, bytes: &[u8], line: Span, next: usize) -> Step {
        if line.start == line.end {
            return self.end_block();
        }
        if line.start == 0 && !opens_event(bytes) {
            return Step::Nothing;
        }
        self.fields.line = next;
        self.read_field(bytes, line);
        Step::Within
    }

    /// 9.2.6, "dispatch the event": without data there is no event, and the name is forgotten.
    fn end_block(&mut self) -> Step {
        if self.fields.data == Data::None {
            self.fields = Fields::default();
            return Step::Nothing;
        }
        Step::Complete
    }

    /// 9.2.6, "process the field". Names are matched exactly, every other line is ignored, comments
    /// too, since they begin with a colon.
    fn read_field(&mut self, bytes: &[u8], line: Span) {
        let text = line.of(bytes);
        if let Some(offset) = value_offset(text, b"data") {
            self.add_data(bytes, Span { start: line.start + offset, end: line.end });
        } else if let Some(offset) = value_offset(text, b"event") {
            self.fields.name = Span { start: line.start + offset, end: line.end };
        } else if let Some(offset) = value_offset(text, b"id") {
            let id = Span { start: line.start + offset, end: line.end };
            if !id.of(bytes).contains(&0) && std::str::from_utf8(id.of(bytes)).is_ok() {
                self.fields.id = Some(id);
            }
        } else if let Some(offset) = value_offset(text, b"retry") {
            self.retry_ms = retry_ms(&text[offset..]).or(self.retry_ms);
        }
    }

    /// 9.2.6: each data line adds its value and an LF; the last LF is dropped at the end.
    fn add_data(&mut self, bytes: &[u8], value: Span) {
        match self.fields.data {
            Data::None => {
                self.fields.data = Data::Line(value);
                return;
            }
            Data::Line(first) => {
                self.joined.clear();
                self.joined.extend_from_slice(first.of(bytes));
                self.fields.data = Data::Joined;
            }
            Data::Joined => {}
        }
        self.joined.push(b'\n');
        self.joined.extend_from_slice(value.of(bytes));
    }
}

impl Fields {
    fn event<'a>(self, raw: &'a [u8], joined: &'a [u8]) -> Event<'a> {
        Event {
            name: std::str::from_utf8(self.name.of(raw)).unwrap_or("\u{FFFD}"),
            data: match self.data {
                Data::None => &[],
                Data::Line(value) => value.of(raw),
                Data::Joined => joined,
            },
            id: self.id.and_then(|id| std::str::from_utf8(id.of(raw)).ok()),
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
    let end = from + memchr::memchr2(b'\n', b'\r', &bytes[from..])?;
    let crlf = bytes[end] == b'\r' && bytes.get(end + 1) == Some(&b'\n');
    Some((end, end + if crlf { 2 } else { 1 }))
}

/// Whether an event's first line says anything. Comments do not. Nor does a line that begins with
/// the first byte of a byte order mark, which no field does; and left in front of a frame, the mark
/// would be dropped from a stream of frames, and the line would become a field.
fn opens_event(line: &[u8]) -> bool {
    !matches!(line.first(), Some(b':' | 0xEF))
}

/// Where the value begins in a line of this field. 9.2.6: after the colon and one optional space; a
/// line without a colon is a field with an empty value.
fn value_offset(line: &[u8], field: &[u8]) -> Option<usize> {
    match line.strip_prefix(field)? {
        [] => Some(field.len()),
        [b':', b' ', ..] => Some(field.len() + 2),
        [b':', ..] => Some(field.len() + 1),
        _ => None,
    }
}

/// 9.2.6: "if the field value consists of only ASCII digits". One that does not fit is ignored.
fn retry_ms(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
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
