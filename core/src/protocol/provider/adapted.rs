//! What every provider that reads a request in another protocol than its client's would reject,
//! corrected before it is written.

mod instructions;
mod tool_names;

use std::borrow::Cow;

use crate::chat::{ChatRequest, Message, Part, Role, ToolChoice};

pub(in crate::protocol) use instructions::{with_instructions_as_users, with_one_instruction};
pub(crate) use tool_names::ToolNames;
pub(in crate::protocol) use tool_names::with_names_taken;

/// A choice among tools only where there are tools, and only of one that is there: those of a
/// provider's own were left out. OpenAI and vLLM refuse `tool_choice` and `parallel_tool_calls`
/// without `tools`. To choose as the model sees fit is what every provider does without a choice, and
/// some refuse it by name ("auto" tool choice requires --enable-auto-tool-choice, of vLLM).
pub(in crate::protocol) fn with_choice_of_tools_there(
    request: &ChatRequest,
) -> Cow<'_, ChatRequest> {
    let has_tools = !request.tools.is_empty();
    let choice = request.tool_choice.as_ref().filter(|choice| match choice {
        ToolChoice::Tool(name) => request.tools.iter().any(|tool| tool.name == *name),
        ToolChoice::Auto => false,
        ToolChoice::None | ToolChoice::Required => has_tools,
    });
    let parallel = request.parallel_tool_calls.filter(|_| has_tools);
    if choice == request.tool_choice.as_ref() && parallel == request.parallel_tool_calls {
        return Cow::Borrowed(request);
    }
    let tool_choice = choice.cloned();
    Cow::Owned(ChatRequest { tool_choice, parallel_tool_calls: parallel, ..request.clone() })
}

/// The results of tools directly after the calls, before the other messages of that turn: Anthropic's
/// Messages allow a user's text between them.
pub(in crate::protocol) fn with_results_first(
    request: Cow<'_, ChatRequest>,
) -> Cow<'_, ChatRequest> {
    let is_in_order = |turn: &[Message]| turn.is_sorted_by_key(is_no_result);
    if turns_after_calls(&request.messages)
        .all(|(from, to)| is_in_order(&request.messages[from..to]))
    {
        return request;
    }
    let mut request = request.into_owned();
    let turns: Vec<_> = turns_after_calls(&request.messages).collect();
    for (from, to) in turns {
        request.messages[from..to].sort_by_key(is_no_result);
    }
    Cow::Owned(request)
}

fn is_no_result(message: &Message) -> bool {
    message.role != Role::Tool
}

/// Where what follows the assistant's calls begins and ends, up to its next message.
fn turns_after_calls(messages: &[Message]) -> impl Iterator<Item = (usize, usize)> {
    let calls =
        |message: &Message| message.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let after = messages.iter().enumerate().filter(move |(_, message)| calls(message));
    after.map(|(index, _)| {
        let rest = &messages[index + 1..];
        let end = rest.iter().position(|message| message.role == Role::Assistant);
        (index + 1, index + 1 + end.unwrap_or(rest.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Tool;

    fn tool(name: &str) -> Tool {
        Tool { name: name.into(), description: None, parameters: None, strict: None }
    }

    /// Each row: the tools there, the choice that was made, and the one that is left.
    #[test]
    fn a_choice_is_of_what_is_there() {
        let named = |name: &str| Some(ToolChoice::Tool(name.into()));
        let rows = [
            (vec![], Some(ToolChoice::Auto), None),
            (vec![tool("f")], Some(ToolChoice::Auto), None),
            (vec![], Some(ToolChoice::None), None),
            (vec![], named("web_search"), None),
            (vec![tool("f")], named("web_search"), None),
            (vec![tool("f")], named("f"), named("f")),
            (vec![tool("f")], Some(ToolChoice::Required), Some(ToolChoice::Required)),
            (vec![tool("f")], None, None),
        ];
        for (tools, tool_choice, expected) in rows {
            let parallel = (!tools.is_empty()).then_some(false);
            let request = ChatRequest {
                tools,
                tool_choice,
                parallel_tool_calls: Some(false),
                ..ChatRequest::default()
            };
            let adapted = with_choice_of_tools_there(&request);
            assert_eq!(adapted.tool_choice, expected, "{request:?}");
            assert_eq!(adapted.parallel_tool_calls, parallel, "{request:?}");
        }
    }

    #[test]
    fn results_come_before_the_text_of_their_turn() {
        let message = |role, part| Message { role, parts: vec![part] };
        let call = |id: &str| {
            let (id, name, arguments) = (id.into(), "f".into(), String::new());
            message(Role::Assistant, Part::ToolCall { id, name, arguments })
        };
        let result = |id: &str| {
            message(Role::Tool, Part::ToolResult { id: id.into(), parts: vec![], is_error: false })
        };
        let text = |text: &str| Message::text(Role::User, text);
        let messages = [
            text("hi"),
            call("a"),
            text("before"),
            result("a"),
            text("after"),
            result("b"),
            call("c"),
            result("c"),
            text("end"),
        ];
        let request = ChatRequest { messages: messages.to_vec(), ..ChatRequest::default() };
        let adapted = with_results_first(Cow::Borrowed(&request));
        let order = [0, 1, 3, 5, 2, 4, 6, 7, 8].map(|index: usize| messages[index].clone());
        assert_eq!(adapted.messages, order);
        let again = adapted.into_owned();
        assert!(matches!(with_results_first(Cow::Borrowed(&again)), Cow::Borrowed(_)));
    }
}
