//! Delegates seen since the gateway started. Of these holders of chains, the gateway knows no more
//! than that they linked.

use std::collections::HashMap;
use std::sync::Mutex;

use handfast_core::UnixTime;
use handfast_core::crypto::fingerprint::Fingerprint;

use crate::events::Event;

/// Maximum number of remembered delegates. Beyond it, the subject with the most delegates loses
/// one: the one that has been offline for longest.
const MOST_DELEGATES: usize = 4096;

/// A delegate that has linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delegate {
    /// The fingerprint of its static key.
    pub fingerprint: Fingerprint,
    /// Fingerprint of the node to which the gateway issued the chain's root.
    pub subject: Fingerprint,
    /// `true` while its link is open.
    pub online: bool,
    /// Time at which its link last opened or ended.
    pub seen: UnixTime,
}

/// All delegates that have linked since the gateway started, by fingerprint.
#[derive(Debug, Default)]
pub(crate) struct Delegates(Mutex<HashMap<[u8; 15], Delegate>>);

impl Delegates {
    /// Updates the table with an event.
    pub(crate) fn learn(&self, event: &Event, now: UnixTime) {
        let mut all = self.0.lock().expect("no thread panics while it holds the delegates");
        match event {
            Event::DelegateLinked { fingerprint, subject } => {
                if all.len() >= MOST_DELEGATES && !all.contains_key(fingerprint.as_bytes()) {
                    let mut subjects: HashMap<_, usize> = HashMap::new();
                    all.values().for_each(|delegate| {
                        *subjects.entry(*delegate.subject.as_bytes()).or_default() += 1;
                    });
                    let most = subjects.values().copied().max().unwrap_or_default();
                    let crowd = all.values().filter(|delegate| {
                        subjects.get(delegate.subject.as_bytes()) == Some(&most)
                    });
                    let longest_away =
                        crowd.min_by_key(|delegate| (delegate.online, delegate.seen)).copied();
                    longest_away.map(|delegate| all.remove(delegate.fingerprint.as_bytes()));
                }
                let delegate = Delegate {
                    fingerprint: *fingerprint,
                    subject: *subject,
                    online: true,
                    seen: now,
                };
                all.insert(*fingerprint.as_bytes(), delegate);
            }
            Event::DelegateUnlinked { fingerprint } => {
                if let Some(delegate) = all.get_mut(fingerprint.as_bytes()) {
                    (delegate.online, delegate.seen) = (false, now);
                }
            }
            Event::Asked { .. }
            | Event::AskRefused { .. }
            | Event::Paired(..)
            | Event::Decided { .. }
            | Event::Linked(..)
            | Event::Unlinked(..)
            | Event::Replaced { .. }
            | Event::Pushed(..)
            | Event::Pinged { .. }
            | Event::Dispatch { .. }
            | Event::LeftOut { .. }
            | Event::PairingRequest { .. }
            | Event::CodeWrong { .. }
            | Event::CodeLocked
            | Event::PinsLockedFor { .. }
            | Event::WindowOpened { .. }
            | Event::SessionOpened { .. }
            | Event::SessionRevoked { .. }
            | Event::LoggedIn { .. }
            | Event::LoginEnded { .. }
            | Event::CompanionLinked { .. }
            | Event::CompanionUnlinked { .. }
            | Event::SenderAsked { .. }
            | Event::SenderAllowed { .. }
            | Event::SenderDecided { .. }
            | Event::SendersSeeded { .. }
            | Event::WindowClosed
            | Event::WindowLocked
            | Event::CertificateIssued { .. }
            | Event::CertificatesRevoked { .. }
            | Event::CloneAlarm { .. }
            | Event::GatewayIsOlder { .. }
            | Event::GrantOffered { .. }
            | Event::GrantActivated { .. }
            | Event::GrantRevoked { .. } => {}
        }
    }

    /// Returns the delegates of each node by its fingerprint, in the order of their own
    /// fingerprints.
    pub(crate) fn by_subject(&self) -> HashMap<[u8; 15], Vec<Delegate>> {
        let all = self.0.lock().expect("no thread panics while it holds the delegates");
        let mut grouped: HashMap<_, Vec<_>> = HashMap::new();
        all.values().for_each(|delegate| {
            grouped.entry(*delegate.subject.as_bytes()).or_default().push(*delegate);
        });
        grouped
            .values_mut()
            .for_each(|group| group.sort_by_key(|delegate| *delegate.fingerprint.as_bytes()));
        grouped
    }
}

#[cfg(test)]
mod tests {
    use handfast_core::crypto::x25519::PublicKey;

    use super::*;

    fn fingerprint(byte: u8) -> Fingerprint {
        Fingerprint::of(&PublicKey::parse(&[byte; 32]).unwrap())
    }

    #[test]
    fn a_delegate_stays_under_its_delegator_after_its_link_has_ended() {
        let delegates = Delegates::default();
        let [at, later] = [10, 20].map(UnixTime::from_secs);
        delegates.learn(
            &Event::DelegateLinked { fingerprint: fingerprint(1), subject: fingerprint(9) },
            at,
        );
        delegates.learn(&Event::DelegateUnlinked { fingerprint: fingerprint(1) }, later);
        let seen = &delegates.by_subject()[fingerprint(9).as_bytes()];
        assert_eq!(
            seen[..],
            [Delegate {
                fingerprint: fingerprint(1),
                subject: fingerprint(9),
                online: false,
                seen: later
            }]
        );
    }

    #[test]
    fn only_so_many_are_remembered_and_whoever_is_away_is_forgotten_first() {
        let delegates = Delegates::default();
        let numbered = |number: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            Fingerprint::of(&PublicKey::parse(&key).unwrap())
        };
        for number in 0..=MOST_DELEGATES {
            let at = UnixTime::from_secs(number as u64);
            if number == MOST_DELEGATES {
                delegates.learn(&Event::DelegateUnlinked { fingerprint: numbered(7) }, at);
            }
            delegates.learn(
                &Event::DelegateLinked { fingerprint: numbered(number), subject: fingerprint(9) },
                at,
            );
        }
        let seen = &delegates.by_subject()[fingerprint(9).as_bytes()];
        assert_eq!(seen.len(), MOST_DELEGATES);
        assert!(!seen.iter().any(|delegate| delegate.fingerprint == numbered(7)));
        // However many of one subject come, the single one of another stays.
        let at = UnixTime::from_secs(0);
        delegates.learn(
            &Event::DelegateLinked { fingerprint: fingerprint(1), subject: fingerprint(8) },
            at,
        );
        delegates.learn(&Event::DelegateUnlinked { fingerprint: fingerprint(1) }, at);
        for number in MOST_DELEGATES + 1..MOST_DELEGATES + 10 {
            delegates.learn(
                &Event::DelegateLinked { fingerprint: numbered(number), subject: fingerprint(9) },
                at,
            );
        }
        assert_eq!(delegates.by_subject()[fingerprint(8).as_bytes()].len(), 1);
    }
}
