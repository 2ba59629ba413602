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
use crate::protocol::{AnswerMeta, ClientProtocol, bound_copies};
use crate::provider_keys;
use crate::relay::{Exhausted, Job};
use crate::store::{self, Outcome, Statement};
use crate::target::{Pattern, Target};

/// What a chat request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    Answer,
    /// The number of its tokens.
    Count,
}

/// What is asked for, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) aim: Aim,
    pub(crate) client: Client,
}

/// A chat request that can be answered, or refused.
pub(crate) struct Chat {
    client: Client,
    caller: Option<Caller>,
    request: ChatRequest,
    /// The model's name; empty if the request named none that is configured.
    model: String,
    targets: Vec<Arc<Target>>,
}

/// A request that is to be counted.
pub(super) struct Counted {
    pub(super) request: ChatRequest,
    pub(super) client: ClientProtocol,
    /// The model's first.
    pub(super) target: Option<Arc<Target>>,
    pub(super) caller: Option<Caller>,
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
    /// Reads a request's body. A model that is `named` elsewhere is the one that is meant.
    pub(crate) fn parse(
        config: &Config,
        Asked { aim, client }: Asked,
        caller: Option<Caller>,
        headers: Headers,
        named: Option<String>,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let mut request = match aim {
            Aim::Answer => client.protocol.parse_request(body)?,
            Aim::Count => client.protocol.parse_counted(body)?,
        };
        request.stream = client.stream.unwrap_or(request.stream);
        if let Some(original) = &mut request.original {
            original.headers = headers;
        }
        if let Some(plan) = caller.as_ref().and_then(|caller| caller.plan.as_ref()) {
            bound_copies(&mut request, plan.max_output_tokens.map(NonZeroU32::get));
        }
        if named.is_some() {
            request.model = named;
        }
        let (model, targets) = model(config, request.model.as_deref())?;
        Ok(Self { client, caller, request, model, targets })
    }

    /// The response to a request without content, where the protocol has such.
    pub(super) fn loaded(&self, body: &[u8], now: u64) -> Option<Vec<u8>> {
        if !self.request.messages.is_empty() {
            return None;
        }
        self.client.protocol.loaded(body, &self.model, now)
    }

    /// A request that cannot be read, or must not be answered.
    pub(crate) fn unread(client: Client, caller: Option<Caller>) -> Self {
        let (model, targets) = (String::new(), Vec::new());
        Self { client, caller, request: ChatRequest::default(), model, targets }
    }

    /// What finds the user's own keys, if a target is called with them.
    pub(crate) fn own_keys(&self) -> Option<Statement> {
        let needed = self.targets.iter().any(|target| target.provider.user_keys);
        needed.then(|| store::provider_keys::of_user(owner(self.caller.as_ref())))
    }

    /// What is counted of it, and by whom; `own_keys` is what came of [`Self::own_keys`].
    pub(super) fn counted(self, gateway: &Gateway, own_keys: &Outcome) -> Counted {
        let user = owner(self.caller.as_ref());
        let targets = provider_keys::apply(&self.targets, gateway.config(), user, own_keys);
        let target = targets.into_iter().next();
        let client = self.client.protocol;
        Counted { request: self.request, client, target, caller: self.caller }
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
        let targets = provider_keys::apply(&self.targets, config, user, own_keys);
        let request = Arc::new(self.request);
        let meta = AnswerMeta {
            id: format!("chatcmpl-{:032x}", began.id),
            created: began.unix_now.as_secs(),
            model: self.model,
            request: request.clone(),
        };
        let job = Job {
            targets,
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

/// The model's name, and the targets that it stands for.
fn model(config: &Config, asked: Option<&str>) -> Result<(String, Vec<Arc<Target>>), Failure> {
    let Some(name) = asked.or(config.default_model.as_deref()) else {
        let detail = "model: expected a name, for no default_model is configured";
        return Err(Failure::new(Reason::InvalidRequest, detail).at("model"));
    };
    if let Some(model) = config.model(name) {
        return Ok((name.to_owned(), model.into_owned().targets));
    }
    let patterns = config.patterns.iter().map(Pattern::name);
    let names = config.models.keys().cloned().chain(patterns);
    let known: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    let detail = format!("There is no model `{name}`: expected one of {}.", known.join(", "));
    Err(Failure::new(Reason::UnknownModel, detail).at("model"))
}
