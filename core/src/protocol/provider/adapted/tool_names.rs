//! Tools by names that the provider takes: shorter, or of other letters, the same for the same name
//! in every request, and mapped back in the answer.

use std::borrow::Cow;

use memchr::memmem;
use serde_json::Value;

use crate::chat::{ChatRequest, Event, Format, Part, ToolCall, ToolChoice};
use crate::protocol::ClientProtocol;
use crate::protocol::body::Body;
use crate::target::{ProviderProtocol, Target, Upstream};

/// What a name may be.
struct Alphabet {
    bytes_max: usize,
    /// Beside letters and digits.
    marks: &'static [u8],
    /// Whether a digit or a mark other than `_` may be first.
    begins_with_any: bool,
}

/// Source: the function's `name` in OpenAI's reference, for Chat Completions and Responses, which most
/// of its dialects keep to; the same holds for a schema's.
const OPENAI: Alphabet = Alphabet { bytes_max: 64, marks: b"_-", begins_with_any: true };

/// Source: "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
/// home-assistant/core#147760.
const ANTHROPIC: Alphabet = Alphabet { bytes_max: 128, ..OPENAI };

/// Source: `FunctionDeclaration` in the references of the Gemini API and of Vertex AI.
const GEMINI: Alphabet = Alphabet { marks: b"_-.", begins_with_any: false, ..OPENAI };

/// Between the name and what makes it distinct from others that are rewritten to it.
const HASH_BYTES: usize = "_01234567".len();

impl Alphabet {
    /// That of the target's provider; `None`: any name is taken.
    fn at(target: &Target) -> Option<Self> {
        let Upstream::Http(protocol) = target.provider.upstream else { return None };
        let takes_any =
            protocol == ProviderProtocol::OpenAi && target.provider.dialect().any_tool_name;
        Self::of(protocol).filter(|_| !takes_any)
    }

    /// `None`: any name is taken.
    const fn of(protocol: ProviderProtocol) -> Option<Self> {
        match protocol {
            ProviderProtocol::OpenAi | ProviderProtocol::Responses => Some(OPENAI),
            ProviderProtocol::Anthropic => Some(ANTHROPIC),
            ProviderProtocol::Gemini => Some(GEMINI),
            ProviderProtocol::Ollama => None,
        }
    }

    fn has(&self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || self.marks.contains(&byte)
    }

    fn may_begin(&self, byte: u8) -> bool {
        self.begins_with_any || byte.is_ascii_alphabetic() || byte == b'_'
    }

    fn takes(&self, name: &str) -> bool {
        let begins = name.bytes().next().is_some_and(|first| self.may_begin(first));
        begins && name.len() <= self.bytes_max && name.bytes().all(|byte| self.has(byte))
    }

    /// The name, or the one that is sent in its place.
    fn write<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if self.takes(name) {
            return Cow::Borrowed(name);
        }
        let fits = |c: char| u8::try_from(c).is_ok_and(|byte| self.has(byte));
        let letters = name.chars().map(|c| if fits(c) { c } else { '_' });
        let begins = name.bytes().next().is_some_and(|first| self.may_begin(first));
        let first = (!begins).then_some('_');
        let kept = self.bytes_max - HASH_BYTES;
        let kept: String = first.into_iter().chain(letters).take(kept).collect();
        Cow::Owned(format!("{kept}_{:08x}", hash(name)))
    }
}

/// FNV-1a, 32 bits.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Tools, their calls and the choice of one by names that are taken; a schema too.
pub(in crate::protocol) fn with_names_taken<'r>(
    request: Cow<'r, ChatRequest>,
    target: &Target,
) -> Cow<'r, ChatRequest> {
    let Some(alphabet) = Alphabet::at(target) else { return request };
    if names(&request).all(|name| alphabet.takes(name)) {
        return request;
    }
    let mut request = request.into_owned();
    for name in names_mut(&mut request) {
        if let Cow::Owned(written) = alphabet.write(name) {
            *name = written;
        }
    }
    Cow::Owned(request)
}

fn names(request: &ChatRequest) -> impl Iterator<Item = &str> {
    let calls = request.messages.iter().flat_map(|message| &message.parts).filter_map(|part| {
        let Part::ToolCall { name, .. } = part else { return None };
        Some(name)
    });
    let choice = match &request.tool_choice {
        Some(ToolChoice::Tool(name)) => Some(name),
        Some(ToolChoice::Auto | ToolChoice::None | ToolChoice::Required) | None => None,
    };
    let schema = match &request.format {
        Some(Format::Schema { name, .. }) => Some(name),
        Some(Format::Json) | None => None,
    };
    let tools = request.tools.iter().map(|tool| &tool.name);
    tools.chain(calls).chain(choice).chain(schema).map(String::as_str)
}

fn names_mut(request: &mut ChatRequest) -> impl Iterator<Item = &mut String> {
    let calls =
        request.messages.iter_mut().flat_map(|message| message.parts.iter_mut()).filter_map(
            |part| {
                let Part::ToolCall { name, .. } = part else { return None };
                Some(name)
            },
        );
    let choice = match &mut request.tool_choice {
        Some(ToolChoice::Tool(name)) => Some(name),
        Some(ToolChoice::Auto | ToolChoice::None | ToolChoice::Required) | None => None,
    };
    let schema = match &mut request.format {
        Some(Format::Schema { name, .. }) => Some(name),
        Some(Format::Json) | None => None,
    };
    let tools = request.tools.iter_mut().map(|tool| &mut tool.name);
    tools.chain(calls).chain(choice).chain(schema)
}

/// The names that an answer is mapped back to.
#[derive(Debug, Default)]
pub(crate) struct ToolNames(Vec<Renamed>);

#[derive(Debug)]
struct Renamed {
    sent: String,
    own: String,
}

impl ToolNames {
    /// Those of a request that the target is sent by other names.
    pub(crate) fn of(request: &ChatRequest, client: ClientProtocol, target: &Target) -> Self {
        let Some(alphabet) = Alphabet::at(target) else { return Self::default() };
        let is_own = client.is_spoken_by(target.provider.upstream);
        let mut renamed: Vec<Renamed> = Vec::new();
        for name in names(request) {
            let own = if is_own { name_in_body(request, name) } else { name };
            if let Cow::Owned(sent) = alphabet.write(own)
                && renamed.iter().all(|known| known.own != own)
            {
                renamed.push(Renamed { sent, own: own.to_owned() });
            }
        }
        Self(renamed)
    }

    /// A call by the client's own name for the tool, where another one was sent.
    pub(crate) fn restore<'e>(&self, event: &Event<'e>) -> Option<Event<'e>> {
        if self.0.is_empty() {
            return None;
        }
        let Event::ToolCall(call) = event else { return None };
        let said = call.name.as_deref()?;
        let renamed = self.0.iter().find(|renamed| renamed.sent == said)?;
        let name = Some(Cow::Owned(renamed.own.clone()));
        Some(Event::ToolCall(ToolCall { name, ..call.clone() }))
    }

    /// The same in a frame or a body of the client's own protocol, if one of the names is in it. It
    /// ends in a hash, so that no other text is the same.
    pub(crate) fn restore_in(&self, data: &[u8]) -> Option<Vec<u8>> {
        let mut restored: Option<Vec<u8>> = None;
        for Renamed { sent, own } in &self.0 {
            let data = restored.as_deref().unwrap_or(data);
            if memmem::find(data, sent.as_bytes()).is_some() {
                let (sent, own) = (format!("\"{sent}\""), Value::from(own.as_str()).to_string());
                restored = Some(replaced(data, sent.as_bytes(), own.as_bytes()));
            }
        }
        restored
    }

    /// A client's own body by the names that are sent; `None` where it keeps its own.
    pub(in crate::protocol) fn put_in(&self, body: &[u8]) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let mut body = Body::read(body);
        for field in WITH_NAMES {
            let value = body.get(field).and_then(|text| serde_json::from_str(text).ok());
            let Some(mut value) = value else { continue };
            if self.rename(&mut value) {
                body.set(field, &value);
            }
        }
        Some(body.text().into_bytes())
    }

    /// Whether there was a name to be replaced.
    fn rename(&self, value: &mut Value) -> bool {
        match value {
            Value::Object(members) => members.iter_mut().fold(false, |renamed, (key, value)| {
                let here = match value {
                    Value::String(name) if NAMES.contains(&key.as_str()) => self.rename_one(name),
                    Value::Array(names) if NAME_LISTS.contains(&key.as_str()) => {
                        self.rename_all(names)
                    }
                    _ if FREE.contains(&key.as_str()) => false,
                    value => self.rename(value),
                };
                renamed | here
            }),
            Value::Array(values) => {
                values.iter_mut().fold(false, |renamed, value| self.rename(value) | renamed)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    fn rename_all(&self, names: &mut [Value]) -> bool {
        names.iter_mut().fold(false, |renamed, name| {
            let Value::String(name) = name else { return renamed };
            self.rename_one(name) | renamed
        })
    }

    fn rename_one(&self, name: &mut String) -> bool {
        let renamed = self.0.iter().find(|renamed| renamed.own == *name);
        if let Some(renamed) = renamed {
            name.clone_from(&renamed.sent);
        }
        renamed.is_some()
    }
}

/// The fields of the protocols' bodies that have names of tools in them.
const WITH_NAMES: [&str; 9] = [
    "tools",
    "functions",
    "messages",
    "input",
    "contents",
    "tool_choice",
    "function_call",
    "toolConfig",
    "tool_config",
];

/// Where the names are in these.
const NAMES: [&str; 2] = ["name", "tool_name"];
const NAME_LISTS: [&str; 2] = ["allowedFunctionNames", "allowed_function_names"];

/// What a tool is called with and gives, and what that may be: its names are the tool's own.
const FREE: [&str; 11] = [
    "action",
    "args",
    "arguments",
    "input",
    "input_schema",
    "output",
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
    "response",
    "schema",
];

/// What the client's own body calls a tool: a function's name may stand for one in a namespace.
fn name_in_body<'r>(request: &'r ChatRequest, name: &'r str) -> &'r str {
    let form = request.tool_forms.iter().find(|(function, _)| function == name);
    form.map_or(name, |(_, form)| form.name.as_str())
}

fn replaced(data: &[u8], sent: &[u8], own: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut from = 0;
    for at in memmem::find_iter(data, sent) {
        out.extend_from_slice(&data[from..at]);
        out.extend_from_slice(own);
        from = at + sent.len();
    }
    out.extend_from_slice(&data[from..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Message, Role, Tool};

    const LONG: &str =
        "mcp__plugin_chrome-devtools-mcp_chrome-devtools__performance_analyze_insight";

    /// Each row: a name, and what OpenAI, Anthropic and Gemini are sent.
    #[test]
    fn a_name_is_one_that_is_taken() {
        use ProviderProtocol::{Anthropic, Gemini, OpenAi, Responses};
        let rows = [
            ("get_weather", "get_weather", "get_weather", "get_weather"),
            (
                "todoist/find",
                "todoist_find_7bea50ff",
                "todoist_find_7bea50ff",
                "todoist_find_7bea50ff",
            ),
            ("a.b", "a_b_108bf50c", "a_b_108bf50c", "a.b"),
            ("3d-print", "3d-print", "3d-print", "_3d-print_a5ce0780"),
            ("wetter_für", "wetter_f_r_15528382", "wetter_f_r_15528382", "wetter_f_r_15528382"),
            ("", "__811c9dc5", "__811c9dc5", "__811c9dc5"),
        ];
        for (name, openai, anthropic, gemini) in rows {
            for (protocol, expected) in
                [(OpenAi, openai), (Responses, openai), (Anthropic, anthropic), (Gemini, gemini)]
            {
                let alphabet = Alphabet::of(protocol).unwrap();
                let written = alphabet.write(name);
                assert_eq!(written, expected, "{protocol:?}");
                assert!(alphabet.takes(&written), "{written}");
            }
        }
        let long = OPENAI.write(LONG);
        assert!(OPENAI.takes(&long) && long.len() == 64 && long.starts_with("mcp__plugin"));
        assert_eq!(ANTHROPIC.write(LONG), LONG);
        assert_ne!(OPENAI.write("a.b"), OPENAI.write("a/b"));
    }

    #[test]
    fn a_tool_has_one_name_throughout_and_its_own_in_the_answer() {
        let call = Part::ToolCall { id: "c".into(), name: LONG.into(), arguments: "{}".into() };
        let tool = |name: &str| Tool {
            name: name.into(),
            description: None,
            parameters: None,
            strict: None,
        };
        let request = ChatRequest {
            messages: vec![Message { role: Role::Assistant, parts: vec![call] }],
            tools: vec![tool("f"), tool(LONG)],
            tool_choice: Some(ToolChoice::Tool(LONG.into())),
            ..ChatRequest::default()
        };
        let sent = with_names_taken(Cow::Borrowed(&request), &target("openai"));
        let short = sent.tools[1].name.clone();
        assert_eq!((sent.tools[0].name.as_str(), short.len()), ("f", 64));
        assert_eq!(names(&sent).collect::<Vec<_>>(), ["f", &short, &short, &short]);
        let same = with_names_taken(Cow::Borrowed(&request), &target("anthropic"));
        assert!(matches!(same, Cow::Borrowed(_)));

        let fragment = |name: &str| {
            let name = (!name.is_empty()).then(|| Cow::Owned(name.to_owned()));
            Event::ToolCall(ToolCall { index: 0, id: None, name, arguments: "{".into() })
        };
        let back = ToolNames::of(&request, ClientProtocol::Anthropic, &target("openai"));
        assert_eq!(back.restore(&fragment(&short)), Some(fragment(LONG)));
        assert_eq!(back.restore(&fragment("f")), None);
        assert_eq!(back.restore(&fragment("")), None);
        let any = ToolNames::of(&request, ClientProtocol::Anthropic, &target("ollama"));
        assert_eq!(any.restore(&fragment(&short)), None);
    }

    /// Each row: a client's protocol and a body of its own, in which `LONG` is a tool's name, `SAME` is
    /// what keeps it.
    #[test]
    fn a_clients_own_body_has_the_names_that_are_taken() {
        let rows = [
            (
                ClientProtocol::OpenAi,
                r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function",
                    "function":{"name":"LONG","arguments":"{\"name\":\"SAME\"}"}}]},
                    {"role":"user","content":"SAME"}],"top_p":1.0,
                    "tools":[{"type":"function","function":{"name":"LONG",
                        "parameters":{"properties":{"name":{"const":"SAME"}},"name":"SAME"}}}],
                    "tool_choice":{"type":"function","function":{"name":"LONG"}}}"#,
            ),
            (
                ClientProtocol::Responses,
                r#"{"input":[{"type":"function_call","call_id":"c","name":"LONG","arguments":"{}"},
                    {"role":"user","content":"x"}],"tools":[{"type":"custom","name":"LONG"}]}"#,
            ),
            (
                ClientProtocol::Gemini,
                r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"LONG",
                    "args":{"name":"SAME"}}}]},{"role":"user","parts":[{"text":"x"}]}],
                    "tools":[{"functionDeclarations":[{"name":"LONG"}]}],
                    "toolConfig":{"functionCallingConfig":{"mode":"ANY",
                        "allowedFunctionNames":["LONG"]}}}"#,
            ),
        ];
        for (client, body) in rows {
            let target = target(client.name());
            let short = Alphabet::at(&target).unwrap().write(LONG).into_owned();
            let written = body.replace("SAME", LONG).replace("LONG", LONG);
            let request = client.parse_request(written.as_bytes()).unwrap();
            let names = ToolNames::of(&request, client, &target);
            let sent: Value =
                serde_json::from_slice(&names.put_in(written.as_bytes()).unwrap()).unwrap();
            let expected: Value = serde_json::from_str(
                &body.replace("SAME", LONG).replace("\"LONG", &format!("\"{short}")),
            )
            .unwrap();
            assert_eq!(sent, expected, "{client:?}");

            let answer = format!(r#"{{"name":"{short}","text":"\"{short}\" it is"}}"#);
            let back = format!(r#"{{"name":"{LONG}","text":"\"{short}\" it is"}}"#);
            let restored = names.restore_in(answer.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(restored).unwrap(), back);
            assert_eq!(names.restore_in(b"{\"name\":\"f\"}"), None);
        }
    }

    fn target(protocol: &str) -> std::sync::Arc<Target> {
        let text = format!(
            "[providers.p]\nprotocol = \"{protocol}\"\nbase_url = \"http://p\"\n[models.m]\n\
             targets = [\"p/m\"]"
        );
        crate::config::Config::parse(&text, |_| None).unwrap().models["m"].targets[0].clone()
    }
}
