//! The tools' names by the identifiers of their calls: some protocols name the tool with a result
//! too, others only with the call.

use std::collections::BTreeMap;

use crate::chat::{Message, Part};

/// The calls of a conversation so far.
#[derive(Default)]
pub(super) struct CallNames<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> CallNames<'a> {
    /// Notes the calls of the next message. Of equal identifiers the last counts.
    pub(super) fn note(&mut self, message: &'a Message) {
        for part in &message.parts {
            if let Part::ToolCall { id, name, .. } = part {
                self.0.insert(id, name);
            }
        }
    }

    /// The tool that was called by this identifier.
    pub(super) fn find(&self, id: &str) -> Option<&'a str> {
        self.0.get(id).copied()
    }
}
