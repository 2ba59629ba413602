//! Which path is what, the same on both shells.

use crate::failure::{Failure, Reason};
use crate::protocol::ClientProtocol;
use crate::provider_keys::Action;
use crate::reply::Reply;

/// Where users' own keys are; the provider's name follows.
const PROVIDER_KEYS: &str = "/v1/provider-keys/";

/// What a method and a path ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// An answer to a chat request.
    Chat(Client),
    /// Something about a user's own key for a provider.
    ProviderKey { action: Action, provider: String },
    /// The list of models.
    Models,
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
        let Some((allow, route)) = find(path) else {
            let failure = Failure::new(Reason::NotFound, format!("There is no {path} here."));
            return Self::Reply(Reply::failure(&failure));
        };
        if method == allow || (method == "HEAD" && allow == "GET") {
            return route();
        }
        Self::Reply(not_allowed(method, path, allow))
    }
}

type MakeRoute = fn() -> Route;

/// The method that a path takes, and what is there.
fn find(path: &str) -> Option<(&'static str, MakeRoute)> {
    let chat = |route: MakeRoute| Some(("POST", route));
    let get = |route: MakeRoute| Some(("GET", route));
    match path {
        "/v1/chat/completions" => chat(|| Route::Chat(Client::asked(ClientProtocol::OpenAi))),
        "/v1/responses" => chat(|| Route::Chat(Client::asked(ClientProtocol::Responses))),
        "/v1/messages" => chat(|| Route::Chat(Client::asked(ClientProtocol::Anthropic))),
        "/chat/stream" => chat(|| Route::Chat(Client::streaming(ClientProtocol::Token))),
        "/chat/execute/stream" => chat(|| Route::Chat(Client::streaming(ClientProtocol::Notebook))),
        "/chat/execute" => chat(|| Route::Chat(Client::whole(ClientProtocol::Notebook))),
        "/api/chat" => chat(|| Route::Chat(Client::streaming(ClientProtocol::UiMessage))),
        "/api/chat/stream" => chat(|| Route::Chat(Client::streaming(ClientProtocol::Content))),
        "/api/ai/chat/stream" => chat(|| Route::Chat(Client::streaming(ClientProtocol::Session))),
        "/api/ai/chat" => chat(|| Route::Chat(Client::whole(ClientProtocol::Session))),
        "/v1/models" => get(|| Route::Models),
        "/healthz" => get(|| Route::Reply(Reply::text("ok\n"))),
        "/" => get(|| Route::Reply(Reply::page())),
        _ => None,
    }
}

fn not_allowed(method: &str, path: &str, allow: &str) -> Reply {
    let detail = format!("{path} takes {allow}, not {method}.");
    let mut reply = Reply::failure(&Failure::new(Reason::MethodNotAllowed, detail));
    reply.headers.push(("allow", allow.to_owned()));
    reply
}

impl Client {
    /// Of a path whose requests decide whether they are streamed.
    pub const fn asked(protocol: ClientProtocol) -> Self {
        Self { protocol, stream: None }
    }

    /// Of a path that streams.
    pub const fn streaming(protocol: ClientProtocol) -> Self {
        Self { protocol, stream: Some(true) }
    }

    /// Of a path that never streams.
    pub const fn whole(protocol: ClientProtocol) -> Self {
        Self { protocol, stream: Some(false) }
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
            Route::Chat(_) | Route::ProviderKey { .. } | Route::Models => None,
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
}
