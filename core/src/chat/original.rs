//! A client's request as it was written, and which of its messages were edited since.

use std::ops::Range;
use std::sync::Arc;

use super::{ChatRequest, Message};

/// A client's request. A provider of the same protocol is sent this body: only those fields are
/// replaced that must be, and only edited messages are written anew, so that fields we do not model
/// survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// The JSON body, in the client's protocol.
    pub body: Arc<[u8]>,
    /// The headers beside it that belong to the protocol, by lower-case name.
    pub headers: Vec<(&'static str, String)>,
    /// How many answers it asks for.
    pub(crate) copies: u32,
    /// Where each of [`ChatRequest::messages`] is; messages beyond are not in the body.
    places: Vec<Place>,
}

/// Where in the body a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a field of its own, such as `system`.
    Field(&'static str),
    /// In these elements of the list of messages. Several messages may be in one element.
    Elements(Range<usize>),
    /// Nowhere: it was inserted, replaced or appended.
    Edited,
}

/// A stretch of an edited conversation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece<'a> {
    /// The message in this field of the body.
    Field(&'static str),
    /// Elements of the body's list of messages, as they are.
    Kept(Range<usize>),
    /// Messages to be written.
    Written(&'a [Message]),
}

impl Original {
    /// A body without headers, with the place of each of its messages.
    pub(crate) fn new(body: &[u8], places: Vec<Place>) -> Self {
        Self { body: body.into(), headers: Vec::new(), copies: 1, places }
    }

    /// The conversation in the order of its messages; `None` where nothing was edited.
    pub(crate) fn pieces<'a>(&self, messages: &'a [Message]) -> Option<Vec<Piece<'a>>> {
        if messages.len() == self.places.len() && !self.places.contains(&Place::Edited) {
            return None;
        }
        let mut pieces = Vec::new();
        for index in 0..messages.len() {
            match (self.places.get(index).unwrap_or(&Place::Edited), pieces.last_mut()) {
                (Place::Field(name), _) => pieces.push(Piece::Field(name)),
                (Place::Elements(range), Some(Piece::Kept(last))) if range.start <= last.end => {
                    last.end = last.end.max(range.end);
                }
                (Place::Elements(range), _) => pieces.push(Piece::Kept(range.clone())),
                (Place::Edited, Some(Piece::Written(last))) => {
                    *last = &messages[index - last.len()..=index];
                }
                (Place::Edited, _) => pieces.push(Piece::Written(&messages[index..=index])),
            }
        }
        Some(pieces)
    }

    /// The first index from `index` on at which a message can be inserted: not within an element.
    fn boundary(&self, index: usize) -> usize {
        let is_within = |index: &usize| {
            *index > 0
                && matches!(self.places.get(*index), Some(place @ Place::Elements(_))
                    if self.places[*index - 1] == *place)
        };
        (index..).find(|index| !is_within(index)).unwrap_or(index)
    }

    /// Notes that the message at `index` is another; those that share its element are then written
    /// anew too.
    fn replaced(&mut self, index: usize) {
        let Some(place) = self.places.get(index).cloned() else { return };
        for other in &mut self.places {
            if *other == place {
                *other = Place::Edited;
            }
        }
    }
}

impl ChatRequest {
    /// Inserts a message before the one at `index`. Where both sides of it are in one element of the
    /// original's list, such as a tool's result and the text beside it, it comes after that.
    pub fn insert(&mut self, index: usize, message: Message) {
        let Some(original) = &mut self.original else {
            return self.messages.insert(index, message);
        };
        let index = original.boundary(index);
        self.messages.insert(index, message);
        original.places.insert(index.min(original.places.len()), Place::Edited);
    }

    /// Inserts a message before the last one.
    pub fn insert_before_last(&mut self, message: Message) {
        self.insert(self.messages.len().saturating_sub(1), message);
    }

    /// Puts a message in the place of the one at `index`.
    pub fn replace(&mut self, index: usize, message: Message) {
        self.messages[index] = message;
        if let Some(original) = &mut self.original {
            original.replaced(index);
        }
    }

    /// Puts one message in the place of several.
    pub(crate) fn join(&mut self, range: Range<usize>, message: Message) {
        let (first, rest) = (range.start, range.start + 1..range.end);
        self.replace(first, message);
        self.messages.drain(rest.clone());
        if let Some(original) = &mut self.original {
            let known = original.places.len();
            original.places.drain(rest.start.min(known)..rest.end.min(known));
        }
    }

    /// Adds a message at the end.
    pub fn append(&mut self, message: Message) {
        self.messages.push(message);
        if let Some(original) = &mut self.original {
            original.places.push(Place::Edited);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    fn text(text: &str) -> Message {
        Message::text(Role::User, text)
    }

    /// A message in a field, two in elements of their own, and two that share one.
    fn request() -> ChatRequest {
        let places = vec![
            Place::Field("system"),
            Place::Elements(0..1),
            Place::Elements(1..3),
            Place::Elements(3..4),
            Place::Elements(3..4),
        ];
        let messages = ["s", "a", "b", "c", "d"].map(text).to_vec();
        let original = Some(Original::new(b"{}", places));
        ChatRequest { messages, original, ..ChatRequest::default() }
    }

    #[track_caller]
    fn check(request: &ChatRequest, expected: &[Piece<'_>]) {
        let original = request.original.as_ref().unwrap();
        assert_eq!(original.pieces(&request.messages).unwrap(), expected);
    }

    #[test]
    fn without_edits_there_are_no_pieces() {
        let request = request();
        assert_eq!(request.original.unwrap().pieces(&request.messages), None);
    }

    #[test]
    fn edits_leave_the_rest_where_it_is() {
        let (x, y) = (text("x"), text("y"));
        let (kept, field) = (Piece::Kept, Piece::Field("system"));

        let mut edited = request();
        edited.append(x.clone());
        edited.append(y.clone());
        check(&edited, &[field.clone(), kept(0..4), Piece::Written(&[x.clone(), y.clone()])]);

        let mut edited = request();
        edited.insert(2, x.clone());
        edited.insert(0, y.clone());
        let (x, y) = (&[x][..], &[y][..]);
        let written = Piece::Written;
        check(&edited, &[written(y), field.clone(), kept(0..1), written(x), kept(1..4)]);

        let mut edited = request();
        edited.replace(0, x[0].clone());
        edited.replace(2, y[0].clone());
        check(&edited, &[written(x), kept(0..1), written(y), kept(3..4)]);

        let mut pushed = request();
        pushed.messages.push(x[0].clone());
        check(&pushed, &[field, kept(0..4), written(x)]);
    }

    #[test]
    fn an_element_is_not_torn() {
        let mut edited = request();
        edited.insert_before_last(text("x"));
        assert_eq!(edited.messages, ["s", "a", "b", "c", "d", "x"].map(text));
        let field = Piece::Field("system");
        check(&edited, &[field.clone(), Piece::Kept(0..4), Piece::Written(&[text("x")])]);

        let mut edited = request();
        edited.replace(4, text("x"));
        let written = ["c", "x"].map(text);
        check(&edited, &[field, Piece::Kept(0..3), Piece::Written(&written)]);
    }

    #[test]
    fn joined_messages_leave_their_places() {
        let mut edited = request();
        edited.join(0..2, text("x"));
        assert_eq!(edited.messages, ["x", "b", "c", "d"].map(text));
        check(&edited, &[Piece::Written(&[text("x")]), Piece::Kept(1..4)]);
        edited.join(1..4, text("y"));
        let written = ["x", "y"].map(text);
        check(&edited, &[Piece::Written(&written)]);
    }

    #[test]
    fn edits_need_no_original() {
        let mut request = ChatRequest { messages: vec![text("a")], ..ChatRequest::default() };
        request.insert_before_last(text("x"));
        request.replace(1, text("b"));
        request.append(text("c"));
        assert_eq!(request.messages, ["x", "b", "c"].map(text));
    }
}
