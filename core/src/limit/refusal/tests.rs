use super::*;

const UNKNOWN: StatedLimits = StatedLimits {
    max_output: None,
    context_window: None,
    max_input: None,
    input: None,
    input_min: None,
    source: "",
};

fn output(source: &'static str, max_output: u32) -> Option<StatedLimits> {
    Some(StatedLimits { max_output: Some(max_output), source, ..UNKNOWN })
}

fn window(source: &'static str, input: u32, window: u32) -> Option<StatedLimits> {
    Some(StatedLimits { context_window: Some(window), input: Some(input), source, ..UNKNOWN })
}

fn at_least(source: &'static str, input_min: u32, window: u32) -> Option<StatedLimits> {
    let input_min = Some(input_min);
    Some(StatedLimits { context_window: Some(window), input_min, source, ..UNKNOWN })
}

fn input(source: &'static str, input: Option<u32>, max_input: u32) -> Option<StatedLimits> {
    Some(StatedLimits { max_input: Some(max_input), input, source, ..UNKNOWN })
}

fn overflow(source: &'static str) -> Option<StatedLimits> {
    Some(StatedLimits { source, ..UNKNOWN })
}

/// As providers word them, with the numbers of the places that `texts.tsv` names, or with others.
#[expect(clippy::too_many_lines, reason = "one table")]
fn told() -> Vec<(&'static str, Option<StatedLimits>)> {
    vec![
        (
            "max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens for \
             claude-3-7-sonnet-20250219",
            output("anthropic", 64000),
        ),
        (
            "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease \
             input length or `max_tokens` and try again",
            window("anthropic", 178_959, 200_000),
        ),
        (
            "prompt is too long: 200049 tokens > 200000 maximum",
            window("anthropic", 200_049, 200_000),
        ),
        (
            "The maximum tokens you requested exceeds the model limit of 4096. Try again with a \
             maximum tokens value that is lower than 4096.",
            output("bedrock", 4096),
        ),
        ("Input is too long for requested model.", overflow("bedrock")),
        (
            "Please reduce the length of the messages or completion. Current length is 42328 while \
             limit is 40000",
            window("cerebras", 42328 - 1000, 40000),
        ),
        (
            "too many tokens: total number of tokens (prompt and prediction) cannot exceed 2048 - \
             received 6354. Try using a shorter prompt or a smaller max_tokens value.",
            window("cohere", 5354, 2048),
        ),
        (
            "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
            output("deepseek", 8192),
        ),
        (
            "The prompt is too long: 40177, model maximum context length: 32767",
            window("fireworks", 40177, 32767),
        ),
        (
            "Unable to submit request because it has a maxOutputTokens value of 655360 but the \
             supported range is from 1 (inclusive) to 8193 (exclusive). Update the value and try \
             again.",
            output("gemini", 8192),
        ),
        (
            "The input token count (2845475) exceeds the maximum number of tokens allowed (1048576).",
            input("gemini", Some(2_845_475), 1_048_576),
        ),
        (
            "The input token count exceeds the maximum number of tokens allowed (1048576).",
            input("gemini", None, 1_048_576),
        ),
        (
            "Request body too large for gpt-4o model. Max size: 8000 tokens.",
            input("github", None, 8000),
        ),
        (
            "`max_tokens` must be less than or equal to `16384`, the maximum value for `max_tokens` \
             is less than the `context_window` for this model",
            output("groq", 16384),
        ),
        (
            "max_completion_tokens must be less than or equal to 40960, the maximum value for \
             max_completion_tokens is less than the context_window for this model",
            output("groq", 40960),
        ),
        (
            "max_tokens for `llama-3.1-8b-instant` must be less than or equal to 8000",
            output("groq", 8000),
        ),
        (
            "request (14429 tokens) exceeds the available context size (8192 tokens), try increasing \
             it",
            window("llama-server", 14429, 8192),
        ),
        (
            r#"{"error":{"code":400,"message":"the request exceeds the available context size. try
            increasing the context size or enable context shift","type":"exceed_context_size_error",
            "n_prompt_tokens":14429,"n_ctx":8192}}"#,
            window("llama-server", 14429, 8192),
        ),
        (
            "the request exceeds the available context size. try increasing the context size",
            overflow("llama-server"),
        ),
        (
            "Requested tokens (2285) exceed context window of 2048",
            window("llama-cpp-python", 2285, 2048),
        ),
        ("invalid params, context window exceeds limit (2013)", overflow("minimax")),
        (
            "Prompt contains 161365 tokens and 0 draft tokens, too large for model with 131072 \
             maximum context length",
            window("mistral", 161_365, 131_072),
        ),
        (
            "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)",
            window("moonshot", 268_030, 262_144),
        ),
        (
            "max_tokens is too large: 8000. This model supports at most 4096 completion tokens, \
             whereas you provided 8000.",
            output("openai", 4096),
        ),
        (
            "This model's maximum context length is 131072 tokens. However, you requested 131134 \
             tokens (122942 in the messages, 8192 in the completion). Please reduce the length of \
             the messages or completion.",
            window("openai", 122_942, 131_072),
        ),
        (
            "This model's maximum context length is 4097 tokens. However, you requested 4203 tokens \
             (3000 in the messages, 703 in the functions, and 500 in the completion).",
            window("openai", 3703, 4097),
        ),
        (
            "This model's maximum context length is 4097 tokens, however you requested 4322 tokens \
             (4066 in your prompt; 256 for the completion). Please reduce your prompt; or completion \
             length.",
            window("openai", 4066, 4097),
        ),
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in \
             8227 tokens. Please reduce the length of the messages.",
            window("openai", 8227, 8192),
        ),
        (
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in \
             289650 tokens. Please reduce the length of the messages.",
            input("openai", Some(289_650), 272_000),
        ),
        (
            "Your input exceeds the context window of this model. Please adjust your input and try \
             again.",
            overflow("openai"),
        ),
        (
            "This endpoint's maximum context length is 131072 tokens. However, you requested about \
             138956 tokens (7884 of text input, 131072 in the output). Please reduce the length of \
             either one, or use the \"middle-out\" transform to compress your prompt automatically.",
            window("openrouter", 7884, 131_072),
        ),
        (
            "<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]",
            output("qwen", 8192),
        ),
        (
            "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 204800]",
            input("qwen", None, 204_800),
        ),
        (
            "Requested token count exceeds the model's maximum context length of 32768 tokens. You \
             requested a total of 70000 tokens: 6000 tokens from the input messages and 64000 tokens \
             for the completion.",
            window("sglang", 6000, 32768),
        ),
        (
            "The input (272793 tokens) is longer than the model's context length (262144 tokens).",
            window("sglang", 272_793, 262_144),
        ),
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8192. Given: 6204 \
             `inputs` tokens and 2047 `max_new_tokens`",
            window("tgi", 6204, 8192),
        ),
        (
            "Input validation error: `inputs` must have less than 4096 tokens. Given: 4545",
            window("tgi", 4545, 4096),
        ),
        ("Input validation error: `max_new_tokens` must be <= 192", output("tgi", 192)),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 43148. This model's maximum \
             context length is 65536 tokens and your request has 24632 input tokens (43148 > 65536 - \
             24632).",
            window("vllm", 24632, 65536),
        ),
        (
            "This model's maximum context length is 32768 tokens. However, you requested 32000 output \
             tokens and your prompt contains at least 769 input tokens, for a total of at least 32769 \
             tokens. (parameter=input_tokens, value=769)",
            at_least("vllm", 769, 32768),
        ),
        (
            "You passed 170753 input tokens and requested 32000 output tokens. However, the model's \
             context length is only 202752 tokens, resulting in a maximum input length of 170752 \
             tokens.",
            at_least("vllm", 170_753, 202_752),
        ),
        (
            "The decoder prompt (length 15083) is longer than the maximum model length of 8192. Make \
             sure that `max_model_len` is no smaller than the number of text tokens.",
            window("vllm", 15083, 8192),
        ),
        (
            "max_tokens=32000 cannot be greater than max_model_len=max_total_tokens=28672. Please \
             request fewer output tokens.",
            Some(StatedLimits { context_window: Some(28672), source: "vllm", ..UNKNOWN }),
        ),
        (
            "max_tokens=16384 cannot be greater than max_model_len=8192",
            Some(StatedLimits { context_window: Some(8192), source: "vllm", ..UNKNOWN }),
        ),
        (
            "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
            input("xai", Some(136_973), 131_072),
        ),
        ("Please reduce the length of the messages or completion.", overflow("any")),
        (r#"{"error":{"message":"","code":"context_length_exceeded"}}"#, overflow("any")),
    ]
}

#[test]
fn every_text_is_read_with_its_numbers() {
    for (text, expected) in told() {
        assert_eq!(read(text, Some(1000)), expected, "{text}");
    }
}

#[test]
fn every_row_has_its_text() {
    let unused = rows().filter(|row| {
        let words = plain(row.words);
        !told().iter().any(|(text, told)| {
            told.is_some_and(|told| told.source == row.source)
                && find(&words, &plain(text)).is_some()
        })
    });
    assert_eq!(unused.map(|row| row.words).collect::<Vec<_>>(), Vec::<&str>::new());
    assert_eq!(rows().count(), TEXTS.lines().count());
    assert!(TEXTS.lines().all(|line| line.split('\t').count() == 3), "name, words, where seen");
}

#[test]
fn a_text_is_found_inside_of_another_error() {
    let raw = r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":
        "{\"object\":\"error\",\"message\":\"max_tokens: 21333 > 4,096, which is the maximum allowed
        number of output tokens for claude-3-opus\"}","provider_name":"Anthropic"}}}"#;
    assert_eq!(read(raw, None), output("anthropic", 4096));
    let python = "Error code: 400 - {'error': {'message': 'max_tokens is too large: 8000. This model \
                  supports at most 4096 completion tokens, whereas you provided 8000.', 'type': \
                  'invalid_request_error', 'param': 'max_tokens', 'code': 'invalid_value'}}";
    assert_eq!(read(python, None), output("openai", 4096));
}

#[test]
fn other_refusals_are_left_alone() {
    let others = [
        "",
        "The model `gpt-5` does not exist or you do not have access to it.",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
         'max_completion_tokens' instead.",
        "Invalid value for 'temperature': must be less than or equal to 2",
        "Requests with max_tokens > 4096 must have stream=true",
        "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, \
         Requested 132819. The input or output tokens must be reduced in order to run successfully.",
        "This request requires more credits, or fewer max_tokens. You requested up to 16384 tokens, \
         but can only afford 3919.",
        "Invalid max_tokens value, the valid range of max_tokens is [1, ∞]",
        "max_tokens is too large: 99999999999999. This model supports at most 99999999999999 \
         completion tokens",
        "max_tokens must be at least 1",
    ];
    for text in others {
        assert_eq!(read(text, Some(8000)), None, "{text}");
    }
}

#[test]
fn what_cannot_fit_is_told_from_what_asks_for_too_much() {
    let rows = [
        ("prompt is too long: 200049 tokens > 200000 maximum", true),
        ("input length and max_tokens exceed context limit: 178959 + 64000 > 200000", false),
        ("max_tokens: 8000 > 4096, which is the maximum allowed number of output tokens", false),
        ("max_tokens=9 cannot be greater than max_model_len=8", false),
        ("Range of input length should be [1, 30720]", true),
        ("context_length_exceeded", true),
    ];
    for (text, expected) in rows {
        assert_eq!(read(text, None).map(|refusal| refusal.is_overflow()), Some(expected), "{text}");
    }
}
