//! Which path is what, the same on both shells.

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
    /// An answer to a chat request.
    Chat(Client),
    /// Something about a user's own key for a provider.
    ProviderKey { action: Action, provider: String },
    /// The list of models.
    Models,
    /// One model of the list, by its name.
    Model(String),
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
    /// What this path is for. `path` has no query.
    pub(super) fn of(method: &str, path: &str) -> Self {
        if let Some(provider) = path.strip_prefix(PROVIDER_KEYS) {
            return match Action::of(method) {
                Some(action) => Self::ProviderKey { action, provider: provider.to_owned() },
                None => Self::Reply(not_allowed(method, path, "PUT, GET, DELETE")),
            };
        }
        if let Some(name) = path.strip_prefix(MODELS).filter(|name| !name.is_empty()) {
            return match method {
                "GET" | "HEAD" => Self::Model(name.to_owned()),
                _ => Self::Reply(not_allowed(method, path, "GET")),
            };
        }
        let Some((allow, route)) = find(path) else { return Self::Reply(not_found(path)) };
        if method == allow || (method == "HEAD" && allow == "GET") {
            return route();
        }
        Self::Reply(not_allowed(method, path, allow))
    }

    /// The protocol in which the path's errors are written.
    fn protocol(&self) -> ClientProtocol {
        match self {
            Self::Chat(client) => client.protocol,
            Self::ProviderKey { .. } | Self::Models | Self::Model(_) | Self::Reply(_) => {
                ClientProtocol::OpenAi
            }
        }
    }
}

type MakeRoute = fn() -> Route;

/// The method that a path takes, and what is there.
fn find(path: &str) -> Option<(&'static str, MakeRoute)> {
    let chat = |route: MakeRoute| Some(("POST", route));
    let get = |route: MakeRoute| Some(("GET", route));
    match path {
        "/v1/chat/completions" => chat(|| Route::Chat(Client::new(ClientProtocol::OpenAi))),
        "/v1/responses" => chat(|| Route::Chat(Client::new(ClientProtocol::Responses))),
        "/v1/messages" => chat(|| Route::Chat(Client::new(ClientProtocol::Anthropic))),
        "/chat/stream" => chat(|| Route::Chat(Client::streaming(ClientProtocol::Token))),
        "/chat/execute/stream" => chat(|| Route::Chat(Client::streaming(ClientProtocol::Notebook))),
        "/chat/execute" => chat(|| Route::Chat(Client::non_streaming(ClientProtocol::Notebook))),
        "/api/chat" => chat(|| Route::Chat(Client::streaming(ClientProtocol::UiMessage))),
        "/api/generate" => chat(|| Route::Chat(Client::new(ClientProtocol::OllamaGenerate))),
        "/api/chat/stream" => chat(|| Route::Chat(Client::streaming(ClientProtocol::Content))),
        "/api/ai/chat/stream" => chat(|| Route::Chat(Client::streaming(ClientProtocol::Session))),
        "/api/ai/chat" => chat(|| Route::Chat(Client::non_streaming(ClientProtocol::Session))),
        "/v1/models" => get(|| Route::Models),
        "/healthz" | "/health" => get(|| Route::Reply(Reply::text("ok\n"))),
        "/" => get(|| Route::Reply(Reply::page())),
        _ => None,
    }
}

/// Nothing is at this path. Most clients get here by a base URL with a `/v1` too many or too few.
fn not_found(path: &str) -> Reply {
    let mut detail = format!("There is no {path} here.");
    let meant = meant(path);
    if let Some(meant) = &meant {
        detail += &format!(" Did you mean {meant}? Check the base URL of the client.");
    }
    let protocol = protocol_of(meant.as_deref().unwrap_or(path));
    Reply::failure_to(protocol, &Failure::new(Reason::NotFound, detail))
}

/// The path that a client most likely meant.
fn meant(path: &str) -> Option<String> {
    let trimmed = path.trim_end_matches('/');
    let without_version = trimmed.trim_start_matches("/v1");
    [trimmed.to_owned(), without_version.to_owned(), format!("/v1{without_version}")]
        .into_iter()
        .find(|candidate| find(candidate).is_some())
}

fn protocol_of(path: &str) -> ClientProtocol {
    find(path).map_or(ClientProtocol::OpenAi, |(_, route)| route().protocol())
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
        match Route::of(method, path) {
            Route::Chat(_) | Route::ProviderKey { .. } | Route::Models | Route::Model(_) => None,
            Route::Reply(reply) => Some(reply.status),
        }
    }

    #[test]
    fn every_path_is_known_by_its_method() {
        let rows = [
            ("POST", "/v1/chat/completions", None),
            ("POST", "/v1/responses", None),
            ("POST", "/v1/messages", None),
            ("POST", "/chat/stream", None),
            ("POST", "/chat/execute/stream", None),
            ("POST", "/chat/execute", None),
            ("POST", "/api/chat", None),
            ("POST", "/api/generate", None),
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
            ("POST", "/v1/models/", Some(404)),
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
        let Route::Reply(reply) = Route::of("GET", "/chat/stream") else { panic!("no reply") };
        assert!(reply.headers.contains(&("allow", "POST".into())));
        let body = String::from_utf8(reply.body).unwrap();
        assert!(body.contains("/chat/stream takes POST, not GET"), "{body}");
    }

    fn body(method: &str, path: &str) -> String {
        let Route::Reply(reply) = Route::of(method, path) else { panic!("no reply") };
        String::from_utf8(reply.body).unwrap()
    }

    #[test]
    fn a_path_that_is_nearly_one_is_answered_with_the_one_meant() {
        let rows = [
            ("/v1/v1/chat/completions", "/v1/chat/completions"),
            ("/chat/completions", "/v1/chat/completions"),
            ("/v1/chat/completions/", "/v1/chat/completions"),
            ("/v1/v1/v1/models", "/v1/models"),
            ("/messages", "/v1/messages"),
            ("/v1/api/chat", "/api/chat"),
            ("/v1/healthz", "/healthz"),
        ];
        for (path, meant) in rows {
            let body = body("POST", path);
            assert!(body.contains(&format!("Did you mean {meant}?")), "{path}: {body}");
        }
        assert!(!body("POST", "/nowhere").contains("Did you mean"));
    }

    #[test]
    fn errors_have_the_shape_of_the_paths_protocol() {
        let anthropic = r#""type":"error""#;
        assert!(body("GET", "/v1/messages").contains(anthropic));
        assert!(body("POST", "/v1/v1/messages").contains(anthropic));
        assert!(!body("GET", "/v1/chat/completions").contains(anthropic));
    }
}
