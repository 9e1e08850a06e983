//! Core's computation of a node's permissions against a small model: the operator's decisions, the
//! node's confirmations, renewals and time, in any order.

use handfast_core::grant::scope::{Action, ScopesBuf};
use handfast_core::registry::ceiling::{Ceiling, Entitled, entitled, paired_anew};
use handfast_core::registry::grants::{Grant, GrantId, State, current};
use handfast_core::registry::renewal::{Fresh, Renewal, is_owed, renewal};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::path::Address;
use handfast_core::{NodeId, Span, UnixTime};

const BEGIN: UnixTime = UnixTime::from_secs(1_800_000_000);
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const OFFERED_FOR: Span = Span::from_secs(DAY);
const MOST_GRANTS: usize = 48;
/// Maximum number of grants that renewals make for one node within a day.
const MOST_A_DAY: usize = 16;

/// Scope sets that contain each other, overlap, or have nothing in common.
const SCOPES: [&str; 6] = [
    "write:/**\n",
    "write:/lights/**\n",
    "write:/lights/1\n",
    "write:/*/1\n",
    "read:/**\nwrite:/doors/*\n",
    "",
];
const PROBES: [(Action, &str); 6] = [
    (Action::Write, "/lights/1"),
    (Action::Write, "/lights/2"),
    (Action::Write, "/doors/1"),
    (Action::Write, "/doors/2"),
    (Action::Read, "/lights/1"),
    (Action::Admin, "/lights/1"),
];

/// One node, as a registry stores it.
struct Node {
    grants: Vec<Grant>,
    ceiling: Option<Ceiling>,
    now: UnixTime,
    renewable_for: Span,
    made: u8,
}

fn scopes(byte: u8) -> ScopesBuf {
    ScopesBuf::parse(SCOPES[usize::from(byte) % SCOPES.len()]).expect("scopes")
}

/// Returns the distance of an end in seconds: none, zero, or some time.
fn span(byte: u8) -> Option<u64> {
    [None, Some(0), Some(60), Some(HOUR), Some(DAY), Some(40 * DAY), Some(400 * DAY)]
        [usize::from(byte % 7)]
}

fn allows(set: &ScopesBuf, (action, address): (Action, &str)) -> bool {
    set.scopes().allows(action, &Address::parse(address).expect("an address"))
}

impl Node {
    fn end(&self, byte: u8) -> Option<UnixTime> {
        span(byte).map(|seconds| self.now.after(Span::from_secs(seconds)))
    }

    /// Makes an offer, which replaces unconfirmed ones.
    fn offer(&mut self, scopes: ScopesBuf, lives: Span, ends_by: Option<UnixTime>) {
        if self.grants.len() >= MOST_GRANTS {
            return;
        }
        for unconfirmed in
            self.grants.iter_mut().filter(|grant| matches!(grant.state, State::Offered { .. }))
        {
            unconfirmed.state = State::Ended;
        }
        self.made += 1;
        self.grants.push(Grant {
            id: GrantId::from_bytes([self.made; 16]),
            node_id: NodeId::from_bytes([1; 16]),
            capability: None,
            scopes,
            not_before: self.now,
            expires: Some(self.now.after(lives)).into_iter().chain(ends_by).min(),
            moved: 0,
            state: State::Offered { until: self.now.after(OFFERED_FOR) },
            maker: Maker::Operator,
        });
    }

    fn decides(&mut self, ceiling: Ceiling, lives: Span) {
        self.offer(ceiling.scopes.clone(), lives, ceiling.expires);
        self.ceiling = Some(ceiling);
    }

    fn confirms(&mut self) {
        let now = self.now;
        let Some(at) = self.grants.iter().rposition(|grant| grant.counts(now)) else { return };
        self.grants.iter_mut().take(at).for_each(|older| older.state = State::Ended);
        self.grants[at].state = State::Active;
    }

    fn renews(&mut self) {
        let is_over = self.ceiling.as_ref().is_some_and(|ceiling| ceiling.is_over(self.now));
        let fresh = match renewal(&self.grants, self.ceiling.as_ref(), self.renewable_for, self.now)
        {
            Renewal::Again(again) => {
                assert!(
                    !is_over
                        && again.counts(self.now)
                        && matches!(again.state, State::Offered { .. })
                );
                assert!(
                    self.ceiling.as_ref().is_none_or(|ceiling| ceiling.scopes == again.scopes),
                    "it is what was decided last"
                );
                None
            }
            Renewal::Fresh(Fresh { newest, scopes, lives, ends_by, maker: _ }) => {
                assert!(!is_over, "nothing is made from a ceiling that is over");
                assert!(
                    newest.state != State::Ended,
                    "what was ended does not come back by asking"
                );
                assert_eq!(ends_by, self.ceiling.as_ref().and_then(|ceiling| ceiling.expires));
                assert!(
                    self.ceiling.as_ref().is_none_or(|ceiling| ceiling.scopes == *scopes),
                    "it is made from the ceiling"
                );
                Some((scopes.clone(), lives.unwrap_or(Span::from_secs(HOUR)), ends_by))
            }
            Renewal::TooOften | Renewal::Nothing => None,
        };
        if let Some((scopes, lives, ends_by)) = fresh {
            let of_a_day = self
                .grants
                .iter()
                .filter(|grant| self.now < grant.not_before.after(Span::from_secs(DAY)));
            assert!(of_a_day.count() < MOST_A_DAY, "renewing fills no registry");
            self.offer(scopes, lives, ends_by);
        }
    }

    fn pairs_anew(&mut self, brings: Ceiling) {
        let before = self.ceiling.clone();
        let after = paired_anew(before.as_ref(), brings.clone(), self.now);
        match before {
            Some(decided) if decided.named => {
                assert!(
                    after.named && after.scopes == decided.scopes,
                    "what was decided about the node itself stays"
                );
                assert!(
                    decided.is_over(self.now) || after.expires == decided.expires,
                    "and its end, while it is not over"
                );
            }
            Some(_) | None => assert_eq!(after, brings),
        }
        self.decides(after, Span::from_secs(DAY));
    }

    /// Checks that the scopes in force are those that the current grant and the ceiling both allow,
    /// while neither has expired.
    fn check(&self) {
        let ceiling = self.ceiling.as_ref();
        let held = current(&self.grants, self.now);
        let is_over = ceiling.is_some_and(|ceiling| ceiling.is_over(self.now));
        match entitled(&self.grants, ceiling, self.renewable_for, self.now) {
            Entitled::InForce(in_force, ends) => {
                let held = held.expect("something is in force, and there is no grant");
                assert!(!is_over, "a ceiling that is over allows nothing");
                for probe in PROBES {
                    let expected = allows(&held.scopes, probe)
                        && ceiling.is_none_or(|ceiling| allows(&ceiling.scopes, probe));
                    let address = Address::parse(probe.1).expect("an address");
                    assert_eq!(
                        in_force.allows(probe.0, &address),
                        expected,
                        "{probe:?} by {held:?} under {ceiling:?}"
                    );
                    assert!(
                        !allows(&in_force.at_most(), probe) || expected,
                        "{probe:?} is more than what is in force"
                    );
                }
                let least = held
                    .ends()
                    .into_iter()
                    .chain(ceiling.and_then(|ceiling| ceiling.expires))
                    .min();
                assert_eq!(ends, least);
                assert!(ends.is_none_or(|ends| self.now < ends), "it has ended");
            }
            Entitled::Renewal => {
                assert!(held.is_none() && !is_over);
                let ran_out = self.grants.iter().filter(|grant| grant.state != State::Ended);
                assert!(
                    ran_out
                        .filter_map(Grant::ends)
                        .any(|end| self.now < end.after(self.renewable_for))
                );
            }
            Entitled::Nothing => assert!(held.is_none() || is_over),
        }
        // A node that holds the latest decision, with no newer offer, is owed nothing.
        let newest = self.grants.iter().rfind(|grant| grant.counts(self.now));
        let has_all = newest
            .is_some_and(|newest| ceiling.is_none_or(|ceiling| ceiling.scopes == newest.scopes));
        let holds = newest.map(|newest| newest.id);
        assert_eq!(is_owed(&self.grants, ceiling, holds, self.now), newest.is_some() && !has_all);
    }
}

/// Runs a script: three bytes select an event and its size.
///
/// # Panics
/// If the scopes in force differ from what the ceiling and the confirmed grant both allow, if they
/// outlast either, or if a renewal makes anything but the latest decision.
pub fn script(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let renewable_for = Span::from_secs([0, HOUR, 365 * DAY][usize::from(first % 3)]);
    let mut node = Node { grants: Vec::new(), ceiling: None, now: BEGIN, renewable_for, made: 0 };
    for op in rest.chunks_exact(3) {
        let (what, which, much) = (op[0], op[1], op[2]);
        let ceiling = |node: &Node, named| Ceiling {
            scopes: scopes(which),
            expires: node.end(much),
            named,
            maker: Maker::Operator,
        };
        match what % 8 {
            0 | 1 => {
                node.decides(ceiling(&node, true), Span::from_secs(span(much / 7).unwrap_or(DAY)));
            }
            2 => node.confirms(),
            3 => node.renews(),
            4 => node.pairs_anew(ceiling(&node, false)),
            5 => node.now = node.now.after(Span::from_secs(u64::from(which) * 60)),
            6 => node.now = node.now.after(Span::from_secs(u64::from(which) * DAY)),
            // The operator ends all grants, or a grant is made without a decision.
            _ if which % 2 == 0 => {
                node.grants.iter_mut().for_each(|grant| grant.state = State::Ended);
            }
            _ => node.offer(scopes(much), Span::from_secs(span(which / 2).unwrap_or(DAY)), None),
        }
        node.check();
    }
}
