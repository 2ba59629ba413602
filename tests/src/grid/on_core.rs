//! A field of the grid on the pure core, its provider's bytes cut in different places.

use streamgate_core::answer::Output;
use streamgate_core::config::Config;
use streamgate_core::failure::Failure;
use streamgate_core::gateway::{Arrival, Gateway, Route};
use streamgate_core::relay::{AttemptId, Call, Head, Input};
use streamgate_core::time::Instant;

use super::{Answer, Pair, config_text, vectors};
use crate::provider::wire::Request;

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
    let Route::Chat(client) = gateway.route("POST", pair.client.path(pair.stream)) else {
        return Err("the path is not for chat".into());
    };
    let arrival = Arrival {
        caller: None,
        own_keys: Ok(Vec::new()),
        now: Instant::ZERO,
        unix_seconds: 1,
        random: 1,
        headers: Vec::new(),
    };
    let mut asking = gateway.answer(client, pair.request().to_string().as_bytes(), &arrival);
    let (mut requests, mut answer, mut call) = (Vec::new(), Answer::default(), None);
    loop {
        match asking.poll() {
            Output::Call(made) => call = Some(made),
            Output::Head(head) => {
                answer.status = head.status;
                let wait = head.headers.into_iter().find(|(name, _)| *name == "retry-after");
                answer.retry_after = wait.map(|(_, value)| value);
            }
            Output::Body(bytes) => answer.body.extend_from_slice(bytes),
            Output::Settle(_) => return Ok((requests, answer)),
            Output::Wait { .. } => {
                let Some(call) = call.take() else { return Err("it waits for nothing".into()) };
                let made = make(&call, &mut requests)?;
                for input in made.inputs(call.attempt, cut) {
                    asking.handle(Instant::ZERO, input);
                }
            }
            _ => {}
        }
    }
}

/// What a call brings: a response, or a failure where the provider cannot be told.
enum Made {
    Response(vectors::Response),
    Failure(Failure),
}

fn make(call: &Call, requests: &mut Vec<Request>) -> Result<Made, String> {
    let http = match call.http() {
        Ok(http) => http,
        Err(failure) => return Ok(Made::Failure(failure)),
    };
    let path = http.url.trim_start_matches("http://provider").to_owned();
    let request = Request { path, body: http.body, ..Request::default() };
    let response = vectors::respond(&request).ok_or(format!("no vector: {}", request.path))?;
    requests.push(request);
    Ok(Made::Response(response))
}

impl Made {
    fn inputs(&self, attempt: AttemptId, cut: usize) -> Vec<Input<'_>> {
        let response = match self {
            Self::Response(response) => response,
            Self::Failure(failure) => {
                return vec![Input::Lost { attempt, failure: failure.clone() }];
            }
        };
        let head = Head {
            status: response.status,
            content_type: response.content_type,
            retry_after: response.retry_after,
            ..Head::default()
        };
        let reads = response.body.chunks(cut);
        let mut inputs = vec![Input::Head { attempt, head }];
        inputs.extend(reads.map(|bytes| Input::Bytes { attempt, bytes }));
        inputs.push(Input::End { attempt });
        inputs
    }
}
