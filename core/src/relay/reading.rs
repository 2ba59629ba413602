//! What the frames of one attempt have said so far, and how each is handed on: as the bytes that
//! came where the client reads the same protocol and nothing must change, else as events.

use super::delivery::Delivery;
use crate::chat::{Event, FinishReason, Usage};
use crate::failure::{Failure, Reason};
use crate::json::Halves;
use crate::protocol::{ReadError, Step, StreamReader};
use crate::target::ProviderProtocol;
use crate::time::Instant;

/// How much may come before the first content and be held for it, in bytes.
const HELD_BYTES_MAX: usize = 256 * 1024;

/// What the client's side makes of frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forwarding {
    /// Frames of a stream that need no change are forwarded as they came.
    pub(super) frames: bool,
    /// A whole answer is forwarded as it came.
    pub(super) whole: bool,
    /// Frames that carry nothing but usage are for the client too.
    pub(super) usage: bool,
}

#[derive(Debug)]
pub(super) struct Reading {
    forwarding: Forwarding,
    /// The provider's names for the answer and the model, until the first content.
    start: Option<(String, String)>,
    /// Frames from before the first content.
    held: Vec<u8>,
    /// The frames that finish the answer, kept until its end is certain.
    last: Vec<u8>,
    /// The data of the frame that finishes the answer, should it say something as well.
    last_words: Vec<u8>,
    /// Whether those frames say why the model stopped, and what it cost.
    finished_as_it_came: bool,
    counted_as_it_came: bool,
    /// Characters that are cut in two between frames.
    halves: Halves,
    /// Whether it goes on with an answer that broke.
    continues: bool,
    /// Whether there was content.
    pub(super) content: bool,
    /// Why the model stopped.
    pub(super) finish: Option<FinishReason>,
    /// What the provider counted.
    pub(super) usage: Option<Usage>,
    /// What it counted of the prompt alone.
    pub(super) prompt: Option<Usage>,
    /// Frames that could not be read.
    pub(super) skipped: u64,
    /// Why the first of them could not.
    garbage: Option<String>,
}

/// A frame of a stream.
pub(super) struct Frame<'a> {
    pub(super) data: &'a [u8],
    /// The frame as it came.
    pub(super) raw: &'a [u8],
    pub(super) reader: &'a mut StreamReader,
}

impl Frame<'_> {
    /// The frame with other data, and all else in it as it came.
    fn raw_with(&self, data: &[u8]) -> Vec<u8> {
        match memchr::memmem::find(self.raw, self.data) {
            Some(at) => [&self.raw[..at], data, &self.raw[at + self.data.len()..]].concat(),
            // The data came on several lines.
            None => [b"data: ", data, b"\n\n"].concat(),
        }
    }
}

/// What one frame held.
#[derive(Default)]
struct Seen {
    content: bool,
    finish: Option<FinishReason>,
    usage: bool,
}

impl Reading {
    pub(super) fn new(forwarding: Forwarding, continues: bool) -> Self {
        Self {
            forwarding,
            continues,
            halves: Halves::default(),
            start: None,
            held: Vec::new(),
            last: Vec::new(),
            last_words: Vec::new(),
            finished_as_it_came: false,
            counted_as_it_came: false,
            content: false,
            finish: None,
            usage: None,
            prompt: None,
            skipped: 0,
            garbage: None,
        }
    }

    /// Reads one frame and hands it on.
    ///
    /// A frame that cannot be read is skipped and counted; an error the provider reports is one.
    pub(super) fn frame(
        &mut self,
        now: Instant,
        mut frame: Frame<'_>,
        delivery: &mut Delivery,
    ) -> Result<Step, Failure> {
        if frame.data.is_empty() {
            return Ok(Step::More);
        }
        let garbage = match self.read(now, &mut frame, delivery) {
            Ok(step) => return Ok(step),
            Err(ReadError::Provider(failure)) => return Err(failure),
            Err(ReadError::Malformed(detail)) => detail,
        };
        if let Some(data) = self.halves.join(frame.data) {
            let raw = &frame.raw_with(&data);
            let mut whole = Frame { data: &data, raw, reader: frame.reader };
            match self.read(now, &mut whole, delivery) {
                Ok(step) => return Ok(step),
                Err(ReadError::Provider(failure)) => return Err(failure),
                Err(ReadError::Malformed(_)) => {}
            }
        }
        self.skipped += 1;
        self.garbage.get_or_insert(garbage);
        Ok(Step::More)
    }

    /// Reads one frame and hands it on, unless it cannot be read.
    fn read(
        &mut self,
        now: Instant,
        frame: &mut Frame<'_>,
        delivery: &mut Delivery,
    ) -> Result<Step, ReadError> {
        let forwarded = self.forwarding.frames;
        let mut seen = Seen::default();
        let step = frame.reader.read(frame.data, &mut |event| {
            self.take(now, &event, forwarded, &mut seen, delivery);
        })?;
        if forwarded && step == Step::More {
            self.forward(frame, &seen, delivery).map_err(ReadError::Provider)?;
        }
        self.finish = self.finish.or(seen.finish);
        Ok(step)
    }

    /// Names the model that answers, where no provider will.
    pub(super) fn name(&mut self, model: &str) {
        self.start = Some((String::new(), model.to_owned()));
    }

    /// Notes one event, and hands it on unless its frame is forwarded.
    pub(super) fn event(&mut self, now: Instant, event: &Event<'_>, delivery: &mut Delivery) {
        let mut seen = Seen::default();
        self.take(now, event, false, &mut seen, delivery);
        self.finish = self.finish.or(seen.finish);
    }

    /// Reads a whole answer and hands it on; as it came, if the client wants it whole and reads the
    /// same protocol.
    pub(super) fn whole(
        &mut self,
        now: Instant,
        protocol: ProviderProtocol,
        body: &[u8],
        delivery: &mut Delivery,
    ) -> Result<(), Failure> {
        let forwarded = self.forwarding.whole;
        let mut seen = Seen::default();
        let read = protocol.read_whole(body, &mut |event| {
            self.take(now, &event, forwarded, &mut seen, delivery);
        });
        self.finish = self.finish.or(seen.finish);
        match read {
            Err(ReadError::Provider(failure)) => return Err(failure),
            Err(ReadError::Malformed(detail)) => return Err(Failure::new(Reason::Garbage, detail)),
            Ok(()) => self.verdict(true)?,
        }
        if forwarded {
            (self.finished_as_it_came, self.counted_as_it_came) = (true, true);
            self.last.extend_from_slice(body);
        }
        Ok(())
    }

    /// Whether the answer is complete, now that no more comes. `marked`: the stream said so itself.
    pub(super) fn verdict(&self, marked: bool) -> Result<(), Failure> {
        match &self.garbage {
            // A model that is asked to go on may find that all is said.
            _ if self.continues && !self.content && self.finish.is_some() => Ok(()),
            // The filter would say the same again, and speaks of the request, not of its target.
            _ if !self.content && self.finish == Some(FinishReason::ContentFilter) => {
                Err(Reason::Filtered.into())
            }
            Some(detail) if !self.content => Err(Failure::new(Reason::Garbage, detail.clone())),
            None if !self.content => Err(Reason::Empty.into()),
            _ if marked || self.finish.is_some() => Ok(()),
            _ => Err(Reason::Cut.into()),
        }
    }

    /// Whether the model finished its answer: what breaks after that takes nothing back.
    pub(super) fn has_finished(&self) -> bool {
        self.finish.is_some() && self.verdict(false).is_ok()
    }

    /// Hands on what finishes the answer: the provider's own last frames where they were kept,
    /// else events.
    pub(super) fn deliver_end(&mut self, usage: &Usage, delivery: &mut Delivery) -> FinishReason {
        self.release(delivery);
        delivery.end_seam();
        let finish = self.finish.unwrap_or(FinishReason::Stop);
        if !self.finished_as_it_came {
            delivery.outputs.event(&Event::Finish(finish));
        }
        delivery.outputs.original(&self.last);
        if !self.counted_as_it_came {
            delivery.outputs.event(&Event::Usage(*usage));
        }
        finish
    }

    fn take(
        &mut self,
        now: Instant,
        event: &Event<'_>,
        forwarded: bool,
        seen: &mut Seen,
        delivery: &mut Delivery,
    ) {
        match event {
            Event::Start { id, model } => {
                if !self.content && !self.continues && self.start.is_none() {
                    self.start = Some((id.clone().into_owned(), model.clone().into_owned()));
                }
            }
            Event::Prompt(usage) => self.prompt = Some(*usage),
            Event::Warning(_) => {}
            Event::Usage(usage) => {
                seen.usage = true;
                self.usage = Some(*usage);
            }
            Event::Finish(reason) => seen.finish = Some(*reason),
            Event::Text(_) | Event::Reasoning(_) | Event::Refusal(_) | Event::ToolCall(_) => {
                if event.is_content() {
                    seen.content = true;
                    self.content = true;
                    self.release_start(delivery);
                    if !forwarded {
                        self.release(delivery);
                    }
                    delivery.content(now, event, forwarded);
                } else if self.content && !forwarded {
                    delivery.outputs.event(event);
                }
            }
        }
    }

    /// Hands a frame on as it came, now or when its time has come.
    fn forward(
        &mut self,
        frame: &mut Frame<'_>,
        seen: &Seen,
        delivery: &mut Delivery,
    ) -> Result<(), Failure> {
        if seen.content {
            self.continue_answer(frame, delivery);
        }
        let raw = frame.raw;
        if seen.finish.is_some() && self.finish.is_some() {
            // A second finish must not get out; what the frame says beside it must.
            forward_content_of(frame, delivery);
            return Ok(());
        }
        if seen.finish.is_some() {
            self.finished_as_it_came = true;
            self.counted_as_it_came |= seen.usage;
            self.last.extend_from_slice(raw);
            if seen.content {
                self.last_words.extend_from_slice(frame.data);
            }
            // However long it is: one event is bounded already, and some repeat the whole answer.
            return Ok(());
        } else if seen.usage && !seen.content {
            if self.forwarding.usage {
                self.counted_as_it_came = true;
                self.last.extend_from_slice(raw);
            }
        } else if self.content {
            self.release(delivery);
            delivery.outputs.original(raw);
        } else {
            self.held.extend_from_slice(raw);
        }
        if self.held.len() + self.last.len() > HELD_BYTES_MAX {
            let detail = format!("More than {HELD_BYTES_MAX} bytes came without any content.");
            return Err(Failure::new(Reason::Garbage, detail));
        }
        Ok(())
    }

    /// There is content after the finish: what the finishing frame said goes before that, and the
    /// finish waits on by itself.
    fn continue_answer(&mut self, frame: &mut Frame<'_>, delivery: &mut Delivery) {
        if self.last_words.is_empty() {
            return;
        }
        self.release(delivery);
        self.last.clear();
        (self.finished_as_it_came, self.counted_as_it_came) = (false, false);
        let data = &std::mem::take(&mut self.last_words);
        let mut words = Frame { data, raw: data, reader: &mut *frame.reader };
        forward_content_of(&mut words, delivery);
    }

    /// Hands on what was held for the first content.
    fn release(&mut self, delivery: &mut Delivery) {
        if !self.held.is_empty() {
            delivery.outputs.original(&self.held);
            self.held = Vec::new();
        }
    }

    fn release_start(&mut self, delivery: &mut Delivery) {
        if let Some((id, model)) = self.start.take() {
            delivery.outputs.event(&Event::Start { id: id.into(), model: model.into() });
        }
    }
}

fn forward_content_of(frame: &mut Frame<'_>, delivery: &mut Delivery) {
    let read = frame.reader.read(frame.data, &mut |event| {
        if event.is_content() {
            delivery.outputs.event(&event);
        }
    });
    debug_assert!(read.is_ok(), "the frame was read before");
}
