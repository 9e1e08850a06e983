//! Settings for pairing nodes with keys.

use std::time::Duration;

use handfast_core::crypto::code::Alphabet;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::INVITE_ADDRESSES;
use handfast_core::registry::authority::Bounds;
use handfast_core::wire::gateway_address::GatewayAddress;

use super::rules::{Rule, RuleVerdict};

/// Default time for which an operator opens pairing.
pub const OPEN_FOR: Duration = Duration::from_secs(300);
/// Allowed length of a PIN in characters.
pub const PIN_CHARS: std::ops::RangeInclusive<u8> = 4..=12;

/// Settings of pairing. By default pairing is closed until the operator opens it; PINs have six
/// digits and suffice by themselves; nodes may read and write everywhere for 90 days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairingSettings {
    /// `true` to open pairing by PIN at start.
    pub enabled: bool,
    /// Time for which pairing stays open. `None`: as long as the gateway runs if it is
    /// [enabled](Self::enabled), and [`OPEN_FOR`] if the operator opens it.
    pub window: Option<Duration>,
    /// Length of a PIN in characters, within [`PIN_CHARS`].
    pub pin_length: u8,
    /// Alphabet of a PIN.
    pub pin_alphabet: Alphabet,
    /// Lifetime of a PIN: a second to a day.
    pub pin_timeout: Duration,
    /// Approval of nodes that proved a PIN or code.
    pub approve: Approve,
    /// Permissions of a node where nothing else decides them.
    pub default_permissions: ScopesBuf,
    /// Lifetime of a grant where nothing else decides it; at least a second.
    pub token_expiry: Duration,
    /// Limits on the lifetimes of codes and grants and on the uses of a code, for every maker.
    pub bounds: Bounds,
    /// Rules that decide before [`approve`](Self::approve); the first that matches counts.
    pub rules: Vec<Rule>,
    /// Addresses of this gateway for invitations: `ws://host:port`, `wss://host:port` or
    /// `tcp://host:port`, at most three.
    pub addresses: Vec<String>,
    /// Addresses at which linked nodes are told to look for this gateway, or for any other of its
    /// registry, besides the one that they know. Without any they are told none.
    pub told_addresses: Vec<String>,
}

/// Approval of nodes that proved a PIN or code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Approve {
    /// The PIN or code suffices.
    #[default]
    Auto,
    /// The operator approves each node.
    Manual,
}

impl Default for PairingSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            window: None,
            pin_length: 6,
            pin_alphabet: Alphabet::Digits,
            pin_timeout: Duration::from_secs(300),
            approve: Approve::Auto,
            // These scopes parse; a test proves it.
            default_permissions: ScopesBuf::parse("read:/**\nwrite:/**\n").unwrap_or_default(),
            token_expiry: Duration::from_secs(90 * 86_400),
            bounds: Bounds::DEFAULT,
            rules: Vec::new(),
            addresses: Vec::new(),
            told_addresses: Vec::new(),
        }
    }
}

impl PairingSettings {
    /// Returns the time for which pairing stays open if the operator names none.
    #[must_use]
    pub fn opened_for(&self) -> Duration {
        self.window.unwrap_or(OPEN_FOR)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// A description of the mistake and its remedy.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !PIN_CHARS.contains(&self.pin_length) {
            return Err(format!("a PIN has 4 to 12 characters, not {}", self.pin_length));
        }
        if !(1..=86_400).contains(&self.pin_timeout.as_secs()) {
            return Err(format!(
                "a PIN lives for a second to a day, not for {:?}",
                self.pin_timeout
            ));
        }
        if self.window.is_some_and(|window| window.as_secs() == 0) {
            return Err("pairing that stays open for less than a second is never open; leave the time out or name a longer one"
                .to_owned());
        }
        if self.token_expiry.as_secs() == 0 {
            return Err("a grant lives for a second at least".to_owned());
        }
        if self.bounds.code_uses == 0
            || self.bounds.code_for.as_secs() == 0
            || self.bounds.grant_for.as_secs() == 0
        {
            return Err(
                "the bounds of codes leave no room for any: a code lives for a second at least, and is for one node".to_owned()
            );
        }
        let longest = Duration::from_secs(self.bounds.grant_for.as_secs());
        let rules = self.rules.iter().filter_map(|rule| match &rule.verdict {
            RuleVerdict::Approve(terms) | RuleVerdict::Ask(terms) => terms.expires,
            RuleVerdict::Reject { .. } => None,
        });
        if let Some(lives) = rules.chain([self.token_expiry]).find(|lives| *lives > longest) {
            return Err(format!(
                "a grant lives for {} days at most, not for {:?}: lower that time, or raise grant_longest",
                longest.as_secs() / 86_400,
                lives
            ));
        }
        if self.addresses.len() > INVITE_ADDRESSES {
            return Err(format!(
                "an invitation has room for {INVITE_ADDRESSES} addresses, and {} are named",
                self.addresses.len()
            ));
        }
        match self.addresses.iter().find(|address| GatewayAddress::parse(address).is_none()) {
            Some(address) => Err(format!(
                "{address:?} is no address of a gateway: it reads ws://host:port, wss://host:port or tcp://host:port"
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_pairs_may_by_default_read_and_write_everywhere_and_administer_nowhere() {
        assert_eq!(
            PairingSettings::default().default_permissions.as_str(),
            "read:/**\nwrite:/**\n"
        );
    }

    #[test]
    fn settings_that_cannot_be_kept_are_refused() {
        let fine = PairingSettings::default;
        let seconds = Duration::from_secs;
        for wrong in [
            PairingSettings { pin_length: 3, ..fine() },
            PairingSettings { pin_length: 13, ..fine() },
            PairingSettings { pin_timeout: seconds(0), ..fine() },
            PairingSettings { pin_timeout: seconds(86_401), ..fine() },
            PairingSettings { window: Some(seconds(0)), ..fine() },
            PairingSettings { token_expiry: seconds(0), ..fine() },
            PairingSettings { addresses: vec!["http://host:80".to_owned()], ..fine() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        assert_eq!(fine().check(), Ok(()));
    }
}
