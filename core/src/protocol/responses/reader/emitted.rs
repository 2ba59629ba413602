//! What of an answer was emitted: its texts come again when they are over, and with some servers only
//! then.

use crate::protocol::TextKind;

/// How many texts are told apart. Beyond them a text counts as emitted, for one twice is worse.
const SLOTS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Emitted {
    slots: Vec<Slot>,
    /// Some text of the answer was, a refusal included.
    pub(super) answer: bool,
    /// Some reasoning was.
    pub(super) reasoning: bool,
    /// Some item or event that has no event of its own here was.
    pub(super) other: bool,
}

/// Where in an answer a text is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The place of the item, where that is known.
    pub(super) place: Option<u32>,
    pub(super) list: List,
    /// The place in that list.
    pub(super) index: u32,
}

/// The lists of parts that an item has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Content,
    Summary,
}

impl Emitted {
    pub(super) fn add(&mut self, slot: Slot, kind: TextKind) {
        match kind {
            TextKind::Answer | TextKind::Refusal => self.answer = true,
            TextKind::Reasoning => self.reasoning = true,
        }
        if !self.has(slot) {
            self.slots.push(slot);
        }
    }

    pub(super) fn has(&self, slot: Slot) -> bool {
        self.slots.len() >= SLOTS_MAX || self.slots.iter().rev().any(|known| known.may_be(slot))
    }
}

impl Slot {
    /// Items come one after another, so that one without a place may be any.
    fn may_be(self, other: Self) -> bool {
        let is_same_item =
            self.place == other.place || self.place.is_none() || other.place.is_none();
        is_same_item && (self.list, self.index) == (other.list, other.index)
    }
}
