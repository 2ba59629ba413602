//! Every relative link in the documentation leads to a file, and to a heading in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::gateway::root;

/// What holds no documentation of ours.
const SKIPPED: [&str; 4] = ["target", "node_modules", ".git", ".venv"];

/// Checks all pages.
///
/// # Errors
///
/// The links that lead nowhere, one per line.
pub fn check() -> Result<(), String> {
    let mut pages = Vec::new();
    collect(&root(), &mut pages).map_err(|error| error.to_string())?;
    let broken: Vec<_> = pages.iter().flat_map(|page| broken_links(page)).collect();
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

/// Every page, in the whole repository.
fn collect(folder: &Path, pages: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !SKIPPED.contains(&&*name) {
            collect(&path, pages)?;
        } else if name.ends_with(".md") {
            pages.push(path);
        }
    }
    Ok(())
}

fn broken_links(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap_or_default();
    let prose = without_code(&text);
    let is_broken = |link: &&str| !leads_somewhere(page, link);
    let relative = links(&prose).filter(|link| !link.contains("://"));
    relative.filter(is_broken).map(|link| format!("{}: {link}", page.display())).collect()
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = page.parent().unwrap_or(page);
    let target = if file.is_empty() { page.to_owned() } else { folder.join(file) };
    let has_anchor =
        || fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor));
    target.exists() && (anchor.is_empty() || has_anchor())
}

/// The targets of `[...](target)`.
fn links(prose: &str) -> impl Iterator<Item = &str> {
    prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The text without fenced blocks and code spans: brackets in them are no links.
fn without_code(text: &str) -> String {
    let fenced = text.split("\n```").step_by(2);
    let prose: String = fenced.flat_map(|part| [part, "\n"]).collect();
    // A span within a link's text is part of the link, so only its content is dropped.
    prose.lines().flat_map(|line| line.split('`').step_by(2).chain(["\n"])).collect()
}

/// What GitHub makes of the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|line| slug(line.trim_start_matches('#'))).collect()
}

fn slug(heading: &str) -> String {
    let is_kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    let kept = heading.trim().chars().filter(is_kept);
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_from_prose_alone() {
        let text = "See [`a`](a.md#b), not `[x](no.md)`.\n```sh\n[y](no.md)\n```\nBut [z](../z).\n";
        assert_eq!(links(&without_code(text)).collect::<Vec<_>>(), ["a.md#b", "../z"]);
    }

    #[test]
    fn a_heading_is_named_as_on_github() {
        assert_eq!(slug(" Users' own keys"), "users-own-keys");
        assert_eq!(slug(" `[fallback.breaker]`"), "fallbackbreaker");
    }
}
