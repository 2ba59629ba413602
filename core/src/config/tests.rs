use std::time::Duration;

use super::*;
use crate::access::Digest;
use crate::store::StoreUrl;
use crate::target::{ApiKey, Continuation};

const GOOD: &str = r#"
default_model = "gpt-4-turbo"

[server]
listen = "127.0.0.1:9000"

[providers.openai]
protocol = "openai"
base_url = "https://api.openai.com/v1/"
api_key = { env = "OPENAI_API_KEY" }

[providers.local]
protocol = "local"
models_dir = "models"

[models."gpt-4-turbo"]
targets = ["openai/gpt-4-turbo", "local/org/mistral"]
max_output_tokens = 4096

[timeouts]
first_byte = 0.5

[plans.pro]
max_output_tokens = 8000
requests_per_minute = 600

[auth]
keys = [{ sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", user = "ada", plan = "pro" }]
"#;

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, |name| (name == "OPENAI_API_KEY").then(|| " secret-value\n".into()))
}

#[test]
fn reads_what_is_written_and_keeps_the_rest_at_its_default() {
    let config = parse(GOOD).unwrap();
    let targets = &config.models["gpt-4-turbo"].targets;
    assert_eq!(config.listen.as_deref(), Some("127.0.0.1:9000"));
    assert_eq!(targets[0].to_string(), "openai/gpt-4-turbo");
    assert_eq!(targets[1].model, "org/mistral");
    assert_eq!(targets[0].provider.base_url, "https://api.openai.com/v1");
    assert_eq!(targets[0].provider.api_key, ApiKey::Set("secret-value".into()));
    assert_eq!(targets[0].max_output_tokens, Some(4096));
    assert_eq!(config.timeouts.first_byte, Duration::from_millis(500));
    assert_eq!(config.timeouts.total, Duration::from_secs(600));
}

#[test]
fn each_way_to_continue_has_its_name() {
    let rows = [
        ("prefill", Continuation::Prefill),
        ("ask", Continuation::Ask),
        ("stop", Continuation::Stop),
    ];
    for (name, expected) in rows {
        let text = format!("protocol = \"openai\"\ncontinuation = \"{name}\"");
        let config = parse(&GOOD.replace("protocol = \"openai\"", &text)).unwrap();
        assert_eq!(config.providers["openai"].continuation, expected);
    }
}

#[test]
fn a_key_belongs_to_a_user_with_a_plan() {
    let auth = parse(GOOD).unwrap().auth.unwrap();
    let (digest, ada) = auth.keys().next().unwrap();
    assert_eq!(*digest, Digest::of("abc"));
    assert_eq!((&*ada.user, ada.max_output_tokens()), ("ada", Some(8000)));
    assert_eq!(ada.plan.as_ref().unwrap().name, "pro");
}

#[test]
fn a_key_is_written_once() {
    let row = "sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";
    let twice = format!("{{ {row}, user = \"bob\" }}, {{ {row},");
    let error = parse(&GOOD.replace(&format!("{{ {row},"), &twice)).unwrap_err().to_string();
    assert!(error.contains("line 28: auth.keys.sha256: the same key is also bob's"), "{error}");
}

#[test]
fn a_secret_is_never_shown() {
    assert!(!format!("{:?}", parse(GOOD).unwrap()).contains("secret-value"));
}

#[test]
fn an_unset_secret_is_known_by_its_name() {
    let config = Config::parse(GOOD, |_| None).unwrap();
    assert_eq!(config.providers["openai"].api_key, ApiKey::Unset { env: "OPENAI_API_KEY".into() });
}

#[test]
fn the_embedded_configuration_serves_auto_and_tiny() {
    let config = Config::embedded();
    assert_eq!(config.default_model.as_deref(), Some("auto"));
    assert_eq!(config.models.keys().collect::<Vec<_>>(), ["auto", "tiny"]);
}

#[test]
fn a_store_is_known_by_its_scheme_and_never_shown() {
    let parse = |url: &str| {
        let text = format!("[store]\nurl = {url}\n{GOOD}").replacen("default_model", "#", 1);
        Config::parse(&text, |name| (name == "DB").then(|| "postgres://u:hidden@h/d\n".into()))
            .map(|config| config.store.unwrap().url)
    };
    assert_eq!(parse("\"sqlite:a.db\"").unwrap(), StoreUrl::Sqlite("sqlite:a.db".into()));
    assert_eq!(parse("\"d1:DB\"").unwrap(), StoreUrl::D1("DB".into()));
    let postgres = parse("{ env = \"DB\" }").unwrap();
    assert_eq!(postgres, StoreUrl::Postgres("postgres://u:hidden@h/d".into()));
    assert!(!format!("{postgres:?}").contains("hidden"));
    for (wrong, word) in [
        ("\"mysql://u:hidden@h\"", "sqlite:FILE"),
        ("\"sqlite:\"", "sqlite:FILE"),
        ("\"d1:\"", "d1:BINDING"),
        ("\"d1:my-db\"", "d1:BINDING"),
        ("\"DB\"", "d1:BINDING"),
        ("{ env = \"DBX\" }", "DBX is not set"),
        ("{ en = \"DB\" }", "{ env = \"NAME\" }"),
        ("3", "{ env = \"NAME\" }"),
    ] {
        let error = parse(wrong).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains(word), "{error}");
        assert!(!error.contains("hidden"), "{error}");
    }
}

/// Each row: what stands in `[store]`, in `api_key`, and what the error must say; nothing if good.
#[test]
fn users_keys_need_a_store_that_seals_them() {
    let url = "url = \"sqlite:a.db\"\n";
    let sealing = format!("[store]\n{url}master_key = {{ env = \"MASTER\" }}\n");
    let rotating = format!("{sealing}previous_master_key = {{ env = \"GONE\" }}\n");
    let rows = [
        (sealing.as_str(), "{ user = true }", ""),
        (&rotating, "{ env = \"OPENAI_API_KEY\", user = true }", ""),
        (&sealing, "{}", "{ user = true }"),
        (&sealing, "{ user = false }", "{ user = true }"),
        (&sealing, "{ users = true }", "users"),
        (&format!("[store]\n{url}"), "{ user = true }", "master_key"),
        ("", "{ user = true }", "master_key"),
        (&sealing.replace("MASTER", "GONE"), "{ user = true }", "line 3: store.master_key: GONE"),
        (&sealing.replace("MASTER", "SHORT"), "{ user = true }", "32 bytes"),
        (&rotating.replace("GONE", "SHORT"), "{ user = true }", "line 4"),
    ];
    for (store, api_key, word) in rows {
        let good = GOOD.replace("{ env = \"OPENAI_API_KEY\" }", api_key);
        let text = format!("{store}{}", good.replacen("default_model", "#", 1));
        let parsed = Config::parse(&text, |name| match name {
            "GONE" => None,
            "SHORT" => Some("hidden".into()),
            _ => Some("0".repeat(64)),
        });
        match parsed {
            Ok(config) => assert!(word.is_empty() && config.providers["openai"].user_keys),
            Err(error) => {
                let told = error.to_string();
                assert!(!word.is_empty() && told.contains(word), "{store}{api_key}: {told}");
                assert!(!told.contains("hidden"), "{told}");
            }
        }
    }
}

/// Each row: what is replaced in the good text, by what, and what the error must name.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn every_mistake_names_the_line_the_key_and_what_was_expected() {
    let rows: &[(&str, &str, &[&str])] = &[
        ("protocol = \"openai\"", "protocol = \"opnai\"", &["line 8", "opnai", "openai", "local"]),
        ("protocol = \"openai\"", "protocl = \"openai\"", &["line 8", "protocl", "protocol"]),
        ("base_url = \"https://api.openai.com/v1/\"", "", &["line 7", "base_url", "URL"]),
        (
            "https://api.openai.com/v1/",
            "api.openai.com",
            &["line 9", "providers.openai.base_url", "https://"],
        ),
        ("env = \"OPENAI_API_KEY\"", "value = \"sk\"", &["line 10", "value", "env"]),
        ("models_dir = \"models\"", "base_url = \"http://x\"", &["line 14", "local", "models_dir"]),
        (
            "protocol = \"openai\"",
            "headers = { \"a b\" = \"x\" }\nprotocol = \"openai\"",
            &["line 8", "providers.openai.headers.a b", "letters"],
        ),
        (
            "protocol = \"openai\"",
            "headers = { Authorization = \"x\" }\nprotocol = \"openai\"",
            &["line 8", "providers.openai.headers.Authorization", "api_key"],
        ),
        (
            "protocol = \"openai\"",
            "headers = { host = \"x\" }\nprotocol = \"openai\"",
            &["line 8", "providers.openai.headers.host", "another"],
        ),
        (
            "protocol = \"openai\"",
            "headers = { x-title = \"a\\r\\nb\" }\nprotocol = \"openai\"",
            &["line 8", "providers.openai.headers.x-title", "ASCII"],
        ),
        (
            "protocol = \"openai\"",
            "dialect = \"vlm\"\nprotocol = \"openai\"",
            &["line 8", "providers.openai.dialect", "`vlm`", "`vllm`"],
        ),
        (
            "protocol = \"openai\"",
            "dialect = \"vllm\"\nprotocol = \"gemini\"",
            &["line 8", "providers.openai.dialect", "`openai` has dialects"],
        ),
        (
            "protocol = \"openai\"",
            "transport = \"http3\"\nprotocol = \"openai\"",
            &["line 8", "http3", "sans-io", "reqwest"],
        ),
        (
            "protocol = \"openai\"",
            "proxy = \"http://proxy\"\nprotocol = \"openai\"",
            &["line 8", "providers.openai.proxy", "transport = \"reqwest\""],
        ),
        (
            "protocol = \"openai\"",
            "proxy = \"proxy\"\ntransport = \"reqwest\"\nprotocol = \"openai\"",
            &["line 8", "providers.openai.proxy", "http"],
        ),
        (
            "models_dir = \"models\"",
            "transport = \"reqwest\"",
            &["line 14", "providers.local.transport", "local"],
        ),
        ("openai/gpt-4-turbo", "opnai/gpt-4-turbo", &["line 17", "opnai", "`local`, `openai`"]),
        ("openai/gpt-4-turbo", "gpt", &["line 17", "`gpt`", "PROVIDER/MODEL"]),
        ("max_output_tokens = 4096", "max_output_tokens = 0", &["line 18", "nonzero"]),
        ("max_output_tokens = 4096", "max_output_tokens = \"4k\"", &["line 18", "\"4k\""]),
        ("first_byte = 0.5", "first_byte = -1", &["line 21", "-1", "seconds above 0"]),
        ("first_byte = 0.5", "first_bite = 0.5", &["line 21", "first_bite", "first_byte"]),
        (
            "default_model = \"gpt-4-turbo\"",
            "default_model = \"x\"",
            &["line 2", "`x`", "gpt-4-turbo"],
        ),
        ("[server]", "[server", &["line 4"]),
        ("keys = [{", "# keys = [{", &["line 27", "auth", "nobody", "keys"]),
        ("keys = [{", "key = [{", &["line 28", "`key`", "keys"]),
        ("plan = \"pro\"", "plan = \"prou\"", &["line 28", "auth.keys.plan", "`prou`", "`pro`"]),
        ("user = \"ada\"", "user = \"\"", &["line 28", "auth.keys.user", "1 to 256 bytes"]),
        ("sha256 = \"ba78", "sha256 = \"sg_", &["line 28", "sha256", "64 hexadecimal"]),
        ("requests_per_minute = 600", "requests_per_minute = 0", &["line 25", "nonzero"]),
        ("requests_per_minute = 600", "requests = 600", &["line 25", "requests_per_minute"]),
    ];
    for (from, to, named) in rows {
        assert!(GOOD.contains(from), "{from}");
        let error = parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
        for word in *named {
            assert!(error.contains(word), "{to}: `{word}` is not in: {error}");
        }
    }
    assert!(parse("").unwrap_err().to_string().contains("[models.NAME]"));
}

#[test]
fn the_longest_beginning_of_a_name_decides() {
    let config = parse(
        "[providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
         [models.\"*\"]\ntargets = [\"p/any\"]\n\
         [models.\"gpt-*\"]\ntargets = [\"p/*\", \"p/azure-*\"]\n\
         [models.\"or/*\"]\ntargets = [\"p/*\"]\naliases = [\"open/router-*\", \"best\"]\n\
         [models.gpt-4]\ntargets = [\"p/four\"]\n",
    );
    // An exact name has nothing to put in the place of a `*`.
    assert!(config.unwrap_err().to_string().contains("targets"));
    let config = parse(
        "[providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
         [models.\"*\"]\ntargets = [\"p/any\"]\n\
         [models.\"gpt-*\"]\ntargets = [\"p/*\", \"p/azure-*\"]\n\
         [models.\"or/*\"]\ntargets = [\"p/*\"]\naliases = [\"open/router-*\"]\n\
         [models.gpt-4]\ntargets = [\"p/four\"]\naliases = [\"best\"]\n",
    )
    .unwrap();
    let rows: [(&str, &[&str]); 7] = [
        ("gpt-4", &["four"]),
        ("best", &["four"]),
        ("gpt-4o", &["gpt-4o", "azure-4o"]),
        ("gpt-", &["gpt-", "azure-"]),
        ("or/meta/llama", &["meta/llama"]),
        ("open/router-x", &["router-x"]),
        ("claude", &["any"]),
    ];
    for (name, expected) in rows {
        let model = config.model(name).unwrap();
        let names: Vec<_> = model.targets.iter().map(|target| target.model.as_str()).collect();
        assert_eq!(names, expected, "{name}");
    }
    assert_eq!(config.models.keys().collect::<Vec<_>>(), ["best", "gpt-4"]);
}

#[test]
fn a_name_is_one_models_and_has_a_star_at_its_end_at_most() {
    let provider = "[providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                    [providers.l]\nprotocol = \"local\"\n";
    for models in [
        "[models.\"a*b\"]\ntargets = [\"p/x\"]",
        "[models.\"a*\"]\ntargets = [\"l/*\"]",
        "[models.a]\ntargets = [\"p/*\"]",
        "[models.a]\ntargets = [\"p/x\"]\naliases = [\"b\"]\n[models.b]\ntargets = [\"p/x\"]",
        "[models.a]\ntargets = [\"p/x\"]\naliases = [\"c\"]\n\
         [models.b]\ntargets = [\"p/x\"]\naliases = [\"c\"]",
    ] {
        assert!(parse(&format!("{provider}{models}")).is_err(), "{models}");
    }
}
