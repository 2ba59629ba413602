//! A client's own request body with some of its top-level fields replaced. What we do not model,
//! and the form of the rest, stays as the client wrote it.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use crate::json::{self, Reader};

/// The fields of a JSON object, each value as the text it was written in.
pub(super) struct Body<'a>(pub(super) Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// What a list is put together from.
pub(super) enum Stretch {
    /// Elements that are there; those beyond the last are none.
    Kept(Range<usize>),
    /// New elements.
    New(Vec<Value>),
}

/// The fields of tools, and those that choose among them.
const TOOLS: [(&str, &[&str]); 2] =
    [("tools", &["tool_choice", "parallel_tool_calls"]), ("functions", &["function_call"])];

impl<'a> Body<'a> {
    /// The fields of `body`, which a protocol's `parse_request` took.
    pub(super) fn read(body: &'a [u8]) -> Self {
        Self::try_read(body).expect("the body was read before")
    }

    /// The fields of `body`; `None` if it is no object.
    pub(super) fn try_read(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body).ok()?;
        let mut fields = Vec::new();
        let read = reader.members(|value, name| {
            fields.push((name.into_cow(), value.raw()?.into()));
            Ok(())
        });
        read.and_then(|()| reader.end()).ok().map(|()| Self(fields))
    }

    /// A field as it was written.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_ref())
    }

    /// Takes a field out.
    pub(super) fn remove(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let place = self.0.iter().position(|(field, _)| field == name)?;
        Some(self.0.remove(place).1)
    }

    /// Removes fields without effect that some servers reject: nulls, empty lists of tools, and a
    /// choice among tools where there are none.
    pub(super) fn remove_empty(&mut self) {
        self.0.retain(|(_, text)| text != "null");
        let is_empty = |text: &str| {
            matches!(text.as_bytes(), [b'[', .., b']']) && text[1..text.len() - 1].trim().is_empty()
        };
        for (tools, choices) in TOOLS {
            if self.get(tools).is_none_or(is_empty) {
                self.remove(tools);
                choices.iter().for_each(|choice| drop(self.remove(choice)));
            }
        }
    }

    /// Takes out a field, or one of an object in a field: `reasoning.effort`.
    pub(super) fn remove_at(&mut self, path: &'static str) {
        let Some((outer, inner)) = path.split_once('.') else { return drop(self.remove(path)) };
        let Some(text) = self.get(outer).filter(|text| text.starts_with('{')) else { return };
        let text = {
            let mut object = Body::read(text.as_bytes());
            object.remove_at(inner);
            object.text()
        };
        self.set_text(outer, text);
    }

    /// The text of a field, or of one of an object in a field.
    pub(super) fn get_at(&self, path: &str) -> Option<String> {
        let Some((outer, inner)) = path.split_once('.') else {
            return self.get(path).map(str::to_owned);
        };
        let text = self.get(outer).filter(|text| text.starts_with('{'))?;
        Body::read(text.as_bytes()).get_at(inner)
    }

    /// The values of the fields of these names.
    pub(super) fn take(
        self,
        names: &'static [&'static str],
    ) -> impl Iterator<Item = (String, Value)> {
        self.0
            .into_iter()
            .filter(|(name, _)| names.contains(&name.as_ref()))
            .filter_map(|(name, text)| Some((name.into_owned(), json::read(&text).ok()?)))
    }

    /// Sets a field, in the place of the one of that name or last.
    pub(super) fn set(&mut self, name: &'static str, value: &Value) {
        self.set_text(name, value.to_string());
    }

    /// Sets a field of the object at `name`, which is made if it is not there.
    pub(super) fn set_in(&mut self, name: &'static str, inner: &'static str, value: &Value) {
        let object = self.0.iter().find(|(field, _)| field == name).map(|(_, text)| text);
        let mut object = match object {
            Some(text) if text.starts_with('{') => Body::read(text.as_bytes()),
            _ => Body(Vec::new()),
        };
        object.set(inner, value);
        let text = object.text();
        self.set_text(name, text);
    }

    /// Sets a field to a value that is text already.
    pub(super) fn set_text(&mut self, name: &'static str, text: String) {
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = text.into(),
            None => self.0.push((name.into(), text.into())),
        }
    }

    /// Puts the list at `name` together from stretches of its elements, which stay as they were
    /// written, and new ones.
    pub(super) fn set_list(&mut self, name: &'static str, stretches: &[Stretch]) {
        let old = self.get(name).unwrap_or("[]");
        let elements = elements(old).unwrap_or_default();
        let mut list = String::with_capacity(old.len());
        for stretch in stretches {
            match stretch {
                Stretch::Kept(range) => {
                    let kept =
                        &elements[range.start.min(elements.len())..range.end.min(elements.len())];
                    if let [first, ..] = kept {
                        separate(&mut list);
                        list.push_str(text_between(old, first, kept[kept.len() - 1]));
                    }
                }
                Stretch::New(values) => {
                    for value in values {
                        separate(&mut list);
                        list.push_str(&value.to_string());
                    }
                }
            }
        }
        self.set_text(name, format!("[{list}]"));
    }

    /// Changes the objects in the list at `name`. Whether `edit` changed one.
    pub(super) fn edit_list(
        &mut self,
        name: &'static str,
        mut edit: impl FnMut(&mut Body<'_>) -> bool,
    ) -> bool {
        let list = self.get(name).unwrap_or_default();
        let Some(elements) = elements(list) else { return false };
        let mut changed = false;
        let edited = elements.iter().map(|element| {
            let Some(mut object) = Body::try_read(element.as_bytes()) else {
                return (*element).to_owned();
            };
            if !edit(&mut object) {
                return (*element).to_owned();
            }
            changed = true;
            object.text()
        });
        let list = edited.collect::<Vec<_>>().join(",");
        self.set_text(name, format!("[{list}]"));
        changed
    }

    /// The object's text.
    pub(super) fn text(&self) -> String {
        let bytes: usize = self.0.iter().map(|(name, text)| name.len() + text.len() + 4).sum();
        let mut out = String::with_capacity(bytes + 2);
        for (name, text) in &self.0 {
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push_str(&Value::from(name.as_ref()).to_string());
            out.push(':');
            out.push_str(text);
        }
        out.push_str(if out.is_empty() { "{}" } else { "}" });
        out
    }
}

fn separate(list: &mut String) {
    if !list.is_empty() {
        list.push(',');
    }
}

/// The part of `text` from one value in it to the end of another.
fn text_between<'a>(text: &'a str, first: &str, last: &str) -> &'a str {
    let offset = |value: &str| value.as_ptr() as usize - text.as_ptr() as usize;
    &text[offset(first)..offset(last) + last.len()]
}

/// The elements of a list as they are written; `None` if it is no list.
pub(super) fn elements(list: &str) -> Option<Vec<&str>> {
    let mut reader = Reader::new(list.as_bytes()).ok()?;
    let mut elements = Vec::new();
    let read = reader.list(|element| {
        elements.push(element.raw()?);
        Ok(())
    });
    read.ok().map(|()| elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_replaced_stays_as_it_was_written() {
        let written = br#" {"big": 12345678901234567890.50, "a\"b" : [1, {"x":2}], "model":"m", "o": {"k": 1}, "l":[ 1 ] } "#;
        let mut body = Body::read(written);
        body.set("model", &json!("n"));
        body.set("stream", &json!(true));
        body.set_in("o", "j", &json!(2));
        body.set_in("p", "q", &json!(null));
        body.set_list("l", &[Stretch::Kept(0..9), Stretch::New(vec![json!({"y": 1}), json!(3)])]);
        assert_eq!(
            body.text(),
            r#"{"big":12345678901234567890.50,"a\"b":[1, {"x":2}],"model":"n","o":{"k":1,"j":2},"l":[1,{"y":1},3],"stream":true,"p":{"q":null}}"#
        );
        body.set_list("a\"b", &[Stretch::New(vec![]), Stretch::Kept(1..2), Stretch::Kept(0..2)]);
        assert_eq!(body.get("a\"b"), Some(r#"[{"x":2},1, {"x":2}]"#));
        body.set_list("new", &[Stretch::Kept(0..1), Stretch::New(vec![json!(1)])]);
        assert_eq!(body.get("new"), Some("[1]"));
        assert_eq!(body.remove("big").as_deref(), Some("12345678901234567890.50"));
        assert_eq!(body.remove("big"), None);
        assert_eq!(Body::read(b"{}").text(), "{}");
    }

    #[test]
    fn what_says_nothing_is_taken_out() {
        let rows = [
            (r#"{"stop":null,"a":{"b":null}}"#, r#"{"a":{"b":null}}"#),
            (r#"{"tools":[ ],"tool_choice":"auto","parallel_tool_calls":true}"#, "{}"),
            (r#"{"tool_choice":"none"}"#, "{}"),
            (r#"{"tools":[{}],"tool_choice":"auto"}"#, r#"{"tools":[{}],"tool_choice":"auto"}"#),
            (
                r#"{"functions":[{}],"function_call":"f"}"#,
                r#"{"functions":[{}],"function_call":"f"}"#,
            ),
            (r#"{"functions":null,"function_call":"auto"}"#, "{}"),
        ];
        for (written, expected) in rows {
            let mut body = Body::read(written.as_bytes());
            body.remove_empty();
            assert_eq!(body.text(), expected);
        }
    }

    #[test]
    fn a_field_is_taken_out_of_an_object() {
        let mut body = Body::read(br#"{"a":1.0,"o":{"b": 2,"c":{"d":3}},"s":"x"}"#);
        for path in ["a", "o.b", "o.c.d", "s.x", "none.x", "o.none"] {
            body.remove_at(path);
        }
        assert_eq!(body.text(), r#"{"o":{"c":{}},"s":"x"}"#);
    }
}
