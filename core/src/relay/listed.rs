//! A stream of Gemini's that comes as JSON, as without `alt=sse`: a list of chunks, or one. It is
//! written as server-sent events, an element each, so that it is read and forwarded like any other
//! stream: when an element comes, with every field of it.

/// How far such a stream has come.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// The list has begun.
    in_list: bool,
    /// How many brackets of the element are open; 0 between elements.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Listed {
    /// What `bytes` are as events. Line ends, which are no part of a JSON value, are left out: one would
    /// end a line of the event.
    pub(super) fn events(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut events = Vec::with_capacity(bytes.len() + 64);
        for &byte in bytes.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
            self.byte(byte, &mut events);
        }
        events
    }

    fn byte(&mut self, byte: u8, events: &mut Vec<u8>) {
        if self.depth > 0 {
            events.push(byte);
        }
        match byte {
            _ if self.in_string => {
                self.in_string = byte != b'"' || self.escaped;
                self.escaped = byte == b'\\' && !self.escaped;
            }
            b'[' if self.depth == 0 && !self.in_list => self.in_list = true,
            b'{' | b'[' => {
                if self.depth == 0 {
                    events.extend_from_slice(b"data: ");
                    events.push(byte);
                }
                self.depth += 1;
            }
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                if self.depth == 0 {
                    events.extend_from_slice(b"\n\n");
                }
            }
            b'"' => self.in_string = self.depth > 0,
            // Within an element anything else is part of a value, and between elements of none.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a body, and its events.
    #[test]
    fn every_element_is_an_event_however_it_is_cut() {
        let rows = [
            ("[{\"a\": 1}\n,\r\n{\"b\":[{}]}\n]\n", "data: {\"a\": 1}\n\ndata: {\"b\":[{}]}\n\n"),
            ("\u{FEFF} [{\n  \"a\": \"]}\\\"[{\\\\\"\n}]", "data: {  \"a\": \"]}\\\"[{\\\\\"}\n\n"),
            ("{\"a\":[1]}\n", "data: {\"a\":[1]}\n\n"),
            ("{\"a\":1}{\"b\":2}", "data: {\"a\":1}\n\ndata: {\"b\":2}\n\n"),
            ("[{\"a\":1},{\"b\":", "data: {\"a\":1}\n\ndata: {\"b\":"),
            ("[[1],\"x\",2]", "data: [1]\n\n"),
            ("[]", ""),
        ];
        for (body, expected) in rows {
            for size in 1..=body.len() {
                let mut listed = Listed::default();
                let events = body.as_bytes().chunks(size).flat_map(|bytes| listed.events(bytes));
                let events = String::from_utf8(events.collect()).unwrap();
                assert_eq!(events, expected, "{body} by {size}");
            }
        }
    }
}
