//! The calls of a client's conversation that have no result yet: some clients name a result's call by
//! its tool, or not at all.

use crate::chat::Part;

/// In the order in which they were made.
#[derive(Default)]
pub(in crate::protocol) struct OpenCalls(Vec<Call>);

struct Call {
    tool: String,
    id: String,
}

impl OpenCalls {
    /// Notes the calls among these parts.
    pub(in crate::protocol) fn note(&mut self, parts: &[Part]) {
        for part in parts {
            if let Part::ToolCall { id, name, .. } = part {
                self.0.push(Call { tool: name.clone(), id: id.clone() });
            }
        }
    }

    /// The identifier of the call that a result belongs to: the one it names, else the first of its
    /// tool, else the first.
    pub(in crate::protocol) fn close(&mut self, id: Option<String>, tool: Option<&str>) -> String {
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            self.0.retain(|call| call.id != id);
            return id;
        }
        let of_tool = self.0.iter().position(|call| Some(call.tool.as_str()) == tool);
        match of_tool.or((!self.0.is_empty()).then_some(0)) {
            Some(place) => self.0.remove(place).id,
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_finds_its_call() {
        let mut calls = OpenCalls::default();
        let call = |id: &str, name: &str| Part::ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: String::new(),
        };
        calls.note(&[call("a", "f"), Part::Text("x".into()), call("b", "g"), call("c", "g")]);
        assert_eq!(calls.close(None, Some("g")), "b");
        assert_eq!(calls.close(Some("c".into()), Some("f")), "c");
        assert_eq!(calls.close(Some(String::new()), Some("h")), "a");
        assert_eq!(calls.close(None, Some("f")), "");
        assert_eq!(calls.close(Some("elsewhere".into()), None), "elsewhere");
    }
}
