//! The providers of a scenario, in virtual time: their scripts as what a shell would notice.

use std::collections::VecDeque;
use std::time::Duration;

use streamgate_core::failure::Reason;
use streamgate_core::time::Instant;

use super::{Delivery, Stage};
use crate::provider::CallRecord;
use crate::script::{self, Act, AnswerMeta, Framing, split};

/// In how many pieces a call's bytes come at most, about.
const PIECES_MAX: usize = 100_000;

/// Something a shell would notice of a call.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Head(script::Head),
    Bytes(bytes::Bytes),
    End,
    Lost(Reason),
}

impl Happening {
    pub(super) fn is_last(&self) -> bool {
        match self {
            Self::Head(_) | Self::Bytes(_) => false,
            Self::End | Self::Lost(_) => true,
        }
    }
}

/// A URL that was fetched.
pub(super) struct Fetched {
    pub(super) provider: String,
    pub(super) record: CallRecord,
    /// Its body, or why there is none.
    pub(super) body: Result<Vec<u8>, String>,
}

impl<'a> Stage<'a> {
    /// What a provider does when it is called now. Who cannot be reached is not called.
    pub(super) fn next_script(&self, provider: &str) -> Result<Option<&'a script::Call>, String> {
        let scripts = self.scenario.provider.get(provider);
        let scripts = scripts.ok_or_else(|| format!("there is no provider {provider}"))?;
        let mut called = self.called.borrow_mut();
        let index = called.entry(provider.into()).or_default();
        let script = scripts.get(*index).or(scripts.last().filter(|last| last.again));
        if !script.is_some_and(script::Call::is_unreachable) {
            *index += 1;
        }
        Ok(script)
    }

    /// Plays a provider's next script to who only wants its body.
    pub(super) fn fetch(&self, url: &str, came: Duration) -> Result<Fetched, String> {
        let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let (provider, path) = path.ok_or_else(|| format!("{url} is no URL"))?;
        let script = self.next_script(provider)?;
        let plan = script.ok_or_else(|| format!("{provider} has no script left"))?.plan();
        let body = match plan.opening {
            AnswerMeta::Head(head) if head.status == 200 => {
                let sent = plan.acts.into_iter().map(|act| match act {
                    Act::Send(bytes) => bytes.to_vec(),
                    Act::Wait(_) | Act::End | Act::Cut | Act::Reset | Act::Stall => Vec::new(),
                });
                Ok(sent.flatten().collect())
            }
            AnswerMeta::Head(head) => Err(format!("the answer has status {}", head.status)),
            AnswerMeta::Refuse
            | AnswerMeta::Unresolved
            | AnswerMeta::Unresponsive
            | AnswerMeta::NoTls
            | AnswerMeta::Close
            | AnswerMeta::Silent => Err("there is no answer".into()),
        };
        let record = CallRecord {
            method: "GET".into(),
            path: format!("/{path}"),
            came,
            ended: Some(came),
            ..CallRecord::default()
        };
        Ok(Fetched { provider: provider.to_owned(), record, body })
    }

    /// What a shell would notice of a call, and when.
    pub(super) fn happenings(
        &self,
        script: &script::Call,
        now: Instant,
    ) -> VecDeque<(Instant, Happening)> {
        // The shell decompresses; the core never sees it.
        let plan = script::Call { gzip: false, ..script.clone() }.plan();
        let lost = |at, reason| VecDeque::from([(at, Happening::Lost(reason))]);
        match plan.opening {
            AnswerMeta::Refuse => lost(now, Reason::Connect),
            AnswerMeta::Unresolved => lost(now, Reason::Dns),
            AnswerMeta::Unresponsive => {
                lost(now + self.gateway.config().timeouts.connect, Reason::ConnectTimeout)
            }
            AnswerMeta::NoTls => lost(now, Reason::Tls),
            AnswerMeta::Close => lost(now, Reason::Lost),
            AnswerMeta::Silent => VecDeque::new(),
            AnswerMeta::Head(head) => response(head, deliver(plan.acts, self.delivery), now),
        }
    }
}

fn response(head: script::Head, acts: Vec<Act>, now: Instant) -> VecDeque<(Instant, Happening)> {
    let framing = head.framing;
    let mut at = now + head.wait;
    let mut due = VecDeque::from([(at, Happening::Head(head))]);
    for act in acts {
        let happening = match act {
            Act::Send(bytes) => Happening::Bytes(bytes),
            Act::Wait(pause) => {
                at = at + pause;
                continue;
            }
            Act::End => Happening::End,
            // Without a framing the end and the cut look the same.
            Act::Cut if framing == Framing::Close => Happening::End,
            Act::Cut | Act::Reset => Happening::Lost(Reason::Lost),
            Act::Stall => return due,
        };
        due.push_back((at, happening));
    }
    if due.back().is_some_and(|(_, last)| !last.is_last()) {
        due.push_back((at, Happening::End));
    }
    due
}

fn deliver(acts: Vec<Act>, delivery: Delivery) -> Vec<Act> {
    match delivery {
        Delivery::AsSent | Delivery::Late => acts,
        Delivery::ByteByByte => {
            let length = |act: &Act| if let Act::Send(bytes) = act { bytes.len() } else { 0 };
            let piece = 1 + acts.iter().map(length).sum::<usize>() / PIECES_MAX;
            acts.into_iter().flat_map(|act| split(act, piece)).collect()
        }
        Delivery::Joined => acts.into_iter().fold(Vec::new(), |mut joined, act| {
            match (joined.last_mut(), act) {
                (Some(Act::Send(before)), Act::Send(bytes)) => {
                    *before = [before.as_ref(), bytes.as_ref()].concat().into();
                }
                (_, act) => joined.push(act),
            }
            joined
        }),
    }
}
