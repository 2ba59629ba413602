//! That a conversation is too long, in the words by which each protocol's clients recognise it.
//!
//! A client that compacts its conversation, or raises an error of that kind, looks for a phrase of
//! the protocol's own provider in the message:
//!
//! - `prompt is too long`: Claude Code, LiteLLM and LangChain for Anthropic;
//! - `This model's maximum context length is`: LiteLLM for OpenAI (`exception_mapping_utils.py`);
//!   LangChain takes the code `context_length_exceeded`;
//! - `exceeds the context window`: LangChain and opencode for Responses; Codex takes the code, in
//!   the event `response.failed` alone (`codex-api/src/sse/responses.rs`).

use std::borrow::Cow;

use crate::failure::{Failure, Overflow, Reason};
use crate::protocol::error_message;

/// How a protocol's provider puts it.
pub(in crate::protocol) struct Words {
    /// What clients look for.
    phrase: &'static str,
    /// The sentence, with both numbers.
    sentence: fn(Overflow) -> String,
    /// The request field that it blames, where the protocol names one.
    pub(in crate::protocol) param: &'static str,
}

pub(in crate::protocol) const ANTHROPIC: Words = Words {
    phrase: "prompt is too long",
    sentence: |Overflow { input, window }| {
        format!("prompt is too long: {input} tokens > {window} maximum")
    },
    param: "messages",
};

pub(in crate::protocol) const OPENAI: Words =
    Words { phrase: "this model's maximum context length is", sentence: openai, param: "messages" };

/// Its clients recognise the message of Chat Completions.
pub(in crate::protocol) const COMPLETIONS: Words = Words { param: "prompt", ..OPENAI };

pub(in crate::protocol) const GEMINI: Words = Words {
    phrase: "exceeds the maximum number of tokens allowed",
    sentence: |Overflow { input, window }| {
        format!(
            "The input token count ({input}) exceeds the maximum number of tokens allowed ({window})."
        )
    },
    param: "contents",
};

pub(in crate::protocol) const RESPONSES: Words = Words {
    phrase: "exceeds the context window of this model",
    sentence: |overflow| {
        let numbers = openai(overflow);
        format!("Your input exceeds the context window of this model. {numbers}")
    },
    param: "input",
};

fn openai(Overflow { input, window }: Overflow) -> String {
    format!(
        "This model's maximum context length is {window} tokens. However, your messages resulted \
         in {input} tokens. Please reduce the length of the messages."
    )
}

/// The message of a failure to a client of the protocol that has these words.
///
/// A provider of the same protocol is quoted: alone where its text has the phrase, else behind the
/// sentence.
pub(in crate::protocol) fn message<'a>(failure: &'a Failure, words: &Words) -> Cow<'a, str> {
    if failure.reason != Reason::ContextLength {
        return failure.message().into();
    }
    let quoted = failure.original.as_ref().map(|original| error_message(&original.body));
    let quoted = quoted.unwrap_or_default();
    if quoted.to_lowercase().contains(words.phrase) {
        return quoted.into();
    }
    let Some(overflow) = failure.overflow else {
        return format!("{}: {}", words.phrase, failure.message()).into();
    };
    let sentence = (words.sentence)(overflow);
    if quoted.is_empty() { sentence.into() } else { format!("{sentence} ({quoted})").into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::ErrorResponse;
    use crate::protocol::{ClientProtocol, error_body};

    const NUMBERS: Overflow = Overflow { input: 60_080, window: 40_000 };
    const OPENAIS: &str = "This model's maximum context length is 40000 tokens. However, your \
                           messages resulted in 60080 tokens. Please reduce the length of the \
                           messages.";

    fn told(client: ClientProtocol, failure: &Failure) -> serde_json::Value {
        serde_json::from_slice(&error_body(client, failure, None)).unwrap()
    }

    fn of_a_provider(text: &str) -> Failure {
        let body = serde_json::json!({"error": {"message": text}}).to_string().into_bytes();
        let original = Some(ErrorResponse { status: 400, body });
        Failure { original, ..Failure::too_long(NUMBERS, true) }
    }

    #[test]
    fn every_protocol_has_the_words_of_its_own_provider() {
        let rows = [
            (ClientProtocol::Anthropic, "prompt is too long: 60080 tokens > 40000 maximum".into()),
            (ClientProtocol::OpenAi, OPENAIS.to_owned()),
            (
                ClientProtocol::Responses,
                format!("Your input exceeds the context window of this model. {OPENAIS}"),
            ),
        ];
        for (client, expected) in rows {
            for counted in [true, false] {
                let failure = Failure::too_long(NUMBERS, counted);
                assert_eq!(failure.status(), 400);
                let told = told(client, &failure);
                assert_eq!(told["error"]["message"], expected);
                assert_eq!(told["error"]["type"], "invalid_request_error");
            }
        }
    }

    #[test]
    fn openais_protocols_have_its_code() {
        for (client, param) in
            [(ClientProtocol::OpenAi, "messages"), (ClientProtocol::Responses, "input")]
        {
            // A compatible provider's own code may be a number, or missing.
            for failure in [Failure::too_long(NUMBERS, false), of_a_provider("context!")] {
                let error = &told(client, &failure)["error"];
                assert_eq!(error["code"], "context_length_exceeded");
                assert_eq!(error["param"], param);
            }
        }
    }

    /// Each row: a provider's text, and what a client of its protocol is told.
    #[test]
    fn a_providers_own_text_is_quoted() {
        let (anthropic, openai) = (ClientProtocol::Anthropic, ClientProtocol::OpenAi);
        let rows = [
            (anthropic, "Prompt is too long", "Prompt is too long".to_owned()),
            (openai, "This model's maximum context length is 7.", {
                "This model's maximum context length is 7.".to_owned()
            }),
            (openai, "exceeds the available context size", {
                format!("{OPENAIS} (exceeds the available context size)")
            }),
        ];
        for (client, text, expected) in rows {
            assert_eq!(told(client, &of_a_provider(text))["error"]["message"], expected);
        }
    }

    #[test]
    fn without_numbers_the_phrase_stays() {
        let failure = Failure::new(Reason::ContextLength, "Input is too long.");
        let told = told(ClientProtocol::Anthropic, &failure);
        assert_eq!(told["error"]["message"], "prompt is too long: Input is too long.");
    }

    #[test]
    fn what_is_written_here_is_read_as_that() {
        for words in [ANTHROPIC, OPENAI, RESPONSES] {
            let said = (words.sentence)(NUMBERS);
            assert!(said.to_lowercase().contains(words.phrase));
            let read = crate::limit::refusal::read(&said, None).unwrap();
            assert_eq!((read.input, read.context_window), (Some(60_080), Some(40_000)));
        }
    }
}
