//! `GET /v1/models` and `GET /v1/models/NAME`: what can be asked for, and what is known of its limits.

use serde_json::{Value, json};

use crate::failure::{Failure, Reason};
use crate::gateway::Gateway;
use crate::limit::known::{Known, Source};
use crate::reply::Reply;
use crate::target::{Model, Target};

/// The configured models, the default one first, in the shape of OpenAI's list and of Anthropic's.
/// When they were made is not known.
pub(super) fn list(gateway: &Gateway) -> Reply {
    let config = gateway.config();
    let default = config.default_model.as_ref();
    let mut names: Vec<_> = config.models.iter().collect();
    names.sort_by_key(|(name, _)| Some(*name) != default);
    let data: Vec<_> =
        names.into_iter().map(|(name, model)| description(gateway, name, model)).collect();
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

/// One of the configured models, as the list has it.
pub(super) fn one(gateway: &Gateway, name: &str) -> Reply {
    match gateway.config().model(name) {
        Some(model) => {
            Reply::json(200, description(gateway, name, &model).to_string().into_bytes())
        }
        None => {
            let detail = format!("There is no model {name}. GET /v1/models lists the models.");
            Reply::failure(&Failure::new(Reason::UnknownModel, detail))
        }
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
        "created_at": "1970-01-01T00:00:00Z",
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
        serde_json::from_slice(&list(gateway).body).unwrap()
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
        let body: Value = serde_json::from_slice(&one(&gateway, "a").body).unwrap();
        assert_eq!(body, list["data"][1]);
        assert_eq!(one(&gateway, "b").status, 404);
        assert_eq!((&list["has_more"], &list["data"][1]["type"]), (&json!(false), &json!("model")));
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
