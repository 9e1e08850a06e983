//! A node that asks again and changes its request, two operators, and a gateway that approves,
//! issues, delivers, renews and revokes, over a network that repeats, reorders and drops. All that
//! the gateway and the node keep is durable, and whatever they send is sent from there, so a crash
//! at any step is a message that is never sent.

mod parts;
mod registry;

use std::collections::BTreeSet;
use std::sync::Arc;

use handfast_core::flow::identity::certificate::{
    Certificate, CertificateState, NodeStanding, NotAllowed, NotRenewable, RenewalFacts, allow,
    evicted, may_renew,
};
use handfast_core::flow::identity::seen::SeenHash;
use handfast_core::flow::native::settle::{
    PolicyVerdict, Proven, SettleRequest, Settlement, settle,
};
use handfast_core::grant::certificate::KeyHash;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::grants::{Grant, GrantId, State as GrantState, current};
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::{Cause, Credential, Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::pair::Method;
use handfast_core::{NodeId, Span, UnixTime};

use self::registry::{Registry, key, node_id, record, time};
use super::{Condition, World};

pub use self::parts::{Action, Message, Request};

/// The decision about a presented certificate.
pub type AllowList = fn(
    Option<&Certificate>,
    &KeyHash,
    Option<NodeStanding>,
    UnixTime,
) -> Result<NodeId, NotAllowed>;

/// The functions that the gateway calls.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Compares the hash of what an operator saw with the request as it stands.
    pub is_what_was_seen: fn(&SeenHash, &Record) -> bool,
    /// The allow-list.
    pub allow: AllowList,
    /// The state of a certificate after the use of one.
    pub after_use_of: fn(&Certificate, &Certificate) -> CertificateState,
    /// The decision about a renewal.
    pub may_renew: fn(&RenewalFacts<'_>, UnixTime) -> Result<(), NotRenewable>,
}

/// The production functions.
pub const RULES: Rules = Rules {
    is_what_was_seen: |seen, record| *seen == SeenHash::of(record),
    allow,
    after_use_of: Certificate::after_use_of,
    may_renew,
};

/// The validity of a certificate and the life of an offer, in steps of the model's time.
const LIFE: u64 = 3600;
const OPERATORS: usize = 2;

/// All that a run can change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    now: u64,
    registry: Registry,
    network: BTreeSet<Message>,
    /// The newest certificate that the node has stored.
    stored: Option<u64>,
    /// What each operator's display shows, and the request that it was made from.
    shown: [Option<(SeenHash, Request)>; OPERATORS],
    /// The request that the entry was last made from.
    asked: Option<Request>,
    /// What a property has to remember.
    approved: BTreeSet<Request>,
    unseen_approval: bool,
    final_after: Option<usize>,
    used_when_ended: bool,
    newest_used: u64,
    older_used: bool,
    linked: bool,
    left: Left,
}

/// How much may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Changes of the node's request.
    pub changes: u8,
    /// Looks of an operator at the request.
    pub looks: u8,
    /// Rejections.
    pub rejections: u8,
    /// Final decisions.
    pub ends: u8,
    /// Evictions.
    pub evictions: u8,
    /// Decisions to mute or unmute.
    pub mutes: u8,
    /// Hours that pass, the life of a certificate.
    pub hours: u8,
    /// Certificates that are issued.
    pub certificates: u8,
}

/// A node, a gateway and its operators.
#[derive(Clone, Debug)]
pub struct Lives {
    /// The functions that the gateway calls.
    pub rules: Rules,
    /// How much may happen.
    pub left: Left,
}

impl Lives {
    fn arrives(&self, state: &mut State, message: Message) {
        let now = time(state.now);
        let registry = &mut state.registry;
        match message {
            Message::Ask(request) => {
                let asked = SettleRequest {
                    standing: registry.record.as_ref().map(|record| &record.standing),
                    rejection: registry.rejection,
                    method: Method::Approval,
                    proof: Proven::Key,
                };
                match settle(&asked, PolicyVerdict::Asks, now) {
                    Settlement::AskOperator => {
                        registry.record = Some(Arc::new(record(request, now)));
                        state.asked = Some(request);
                    }
                    // The gateway delivers again by itself what the node has not confirmed.
                    Settlement::OfferAgain
                    | Settlement::Refuse(_)
                    | Settlement::AskPolicy
                    | Settlement::Pair => {}
                }
            }
            Message::Certificate(number) => {
                if state.stored.is_none_or(|stored| stored < number) {
                    state.stored = Some(number);
                }
            }
            Message::Confirm(number) => {
                let mut all = registry.certificates.iter_mut();
                if let Some(one) = all.find(|certificate| certificate.number == number) {
                    one.state = one.state.confirmed();
                }
                if let Some(grant) = Arc::make_mut(&mut registry.grants).last_mut()
                    && grant.counts(now)
                {
                    grant.state = GrantState::Active;
                }
            }
            Message::Use(number) => {
                let Some(used) = registry.certificate(number).copied() else { return };
                let allowed =
                    (self.rules.allow)(Some(&used), &used.key, registry.node(), now).is_ok();
                let may = allowed && current(&registry.grants, now).is_some();
                state.used_when_ended |= allowed && state.final_after.is_some();
                if may {
                    state.older_used |= number < state.newest_used;
                    state.newest_used = state.newest_used.max(number);
                    for one in &mut registry.certificates {
                        one.state = (self.rules.after_use_of)(one, &used);
                    }
                    state.linked = true;
                }
            }
            Message::Renew => {
                let facts = RenewalFacts {
                    node: registry.node(),
                    quarantined: false,
                    newest: registry.certificates.last(),
                    issued_lately: 0,
                    renewable_for: Span::from_secs(100 * LIFE),
                };
                if state.left.certificates > 0 && (self.rules.may_renew)(&facts, now).is_ok() {
                    state.left.certificates -= 1;
                    let key = registry.certificates.last().map(|newest| newest.key);
                    registry.issue(key.unwrap_or(KeyHash::from_bytes([3; 32])), now);
                }
            }
        }
    }

    fn approve(&self, state: &mut State, operator: usize) {
        let Some((seen, request)) = state.shown[operator] else { return };
        let now = time(state.now);
        let registry = &mut state.registry;
        let Some(record) = registry.record.as_ref() else { return };
        if !(self.rules.is_what_was_seen)(&seen, record) || state.left.certificates == 0 {
            return;
        }
        let csr_key = record.asked.csr_key;
        let waits = matches!(record.standing, Standing::Pending { .. });
        if !waits || !registry.decided(Decision::Approve(Credential::Keys), now) {
            return;
        }
        state.left.certificates -= 1;
        state.unseen_approval |= state.asked != Some(request);
        state.approved.extend(state.asked);
        Arc::make_mut(&mut registry.grants).push(Grant {
            id: GrantId::from_bytes([1; 16]),
            node_id: node_id(),
            capability: None,
            scopes: ScopesBuf::EMPTY,
            not_before: now,
            expires: None,
            moved: 0,
            state: GrantState::Offered { until: now.after(Span::from_secs(100 * LIFE)) },
            maker: Maker::Operator,
        });
        registry.issue(csr_key.unwrap_or(KeyHash::from_bytes([3; 32])), now);
    }

    fn ends(state: &mut State, decision: Decision) -> bool {
        let now = time(state.now);
        let done = state.registry.decided(decision, now);
        if done {
            state.final_after = Some(state.registry.certificates.len());
            state.linked = false;
        }
        done
    }
}

impl World for Lives {
    type State = State;
    type Action = Action;

    fn begin(&self) -> State {
        State {
            now: 0,
            registry: Registry {
                record: None,
                rejection: None,
                grants: Arc::default(),
                certificates: Vec::new(),
                epoch: 0,
            },
            network: BTreeSet::new(),
            stored: None,
            shown: [None; OPERATORS],
            asked: None,
            approved: BTreeSet::new(),
            unseen_approval: false,
            final_after: None,
            used_when_ended: false,
            newest_used: 0,
            older_used: false,
            linked: false,
            left: self.left,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        let sends = |message: Message| !state.network.contains(&message);
        if sends(Message::Ask(Request::Little)) {
            actions.push(Action::NodeAsks(Request::Little));
        }
        if left.changes > 0 {
            actions.push(Action::NodeAsks(Request::Everything));
        }
        if let Some(number) = state.stored {
            if sends(Message::Confirm(number)) {
                actions.push(Action::NodeConfirms);
            }
            if sends(Message::Use(number)) {
                actions.push(Action::NodeUses);
            }
            if sends(Message::Renew) {
                actions.push(Action::NodeRenews);
            }
        }
        for certificate in &state.registry.certificates {
            let number = certificate.number;
            let delivers = certificate.state.may_be_delivered();
            if delivers && sends(Message::Certificate(number)) {
                actions.push(Action::GatewayDelivers(number));
            }
        }
        actions.extend(state.network.iter().map(|message| Action::Arrives(*message)));
        for operator in 0..OPERATORS {
            if left.looks > 0 && state.registry.record.is_some() {
                actions.push(Action::Look(operator));
            }
            if state.shown[operator].is_some() {
                actions.push(Action::Approve(operator));
            }
        }
        match state.registry.standing() {
            Some(Standing::Pending { .. }) => {
                if left.rejections > 0 {
                    actions.push(Action::Reject);
                }
                if left.ends > 0 {
                    actions.push(Action::RejectForGood);
                }
            }
            Some(Standing::Paired { .. } | Standing::Muted { .. }) => {
                if left.ends > 0 {
                    actions.push(Action::Revoke);
                }
                if left.evictions > 0 {
                    actions.push(Action::Evict);
                }
                if left.mutes > 0 {
                    actions.extend([Action::Mute, Action::Unmute]);
                }
            }
            Some(Standing::Unapproved { .. } | Standing::Revoked { .. }) | None => {}
        }
        if left.hours > 0 {
            actions.push(Action::HourPasses);
        }
    }

    fn next(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        let now = time(state.now);
        match action {
            Action::NodeAsks(request) => {
                if request == Request::Everything {
                    state.left.changes -= 1;
                }
                state.network.insert(Message::Ask(request));
            }
            Action::NodeConfirms => {
                state.network.insert(Message::Confirm(state.stored?));
            }
            Action::NodeUses => {
                state.network.insert(Message::Use(state.stored?));
            }
            Action::NodeRenews => {
                state.network.insert(Message::Renew);
            }
            Action::GatewayDelivers(number) => {
                state.network.insert(Message::Certificate(number));
            }
            Action::Arrives(message) => self.arrives(&mut state, message),
            Action::Look(operator) => {
                state.left.looks -= 1;
                let seen = SeenHash::of(state.registry.record.as_ref()?);
                state.shown[operator] = Some((seen, state.asked?));
            }
            Action::Approve(operator) => self.approve(&mut state, operator),
            Action::Reject => {
                state.left.rejections -= 1;
                if state.registry.decided(Decision::Reject, now) {
                    let again = Rejection::once_more(state.registry.rejection, now);
                    state.registry.rejection = Some(again);
                }
            }
            Action::RejectForGood => {
                state.left.ends -= 1;
                Self::ends(&mut state, Decision::Bar);
            }
            Action::Revoke => {
                state.left.ends -= 1;
                Self::ends(&mut state, Decision::Unpair);
            }
            Action::Mute => {
                state.left.mutes -= 1;
                state.registry.decided(Decision::Mute, now);
            }
            Action::Unmute => {
                state.left.mutes -= 1;
                state.registry.decided(Decision::Unmute, now);
            }
            Action::Evict => {
                state.left.evictions -= 1;
                state.registry.epoch = evicted(state.registry.epoch);
                state.linked = false;
            }
            Action::HourPasses => {
                state.left.hours -= 1;
                state.now += LIFE + 1;
                state.linked = false;
            }
        }
        (state != *before).then_some(state)
    }

    fn invariants(&self) -> Vec<Condition<Self>> {
        vec![
            ("no certificate without an approval", |_, state| {
                let approved: Vec<_> = state.approved.iter().map(|request| key(*request)).collect();
                state.registry.certificates.iter().all(|one| approved.contains(&one.key))
            }),
            (SEEN, |_, state| !state.unseen_approval),
            (FINAL, |_, state| {
                let none_more = state
                    .final_after
                    .is_none_or(|count| state.registry.certificates.len() == count);
                none_more && !state.used_when_ended
            }),
            ("what is revoked stays revoked", |_, state| {
                let ended = matches!(
                    state.registry.standing(),
                    Some(Standing::Revoked { cause: Cause::Barred | Cause::Unpaired })
                );
                state.final_after.is_none() || ended
            }),
            (ONE_WAY, |_, state| !state.older_used),
            ("at most one approval of a request", |_, state| state.registry.grants.len() <= 1),
        ]
    }

    fn reachable(&self) -> Vec<Condition<Self>> {
        vec![
            ("linked", |_, state| state.linked),
            ("linked with a renewed certificate", |_, state| state.newest_used > 1),
            ("everything is approved that was seen", |_, state| {
                state.approved.contains(&Request::Everything)
            }),
        ]
    }
}

/// An approval is bound to what the operator's display showed.
pub const SEEN: &str = "nothing is approved that was not seen";
/// A final decision is final.
pub const FINAL: &str = "nothing is issued or used after the revocation";
/// The first use of a certificate supersedes the older ones.
pub const ONE_WAY: &str = "after a newer certificate no older one is used";

/// Returns `true` if the node is linked.
#[must_use]
pub fn goes_on(_: &Lives, state: &State) -> bool {
    state.linked
}

/// Returns `true` if nothing final was decided, and this run has what the node may need: a
/// certificate, a look of an operator, and an hour to wait after a rejection.
#[must_use]
pub fn may_go_on(_: &Lives, state: &State) -> bool {
    let rejected =
        matches!(state.registry.standing(), Some(Standing::Revoked { cause: Cause::Rejected }));
    state.final_after.is_none()
        && state.left.certificates > 0
        && state.left.looks > 0
        && (state.left.hours > 0 || !rejected)
}
