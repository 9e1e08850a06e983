//! Steps of the clock for nodes: a step that is taken over moves their times, one that sets the
//! time back ends them.

use std::collections::HashMap;

use handfast_core::id::NodeId;
use handfast_core::registry::admission::RequestKey;
use handfast_core::registry::delivery::{Before, DeliveryId, Ticket, Undelivered};
use handfast_core::registry::record::{Credential, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::time::UnixTime;

use super::{NodeRow, Nodes, TurnedDown};
use crate::memory::time::moved;

impl Nodes {
    /// Moves the times of what this run made, including these deliveries.
    pub(in crate::memory) fn move_by(&mut self, by: i64, deliveries: &[DeliveryId]) -> u64 {
        let run = self.run;
        let later = |time: &mut UnixTime| *time = moved(*time, by);
        let requests = self.each(
            |node| node.run == run,
            |node| {
                later(&mut node.entry.record.asked_at);
                request_end(&mut node.entry.record.standing).into_iter().for_each(later);
            },
        );
        let asked = self.each(
            |node| node.asked_run == run,
            |node| {
                node.entry.asked.iter_mut().for_each(|asked| later(&mut asked.last));
            },
        );
        let ceilings = self.each(
            |node| node.ceiling_set.1 == run,
            |node| {
                later(&mut node.ceiling_set.0);
                node.entry
                    .ceiling
                    .iter_mut()
                    .filter_map(|ceiling| ceiling.expires.as_mut())
                    .for_each(later);
            },
        );
        let tokens = self.each(
            |node| {
                node.entry
                    .record
                    .standing
                    .undelivered()
                    .is_some_and(|it| deliveries.contains(&it.ticket.id))
            },
            |node| {
                ticket(&mut node.entry.record.standing)
                    .into_iter()
                    .for_each(|ticket| later(&mut ticket.until));
            },
        );
        let ours = |turned_down: &TurnedDown| turned_down.run == run;
        let rejections = self.each_rejection(ours, |TurnedDown { rejection, at, .. }| {
            later(at);
            rejection.until.iter_mut().for_each(later);
        });
        requests + asked + ceilings + tokens + rejections
    }

    /// Ends what earlier runs made later than `latest`, including these deliveries.
    pub(in crate::memory) fn end_later(
        &mut self,
        latest: UnixTime,
        deliveries: &[DeliveryId],
    ) -> u64 {
        let run = self.run;
        let made_later = |node: &NodeRow| node.run != run && node.entry.record.asked_at > latest;
        let gone: Vec<_> = self
            .all
            .iter()
            .filter(|(_, node)| made_later(node) && node.end().is_some())
            .map(|(id, _)| *id)
            .collect();
        for id in &gone {
            self.take(*id);
        }
        let outlasts = |end: Option<&UnixTime>| end.is_some_and(|end| *end > latest);
        let fallbacks = self.each(
            |node| made_later(node) && outlasts(super::asks(&node.entry.record.standing).as_ref()),
            |node| {
                request_end(&mut node.entry.record.standing)
                    .into_iter()
                    .for_each(|end| *end = latest);
            },
        );
        let ceilings = self.each(
            |node| {
                let end = node.entry.ceiling.as_ref().and_then(|ceiling| ceiling.expires.as_ref());
                node.ceiling_set.1 != run && node.ceiling_set.0 > latest && outlasts(end)
            },
            |node| {
                node.ceiling_set = (latest, run);
                node.entry.ceiling.iter_mut().for_each(|ceiling| ceiling.expires = Some(latest));
            },
        );
        let tokens = self.each(
            |node| {
                node.entry
                    .record
                    .standing
                    .undelivered()
                    .is_some_and(|it| deliveries.contains(&it.ticket.id))
            },
            |node| {
                ticket(&mut node.entry.record.standing)
                    .into_iter()
                    .for_each(|ticket| ticket.until = latest);
            },
        );
        let such = |turned_down: &TurnedDown| {
            turned_down.run != run
                && turned_down.at > latest
                && outlasts(turned_down.rejection.until.as_ref())
        };
        let rejections = self.each_rejection(such, |TurnedDown { rejection, at, .. }| {
            (rejection.until, *at) = (Some(latest), latest);
        });
        gone.len() as u64 + fallbacks + ceilings + tokens + rejections
    }

    /// Returns the times at which this run made its entries.
    pub(in crate::memory) fn made_last(&self) -> Vec<UnixTime> {
        let run = self.run;
        let mut made: Vec<_> = self
            .rejections
            .values()
            .filter(|turned_down| turned_down.run == run)
            .map(|it| it.at)
            .collect();
        for node in self.all.values() {
            made.extend((node.run == run).then_some(node.entry.record.asked_at));
            made.extend(node.entry.asked.filter(|_| node.asked_run == run).map(|asked| asked.last));
            made.extend((node.ceiling_set.1 == run).then_some(node.ceiling_set.0));
        }
        made
    }

    /// Removes a request if it has expired.
    pub(in crate::memory) fn write_over(&mut self, id: NodeId, now: UnixTime) -> bool {
        let is_over = self.all.get(&id).and_then(NodeRow::end).is_some_and(|end| end <= now);
        is_over && self.take(id).is_some()
    }

    fn each(&mut self, such: impl Fn(&NodeRow) -> bool, change: impl Fn(&mut NodeRow)) -> u64 {
        let these: Vec<_> =
            self.all.iter().filter(|(_, node)| such(node)).map(|(id, _)| *id).collect();
        for id in &these {
            if let Some(mut node) = self.take(*id) {
                change(&mut node);
                self.put(node);
            }
        }
        these.len() as u64
    }

    /// Changes the rejections of keys, and their copies in the records of the nodes.
    fn each_rejection(
        &mut self,
        such: impl Fn(&TurnedDown) -> bool,
        change: impl Fn(&mut TurnedDown),
    ) -> u64 {
        let mut changed: HashMap<RequestKey, (Rejection, Rejection)> = HashMap::new();
        for (key, turned_down) in
            self.rejections.iter_mut().filter(|(_, turned_down)| such(turned_down))
        {
            let before = turned_down.rejection;
            change(turned_down);
            changed.insert(*key, (before, turned_down.rejection));
        }
        for entry in self.all.values_mut().map(|node| &mut node.entry) {
            if let Some((before, after)) = changed.get(&RequestKey::of_record(&entry.record))
                && entry.rejection == Some(*before)
            {
                entry.rejection = Some(*after);
            }
        }
        changed.len() as u64
    }
}

/// Returns the end of the node's request: of one that waits, or would if it waited again.
fn request_end(standing: &mut Standing) -> Option<&mut UnixTime> {
    match standing {
        Standing::Pending { expires } => Some(expires),
        Standing::Unapproved { .. }
        | Standing::Paired { .. }
        | Standing::Muted { .. }
        | Standing::Revoked { .. } => match &mut undelivered(standing)?.before {
            Before::Pending { expires } => Some(expires),
            Before::Unapproved { .. } | Before::Token(_) => None,
        },
    }
}

fn ticket(standing: &mut Standing) -> Option<&mut Ticket> {
    undelivered(standing).map(|undelivered| &mut undelivered.ticket)
}

fn undelivered(standing: &mut Standing) -> Option<&mut Undelivered> {
    match standing {
        Standing::Paired { credential: Credential::Undelivered(undelivered), .. }
        | Standing::Muted { credential: Credential::Undelivered(undelivered), .. } => {
            Some(undelivered)
        }
        Standing::Paired { credential: Credential::Token(_) | Credential::Keys, .. }
        | Standing::Muted { credential: Credential::Token(_) | Credential::Keys, .. }
        | Standing::Pending { .. }
        | Standing::Unapproved { .. }
        | Standing::Revoked { .. } => None,
    }
}
