//! A chat request, from its body to the answer's beginning.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::own_keys::owner;
use super::route::{Client, Headers};
use crate::access::Caller;
use crate::chat::ChatRequest;
use crate::config::Config;
use crate::failure::{Failure, Reason};
use crate::gateway::Gateway;
use crate::protocol::{AnswerMeta, bound_copies};
use crate::provider_keys;
use crate::relay::{Exhausted, Job};
use crate::store::{self, Outcome, Statement};

/// A chat request that can be answered, or refused.
pub(crate) struct Chat {
    client: Client,
    caller: Option<Caller>,
    request: ChatRequest,
    /// The configured name of the model; empty if the request named none that is configured.
    model: String,
}

/// An answer's name, and when it begins.
#[derive(Clone, Copy)]
pub(crate) struct Began {
    /// Random.
    pub(crate) id: u128,
    /// Since 1970.
    pub(crate) unix_now: Duration,
}

impl Chat {
    /// Reads a request's body.
    pub(crate) fn parse(
        config: &Config,
        client: Client,
        caller: Option<Caller>,
        headers: Headers,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let mut request = client.protocol.parse_request(body)?;
        request.stream = client.stream.unwrap_or(request.stream);
        if let Some(original) = &mut request.original {
            original.headers = headers;
        }
        if let Some(plan) = caller.as_ref().and_then(|caller| caller.plan.as_ref()) {
            bound_copies(&mut request, plan.max_output_tokens.map(NonZeroU32::get));
        }
        let model = model(config, request.model.as_deref())?.to_owned();
        Ok(Self { client, caller, request, model })
    }

    /// A request that cannot be read, or must not be answered.
    pub(crate) fn unread(client: Client, caller: Option<Caller>) -> Self {
        Self { client, caller, request: ChatRequest::default(), model: String::new() }
    }

    /// What finds the user's own keys, if a target is called with them.
    pub(crate) fn own_keys(&self, config: &Config) -> Option<Statement> {
        let model = config.models.get(&self.model)?;
        let needed = model.targets.iter().any(|target| target.provider.user_keys);
        needed.then(|| store::provider_keys::of_user(owner(self.caller.as_ref())))
    }

    /// What its answer begins with; `own_keys` is what came of [`Self::own_keys`].
    pub(crate) fn job(
        self,
        gateway: &Gateway,
        own_keys: &Outcome,
        began: Began,
    ) -> (Job, AnswerMeta) {
        let config = gateway.config();
        let client = self.client.protocol;
        let by_protocol =
            if client.marks_fallback() { Exhausted::Message } else { Exhausted::Error };
        let user = owner(self.caller.as_ref());
        let targets = config
            .models
            .get(&self.model)
            .map(|model| provider_keys::apply(&model.targets, config, user, own_keys));
        let request = Arc::new(self.request);
        let meta = AnswerMeta {
            id: format!("chatcmpl-{:032x}", began.id),
            created: began.unix_now.as_secs(),
            model: self.model,
            request: request.clone(),
        };
        let job = Job {
            targets: targets.unwrap_or_default(),
            request,
            client,
            caller: self.caller,
            exhausted: config.fallback.exhausted.unwrap_or(by_protocol),
            fallback: config.fallback.clone(),
            timeouts: config.timeouts.clone(),
            limits: config.limits.clone(),
            health: gateway.health().clone(),
            learned: gateway.learned().clone(),
            unix_began: began.unix_now,
            keep: false,
            // The low half: the whole names the answer.
            seed: began.id as u64,
        };
        (job, meta)
    }
}

/// The configured name that a request's model stands for.
fn model<'a>(config: &'a Config, asked: Option<&str>) -> Result<&'a str, Failure> {
    let Some(name) = asked.or(config.default_model.as_deref()) else {
        let detail = "model: expected a name, for no default_model is configured";
        return Err(Failure::new(Reason::InvalidRequest, detail).at("model"));
    };
    if let Some((name, _)) = config.models.get_key_value(name) {
        return Ok(name);
    }
    let known: Vec<_> = config.models.keys().map(|name| format!("`{name}`")).collect();
    let detail = format!("There is no model `{name}`: expected one of {}.", known.join(", "));
    Err(Failure::new(Reason::UnknownModel, detail).at("model"))
}
