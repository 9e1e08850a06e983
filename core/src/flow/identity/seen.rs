//! The binding of an approval to what the operator saw.
//!
//! A request is shown with its [`SeenHash`], and the approval brings the hash back. A node that
//! asks again with anything else gives its entry another hash, so the approval of what was shown
//! before is refused, and the operator is shown what has [changed](SeenChange).

use crate::crypto::fingerprint::Fingerprint;
use crate::crypto::{labels, sha256};
use crate::registry::record::Record;

/// A hash over all that an operator decides about: the node's fingerprint and signing key, its
/// name, the permissions that it asks for, the key of its certificate request, and its method.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeenHash([u8; 32]);

impl SeenHash {
    /// Computes the hash of a request as it stands in the registry.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let keys = record.keys.as_ref();
        let fingerprint = keys.map(|keys| Fingerprint::of(&keys.channel));
        let signing = keys.and_then(|keys| keys.signing.as_ref());
        let csr_key = record.asked.csr_key.as_ref();
        // An absent value is an empty part, which no present one is.
        Self(sha256::hash_parts(
            labels::SEEN,
            &[
                fingerprint.as_ref().map_or(&[][..], |fingerprint| fingerprint.as_bytes()),
                signing.map_or(&[][..], |key| key.as_bytes()),
                record.name.as_str().as_bytes(),
                record.asked.permissions.as_str().as_bytes(),
                csr_key.map_or(&[][..], |key| key.as_bytes()),
                record.asked.method.as_str().as_bytes(),
            ],
        ))
    }

    /// Reads the 64 hexadecimal digits that are displayed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut digits = text.bytes().map(|digit| match digit {
            b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
            b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
            // Upper case is refused, so that a hash has one spelling.
            _ => None,
        });
        for byte in &mut bytes {
            *byte = digits.next()?? << 4 | digits.next()??;
        }
        digits.next().is_none().then_some(Self(bytes))
    }

    /// Restores a hash from the bytes in a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes for a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl core::fmt::Display for SeenHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::fmt::Debug for SeenHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SeenHash({self})")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for SeenHash {
    fn format(&self, f: defmt::Formatter<'_>) {
        self.0.iter().for_each(|byte| defmt::write!(f, "{=u8:02x}", byte));
    }
}

/// The parts of a request that differ between two versions of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SeenChange {
    /// The node's keys differ.
    pub keys: bool,
    /// The name differs.
    pub name: bool,
    /// The permissions that the node asks for differ.
    pub permissions: bool,
    /// The key of the certificate request differs, or only one of the two requests has one.
    pub csr_key: bool,
    /// The method differs.
    pub method: bool,
}

impl SeenChange {
    /// Compares two versions of a request. Returns `None` if nothing differs that an operator
    /// decides about: both versions have the same [`SeenHash`].
    #[must_use]
    pub fn between(before: &Record, after: &Record) -> Option<Self> {
        let change = Self {
            keys: before.keys != after.keys,
            name: before.name != after.name,
            permissions: before.asked.permissions != after.asked.permissions,
            csr_key: before.asked.csr_key != after.asked.csr_key,
            method: before.asked.method != after.asked.method,
        };
        (change != Self::default()).then_some(change)
    }

    /// Iterates over the names of the parts that differ.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        [
            (self.keys, "keys"),
            (self.name, "name"),
            (self.permissions, "permissions"),
            (self.csr_key, "certificate key"),
            (self.method, "method"),
        ]
        .into_iter()
        .filter_map(|(differs, word)| differs.then_some(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{ed25519, x25519};
    use crate::entropy::Entropy;
    use crate::grant::capability::Holder;
    use crate::grant::certificate::KeyHash;
    use crate::grant::scope::AskedScopesBuf;
    use crate::id::NodeId;
    use crate::registry::record::{AskMethod, Asked, Standing};
    use crate::text::Label;
    use crate::time::UnixTime;
    use std::string::ToString;

    fn keys(channel: u8, signing: Option<u8>) -> Option<Holder> {
        let pair = |byte| ed25519::KeyPair::generate(&Entropy::from_recorded([byte; 32]));
        Some(Holder {
            channel: x25519::PublicKey::parse(&[channel; 32]).unwrap(),
            signing: signing.map(|byte| pair(byte).public()),
        })
    }

    fn request() -> Record {
        Record {
            node_id: NodeId::from_bytes([1; 16]),
            name: Label::parse("Kitchen").unwrap().into(),
            room: Label::UNKNOWN.into(),
            address: core::net::IpAddr::from([192, 0, 2, 1]),
            keys: keys(2, Some(3)),
            asked_at: UnixTime::from_secs(5),
            asked: Asked {
                permissions: AskedScopesBuf::parse("read:/a").unwrap(),
                csr_key: Some(KeyHash::from_bytes([4; 32])),
                method: AskMethod::Approval,
            },
            standing: Standing::Pending { expires: UnixTime::from_secs(9) },
        }
    }

    #[test]
    fn a_change_of_anything_that_is_decided_about_changes_the_hash_and_is_named() {
        let before = request();
        let asked = |asked: Asked| Record { asked, ..request() };
        let permissions = |text| AskedScopesBuf::parse(text).unwrap();
        let changes: [(&str, Record); 8] = [
            ("keys", Record { keys: keys(9, Some(3)), ..request() }),
            ("keys", Record { keys: keys(2, Some(9)), ..request() }),
            ("keys", Record { keys: keys(2, None), ..request() }),
            ("name", Record { name: Label::parse("Kitchen 2").unwrap().into(), ..request() }),
            (
                "permissions",
                asked(Asked { permissions: permissions("read:/**"), ..before.asked.clone() }),
            ),
            (
                "certificate key",
                asked(Asked {
                    csr_key: Some(KeyHash::from_bytes([5; 32])),
                    ..before.asked.clone()
                }),
            ),
            ("certificate key", asked(Asked { csr_key: None, ..before.asked.clone() })),
            ("method", asked(Asked { method: AskMethod::Pin, ..before.asked.clone() })),
        ];
        for (word, after) in changes {
            assert_ne!(SeenHash::of(&before), SeenHash::of(&after), "{word}");
            let change = SeenChange::between(&before, &after).unwrap();
            assert!(change.words().eq([word]), "{change:?}");
        }
    }

    #[test]
    fn what_nobody_decides_about_changes_nothing() {
        let after = Record {
            room: Label::parse("Hall").unwrap().into(),
            asked_at: UnixTime::from_secs(6),
            address: core::net::IpAddr::from([192, 0, 2, 9]),
            standing: Standing::Pending { expires: UnixTime::from_secs(99) },
            ..request()
        };
        assert_eq!(SeenHash::of(&request()), SeenHash::of(&after));
        assert_eq!(SeenChange::between(&request(), &after), None);
    }

    #[test]
    fn the_parts_cannot_be_shifted_into_each_other() {
        let with = |name: &str, permissions| Record {
            name: Label::parse(name).unwrap().into(),
            asked: Asked {
                permissions: AskedScopesBuf::parse(permissions).unwrap(),
                ..request().asked
            },
            ..request()
        };
        assert_ne!(SeenHash::of(&with("a", "read:/b")), SeenHash::of(&with("aread:/b", "")));
    }

    #[test]
    fn the_hash_reads_back_from_its_text() {
        let hash = SeenHash::of(&request());
        let text = hash.to_string();
        assert_eq!(SeenHash::parse(&text), Some(hash));
        for bad in ["", &text[1..], &std::format!("{text}0"), &text.to_uppercase()] {
            assert_eq!(SeenHash::parse(bad), None, "{bad}");
        }
    }
}
