//! A field of the grid on the pure core, its provider's bytes cut in different places.

use streamgate_core::answer::Output;
use streamgate_core::config::Config;
use streamgate_core::gateway::{Arrival, Gateway, Route};
use streamgate_core::relay::{Call, Head, Input};
use streamgate_core::time::Instant;

use super::{Pair, config_text, vectors};

/// Asks and checks: the bytes whole, and one by one.
pub fn on_core(pair: &Pair) -> Result<(), String> {
    for cut in [usize::MAX, 1, 7] {
        let (status, body) = ask(pair, cut)?;
        pair.check(status, &body).map_err(|wrong| format!("in reads of {cut} bytes: {wrong}"))?;
    }
    Ok(())
}

fn ask(pair: &Pair, cut: usize) -> Result<(u16, Vec<u8>), String> {
    let config = Config::parse(&config_text("http://provider"), |_| None);
    let gateway = Gateway::new(config.map_err(|error| error.to_string())?);
    let Route::Chat(client) = gateway.route("POST", pair.client.path(pair.stream)) else {
        return Err("the path is not for chat".into());
    };
    let arrival = Arrival {
        visitor: None,
        own_keys: Ok(Vec::new()),
        now: Instant::ZERO,
        unix_seconds: 1,
        random: 1,
    };
    let request = pair.client.request(&pair.model(), pair.stream).to_string();
    let mut answer = gateway.answer(client, request.as_bytes(), &arrival);
    let (mut status, mut body, mut call) = (0, Vec::new(), None);
    loop {
        match answer.poll() {
            Output::Call(made) => call = Some(made),
            Output::Head(head) => status = head.status,
            Output::Body(bytes) => body.extend_from_slice(bytes),
            Output::Settle(_) => return Ok((status, body)),
            Output::Wait { .. } => {
                let Some(call) = call.take() else { return Err("it waits for nothing".into()) };
                for input in inputs(&call)?.iter(cut) {
                    answer.handle(Instant::ZERO, input);
                }
            }
            _ => {}
        }
    }
}

/// What a call brings.
struct Inputs {
    call: Call,
    response: vectors::Response,
}

fn inputs(call: &Call) -> Result<Inputs, String> {
    let http = call.http().map_err(|failure| failure.to_string())?;
    let path = http.url.trim_start_matches("http://provider");
    let response = vectors::respond(path, &http.body).ok_or(format!("no vector: {path}"))?;
    Ok(Inputs { call: call.clone(), response })
}

impl Inputs {
    fn iter(&self, cut: usize) -> Vec<Input<'_>> {
        let attempt = self.call.attempt;
        let head = Head {
            status: self.response.status,
            content_type: self.response.content_type,
            ..Head::default()
        };
        let reads = self.response.body.chunks(cut);
        let mut inputs = vec![Input::Head { attempt, head }];
        inputs.extend(reads.map(|bytes| Input::Bytes { attempt, bytes }));
        inputs.push(Input::End { attempt });
        inputs
    }
}
