//! A search of the web that the provider carries out, in the form that each protocol has for it. Sources:
//! "Web search tool", platform.claude.com; "Web search", developers.openai.com, for Responses and for
//! Chat Completions; "Grounding with Google Search", ai.google.dev; "Web search", openrouter.ai/docs.

use serde_json::{Value, json};

use crate::chat::ChatRequest;
use crate::protocol::{Body, Stretch, anthropic};
use crate::target::{ProviderProtocol, Target};

/// What its tools are called: a type, or the only field of a tool.
const KINDS: [&str; 3] = ["web_search", "google_search", "googleSearch"];

/// How a client asks for it.
#[derive(Debug, Default, PartialEq)]
pub(in crate::protocol) struct WebSearch {
    allowed: Vec<String>,
    blocked: Vec<String>,
    uses_max: Option<u64>,
    /// `{"type": "approximate", "country": ...}`.
    location: Option<Value>,
}

impl WebSearch {
    /// That of a client's request.
    pub(in crate::protocol) fn of(request: &ChatRequest) -> Option<Self> {
        Self::in_body(&Body::read(&request.original.as_ref()?.body))
    }

    /// That of a body of any protocol.
    pub(in crate::protocol) fn in_body(body: &Body<'_>) -> Option<Self> {
        if let Some(options) = body.get("web_search_options") {
            return of_options(&serde_json::from_str(options).ok()?);
        }
        let tools =
            body.get("tools").filter(|text| KINDS.iter().any(|kind| text.contains(kind)))?;
        match serde_json::from_str(tools).ok()? {
            Value::Array(tools) => tools.iter().find_map(of_tool),
            tool => of_tool(&tool),
        }
    }

    /// The body of a call with this search in it; `None` where the target has none, or none that is
    /// bound as the client wants it.
    pub(in crate::protocol) fn put_in(
        &self,
        body: &[u8],
        protocol: ProviderProtocol,
        target: &Target,
    ) -> Option<Vec<u8>> {
        let mut body = Body::read(body);
        match protocol {
            ProviderProtocol::OpenAi => {
                let (name, value) = self.for_chat(target)?;
                body.set(name, &value);
            }
            ProviderProtocol::Responses => {
                let tool = self.for_responses().filter(|_| is_taken_by_openai(&body, target))?;
                add(&mut body, tool);
            }
            ProviderProtocol::Anthropic => add(&mut body, self.for_anthropic(target)?),
            ProviderProtocol::Gemini => {
                let is_taken = !self.is_bound() && is_taken_by_gemini(&body, target);
                is_taken.then(|| add(&mut body, json!({"google_search": {}})))?;
            }
            ProviderProtocol::Ollama => return None,
        }
        Some(body.text().into_bytes())
    }

    fn is_bound(&self) -> bool {
        !self.allowed.is_empty() || !self.blocked.is_empty()
    }

    /// Only models made for it search, or whatever OpenRouter serves.
    fn for_chat(&self, target: &Target) -> Option<(&'static str, Value)> {
        if self.is_bound() {
            return None;
        }
        match target.provider.dialect().name {
            "openai" | "azure" if target.model.contains("-search") => {
                Some(("web_search_options", self.options()))
            }
            "openrouter" => Some(("plugins", json!([{"id": "web"}]))),
            _ => None,
        }
    }

    fn options(&self) -> Value {
        let Some(Value::Object(mut place)) = self.location.clone() else { return json!({}) };
        place.remove("type");
        json!({"user_location": {"type": "approximate", "approximate": place}})
    }

    fn for_responses(&self) -> Option<Value> {
        if !self.blocked.is_empty() {
            return None;
        }
        let mut tool = json!({"type": "web_search"});
        if !self.allowed.is_empty() {
            tool["filters"] = json!({"allowed_domains": self.allowed});
        }
        if let Some(location) = &self.location {
            tool["user_location"] = location.clone();
        }
        Some(tool)
    }

    /// Not at those who only imitate Anthropic.
    fn for_anthropic(&self, target: &Target) -> Option<Value> {
        let is_claude = target.model.to_ascii_lowercase().contains("claude");
        if !is_claude || anthropic::is_imitated_at(&target.provider.base_url) {
            return None;
        }
        let mut tool = json!({"type": "web_search_20250305", "name": "web_search"});
        let optional = [
            ("allowed_domains", (!self.allowed.is_empty()).then(|| json!(self.allowed))),
            ("blocked_domains", (!self.blocked.is_empty()).then(|| json!(self.blocked))),
            ("max_uses", self.uses_max.map(Value::from)),
            ("user_location", self.location.clone()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                tool[name] = value;
            }
        }
        Some(tool)
    }
}

/// Chat Completions have the location one level deeper.
fn of_options(options: &Value) -> Option<WebSearch> {
    let place = options.get("user_location").and_then(|it| it.get("approximate")?.as_object());
    let location = place.map(|place| {
        let mut place = place.clone();
        place.insert("type".into(), "approximate".into());
        Value::from(place)
    });
    options.is_object().then(|| WebSearch { location, ..WebSearch::default() })
}

fn of_tool(tool: &Value) -> Option<WebSearch> {
    let kind = tool["type"].as_str().unwrap_or_default();
    let is_named = kind == "web_search" || kind.starts_with("web_search_");
    let is_googles = KINDS[1..].iter().any(|name| tool.get(name).is_some());
    if !is_named && !is_googles {
        return None;
    }
    let domains = |name: &str| {
        let list = tool.get(name).or_else(|| tool.get("filters")?.get(name));
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Some(WebSearch {
        allowed: domains("allowed_domains"),
        blocked: domains("blocked_domains"),
        uses_max: tool["max_uses"].as_u64(),
        location: tool.get("user_location").filter(|it| it.is_object()).cloned(),
    })
}

/// Models that search in Responses begin so, but for these.
const OPENAIS: [&str; 5] = ["gpt-4o", "gpt-4.1", "gpt-5", "o3", "o4"];
const OPENAIS_WITHOUT: [&str; 2] = ["gpt-4.1-nano", "o3-mini"];

/// They do not with the least effort, nor in JSON mode; a schema is taken.
fn is_taken_by_openai(body: &Body<'_>, target: &Target) -> bool {
    let model = last_part(&target.model);
    let begins = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
    let is_least = body.get_at("reasoning.effort").is_some_and(|effort| effort.contains("minimal"));
    let is_json = body.get_at("text.format").is_some_and(|format| format.contains("json_object"));
    begins(&OPENAIS) && !begins(&OPENAIS_WITHOUT) && !is_least && !is_json
}

/// Beside functions and where JSON must come it is refused: "Tool use with function calling is
/// unsupported", "Tool use with a response mime type: 'application/json' is unsupported"
/// (snailyp/gemini-balance#264).
fn is_taken_by_gemini(body: &Body<'_>, target: &Target) -> bool {
    let model = last_part(&target.model);
    let is_new = model.starts_with("gemini-") && !model.starts_with("gemini-1");
    let is_lite = model.starts_with("gemini-2.0-flash-lite");
    let is_json = body.get_at("generationConfig.responseMimeType").is_some();
    is_new && !is_lite && !is_json && body.get("tools").is_none()
}

fn last_part(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

fn add(body: &mut Body<'_>, tool: Value) {
    body.set_list("tools", &[Stretch::Kept(0..usize::MAX), Stretch::New(vec![tool])]);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::target::Upstream;

    /// Each row: a client's own search, a provider and its model, and what is added to the call.
    #[test]
    fn a_search_is_in_the_form_of_the_target() {
        let claudes = r#"{"tools":[{"name":"f"},{"type":"web_search_20250305","name":"web_search",
            "max_uses":5,"user_location":{"type":"approximate","country":"AT"}}]}"#;
        let bound =
            r#"{"tools":[{"type":"web_search","filters":{"allowed_domains":["a.example"]}}]}"#;
        let chats = r#"{"web_search_options":{"user_location":{"type":"approximate",
            "approximate":{"country":"AT"}}}}"#;
        let googles = r#"{"tools":[{"googleSearch":{}}]}"#;
        let place = json!({"type": "approximate", "country": "AT"});
        let tools = |tool: Value| json!({"tools": [tool]});
        let rows = [
            (
                claudes,
                "responses/gpt-5",
                tools(json!({"type": "web_search", "user_location": place})),
            ),
            (
                bound,
                "anthropic/claude-opus-4-8",
                tools(json!({"type": "web_search_20250305", "name": "web_search",
                    "allowed_domains": ["a.example"]})),
            ),
            (
                chats,
                "responses/gpt-5",
                tools(json!({"type": "web_search", "user_location": place})),
            ),
            (chats, "gemini/gemini-2.5-pro", tools(json!({"google_search": {}}))),
            (
                claudes,
                "openai/gpt-4o-search-preview",
                json!({"web_search_options": {"user_location":
                    {"type": "approximate", "approximate": {"country": "AT"}}}}),
            ),
            (googles, "openrouter/x", json!({"plugins": [{"id": "web"}]})),
            (bound, "openrouter/x", Value::Null),
            (bound, "gemini/gemini-2.5-pro", Value::Null),
            (chats, "responses/gpt-4.1-nano", Value::Null),
            (chats, "responses/qwen3", Value::Null),
            (googles, "gemini/gemini-1.5-pro", Value::Null),
            (googles, "anthropic/glm-5", Value::Null),
            (googles, "ollama/qwen3", Value::Null),
            (googles, "openai/gpt-4o", Value::Null),
        ];
        for (own, target, expected) in rows {
            let (protocol, target) = self::target(target);
            let search = WebSearch::in_body(&Body::read(own.as_bytes())).unwrap();
            let sent = search.put_in(b"{}", protocol, &target);
            let sent: Option<Value> = sent.map(|body| serde_json::from_slice(&body).unwrap());
            assert_eq!(sent.unwrap_or_default(), expected, "{own} {target}");
        }
    }

    /// `name` has a protocol, or a dialect of OpenAI's, and a model.
    fn target(name: &str) -> (ProviderProtocol, Arc<Target>) {
        let (protocol, model) = name.split_once('/').unwrap();
        let protocol = match protocol {
            "openai" | "openrouter" => format!("protocol = 'openai'\ndialect = '{protocol}'"),
            _ => format!("protocol = '{protocol}'"),
        };
        let text = format!(
            "[providers.p]\n{protocol}\nbase_url = 'http://p'\n[models.m]\ntargets = ['p/{model}']"
        );
        let target = Config::parse(&text, |_| None).unwrap().models["m"].targets[0].clone();
        let Upstream::Http(protocol) = target.provider.upstream else { panic!("{name}") };
        (protocol, target)
    }

    /// Each row: a target, and a call in which its search is refused.
    #[test]
    fn a_search_is_left_out_beside_what_excludes_it() {
        let rows = [
            ("responses/gpt-5", r#"{"reasoning":{"effort":"minimal"}}"#),
            ("responses/gpt-4o", r#"{"text":{"format":{"type":"json_object"}}}"#),
            ("gemini/gemini-2.5-pro", r#"{"tools":[{"functionDeclarations":[{"name":"f"}]}]}"#),
            (
                "gemini/gemini-2.5-pro",
                r#"{"generationConfig":{"responseMimeType":"application/json"}}"#,
            ),
        ];
        for (name, body) in rows {
            let (protocol, target) = target(name);
            let sent = WebSearch::default().put_in(body.as_bytes(), protocol, &target);
            assert_eq!(sent, None, "{name} {body}");
        }
    }

    #[test]
    fn a_function_of_that_name_is_none() {
        for body in [
            r#"{"tools":[{"type":"function","name":"web_search"}]}"#,
            r#"{"tools":[{"name":"WebSearch","input_schema":{}}]}"#,
            r#"{"web_search_options":null}"#,
            "{}",
        ] {
            assert_eq!(WebSearch::in_body(&Body::read(body.as_bytes())), None, "{body}");
        }
    }
}
