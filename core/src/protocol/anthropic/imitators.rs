//! Providers that speak Anthropic's protocol and are others: what is only Anthropic's own is not sent
//! there.

use crate::protocol::Body;

/// Hosts, or ends of them.
const HOSTS: &[&str] = &[
    "aliyuncs.com",
    "bigmodel.cn",
    "deepseek.com",
    "fireworks.ai",
    "minimax.io",
    "minimaxi.com",
    "moonshot.ai",
    "moonshot.cn",
    "openrouter.ai",
    "siliconflow.cn",
    "siliconflow.com",
    "z.ai",
];

/// Fields that a beta of Anthropic's brings, of which an answer does not depend. Sources: "Context
/// editing" and "Fast mode", platform.claude.com; refused by others in
/// router-for-me/CLIProxyAPI#1592.
const BETA_FIELDS: &[&str] = &["context_management", "speed"];

/// Whether the provider at this base URL is known to be one.
pub(in crate::protocol) fn are_at(base_url: &str) -> bool {
    let place = base_url.split_once("://").map_or(base_url, |(_, place)| place);
    let host = place.split(['/', ':']).next().unwrap_or(place);
    HOSTS.iter().any(|end| {
        host.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// Takes out what only Anthropic's own betas have.
pub(super) fn remove_betas(body: &mut Body<'_>) {
    BETA_FIELDS.iter().for_each(|name| drop(body.remove(name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_imitator_is_known_by_its_host() {
        for other in ["https://api.z.ai/api/anthropic", "https://api.deepseek.com/anthropic"] {
            assert!(are_at(other), "{other}");
        }
        for own in ["https://api.anthropic.com/v1", "http://localhost:1", "https://az.ai"] {
            assert!(!are_at(own), "{own}");
        }
    }
}
