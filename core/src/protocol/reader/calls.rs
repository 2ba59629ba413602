//! The tool calls of one answer. Providers of one protocol count them in different ways: calls that
//! come whole, each as the first of its chunk; fragments without an index; identifiers and names
//! that are repeated, or empty. Here each has its place in the order in which it was begun, and its
//! identifier and name are emitted once: an empty identifier where the provider has none for it, which
//! the relay replaces.

use crate::chat::{Event, FinishReason, ToolCall};
use crate::failure::{Failure, Reason};
use crate::json::{Nesting, Text};
use crate::protocol::ReadError;

/// How many tool calls one answer makes at most, in every protocol. Far beyond what models do, it
/// bounds what a stream of nothing but calls can make us keep.
pub(in crate::protocol) const TOOL_CALLS_MAX: usize = 4096;

/// The failure of an answer that makes more.
pub(in crate::protocol) fn too_many_calls() -> ReadError {
    let detail = format!("The answer makes more than {TOOL_CALLS_MAX} tool calls.");
    ReadError::Provider(Failure::new(Reason::AnswerTooLong, detail))
}

/// The index of a fragment that came without one.
pub(in crate::protocol) const NO_INDEX: u32 = u32::MAX;

/// The calls so far.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Calls {
    begun: Vec<Begun>,
}

/// A call that comes in one piece, as a provider wrote it.
#[derive(Default)]
pub(in crate::protocol) struct WholeCall<'a> {
    pub(in crate::protocol) id: Option<Text<'a>>,
    pub(in crate::protocol) name: Option<Text<'a>>,
    /// An object's JSON.
    pub(in crate::protocol) arguments: Option<Text<'a>>,
}

#[derive(Debug, Default)]
struct Begun {
    /// The provider's index.
    wire: u32,
    id: String,
    /// It has a name and no identifier.
    is_unnamed: bool,
    name: String,
    /// Its arguments so far, if no identifier distinguishes the next call from it.
    arguments: Nesting,
}

impl Calls {
    /// Whether there was one.
    pub(in crate::protocol) fn any(&self) -> bool {
        !self.begun.is_empty()
    }

    /// One more call, in its place.
    pub(in crate::protocol) fn add<'a>(&mut self, call: WholeCall<'a>) -> Event<'a> {
        let index = self.begin(Begun::default()) as u32;
        let arguments = call.arguments.filter(|arguments| !arguments.is_empty());
        Event::ToolCall(ToolCall {
            index,
            id: Some(call.id.map(Text::into_cow).unwrap_or_default()),
            name: call.name.map(Text::into_cow),
            arguments: arguments.map_or("{}".into(), Text::into_cow),
        })
    }

    /// The event with its call in its place. An answer with calls does not end as `stop`.
    pub(in crate::protocol) fn place<'e>(&mut self, event: Event<'e>) -> Event<'e> {
        match event {
            Event::ToolCall(call) => Event::ToolCall(self.place_call(call)),
            Event::Finish(FinishReason::Stop) if self.any() => {
                Event::Finish(FinishReason::ToolCalls)
            }
            other => other,
        }
    }

    fn place_call<'e>(&mut self, mut call: ToolCall<'e>) -> ToolCall<'e> {
        call.id = call.id.filter(|id| !id.is_empty());
        call.name = call.name.filter(|name| !name.is_empty());
        let place = self.find(&call).unwrap_or_else(|| {
            let wire = if call.index == NO_INDEX { self.begun.len() as u32 } else { call.index };
            self.begin(Begun { wire, ..Begun::default() })
        });
        let begun = &mut self.begun[place];
        call.index = place as u32;
        // Named, and still without an identifier: providers that send one do so by now.
        let is_unnamed = call.name.is_some() && call.id.is_none() && begun.id.is_empty();
        if begun.is_unnamed {
            call.id = None;
        } else if is_unnamed {
            begun.is_unnamed = true;
            call.id = Some("".into());
        } else {
            call.id = call.id.filter(|id| set_once(&mut begun.id, id));
        }
        if begun.is_unnamed {
            begun.arguments.add(&call.arguments);
        }
        call.name = call.name.filter(|name| set_once(&mut begun.name, name));
        call
    }

    /// The last call of the fragment's index, unless the fragment begins another one. Without an
    /// index it belongs to the call of its identifier, or to the last one.
    fn find(&self, call: &ToolCall<'_>) -> Option<usize> {
        let place = match call.index {
            NO_INDEX => {
                let named =
                    self.begun.iter().rposition(|begun| call.id.as_deref() == Some(&begun.id));
                named.or(self.begun.len().checked_sub(1))?
            }
            index => self.begun.iter().rposition(|begun| begun.wire == index)?,
        };
        let begun = &self.begun[place];
        let differs = |known: &str, sent: Option<&str>| {
            !known.is_empty() && sent.is_some_and(|sent| sent != known)
        };
        let is_next = call.name.is_some() && begun.arguments.is_whole();
        let is_other = match call.id.as_deref() {
            Some(id) => differs(&begun.id, Some(id)),
            None => differs(&begun.name, call.name.as_deref()),
        };
        (!is_next && !is_other).then_some(place)
    }

    /// Beyond the bound, what comes is taken for more of the last call.
    fn begin(&mut self, call: Begun) -> usize {
        if self.begun.len() < TOOL_CALLS_MAX {
            self.begun.push(call);
        }
        self.begun.len() - 1
    }
}

/// Sets a text that is not set; `false`: it was.
fn set_once(known: &mut String, told: &str) -> bool {
    let is_new = known.is_empty();
    if is_new {
        known.push_str(told);
    }
    is_new
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fragment = (u32, &'static str, &'static str, &'static str);
    type Told = (u32, &'static str, &'static str);

    fn placed(fragments: &[Fragment]) -> Vec<(u32, Option<String>, Option<String>, String)> {
        let mut calls = Calls::default();
        let place = |&(index, id, name, arguments): &Fragment| {
            let call = ToolCall {
                index,
                id: Some(id.into()),
                name: Some(name.into()),
                arguments: arguments.into(),
            };
            let call = calls.place_call(call);
            let own =
                |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
            (call.index, own(call.id), own(call.name), call.arguments.into_owned())
        };
        fragments.iter().map(place).collect()
    }

    /// Each row: fragments, and the place, the identifier and the name that each is emitted with.
    #[test]
    fn each_call_has_its_place() {
        let rows: &[(&str, &[Fragment], &[Told])] = &[
            (
                "fragments by index, openers first (F64)",
                &[(0, "a", "f", ""), (1, "b", "g", ""), (0, "", "", "1"), (1, "", "", "2")],
                &[(0, "a", "f"), (1, "b", "g"), (0, "", ""), (1, "", "")],
            ),
            (
                "whole calls, a chunk each, all the first of their chunk (F62)",
                &[(0, "a", "f", "1"), (0, "b", "f", "2"), (0, "c", "g", "3")],
                &[(0, "a", "f"), (1, "b", "f"), (2, "c", "g")],
            ),
            (
                "no index: fragments follow their opener",
                &[(0, "a", "f", ""), (0, "", "", "1"), (0, "b", "g", ""), (0, "", "", "2")],
                &[(0, "a", "f"), (0, "", ""), (1, "b", "g"), (1, "", "")],
            ),
            (
                "an odd index: the opener's, a fragment's",
                &[
                    (0, "a", "f", ""),
                    (NO_INDEX, "b", "g", ""),
                    (1, "", "", "1"),
                    (NO_INDEX, "", "", "2"),
                    (NO_INDEX, "a", "", "3"),
                ],
                &[(0, "a", "f"), (1, "b", "g"), (1, "", ""), (1, "", ""), (0, "", "")],
            ),
            (
                "identifier and name in every fragment",
                &[(0, "a", "f", ""), (0, "a", "f", "1"), (0, "a", "f", "2")],
                &[(0, "a", "f"), (0, "", ""), (0, "", "")],
            ),
            (
                "no identifiers at all",
                &[(0, "", "f", "{"), (0, "", "f", "}"), (0, "", "g", "{}")],
                &[(0, "", "f"), (0, "", ""), (1, "", "g")],
            ),
            (
                "whole calls of one name without identifiers, a chunk each",
                &[(0, "", "f", "{\"a\":\"}\"}"), (0, "", "f", "{}"), (NO_INDEX, "", "f", "{}")],
                &[(0, "", "f"), (1, "", "f"), (2, "", "f")],
            ),
            (
                "an identifier that comes after the name",
                &[(0, "", "f", ""), (0, "a", "", "1")],
                &[(0, "", "f"), (0, "", "")],
            ),
            (
                "an index that does not begin at none, and a name that comes late",
                &[(1, "a", "", ""), (1, "", "f", ""), (4, "b", "g", "")],
                &[(0, "a", ""), (0, "", "f"), (1, "b", "g")],
            ),
        ];
        for (why, fragments, expected) in rows {
            for (told, (index, id, name)) in placed(fragments).into_iter().zip(*expected) {
                let (told_id, told_name) = (told.1.unwrap_or_default(), told.2.unwrap_or_default());
                assert_eq!((told.0, &*told_id, &*told_name), (*index, *id, *name), "{why}");
            }
        }
    }

    #[test]
    fn who_made_calls_has_not_just_stopped() {
        let mut calls = Calls::default();
        assert_eq!(
            calls.place(Event::Finish(FinishReason::Stop)),
            Event::Finish(FinishReason::Stop)
        );
        calls.add(WholeCall::default());
        let finish = calls.place(Event::Finish(FinishReason::Stop));
        assert_eq!(finish, Event::Finish(FinishReason::ToolCalls));
        let finish = calls.place(Event::Finish(FinishReason::Length));
        assert_eq!(finish, Event::Finish(FinishReason::Length));
    }

    #[test]
    fn calls_are_bounded() {
        let mut calls = Calls::default();
        let mut place = || match calls.add(WholeCall::default()) {
            Event::ToolCall(call) => call.index as usize,
            other => panic!("{other:?} is no call"),
        };
        assert_eq!((place(), place()), (0, 1));
        for _ in 0..2 * TOOL_CALLS_MAX {
            place();
        }
        assert_eq!(place(), TOOL_CALLS_MAX - 1);
    }
}
