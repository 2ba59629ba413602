use super::*;
use crate::json::{Malformed, Reader};

/// The texts named `text` and `pad` of an object, and the number named `nr`.
type Read<'a> = (Text<'a>, Option<Text<'a>>, Option<Number<'a>>);

fn texts(object: &[u8]) -> Result<Read<'_>, Malformed> {
    let (mut text, mut padding, mut number) = (None, None, None);
    let mut reader = Reader::new(object)?;
    reader.object(|value, name| {
        match name {
            "text" => text = value.text_or_skip()?,
            "pad" => padding = value.text_or_skip()?,
            "nr" => number = value.number_or_skip()?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    Ok((text.expect("an object with a text"), padding, number))
}

fn shape_of(object: &str) -> Shape {
    let mut shape = Shape::default();
    let (text, padding, number) = texts(object.as_bytes()).unwrap();
    shape.learn(object.as_bytes(), text, padding, number);
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
    assert!(before.recognise(br#"{"pad":"abc","text":"two"}"#).is_some());
}

/// Each row: an object, and the text recognised in it.
#[test]
fn a_number_may_count_the_objects() {
    let rows = [
        (r#"{"nr":10,"text":"two"}"#, Some("two")),
        (r#"{"nr":0,"text":"two"}"#, Some("two")),
        (r#"{"nr":99999999999999999999,"text":"two"}"#, Some("two")),
        (r#"{"nr":010,"text":"two"}"#, None),
        (r#"{"nr":-1,"text":"two"}"#, None),
        (r#"{"nr":1.5,"text":"two"}"#, None),
        (r#"{"nr":1e5,"text":"two"}"#, None),
        (r#"{"nr":,"text":"two"}"#, None),
        (r#"{"nr":"9","text":"two"}"#, None),
    ];
    for (object, expected) in rows {
        let found = shape_of(r#"{"nr":9,"text":"one"}"#);
        let found = found.recognise(object.as_bytes()).map(Text::into_cow);
        assert_eq!(found.as_deref(), expected, "{object}");
    }
    let behind = shape_of(r#"{"text":"one","nr":9,"pad":""}"#);
    assert!(behind.recognise(br#"{"text":"two","nr":10,"pad":"x"}"#).is_some());
    let odd = shape_of(r#"{"nr":-9,"text":"one"}"#);
    assert!(odd.recognise(br#"{"nr":-9,"text":"two"}"#).is_some());
    assert!(odd.recognise(br#"{"nr":-8,"text":"two"}"#).is_none());
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
    let learned = r#"{"a":{"b":"c"},"nr":12,"text":"one \n two","d":"e","pad":"\"x"}"#;
    let shape = shape_of(learned);
    let mut object = learned.as_bytes().to_vec();
    let mut recognised = 0;
    for at in 0..object.len() {
        let byte = object[at];
        for other in 0..=255 {
            object[at] = other;
            if let Some(found) = shape.recognise(&object) {
                let (read, _, _) = texts(&object).expect("a good object");
                assert_eq!(found.into_cow(), read.into_cow());
                recognised += 1;
            }
        }
        object[at] = byte;
    }
    assert!(recognised > 1_000, "{recognised}");
}
