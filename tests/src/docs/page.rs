//! A page and its fenced blocks.

use std::ops::Range;

use super::provider::Vector;
use crate::grid::{Case, PROVIDERS};

const VECTORS: &str = "tests/vectors/";

/// A page of Markdown.
pub(super) struct Page {
    text: String,
    blocks: Vec<Block>,
}

/// A fenced block: its language, and where its lines are.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) lines: Range<usize>,
}

/// A command with its surroundings.
pub(super) struct Example {
    pub(super) config: String,
    /// The provider's response.
    pub(super) vector: Vector,
    pub(super) command: String,
    /// Where the page shows the request that the provider received.
    pub(super) asked: Option<Range<usize>>,
    /// Where it shows the command's output.
    pub(super) printed: Range<usize>,
}

impl Page {
    pub(super) fn new(text: String) -> Self {
        let blocks = blocks(&text);
        Self { text, blocks }
    }

    pub(super) fn text(&self, lines: &Range<usize>) -> &str {
        &self.text[lines.clone()]
    }

    /// The page with these texts in those places.
    pub(super) fn with(&self, blocks: &[(Range<usize>, String)]) -> String {
        let mut text = self.text.clone();
        for (lines, came) in blocks.iter().rev() {
            text.replace_range(lines.clone(), came);
        }
        text
    }

    /// The examples; `common` has what this page omits.
    pub(super) fn examples(&self, common: &Self) -> Result<Vec<Example>, String> {
        let commands = self.blocks.iter().enumerate().filter(|(_, block)| block.language == "sh");
        commands.map(|(place, _)| self.example(place, common)).collect()
    }

    fn example(&self, place: usize, common: &Self) -> Result<Example, String> {
        let command = self.text(&self.blocks[place].lines).trim().to_owned();
        let missing = |what: &str| format!("{command}: there is no {what}");
        let start = self.blocks[place].lines.start;
        let end = common.text.len();
        let config = self.config_before(start).or_else(|| common.config_before(end));
        let vector = self.vector_before(start).or_else(|| common.vector_before(end));
        let after: Vec<_> = self.blocks[place + 1..].iter().take(2).collect();
        let (asked, printed) = match after.as_slice() {
            [printed, ..] if printed.language == "text" => (None, printed),
            [asked, printed] if asked.language == "http" && printed.language == "text" => {
                (Some(asked.lines.clone()), printed)
            }
            _ => return Err(missing("`text` block below it; begin with an empty one")),
        };
        Ok(Example {
            config: config.ok_or_else(|| missing("configuration above it"))?.to_owned(),
            vector: vector.ok_or_else(|| missing("link to tests/vectors above it"))?,
            printed: printed.lines.clone(),
            asked,
            command,
        })
    }

    fn config_before(&self, end: usize) -> Option<&str> {
        let before = self.blocks.iter().filter(|block| block.lines.end < end);
        let configs = before.filter(|block| block.language == "toml");
        let mut configs = configs.map(|block| self.text(&block.lines));
        configs.rfind(|config| config.contains("[models."))
    }

    /// The last link, such as `tests/vectors/gemini/text.stream`.
    fn vector_before(&self, end: usize) -> Option<Vector> {
        let (_, link) = self.text[..end].rsplit_once(VECTORS)?;
        let (protocol, file) = link.split_once('/')?;
        let (case, _) = file.split_once('.')?;
        let provider = PROVIDERS.iter().find(|known| known.protocol == protocol)?;
        let case = Case::ALL.into_iter().find(|known| known.name() == case)?;
        Some((provider.protocol, case))
    }
}

/// The fenced blocks of a page, in order.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    let mut place = 0;
    for line in text.split_inclusive('\n') {
        if let Some(language) = line.strip_prefix("```") {
            is_open = !is_open;
            let language = language.trim().to_owned();
            let begin = place + line.len();
            match blocks.last_mut() {
                Some(block) if !is_open => block.lines.end = place,
                _ => blocks.push(Block { language, lines: begin..begin }),
            }
        }
        place += line.len();
    }
    blocks
}
