use super::*;

/// Each row: an error, and the message found in it.
#[test]
fn finds_the_message() {
    let rows = [
        (r#"{"error":{"message":"a","code":1}}"#, "a"),
        (r#"{"error":"b"}"#, "b"),
        (r#"{"message":"c"}"#, "c"),
        (r#"{"detail":"d"}"#, "d"),
        (r#"[{"error":{"message":"e"}}]"#, "e"),
        (r#"{"type":"error","error":null,"message":"f"}"#, "f"),
        (r#"{"object":"error"}"#, ""),
        ("<html>", ""),
        ("", ""),
    ];
    for (body, message) in rows {
        assert_eq!(Reported::read(body.as_bytes()).message, message, "{body}");
    }
    let long = format!(r#"{{"error":"{}"}}"#, "ä".repeat(MESSAGE_BYTES_MAX));
    assert!(Reported::read(long.as_bytes()).message.len() <= MESSAGE_BYTES_MAX);
}

/// Each row: an error within an answer of status 200, and what it means.
#[test]
fn an_error_is_the_one_it_names() {
    let rows = [
        (r#"{"error":{"type":"overloaded_error"}}"#, Reason::Overloaded),
        (r#"{"type":"error","error":{"type":"overloaded_error"}}"#, Reason::Overloaded),
        (r#"{"type":"error","error":{"type":"rate_limit_error"}}"#, Reason::RateLimited),
        (r#"{"type":"error","error":{"type":"api_error"}}"#, Reason::ServerError),
        (r#"{"error":{"code":429}}"#, Reason::RateLimited),
        (r#"{"error":{"code":"503"}}"#, Reason::Overloaded),
        (r#"{"error":{"code":529,"type":"server_error"}}"#, Reason::Overloaded),
        (r#"{"error":{"code":null,"type":"server_error"}}"#, Reason::ServerError),
        (r#"{"error":{"code":"rate_limit_exceeded","type":"tokens"}}"#, Reason::RateLimited),
        (r#"{"error":{"code":1302,"status":"RESOURCE_EXHAUSTED"}}"#, Reason::RateLimited),
        (r#"{"error":{"status":"UNAVAILABLE"}}"#, Reason::Overloaded),
        (r#"{"code":"server_is_overloaded","message":"busy"}"#, Reason::Overloaded),
        (r#"{"error":"overloaded","code":503}"#, Reason::Overloaded),
        (r#"{"error":"rate_limit_exceeded"}"#, Reason::RateLimited),
        (r#"{"object":"error","type":"InternalServerError"}"#, Reason::ServerError),
        (r#"{"error":{"type":"ThrottlingException"}}"#, Reason::RateLimited),
        (
            r#"{"error":{"type":"invalid_request_error","code":"invalid_api_key"}}"#,
            Reason::Unauthorized,
        ),
        (r#"{"error":{"code":400,"message":"API key not valid."}}"#, Reason::Unauthorized),
        (r#"{"error":{"type":"invalid_request_error"}}"#, Reason::Rejected),
        (r#"{"error":{"type":"new_in_2031","code":200}}"#, Reason::InBand),
        (r#"{"error":{"message":"boom","type":"error"}}"#, Reason::InBand),
        (r#"{"error":"boom"}"#, Reason::InBand),
        (r#""boom""#, Reason::InBand),
        ("", Reason::InBand),
    ];
    for (error, reason) in rows {
        assert_eq!(Reported::read(error.as_bytes()).failure().reason, reason, "{error}");
    }
}

#[test]
fn names_are_written_as_they_are_compared() {
    for (status, names) in NAMES {
        for name in names {
            assert_eq!(named_status(name), Some(status), "{name}");
        }
    }
}

/// Each row: the message of a 400, and its cause.
#[test]
fn not_every_bad_request_is_the_clients() {
    for (message, expected) in [
        ("API key not valid. Please pass a valid API key.", Reason::Unauthorized),
        ("User location is not supported for the API use.", Reason::Forbidden),
        ("Unsupported value: 'stream' does not support true with this model.", Reason::NoStream),
        ("Your organization must be verified to stream this model.", Reason::NoStream),
        ("Invalid value for 'temperature'.", Reason::Rejected),
        ("", Reason::Rejected),
    ] {
        assert_eq!(reason(400, message), expected, "{message}");
    }
}
