//! Steps, errors and corrections of the native world's clock: the entries that move with it, and
//! those that must not.

use std::collections::{BTreeMap, BTreeSet};

use handfast_core::limits::CLOCK_STEP;
use handfast_core::registry::grants::{GrantId, State};
use handfast_core::registry::record::Standing;
use handfast_core::registry::sessions::redeem;
use handfast_core::registry::trusted_time::{ClockStep, Moment};
use handfast_core::{Span, UnixTime};

use super::gateway::GateIn;
use super::registry::Registry;
use super::{Job, World};
use crate::clocks::{ClockOp, Life};

/// An entry of the registry that has an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Request([u8; 16]),
    Grant([u8; 16]),
    Code([u8; 16]),
    Ceiling([u8; 16]),
    Rejection([u8; 32]),
}

/// The end of an entry: the run that set it, the time, and the length.
#[derive(Clone, Copy, Debug)]
struct Bounded {
    end: UnixTime,
    set_at: UnixTime,
    run: u32,
    life: Life,
    made_for: Span,
    /// `true` if it was set to an earlier end later.
    shortened: bool,
}

/// The ends of all entries, and the entries that have ended for good.
#[derive(Debug, Default)]
pub struct Ends {
    all: BTreeMap<Thing, Bounded>,
    ended: BTreeSet<GrantId>,
}

impl Registry {
    /// Returns every end that the registry stores.
    fn ends(&mut self) -> Vec<(Thing, &mut UnixTime)> {
        let mut ends = Vec::new();
        for record in self.records.values_mut() {
            if let Standing::Pending { expires } = &mut record.standing {
                ends.push((Thing::Request(*record.node_id.as_bytes()), expires));
            }
        }
        for grant in &mut self.grants {
            ends.extend(
                grant.expires.as_mut().map(|end| (Thing::Grant(*grant.id.as_bytes()), end)),
            );
        }
        ends.extend(
            self.codes
                .iter_mut()
                .map(|(id, kept)| (Thing::Code(*id.as_bytes()), &mut kept.counted.expires)),
        );
        for (node_id, ceiling) in &mut self.ceilings {
            ends.extend(
                ceiling.expires.as_mut().map(|end| (Thing::Ceiling(*node_id.as_bytes()), end)),
            );
        }
        for (key, rejection) in &mut self.rejections {
            ends.extend(rejection.until.as_mut().map(|end| (Thing::Rejection(*key), end)));
        }
        ends
    }
}

impl World {
    /// Returns the time in use, with its uncertainty.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.clocks.moment(self.now)
    }

    /// Applies an event to the clocks of the gateway's system.
    pub fn clock(&mut self, op: ClockOp) {
        let is_word = matches!(op, ClockOp::Accept | ClockOp::AcceptTruth);
        // Only a running gateway hears the operator, and none takes two steps at once.
        if is_word && (!self.is_any_on() || self.is_deciding()) {
            return;
        }
        self.note_ends();
        if let Some(step) = self.clocks.befalls(op, self.now) {
            self.take_over(step);
        }
        self.look_at_clocks();
    }

    /// Does what the gateway's task does every second.
    pub(super) fn look_at_clocks(&mut self) {
        if !self.is_any_on() {
            return;
        }
        self.note_ends();
        let before = self.clocks.mark();
        if let Some(step) = self.clocks.look(self.now)
            && !self.is_deciding()
        {
            self.take_over(step);
        }
        self.expect(self.clocks.mark() >= before, || "the mark falls by nobody's word".to_owned());
        self.check_lives();
    }

    /// Returns `true` if an answer under way was decided by the present time.
    fn is_deciding(&self) -> bool {
        self.jobs.iter().any(Job::is_of_gateways)
    }

    /// Records each end that is new or has changed as set by this run.
    fn note_ends(&mut self) {
        let (now, run, life) = (self.unix(), self.clocks.run, self.clocks.life(self.now));
        let mut is_new = false;
        let mut there = BTreeSet::new();
        for (thing, end) in self.store.ends() {
            let fresh = Bounded {
                end: *end,
                set_at: now,
                run,
                life,
                made_for: Span::from_secs(now.until(*end).max(0).unsigned_abs()),
                shortened: false,
            };
            let known = self.ends.all.entry(thing).or_insert_with(|| {
                is_new = true;
                fresh
            });
            // A withdrawn entry ends before its time.
            known.shortened |= *end < known.end;
            if known.end < *end {
                *known = fresh;
                is_new = true;
            }
            known.end = *end;
            there.insert(thing);
        }
        // An entry that no longer waits, or was replaced, has no end to check.
        self.ends.all.retain(|thing, _| there.contains(thing));
        if is_new {
            self.clocks.made(self.now);
        }
    }

    /// Takes a step over in one transaction: moves the times of what this run made, and ends what
    /// earlier runs made under a wrong clock.
    fn take_over(&mut self, step: ClockStep) {
        self.note(|| {
            format!("a step of {} s is taken over, back: {}", step.by(), step.sets_back())
        });
        let (run, by, latest) = (self.clocks.run, step.by(), step.mark().after(CLOCK_STEP));
        let mut moved = BTreeSet::new();
        let mut ended = BTreeSet::new();
        for (thing, end) in self.store.ends() {
            let Some(bounded) = self.ends.all.get_mut(&thing) else { continue };
            if bounded.run == run {
                (*end, bounded.set_at) = (end.moved(by), bounded.set_at.moved(by));
                moved.insert(thing);
            } else if step.sets_back() && bounded.set_at > latest {
                *end = latest.min(*end);
                ended.insert(thing);
            }
            bounded.end = *end;
            if step.sets_back() {
                bounded.life.set_back(run);
            }
        }
        for grant in &mut self.store.grants {
            let thing = Thing::Grant(*grant.id.as_bytes());
            if moved.contains(&thing) {
                (grant.not_before, grant.moved) = (grant.not_before.moved(by), grant.moved + by);
                if let State::Offered { until } = &mut grant.state {
                    *until = until.moved(by);
                }
            }
            if ended.contains(&thing) {
                grant.state = State::Ended;
            }
        }
        for record in self.store.records.values_mut() {
            if moved.contains(&Thing::Request(*record.node_id.as_bytes())) {
                record.asked_at = record.asked_at.moved(by);
            }
        }
        // The window has no end, and is closed because it may have been opened under a wrong clock.
        if step.sets_back() {
            self.close_window();
            // The codes spent under the wrong clock are forgotten with it, so no code of that time
            // may be valid under the true one.
            self.rotate_setup();
            self.identity.setup.truncate(1);
            self.store.setup_spent.clear();
            self.store.setup_mark = UnixTime::from_secs(0);
        } else if let Some(opened) = &mut self.store.window.opened {
            opened.at = opened.at.moved(by);
        }
        self.clocks.taken(step);
        if step.sets_back() {
            // Links may depend on ended entries; nodes with a valid grant reconnect.
            let live = self.gateways.iter().flat_map(|gateway| gateway.live.values());
            let linked: Vec<_> = live.copied().collect();
            linked.into_iter().for_each(|conn| self.feed_gateway(conn, GateIn::Shutdown));
        }
    }

    /// Checks that nothing lives longer than intended, or dies earlier within its run, and that
    /// ended entries stay ended.
    fn check_lives(&mut self) {
        let moment = self.moment();
        let run = self.clocks.run;
        let ended: BTreeSet<GrantId> = self
            .store
            .grants
            .iter()
            .filter(|grant| grant.state == State::Ended)
            .map(|grant| grant.id)
            .collect();
        let revived = self.ends.ended.difference(&ended).next().copied();
        self.expect(revived.is_none(), || format!("{revived:?} had ended"));
        self.ends.ended = ended;
        for (thing, bounded) in &self.ends.all {
            let lives = moment.now < bounded.end && !moment.doubts(bounded.set_at, bounded.end);
            let outlasts = lives && self.clocks.outlasts(&bounded.life, bounded.made_for, self.now);
            self.expect(!outlasts, || format!("{thing:?} lives too long: {bounded:?}"));
            let ours = bounded.run == run && !bounded.shortened;
            let early =
                ours && !lives && self.clocks.is_early(&bounded.life, bounded.made_for, self.now);
            self.expect(!early, || format!("{thing:?} is over too early: {bounded:?}"));
        }
    }

    /// Sets the clock right, and has the operator confirm it: new setup codes are valid from then
    /// on.
    pub(super) fn put_clock_right(&mut self) {
        self.clock(ClockOp::Set(0));
        self.run();
        self.clock(ClockOp::AcceptTruth);
        let state = self.clocks.state(self.now).as_str();
        self.expect(state == "good", || format!("the clock is right, and {state}"));
        let now = self.unix();
        let redeemed = redeem(now.after(Span::from_secs(300)), self.store.setup_mark, false, now);
        self.expect(redeemed.is_ok(), || format!("a new setup code does not count: {redeemed:?}"));
    }
}
