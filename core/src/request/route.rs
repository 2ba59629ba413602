//! Which path is what, the same on both shells.

mod gemini;

use super::models::Listing;
use super::{Aim, Asked, path};
use crate::failure::{Failure, Reason};
use crate::protocol::ClientProtocol;
use crate::provider_keys::Action;
use crate::reply::Reply;

/// Where users' own keys are; the provider's name follows.
const PROVIDER_KEYS: &str = "/v1/provider-keys/";

/// Where one model is; its name follows, with any slashes in it.
const MODELS: &str = "/v1/models/";

/// What a method and a path ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// What a chat request asks for, of the model that the path names if it names one.
    Chat { asked: Asked, model: Option<String> },
    /// Something about a user's own key for a provider.
    ProviderKey { action: Action, provider: String },
    /// The list of models, in this form.
    Models(Listing),
    /// One model of the list, by its name.
    Model(Listing, String),
    /// One model of Ollama's list, which the body names.
    ShowModel,
    /// A response that is already known and open to all.
    Reply(Reply),
}

/// What the client of a path speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its protocol.
    pub protocol: ClientProtocol,
    /// Whether the path streams; `None`: the request decides.
    pub stream: Option<bool>,
}

/// Headers of a request, by lower-case name.
pub(crate) type Headers = Vec<(&'static str, String)>;

impl Route {
    /// What this path is for. `path` has no query. One that is nearly right is served as what is
    /// meant by it.
    pub(super) fn of(method: &str, path: &str, query: &str) -> Self {
        let known =
            |path: &str| Self::known(method, path).or_else(|| gemini::route(method, path, query));
        let is_known = |path: &str| known(path).is_some();
        known(path)
            .or_else(|| Self::of_deployment(method, path))
            .or_else(|| known(&path::meant(path, is_known)?))
            .unwrap_or_else(|| Self::Reply(not_found(path)))
    }

    /// What a path is for that is written as it should be.
    fn known(method: &str, path: &str) -> Option<Self> {
        if let Some(provider) = path.strip_prefix(PROVIDER_KEYS) {
            return Some(match Action::of(method) {
                Some(action) => Self::ProviderKey { action, provider: path::decoded(provider) },
                None => Self::Reply(not_allowed(method, path, "PUT, GET, DELETE")),
            });
        }
        if let Some(name) = path.strip_prefix(MODELS).filter(|name| !name.is_empty()) {
            if gemini::is_call(name) {
                return None;
            }
            return Some(match method {
                "GET" | "HEAD" => Self::Model(Listing::OpenAi, path::decoded(name)),
                _ => Self::Reply(not_allowed(method, path, "GET")),
            });
        }
        let (allow, route) = find(path)?;
        let is_allowed = method == allow || (method == "HEAD" && allow == "GET");
        Some(if is_allowed { route() } else { Self::Reply(not_allowed(method, path, allow)) })
    }

    /// A path of Azure's, which names the model.
    fn of_deployment(method: &str, path: &str) -> Option<Self> {
        let (model, path) = path::deployment(path)?;
        match Self::known(method, &path)? {
            Self::Chat { asked, .. } => Some(Self::Chat { asked, model: Some(model) }),
            Self::Reply(reply) => Some(Self::Reply(reply)),
            Self::ProviderKey { .. } | Self::Models(_) | Self::Model(..) | Self::ShowModel => None,
        }
    }

    /// An answer to a request that names its model.
    fn chat(client: Client) -> Self {
        Self::Chat { asked: Asked { aim: Aim::Answer, client }, model: None }
    }

    /// The number of its tokens.
    fn count(client: Client) -> Self {
        Self::Chat { asked: Asked { aim: Aim::Count, client }, model: None }
    }

    /// The response to whoever asks for a WebSocket at this path.
    pub(super) fn of_websocket(path: &str) -> Self {
        let failure = Failure::from(Reason::WebSocket);
        Self::Reply(Reply::failure_to(protocol_of(path), &failure))
    }

    /// The protocol in which the path's errors are written.
    fn protocol(&self) -> ClientProtocol {
        match self {
            Self::Chat { asked, .. } => asked.client.protocol,
            Self::Models(listing) | Self::Model(listing, _) => listing.protocol(),
            Self::ShowModel => Listing::Ollama.protocol(),
            Self::ProviderKey { .. } | Self::Reply(_) => ClientProtocol::OpenAi,
        }
    }

    /// The key in a query, where the protocol has it there.
    pub(super) fn key_in_query<'q>(&self, query: &'q str) -> Option<&'q str> {
        let has = matches!(self.protocol(), ClientProtocol::Gemini | ClientProtocol::GeminiArray);
        query.split('&').find_map(|pair| pair.strip_prefix("key=")).filter(|_| has)
    }
}

type MakeRoute = fn() -> Route;

/// The method that a path takes, and what is there.
fn find(path: &str) -> Option<(&'static str, MakeRoute)> {
    let chat = |route: MakeRoute| Some(("POST", route));
    let get = |route: MakeRoute| Some(("GET", route));
    match path {
        "/v1/chat/completions" => chat(|| Route::chat(Client::new(ClientProtocol::OpenAi))),
        "/v1/completions" => chat(|| Route::chat(Client::new(ClientProtocol::Completions))),
        "/v1/responses" => chat(|| Route::chat(Client::new(ClientProtocol::Responses))),
        "/v1/messages" => chat(|| Route::chat(Client::new(ClientProtocol::Anthropic))),
        "/v1/messages/count_tokens" => {
            chat(|| Route::count(Client::new(ClientProtocol::Anthropic)))
        }
        "/chat/stream" => chat(|| Route::chat(Client::streaming(ClientProtocol::Token))),
        "/chat/execute/stream" => chat(|| Route::chat(Client::streaming(ClientProtocol::Notebook))),
        "/chat/execute" => chat(|| Route::chat(Client::non_streaming(ClientProtocol::Notebook))),
        "/api/chat" => chat(|| Route::chat(Client::streaming(ClientProtocol::UiMessage))),
        "/api/generate" => chat(|| Route::chat(Client::new(ClientProtocol::OllamaGenerate))),
        "/api/chat/stream" => chat(|| Route::chat(Client::streaming(ClientProtocol::Content))),
        "/api/ai/chat/stream" => chat(|| Route::chat(Client::streaming(ClientProtocol::Session))),
        "/api/ai/chat" => chat(|| Route::chat(Client::non_streaming(ClientProtocol::Session))),
        "/v1/models" => get(|| Route::Models(Listing::OpenAi)),
        "/v1beta/models" => get(|| Route::Models(Listing::Gemini)),
        "/api/tags" | "/api/ps" => get(|| Route::Models(Listing::Ollama)),
        "/api/show" => chat(|| Route::ShowModel),
        "/api/version" => get(|| Route::Reply(ollama_version())),
        "/healthz" | "/health" => get(|| Route::Reply(Reply::text("ok\n"))),
        "/" => get(|| Route::Reply(Reply::page())),
        _ => None,
    }
}

fn not_found(path: &str) -> Reply {
    let detail = match why_absent(path) {
        Some(why) => format!("There is no {path} here: {why}"),
        None => format!("There is no {path} here."),
    };
    Reply::failure_to(protocol_of(path), &Failure::new(Reason::NotFound, detail))
}

/// Why a path is not here though clients of its protocol know it.
fn why_absent(path: &str) -> Option<&'static str> {
    let last = path.rsplit(['/', ':']).next().unwrap_or_default();
    match last {
        "embed" | "embeddings" | "embedContent" | "batchEmbedContents" => {
            Some("embeddings are not supported, models answer chats.")
        }
        "pull" | "push" | "create" | "copy" | "delete" if path.starts_with("/api/") => {
            Some("models are configured, and none can be added, removed or renamed by a client.")
        }
        _ => None,
    }
}

/// The protocol of a path's errors, also where it is only the beginning of one that is known.
fn protocol_of(path: &str) -> ClientProtocol {
    match find(path) {
        Some((_, route)) => route().protocol(),
        None if path.contains("/messages") => ClientProtocol::Anthropic,
        None if path.starts_with("/v1beta/") || gemini::is_call(path) => ClientProtocol::Gemini,
        None if path.starts_with("/api/") => ClientProtocol::Ollama,
        None => ClientProtocol::OpenAi,
    }
}

/// The version of Ollama's API that is spoken: clients refuse to work with one that is too old.
fn ollama_version() -> Reply {
    Reply::json(200, br#"{"version":"0.12.6"}"#.to_vec())
}

fn not_allowed(method: &str, path: &str, allow: &str) -> Reply {
    let detail = format!("{path} takes {allow}, not {method}.");
    let failure = Failure::new(Reason::MethodNotAllowed, detail);
    let mut reply = Reply::failure_to(protocol_of(path), &failure);
    reply.headers.push(("allow", allow.to_owned()));
    reply
}

impl Client {
    /// Of a path whose requests decide whether they are streamed.
    pub const fn new(protocol: ClientProtocol) -> Self {
        Self { protocol, stream: None }
    }

    /// Of a path that streams.
    pub const fn streaming(protocol: ClientProtocol) -> Self {
        Self { protocol, stream: Some(true) }
    }

    /// Of a path that never streams.
    pub const fn non_streaming(protocol: ClientProtocol) -> Self {
        Self { protocol, stream: Some(false) }
    }

    /// What a client of this path speaks that sends this body.
    pub(super) fn of_body(self, body: &[u8]) -> Self {
        match self.protocol.of_body(body) {
            protocol if protocol == self.protocol => self,
            protocol => Self::new(protocol),
        }
    }

    /// The request's headers that a provider of the same protocol gets too; `header` finds them by
    /// their lower-case names.
    pub fn headers<S: Into<String>>(
        self,
        header: impl Fn(&'static str) -> Option<S>,
    ) -> Vec<(&'static str, String)> {
        let names = self.protocol.forwarded_headers().iter();
        names.filter_map(|&name| Some((name, header(name)?.into()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, path: &str) -> Option<u16> {
        match Route::of(method, path, "") {
            Route::Chat { .. }
            | Route::ProviderKey { .. }
            | Route::Models(_)
            | Route::Model(..)
            | Route::ShowModel => None,
            Route::Reply(reply) => Some(reply.status),
        }
    }

    #[test]
    fn every_path_is_known_by_its_method() {
        let rows = [
            ("POST", "/v1/chat/completions", None),
            ("POST", "/v1/responses", None),
            ("POST", "/v1/messages", None),
            ("POST", "/v1/messages/count_tokens", None),
            ("POST", "/chat/stream", None),
            ("POST", "/chat/execute/stream", None),
            ("POST", "/chat/execute", None),
            ("POST", "/api/chat", None),
            ("POST", "/api/generate", None),
            ("GET", "/api/tags", None),
            ("POST", "/api/show", None),
            ("GET", "/api/show", Some(405)),
            ("GET", "/api/version", Some(200)),
            ("POST", "/api/pull", Some(404)),
            ("POST", "/v1/completions", None),
            ("GET", "/v1beta/models", None),
            ("GET", "/v1beta/models/m", None),
            ("POST", "/v1beta/models/m:generateContent", None),
            ("POST", "/v1/models/a/b:8b:streamGenerateContent", None),
            ("GET", "/v1beta/models/m:generateContent", Some(405)),
            ("POST", "/v1beta/models/m:embedContent", Some(404)),
            ("POST", "/v1/models/m:embedContent", Some(404)),
            ("POST", "/v1beta/models/m:countTokens", None),
            ("GET", "/v1/models/m:countTokens", Some(405)),
            ("POST", "/v1/embeddings", Some(404)),
            ("DELETE", "/api/delete", Some(404)),
            ("GET", "/v1/models/llama3:8b", None),
            ("POST", "/api/chat/stream", None),
            ("POST", "/api/ai/chat/stream", None),
            ("POST", "/api/ai/chat", None),
            ("GET", "/v1/models", None),
            ("HEAD", "/v1/models", None),
            ("GET", "/healthz", Some(200)),
            ("GET", "/", Some(200)),
            ("HEAD", "/", Some(200)),
            ("GET", "/v1/chat/completions", Some(405)),
            ("HEAD", "/chat/stream", Some(405)),
            ("DELETE", "/", Some(405)),
            ("GET", "/nowhere", Some(404)),
            ("PUT", "/v1/provider-keys/openai", None),
            ("GET", "/v1/provider-keys/openai", None),
            ("DELETE", "/v1/provider-keys/openai", None),
            ("POST", "/v1/provider-keys/openai", Some(405)),
            ("GET", "/v1/provider-keys", Some(404)),
            ("POST", "/v1/models/", Some(405)),
            ("GET", "/v1/models/m", None),
            ("HEAD", "/v1/models/a/b", None),
            ("DELETE", "/v1/models/m", Some(405)),
            ("GET", "/health", Some(200)),
        ];
        for (method, path, expected) in rows {
            assert_eq!(status(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_wrong_method_is_answered_with_the_right_one() {
        let Route::Reply(reply) = Route::of("GET", "/chat/stream", "") else { panic!("no reply") };
        assert!(reply.headers.contains(&("allow", "POST".into())));
        let body = String::from_utf8(reply.body).unwrap();
        assert!(body.contains("/chat/stream takes POST, not GET"), "{body}");
    }

    fn body(method: &str, path: &str) -> String {
        let Route::Reply(reply) = Route::of(method, path, "") else { panic!("no reply") };
        String::from_utf8(reply.body).unwrap()
    }

    #[test]
    fn a_path_that_is_nearly_one_is_served() {
        let rows = [
            ("POST", "/chat/completions", "/v1/chat/completions"),
            ("POST", "/v1/v1/messages", "/v1/messages"),
            ("POST", "/openai/v1/responses", "/v1/responses"),
            ("GET", "/models", "/v1/models"),
            ("GET", "/v1/v1/models/a/b", "/v1/models/a/b"),
            ("GET", "/v1/models/a%2Fb", "/v1/models/a/b"),
            ("GET", "/v1/healthz", "/healthz"),
            ("GET", "/messages", "/v1/messages"),
        ];
        for (method, path, meant) in rows {
            assert_eq!(Route::of(method, path, ""), Route::of(method, meant, ""), "{path}");
        }
        assert!(body("POST", "/nowhere").contains("There is no /nowhere here."));
    }

    #[test]
    fn a_deployment_names_the_model() {
        let (client, model) = (Client::new(ClientProtocol::OpenAi), "gpt-4o".to_owned());
        let path = "/openai/deployments/gpt-4o/chat/completions";
        let asked = Asked { aim: Aim::Answer, client };
        assert_eq!(Route::of("POST", path, ""), Route::Chat { asked, model: Some(model) });
        assert_eq!(status("GET", path), Some(405));
        assert_eq!(status("POST", "/openai/deployments/gpt-4o/embeddings"), Some(404));
    }

    /// Each row: a path, and a word of why it is not there.
    #[test]
    fn what_is_not_supported_is_named() {
        let rows = [
            ("/api/embed", "embeddings are not supported"),
            ("/api/embeddings", "embeddings are not supported"),
            ("/v1/embeddings", "embeddings are not supported"),
            ("/v1/models/m:embedContent", "embeddings are not supported"),
            ("/v1beta/models/m:batchEmbedContents", "embeddings are not supported"),
            ("/api/pull", "models are configured"),
        ];
        for (path, why) in rows {
            assert!(body("POST", path).contains(why), "{path}");
        }
    }

    #[test]
    fn errors_have_the_shape_of_the_paths_protocol() {
        let anthropic = r#""type":"error""#;
        assert!(body("GET", "/v1/messages").contains(anthropic));
        assert!(body("GET", "/v1/v1/messages").contains(anthropic));
        assert!(body("POST", "/v1/messages/batches").contains(anthropic));
        assert!(!body("GET", "/v1/chat/completions").contains(anthropic));
        let paths = ["/v1beta/models/m:embedContent", "/v1/models/m:embedContent", "/v1beta/files"];
        for path in paths {
            assert!(body("POST", path).contains(r#""status":"NOT_FOUND""#), "{path}");
        }
        assert!(body("POST", "/api/pull").contains(r#""error":"There is no /api/pull here: "#));
    }
}
