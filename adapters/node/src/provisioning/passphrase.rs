//! Passphrases that can be some.

use handfast_core::flow::provisioning::radio::{Security, Seen};

/// Returns `true` if this can be the passphrase of a network that was seen so. Others are wrong
/// without a try: neither NetworkManager nor wpa_supplicant takes them.
pub(super) fn is_passphrase(passphrase: &str, seen: Option<Seen>) -> bool {
    let length = passphrase.len();
    let is_key = length == 64 && passphrase.bytes().all(|byte| byte.is_ascii_hexdigit());
    match seen.map(|seen| seen.security) {
        Some(Security::Wpa3) => length > 0,
        Some(Security::Wpa2 | Security::Wpa2Wpa3) => (8..=63).contains(&length) || is_key,
        Some(Security::Open | Security::Wep | Security::Enterprise) | None => {
            length == 0 || (8..=63).contains(&length) || is_key
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_the_passphrase_of_a_network_is_told_by_how_it_is_secured() {
        let (short, key) = ("short", "ab".repeat(32));
        let (longest, too_long) = ("x".repeat(63), "x".repeat(64));
        for (security, passphrase, can_be) in [
            (Some(Security::Wpa2), "", false),
            (Some(Security::Wpa2), short, false),
            (Some(Security::Wpa2), "12345678", true),
            (Some(Security::Wpa2), &longest, true),
            (Some(Security::Wpa2), &too_long, false),
            (Some(Security::Wpa2), &key, true),
            (Some(Security::Wpa2Wpa3), short, false),
            (Some(Security::Wpa3), "", false),
            (Some(Security::Wpa3), short, true),
            (Some(Security::Open), "", true),
            (Some(Security::Open), short, false),
            (None, "", true),
            (None, "12345678", true),
            (None, short, false),
        ] {
            let seen = security.map(|security| Seen { security, signal: -50 });
            assert_eq!(is_passphrase(passphrase, seen), can_be, "{security:?} {passphrase}");
        }
    }
}
