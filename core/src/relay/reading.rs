//! What the frames of one attempt held so far, and how each reaches the client: as the bytes that
//! came where the client reads the same protocol and nothing must change, else as events.

use super::calls_seen::CallsSeen;
use super::delivery::Delivery;
use super::seam::Seam;
use super::stops::Stops;
use crate::chat::{Event, FinishReason, ToolCall, Usage};
use crate::failure::{Failure, Reason};
use crate::json::Halves;
use crate::protocol::{ReadError, Reported, Step, StreamReader, ToolNames, loose};
use crate::target::ProviderProtocol;
use crate::time::Instant;

/// How much may come before the first content and be held for it, in bytes.
const HELD_BYTES_MAX: usize = 256 * 1024;

/// What the client is sent as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forwarding {
    /// Frames of a stream that need no change.
    pub(super) frames: bool,
    /// The body of a response that is not a stream.
    pub(super) body: bool,
    /// Frames that carry nothing but usage.
    pub(super) usage: bool,
    /// The events that forwarded frames mean, beside the frames.
    pub(super) events: bool,
    /// The client reads calls of legacy functions.
    pub(super) functions: bool,
}

/// One attempt's frames, read.
#[derive(Debug)]
pub(super) struct Reading {
    forwarding: Forwarding,
    /// The provider's names for the answer and the model, until the first content.
    start: Option<(String, String)>,
    /// Frames from before the first content.
    held: Vec<u8>,
    /// The frames that finish the answer, kept until its end is certain.
    last: Vec<u8>,
    /// The data of the frame that finishes the answer, if it has content too.
    last_words: Vec<u8>,
    /// The content of the frame that is being read, and of `last_words`, as events: only where
    /// forwarded frames come with their events.
    events: Vec<Event<'static>>,
    last_events: Vec<Event<'static>>,
    /// Whether `last` states why the model stopped.
    finish_in_last: bool,
    /// Whether `last` states the usage.
    usage_in_last: bool,
    /// Characters that are cut in two between frames.
    halves: Halves,
    /// Whether it continues an answer that broke, and where the two join until they have.
    continues: bool,
    seam: Option<Seam>,
    names: ToolNames,
    stops: Stops,
    /// What the identifiers are made of that calls are given without one: no other attempt has it.
    nonce: u64,
    pub(super) content: bool,
    /// The name of the first content that the client's protocol has no place for.
    left_out: Option<String>,
    calls: CallsSeen,
    pub(super) finish: Option<FinishReason>,
    /// The provider's own count.
    pub(super) usage: Option<Usage>,
    /// The provider's count of the prompt alone.
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
    /// The frame with other data, and everything else as it came.
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
    pub(super) fn new(
        forwarding: Forwarding,
        seam: Option<Seam>,
        names: ToolNames,
        stops: Stops,
        nonce: u64,
    ) -> Self {
        Self {
            forwarding,
            continues: seam.is_some(),
            seam,
            names,
            stops,
            nonce,
            halves: Halves::default(),
            start: None,
            held: Vec::new(),
            last: Vec::new(),
            last_words: Vec::new(),
            events: Vec::new(),
            last_events: Vec::new(),
            finish_in_last: false,
            usage_in_last: false,
            content: false,
            left_out: None,
            calls: CallsSeen::default(),
            finish: None,
            usage: None,
            prompt: None,
            skipped: 0,
            garbage: None,
        }
    }

    /// Reads one frame and delivers it.
    ///
    /// A frame that cannot be read is skipped and counted; an error that the provider reports ends
    /// the attempt.
    pub(super) fn frame(
        &mut self,
        now: Instant,
        mut frame: Frame<'_>,
        delivery: &mut Delivery<'_>,
    ) -> Result<Step, Failure> {
        if frame.data.is_empty() {
            return Ok(Step::More);
        }
        let garbage = match self.read(now, &mut frame, delivery) {
            Ok(step) => return Ok(step),
            Err(ReadError::Provider(failure)) => return Err(self.in_place(failure)),
            Err(ReadError::Malformed(detail)) => detail,
        };
        if let Some(error) = Reported::read_list(frame.data) {
            return Err(self.in_place(error.failure()));
        }
        if let Some(data) = self.halves.join(frame.data) {
            let raw = &frame.raw_with(&data);
            let mut joined = Frame { data: &data, raw, reader: frame.reader };
            match self.read(now, &mut joined, delivery) {
                Ok(step) => return Ok(step),
                Err(ReadError::Provider(failure)) => return Err(self.in_place(failure)),
                Err(ReadError::Malformed(_)) => {}
            }
        }
        self.skipped += 1;
        self.garbage.get_or_insert(garbage);
        Ok(Step::More)
    }

    /// The failure of an event that is an error by its name.
    pub(super) fn error(&self, data: &[u8]) -> Option<Failure> {
        Some(self.in_place(Reported::read_event(data)?.failure()))
    }

    /// The failure of an error that the stream reports. Once the answer has begun, a rejection or a
    /// server error is one of the stream: the request as such was accepted.
    fn in_place(&self, mut failure: Failure) -> Failure {
        if self.content && matches!(failure.reason, Reason::Rejected | Reason::ServerError) {
            failure.reason = Reason::InBand;
        }
        failure
    }

    /// Reads one frame and delivers it, unless it cannot be read.
    fn read(
        &mut self,
        now: Instant,
        frame: &mut Frame<'_>,
        delivery: &mut Delivery<'_>,
    ) -> Result<Step, ReadError> {
        let forwarded = self.forwarding.frames;
        let mut seen = Seen::default();
        // An unreadable frame may have left some.
        self.events.clear();
        let step = frame.reader.read(frame.data, &mut |event| {
            self.take(now, &event, forwarded, &mut seen, delivery);
        })?;
        // An end mark without anything else is written anew.
        if forwarded && (step == Step::More || seen.finish.is_some()) {
            let with_calls = self.ends_as_calls(seen.finish);
            let amended = frame.reader.amended(frame.data, with_calls);
            let restored = self.names.restore_in(amended.as_deref().unwrap_or(frame.data));
            let forwarded = match restored.or(amended) {
                Some(data) => {
                    let raw = &frame.raw_with(&data);
                    let mut amended = Frame { data: &data, raw, reader: &mut *frame.reader };
                    self.forward(&mut amended, &seen, delivery)
                }
                None => self.forward(frame, &seen, delivery),
            };
            forwarded.map_err(ReadError::Provider)?;
        }
        self.finish = seen.finish.or(self.finish);
        Ok(if self.is_cut() { Step::Done } else { step })
    }

    /// Whether the answer ends here, though the provider would go on.
    pub(super) fn is_cut(&self) -> bool {
        self.stops.are_met()
    }

    /// Names the model that answers, where no provider does.
    pub(super) fn name(&mut self, model: &str) {
        self.start = Some((String::new(), model.to_owned()));
    }

    /// Takes one event of a local engine and delivers it.
    pub(super) fn event(&mut self, now: Instant, event: &Event<'_>, delivery: &mut Delivery<'_>) {
        let mut seen = Seen::default();
        self.take(now, event, false, &mut seen, delivery);
        self.finish = seen.finish.or(self.finish);
    }

    /// Reads a response that is not a stream and delivers it; as it came, if that is what the client
    /// asked for, in the same protocol. What is no such response is read as far as it can be.
    pub(super) fn body(
        &mut self,
        now: Instant,
        protocol: ProviderProtocol,
        body: &[u8],
        delivery: &mut Delivery<'_>,
    ) -> Result<(), Failure> {
        // A client that reads one object could not read a list.
        let is_list = body.trim_ascii_start().starts_with(b"[");
        let mut forwarded = self.forwarding.body && !is_list;
        let mut seen = Seen::default();
        let mut read = protocol.read_complete(body, &mut |event| {
            self.take(now, &event, forwarded, &mut seen, delivery);
        });
        let mut step = Step::Done;
        if let Err(ReadError::Malformed(detail)) = read {
            forwarded = false;
            self.garbage = Some(detail);
            read = loose::read(protocol, body, &mut |event| {
                self.take(now, &event, false, &mut seen, delivery);
            })
            .map(|read| step = read);
        }
        self.finish = seen.finish.or(self.finish);
        match read {
            Err(ReadError::Provider(failure)) => return Err(self.in_place(failure)),
            Err(ReadError::Malformed(detail)) => return Err(Failure::new(Reason::Garbage, detail)),
            Ok(()) => self.verdict(step == Step::Done)?,
        }
        if forwarded {
            (self.finish_in_last, self.usage_in_last) = (true, true);
            let with_calls = self.ends_as_calls(self.finish);
            let amended = match with_calls || self.finish.is_none() {
                true => protocol.finished(body, with_calls),
                false => None,
            };
            let body = amended.as_deref().unwrap_or(body);
            self.last.extend_from_slice(self.names.restore_in(body).as_deref().unwrap_or(body));
            self.last_events = std::mem::take(&mut self.events);
        }
        Ok(())
    }

    /// Whether the content so far is within its bound, and belongs to the answer.
    pub(super) fn check(&self, delivery: &Delivery<'_>) -> Result<(), Failure> {
        self.seam.as_ref().map_or(Ok(()), Seam::check)?;
        delivery.check()
    }

    /// Whether the answer is complete, now that no more comes. `marked`: the stream's end mark came.
    pub(super) fn verdict(&self, marked: bool) -> Result<(), Failure> {
        let answered = self.content || self.finish.is_some();
        if let Some(seam) = self.seam.as_ref().filter(|_| answered) {
            seam.check_end()?;
        }
        match (self.content, self.finish, &self.garbage) {
            (true, finish, _) if marked || finish.is_some() => Ok(()),
            (true, ..) => Err(Reason::Cut.into()),
            // A model that is asked to continue may find that there is nothing to add.
            (false, Some(_), _) if self.continues => Ok(()),
            // The filter judges the request, not its target: asked again, it would decide the same.
            (false, Some(FinishReason::ContentFilter), _) => Err(Reason::Filtered.into()),
            (false, ..) if self.is_unsupported(marked) => Err(self.unsupported()),
            (false, _, Some(detail)) => Err(Failure::new(Reason::Garbage, detail.clone())),
            // Reasoning may use up the limit, and a provider may pause for a tool of its own. Both
            // are paid for, and the same call would end the same way.
            (false, Some(FinishReason::Length | FinishReason::ToolCalls), None) => Ok(()),
            (false, Some(FinishReason::Stop) | None, None) => Err(Reason::Empty.into()),
        }
    }

    /// Whether it is a whole answer, of which the client can be given nothing.
    fn is_unsupported(&self, marked: bool) -> bool {
        self.left_out.is_some() && (marked || self.finish.is_some())
    }

    fn unsupported(&self) -> Failure {
        let name = self.left_out.as_deref().unwrap_or_default();
        let detail =
            format!("The answer is only `{name}`: the client's protocol has no such thing.");
        Failure::new(Reason::AnswerUnsupported, detail)
    }

    /// Whether the model finished its answer: what breaks after that takes nothing back.
    pub(super) fn has_finished(&self) -> bool {
        self.finish.is_some() && self.verdict(false).is_ok()
    }

    /// Delivers what finishes the answer: the provider's own last frames where they were kept, else
    /// events.
    pub(super) fn deliver_end(
        &mut self,
        usage: &Usage,
        delivery: &mut Delivery<'_>,
    ) -> FinishReason {
        self.release_start(delivery);
        self.release(delivery);
        if let Some(mut seam) = self.seam.take() {
            delivery.end(&mut seam);
        }
        if let Some(name) = &self.left_out {
            let warning = format!("The answer had `{name}` too: this protocol has no such thing.");
            delivery.event(&Event::Warning(warning.into()));
        }
        for index in self.calls.without_arguments() {
            let (id, name, arguments) = (None, None, "{}".into());
            delivery.event(&Event::ToolCall(ToolCall { index, id, name, arguments }));
        }
        let finish = self.ended();
        // Calls came after frames that just stopped. A complete body has all of the answer.
        let misses_calls = self.finish != Some(finish) && self.ends_as_calls(Some(finish));
        if self.finish_in_last && !self.forwarding.body && misses_calls {
            self.last.clear();
            (self.finish_in_last, self.usage_in_last) = (false, false);
        }
        if !self.finish_in_last {
            delivery.event(&Event::Finish(finish));
        }
        let events = self.take_last_events(finish, usage);
        delivery.forward(&self.last, events);
        if !self.usage_in_last {
            delivery.event(&Event::Usage(*usage));
        }
        finish
    }

    /// Whether this finish reason becomes `tool_calls` for the client. Of legacy functions a forced one
    /// may end as `stop`.
    fn ends_as_calls(&self, finish: Option<FinishReason>) -> bool {
        finish == Some(FinishReason::ToolCalls) && !self.forwarding.functions
    }

    /// Why the answer ended. One with calls waits for their results, whatever the provider calls it.
    fn ended(&self) -> FinishReason {
        match self.finish {
            None | Some(FinishReason::Stop) if self.calls.any() => FinishReason::ToolCalls,
            finish => finish.unwrap_or(FinishReason::Stop),
        }
    }

    /// What the last frames mean, if that is kept.
    fn take_last_events(&mut self, finish: FinishReason, usage: &Usage) -> Vec<Event<'static>> {
        let mut events = std::mem::take(&mut self.last_events);
        if self.forwarding.events {
            events.extend(self.finish_in_last.then_some(Event::Finish(finish)));
            events.extend(self.usage_in_last.then_some(Event::Usage(*usage)));
        }
        events
    }

    /// The event with an identifier for its call, if the provider has none for it.
    fn identify<'e>(&self, event: &Event<'e>) -> Option<Event<'e>> {
        let Event::ToolCall(call) = event else { return None };
        if call.id.as_ref().is_none_or(|id| !id.is_empty()) {
            return None;
        }
        let id = format!("call_{:016x}_{}", self.nonce, call.index);
        Some(Event::ToolCall(ToolCall { id: Some(id.into()), ..call.clone() }))
    }

    /// Notes one event, and delivers it unless its frame is `forwarded`.
    fn take(
        &mut self,
        now: Instant,
        event: &Event<'_>,
        forwarded: bool,
        seen: &mut Seen,
        delivery: &mut Delivery<'_>,
    ) {
        let restored = self.names.restore(event);
        let event = restored.as_ref().unwrap_or(event);
        if self.stops.is_empty() {
            return self.note(now, event, forwarded, seen, delivery);
        }
        for event in self.stops.pass(event) {
            self.note(now, &event, forwarded, seen, delivery);
        }
        // An answer that stops before its first text is an answer.
        self.content |= self.is_cut();
    }

    fn note(
        &mut self,
        now: Instant,
        event: &Event<'_>,
        forwarded: bool,
        seen: &mut Seen,
        delivery: &mut Delivery<'_>,
    ) {
        let identified = self.identify(event);
        let event = identified.as_ref().unwrap_or(event);
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
            Event::Finish(FinishReason::Stop) if self.calls.any() => {
                seen.finish = Some(FinishReason::ToolCalls);
            }
            Event::Finish(reason) => seen.finish = Some(*reason),
            Event::Other(name) if !forwarded => {
                self.left_out.get_or_insert_with(|| name.clone().into_owned());
            }
            Event::Text(_)
            | Event::Reasoning(_)
            | Event::Refusal(_)
            | Event::ToolCall(_)
            | Event::Other(_) => {
                if event.is_content() {
                    seen.content = true;
                    self.content = true;
                    self.calls.add(event, forwarded);
                    self.release_start(delivery);
                    if !forwarded {
                        self.release(delivery);
                    }
                    self.deliver(now, event, forwarded, delivery);
                    if forwarded && self.forwarding.events {
                        self.events.push(event.clone().into_owned());
                    }
                } else if self.content && !forwarded {
                    delivery.event(event);
                }
            }
        }
    }

    /// Delivers content, or what of it is new where the answer continues another.
    fn deliver(
        &mut self,
        now: Instant,
        event: &Event<'_>,
        forwarded: bool,
        delivery: &mut Delivery<'_>,
    ) {
        match &mut self.seam {
            None => delivery.content(now, event, forwarded),
            seam => drop(seam.take_if(|seam| delivery.join(now, event, seam))),
        }
    }

    /// Forwards a frame as it came: now, later, or never.
    ///
    /// Two things can still change what the client must see. Until there is content, the attempt may
    /// fail and another target may answer, so nothing is sent. After the finish, more content may
    /// follow, so the frames that end the answer wait until it is certain that they do.
    fn forward(
        &mut self,
        frame: &mut Frame<'_>,
        seen: &Seen,
        delivery: &mut Delivery<'_>,
    ) -> Result<(), Failure> {
        if seen.content {
            self.reopen(frame, delivery);
        }
        match seen {
            // The client sees one finish, the last. Content beside another one is still due, and is
            // sent as events, because the frame as it came would state that finish too.
            Seen { finish: Some(reason), .. } if self.finish.is_some() => {
                if self.finish != Some(*reason) {
                    self.retract(frame, delivery);
                }
                send_content(std::mem::take(&mut self.events), frame, delivery);
                return Ok(());
            }
            Seen { finish: Some(_), content, usage } => {
                self.finish_in_last = true;
                self.usage_in_last |= usage;
                self.last.extend_from_slice(frame.raw);
                if *content {
                    self.last_words.extend_from_slice(frame.data);
                    self.last_events = std::mem::take(&mut self.events);
                }
                // However long it is: one event is bounded already, and some repeat the answer.
                return Ok(());
            }
            // Usage alone comes once, at the end, and only to a client that asked for it. Were the
            // frame not kept, the relay's own count would be sent in its place.
            Seen { usage: true, content: false, .. } if self.forwarding.usage => {
                self.usage_in_last = true;
                self.last.extend_from_slice(frame.raw);
            }
            Seen { usage: true, content: false, .. } => {}
            Seen { .. } if self.content => {
                self.release(delivery);
                delivery.forward(frame.raw, std::mem::take(&mut self.events));
            }
            // Roles, heartbeats and empty deltas: part of the answer if this attempt gives it.
            Seen { .. } => self.held.extend_from_slice(frame.raw),
        }
        if self.held.len() + self.last.len() > HELD_BYTES_MAX {
            let detail = format!("More than {HELD_BYTES_MAX} bytes came without any content.");
            return Err(Failure::new(Reason::Garbage, detail));
        }
        Ok(())
    }

    /// Content follows a finish that had content too. The finishing frame's content is sent before
    /// it, as events, and the finish waits on without its frame, which would repeat the content.
    fn reopen(&mut self, frame: &mut Frame<'_>, delivery: &mut Delivery<'_>) {
        if !self.last_words.is_empty() {
            self.retract(frame, delivery);
        }
    }

    /// Takes back the frames that finish the answer: the finish is sent as an event in the end.
    fn retract(&mut self, frame: &mut Frame<'_>, delivery: &mut Delivery<'_>) {
        self.release(delivery);
        self.last.clear();
        (self.finish_in_last, self.usage_in_last) = (false, false);
        let data = &std::mem::take(&mut self.last_words);
        if data.is_empty() {
            return;
        }
        let mut words = Frame { data, raw: data, reader: &mut *frame.reader };
        send_content(std::mem::take(&mut self.last_events), &mut words, delivery);
    }

    /// Sends the frames that were held for the first content.
    fn release(&mut self, delivery: &mut Delivery<'_>) {
        if !self.held.is_empty() {
            delivery.forward(&self.held, Vec::new());
            self.held = Vec::new();
        }
    }

    /// Sends the provider's names before the first content.
    fn release_start(&mut self, delivery: &mut Delivery<'_>) {
        if let Some((id, model)) = self.start.take() {
            delivery.event(&Event::Start { id: id.into(), model: model.into() });
        }
    }
}

/// Sends a frame's content as events: those that were kept, else read again. It was counted when the
/// frame was read.
fn send_content(kept: Vec<Event<'static>>, frame: &mut Frame<'_>, delivery: &mut Delivery<'_>) {
    if !kept.is_empty() {
        return kept.iter().for_each(|event| delivery.event(event));
    }
    let read = frame.reader.read(frame.data, &mut |event| {
        if event.is_content() {
            delivery.event(&event);
        }
    });
    debug_assert!(read.is_ok(), "the frame was read before");
}
