//! What a page of `docs/clients` tells a user to set.
//!
//! A block of `sh` has `export` lines; a block of `python` is saved as `page.py`; any other block is
//! the file that the paragraph above it names last, in the home directory (`~/...`) or the project.

use std::path::{Path, PathBuf};

use crate::docs::page::blocks;

/// The server's address on every page.
const ADDR: &str = "localhost:8000";

/// The settings, with the server's own address.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Settings {
    /// Lines of `sh`.
    pub(super) exports: String,
    /// Each file's path, as the page has it, and its text.
    pub(super) files: Vec<(String, String)>,
}

impl Settings {
    pub(super) fn read(page: &str, addr: &str) -> Result<Self, String> {
        let page = page.replace(ADDR, addr);
        let mut settings = Self::default();
        for block in blocks(&page) {
            let text = &page[block.lines.clone()];
            match block.language.as_str() {
                "sh" => settings.exports += &exports(text),
                "python" => settings.files.push(("page.py".into(), text.into())),
                _ => {
                    let file = file_named(&page[..block.lines.start]);
                    let file = file.ok_or_else(|| format!("no file is named above\n{text}"))?;
                    settings.files.push((file, text.into()));
                }
            }
        }
        Ok(settings)
    }

    /// Writes the files.
    pub(super) fn write(&self, home: &Path, project: &Path) -> Result<(), String> {
        for (name, text) in &self.files {
            let path = match name.strip_prefix("~/") {
                Some(name) => home.join(name),
                None => project.join(name),
            };
            write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

fn write(path: &PathBuf, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    std::fs::write(path, text)
}

fn exports(text: &str) -> String {
    let lines = text.lines().filter(|line| line.starts_with("export "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The last code span of the paragraph before the fence at the end of `text`.
fn file_named(text: &str) -> Option<String> {
    let (before, _fence) = text.trim_end().rsplit_once('\n')?;
    let paragraph = before.trim_end().rsplit("\n\n").next()?;
    let span = paragraph.split('`').skip(1).step_by(2).last()?;
    span.contains('.').then(|| span.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_exports_and_files() {
        let page = "# A\n\nSet it in `x`, then in `~/.a/b.toml`:\n\n```toml\nurl = \"http://localhost:8000/v1\"\n```\n\n\
            ```sh\nexport KEY=1\nrun\n```\n\n```python\nx = 1\n```\n";
        let settings = Settings::read(page, "127.0.0.1:9").unwrap();
        let files = [("~/.a/b.toml", "url = \"http://127.0.0.1:9/v1\"\n"), ("page.py", "x = 1\n")];
        assert_eq!(settings.exports, "export KEY=1\n");
        assert_eq!(settings.files, files.map(|(name, text)| (name.into(), text.into())));
    }
}
