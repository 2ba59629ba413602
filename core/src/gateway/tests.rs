use super::*;

fn status(method: &str, path: &str) -> Option<u16> {
    match Gateway::new(Config::embedded()).route(method, path) {
        Route::Chat(_) => None,
        Route::Reply(reply) => Some(reply.status),
    }
}

#[test]
fn every_path_is_known_by_its_method() {
    let rows = [
        ("POST", "/v1/chat/completions", None),
        ("POST", "/chat/stream", None),
        ("GET", "/v1/models", Some(200)),
        ("GET", "/healthz", Some(200)),
        ("GET", "/", Some(200)),
        ("HEAD", "/", Some(200)),
        ("GET", "/v1/chat/completions", Some(405)),
        ("HEAD", "/chat/stream", Some(405)),
        ("DELETE", "/", Some(405)),
        ("GET", "/nowhere", Some(404)),
        ("POST", "/v1/models/", Some(404)),
    ];
    for (method, path, expected) in rows {
        assert_eq!(status(method, path), expected, "{method} {path}");
    }
}

#[test]
fn a_wrong_method_is_told_the_right_one() {
    let Route::Reply(reply) = Gateway::new(Config::embedded()).route("GET", "/chat/stream") else {
        panic!("no reply")
    };
    assert!(reply.headers.contains(&("allow", "POST".into())));
    assert!(String::from_utf8(reply.body).unwrap().contains("/chat/stream takes POST, not GET"));
}

#[test]
fn models_are_listed_with_the_default_first() {
    let text = "default_model = \"z\"\n[providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                [models.a]\ntargets = [\"p/a\"]\n[models.z]\ntargets = [\"p/z\"]";
    let gateway = Gateway::new(Config::parse(text, |_| None).unwrap());
    let Route::Reply(reply) = gateway.route("GET", "/v1/models") else { panic!("no reply") };
    let list: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(list["data"][0]["id"], "z");
    assert_eq!(list["data"][1]["id"], "a");
    assert_eq!(list["data"][0]["owned_by"], "p");
}
