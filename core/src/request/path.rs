//! Paths as clients write them: with a base URL that has a `/v1` too many or too few, the name of
//! another gateway's prefix, or a whole endpoint; and names within them, percent-encoded.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Where Azure has its deployments; the deployment's name and the rest of the path follow.
const DEPLOYMENTS: &str = "/openai/deployments/";

/// What base URLs have before the protocol's own paths.
const PREFIXES: [&str; 4] = ["v1", "api", "openai", "anthropic"];

/// The known path that is meant by one that is not. It never leads to the root: that is a page.
pub(super) fn meant(path: &str, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let known = |segments: &[&str]| {
        let plain = format!("/{}", segments.join("/"));
        let versioned = format!("/v1{plain}");
        [plain, versioned].into_iter().find(|path| is_known(path))
    };
    let mut rest = &segments[..];
    while let [first, after @ ..] = rest {
        if let Some(path) = known(rest) {
            return Some(path);
        }
        rest = if PREFIXES.contains(first) {
            after
        } else {
            // The base URL is an endpoint, and the client adds the endpoint.
            let end = (1..rest.len()).find(|&end| known(&rest[..end]).is_some())?;
            &rest[end..]
        };
    }
    None
}

/// A deployment's name and the path that is asked of it.
pub(super) fn deployment(path: &str) -> Option<(String, String)> {
    let (name, rest) = path.strip_prefix(DEPLOYMENTS)?.split_once('/')?;
    Some((decoded(name), format!("/v1/{rest}")))
}

/// A name in a path.
pub(super) fn decoded(name: &str) -> String {
    percent_decode_str(name).decode_utf8().unwrap_or(Cow::Borrowed(name)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_nearly_right_are_understood() {
        const KNOWN: [&str; 7] = [
            "/v1/chat/completions",
            "/v1/messages",
            "/v1/responses",
            "/v1/models",
            "/api/chat",
            "/health",
            "/",
        ];
        let rows = [
            ("/chat/completions", Some("/v1/chat/completions")),
            ("/v1/v1/v1/chat/completions", Some("/v1/chat/completions")),
            ("/v1/chat/completions/", Some("/v1/chat/completions")),
            ("//v1//chat/completions", Some("/v1/chat/completions")),
            ("/v1/chat/completions/chat/completions", Some("/v1/chat/completions")),
            ("/v1/chat/completions/v1/chat/completions", Some("/v1/chat/completions")),
            ("/v1/messages/v1/messages", Some("/v1/messages")),
            ("/v1/chat/completions/v1/models", Some("/v1/models")),
            ("/api/v1/chat/completions", Some("/v1/chat/completions")),
            ("/openai/v1/responses", Some("/v1/responses")),
            ("/openai/responses", Some("/v1/responses")),
            ("/anthropic/v1/messages", Some("/v1/messages")),
            ("/v1/api/chat", Some("/api/chat")),
            ("/v1/health", Some("/health")),
            ("/v1", None),
            ("/v1/", None),
            ("/nowhere", None),
            ("/v1/chat/completions/nowhere", None),
            ("/nowhere/v1/chat/completions", None),
        ];
        for (path, expected) in rows {
            assert_eq!(meant(path, |path| KNOWN.contains(&path)).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn deployments_have_a_name_and_a_path() {
        let rest = |path| deployment(path);
        assert_eq!(
            rest("/openai/deployments/gpt%2D4o/chat/completions"),
            Some(("gpt-4o".into(), "/v1/chat/completions".into()))
        );
        assert_eq!(rest("/openai/deployments/gpt-4o"), None);
        assert_eq!(decoded("meta%2Fllama 3%FF"), "meta%2Fllama 3%FF");
    }
}
