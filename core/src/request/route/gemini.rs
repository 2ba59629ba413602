//! The paths of Gemini's API: a model's name, and behind a colon what is asked of it.

use super::{Client, MODELS, Route, not_allowed, not_found};
use crate::protocol::ClientProtocol;
use crate::request::models::Listing;
use crate::request::path;

const OWN_MODELS: &str = "/v1beta/models/";

/// Whether a model's name ends in what is asked of it.
pub(super) fn is_call(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(_, call)| client(call, "").is_some())
}

/// What a path is for; `None`: it is not of this API.
pub(super) fn route(method: &str, url_path: &str, query: &str) -> Option<Route> {
    let own = url_path.strip_prefix(OWN_MODELS);
    let name = own.or_else(|| url_path.strip_prefix(MODELS)).filter(|name| !name.is_empty())?;
    let call = name.rsplit_once(':').and_then(|(model, call)| Some((model, client(call, query)?)));
    match (method, call) {
        ("POST", Some((model, client))) => {
            Some(Route::Deployment { client, model: path::decoded(model) })
        }
        (_, Some(_)) => Some(Route::Reply(not_allowed(method, url_path, "POST"))),
        (_, None) if own.is_none() => None,
        ("GET" | "HEAD", None) => Some(Route::Model(Listing::Gemini, path::decoded(name))),
        (_, None) => Some(Route::Reply(not_found(url_path))),
    }
}

fn client(call: &str, query: &str) -> Option<Client> {
    match call {
        "generateContent" => Some(Client::non_streaming(ClientProtocol::Gemini)),
        "streamGenerateContent" if query.split('&').any(|pair| pair == "alt=sse") => {
            Some(Client::streaming(ClientProtocol::Gemini))
        }
        "streamGenerateContent" => Some(Client::streaming(ClientProtocol::GeminiArray)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_how_a_stream_is_framed() {
        let asked = |path, query| match route("POST", path, query) {
            Some(Route::Deployment { client, model }) => (client, model),
            other => panic!("{other:?}"),
        };
        let stream = "/v1beta/models/llama3:8b:streamGenerateContent";
        let events = Client::streaming(ClientProtocol::Gemini);
        assert_eq!(asked(stream, "key=k&alt=sse"), (events, "llama3:8b".into()));
        let list = Client::streaming(ClientProtocol::GeminiArray);
        assert_eq!(asked(stream, "alt=json"), (list, "llama3:8b".into()));
        let whole = Client::non_streaming(ClientProtocol::Gemini);
        assert_eq!(asked("/v1/models/a%2Fb:generateContent", ""), (whole, "a/b".into()));
    }
}
