//! Tools by names that the provider takes: shorter, or of other letters, the same for the same name
//! in every request, and mapped back in the answer.

use std::borrow::Cow;

use crate::chat::{ChatRequest, Event, Format, Part, ToolCall, ToolChoice};
use crate::protocol::ClientProtocol;
use crate::target::{ProviderProtocol, Upstream};

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
pub(in crate::protocol) fn with_names_taken(
    request: Cow<'_, ChatRequest>,
    protocol: ProviderProtocol,
) -> Cow<'_, ChatRequest> {
    let Some(alphabet) = Alphabet::of(protocol) else { return request };
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
    /// Those of a request that is sent in another protocol than its client's.
    pub(crate) fn of(request: &ChatRequest, client: ClientProtocol, upstream: Upstream) -> Self {
        let alphabet = match upstream {
            Upstream::Http(protocol) if !client.is_spoken_by(upstream) => Alphabet::of(protocol),
            Upstream::Http(_) | Upstream::Local => None,
        };
        let Some(alphabet) = alphabet else { return Self::default() };
        let renamed = request.tools.iter().filter_map(|tool| match alphabet.write(&tool.name) {
            Cow::Borrowed(_) => None,
            Cow::Owned(sent) => Some(Renamed { sent, own: tool.name.clone() }),
        });
        Self(renamed.collect())
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
        let sent = with_names_taken(Cow::Borrowed(&request), ProviderProtocol::OpenAi);
        let short = sent.tools[1].name.clone();
        assert_eq!((sent.tools[0].name.as_str(), short.len()), ("f", 64));
        assert_eq!(names(&sent).collect::<Vec<_>>(), ["f", &short, &short, &short]);
        let same = with_names_taken(Cow::Borrowed(&request), ProviderProtocol::Anthropic);
        assert!(matches!(same, Cow::Borrowed(_)));

        let upstream = Upstream::Http(ProviderProtocol::OpenAi);
        let fragment = |name: &str| {
            let name = (!name.is_empty()).then(|| Cow::Owned(name.to_owned()));
            Event::ToolCall(ToolCall { index: 0, id: None, name, arguments: "{".into() })
        };
        let back = ToolNames::of(&request, ClientProtocol::Anthropic, upstream);
        assert_eq!(back.restore(&fragment(&short)), Some(fragment(LONG)));
        assert_eq!(back.restore(&fragment("f")), None);
        assert_eq!(back.restore(&fragment("")), None);
        let same_protocol = ToolNames::of(&request, ClientProtocol::OpenAi, upstream);
        assert_eq!(same_protocol.restore(&fragment(&short)), None);
    }
}
