//! Two gateways over one registry, and a node that links at either: claims that are written late or
//! not at all, a revocation, hints that are lost, and a gateway that is cut off from the registry.

use handfast_core::limits::CUT_OFF_AFTER;
use handfast_core::registry::sharing::links::{
    ClaimState, LinkClaim, LinkHolder, LinkVerdict, LoggedClaim, Reclaim,
};
use handfast_core::registry::sharing::{Contact, NextReading, Reach};
use handfast_core::{Instant, Span};

use super::{Condition, World};

/// The functions that the gateways call.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What a gateway may do.
    pub contact: fn(&Reach, Instant) -> Contact,
    /// What becomes of a link by a claim in the log.
    pub read: fn(&mut LinkClaim, LoggedClaim) -> LinkVerdict,
    /// What becomes of a link after a gap in the log.
    pub after_gap: fn(&mut LinkClaim, LinkHolder) -> Reclaim,
}

/// The production functions.
pub const RULES: Rules =
    Rules { contact: Reach::contact, read: LinkClaim::read, after_gap: LinkClaim::after_gap };

/// The time for which a gateway that is cut off keeps its links: short, so that worlds are small.
const GRACE: Span = Span::from_secs(2);

/// A line of the log of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Line {
    /// The node's record.
    Node,
    /// A claim of the node's link.
    Link { gateway: usize, number: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Gateway {
    reach: Reach,
    is_connected: bool,
    /// The number of lines of the log that it has read.
    read: usize,
    /// What it remembers of the node.
    knows_revoked: bool,
    link: Option<LinkClaim>,
    /// The claim of the link is to be written.
    is_writing: bool,
}

/// All that a run can change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    now: u64,
    log: Vec<Line>,
    /// The gateway that holds the link by the registry.
    holder: Option<usize>,
    revoked: Option<u64>,
    gateways: [Gateway; 2],
    /// Number of the next claim.
    next: u64,
    /// What a property has to remember.
    admitted_late: bool,
    gave_way: bool,
    ended_by_revocation: bool,
    ended_cut_off: bool,
    left: Left,
}

/// How much may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Links that the node opens.
    pub links: u8,
    /// Seconds that pass.
    pub seconds: u8,
    /// Gateways that are cut off.
    pub cuts: u8,
    /// Claims whose writing fails, or seems to.
    pub failures: u8,
    /// Revocations.
    pub revocations: u8,
}

/// A step of the node, a gateway, the operator or the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The node opens a link at a gateway; the earlier one may be there still.
    Open(usize),
    /// The node's link at a gateway is gone.
    Close(usize),
    /// The claim of a gateway's link is written.
    Write(usize),
    /// It is not written.
    NotWritten(usize),
    /// It is written, and the gateway does not hear so.
    WrittenUnheard(usize),
    /// A gateway tries a claim again that was not written.
    ClaimAgain(usize),
    /// A gateway reads the log, because a hint came.
    Read(usize),
    /// An operator revokes the node at a gateway.
    Revoke(usize),
    /// A gateway loses the registry.
    Cut(usize),
    /// It is back.
    Mend(usize),
    /// A second passes, in which each gateway looks at the log by itself.
    SecondPasses,
}

/// Two gateways and a node.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The functions that the gateways call.
    pub rules: Rules,
    /// How much may happen.
    pub left: Left,
}

impl State {
    fn time(&self) -> Instant {
        Instant::from_millis(self.now * 1_000)
    }

    fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn write(&mut self, which: usize) -> Option<()> {
        let gateway = &mut self.gateways[which];
        gateway.is_writing = false;
        let number = gateway.link?.number();
        self.log.push(Line::Link { gateway: which, number });
        self.holder = Some(which);
        Some(())
    }

    /// Returns `true` if nothing is under way: each gateway has read all there is and has written
    /// its claim.
    fn is_quiet(&self, rules: &Rules) -> bool {
        self.gateways.iter().all(|gateway| {
            let claimed = gateway.link.is_none_or(|link| link.state() == ClaimState::Logged);
            let in_touch = (rules.contact)(&gateway.reach, self.time()) == Contact::InTouch;
            in_touch && claimed && !gateway.is_writing && gateway.read == self.log.len()
        })
    }

    fn links(&self) -> usize {
        self.gateways.iter().filter(|gateway| gateway.link.is_some()).count()
    }
}

impl Shared {
    /// A gateway reads what is due.
    fn read(&self, state: &mut State, which: usize) {
        let now = state.time();
        match state.gateways[which].reach.next(now) {
            NextReading::Everything => self.read_everything(state, which),
            NextReading::Changes => self.read_changes(state, which),
        }
    }

    fn read_everything(&self, state: &mut State, which: usize) {
        let (holder, end, is_revoked) = (state.holder, state.log.len(), state.revoked.is_some());
        let fresh = state.take_number();
        let gateway = &mut state.gateways[which];
        gateway.read = end;
        gateway.knows_revoked = is_revoked;
        gateway.reach.read_everything();
        if is_revoked && gateway.link.take().is_some() {
            state.ended_by_revocation = true;
        }
        let Some(link) = &mut gateway.link else { return };
        let holder = match holder {
            Some(by) if by == which => LinkHolder::Own,
            Some(_) => LinkHolder::Other,
            None => LinkHolder::Nobody,
        };
        match (self.rules.after_gap)(link, holder) {
            Reclaim::Stands => {}
            Reclaim::Again => {
                link.again(fresh);
                gateway.is_writing = true;
            }
            Reclaim::Ends => self.give_way(state, which),
        }
    }

    fn read_changes(&self, state: &mut State, which: usize) {
        let now = state.time();
        let lines: Vec<Line> = state.log[state.gateways[which].read..].to_vec();
        for line in lines {
            state.gateways[which].read += 1;
            match line {
                Line::Node => {
                    let gateway = &mut state.gateways[which];
                    gateway.knows_revoked = state.revoked.is_some();
                    if gateway.knows_revoked && gateway.link.take().is_some() {
                        state.ended_by_revocation = true;
                    }
                }
                Line::Link { gateway: by, number } => {
                    let Some(link) = &mut state.gateways[which].link else { continue };
                    let claim =
                        if by == which { LoggedClaim::Own(number) } else { LoggedClaim::Other };
                    match (self.rules.read)(link, claim) {
                        LinkVerdict::Stays => {}
                        LinkVerdict::Ends => self.give_way(state, which),
                    }
                }
            }
        }
        state.gateways[which].reach.read_to_end(now);
    }

    fn give_way(&self, state: &mut State, which: usize) {
        let gateway = &mut state.gateways[which];
        (gateway.link, gateway.is_writing) = (None, false);
        state.gave_way = true;
    }

    fn open(&self, state: &mut State, which: usize) -> Option<()> {
        state.left.links -= 1;
        let now = state.time();
        let gateway = &state.gateways[which];
        if !(self.rules.contact)(&gateway.reach, now).admits() || gateway.knows_revoked {
            return None;
        }
        let late = |since: u64| now.since(Instant::from_millis(since * 1_000)) >= CUT_OFF_AFTER;
        state.admitted_late |= state.revoked.is_some_and(late);
        let number = state.take_number();
        let gateway = &mut state.gateways[which];
        gateway.link = Some(LinkClaim::new(number));
        gateway.is_writing = true;
        Some(())
    }

    fn second_passes(&self, state: &mut State) {
        state.left.seconds -= 1;
        state.now += 1;
        for which in 0..2 {
            if state.gateways[which].is_connected {
                // After a lost contact one reading is not enough.
                self.read(state, which);
                self.read(state, which);
            } else {
                state.gateways[which].reach.failed();
            }
            let contact = (self.rules.contact)(&state.gateways[which].reach, state.time());
            let gateway = &mut state.gateways[which];
            if !contact.keeps_links() && gateway.link.take().is_some() {
                gateway.is_writing = false;
                state.ended_cut_off = true;
            }
        }
    }
}

impl World for Shared {
    type State = State;
    type Action = Action;

    fn begin(&self) -> State {
        let now = Instant::from_millis(0);
        let gateway = || Gateway {
            reach: Reach::new(GRACE, now),
            is_connected: true,
            read: 0,
            knows_revoked: false,
            link: None,
            is_writing: false,
        };
        let mut state = State {
            now: 0,
            log: Vec::new(),
            holder: None,
            revoked: None,
            gateways: [gateway(), gateway()],
            next: 0,
            admitted_late: false,
            gave_way: false,
            ended_by_revocation: false,
            ended_cut_off: false,
            left: self.left,
        };
        for which in [0, 0, 1, 1] {
            self.read(&mut state, which);
        }
        state
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        for (which, gateway) in state.gateways.iter().enumerate() {
            if left.links > 0 {
                actions.push(Action::Open(which));
            }
            if gateway.link.is_some() {
                actions.push(Action::Close(which));
            }
            if gateway.is_writing && left.failures > 0 {
                actions.push(Action::NotWritten(which));
            }
            if !gateway.is_connected {
                actions.push(Action::Mend(which));
                continue;
            }
            if gateway.is_writing {
                actions.push(Action::Write(which));
                if left.failures > 0 {
                    actions.push(Action::WrittenUnheard(which));
                }
            }
            if gateway.link.is_some_and(|link| link.state() == ClaimState::Unclaimed) {
                actions.push(Action::ClaimAgain(which));
            }
            actions.push(Action::Read(which));
            if left.revocations > 0 {
                actions.push(Action::Revoke(which));
            }
            if left.cuts > 0 {
                actions.push(Action::Cut(which));
            }
        }
        if left.seconds > 0 {
            actions.push(Action::SecondPasses);
        }
    }

    fn next(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Open(which) => self.open(&mut state, which)?,
            Action::Close(which) => {
                let gateway = &mut state.gateways[which];
                (gateway.link, gateway.is_writing) = (None, false);
                // The claim is given up, if it is this one.
                if gateway.is_connected && state.holder == Some(which) {
                    state.holder = None;
                }
            }
            Action::Write(which) => state.write(which)?,
            Action::NotWritten(which) => {
                state.left.failures -= 1;
                let gateway = &mut state.gateways[which];
                gateway.is_writing = false;
                gateway.link.as_mut()?.not_written();
            }
            Action::WrittenUnheard(which) => {
                state.left.failures -= 1;
                state.write(which)?;
                state.gateways[which].link.as_mut()?.not_written();
            }
            Action::ClaimAgain(which) => {
                let number = state.take_number();
                let gateway = &mut state.gateways[which];
                gateway.link.as_mut()?.again(number);
                gateway.is_writing = true;
            }
            Action::Read(which) => self.read(&mut state, which),
            Action::Revoke(which) => {
                state.left.revocations -= 1;
                state.revoked = Some(state.now);
                state.log.push(Line::Node);
                // The gateway that decides carries out what it decided.
                let gateway = &mut state.gateways[which];
                gateway.knows_revoked = true;
                (gateway.link, gateway.is_writing) = (None, false);
            }
            Action::Cut(which) => {
                state.left.cuts -= 1;
                state.gateways[which].is_connected = false;
            }
            Action::Mend(which) => state.gateways[which].is_connected = true,
            Action::SecondPasses => self.second_passes(&mut state),
        }
        (state != *before).then_some(state)
    }

    fn invariants(&self) -> Vec<Condition<Self>> {
        vec![
            (ADMITS_NOBODY_LATE, |_, state| !state.admitted_late),
            (LINKS_END, |_, state| {
                let longest = CUT_OFF_AFTER.as_secs() + GRACE.as_secs();
                let is_long_ago = |at: u64| state.now > at + longest;
                !state.revoked.is_some_and(is_long_ago) || state.links() == 0
            }),
            (ONE_LINK, |world, state| !state.is_quiet(&world.rules) || state.links() <= 1),
            (THE_LAST_STAYS, |world, state| {
                let last = state.log.iter().rev().find_map(|line| match line {
                    Line::Node => None,
                    Line::Link { gateway, .. } => Some(*gateway),
                });
                let other_stays = last.is_some_and(|last| state.gateways[1 - last].link.is_some());
                !state.is_quiet(&world.rules) || !other_stays
            }),
        ]
    }

    fn reachable(&self) -> Vec<Condition<Self>> {
        let mut conditions: Vec<Condition<Self>> = vec![("a link gives way to one elsewhere", {
            |_, state| state.gave_way && state.links() == 1
        })];
        if self.left.revocations > 0 {
            conditions
                .push(("a revocation ends a link elsewhere", |_, state| state.ended_by_revocation));
        }
        if self.left.cuts > 0 && self.left.seconds >= 4 {
            conditions.push(("a gateway that is cut off for long ends its link", |_, state| {
                state.ended_cut_off
            }));
            conditions.push(("a gateway that was cut off is in touch again", |world, state| {
                state.ended_cut_off && state.is_quiet(&world.rules)
            }));
        }
        conditions
    }
}

/// Nobody is admitted on stale facts.
pub const ADMITS_NOBODY_LATE: &str = "two seconds after a revocation nobody admits the node";
/// Links do not stay on stale facts.
pub const LINKS_END: &str = "no link outlives a revocation by more than the cut-off and its grace";
/// The newest link wins across gateways.
pub const ONE_LINK: &str = "once all is read, a node has one link";
/// The order of the log decides.
pub const THE_LAST_STAYS: &str = "the link that stays is the one that was claimed last";

/// Returns `true` if the node is linked and nothing is under way.
#[must_use]
pub fn is_linked(world: &Shared, state: &State) -> bool {
    state.is_quiet(&world.rules) && state.links() == 1
}

/// Returns `true` if the node is not revoked, and this run has a link and the time for a reading
/// left.
#[must_use]
pub fn may_link(_: &Shared, state: &State) -> bool {
    state.revoked.is_none() && state.left.links > 0 && state.left.seconds > 0
}
