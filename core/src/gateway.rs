//! The gateway as both shells serve it: which path is what, and how a request becomes an
//! [`Answer`].

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::access::quota::{Denial, QuotaOp, Quotas};
use crate::access::{Access, Admission, Caller, Credentials};
use crate::answer::Answer;
use crate::chat::ChatRequest;
use crate::config::Config;
use crate::failure::{Failure, Reason};
use crate::health::Health;
use crate::limit::known::{Known, Source};
use crate::limit::learned::Learned;
use crate::page;
use crate::protocol::{AnswerMeta, ClientProtocol, error_body};
use crate::provider_keys::{self, Action, Asker, KeyRequest, LOCAL_USER};
use crate::relay::Exhausted;
use crate::relay::Job;
use crate::seal::NONCE_BYTES;
use crate::store::{self, Outcome, Statement};
use crate::target::Target;
use crate::time::Instant;

/// Where users' own keys are; the provider's name follows.
const PROVIDER_KEYS: &str = "/v1/provider-keys/";

/// What a path is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Chat: [`Gateway::admit`], read the body, up to [`Gateway::request_bytes_max`], then
    /// [`Gateway::answer`].
    Chat(Client),
    /// A user's own key for a provider: read the body where it is set, then
    /// [`Gateway::provider_key`].
    ProviderKey {
        /// What is wanted with it.
        action: Action,
        /// The provider.
        provider: String,
    },
    /// A response that is known already.
    Reply(Reply),
    /// The same, for who is let in.
    Private(Reply),
}

/// What the client of a path speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its protocol.
    pub protocol: ClientProtocol,
    /// Whether the path streams; `None`: the request says so.
    pub stream: Option<bool>,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers by lower-case name.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What only the shell knows of a request: who sent it and when, and a name for its answer.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who sent it; `None` where everybody may ask.
    pub caller: Option<Caller>,
    /// What came of [`Gateway::own_keys`]; no rows where nothing was asked.
    pub own_keys: Outcome,
    /// When, on the clock of [`Answer::handle`].
    pub now: Instant,
    /// When, in seconds since 1970.
    pub unix_seconds: u64,
    /// A random number: names the answer.
    pub random: u128,
    /// What came of [`Client::headers`].
    pub headers: Vec<(&'static str, String)>,
}

/// What is the same for every request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    config: Arc<Config>,
    health: Health,
    learned: Learned,
    access: Access,
    quotas: Quotas,
}

impl Gateway {
    /// A gateway of this configuration.
    pub fn new(config: Config) -> Self {
        let health = Health::new(config.fallback.breaker.clone());
        let access = Access::new(config.auth.clone());
        let config = Arc::new(config);
        Self { config, health, learned: Learned::default(), access, quotas: Quotas::default() }
    }

    /// What is configured.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What providers said of their limits: a shell that has a store restores it from there, and
    /// keeps what [`Settlement`](crate::relay::Settlement) tells of it.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// The largest request body to read, in bytes.
    pub fn request_bytes_max(&self) -> usize {
        self.config.limits.request_bytes
    }

    /// What this path is for. `path` has no query.
    pub fn route(&self, method: &str, path: &str) -> Route {
        if let Some(provider) = path.strip_prefix(PROVIDER_KEYS) {
            return match Action::of(method) {
                Some(action) => Route::ProviderKey { action, provider: provider.to_owned() },
                None => Route::Reply(not_allowed(method, path, "PUT, GET, DELETE")),
            };
        }
        let (allow, route): (&str, fn(&Self) -> Route) = match path {
            "/v1/chat/completions" => {
                ("POST", |_| Route::Chat(Client::asked(ClientProtocol::OpenAi)))
            }
            "/v1/responses" => ("POST", |_| Route::Chat(Client::asked(ClientProtocol::Responses))),
            "/v1/messages" => ("POST", |_| Route::Chat(Client::asked(ClientProtocol::Anthropic))),
            "/chat/stream" => ("POST", |_| Route::Chat(Client::streaming(ClientProtocol::Token))),
            "/chat/execute/stream" => {
                ("POST", |_| Route::Chat(Client::streaming(ClientProtocol::Notebook)))
            }
            "/chat/execute" => ("POST", |_| Route::Chat(Client::whole(ClientProtocol::Notebook))),
            "/api/chat" => ("POST", |_| Route::Chat(Client::streaming(ClientProtocol::UiMessage))),
            "/api/chat/stream" => {
                ("POST", |_| Route::Chat(Client::streaming(ClientProtocol::Content)))
            }
            "/api/ai/chat/stream" => {
                ("POST", |_| Route::Chat(Client::streaming(ClientProtocol::Session)))
            }
            "/api/ai/chat" => ("POST", |_| Route::Chat(Client::whole(ClientProtocol::Session))),
            "/v1/models" => ("GET", |gateway| Route::Private(gateway.models())),
            "/healthz" => ("GET", |_| Route::Reply(Reply::text("ok\n"))),
            "/" => ("GET", |_| Route::Reply(Reply::page())),
            _ => {
                let failure = Failure::new(Reason::NotFound, format!("There is no {path} here."));
                return Route::Reply(Reply::failure(&failure));
            }
        };
        if method == allow || (method == "HEAD" && allow == "GET") {
            return route(self);
        }
        Route::Reply(not_allowed(method, path, allow))
    }

    /// Finds out who asks, before anything is answered that is not for everybody. The request came
    /// at `now`, `unix_now` seconds after 1970.
    pub fn admit(&self, credentials: &Credentials, now: Instant, unix_now: u64) -> Admission {
        self.access.admit(credentials, now, unix_now)
    }

    /// What to ask the store before a chat request of this caller is answered, if anything.
    pub fn own_keys(&self, caller: Option<&Caller>) -> Option<Statement> {
        let asked = self.config.providers.values().any(|provider| provider.user_keys);
        asked.then(|| store::provider_keys::of_user(user(caller)))
    }

    /// Begins to do what is wanted with a caller's own key for a provider.
    pub fn provider_key(
        &self,
        action: Action,
        provider: &str,
        body: &[u8],
        caller: Option<&Caller>,
        unix_now: u64,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<KeyRequest, Failure> {
        if caller.is_none() && self.config.auth.is_some() {
            return Err(Reason::CredentialsMissing.into());
        }
        let asker = Asker { user: user(caller), unix_now, nonce };
        KeyRequest::new(&self.config, action, provider, body, &asker)
    }

    /// Enters what an answer does in its user's quota, which this gateway keeps in memory. A shell
    /// whose users come to many gateways keeps it where they all do.
    pub fn apply(&self, user: &Arc<str>, op: &QuotaOp, now: Instant) -> Result<(), Denial> {
        self.quotas.apply(user, op, now)
    }

    /// Begins to answer a chat request.
    pub fn answer(&self, client: Client, body: &[u8], arrival: &Arrival) -> Answer {
        if arrival.caller.is_none() && self.config.auth.is_some() {
            return self.refuse(client, Reason::CredentialsMissing.into(), arrival);
        }
        let parsed = client.protocol.parse_request(body).and_then(|mut request| {
            request.stream = client.stream.unwrap_or(request.stream);
            if let Some(original) = &mut request.original {
                original.headers.clone_from(&arrival.headers);
            }
            let model = self.model(request.model.as_deref())?;
            Ok((request, model))
        });
        match parsed {
            Ok((request, model)) => {
                let job = self.job(client.protocol, request, model, arrival);
                let opening = self.opening(&job, model, arrival);
                Answer::new(job, opening, arrival.now)
            }
            Err(failure) => self.refuse(client, failure, arrival),
        }
    }

    /// Answers a chat request that could not even be read.
    pub fn refuse(&self, client: Client, failure: Failure, arrival: &Arrival) -> Answer {
        let job = self.job(client.protocol, ChatRequest::default(), "", arrival);
        let opening = self.opening(&job, "", arrival);
        Answer::refused(job, opening, arrival.now, failure)
    }

    /// The failure of a body that is longer than [`Self::request_bytes_max`].
    pub fn body_too_large(&self) -> Failure {
        let max = self.request_bytes_max();
        Failure::new(Reason::BodyTooLarge, format!("The request body is longer than {max} bytes."))
    }

    /// The configured name a request's model stands for.
    fn model(&self, asked: Option<&str>) -> Result<&str, Failure> {
        let Some(name) = asked.or(self.config.default_model.as_deref()) else {
            let detail = "model: expected a name, for no default_model is configured";
            return Err(Failure::new(Reason::InvalidRequest, detail).at("model"));
        };
        if let Some((name, _)) = self.config.models.get_key_value(name) {
            return Ok(name);
        }
        let known: Vec<_> = self.config.models.keys().map(|name| format!("`{name}`")).collect();
        let detail = format!("There is no model `{name}`: expected one of {}.", known.join(", "));
        Err(Failure::new(Reason::UnknownModel, detail).at("model"))
    }

    fn job(
        &self,
        client: ClientProtocol,
        request: ChatRequest,
        model: &str,
        arrival: &Arrival,
    ) -> Job {
        let by_protocol =
            if client.marks_fallback() { Exhausted::Message } else { Exhausted::Error };
        let targets = self.config.models.get(model).map(|model| {
            let (user, own) = (user(arrival.caller.as_ref()), &arrival.own_keys);
            provider_keys::apply(&model.targets, &self.config, user, own)
        });
        Job {
            targets: targets.unwrap_or_default(),
            request: Arc::new(request),
            client,
            caller: arrival.caller.clone(),
            exhausted: self.config.fallback.exhausted.unwrap_or(by_protocol),
            fallback: self.config.fallback.clone(),
            timeouts: self.config.timeouts.clone(),
            limits: self.config.limits.clone(),
            health: self.health.clone(),
            learned: self.learned.clone(),
            unix_began: Duration::from_secs(arrival.unix_seconds),
            // The low half: the whole names the answer.
            seed: arrival.random as u64,
        }
    }

    fn opening(&self, job: &Job, model: &str, arrival: &Arrival) -> AnswerMeta {
        AnswerMeta {
            id: format!("chatcmpl-{:032x}", arrival.random),
            created: arrival.unix_seconds,
            model: model.to_owned(),
            request: job.request.clone(),
        }
    }

    /// `GET /v1/models`: the default one first, in OpenAI's words and in Anthropic's. When they were
    /// made is not known.
    fn models(&self) -> Reply {
        let default = self.config.default_model.as_ref();
        let mut names: Vec<_> = self.config.models.iter().collect();
        names.sort_by_key(|(name, _)| Some(*name) != default);
        let data: Vec<_> = names
            .into_iter()
            .map(|(name, model)| {
                let owner = &model.targets[0].provider.name;
                let limits: Vec<_> = model.targets.iter().map(|t| self.limits(t)).collect();
                json!({
                    "id": name,
                    "object": "model",
                    "created": 0,
                    "owned_by": owner,
                    "type": "model",
                    "display_name": name,
                    "created_at": "1970-01-01T00:00:00Z",
                    "limits": limits,
                })
            })
            .collect();
        let ids = [data.first(), data.last()].map(|model| model.map(|model| &model["id"]));
        let list = json!({
            "object": "list",
            "data": data,
            "has_more": false,
            "first_id": ids[0],
            "last_id": ids[1],
        });
        Reply::json(200, list.to_string().into_bytes())
    }

    /// What is known of a target's limits in tokens, and who says so; what was learned is shown
    /// however old it is.
    fn limits(&self, target: &Target) -> Value {
        let learned = self.learned.find(&target.provider.base_url, &target.model, 0);
        let known = Known::of(target, learned.as_ref());
        let facts = [
            ("max_output_tokens", known.max_output()),
            ("context_window", known.context_window),
            ("max_input_tokens", known.max_input),
        ];
        let mut limits = json!({"target": target.to_string()});
        for (name, fact) in facts {
            let Some(fact) = fact else { continue };
            limits[name] = json!({"tokens": fact.tokens, "source": fact.source.to_string()});
            if let Source::Learned { at, .. } = fact.source {
                limits[name]["learned_at"] = at.into();
            }
        }
        limits
    }
}

impl Client {
    /// Of a path whose requests say whether they want a stream.
    pub const fn asked(protocol: ClientProtocol) -> Self {
        Self { protocol, stream: None }
    }

    /// Of a path that streams.
    pub const fn streaming(protocol: ClientProtocol) -> Self {
        Self { protocol, stream: Some(true) }
    }

    /// Of a path that answers whole.
    pub const fn whole(protocol: ClientProtocol) -> Self {
        Self { protocol, stream: Some(false) }
    }

    /// The request's headers that a provider of the same protocol is sent too; `header` finds them by
    /// their lower-case names.
    pub fn headers<S: Into<String>>(
        self,
        header: impl Fn(&'static str) -> Option<S>,
    ) -> Vec<(&'static str, String)> {
        let names = self.protocol.forwarded_headers().iter();
        names.filter_map(|&name| Some((name, header(name)?.into()))).collect()
    }
}

/// The name a caller's own keys are kept under.
fn user(caller: Option<&Caller>) -> &str {
    caller.map_or(LOCAL_USER, |caller| &caller.user)
}

fn not_allowed(method: &str, path: &str, allow: &str) -> Reply {
    let detail = format!("{path} takes {allow}, not {method}.");
    let mut reply = Reply::failure(&Failure::new(Reason::MethodNotAllowed, detail));
    reply.headers.push(("allow", allow.to_owned()));
    reply
}

impl Reply {
    /// A JSON response.
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body }
    }

    /// A failure outside of any chat protocol, in the shape of OpenAI's.
    pub fn failure(failure: &Failure) -> Self {
        let body = error_body(ClientProtocol::OpenAi, failure, None);
        let mut reply = Self::json(failure.status(), body);
        reply.headers.extend(failure.headers());
        reply
    }

    fn text(text: &str) -> Self {
        let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
        Self { status: 200, headers, body: text.as_bytes().to_vec() }
    }

    fn page() -> Self {
        let headers = vec![
            ("content-type", "text/html; charset=utf-8".to_owned()),
            ("content-security-policy", page::CHAT_CSP.to_owned()),
            ("cache-control", "no-cache".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
            ("referrer-policy", "no-referrer".to_owned()),
        ];
        Self { status: 200, headers, body: page::CHAT.as_bytes().to_vec() }
    }
}

#[cfg(test)]
mod tests;
