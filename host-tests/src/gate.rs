//! The inbound gate's registry against a model of its table: lists that are searched, and one rule
//! after the other.

use handfast_core::flow::inbound::{Challenge, Dropped, Verdict};
use handfast_core::registry::inbound::{ChallengeCode, Facts, InboundLimits, SenderId};
use handfast_core::{Span, UnixTime};
use handfast_edge::blocking::block_on;
use handfast_store::{
    Approved, Challenged, Inbound, MemoryStore, SenderChange, SenderFilter, SenderStanding,
};

/// Names that differ only by a separator, the case or the account.
const SENDERS: [(&str, &str, &str); 8] = [
    ("c", "a", "s"),
    ("c", "a", "S"),
    ("c", "a|s", "s"),
    ("c", "a", "s|s"),
    ("c", "b", "s"),
    ("d", "a", "s"),
    ("c", "a", "t"),
    ("c", "a", "u"),
];
const CODES: [&str; 5] = ["AAAAAAAA", "BBBBBBBB", "CCCCCCCC", "DDDDDDDD", "EEEEEEEE"];
const LIMITS: InboundLimits = InboundLimits {
    pending_for: Span::from_secs(3600),
    pending_of_account: 3,
    pending_total: 5,
    told_every: Span::from_secs(60),
};

type Name = (&'static str, &'static str, &'static str);

/// Standing of a sender: blocked or not, and its permissions with their ends and revocations.
type Standing = (bool, Vec<(Option<u64>, bool)>);

#[derive(Clone, Debug)]
struct Waiting {
    name: Name,
    code: &'static str,
    since: u64,
    told: u64,
}

#[derive(Clone, Debug, Default)]
struct Model {
    waiting: Vec<Waiting>,
    /// Permissions: name, end, and `true` if revoked.
    allowed: Vec<(Name, Option<u64>, bool)>,
    /// Blocked names; an empty account stands for all accounts.
    blocked: Vec<Name>,
}

impl Waiting {
    const fn is_live(&self, now: u64) -> bool {
        now < self.since + 3600 && self.since <= now + 3600
    }
}

impl Model {
    fn is_blocked(&self, name: Name) -> bool {
        self.blocked.iter().any(|(channel, account, sender)| {
            (*channel, *sender) == (name.0, name.2) && (account.is_empty() || *account == name.1)
        })
    }

    fn is_allowed(&self, name: Name, now: u64) -> bool {
        self.allowed.iter().any(|(of, until, revoked)| {
            *of == name && !revoked && until.is_none_or(|until| now < until)
        })
    }

    /// Applies the decision table line by line.
    fn challenge(
        &mut self,
        name: Name,
        fresh: &'static str,
        now: u64,
    ) -> Option<(&'static str, &'static str)> {
        let live = |waiting: &&Waiting| waiting.is_live(now);
        let verdict = if self.is_blocked(name) {
            ("drop, blocked", "")
        } else if self.is_allowed(name, now) {
            ("admit", "")
        } else if let Some(waiting) =
            self.waiting.iter_mut().find(|waiting| waiting.name == name && waiting.is_live(now))
        {
            if now >= waiting.told + 60 || now < waiting.told {
                waiting.told = now;
                ("again", waiting.code)
            } else {
                ("quiet", waiting.code)
            }
        } else if self
            .waiting
            .iter()
            .filter(live)
            .filter(|w| (w.name.0, w.name.1) == (name.0, name.1))
            .count()
            >= 3
            || self.waiting.iter().filter(live).count() >= 5
        {
            ("drop, full", "")
        } else if self.waiting.iter().filter(live).any(|waiting| waiting.code == fresh) {
            return None;
        } else {
            self.waiting.retain(|waiting| waiting.name != name && waiting.code != fresh);
            self.waiting.push(Waiting { name, code: fresh, since: now, told: now });
            ("new", fresh)
        };
        // A sender that need not wait does not clear anything away.
        if !matches!(verdict.0, "admit" | "drop, blocked") {
            self.waiting.retain(|waiting| waiting.is_live(now));
        }
        Some(verdict)
    }

    fn allow(&mut self, name: Name, until: Option<u64>) {
        self.waiting.retain(|waiting| waiting.name != name);
        self.allowed.retain(|(of, ..)| *of != name);
        self.allowed.push((name, until, false));
    }

    fn change(&mut self, name: Name, all: bool, change: &SenderChange) {
        let is_meant = |of: &Name| (of.0, of.2) == (name.0, name.2) && (all || of.1 == name.1);
        match change {
            SenderChange::Allow { until, .. } => {
                self.blocked.retain(|of| {
                    (of.0, of.2) != (name.0, name.2) || !(of.1.is_empty() || of.1 == name.1)
                });
                self.allow(name, until.map(UnixTime::as_secs));
            }
            SenderChange::Reject => self.waiting.retain(|waiting| !is_meant(&waiting.name)),
            SenderChange::Block => {
                let of = if all { (name.0, "", name.2) } else { name };
                if !self.blocked.contains(&of) {
                    self.blocked.push(of);
                }
                self.waiting.retain(|waiting| !is_meant(&waiting.name));
                self.allowed
                    .iter_mut()
                    .filter(|(of, ..)| is_meant(of))
                    .for_each(|(.., revoked)| *revoked = true);
            }
            SenderChange::Unblock => self.blocked.retain(|of| !is_meant(of)),
            SenderChange::Revoke => {
                self.allowed
                    .iter_mut()
                    .filter(|(of, ..)| is_meant(of))
                    .for_each(|(.., revoked)| *revoked = true);
            }
            // It changes no message's fate, and no script here has it.
            SenderChange::Forget => {}
        }
    }

    /// Returns the standing of every sender that may be cached.
    fn standing(&self) -> Vec<Standing> {
        let of = |name: &Name| {
            self.allowed
                .iter()
                .filter(|(of, ..)| of == name)
                .map(|(_, until, revoked)| (*until, *revoked))
                .collect()
        };
        SENDERS.iter().map(|name| (self.is_blocked(*name), of(name))).collect()
    }
}

/// Plays arbitrary bytes as a script of events at a gate. After each operation, store and model
/// agree on every sender, the caps hold, no two senders wait with the same code, and cached
/// decisions about a changed standing are dropped.
///
/// # Panics
/// If one of these does not hold.
pub fn script(data: &[u8]) {
    let store = MemoryStore::default();
    let mut model = Model::default();
    let mut now = 1_750_000_000;
    for operation in data.chunks_exact(3) {
        let (epoch, standing) = (store.inbound_epoch(), model.standing());
        operate(&store, &mut model, &mut now, [operation[0], operation[1], operation[2]]);
        assert!(
            standing == model.standing() || store.inbound_epoch() != epoch,
            "a change is not told"
        );
        same(&store, &model, now);
    }
}

fn operate(
    store: &MemoryStore,
    model: &mut Model,
    now: &mut u64,
    [code, which, argument]: [u8; 3],
) {
    let name = SENDERS[usize::from(which) % SENDERS.len()];
    let at = UnixTime::from_secs(*now);
    let all = argument & 1 == 1;
    let change = |change: SenderChange, model: &mut Model| {
        model.change(name, all, &change);
        let changed =
            block_on(store.change_sender(name.0, (!all).then_some(name.1), name.2, change, at));
        assert!(changed.is_ok(), "{changed:?}");
    };
    match code % 12 {
        0..=3 => {
            let fresh = CODES[usize::from(argument) % CODES.len()];
            let expected = model.challenge(name, fresh, *now);
            let challenged =
                block_on(store.challenge(id(name), "{}".to_owned(), parsed(fresh), &LIMITS, at));
            assert_eq!(
                words(challenged.expect("memory does not fail").0),
                expected.map(|(what, code)| (what, code.to_owned()))
            );
        }
        4 => {
            let code = CODES[usize::from(argument) % CODES.len()];
            let found = model.waiting.iter().find(|waiting| waiting.code == code).cloned();
            let approved =
                block_on(store.approve(parsed(code), "test".to_owned(), None, &LIMITS, at))
                    .expect("memory does not fail");
            model.waiting.retain(|waiting| waiting.code != code);
            match found {
                Some(waiting) if waiting.is_live(*now) => {
                    model.allow(waiting.name, None);
                    assert!(
                        matches!(approved, Approved::Sender(name) if (&*name.channel, &*name.account, &*name.sender) == waiting.name)
                    );
                }
                Some(waiting) => assert!(
                    matches!(approved, Approved::Expired(name) if (&*name.channel, &*name.account, &*name.sender) == waiting.name)
                ),
                None => assert_eq!(approved, Approved::Unknown),
            }
        }
        5 => {
            let until =
                (argument & 2 == 2).then(|| UnixTime::from_secs(*now + u64::from(argument)));
            let allow = SenderChange::Allow { via: "test".to_owned(), until };
            model.change(name, false, &allow);
            let changed = block_on(store.change_sender(name.0, Some(name.1), name.2, allow, at));
            assert!(changed.is_ok(), "{changed:?}");
        }
        6 => change(SenderChange::Reject, model),
        7 => change(SenderChange::Block, model),
        8 => change(SenderChange::Unblock, model),
        9 => change(SenderChange::Revoke, model),
        10 => {
            let senders = vec![name.2.to_owned(), "t".to_owned()];
            for sender in [name.2, "t"] {
                let of = (name.0, name.1, sender);
                if !model.is_blocked(of) && !model.is_allowed(of, *now) {
                    model.allow(of, None);
                }
            }
            let seeded = block_on(store.seed(name.0, name.1, senders, "test".to_owned(), at));
            assert!(seeded.is_ok(), "{seeded:?}");
        }
        // The clock goes forward, and now and then back.
        _ => {
            *now = if which & 7 == 7 {
                *now - u64::from(argument) * 20
            } else {
                *now + u64::from(argument) * 20
            }
        }
    }
}

fn id((channel, account, sender): Name) -> SenderId<'static> {
    SenderId::parse(channel, account, sender).expect("three names")
}

fn parsed(code: &str) -> ChallengeCode {
    ChallengeCode::parse(code).expect("a code")
}

fn words(challenged: Challenged) -> Option<(&'static str, String)> {
    let Challenged::Decided(verdict) = challenged else { return None };
    Some(match verdict {
        Verdict::Admit => ("admit", String::new()),
        Verdict::Drop(Dropped::Blocked) => ("drop, blocked", String::new()),
        Verdict::Drop(Dropped::Full) => ("drop, full", String::new()),
        Verdict::Drop(Dropped::Nobody | Dropped::NotASender | Dropped::ClockInDoubt) => {
            ("drop, nobody", String::new())
        }
        Verdict::Challenge(Challenge::New(code)) => ("new", code.to_string()),
        Verdict::Challenge(Challenge::Again(code)) => ("again", code.to_string()),
        Verdict::Challenge(Challenge::Quiet(code)) => ("quiet", code.to_string()),
    })
}

fn same(store: &MemoryStore, model: &Model, now: u64) {
    let at = UnixTime::from_secs(now);
    for name in SENDERS {
        let facts: Facts =
            block_on(store.facts(id(name), &LIMITS, at)).expect("memory does not fail");
        let allowed = facts.allowed.is_some_and(|allowed| allowed.is_active(at));
        assert_eq!(
            (facts.blocked, allowed),
            (model.is_blocked(name), model.is_allowed(name, now)),
            "{name:?}"
        );
    }
    let all = block_on(store.senders(SenderFilter::default(), None, 100, &LIMITS, at))
        .expect("memory does not fail");
    let mut listed: Vec<_> = all
        .iter()
        .filter_map(|sender| match &sender.standing {
            SenderStanding::Pending { code, .. } => Some((
                sender.name.channel.as_str(),
                sender.name.account.as_str(),
                sender.name.sender.as_str(),
                code.to_string(),
            )),
            SenderStanding::Allowed { .. } | SenderStanding::Blocked { .. } => None,
        })
        .collect();
    let live = model.waiting.iter().filter(|waiting| waiting.is_live(now));
    let mut expected: Vec<_> =
        live.map(|w| (w.name.0, w.name.1, w.name.2, w.code.to_owned())).collect();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    let mut codes: Vec<_> = listed.iter().map(|(.., code)| code).collect();
    codes.sort();
    codes.dedup();
    // Setting the clock back can revive expired requests that are not cleared away yet, but never
    // more than the caps allowed at once.
    assert!(codes.len() == listed.len(), "two wait with one code");
}
