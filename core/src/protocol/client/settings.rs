//! The settings of a client's own body that make an answer longer or more numerous, by whichever
//! name a server reads them and however deep they are: none of them may escape a limit.

use crate::chat::ChatRequest;
use crate::protocol::body::Body;

/// The length of an answer, beside the names in the protocols: `n_predict` of llama-server,
/// `num_predict` of Ollama, `max_new_tokens` of TGI, SGLang and LMDeploy, `max_length` of
/// transformers, `max_gen_len` of Llama and `maxTokenCount` of Titan at Bedrock,
/// `max_tokens_to_sample` of Anthropic's completions, `max_decode_steps` of PaLM,
/// `tokens_to_generate` of NeMo, `min_tokens` of vLLM. Written as [`plain`] has them.
const LENGTHS: &[&str] = &[
    "maxcompletiontokens",
    "maxdecodesteps",
    "maxgeneratedtokens",
    "maxgenlen",
    "maxlength",
    "maxnewtokens",
    "maxoutputtokens",
    "maxresponsetokens",
    "maxtokencount",
    "maxtokens",
    "maxtokenstosample",
    "minlength",
    "minnewtokens",
    "mintokens",
    "npredict",
    "numpredict",
    "tokenstogenerate",
];

/// The length of the reasoning before it, which some count apart: `thinking_budget` of Qwen and
/// Gemini, `budget_tokens` of Anthropic, `reasoning_budget` of llama-server,
/// `thinking_token_budget` of vLLM.
const BUDGETS: &[&str] = &[
    "budgettokens",
    "maxreasoningtokens",
    "maxthinkingtokens",
    "reasoningbudget",
    "reasoningmaxtokens",
    "reasoningtokens",
    "thinkingbudget",
    "thinkingbudgettokens",
    "thinkingtokenbudget",
];

/// How many answers are written to one request.
const COPIES: &[&str] = &[
    "bestof",
    "candidatecount",
    "n",
    "ncmpl",
    "numberofcandidates",
    "numcompletions",
    "numgenerations",
    "numreturnsequences",
];

/// Where the conversation and the schemas are: names in these are no settings.
const CONTENT: &[&str] = &[
    "chattemplate",
    "content",
    "contents",
    "documents",
    "functions",
    "guidedjson",
    "input",
    "jsonschema",
    "messages",
    "metadata",
    "outputconfig",
    "outputformat",
    "prediction",
    "prompt",
    "responseformat",
    "responsejsonschema",
    "responseschema",
    "schema",
    "structuredoutputs",
    "system",
    "systeminstruction",
    "text",
    "toolchoice",
    "tools",
];

/// The longest name in the tables, in bytes.
const NAME_BYTES_MAX: usize = 32;

impl Body<'_> {
    /// Takes out every length that is not within this one, so that whichever field a server reads
    /// is.
    pub(in crate::protocol) fn bound_lengths(&mut self, tokens_max: u32) {
        self.retain(&mut |name, value| match name {
            name if LENGTHS.contains(&name) => is_within(value, tokens_max),
            // An answer follows the reasoning.
            name if BUDGETS.contains(&name) => value == "0" || is_within(value, tokens_max - 1),
            _ => true,
        });
    }

    /// Takes out every number of answers that is more than this, or none. Returns the largest that
    /// is left, and whether one was taken out.
    fn bound_copies(&mut self, copies_max: u32) -> (u32, bool) {
        let mut copies = 1;
        let is_changed = self.retain(&mut |name, value| {
            if !COPIES.contains(&name) || value == "null" {
                return true;
            }
            let is_within = is_within(value, copies_max);
            copies = value.parse().ok().filter(|_| is_within).unwrap_or(copies).max(copies);
            is_within
        });
        (copies, is_changed)
    }

    /// Keeps the settings, at any depth, of whose name and value this is true. Returns whether one
    /// was taken out.
    fn retain(&mut self, keeps: &mut dyn FnMut(&str, &str) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|(name, value)| keeps(&plain(name), value));
        let mut is_changed = self.0.len() != before;
        for (name, value) in &mut self.0 {
            if !value.starts_with('{') || CONTENT.contains(&plain(name).as_str()) {
                continue;
            }
            let mut inner = Body::read(value.as_bytes());
            let new = inner.retain(keeps).then(|| inner.text());
            if let Some(new) = new {
                *value = new.into();
                is_changed = true;
            }
        }
        is_changed
    }
}

/// Bounds how many answers a request asks for, so that all of them together may have `tokens_max`
/// tokens; notes how many are left.
pub(crate) fn bound_copies(request: &mut ChatRequest, tokens_max: Option<u32>) {
    let Some(original) = &mut request.original else { return };
    let mut body = Body::read(&original.body);
    let (copies, is_changed) = body.bound_copies(tokens_max.unwrap_or(u32::MAX));
    let text = is_changed.then(|| body.text());
    if let Some(text) = text {
        original.body = text.into_bytes().into();
    }
    original.copies = copies;
}

fn is_within(value: &str, max: u32) -> bool {
    value.parse::<u32>().is_ok_and(|number| (1..=max).contains(&number))
}

/// A name as it is compared: servers disagree on case and underscores.
fn plain(name: &str) -> String {
    if name.len() > NAME_BYTES_MAX {
        return String::new();
    }
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-'));
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Original;

    /// Each row: a body, and what is left of it under a limit of 50 tokens.
    #[test]
    fn no_length_escapes_the_limit() {
        let rows = [
            (r#"{"n_predict":60000}"#, "{}"),
            (r#"{"n_predict":-1,"num_predict":40.5,"max_length":"9"}"#, "{}"),
            (
                r#"{"max_new_tokens":20,"min_tokens":50}"#,
                r#"{"max_new_tokens":20,"min_tokens":50}"#,
            ),
            (r#"{"max_tokens_to_sample":null,"top_a":60000}"#, r#"{"top_a":60000}"#),
            (r#"{"max_tokens":50,"max_tokens":51,"Max_Tokens":52}"#, r#"{"max_tokens":50}"#),
            (r#"{"max\u005ftokens":51}"#, "{}"),
            (r#"{"options":{"num_predict":-1,"seed":7}}"#, r#"{"options":{"seed":7}}"#),
            (r#"{"options": {"num_predict": 50}}"#, r#"{"options":{"num_predict": 50}}"#),
            (r#"{"generationConfig":{"maxOutputTokens":51}}"#, r#"{"generationConfig":{}}"#),
            (
                r#"{"extra_body":{"google":{"thinking_config":{"thinking_budget":50}},"k":1}}"#,
                r#"{"extra_body":{"google":{"thinking_config":{}},"k":1}}"#,
            ),
            (r#"{"thinking_budget":49,"reasoning_budget":-1}"#, r#"{"thinking_budget":49}"#),
            (r#"{"chat_template_kwargs":{"thinking_budget":0}}"#, {
                r#"{"chat_template_kwargs":{"thinking_budget":0}}"#
            }),
            (r#"{"reasoning":{"max_tokens":99,"effort":"low"}}"#, {
                r#"{"reasoning":{"effort":"low"}}"#
            }),
            (r#"{"sampling_params":{"max_new_tokens":99}}"#, r#"{"sampling_params":{}}"#),
            // What looks like a setting in a schema or a text is none.
            (
                r#"{"response_format":{"schema":{"max_tokens":99}},"tools":[{"max_tokens":99}]}"#,
                r#"{"response_format":{"schema":{"max_tokens":99}},"tools":[{"max_tokens":99}]}"#,
            ),
        ];
        for (written, expected) in rows {
            let mut body = Body::read(written.as_bytes());
            body.bound_lengths(50);
            assert_eq!(body.text(), expected, "{written}");
        }
    }

    /// Each row: a body, what is left of it where all answers may have 50 tokens, and how many.
    #[test]
    fn no_number_of_answers_escapes_the_limit() {
        let rows = [
            ("{}", "{}", 1),
            (r#"{"n":3, "best_of":5}"#, r#"{"n":3, "best_of":5}"#, 5),
            (r#"{"n":null}"#, r#"{"n":null}"#, 1),
            (r#"{"n":51}"#, "{}", 1),
            (r#"{"n":"7","best_of":2.5,"N":0}"#, "{}", 1),
            (r#"{"n":2,"n":99}"#, r#"{"n":2}"#, 2),
            (
                r#"{"generation_config":{"candidateCount":8,"k":1}}"#,
                { r#"{"generation_config":{"candidateCount":8,"k":1}}"# },
                8,
            ),
            (r#"{"extra_body":{"n":100}}"#, r#"{"extra_body":{}}"#, 1),
            (r#"{"metadata":{"n":100}}"#, r#"{"metadata":{"n":100}}"#, 1),
        ];
        for (written, expected, copies) in rows {
            let original = Some(Original::new(written.as_bytes(), Vec::new()));
            let mut request = ChatRequest { original, ..ChatRequest::default() };
            bound_copies(&mut request, Some(50));
            let original = request.original.unwrap();
            assert_eq!(std::str::from_utf8(&original.body), Ok(expected));
            assert_eq!(original.copies, copies, "{written}");
        }
    }

    #[test]
    fn the_tables_are_in_order_and_plain() {
        for table in [LENGTHS, BUDGETS, COPIES, CONTENT] {
            assert!(table.is_sorted());
            assert!(table.iter().all(|name| plain(name) == *name));
        }
    }
}
