//! The reader beside `serde_json`: both take the same texts and find the same in them.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::*;

fn skips(bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes)?;
    reader.skip()?;
    reader.end()
}

/// What the reader finds, built.
fn built(bytes: &[u8]) -> Result<Value, Malformed> {
    let mut reader = Reader::new(bytes)?;
    let value = build(&mut reader)?;
    reader.end()?;
    Ok(value)
}

fn build(reader: &mut Reader<'_>) -> Result<Value, Malformed> {
    match reader.peek() {
        Some(b'{') => {
            let mut members = serde_json::Map::new();
            reader.object(|reader, name| {
                members.insert(name.to_owned(), build(reader)?);
                Ok(())
            })?;
            Ok(Value::Object(members))
        }
        Some(b'[') => {
            let mut list = Vec::new();
            reader.list(|reader| {
                list.push(build(reader)?);
                Ok(())
            })?;
            Ok(Value::Array(list))
        }
        Some(b'"') => {
            let text = reader.text()?.expect("a string is a text");
            Ok(text.decode(&mut String::new()).into())
        }
        _ => {
            let mut number = reader.clone();
            let raw = reader.raw()?;
            match number.place()? {
                Some(number) => Ok(number.into()),
                // A number may be well-formed and too large for `serde_json`.
                None => serde_json::from_str(raw).map_err(|_| reader.expected("less")),
            }
        }
    }
}

/// Holds the reader against `serde_json`, and against itself where `serde_json` is laxer: it skips
/// strings without a look whether they are UTF-8.
fn compare(bytes: &[u8]) {
    let shown = String::from_utf8_lossy(bytes);
    let theirs = str::from_utf8(bytes).is_ok_and(|t| serde_json::from_str::<IgnoredAny>(t).is_ok());
    assert_eq!(skips(bytes).is_ok(), theirs, "{shown}");
    let (ours, theirs) = (built(bytes).ok(), serde_json::from_slice::<Value>(bytes).ok());
    assert_eq!(ours, theirs, "{shown}");
}

const TEXTS: [&str; 16] = [
    r#"{"id":"chatcmpl-B9MH","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":" a"},"logprobs":null,"finish_reason":null}]}"#,
    r#"{"choices":[{"delta":{"content":"a\n\"b\" \ud83d\ude00\u00fc\\"}}],"usage":{"prompt_tokens":1,"total_tokens":4294967295}}"#,
    " { \"a\" : [ 1 , -2.5e-3 , true , false , null , \"\" ] ,\r\n\t\"b\" : { } , \"c\" : [ ] } \n",
    r#"{"a":1,"a":2,"\u0061":3,"b":{"a":[[[{}]]]}}"#,
    r#"["über 狗 😀","\b\f\n\r\t\/","exactly","a longer text than two words\"of eight bytes"]"#,
    "[0,-0.0,10,0.5,1e5,1E+5,12.5e-2,4294967296]",
    r#""text""#,
    "true",
    "null",
    "-1",
    "\u{feff}{}",
    "01",
    "[1,]",
    "{\"a\":1,}",
    "\"tab\there\"",
    "\"\u{7f}\u{80}\"",
];

#[test]
fn takes_what_serde_json_takes() {
    for text in TEXTS {
        compare(text.as_bytes());
    }
    assert!(skips(TEXTS[0].as_bytes()).is_ok());
}

#[test]
fn no_beginning_of_a_text_is_a_text() {
    for text in TEXTS {
        for end in 0..text.len() {
            compare(&text.as_bytes()[..end]);
        }
    }
    let object = TEXTS[0].as_bytes();
    assert!((0..object.len()).all(|end| skips(&object[..end]).is_err()));
}

#[test]
fn any_byte_may_be_another() {
    for text in TEXTS {
        let mut bytes = text.as_bytes().to_vec();
        for at in 0..bytes.len() {
            let byte = bytes[at];
            for other in 0..=255 {
                bytes[at] = other;
                compare(&bytes);
            }
            bytes[at] = byte;
        }
    }
}

/// Every text of up to five of these pieces.
#[test]
fn exhaustive_small_texts() {
    let pieces = ["{", "}", "[", "]", "\"", ":", ",", "0", "1", "-", ".", "e", " ", "\\", "null"];
    let mut texts = vec![String::new()];
    for _ in 0..5 {
        let longer = texts.iter().flat_map(|text| pieces.map(|piece| format!("{text}{piece}")));
        texts = longer.collect();
        texts.iter().for_each(|text| compare(text.as_bytes()));
    }
}

/// Every string of up to four of these pieces.
#[test]
fn exhaustive_small_strings() {
    let pieces = [
        "a", "é", "\\n", "\\\"", "\\", "\\u", "0041", "\\u0000", "\\ud7ff", "\\ud800", "\\uDBFF",
        "\\udc00", "\\udfff", "\\ue000", "\\uffff", "\\x", "\u{1f}", "\u{7f}",
    ];
    let mut texts = vec![String::new()];
    for _ in 0..4 {
        let longer = texts.iter().flat_map(|text| pieces.map(|piece| format!("{text}{piece}")));
        texts = longer.collect();
        for text in &texts {
            compare(format!("\"{text}\"").as_bytes());
            compare(format!("{{\"{text}\":0}}").as_bytes());
        }
    }
}

/// A byte that ends or bends a string is found wherever it lies among plain ones.
#[test]
fn every_place_of_every_byte() {
    for length in 0..40 {
        for at in 0..length {
            for byte in 0..=255 {
                let mut text = vec![b'x'; length];
                text[at] = byte;
                let special = matches!(byte, b'"' | b'\\' | 0..0x20);
                assert_eq!(plain_bytes(&text), if special { at } else { length }, "{byte} at {at}");
            }
        }
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let most = NESTING_MAX as usize;
    assert_eq!(skips(nested(most).as_bytes()), Ok(()));
    let error = skips(nested(most + 1).as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "expected less nesting at byte 128");
    assert!(skips("[{\"a\":".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn says_what_is_wrong_and_where() {
    let rows = [
        ("", "expected a value at byte 0"),
        ("{\"a\" 1}", "expected a colon at byte 5"),
        ("{\"a\":1 \"b\":2}", "expected a comma or the object's end at byte 7"),
        ("[1 2]", "expected a comma or the list's end at byte 3"),
        ("[\"a", "expected the string's end at byte 3"),
        ("[\"a\\x\"]", "expected an escape at byte 3"),
        ("1.x", "expected a digit at byte 2"),
        ("{} {}", "expected the end at byte 3"),
    ];
    for (text, expected) in rows {
        assert_eq!(skips(text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
    }
    assert_eq!(skips(b"\"a\xff\"").unwrap_err().to_string(), "expected UTF-8 at byte 2");
}

#[test]
fn half_a_character_can_be_skipped_but_not_read() {
    let half = br#""\ud83d""#;
    assert_eq!(skips(half), Ok(()));
    assert!(Reader::new(half).unwrap().text().is_err());
    assert!(Reader::new(half).unwrap().text_or_skip().unwrap().is_some());
}
