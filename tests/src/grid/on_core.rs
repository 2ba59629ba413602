//! A field of the grid on the pure core, its provider's bytes cut in different places.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use streamgate_core::answer::Head;
use streamgate_core::config::Config;
use streamgate_core::failure::Failure;
use streamgate_core::gateway::Gateway;
use streamgate_core::relay::{self, AttemptId, Call};
use streamgate_core::request::{self, Arrival, Input, RANDOM_BYTES, RequestHead};
use streamgate_core::time::Instant;

use super::{Answer, Pair, config_text, vectors};
use crate::provider::wire::Request;
use crate::world::{Asked, Host, Reaction, World};

/// Asks and checks: the bytes whole, and one by one.
pub fn on_core(pair: &Pair) -> Result<(), String> {
    for cut in [usize::MAX, 1, 7] {
        let (requests, answer) = ask(pair, cut)?;
        let checked = pair.check(&requests, &answer);
        checked.map_err(|wrong| format!("in reads of {cut} bytes: {wrong}"))?;
    }
    Ok(())
}

fn ask(pair: &Pair, cut: usize) -> Result<(Vec<Request>, Answer), String> {
    let config = Config::parse(&config_text("http://provider"), |_| None);
    let gateway = Gateway::new(config.map_err(|error| error.to_string())?);
    let (now, unix_now, random) = (Instant::ZERO, Duration::from_secs(1), [1; RANDOM_BYTES]);
    let target = pair.path();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let head = RequestHead { method: "POST", path, query, header: &|_| None };
    let request = request::Request::new(&gateway, &head, &Arrival { now, unix_now, random });
    let meets = Meets { cut, body: pair.request().to_string(), ..Meets::default() };
    let mut world = World::begin(request, meets, now, VecDeque::new())?;
    world.run()?;
    Ok((world.host.requests, world.host.answer))
}

/// What the request meets: a provider that answers at once, and a client.
#[derive(Default)]
struct Meets {
    /// After how many bytes each read ends.
    cut: usize,
    /// What the client sends.
    body: String,
    requests: Vec<Request>,
    responses: Vec<(AttemptId, vectors::Response)>,
    answer: Answer,
}

/// What a provider does.
enum Act {
    Head,
    Bytes(Range<usize>),
    End,
    /// It cannot be called.
    Lost(Failure),
}

impl Meets {
    fn response(&self, attempt: AttemptId) -> &vectors::Response {
        let response = self.responses.iter().find(|(of, _)| *of == attempt);
        &response.expect("only a call that was made is answered").1
    }
}

impl Host<request::Request> for Meets {
    type Act = Act;

    fn call(&mut self, now: Instant, call: &Call) -> Result<VecDeque<(Instant, Act)>, String> {
        let http = match call.http() {
            Ok(http) => http,
            Err(failure) => return Ok([(now, Act::Lost(failure))].into()),
        };
        let path = http.url.trim_start_matches("http://provider").to_owned();
        let request = Request { path, body: http.body, ..Request::default() };
        let response = vectors::respond(&request).ok_or(format!("no vector: {}", request.path))?;
        let length = response.body.len();
        let reads = (0..length).step_by(self.cut.min(length.max(1)));
        let reads =
            reads.map(|start| Act::Bytes(start..length.min(start.saturating_add(self.cut))));
        let acts = std::iter::once(Act::Head).chain(reads).chain([Act::End]);
        let acts = acts.map(|act| (now, act)).collect();
        self.requests.push(request);
        self.responses.push((call.attempt, response));
        Ok(acts)
    }

    fn act<'a>(&'a mut self, _now: Instant, attempt: AttemptId, act: &'a Act) -> relay::Input<'a> {
        match act {
            Act::Head => {
                let response = self.response(attempt);
                let head = relay::Head {
                    status: response.status,
                    content_type: response.content_type,
                    retry_after: response.retry_after,
                    ..relay::Head::default()
                };
                relay::Input::Head { attempt, head }
            }
            Act::Bytes(range) => {
                let bytes = &self.response(attempt).body[range.clone()];
                relay::Input::Bytes { attempt, bytes }
            }
            Act::End => relay::Input::End { attempt },
            Act::Lost(failure) => relay::Input::Lost { attempt, failure: failure.clone() },
        }
    }

    fn head(&mut self, _now: Instant, head: Head) -> Result<(), String> {
        self.answer.status = head.status;
        let wait = head.headers.into_iter().find(|(name, _)| *name == "retry-after");
        self.answer.retry_after = wait.map(|(_, value)| value);
        Ok(())
    }

    fn body(&mut self, _now: Instant, bytes: &[u8]) -> Result<Reaction, String> {
        self.answer.body.extend_from_slice(bytes);
        Ok(Reaction::Read)
    }

    fn own(
        &mut self,
        request: &mut request::Request,
        now: Instant,
        own: Asked,
    ) -> Result<bool, String> {
        match own {
            Asked::ReadBody { .. } => request.handle(now, Input::Body(self.body.as_bytes())),
            Asked::Log(_) => {}
            Asked::Done => return Ok(true),
            Asked::Query(_) | Asked::Fetch { .. } | Asked::Keep(_) => {
                return Err("there is nothing but a provider here".into());
            }
        }
        Ok(false)
    }
}
