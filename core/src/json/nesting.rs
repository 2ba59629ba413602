//! How far a JSON object or list has come that arrives in pieces.

/// Follows one value of JSON.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Nesting {
    depth: u32,
    in_string: bool,
    escaped: bool,
    whole: bool,
}

impl Nesting {
    /// More of the value.
    pub(crate) fn add(&mut self, json: &str) {
        for byte in json.bytes() {
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.whole |= self.depth == 0;
                }
                _ => {}
            }
        }
    }

    /// Whether every bracket is closed, and there was one.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }
}
