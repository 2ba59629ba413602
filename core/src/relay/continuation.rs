//! The request to continue an answer that broke.

use std::sync::Arc;

use crate::chat::{ChatRequest, Message, Role};
use crate::target::Continuation;

/// The request to continue after `delivered`.
///
/// Nothing in it is in any language of ours: the instruction is the operator's, and empty by
/// default.
pub(super) fn request(
    asked: &ChatRequest,
    delivered: &str,
    way: Continuation,
    instruction: &str,
) -> Arc<ChatRequest> {
    let mut request = asked.clone();
    request.append(Message::text(Role::Assistant, delivered));
    if way == Continuation::Ask && !instruction.is_empty() {
        request.append(Message::text(Role::User, instruction));
    }
    Arc::new(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_in_the_conversations_own_language() {
        let asked = ChatRequest {
            messages: vec![
                Message::text(Role::System, "Si lakonický pomocník."),
                Message::text(Role::User, "Čo je prúd?"),
            ],
            ..ChatRequest::default()
        };
        let plain = request(&asked, "Prúd je", Continuation::Prefill, "Continue.");
        assert_eq!(plain.messages[..2], asked.messages);
        assert_eq!(plain.messages[2..], [Message::text(Role::Assistant, "Prúd je")]);
        assert_eq!(request(&asked, "Prúd je", Continuation::Ask, ""), plain);
        let told = request(&asked, "Prúd je", Continuation::Ask, "Pokračuj.");
        assert_eq!(told.messages[3], Message::text(Role::User, "Pokračuj."));
    }
}
