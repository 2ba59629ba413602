use super::*;

/// Each row: a rejection as providers write it, and the parameter it is about.
#[test]
fn a_rejection_names_a_parameter() {
    let rows = [
        (
            r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}"#,
            "temperature",
        ),
        ("Unsupported parameter: 'top_p' is not supported with this model.", "top_p"),
        (
            "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
            "reasoning_effort",
        ),
        ("Unknown parameter: 'reasoning'.", "reasoning"),
        ("Unrecognized request argument supplied: reasoning_effort", "reasoning_effort"),
        (
            r#"{"error":{"message":"No.","param":"verbosity","code":"unsupported_parameter"}}"#,
            "verbosity",
        ),
        ("`temperature` is deprecated for this model.", "temperature"),
        ("`temperature` and `top_p` cannot both be specified for this model.", "top_p"),
        ("adaptive thinking is not supported on this model", "reasoning_effort"),
        ("This model does not support the effort parameter.", "reasoning_effort"),
        ("context_management: Extra inputs are not permitted", "context_management"),
        ("Model grok-4-latest does not support parameter reasoningEffort.", "reasoning_effort"),
        ("Argument not supported on this model: presencePenalty", "penalty"),
        ("Penalty is not enabled for models/gemini-exp-1206", "penalty"),
        ("Thinking level is not supported for this model.", "reasoning_effort"),
        (
            "Invalid JSON payload received. Unknown name \"topK\" at 'generation_config': Cannot find field.",
            "top_k",
        ),
        (
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden", "loc": ["body", "parallel_tool_calls"],"msg":"Extra inputs are not permitted","input":true}]}}"#,
            "parallel_tool_calls",
        ),
        ("\"llama3\" does not support thinking", "reasoning_effort"),
        ("litellm: xai does not support parameters: ['seed'], for model=x", "seed"),
    ];
    for (text, expected) in rows {
        let found = Parameters::refused_in(text).map(Parameters::names);
        assert_eq!(found.as_deref(), Some(expected), "{text}");
    }
}

/// What decides what is answered stays, and a value that is wrong is the client's to mend.
#[test]
fn other_rejections_name_none() {
    for text in [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "Unsupported parameter: 'tools' is not supported with this model.",
        "Argument not supported on this model: stop",
        "response_format is not supported",
        "temperature: range: 0..1",
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2.",
        r#"{"error":{"message":"No.","param":"temperature","code":"decimal_above_max_value"}}"#,
        r#"{"detail":[{"loc":["body","messages",0,"user","name"],"msg":"Extra inputs are not permitted"}]}"#,
        "messages.65.content.1.tool_use.text: Extra inputs are not permitted",
        "Unknown parameter: 'user_location'.",
        "Unknown parameter: 'metadata.x'.",
        "image inputs: rethink is not supported",
        "",
    ] {
        assert_eq!(Parameters::refused_in(text), None, "{text}");
    }
}

#[test]
fn they_are_kept_by_name() {
    let names = "temperature,reasoning_effort,store";
    let some = Parameters::named(names);
    assert_eq!(some.names(), names);
    assert!(some.contain(Parameters::named("store")) && !some.contain(Parameters::named("seed")));
    assert_eq!(Parameters::named("unheard_of,"), Parameters::default());
    assert!(Parameters::default().is_empty() && PARAMETERS.len() <= 32);
    let paths: Vec<_> = Parameters::named("top_k").paths().collect();
    assert_eq!(paths, ["top_k", "generationConfig.topK", "options.top_k"]);
    for line in TEXTS.lines() {
        let (words, source) = line.split_once('\t').expect("words and a source");
        assert!(words.contains("{name}") && !source.is_empty(), "{line}");
    }
}
