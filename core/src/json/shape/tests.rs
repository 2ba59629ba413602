use super::*;
use crate::json::{Malformed, Reader};

/// The texts named `text` and `pad` of an object.
fn texts(object: &[u8]) -> Result<(Text<'_>, Option<Text<'_>>), Malformed> {
    let (mut text, mut padding) = (None, None);
    let mut reader = Reader::new(object)?;
    reader.object(|value, name| {
        match name {
            "text" => text = value.text_or_skip()?,
            "pad" => padding = value.text_or_skip()?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    Ok((text.expect("an object with a text"), padding))
}

fn shape_of(object: &str) -> Shape {
    let mut shape = Shape::default();
    let (text, padding) = texts(object.as_bytes()).unwrap();
    shape.learn(object.as_bytes(), text, padding);
    shape
}

/// Each row: an object, and the text recognised in it.
#[test]
fn recognises_what_differs_in_the_text_alone() {
    let shape = shape_of(r#"{"a":1,"text":"one","b":[]}"#);
    let rows = [
        (r#"{"a":1,"text":"one","b":[]}"#, Some("one")),
        (r#"{"a":1,"text":"","b":[]}"#, Some("")),
        (r#"{"a":1,"text":"\n\"\ud83d\ude00 狗","b":[]}"#, Some("\n\"😀 狗")),
        (r#"{"a":2,"text":"one","b":[]}"#, None),
        (r#"{"a":1,"text":"one","b":[0]}"#, None),
        (r#"{"a":1,"text":"one","b":[]} "#, None),
        (r#"{"a":1,"text":"one","text":"two","b":[]}"#, None),
        (r#"{"a":1,"text":"one\","b":[]}"#, None),
        (r#"{"a":1,"text":"\ud83d","b":[]}"#, None),
        (r#"{"a":1,"text":null,"b":[]}"#, None),
        (r#"{"a":1,"text":"one"#, None),
        ("", None),
    ];
    for (object, expected) in rows {
        let found = shape.recognise(object.as_bytes()).map(Text::into_cow);
        assert_eq!(found.as_deref(), expected, "{object}");
    }
}

#[test]
fn padding_may_be_any_text() {
    let shape = shape_of(r#"{"text":"one","c":3,"pad":"xyz"}"#);
    let rows = [
        (r#"{"text":"two","c":3,"pad":""}"#, Some("two")),
        (r#"{"text":"two","c":3,"pad":"\u0041\ud83d"}"#, Some("two")),
        (r#"{"text":"two","c":4,"pad":"xyz"}"#, None),
        (r#"{"text":"two","c":3,"pad":5}"#, None),
        (r#"{"text":"two","c":3,"pad":"a","d":1}"#, None),
    ];
    for (object, expected) in rows {
        let found = shape.recognise(object.as_bytes()).map(Text::into_cow);
        assert_eq!(found.as_deref(), expected, "{object}");
    }
    let before = shape_of(r#"{"pad":"xyz","text":"one"}"#);
    assert!(before.recognise(br#"{"pad":"xyz","text":"two"}"#).is_some());
    assert!(before.recognise(br#"{"pad":"abc","text":"two"}"#).is_none());
}

#[test]
fn nothing_is_recognised_before_anything_was_learned() {
    let empty = Shape::default();
    assert!(["", "\"", "a\"", "{}"].iter().all(|it| empty.recognise(it.as_bytes()).is_none()));
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(OBJECT_BYTES_MAX));
    assert!(shape_of(&long).recognise(long.as_bytes()).is_none());
}

/// Whatever byte of an object is changed: what is recognised is what would have been read.
#[test]
fn recognising_is_reading() {
    let learned = r#"{"a":{"b":"c"},"text":"one \n two","d":"e","pad":"\"x"}"#;
    let shape = shape_of(learned);
    let mut object = learned.as_bytes().to_vec();
    let mut recognised = 0;
    for at in 0..object.len() {
        let byte = object[at];
        for other in 0..=255 {
            object[at] = other;
            if let Some(found) = shape.recognise(&object) {
                let (read, _) = texts(&object).expect("a good object");
                assert_eq!(found.into_cow(), read.into_cow());
                recognised += 1;
            }
        }
        object[at] = byte;
    }
    assert!(recognised > 1_000, "{recognised}");
}
