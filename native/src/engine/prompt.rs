//! Turns a conversation into the model's own prompt, as tokens.
//!
//! The frame around the messages is the model's chat template, and its markers become control
//! tokens. The text of a message never does: where it spells a marker, as `<|im_end|>` in
//! ChatML, the marker is cut in two and tokenised as the letters it is written with. So a user
//! cannot end the turn or speak as the system. Text without markers is tokenised together with
//! its frame, exactly as the model was trained.

use aho_corasick::{AhoCorasick, MatchKind};
use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;
use llama_cpp_2::vocab::LlamaVocab;

use super::EngineError;

/// Who speaks. There are no others, so a role cannot carry text into the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The instructions of the application.
    System,
    /// The person.
    User,
    /// The model. As the last message it is an answer begun, which the model continues.
    Assistant,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Its text.
    pub text: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into() }
    }
}

/// How one model wants to be spoken to.
#[derive(Debug)]
pub(super) struct Dialect {
    template: LlamaChatTemplate,
    /// Everything that would be a control token in a prompt.
    markers: AhoCorasick,
}

impl Dialect {
    /// Takes `template` if given (the name of one that llama.cpp knows, or its source), else the
    /// model's own, else ChatML.
    pub(super) fn new(model: &LlamaModel, template: Option<&str>) -> Result<Self, EngineError> {
        let template = choose_template(model, template)?;
        let frame = render(model, &template, &probe())?;
        let markers = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(markers(&model.vocab(), &frame))
            .map_err(|error| EngineError::LoadFailed { reason: error.to_string() })?;
        Ok(Self { template, markers })
    }

    /// The prompt that asks for the assistant's next message, or for the rest of it if the last
    /// message is the assistant's.
    pub(super) fn tokens(
        &self,
        model: &LlamaModel,
        messages: &[Message],
    ) -> Result<Vec<LlamaToken>, EngineError> {
        let (turns, begun) = match messages.split_last() {
            Some((last, turns)) if last.role == Role::Assistant => (turns, Some(last)),
            Some(_) | None => (messages, None),
        };
        let signs = Signs::unused_in(messages);
        let turns: Vec<Message> = turns.iter().map(|turn| self.guard(turn, &signs)).collect();
        let mut prompt = render(model, &self.template, &turns)?;
        if let Some(begun) = begun {
            prompt.push_str(&self.guard(begun, &signs).text);
        }
        Ok(tokenise(&model.vocab(), &prompt, &signs))
    }

    /// Cuts every marker in the message after its first character, and hides NUL, which would
    /// end the text in llama.cpp's template.
    fn guard(&self, message: &Message, signs: &Signs) -> Message {
        let text = &message.text;
        let mut cuts: Vec<usize> = self
            .markers
            .find_overlapping_iter(text)
            .map(|marker| marker.start() + first_character_bytes(&text[marker.start()..]))
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut guarded = String::with_capacity(text.len() + cuts.len() * signs.cut.len_utf8());
        let mut done = 0;
        for cut in cuts {
            guarded.push_str(&text[done..cut]);
            guarded.push(signs.cut);
            done = cut;
        }
        guarded.push_str(&text[done..]);
        Message::new(message.role, guarded.replace('\0', signs.nul.encode_utf8(&mut [0; 4])))
    }
}

/// Two characters that no message contains, to carry cuts and NULs through the template.
struct Signs {
    cut: char,
    nul: char,
}

impl Signs {
    fn unused_in(messages: &[Message]) -> Self {
        // Noncharacters and private use: a conversation that used all of these would be larger
        // than any context.
        let mut unused = ('\u{fdd0}'..='\u{fdef}')
            .chain('\u{f0000}'..='\u{ffffd}')
            .filter(|sign| !messages.iter().any(|message| message.text.contains(*sign)));
        let mut next = || unused.next().unwrap_or('\u{10fffd}');
        Self { cut: next(), nul: next() }
    }
}

/// The template asked for, the model's own, or ChatML where llama.cpp knows neither.
fn choose_template(
    model: &LlamaModel,
    asked: Option<&str>,
) -> Result<LlamaChatTemplate, EngineError> {
    if let Some(asked) = asked {
        let template = LlamaChatTemplate::new(asked)
            .ok()
            .filter(|template| render(model, template, &probe()).is_ok());
        let unknown = || EngineError::LoadFailed { reason: "unknown chat template".into() };
        return template.ok_or_else(unknown);
    }
    let own =
        model.chat_template(None).ok().filter(|template| render(model, template, &probe()).is_ok());
    Ok(own.unwrap_or_else(|| {
        tracing::info!("no known chat template in the model, taking ChatML");
        LlamaChatTemplate::new("chatml").expect("the name holds no NUL")
    }))
}

/// A conversation that makes a template write all of its markers.
fn probe() -> [Message; 4] {
    [Role::System, Role::User, Role::Assistant, Role::User].map(|role| Message::new(role, "x"))
}

fn render(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
    messages: &[Message],
) -> Result<String, EngineError> {
    let failed = |reason: String| EngineError::LoadFailed { reason };
    let chat = messages
        .iter()
        .map(|message| LlamaChatMessage::new(message.role.name().into(), message.text.clone()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(error.to_string()))?;
    model.apply_chat_template(template, &chat, true).map_err(|error| failed(error.to_string()))
}

/// The texts that llama.cpp reads as control tokens in a prompt: the vocabulary's control tokens,
/// and those of its other special tokens that the template's `frame` writes. Special tokens that
/// are mere shorthand, as for runs of spaces, stay usable in messages.
fn markers(vocabulary: &LlamaVocab<'_>, frame: &str) -> Vec<String> {
    let text = |token| vocabulary.text(token)?.to_str().ok();
    let is_marker = |token: &LlamaToken| {
        let attributes = vocabulary.attr(*token);
        let is_control = attributes.contains(LlamaTokenAttr::Control)
            || attributes.contains(LlamaTokenAttr::Unknown)
            || vocabulary.is_eog(*token);
        is_control
            || attributes.contains(LlamaTokenAttr::UserDefined)
                && text(*token).is_some_and(|text| is_written_by(frame, text))
    };
    vocabulary
        .tokens()
        .filter(is_marker)
        .filter_map(text)
        .filter(|text| text.chars().nth(1).is_some())
        .map(str::to_string)
        .collect()
}

fn is_written_by(frame: &str, marker: &str) -> bool {
    let is_sign = |c: char| !c.is_alphanumeric() && !c.is_whitespace();
    marker.contains(is_sign) && frame.contains(marker)
}

/// The pieces between the cuts are tokenised apart, so nothing spans a cut.
fn tokenise(vocabulary: &LlamaVocab<'_>, prompt: &str, signs: &Signs) -> Vec<LlamaToken> {
    let mut tokens = Vec::with_capacity(prompt.len() / 3 + 8);
    for piece in prompt.split(signs.cut).filter(|piece| !piece.is_empty()) {
        match piece.contains(signs.nul) {
            true => {
                let piece = piece.replace(signs.nul, "\0");
                vocabulary.tokenize_into(piece.as_bytes(), &mut tokens, false, true);
            }
            false => vocabulary.tokenize_into(piece.as_bytes(), &mut tokens, false, true),
        }
    }
    let bos = vocabulary.bos();
    if vocabulary.should_add_bos() && bos.0 >= 0 && tokens.first() != Some(&bos) {
        tokens.insert(0, bos);
    }
    tokens
}

fn first_character_bytes(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}
