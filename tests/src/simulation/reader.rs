//! The client: reads what it gets as strictly as its protocol allows, and keeps what matters.

use serde::Deserialize;
use streamgate_core::protocol::ClientProtocol;

/// What a client has read.
#[derive(Debug, Default)]
pub struct Read {
    /// The answer's text.
    pub text: String,
    /// How often it got a finish reason.
    pub finishes: u32,
    /// It got the end marker.
    pub done: bool,
    /// It got an error.
    pub error: bool,
    /// It got the usage.
    pub usage: Option<(u32, u32)>,
    /// It got the usage in an event of its own.
    pub usage_event: bool,
    /// Signs of life.
    pub heartbeats: u32,
    /// It got a role.
    pub role: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde::de::IgnoredAny>,
    token: Option<String>,
    done: Option<bool>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    role: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
}

impl Read {
    /// Reads one write of a stream: always whole events, so that whatever a gateway adds in
    /// between is never within one.
    pub fn stream(&mut self, protocol: ClientProtocol, bytes: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("a write: {error}"))?;
        let mut lines = text.replace("\r\n", "\n").replace('\r', "\n");
        if !lines.ends_with("\n\n") {
            return Err(format!("a write ends within an event: {text:?}"));
        }
        lines.truncate(lines.len() - 1);
        lines.lines().filter(|line| !line.is_empty()).try_for_each(|line| self.line(protocol, line))
    }

    fn line(&mut self, protocol: ClientProtocol, line: &str) -> Result<(), String> {
        if line.starts_with(':') {
            self.heartbeats += 1;
            return Ok(());
        }
        if self.done || self.error {
            return Err(format!("after the end came {line}"));
        }
        let data = line.strip_prefix("data: ").ok_or_else(|| format!("no data: {line:?}"))?;
        if data == "[DONE]" && protocol == ClientProtocol::OpenAi {
            self.done = true;
            return Ok(());
        }
        let chunk: Chunk = parse(data.as_bytes())?;
        if chunk.done == Some(true) {
            (self.done, self.finishes) = (true, 1);
        }
        let over = self.finishes > 0;
        let event_of_usage = chunk.usage.is_some() && chunk.choices.is_empty();
        self.usage_event |= event_of_usage;
        let before = self.text.len();
        self.chunk(chunk);
        if over && self.text.len() > before {
            return Err(format!("text after the finish: {line}"));
        }
        Ok(())
    }

    /// Reads a whole answer, or an error in its place.
    pub fn whole(&mut self, bytes: &[u8]) -> Result<(), String> {
        let chunk = parse(bytes)?;
        self.chunk(chunk);
        self.done = !self.error;
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk) {
        self.error |= chunk.error.is_some();
        self.text.push_str(chunk.token.as_deref().unwrap_or(""));
        if let Some(usage) = chunk.usage {
            self.usage = Some((usage.prompt_tokens, usage.completion_tokens));
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return };
        self.finishes += u32::from(choice.finish_reason.is_some());
        if let Some(delta) = choice.delta {
            self.text.push_str(delta.content.as_deref().unwrap_or(""));
            self.role |= delta.role.is_some();
        }
    }
}

fn parse(data: &[u8]) -> Result<Chunk, String> {
    let shown = || String::from_utf8_lossy(data).into_owned();
    serde_json::from_slice(data).map_err(|error| format!("{error}: {}", shown()))
}
