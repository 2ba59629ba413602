//! What a request of a scenario meets: its client, the providers, the store, and who records it all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use streamgate_core::access::quota::QuotaOp;
use streamgate_core::answer::Head;
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::relay::{self, AttemptId, Call};
use streamgate_core::request::{BodyFailure, Input, Request};
use streamgate_core::time::Instant;

use super::client::Client;
use super::providers::Happening;
use super::{Delivery, Stage, UNIX_BEGAN};
use crate::check::Seen;
use crate::provider::CallRecord;
use crate::script;
use crate::world::{self, Asked, Closed, Moment, Reaction};

/// The shell of one request, its client and the records of its calls.
pub(super) struct Host<'a> {
    stage: &'a Stage<'a>,
    client: Client<'a>,
    began: Instant,
    calls: Vec<LiveCall>,
    records: BTreeMap<String, Vec<CallRecord>>,
    /// The last head that came.
    head: Option<script::Head>,
    ended: Instant,
}

/// A call that has a record.
struct LiveCall {
    attempt: AttemptId,
    provider: String,
    /// Which of the provider's calls.
    index: usize,
}

impl<'a> Host<'a> {
    pub(super) fn new(stage: &'a Stage<'a>, client: Client<'a>, began: Instant) -> Self {
        let no_calls = |name: &String| (name.clone(), Vec::new());
        let records = stage.scenario.provider.keys().map(no_calls).collect();
        Self { stage, client, began, calls: Vec::new(), records, head: None, ended: began }
    }

    /// When it was over, and what was seen of it.
    pub(super) fn over(self) -> (Instant, Seen) {
        (self.ended, Seen { answer: self.client.over(), calls: self.records })
    }

    fn record(&mut self, attempt: AttemptId) -> Option<&mut CallRecord> {
        let call = self.calls.iter().find(|call| call.attempt == attempt)?;
        self.records.get_mut(&call.provider)?.get_mut(call.index)
    }

    fn read_body(&self, bytes_max: usize, machine: &mut Request, now: Instant) {
        let body = self.client.body();
        let input = if body.len() > bytes_max {
            Input::BodyFailed(BodyFailure::TooLarge)
        } else {
            Input::Body(&body)
        };
        machine.handle(now, input);
    }

    fn fetch(&mut self, url: &str, machine: &mut Request, now: Instant) -> Result<(), String> {
        let fetched = self.stage.fetch(url, now.since(self.began))?;
        self.records.entry(fetched.provider).or_default().push(fetched.record);
        let body = fetched.body.as_deref().map_err(String::as_str);
        machine.handle(now, Input::Fetched(body));
        Ok(())
    }
}

impl world::Host<Request> for Host<'_> {
    type Act = Happening;

    fn call(
        &mut self,
        now: Instant,
        call: &Call,
    ) -> Result<VecDeque<(Instant, Happening)>, String> {
        let http = call.http().map_err(|failure| failure.to_string())?;
        let path = http.url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let (provider, path) = path.ok_or_else(|| format!("{} is no URL", http.url))?;
        let script = self.stage.next_script(provider)?;
        if !script.is_some_and(script::Call::is_unreachable) {
            let records = self.records.entry(provider.into()).or_default();
            let (attempt, index) = (call.attempt, records.len());
            self.calls.push(LiveCall { attempt, provider: provider.into(), index });
            let headers = http.headers.iter();
            let headers = headers.map(|(name, value)| (name.to_string(), value.clone()));
            records.push(CallRecord {
                method: "POST".into(),
                path: format!("/{path}"),
                headers: headers.collect(),
                body: serde_json::from_slice(&http.body).unwrap_or(Value::Null),
                came: now.since(self.began),
                unscripted: script.is_none(),
                ..CallRecord::default()
            });
        }
        Ok(match script {
            Some(script) => self.stage.happenings(script, now),
            None => [(now, Happening::Lost(Reason::Connect))].into(),
        })
    }

    fn act<'a>(
        &'a mut self,
        now: Instant,
        attempt: AttemptId,
        happening: &'a Happening,
    ) -> relay::Input<'a> {
        let since = now.since(self.began);
        if let Some(record) = self.record(attempt) {
            if let Happening::Bytes(bytes) = happening {
                record.sent_bytes += bytes.len();
            }
            if happening.is_last() && record.closed.is_none() {
                record.ended = Some(since);
            }
        }
        match happening {
            Happening::Head(head) => {
                let unix_now = UNIX_BEGAN + now.since(Instant::ZERO);
                let head = self.head.insert(head.at(unix_now));
                let header = |name: &str| head.headers.get(name).map(String::as_str);
                let head = relay::Head::read(head.status, header);
                relay::Input::Head { attempt, head }
            }
            Happening::Bytes(bytes) => relay::Input::Bytes { attempt, bytes },
            Happening::End => relay::Input::End { attempt },
            Happening::Lost(reason) => {
                relay::Input::Lost { attempt, failure: Failure::new(*reason, "") }
            }
        }
    }

    fn cancel(&mut self, now: Instant, attempt: AttemptId) -> Result<Closed, String> {
        let closed = Some(now.since(self.began));
        if let Some(record) = self.record(attempt) {
            record.closed = closed;
        }
        let late = self.stage.delivery == Delivery::Late;
        Ok(if late { Closed::Late } else { Closed::Silent })
    }

    fn release(&mut self, now: Instant, attempt: AttemptId) -> Result<Closed, String> {
        let ended = Some(now.since(self.began));
        if let Some(record) = self.record(attempt) {
            record.ended = ended;
        }
        Ok(Closed::Silent)
    }

    fn head(&mut self, _now: Instant, head: Head) -> Result<(), String> {
        self.client.head(head);
        Ok(())
    }

    fn body(&mut self, now: Instant, bytes: &[u8]) -> Result<Reaction, String> {
        Ok(self.client.read(now, bytes))
    }

    fn moment(&mut self, now: Instant, moment: Moment) {
        match moment {
            Moment::Leave => self.client.leave(now),
            Moment::Pause => {}
            // Whoever could send on had to wait for that.
            Moment::Resume => {
                let records = self.records.values_mut().flatten();
                let open = records.filter(|call| call.ended.is_none() && call.closed.is_none());
                open.for_each(|call| call.held_bytes = Some(call.sent_bytes));
            }
        }
    }

    fn quota(
        &mut self,
        machine: &mut Request,
        now: Instant,
        user: &Arc<str>,
        op: &QuotaOp,
    ) -> Result<(), String> {
        let applied = self.stage.gateway.apply(user, op, now);
        machine.handle(now, Input::Quota(Ok(applied)));
        Ok(())
    }

    fn own(&mut self, machine: &mut Request, now: Instant, own: Asked) -> Result<bool, String> {
        match own {
            Asked::ReadBody { bytes_max } => self.read_body(bytes_max, machine, now),
            Asked::Query(statements) => {
                let rows = self.stage.query(&statements)?;
                machine.handle(now, Input::Rows(rows));
            }
            Asked::Fetch { url } => self.fetch(&url, machine, now)?,
            Asked::Keep(statements) => {
                self.stage.query(&statements)?.map_err(|failure| failure.to_string())?;
            }
            Asked::Log(record) => {
                let line = String::from_utf8_lossy(&record.to_json(None)).into_owned();
                self.stage.log.borrow_mut().push(line);
            }
            Asked::Done => {
                self.client.end(now);
                self.ended = now;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
