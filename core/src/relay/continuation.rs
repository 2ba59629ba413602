//! The request to continue an answer that broke.

use std::sync::Arc;

use crate::chat::{ChatRequest, Message, Role};
use crate::target::Continuation;

/// How a target is asked for the rest of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The answer so far is the last message.
    Prefill,
    /// The answer so far, and the operator's instruction after it.
    Instruct,
    /// The request as it was: the target answers anew, and the splice drops what was delivered.
    Anew,
}

impl Way {
    /// How a target of this setting is asked first; `None`: not at all.
    pub(super) fn first(continuation: Continuation, instruction: &str) -> Option<Self> {
        match continuation {
            Continuation::Stop => None,
            Continuation::Ask if !instruction.is_empty() => Some(Self::Instruct),
            Continuation::Ask | Continuation::Prefill => Some(Self::Prefill),
        }
    }

    /// Whether the answer so far is part of the request.
    pub(super) fn includes_answer(self) -> bool {
        match self {
            Self::Prefill | Self::Instruct => true,
            Self::Anew => false,
        }
    }

    /// How a target is asked that rejects an answer to continue as the last message.
    pub(super) fn after_rejection(self, instruction: &str) -> Option<Self> {
        match self {
            Self::Prefill if instruction.is_empty() => Some(Self::Anew),
            Self::Prefill => Some(Self::Instruct),
            Self::Instruct | Self::Anew => None,
        }
    }
}

/// The request to continue after `delivered`.
///
/// Nothing in it is in any language of ours: the instruction is the operator's, and empty by
/// default.
pub(super) fn request(
    asked: &ChatRequest,
    delivered: &str,
    way: Way,
    instruction: &str,
) -> Arc<ChatRequest> {
    let mut request = asked.clone();
    match way {
        Way::Anew => {}
        Way::Prefill => request.append(Message::text(Role::Assistant, delivered)),
        Way::Instruct => {
            request.append(Message::text(Role::Assistant, delivered));
            request.append(Message::text(Role::User, instruction));
        }
    }
    Arc::new(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a setting and an instruction, and how a target is asked, again and again.
    #[test]
    fn a_rejected_prefill_is_not_repeated() {
        let rows: [(_, _, &[Way]); 5] = [
            (Continuation::Prefill, "", &[Way::Prefill, Way::Anew]),
            (Continuation::Prefill, "Go on.", &[Way::Prefill, Way::Instruct]),
            (Continuation::Ask, "", &[Way::Prefill, Way::Anew]),
            (Continuation::Ask, "Go on.", &[Way::Instruct]),
            (Continuation::Stop, "Go on.", &[]),
        ];
        for (continuation, instruction, expected) in rows {
            let first = Way::first(continuation, instruction);
            let ways = std::iter::successors(first, |way| way.after_rejection(instruction));
            assert_eq!(ways.collect::<Vec<_>>(), expected, "{continuation:?} {instruction}");
        }
    }

    #[test]
    fn goes_on_in_the_conversations_own_language() {
        let asked = ChatRequest {
            messages: vec![
                Message::text(Role::System, "Si lakonický pomocník."),
                Message::text(Role::User, "Čo je prúd?"),
            ],
            ..ChatRequest::default()
        };
        let plain = request(&asked, "Prúd je", Way::Prefill, "Continue.");
        assert_eq!(plain.messages[..2], asked.messages);
        assert_eq!(plain.messages[2..], [Message::text(Role::Assistant, "Prúd je")]);
        assert_eq!(*request(&asked, "Prúd je", Way::Anew, "Continue."), asked);
        let told = request(&asked, "Prúd je", Way::Instruct, "Pokračuj.");
        assert_eq!(told.messages[3], Message::text(Role::User, "Pokračuj."));
    }
}
