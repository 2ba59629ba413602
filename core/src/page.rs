//! The chat page that both shells serve at `/`.
//!
//! One file, no build step, no request but to the server it came from. It speaks OpenAI Chat
//! Completions like any other client, so it shows what they get.

/// The page, as `text/html; charset=utf-8`.
pub const CHAT: &str = include_str!("page/chat.html");

/// The `content-security-policy` to serve [`CHAT`] with: its own inline code, its own origin, nothing else.
pub const CHAT_CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'";
