//! A long random life of senders.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::flow::inbound::{Challenge, ChannelPolicy, Dropped, Seen, Verdict, decide};
use handfast_core::registry::inbound::{Allowed, ChallengeCode, Facts, Pending};
use handfast_core::{Span, UnixTime};

use super::START;
use super::inbound::{LIMITS, code, facts, id, name};
use super::reading::Chance;
use crate::{
    Approved, Challenged, ListedSender, SenderChange, SenderFilter, SenderName, SenderStanding,
    Store,
};

/// The registry of senders as three lists that are searched from end to end.
#[derive(Default)]
struct Model {
    waiting: Vec<(SenderName, Pending)>,
    allowed: Vec<(SenderName, UnixTime, Allowed)>,
    blocked: Vec<(SenderName, UnixTime)>,
    standings: u64,
}

impl Model {
    fn is_blocked(&self, name: &SenderName) -> bool {
        let covers = |block: &SenderName| block.account.is_empty() || block.account == name.account;
        self.blocked.iter().any(|(block, _)| {
            block.channel == name.channel && block.sender == name.sender && covers(block)
        })
    }

    fn facts(&self, name: &SenderName, now: UnixTime) -> Facts {
        let blocked = self.is_blocked(name);
        let allowed =
            self.allowed.iter().find(|(other, ..)| other == name).map(|(.., allowed)| *allowed);
        if blocked || allowed.is_some_and(|allowed| allowed.is_active(now)) {
            return Facts { blocked, allowed, ..Facts::default() };
        }
        let live = self.waiting.iter().filter(|(_, pending)| pending.is_live(&LIMITS, now));
        let of_account = live
            .clone()
            .filter(|(other, _)| other.channel == name.channel && other.account == name.account);
        Facts {
            blocked,
            allowed,
            pending: self
                .waiting
                .iter()
                .find(|(other, _)| other == name)
                .map(|(_, pending)| *pending),
            pending_of_account: of_account.count() as u32,
            pending_total: live.count() as u32,
        }
    }

    fn challenge(
        &mut self,
        name: &SenderName,
        fresh: ChallengeCode,
        now: UnixTime,
    ) -> (Challenged, u32) {
        let verdict = decide(
            ChannelPolicy { auto_challenge: true },
            Seen::Sender,
            &self.facts(name, now),
            &LIMITS,
            fresh,
            now,
        );
        let before = self.waiting.len();
        let is_live = |pending: &Pending| pending.is_live(&LIMITS, now);
        if let Verdict::Challenge(Challenge::New(code)) = verdict
            && self.waiting.iter().any(|(_, pending)| pending.code == code && is_live(pending))
        {
            return (Challenged::CodeTaken, 0);
        }
        if matches!(verdict, Verdict::Admit | Verdict::Drop(Dropped::Blocked)) {
            return (Challenged::Decided(verdict), 0);
        }
        self.waiting.retain(|(_, pending)| is_live(pending));
        let gone = before - self.waiting.len();
        assert!(gone <= 32, "the world is small");
        match verdict {
            Verdict::Challenge(Challenge::New(code)) => {
                self.waiting.push((name.clone(), Pending { code, created_at: now, told_at: now }));
            }
            Verdict::Challenge(Challenge::Again(_)) => {
                self.waiting
                    .iter_mut()
                    .filter(|(other, _)| other == name)
                    .for_each(|(_, pending)| pending.told_at = now);
            }
            _ => {}
        }
        (Challenged::Decided(verdict), gone as u32)
    }

    fn approve(&mut self, code: ChallengeCode, now: UnixTime) -> Approved {
        let Some(place) = self.waiting.iter().position(|(_, pending)| pending.code == code) else {
            return Approved::Unknown;
        };
        let (name, pending) = self.waiting.remove(place);
        if !pending.is_live(&LIMITS, now) {
            return Approved::Expired(name);
        }
        self.allow(&name, None, now);
        Approved::Sender(name)
    }

    fn allow(&mut self, name: &SenderName, until: Option<UnixTime>, now: UnixTime) {
        self.allowed.retain(|(other, ..)| other != name);
        self.allowed.push((name.clone(), now, Allowed { until, revoked_at: None }));
        self.standings += 1;
    }

    fn change(
        &mut self,
        name: &SenderName,
        everywhere: bool,
        change: &SenderChange,
        now: UnixTime,
    ) -> u64 {
        let meant = |other: &SenderName| {
            other.channel == name.channel
                && other.sender == name.sender
                && (everywhere || other.account == name.account)
        };
        let all = SenderName { account: String::new(), ..name.clone() };
        let (waited, blocks) = (self.waiting.len(), self.blocked.len());
        let mut rows = 0;
        match change {
            SenderChange::Allow { until, .. } => {
                self.waiting.retain(|(other, _)| other != name);
                self.blocked.retain(|(other, _)| other != name && *other != all);
                self.allow(name, *until, now);
                return (1 + waited - self.waiting.len() + blocks - self.blocked.len()) as u64;
            }
            SenderChange::Reject => self.waiting.retain(|(other, _)| !meant(other)),
            SenderChange::Block => {
                let block = if everywhere { all } else { name.clone() };
                if !self.blocked.iter().any(|(other, _)| *other == block) {
                    self.blocked.push((block, now));
                    rows += 1;
                }
                self.waiting.retain(|(other, _)| !meant(other));
            }
            SenderChange::Unblock => {
                self.blocked.retain(|(other, _)| !meant(other));
                rows += (blocks - self.blocked.len()) as u64;
            }
            // No life here forgets, because the names in the log are no part of it.
            SenderChange::Revoke | SenderChange::Forget => {}
        }
        if matches!(change, SenderChange::Block | SenderChange::Revoke) {
            for (_, _, allowed) in self.allowed.iter_mut().filter(|(other, ..)| meant(other)) {
                rows += u64::from(allowed.revoked_at.is_none());
                allowed.revoked_at = allowed.revoked_at.or(Some(now));
            }
        }
        self.standings += u64::from(rows > 0);
        rows + (waited - self.waiting.len()) as u64
    }

    fn seed(&mut self, names: &[SenderName], now: UnixTime) -> u64 {
        let before = self.standings;
        let mut new = 0;
        for name in names {
            let known = self.facts(name, now);
            if !known.blocked && !known.allowed.is_some_and(|allowed| allowed.is_active(now)) {
                self.waiting.retain(|(other, _)| other != name);
                self.allow(name, None, now);
                new += 1;
            }
        }
        self.standings = before + u64::from(new > 0);
        new
    }

    fn listed(&self, now: UnixTime) -> Vec<ListedSender> {
        let mut waiting: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, pending)| pending.is_live(&LIMITS, now))
            .cloned()
            .collect();
        waiting.sort_by_key(|(name, _)| name.clone());
        let waiting = waiting.into_iter().map(|(name, Pending { code, created_at, .. })| {
            (name, SenderStanding::Pending { code, created_at, meta: "{}".to_owned() })
        });
        let mut allowed = self.allowed.clone();
        allowed.sort_by_key(|(name, ..)| name.clone());
        let allowed = allowed.into_iter().map(|(name, at, Allowed { until, revoked_at })| {
            (name, SenderStanding::Allowed { at, via: "cli".to_owned(), until, revoked_at })
        });
        let mut blocked = self.blocked.clone();
        blocked.sort();
        let blocked = blocked.into_iter().map(|(name, at)| (name, SenderStanding::Blocked { at }));
        waiting
            .chain(allowed)
            .chain(blocked)
            .map(|(name, standing)| ListedSender { name, standing })
            .collect()
    }
}

/// Makes random calls with a clock that also goes back, on this store and on the model.
pub async fn a_long_random_life_of_senders_is_that_of_a_simple_model(store: Arc<dyn Store>) {
    let (mut model, mut chance, mut now) = (Model::default(), Chance(0x5e4d_e125), START);
    let world: Vec<SenderName> = (0..18)
        .map(|number| {
            name(
                ["wa", "tg"][number % 2],
                ["home", "work", "Home"][number / 2 % 3],
                ["ana", "Ana", "ben"][number / 6],
            )
        })
        .collect();
    for round in 0..1500 {
        now = match chance.below(40) {
            0 => UnixTime::from_secs(now.as_secs() - 150),
            1 => now.after(Span::from_secs(120)),
            _ => now.after(Span::from_secs(chance.below(6))),
        };
        let sender = &world[chance.below(18) as usize];
        // The codes are few, so that some are taken and others hit.
        let number = code(chance.below(14));
        match chance.below(12) {
            0..6 => {
                let here = store
                    .challenge(id(sender), "{}".to_owned(), number, &LIMITS, now)
                    .await
                    .unwrap();
                assert_eq!(here, model.challenge(sender, number, now), "round {round}");
            }
            6 => {
                let here =
                    store.approve(number, "cli".to_owned(), None, &LIMITS, now).await.unwrap();
                assert_eq!(here, model.approve(number, now), "round {round}");
            }
            7 if chance.below(4) == 0 => {
                let names: Vec<_> = world
                    .iter()
                    .filter(|other| {
                        (&other.channel, &other.account) == (&sender.channel, &sender.account)
                    })
                    .cloned()
                    .collect();
                let senders = names.iter().map(|name| name.sender.clone()).collect();
                let here = store
                    .seed(&sender.channel, &sender.account, senders, "cli".to_owned(), now)
                    .await
                    .unwrap();
                assert_eq!(here, model.seed(&names, now), "round {round}");
            }
            _ => {
                let until =
                    (chance.below(2) == 0).then(|| now.after(Span::from_secs(chance.below(60))));
                let change = match chance.below(6) {
                    0 => SenderChange::Allow { via: "cli".to_owned(), until },
                    1 => SenderChange::Reject,
                    2 => SenderChange::Block,
                    3 => SenderChange::Revoke,
                    _ => SenderChange::Unblock,
                };
                let everywhere =
                    chance.below(3) == 0 && !matches!(change, SenderChange::Allow { .. });
                let account = (!everywhere).then_some(sender.account.as_str());
                let here = store
                    .change_sender(&sender.channel, account, &sender.sender, change.clone(), now)
                    .await
                    .unwrap();
                assert_eq!(
                    here,
                    model.change(sender, everywhere, &change, now),
                    "round {round}: {change:?}"
                );
            }
        }
        assert_eq!(store.inbound_epoch(), model.standings, "round {round}");
        let everything = SenderFilter { all: true, include_revoked: true, channel: None };
        let listed = store.senders(everything, None, usize::MAX, &LIMITS, now).await.unwrap();
        assert_eq!(listed, model.listed(now), "round {round}");
        for sender in &world {
            assert_eq!(
                facts(&*store, sender, now).await,
                model.facts(sender, now),
                "round {round}: {sender:?}"
            );
        }
        let waiting = store.waiting_senders(&LIMITS, now).await.unwrap();
        for channel in ["wa", "tg"] {
            let here =
                waiting.iter().find(|(name, _)| name == channel).map_or(0, |(_, number)| *number);
            let live = model
                .waiting
                .iter()
                .filter(|(name, pending)| name.channel == channel && pending.is_live(&LIMITS, now));
            assert_eq!(here, live.count() as u64, "round {round}: {channel}");
        }
    }
    assert!(model.standings > 200);
}
