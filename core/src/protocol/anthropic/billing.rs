//! The line that Claude Code puts before its instructions, for Anthropic's billing. It differs from
//! request to request, so that another provider would find nothing in its cache, and its model would
//! read it (anthropics/claude-code#68900).

use serde_json::Value;

use crate::chat::Part;
use crate::json;
use crate::protocol::Body;

const LINE: &str = "x-anthropic-billing-header:";

/// Instructions without the line.
pub(super) fn without_line(mut parts: Vec<Part>) -> Vec<Part> {
    parts.retain_mut(|part| match part {
        Part::Text(text) if text.starts_with(LINE) => {
            *text = after_line(text).to_owned();
            !text.is_empty()
        }
        _ => true,
    });
    parts
}

/// Takes the line out of a client's own body for a provider that is another.
pub(super) fn remove_line(body: &mut Body<'_>) {
    let system = body.get("system").filter(|system| system.contains(LINE));
    let Some(mut system) = system.and_then(|text| json::read::<Value>(text).ok()) else {
        return;
    };
    let is_left = |text: &mut Value| match text.as_str() {
        Some(said) if said.starts_with(LINE) => {
            *text = after_line(said).into();
            text != ""
        }
        _ => true,
    };
    match &mut system {
        Value::Array(blocks) => blocks.retain_mut(|block| is_left(&mut block["text"])),
        text => {
            is_left(text);
        }
    }
    body.set("system", &system);
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest).trim_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a system as it is written, and what another provider is sent of it.
    #[test]
    fn another_provider_is_not_sent_the_line() {
        let line = "x-anthropic-billing-header: cc_version=2.1.177; cch=36ee5;";
        let rows = [
            (format!(r#""{line}\nBe brief.""#), r#""Be brief.""#.to_owned()),
            (
                format!(
                    r#"[{{"type":"text","text":"{line}"}},{{"type":"text","text":"Be brief."}}]"#
                ),
                r#"[{"text":"Be brief.","type":"text"}]"#.to_owned(),
            ),
            (r#"  "Be brief.""#.trim().to_owned(), r#""Be brief.""#.to_owned()),
        ];
        for (system, expected) in rows {
            let written = format!(r#"{{"system":{system}}}"#);
            let mut body = Body::read(written.as_bytes());
            remove_line(&mut body);
            assert_eq!(body.get("system"), Some(expected.as_str()));
        }
    }
}
