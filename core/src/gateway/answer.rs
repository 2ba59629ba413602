//! An answer without the request around it: what benchmarks, the simulator and the answer's own
//! tests drive. Shells drive a [`Request`](crate::request::Request).

use std::time::Duration;

use super::Gateway;
use crate::access::Caller;
use crate::answer::Answer;
use crate::request::{Aim, Asked, Began, Chat, Client};
use crate::store::Outcome;
use crate::time::Instant;

/// What an answer needs to know of its request.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who sent it; `None` where everybody may ask.
    pub caller: Option<Caller>,
    /// The rows of the user's own keys; none where none are needed.
    pub own_keys: Outcome,
    /// When, on the clock of [`Answer::handle`].
    pub now: Instant,
    /// When, in seconds since 1970.
    pub unix_seconds: u64,
    /// A random number: names the answer.
    pub random: u128,
    /// The headers that travel on to a provider: [`Client::headers`].
    pub headers: Vec<(&'static str, String)>,
}

impl Gateway {
    /// Begins to answer a chat request of an admitted caller.
    pub fn answer(&self, client: Client, body: &[u8], arrival: &Arrival) -> Answer {
        let unix_now = Duration::from_secs(arrival.unix_seconds);
        let began = Began { id: arrival.random, unix_now };
        let (caller, headers) = (arrival.caller.clone(), arrival.headers.clone());
        let asked = Asked { aim: Aim::Answer, client };
        match Chat::parse(&self.config, asked, caller.clone(), headers, None, body) {
            Ok(chat) => {
                let (job, meta) = chat.job(self, &arrival.own_keys, began);
                Answer::new(job, meta, arrival.now)
            }
            Err(failure) => {
                let chat = Chat::unread(client, caller);
                let (job, meta) = chat.job(self, &Ok(Vec::new()), began);
                Answer::refused(job, meta, arrival.now, failure)
            }
        }
    }
}
