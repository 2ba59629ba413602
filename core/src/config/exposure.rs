//! Who can reach a server, and whether it may serve them as it is configured.

use super::Config;

/// From where a server can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// From its own machine only.
    Loopback,
    /// From other machines too.
    Network,
    /// From everywhere: a Worker, which nobody deploys by accident.
    Edge,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Whoever has credentials.
    Authenticated,
    /// Whoever is on the server's machine.
    Local,
    /// Everybody, as the operator wants it.
    Open,
    /// Everybody, without the operator having asked for it: the server must not start.
    Unintended,
}

impl Config {
    /// Who may ask a server that can be reached from there. `open` is whether the command
    /// line allows everybody.
    pub fn exposure(&self, reach: Reach, open: bool) -> Exposure {
        match reach {
            _ if self.auth.is_some() => Exposure::Authenticated,
            Reach::Loopback => Exposure::Local,
            Reach::Edge => Exposure::Open,
            Reach::Network if open || self.open => Exposure::Open,
            Reach::Network => Exposure::Unintended,
        }
    }

    /// Checks that users' own keys are kept for callers who are known by name. Without `[auth]` all
    /// are one user, who could have everybody's calls sent elsewhere; natively that user is the
    /// operator, or somebody the operator trusts.
    pub fn check_own_keys(&self, reach: Reach) -> Result<(), String> {
        let own = self.providers.values().find(|provider| provider.user_keys);
        match (reach, own) {
            (Reach::Edge, Some(provider)) if self.auth.is_none() => Err(format!(
                "providers.{}.api_key: users' own keys are kept for callers who are known by name; \
                 expected an [auth] table.",
                provider.name
            )),
            (Reach::Loopback | Reach::Network | Reach::Edge, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "[store]\nurl = \"d1:DB\"\nmaster_key = { env = \"M\" }\n\
                       [providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                       api_key = { user = true }\n[models.m]\ntargets = [\"p/m\"]\n";

    fn config(text: &str) -> Config {
        Config::parse(&format!("{OWN}{text}"), |_| Some("0".repeat(64))).unwrap()
    }

    #[test]
    fn without_users_only_this_machine_may_ask_unless_the_operator_says_so() {
        let (closed, open) = (config(""), config("[server]\nopen = true\n"));
        let auth = config("[auth]\n");
        for (config, reach, flag, expected) in [
            (&auth, Reach::Network, false, Exposure::Authenticated),
            (&auth, Reach::Edge, false, Exposure::Authenticated),
            (&closed, Reach::Loopback, false, Exposure::Local),
            (&closed, Reach::Network, false, Exposure::Unintended),
            (&closed, Reach::Network, true, Exposure::Open),
            (&open, Reach::Network, false, Exposure::Open),
            (&closed, Reach::Edge, false, Exposure::Open),
        ] {
            assert_eq!(config.exposure(reach, flag), expected, "{reach:?} {flag}");
        }
    }

    #[test]
    fn users_own_keys_at_the_edge_need_users() {
        assert!(
            config("").check_own_keys(Reach::Edge).unwrap_err().contains("providers.p.api_key")
        );
        assert_eq!(config("").check_own_keys(Reach::Network), Ok(()));
        assert_eq!(config("[auth]\n").check_own_keys(Reach::Edge), Ok(()));
    }
}
