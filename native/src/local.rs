//! Calls to the models of this process.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::Deserialize;
use serde_json::Value;
use streamgate_core::chat::{ChatRequest, Event, Message, Part, Role, ToolChoice, Usage};
use streamgate_core::failure::{Failure, Overflow, Reason};
use streamgate_core::protocol::{ClientProtocol, unknown_reference};
use streamgate_core::relay::{self, AttemptId, Purpose};
use streamgate_core::request::Input;

use crate::engine::{self, Chunk, Engine, EngineError, Generate, Generation};
use crate::models;
use crate::progress::Progress;

/// A call to a model of this process. Dropping it stops the generation.
pub(crate) struct Call {
    state: State,
}

type Counting = Pin<Box<dyn Future<Output = Result<u32, EngineError>> + Send>>;
type Beginning = Pin<Box<dyn Future<Output = Result<Generation, EngineError>> + Send>>;

enum State {
    /// The request cannot be put to a local model at all.
    Refused(Option<Failure>),
    /// The model is being loaded, or the prompt read.
    Beginning(Beginning),
    Running(Generation),
    /// The prompt is counted, and no answer given.
    Counting(Counting),
}

impl Call {
    /// Begins to generate.
    pub(crate) fn new(engine: &Engine, call: &relay::Call) -> Self {
        let name = models::engine_name(&call.target);
        let limit = call.limit.map(|limit| limit.max_output);
        let state = match generate(call.client, &call.request, limit) {
            Ok(request) if call.purpose == Purpose::Count => {
                let engine = engine.clone();
                let counted = async move { engine.count_tokens(&name, request.messages).await };
                State::Counting(Box::pin(counted))
            }
            Ok(request) => {
                let engine = engine.clone();
                let begun = async move { engine.generate(&name, request).await };
                State::Beginning(Box::pin(begun))
            }
            Err(failure) => State::Refused(Some(failure)),
        };
        Self { state }
    }

    /// Hands over the next event that is ready.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        attempt: AttemptId,
        take: &mut dyn FnMut(Input<'_>),
    ) -> Poll<Progress> {
        let failure = match &mut self.state {
            State::Refused(failure) => failure.take().unwrap_or_else(|| Reason::Internal.into()),
            State::Beginning(begun) => match std::task::ready!(begun.as_mut().poll(context)) {
                Ok(generation) => {
                    self.state = State::Running(generation);
                    return Poll::Ready(Progress::More);
                }
                Err(error) => self::failure(&error),
            },
            State::Counting(counted) => match std::task::ready!(counted.as_mut().poll(context)) {
                Ok(input_tokens) => {
                    let usage = Usage { input_tokens, ..Usage::default() };
                    take(Input::Event { attempt, event: Event::Usage(usage) });
                    take(Input::End { attempt });
                    return Poll::Ready(Progress::Over);
                }
                Err(error) => self::failure(&error),
            },
            State::Running(generation) => match std::task::ready!(generation.poll_next(context)) {
                Some(Chunk::Text(text)) => {
                    take(Input::Event { attempt, event: Event::Text(text.into()) });
                    return Poll::Ready(Progress::More);
                }
                Some(Chunk::Finish { reason, usage, .. }) => {
                    for event in [Event::Usage(usage), Event::Finish(reason)] {
                        take(Input::Event { attempt, event });
                    }
                    take(Input::End { attempt });
                    return Poll::Ready(Progress::Over);
                }
                Some(Chunk::Failed(error)) => self::failure(&error),
                None => failure(&EngineError::Crashed),
            },
        };
        take(Input::Lost { attempt, failure });
        Poll::Ready(Progress::Over)
    }
}

/// The request in the engine's words.
fn generate(
    client: ClientProtocol,
    request: &ChatRequest,
    limit: Option<u32>,
) -> Result<Generate, Failure> {
    refuse_unsupported(client, request)?;
    let messages = request.messages.iter().enumerate().map(|(index, m)| message(index, m));
    Ok(Generate {
        messages: messages.collect::<Result<_, _>>()?,
        max_output_tokens: limit,
        sampling: request.sampling.clone(),
        stop: request.stop.clone(),
    })
}

/// Refuses by the client's name for it what the engine cannot do: to ignore it would change what the
/// client gets.
fn refuse_unsupported(client: ClientProtocol, request: &ChatRequest) -> Result<(), Failure> {
    let body = request.original.as_ref().map_or(&b"{}"[..], |original| &*original.body);
    let extras = serde_json::from_slice::<Extras>(body).unwrap_or_default();
    let gemini = extras.generation_config.unwrap_or_default();
    let calls_tools = !request.tools.is_empty() && request.tool_choice != Some(ToolChoice::None);
    let is_several = |count: &Value| count.as_f64().is_some_and(|count| count > 1.0);
    let is_given = |flag: &Value| *flag == true || flag.as_f64().is_some_and(|count| count > 0.0);
    let (several, logprobs) = ("several answers to one request", "log probabilities");
    let table = [
        (calls_tools, if request.functions { "functions" } else { "tools" }, "tools"),
        (request.format.is_some(), format_field(client), "JSON output or schemas"),
        (is_several(&extras.n), "n", several),
        (is_several(&gemini.candidate_count), "generationConfig.candidateCount", several),
        (is_given(&extras.logprobs), "logprobs", logprobs),
        (is_given(&extras.top_logprobs), "top_logprobs", logprobs),
        (is_given(&gemini.response_logprobs), "generationConfig.responseLogprobs", logprobs),
    ];
    let Some((_, param, what)) = table.into_iter().find(|(is_wanted, ..)| *is_wanted) else {
        return Ok(());
    };
    let detail = format!(
        "Local models do not support {what} yet: leave out `{param}`, or use a model of a provider."
    );
    Err(Failure::new(Reason::Unsupported, detail).at(param))
}

/// What a protocol calls the form of an answer.
fn format_field(client: ClientProtocol) -> &'static str {
    match client {
        ClientProtocol::Responses => "text.format",
        ClientProtocol::Anthropic => "output_config.format",
        ClientProtocol::Gemini | ClientProtocol::GeminiArray => "generationConfig.responseMimeType",
        ClientProtocol::Ollama | ClientProtocol::OllamaGenerate => "format",
        _ => "response_format",
    }
}

/// Fields without an equivalent in every protocol. All others are skipped: bodies are long.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Extras {
    n: Value,
    logprobs: Value,
    top_logprobs: Value,
    #[serde(rename = "generationConfig", alias = "generation_config")]
    generation_config: Option<GeminiExtras>,
}

/// The same of Gemini's.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GeminiExtras {
    #[serde(alias = "candidate_count")]
    candidate_count: Value,
    #[serde(alias = "response_logprobs")]
    response_logprobs: Value,
}

/// A local model knows three roles: a developer's message is the system's, and a tool's result the
/// user's.
fn message(index: usize, message: &Message) -> Result<engine::Message, Failure> {
    let role = match message.role {
        Role::System | Role::Developer => engine::Role::System,
        Role::User | Role::Tool => engine::Role::User,
        Role::Assistant => engine::Role::Assistant,
    };
    let text: Option<String> = message.parts.iter().map(spoken).collect();
    let Some(text) = text else {
        if let Some(failure) = message.parts.iter().find_map(unknown_reference) {
            return Err(failure);
        }
        let detail = "This model reads only text: expected parts of the type `text`.";
        let param = format!("messages[{index}].content");
        return Err(Failure::new(Reason::InvalidRequest, detail).at(param));
    };
    Ok(engine::Message::new(role, text))
}

/// A part as text; `None` where it is none. What the model thought is left out.
fn spoken(part: &Part) -> Option<String> {
    match part {
        Part::Text(text) | Part::Refusal(text) => Some(text.clone()),
        Part::Reasoning { .. } => Some(String::new()),
        Part::ToolCall { name, arguments, .. } => Some(format!("{name}({arguments})")),
        Part::ToolResult { parts, .. } => parts.iter().map(spoken).collect(),
        Part::Media(_) | Part::Other(_) => None,
    }
}

/// An engine's error as a row of core's table.
pub(crate) fn failure(error: &EngineError) -> Failure {
    let reason = match error {
        EngineError::Missing { path } => {
            let path = path.display();
            let detail = format!("The model file {path} is missing. {}", models::remedy(&path));
            return Failure::new(Reason::ModelMissing, detail);
        }
        EngineError::UnknownModel { .. } => Reason::ModelMissing,
        EngineError::Unreadable { .. }
        | EngineError::NotGguf
        | EngineError::Truncated { .. }
        | EngineError::Broken { .. }
        | EngineError::LoadFailed { .. } => Reason::ModelBroken,
        EngineError::NoRoom { .. } | EngineError::Overloaded { .. } => Reason::Overloaded,
        EngineError::ContextLength { input, window } => {
            return Failure::too_long(Overflow { input: *input, window: *window }, true);
        }
        EngineError::EmptyPrompt => Reason::InvalidRequest,
        EngineError::Stopping => Reason::ShuttingDown,
        EngineError::Decode { .. } | EngineError::Crashed => Reason::Internal,
    };
    Failure::new(reason, sentence(&error.to_string()))
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(characters).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refers_to_what_is_unknown_reads_what_to_do() {
        let body = br#"{"previous_response_id":"resp_1","input":"And?"}"#;
        let request = ClientProtocol::Responses.parse_request(body).unwrap();
        let failure = message(0, &request.messages[0]).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some("previous_response_id"));
        assert!(failure.message().contains("Send the whole conversation"), "{failure}");
    }

    #[test]
    fn every_role_is_one_of_the_models() {
        let voices = [
            (Role::System, engine::Role::System),
            (Role::Developer, engine::Role::System),
            (Role::User, engine::Role::User),
            (Role::Tool, engine::Role::User),
            (Role::Assistant, engine::Role::Assistant),
        ];
        for (role, voice) in voices {
            let spoken = message(0, &Message::text(role, "hello")).unwrap();
            assert_eq!(spoken, engine::Message::new(voice, "hello"));
        }
    }

    #[test]
    fn a_picture_is_refused_by_its_place() {
        let mut with_picture = Message::text(Role::User, "look");
        with_picture.parts.push(Part::Other("image_url".into()));
        let request = ChatRequest {
            messages: vec![Message::text(Role::User, "hello"), with_picture],
            ..ChatRequest::default()
        };
        let failure = generate(ClientProtocol::OpenAi, &request, None).unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidRequest);
        assert_eq!(failure.param.as_deref(), Some("messages[1].content"));
    }

    #[test]
    fn what_the_engine_cannot_do_is_refused_by_name() {
        use ClientProtocol::{Anthropic, Gemini, Ollama, OllamaGenerate, OpenAi, Responses};
        let question = |client| match client {
            Gemini => r#""contents":[{"parts":[{"text":"hi"}]}]"#,
            Responses => r#""input":"hi""#,
            OllamaGenerate => r#""prompt":"hi""#,
            _ => r#""max_tokens":9,"messages":[{"role":"user","content":"hi"}]"#,
        };
        let rows = [
            (OpenAi, r#""tools":[{"type":"function","function":{"name":"f"}}]"#, Some("tools")),
            (OpenAi, r#""functions":[{"name":"f"}]"#, Some("functions")),
            (OpenAi, r#""response_format":{"type":"json_object"}"#, Some("response_format")),
            (OpenAi, r#""n":2"#, Some("n")),
            (OpenAi, r#""logprobs":true"#, Some("logprobs")),
            (
                OpenAi,
                r#""tools":[],"n":1,"logprobs":false,"response_format":{"type":"text"}"#,
                None,
            ),
            (
                OpenAi,
                r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none""#,
                None,
            ),
            (Responses, r#""tools":[{"type":"function","name":"f"}]"#, Some("tools")),
            (Responses, r#""text":{"format":{"type":"json_object"}}"#, Some("text.format")),
            (Responses, r#""top_logprobs":3"#, Some("top_logprobs")),
            (Anthropic, r#""tools":[{"name":"f","input_schema":{}}]"#, Some("tools")),
            (
                Anthropic,
                r#""output_config":{"format":{"type":"json_schema","schema":{}}}"#,
                Some("output_config.format"),
            ),
            (Gemini, r#""tools":[{"functionDeclarations":[{"name":"f"}]}]"#, Some("tools")),
            (
                Gemini,
                r#""generationConfig":{"responseMimeType":"application/json"}"#,
                Some("generationConfig.responseMimeType"),
            ),
            (
                Gemini,
                r#""generationConfig":{"candidateCount":2}"#,
                Some("generationConfig.candidateCount"),
            ),
            (
                Gemini,
                r#""generation_config":{"response_logprobs":true}"#,
                Some("generationConfig.responseLogprobs"),
            ),
            (Gemini, r#""generationConfig":{"candidateCount":1}"#, None),
            (Ollama, r#""tools":[{"function":{"name":"f"}}]"#, Some("tools")),
            (Ollama, r#""format":"json""#, Some("format")),
            (Ollama, r#""logprobs":true"#, Some("logprobs")),
            (OllamaGenerate, r#""format":{"type":"object"}"#, Some("format")),
        ];
        for (client, fields, param) in rows {
            let body = format!("{{{},{fields}}}", question(client));
            let request = client.parse_request(body.as_bytes()).unwrap();
            let refused = generate(client, &request, None).err();
            assert_eq!(refused.as_ref().and_then(|f| f.param.as_deref()), param, "{fields}");
            assert!(refused.is_none_or(|f| f.reason == Reason::Unsupported), "{fields}");
        }
    }

    #[test]
    fn a_missing_file_comes_with_the_command_that_gets_it() {
        let failure = failure(&EngineError::Missing { path: "models/big.gguf".into() });
        assert_eq!(failure.reason, Reason::ModelMissing);
        assert!(failure.message().contains("--output models/big.gguf"), "{failure}");
    }

    #[test]
    fn errors_become_sentences() {
        let failure = failure(&EngineError::Overloaded { waiting: 3 });
        let expected = "The model is overloaded: 3 requests wait already.";
        assert_eq!((failure.reason, failure.message()), (Reason::Overloaded, expected));
    }

    #[test]
    fn a_prompt_that_is_too_long_reports_by_how_much() {
        let failure = failure(&EngineError::ContextLength { input: 9000, window: 8192 });
        let expected =
            "The conversation has 9000 tokens, 808 too many for a context window of 8192.";
        assert_eq!((failure.reason, failure.message()), (Reason::ContextLength, expected));
    }
}
