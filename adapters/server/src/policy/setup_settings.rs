//! Settings of setup codes and sessions.

use std::path::PathBuf;
use std::time::Duration;

use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::{SETUP_TTL, SETUP_TTL_MAX, SETUP_TTL_MIN};
use handfast_core::wire::setup::ProfileName;

use crate::public_url::{Candidates, ExtraHost};

/// Settings of setup codes and companions' sessions.
#[derive(Clone, Debug)]
pub struct SetupSettings {
    /// File of the key that signs codes, for instance [`crate::keys::KEY_FILE`]. With `None` the
    /// key is sealed in the registry. One that several gateways share always has it.
    pub key_file: Option<PathBuf>,
    /// Default profile of companions.
    pub profile: String,
    /// Default lifetime of a code; 30 seconds to a day.
    pub ttl: Duration,
    /// Lifetime of a session, from its start and from each refresh; a minute to a year.
    pub session_ttl: Duration,
    /// Maximum total lifetime of a session, however often it is refreshed.
    pub session_longest: Duration,
    /// Permissions of companions whose profile has no entry in `profiles`.
    pub permissions: ScopesBuf,
    /// Permissions by profile.
    pub profiles: Vec<(String, ScopesBuf)>,
    /// Profiles that may approve nodes which authenticate with a token. Such a node has no scopes,
    /// so a session's permissions cannot bound it.
    pub approvers: Vec<String>,
    /// Addresses of this gateway for companions.
    pub addresses: Candidates,
    /// Hosts that may be reached without TLS, besides local ones.
    pub plain_hosts: Vec<ExtraHost>,
    /// Origins of web pages that may open `/pair`, besides the gateway's own:
    /// `https://console.example`. Its own are those of its configured addresses, and the address at
    /// which a connection came to [`crate::serve`].
    pub origins: Vec<String>,
}

impl Default for SetupSettings {
    fn default() -> Self {
        Self {
            key_file: None,
            profile: "companion-v1".to_owned(),
            ttl: Duration::from_secs(SETUP_TTL.as_secs()),
            session_ttl: Duration::from_secs(86_400),
            session_longest: Duration::from_secs(30 * 86_400),
            // The text parses; a test checks that.
            permissions: ScopesBuf::parse("read:/**\nwrite:/**\n").unwrap_or_default(),
            profiles: Vec::new(),
            approvers: Vec::new(),
            addresses: Candidates::default(),
            plain_hosts: Vec::new(),
            origins: Vec::new(),
        }
    }
}

impl SetupSettings {
    /// Returns the permissions of this profile: none, if permissions were configured for other
    /// profiles and not for this one.
    #[must_use]
    pub fn permissions_of(&self, profile: &str) -> &ScopesBuf {
        match self.profiles.iter().find(|(name, _)| name == profile) {
            Some((_, scopes)) => scopes,
            None if self.knows(profile) => &self.permissions,
            None => const { &ScopesBuf::EMPTY },
        }
    }

    /// Returns `true` if companions of this profile may approve nodes that authenticate with a
    /// token.
    #[must_use]
    pub fn may_approve(&self, profile: &str) -> bool {
        self.approvers.iter().any(|name| name == profile)
    }

    /// Returns `true` for a known profile: the default one, each with configured permissions, and
    /// any, if none are configured.
    #[must_use]
    pub fn knows(&self, profile: &str) -> bool {
        self.profiles.is_empty()
            || profile == self.profile
            || self.profiles.iter().any(|(name, _)| name == profile)
    }

    /// Returns `true` if browsers reach the gateway by an encrypted URL, whatever its own listener
    /// speaks.
    pub(crate) fn is_public_encrypted(&self) -> bool {
        let url = self.addresses.public.as_ref().or(self.addresses.tunnel.as_ref());
        url.is_some_and(|url| url.starts_with("wss://") || url.starts_with("https://"))
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The problem and its remedy, in a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (shortest, longest) = (SETUP_TTL_MIN.as_secs(), SETUP_TTL_MAX.as_secs());
        if !(shortest..=longest).contains(&self.ttl.as_secs()) {
            return Err(format!(
                "a setup code is good for {shortest} seconds to {} hours, not for {:?}",
                longest / 3600,
                self.ttl
            ));
        }
        if !(60..=365 * 86_400).contains(&self.session_ttl.as_secs()) {
            return Err(format!(
                "a session lives for a minute to a year, not for {:?}",
                self.session_ttl
            ));
        }
        if self.session_longest < self.session_ttl {
            return Err(
                "a session may not live longer at once than it may in all: raise session_longest or lower session_ttl".to_owned()
            );
        }
        let profiles = self.profiles.iter().map(|(name, _)| name).chain([&self.profile]);
        for profile in profiles {
            if ProfileName::parse(profile).is_none() {
                return Err(format!(
                    "{profile:?} is no name of a profile: it has 1 to 64 visible characters"
                ));
            }
        }
        Ok(())
    }
}
