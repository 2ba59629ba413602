//! The next call: which target may be called, for what, and within which bounds.

use std::sync::Arc;

use super::attempt::{Attempt, Plan};
use super::continuation::Way;
use super::reading::Forwarding;
use super::seam::Seam;
use super::stops::Stops;
use super::{AttemptId, Call, CallLimits, Downstream, Output, Purpose, Relay, continuation};
use crate::chat::ChatRequest;
use crate::failure::{Failure, Reason};
use crate::protocol::{ClientProtocol, ToolNames};
use crate::target::{ApiKey, Target};

impl Relay {
    /// Calls the next target that may be called; else waits until one is ready, or gives up.
    pub(super) fn call_next(&mut self, client: &mut dyn Downstream) {
        loop {
            let Some(turn) = self.ladder.next() else {
                if !self.live.is_empty() {
                    return;
                }
                if self.ladder.next_pass(&self.job.fallback, self.now) {
                    continue;
                }
                return self.exhausted(client);
            };
            if self.now < turn.ready {
                self.backoff = self.live.is_empty().then_some(turn.ready);
                return;
            }
            self.ladder.take_turn();
            let target = self.ladder.target(turn.index);
            let stream = self.job.request.stream;
            let continues = self.first_way(&target);
            match self.admit(&target, continues) {
                Ok(()) => return self.begin(turn.index, stream, continues, client),
                Err(failure) => self.account.uncalled(&target, stream, failure, self.now),
            }
        }
    }

    /// How the target is asked to continue; `None`: it is not, or there is nothing to continue.
    fn first_way(&self, target: &Target) -> Option<Way> {
        if !self.delivered.has_content() {
            return None;
        }
        Way::first(target.provider.continuation, &self.job.fallback.instruction)
    }

    /// Whether the target may be called at all.
    fn admit(&self, target: &Target, continues: Option<Way>) -> Result<(), Failure> {
        if continues.is_none() && self.delivered.has_content() {
            let detail = format!(
                "{target} is configured not to continue an answer (continuation = \"stop\")."
            );
            return Err(Failure::new(Reason::Cut, detail));
        }
        match &target.provider.api_key {
            ApiKey::None | ApiKey::Set(_) => {}
            ApiKey::Unset { env } => {
                let detail = format!("{target} needs a key: {env} is not set.");
                return Err(Failure::new(Reason::Unauthorized, detail));
            }
            ApiKey::Unusable(failure) => return Err((**failure).clone()),
        }
        self.bounds.admit(target, &self.terms(target, continues))?;
        self.job.health.admit(target, self.now).map_err(|until| {
            let mut failure = Failure::from(Reason::Cooling);
            failure.retry_after = Some(until.since(self.now));
            failure
        })
    }

    /// Calls the target at this index of the ladder.
    pub(super) fn begin(
        &mut self,
        index: usize,
        stream: bool,
        continues: Option<Way>,
        client: &mut dyn Downstream,
    ) {
        let target = self.ladder.target(index);
        let stream = target.provider.streams(stream);
        self.announce(&target, stream, continues.is_some(), client);
        let request = self.request(continues);
        let retry = self.bounds.take_retry();
        let mut terms = self.terms(&target, continues);
        terms.input = retry.unwrap_or(terms.input);
        let needed = terms.need_limit() || target.provider.upstream.needs_limit();
        let limit = terms.limit().filter(|_| needed);
        let refused = self.refused(&target);
        let left_out = self.left_out(&target, stream, limit);
        let stops = Stops::of(&self.job.request, &target);
        let forwarding = self.forwarding(&target, continues.is_some() || !stops.is_empty());
        let id = AttemptId(self.next_id);
        self.next_id += 1;
        self.actions.push_back(Output::Call(Box::new(Call {
            attempt: id,
            purpose: Purpose::Answer,
            target: target.clone(),
            request,
            client: self.job.client,
            stream,
            caller: self.job.caller.clone(),
            terms,
            limit,
            refused,
        })));
        let plan = Plan {
            index,
            stream,
            continues,
            seam: continues.map(|way| Seam::new(way, &self.delivered.text)),
            limits: CallLimits { terms, limit },
            copies: self.copies(&target),
            is_retry: retry.is_some(),
            refused,
            left_out,
            bytes_before: self.delivered.bytes,
            text_before: self.delivered.text.len(),
            forwarding,
            names: ToolNames::of(&self.job.request, self.job.client, &target),
            stops,
            nonce: self.job.seed.wrapping_add(id.number().into()),
            event_bytes_max: self.job.limits.event_bytes,
            target,
        };
        self.live.push(Attempt::new(id, plan, self.now));
    }

    /// Emits a warning about what failed before this call, if anything did.
    fn announce(
        &mut self,
        target: &Target,
        stream: bool,
        continues: bool,
        client: &mut dyn Downstream,
    ) {
        if continues {
            self.emit_warning(format_args!("Continuing with {target}"), client);
        } else if stream == self.job.request.stream {
            self.emit_warning(format_args!("Retrying with {target}"), client);
        } else {
            self.emit_warning(format_args!("Retrying with {target} without streaming"), client);
        }
    }

    /// The client's request, or one to continue what was delivered.
    fn request(&self, continues: Option<Way>) -> Arc<ChatRequest> {
        let Some(way) = continues else { return self.job.request.clone() };
        let instruction = &self.job.fallback.instruction;
        continuation::request(&self.job.request, &self.delivered.text, way, instruction)
    }

    /// What of this target's answer the client is sent as it came, unless it is `changed`: the frames
    /// of a continuation do not belong to the stream that broke, nor is all sent of what is cut here.
    fn forwarding(&self, target: &Target, changed: bool) -> Forwarding {
        let spoken = self.job.client.is_spoken_by(target.provider.upstream);
        // Where functions became tools the calls in an answer must become functions again, and those
        // of functions that stand for custom tools, custom ones.
        let (request, dialect) = (&self.job.request, target.provider.dialect());
        let is_custom = self.job.client == ClientProtocol::OpenAi && !request.tool_forms.is_empty();
        let renamed = request.functions && !dialect.functions || is_custom && !dialect.custom_tools;
        let same = spoken && !changed && !renamed;
        let stream = self.job.request.stream;
        let usage = self.job.request.include_usage;
        Forwarding {
            frames: same && stream,
            body: same && !stream,
            usage,
            events: self.job.keep,
            functions: self.job.request.functions,
        }
    }
}
