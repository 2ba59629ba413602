//! What a call leaves out of what its request asks for, whatever the reason: the protocol has no such
//! field, a table states that the provider or the model refuses it, or it was refused before. It is
//! found by comparing with what is sent, so that no table can be forgotten here.

use super::web_search::WebSearch;
use crate::chat::{ChatRequest, Effort, Message, Original, Place, Role, Tool, ToolChoice};
use crate::limit::parameter::Parameters;
use crate::protocol::body::Body;
use crate::protocol::{ClientProtocol, ProviderRequest};
use crate::target::{Target, Upstream};

/// Where the conversation is in a body.
const CONVERSATION: [&str; 8] = [
    "contents",
    "input",
    "instructions",
    "messages",
    "prompt",
    "system",
    "systemInstruction",
    "system_instruction",
];

/// Parameters that are part of another one, or of how an answer is sent.
const IMPLIED: &str = "reasoning,stream_options";
/// Parameters that every protocol's requests are read for; others are the client's protocol's own.
const READ: &str = "temperature,top_p,top_k,penalty,seed,parallel_tool_calls,reasoning_effort,\
                    prompt_cache_key,tool_choice,web_search";

/// What a request asks for.
pub(crate) struct Asked {
    parameters: Parameters,
    /// The request without its conversation.
    bare: ChatRequest,
    client: ClientProtocol,
}

impl Asked {
    /// `None` where the request asks for nothing that may be left out.
    pub(crate) fn of(request: &ChatRequest, client: ClientProtocol) -> Option<Self> {
        let own = request.original.as_ref().map(|original| Body::read(&original.body));
        let searches = own.as_ref().and_then(WebSearch::in_body).is_some();
        let in_body = own.as_ref().map(in_body).unwrap_or_default();
        let in_body = if searches { in_body.and(web_search()) } else { in_body };
        let parameters = in_request(request).and(in_body);
        if parameters.is_empty() {
            return None;
        }
        Some(Self { parameters, bare: bare(request, own), client })
    }

    /// What of it a call to this target leaves out.
    pub(crate) fn left_out(
        &self,
        target: &Target,
        stream: bool,
        max_output: Option<u32>,
        refused: Parameters,
    ) -> Parameters {
        let Upstream::Http(protocol) = target.provider.upstream else {
            return Parameters::default();
        };
        let ask = ProviderRequest {
            target,
            request: &self.bare,
            client: self.client,
            stream,
            max_output,
            refused,
        };
        let Ok(call) = protocol.http_request(&ask) else { return Parameters::default() };
        let body = Body::read(&call.body);
        let searches = WebSearch::in_body(&body).is_some();
        let as_tool = if searches { web_search() } else { Parameters::default() };
        let parameters = self.parameters.filter_out(as_tool);
        parameters.filter(|paths| paths.iter().all(|path| body.get_at(path).is_none()))
    }
}

/// Which is a tool, in most protocols.
fn web_search() -> Parameters {
    Parameters::named("web_search")
}

/// What the request asks for in the canonical vocabulary. What any target does by itself is not asked
/// for.
fn in_request(request: &ChatRequest) -> Parameters {
    let sampling = &request.sampling;
    let penalties = sampling.frequency_penalty.or(sampling.presence_penalty);
    let has_tools = !request.tools.is_empty();
    let asked = [
        ("temperature", sampling.temperature.is_some()),
        ("top_p", sampling.top_p.is_some()),
        ("top_k", sampling.top_k.is_some()),
        ("penalty", penalties.is_some()),
        ("seed", sampling.seed.is_some()),
        ("parallel_tool_calls", has_tools && request.parallel_tool_calls == Some(false)),
        ("reasoning_effort", request.effort.is_some_and(|effort| effort != Effort::None)),
        ("prompt_cache_key", request.cache_key.is_some()),
        ("tool_choice", has_tools && request.tool_choice == Some(ToolChoice::Required)),
    ];
    let names: Vec<_> = asked.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    Parameters::named(&names.join(","))
}

/// What the client's own body asks for beside that.
fn in_body(body: &Body<'_>) -> Parameters {
    let others = Parameters::named(IMPLIED).and(Parameters::named(READ));
    let is_nothing = |text: &str| matches!(text, "null" | "false" | "\"\"" | "[]" | "{}");
    let asks = |path: &&str| body.get_at(path).is_some_and(|text| !is_nothing(&text));
    Parameters::all().filter(|paths| paths.iter().any(&asks)).filter_out(others)
}

fn bare(request: &ChatRequest, own: Option<Body<'_>>) -> ChatRequest {
    let original = own.map(|mut body| {
        CONVERSATION.iter().for_each(|name| drop(body.remove(name)));
        Original::new(body.text().as_bytes(), vec![Place::Elements(0..1)])
    });
    let tool = |tool: &Tool| Tool {
        name: tool.name.clone(),
        description: None,
        parameters: None,
        strict: None,
    };
    ChatRequest {
        messages: vec![Message::text(Role::User, ".")],
        sampling: request.sampling.clone(),
        stop: request.stop.clone(),
        tools: request.tools.iter().map(tool).collect(),
        tool_forms: request.tool_forms.clone(),
        functions: request.functions,
        tool_choice: request.tool_choice.clone(),
        parallel_tool_calls: request.parallel_tool_calls,
        effort: request.effort,
        cache_key: request.cache_key.clone(),
        original,
        ..ChatRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Each row: a client's protocol, fields of its body, a provider and its model, and what is left
    /// out.
    #[test]
    fn what_is_left_out_is_known() {
        use ClientProtocol::{Anthropic, OpenAi, Responses};
        let sampling = r#""temperature":0.2,"top_p":0.9,"seed":5"#;
        let effort = r#""reasoning_effort":"high""#;
        let rows = [
            (OpenAi, sampling, "openai/x", ""),
            (OpenAi, sampling, "anthropic/claude-opus-4-6", "top_p,seed"),
            (OpenAi, sampling, "anthropic/claude-opus-4-8", "temperature,top_p,seed"),
            (OpenAi, sampling, "openai/o3", "temperature,top_p"),
            (OpenAi, sampling, "responses/gpt-4.1", "seed"),
            (OpenAi, effort, "openai/gpt-4o", "reasoning_effort"),
            (OpenAi, effort, "anthropic/claude-3-5-haiku-latest", "reasoning_effort"),
            (OpenAi, effort, "anthropic/claude-sonnet-5", ""),
            (OpenAi, effort, "gemini/gemini-2.0-flash", "reasoning_effort"),
            (OpenAi, effort, "ollama/qwen3", ""),
            (OpenAi, r#""reasoning_effort":"none""#, "openai/gpt-4o", ""),
            (OpenAi, r#""logprobs":true,"store":false"#, "anthropic/x", "logprobs"),
            (OpenAi, r#""logprobs":true,"store":false"#, "openai/x", ""),
            (Anthropic, r#""top_k":5,"metadata":{"user_id":"u"}"#, "openai/x", "top_k,metadata"),
            (
                Anthropic,
                r#""top_k":5,"metadata":{"user_id":"u"}"#,
                "anthropic/claude-opus-4-8",
                "top_k",
            ),
            (Anthropic, r#""thinking":{"type":"disabled"}"#, "openai/gpt-4o", ""),
            (Responses, r#""reasoning":{"effort":"low"}"#, "responses/gpt-4.1", "reasoning_effort"),
            (
                OpenAi,
                r#""parallel_tool_calls":false,"tool_choice":"required",
                    "tools":[{"type":"function","function":{"name":"f"}}]"#,
                "ollama/qwen3",
                "parallel_tool_calls,tool_choice",
            ),
            (OpenAi, r#""parallel_tool_calls":false"#, "openai/x", ""),
            (Responses, r#""tools":[{"type":"web_search"}]"#, "openai/gpt-4o", "web_search"),
            (Responses, r#""tools":[{"type":"web_search"}]"#, "anthropic/claude-opus-4-8", ""),
            (Responses, r#""tools":[{"type":"web_search"}]"#, "responses/gpt-5", ""),
        ];
        for (client, fields, target, expected) in rows {
            let list = if client == Responses { "input" } else { "messages" };
            let body = format!(
                r#"{{{fields},"max_tokens":9000,"{list}":[{{"role":"user","content":"q"}}]}}"#
            );
            let request = client.parse_request(body.as_bytes()).unwrap();
            let (protocol, model) = target.split_once('/').unwrap();
            let text = format!(
                "[providers.p]\nprotocol = \"{protocol}\"\nbase_url = \"http://p\"\n[models.m]\n\
                 targets = [\"p/{model}\"]"
            );
            let target = Config::parse(&text, |_| None).unwrap().models["m"].targets[0].clone();
            let left_out = Asked::of(&request, client)
                .map(|asked| asked.left_out(&target, true, Some(9000), Parameters::default()))
                .unwrap_or_default();
            assert_eq!(left_out.names(), expected, "{client:?} {fields} {model}");
        }
    }
}
