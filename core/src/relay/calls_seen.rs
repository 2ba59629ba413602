//! The calls of an attempt, as far as its end depends on them.

use crate::chat::Event;

#[derive(Debug, Default)]
pub(super) struct CallsSeen(Vec<Seen>);

#[derive(Debug)]
struct Seen {
    index: u32,
    /// The client has nothing more to be sent of it: it had arguments, or came as it was.
    is_complete: bool,
}

impl CallsSeen {
    pub(super) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Notes the call in an event, if it is one.
    pub(super) fn add(&mut self, event: &Event<'_>, forwarded: bool) {
        let Event::ToolCall(call) = event else { return };
        let is_complete = forwarded || !call.arguments.is_empty();
        match self.0.iter_mut().rev().find(|seen| seen.index == call.index) {
            Some(seen) => seen.is_complete |= is_complete,
            None => self.0.push(Seen { index: call.index, is_complete }),
        }
    }

    /// The calls whose arguments are no text at all, where other protocols have an empty object.
    pub(super) fn without_arguments(&self) -> impl Iterator<Item = u32> {
        self.0.iter().filter(|seen| !seen.is_complete).map(|seen| seen.index)
    }
}
