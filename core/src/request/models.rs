//! The models that can be asked for, and what is known of their limits, in the form of the client that
//! asks: `GET /v1/models`, `/v1beta/models`, `/api/tags`.

mod gemini;
mod ollama;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::{Failure, Reason};
use crate::gateway::Gateway;
use crate::limit::known::{Known, Source};
use crate::protocol::{ClientProtocol, parse_json};
use crate::reply::Reply;
use crate::target::{Model, Target};

/// Whose form a list of models has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// OpenAI's and Anthropic's, in one.
    OpenAi,
    Gemini,
    Ollama,
}

impl Listing {
    /// The form for one of Google's SDKs, which ask where OpenAI's do too.
    pub(super) fn asked_by(self, is_google: bool) -> Self {
        match self {
            Self::OpenAi if is_google => Self::Gemini,
            Self::OpenAi | Self::Gemini | Self::Ollama => self,
        }
    }

    /// The protocol in which its errors are written.
    pub(super) fn protocol(self) -> ClientProtocol {
        match self {
            Self::OpenAi => ClientProtocol::OpenAi,
            Self::Gemini => ClientProtocol::Gemini,
            Self::Ollama => ClientProtocol::Ollama,
        }
    }
}

/// When a model was made is not known.
const NEVER: &str = "1970-01-01T00:00:00Z";

/// What a client may count on, whichever target answers first: its limits in tokens.
struct Limits {
    context_window: Option<u32>,
    input: Option<u32>,
    output: Option<u32>,
}

impl Limits {
    fn of(gateway: &Gateway, target: &Target) -> Self {
        let learned = gateway.learned().find(&target.provider.base_url, &target.model, 0);
        let known = Known::of(target, learned.as_ref());
        let context_window = known.context_window.map(|fact| fact.tokens);
        Self {
            context_window,
            input: known.max_input.map(|fact| fact.tokens).or(context_window),
            output: known.max_output().map(|fact| fact.tokens),
        }
    }
}

/// The configured models, the default one first.
pub(super) fn list(gateway: &Gateway, listing: Listing) -> Reply {
    let models = sorted(gateway);
    let list = match listing {
        Listing::OpenAi => openai(gateway, &models),
        Listing::Gemini => gemini::list(
            models
                .iter()
                .map(|(name, model)| {
                    gemini::description(name, &Limits::of(gateway, &model.targets[0]))
                })
                .collect(),
        ),
        Listing::Ollama => ollama::list(&models),
    };
    Reply::json(200, list.to_string().into_bytes())
}

fn sorted(gateway: &Gateway) -> Vec<(&str, &Model)> {
    let config = gateway.config();
    let default = config.default_model.as_deref();
    let mut models: Vec<_> =
        config.models.iter().map(|(name, model)| (name.as_str(), model)).collect();
    models.sort_by_key(|(name, _)| Some(*name) != default);
    models
}

fn openai(gateway: &Gateway, models: &[(&str, &Model)]) -> Value {
    let data: Vec<_> =
        models.iter().map(|(name, model)| description(gateway, name, model)).collect();
    let ids = [data.first(), data.last()].map(|model| model.map(|model| &model["id"]));
    json!({
        "object": "list",
        "data": data,
        "has_more": false,
        "first_id": ids[0],
        "last_id": ids[1],
    })
}

/// One of the configured models, as the list has it; of Ollama's, in detail.
pub(super) fn one(gateway: &Gateway, listing: Listing, name: &str) -> Reply {
    let Some(model) = gateway.config().model(name) else {
        let path = match listing {
            Listing::OpenAi => "/v1/models",
            Listing::Gemini => "/v1beta/models",
            Listing::Ollama => "/api/tags",
        };
        let detail = format!("There is no model {name}. GET {path} lists the models.");
        let failure = Failure::new(Reason::UnknownModel, detail);
        return Reply::failure_to(listing.protocol(), &failure);
    };
    let limits = Limits::of(gateway, &model.targets[0]);
    let description = match listing {
        Listing::OpenAi => description(gateway, name, &model),
        Listing::Gemini => gemini::description(name, &limits),
        Listing::Ollama => ollama::show(&model, &limits),
    };
    Reply::json(200, description.to_string().into_bytes())
}

/// The model that the body of `POST /api/show` names.
pub(super) fn show(gateway: &Gateway, body: &[u8]) -> Reply {
    #[derive(Deserialize)]
    struct Request {
        #[serde(alias = "name")]
        model: String,
    }
    match parse_json::<Request>(body) {
        Ok(request) => one(gateway, Listing::Ollama, &request.model),
        Err(failure) => Reply::failure_to(Listing::Ollama.protocol(), &failure),
    }
}

fn description(gateway: &Gateway, name: &str, model: &Model) -> Value {
    let limits: Vec<_> = model.targets.iter().map(|t| limits(gateway, t)).collect();
    json!({
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": model.targets[0].provider.name,
        "type": "model",
        "display_name": name,
        "created_at": NEVER,
        "limits": limits,
    })
}

/// What is known of a target's limits in tokens, each with its source; what was learned is shown
/// however old it is.
fn limits(gateway: &Gateway, target: &Target) -> Value {
    let learned = gateway.learned().find(&target.provider.base_url, &target.model, 0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::limit::refusal::StatedLimits;

    fn listed(gateway: &Gateway) -> Value {
        serde_json::from_slice(&list(gateway, Listing::OpenAi).body).unwrap()
    }

    #[test]
    fn models_are_listed_with_the_default_first() {
        let text = "default_model = \"z\"\n\
                    [providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                    [models.a]\ntargets = [\"p/a\"]\n[models.z]\ntargets = [\"p/z\"]";
        let list = listed(&Gateway::new(Config::parse(text, |_| None).unwrap()));
        assert_eq!(list["data"][0]["id"], "z");
        assert_eq!(list["data"][1]["id"], "a");
        assert_eq!(list["data"][0]["owned_by"], "p");
        assert_eq!(
            (&list["object"], &list["data"][0]["object"]),
            (&json!("list"), &json!("model"))
        );
        // As Anthropic's SDKs read it.
        assert_eq!((&list["first_id"], &list["last_id"]), (&json!("z"), &json!("a")));
        let gateway = Gateway::new(Config::parse(text, |_| None).unwrap());
        let body: Value =
            serde_json::from_slice(&one(&gateway, Listing::OpenAi, "a").body).unwrap();
        assert_eq!(body, list["data"][1]);
        assert_eq!(one(&gateway, Listing::OpenAi, "b").status, 404);
        assert_eq!((&list["has_more"], &list["data"][1]["type"]), (&json!(false), &json!("model")));
    }

    fn read(reply: &Reply) -> Value {
        serde_json::from_slice(&reply.body).unwrap()
    }

    #[test]
    fn every_client_finds_the_models_in_its_own_form() {
        let text = "default_model = \"z\"\n\
                    [providers.openai]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                    [models.a]\ntargets = [\"openai/gpt-5\"]\n[models.z]\ntargets = [\"openai/z\"]";
        let gateway = Gateway::new(Config::parse(text, |_| None).unwrap());
        let tags = read(&list(&gateway, Listing::Ollama));
        assert_eq!(
            (&tags["models"][0]["name"], &tags["models"][1]["model"]),
            (&json!("z"), &json!("a"))
        );
        let shown = read(&show(&gateway, br#"{"model":"a"}"#));
        assert_eq!(shown["model_info"]["streamgate.context_length"], 400_000);
        assert_eq!(shown, read(&show(&gateway, br#"{"name":"a","verbose":true}"#)));
        let unknown = show(&gateway, br#"{"model":"b"}"#);
        assert_eq!(unknown.status, 404);
        assert!(read(&unknown)["error"].as_str().unwrap().contains("no model b"));
        assert_eq!(show(&gateway, b"{}").status, 400);

        let listed = read(&list(&gateway, Listing::Gemini));
        assert_eq!(listed["models"][0]["name"], "models/z");
        let model = read(&one(&gateway, Listing::Gemini, "a"));
        assert_eq!(model, listed["models"][1]);
        let limits = (&model["inputTokenLimit"], &model["outputTokenLimit"]);
        assert_eq!(limits, (&json!(272_000), &json!(128_000)));
        assert_eq!(read(&one(&gateway, Listing::Gemini, "b"))["error"]["status"], "NOT_FOUND");
    }

    #[test]
    fn a_models_limits_are_listed_with_their_sources() {
        let text = "[providers.openai]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                    [models.m]\ntargets = [\"openai/gpt-5\", \"openai/new\"]";
        let gateway = Gateway::new(Config::parse(text, |_| None).unwrap());
        let refusal =
            StatedLimits { context_window: Some(8192), source: "vllm", ..StatedLimits::default() };
        gateway.learned().note("http://p", "new", &refusal, 1_700_000_000);
        let both = "catalogue (both)";
        assert_eq!(
            listed(&gateway)["data"][0]["limits"],
            json!([
                {
                    "target": "openai/gpt-5",
                    "max_output_tokens": {"tokens": 128_000, "source": both},
                    "context_window": {"tokens": 400_000, "source": both},
                    "max_input_tokens": {"tokens": 272_000, "source": both},
                },
                {
                    "target": "openai/new",
                    "max_output_tokens": {"tokens": 4096, "source": "default"},
                    "context_window": {
                        "tokens": 8192, "source": "learned (vllm)", "learned_at": 1_700_000_000,
                    },
                },
            ])
        );
    }
}
