//! The paths of Gemini's API: a model's name, and behind a colon what is asked of it.

use super::{Client, MODELS, Route, not_allowed, not_found};
use crate::protocol::ClientProtocol;
use crate::request::models::Listing;
use crate::request::{Aim, Asked, path};

const OWN_MODELS: &str = "/v1beta/models/";

/// What is not supported.
const EMBEDDINGS: [&str; 2] = ["embedContent", "batchEmbedContents"];

/// Whether a model's name ends in what is asked of it.
pub(super) fn is_call(name: &str) -> bool {
    let is_known = |call: &str| asked(call, "").is_some() || EMBEDDINGS.contains(&call);
    name.rsplit_once(':').is_some_and(|(_, call)| is_known(call))
}

/// What a path is for; `None`: it is not of this API.
pub(super) fn route(method: &str, url_path: &str, query: &str) -> Option<Route> {
    let own = url_path.strip_prefix(OWN_MODELS);
    let name = own.or_else(|| url_path.strip_prefix(MODELS)).filter(|name| !name.is_empty())?;
    let call = name.rsplit_once(':').and_then(|(model, call)| Some((model, asked(call, query)?)));
    match (method, call) {
        ("POST", Some((model, asked))) => {
            Some(Route::Chat { asked, model: Some(path::decoded(model)) })
        }
        (_, Some(_)) => Some(Route::Reply(not_allowed(method, url_path, "POST"))),
        (_, None) if is_call(name) => Some(Route::Reply(not_found(url_path))),
        (_, None) if own.is_none() => None,
        ("GET" | "HEAD", None) => Some(Route::Model(Listing::Gemini, path::decoded(name))),
        (_, None) => Some(Route::Reply(not_found(url_path))),
    }
}

fn asked(call: &str, query: &str) -> Option<Asked> {
    let (aim, client) = match call {
        "generateContent" => (Aim::Answer, Client::non_streaming(ClientProtocol::Gemini)),
        "streamGenerateContent" if query.split('&').any(|pair| pair == "alt=sse") => {
            (Aim::Answer, Client::streaming(ClientProtocol::Gemini))
        }
        "streamGenerateContent" => (Aim::Answer, Client::streaming(ClientProtocol::GeminiArray)),
        "countTokens" => (Aim::Count, Client::non_streaming(ClientProtocol::Gemini)),
        _ => return None,
    };
    Some(Asked { aim, client })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_how_a_stream_is_framed() {
        let asked = |path, query| match route("POST", path, query) {
            Some(Route::Chat { asked, model: Some(model) }) => (asked.client, model),
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
