//! Instructions where the model takes them: in one message, the first, or not within the
//! conversation. One that stands later stays in its place as the user's, so that what comes before it
//! can still be cached.

use std::borrow::Cow;
use std::ops::Range;

use crate::chat::{ChatRequest, Message, Part, Role};

/// Between texts that become one.
const SEPARATOR: &str = "\n\n";

/// One instruction, first. Later ones join the user's messages beside them: templates that refuse
/// them also refuse two messages of one speaker in a row.
pub(in crate::protocol) fn with_one_instruction(
    request: Cow<'_, ChatRequest>,
) -> Cow<'_, ChatRequest> {
    let leading = leading(&request.messages);
    if leading <= 1 && !request.messages[leading..].iter().any(Message::instructs) {
        return request;
    }
    let mut request = request.into_owned();
    // From the end, so that what is joined moves nothing that is still looked at.
    for index in (leading..request.messages.len()).rev() {
        if request.messages.get(index).is_some_and(Message::instructs) {
            let run = run_of_users(&request.messages, leading, index);
            join(&mut request, run, Role::User);
        }
    }
    let role = request.messages[0].role;
    join(&mut request, 0..leading, role);
    Cow::Owned(request)
}

/// No instruction within the conversation: each is a message of the user's.
pub(in crate::protocol) fn with_instructions_as_users(
    request: Cow<'_, ChatRequest>,
) -> Cow<'_, ChatRequest> {
    let leading = leading(&request.messages);
    if !request.messages[leading..].iter().any(Message::instructs) {
        return request;
    }
    let mut request = request.into_owned();
    for index in leading..request.messages.len() {
        if request.messages[index].instructs() {
            join(&mut request, index..index + 1, Role::User);
        }
    }
    Cow::Owned(request)
}

/// How many instructions the conversation begins with.
fn leading(messages: &[Message]) -> usize {
    messages.iter().take_while(|message| message.instructs()).count()
}

/// The messages around the instruction at `index` that can be one of the user's with it.
fn run_of_users(messages: &[Message], from: usize, index: usize) -> Range<usize> {
    let fits = |message: &Message| {
        (message.instructs() || message.role == Role::User) && message.as_text().is_some()
    };
    if !fits(&messages[index]) {
        return index..index + 1;
    }
    let before = messages[from..index].iter().rev().take_while(|message| fits(message)).count();
    let after = messages[index..].iter().take_while(|message| fits(message)).count();
    index - before..index + after
}

/// Makes one message of several. One that has what only the client's protocol knows is left to the
/// provider as it is.
fn join(request: &mut ChatRequest, range: Range<usize>, role: Role) {
    let messages = &request.messages[range.clone()];
    let is_known = |part: &Part| !matches!(part, Part::Other(_));
    let is_same = matches!(messages, [] | [_]) && messages.iter().all(|it| it.role == role);
    if is_same || !messages.iter().flat_map(|message| &message.parts).all(is_known) {
        return;
    }
    let texts: Option<Vec<_>> = messages.iter().map(Message::as_text).collect();
    let parts = match texts {
        Some(texts) => vec![Part::Text(texts.join(SEPARATOR))],
        None => messages.iter().flat_map(|message| message.parts.clone()).collect(),
    };
    request.join(range, Message { role, parts });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `s` is a system message, `d` a developer's, `u` the user's, `a` the assistant's; `+` before a
    /// text continues the message before it.
    fn conversation(script: &str) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        for word in script.split_whitespace() {
            let role = match word.as_bytes()[0] {
                b's' => Role::System,
                b'd' => Role::Developer,
                b'u' => Role::User,
                _ => Role::Assistant,
            };
            messages.push(Message::text(role, word[2..].replace('+', SEPARATOR)));
        }
        messages
    }

    fn request(script: &str) -> ChatRequest {
        ChatRequest { messages: conversation(script), ..ChatRequest::default() }
    }

    /// Each row: a conversation, the same with one instruction, and with none in the midst of it.
    #[test]
    fn instructions_are_where_they_are_taken() {
        let rows = [
            ("s:A u:1", "s:A u:1", "s:A u:1"),
            ("u:1", "u:1", "u:1"),
            ("s:A s:B u:1", "s:A+B u:1", "s:A s:B u:1"),
            ("d:A s:B u:1", "d:A+B u:1", "d:A s:B u:1"),
            ("s:A u:1 s:B u:2", "s:A u:1+B+2", "s:A u:1 u:B u:2"),
            ("u:1 a:x s:B u:2", "u:1 a:x u:B+2", "u:1 a:x u:B u:2"),
            ("u:1 a:x s:B a:y d:C", "u:1 a:x u:B a:y u:C", "u:1 a:x u:B a:y u:C"),
            ("s:A s:B u:1 s:C s:D a:x", "s:A+B u:1+C+D a:x", "s:A s:B u:1 u:C u:D a:x"),
            ("u:0 u:1 a:x u:2 u:3", "u:0 u:1 a:x u:2 u:3", "u:0 u:1 a:x u:2 u:3"),
        ];
        for (given, one, none) in rows {
            let request = request(given);
            let adapted = with_one_instruction(Cow::Borrowed(&request));
            assert_eq!(adapted.messages, conversation(one), "{given}");
            let adapted = with_instructions_as_users(Cow::Borrowed(&request));
            assert_eq!(adapted.messages, conversation(none), "{given}");
        }
    }

    /// A part that only the client's own protocol has is not lost, nor a message that has one.
    #[test]
    fn what_is_not_known_stays() {
        let mut given = request("s:A u:1 s:B u:2");
        given.messages[1].parts.push(Part::Other("video_url".into()));
        let adapted = with_one_instruction(Cow::Borrowed(&given));
        let mut expected = conversation("s:A u:1 u:B+2");
        expected[1].parts.push(Part::Other("video_url".into()));
        assert_eq!(adapted.messages, expected);
    }
}
