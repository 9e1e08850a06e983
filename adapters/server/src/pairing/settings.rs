//! How a gateway pairs nodes with keys.

use std::time::Duration;

use handfast_core::crypto::code::Alphabet;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::INVITE_ADDRESSES;
use handfast_core::registry::authority::Bounds;
use handfast_core::wire::gateway_address::GatewayAddress;

use super::rules::{Rule, Verdict};

/// How long an operator opens pairing for without saying so.
pub const OPEN_FOR: Duration = Duration::from_secs(300);
/// How many characters a PIN may have.
pub const PIN_CHARS: std::ops::RangeInclusive<u8> = 4..=12;

/// How pairing goes. The default is closed until the operator opens it, with PINs of six digits
/// that are enough by themselves, and permission to read and write everywhere for 90 days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairingSettings {
    /// Whether pairing by PIN is open from the start.
    pub enabled: bool,
    /// How long it stays open, once opened. None: as long as the gateway runs if it is
    /// [enabled](Self::enabled), and [`OPEN_FOR`] if the operator opens it.
    pub window: Option<Duration>,
    /// Characters of a PIN, [`PIN_CHARS`].
    pub pin_length: u8,
    /// What a PIN is made of.
    pub pin_alphabet: Alphabet,
    /// How long a PIN lives; at least a second, and a day at most.
    pub pin_timeout: Duration,
    /// Who approves whoever showed the right PIN or code.
    pub approve: Approve,
    /// What a node may do for which nobody decides otherwise.
    pub default_permissions: ScopesBuf,
    /// How long a grant lives for which nobody decides otherwise; at least a second.
    pub token_expiry: Duration,
    /// How long codes and grants may live at most, and for how many nodes a code may be, whoever
    /// makes them.
    pub bounds: Bounds,
    /// What decides before [`approve`](Self::approve) does; the first rule that fits counts.
    pub rules: Vec<Rule>,
    /// Where nodes reach this gateway, for invitations: `ws://host:port`, `wss://host:port` or
    /// `tcp://host:port`, at most three.
    pub addresses: Vec<String>,
}

/// Who approves whoever showed the right PIN or code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Approve {
    /// The PIN or code is enough.
    #[default]
    Auto,
    /// The operator, each time.
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
            // These parse; the tests say so.
            default_permissions: ScopesBuf::parse("read:/**\nwrite:/**\n").unwrap_or_default(),
            token_expiry: Duration::from_secs(90 * 86_400),
            bounds: Bounds::DEFAULT,
            rules: Vec::new(),
            addresses: Vec::new(),
        }
    }
}

impl PairingSettings {
    /// How long pairing stays open that an operator opens and names no time.
    #[must_use]
    pub fn opened_for(&self) -> Duration {
        self.window.unwrap_or(OPEN_FOR)
    }

    /// Says what is wrong with the settings, and what mends it.
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
            Verdict::Approve(terms) | Verdict::Ask(terms) => terms.expires,
            Verdict::Reject { .. } => None,
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
