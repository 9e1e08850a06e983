//! The mark, the run, and the rows of all concerns by the run that made them.

use handfast_core::UnixTime;
use handfast_core::flow::identity::certificate::CertificateState;
use handfast_core::registry::delivery::{Before, Ticket, Undelivered};
use handfast_core::registry::grants::State;
use handfast_core::registry::record::{Credential, Standing};

use super::MemoryTx;
use super::certificates::CertificateRow;
use super::nodes::NodeRow;
use super::policies::PolicyRow;
use super::requests::waits_again;
use crate::Over;
use crate::ops::{RowResult, TimeRows};

/// Moves a time. A time that means "no end" stays as it is.
fn moved(time: UnixTime, by: i64) -> UnixTime {
    if time.as_secs() >= 1 << 60 { time } else { time.moved(by) }
}

impl TimeRows for MemoryTx {
    fn begin_run(&mut self) -> RowResult<(u64, Option<UnixTime>)> {
        self.singles.run += 1;
        Ok((self.singles.run, self.singles.mark))
    }

    fn made_last(&mut self, run: u64, latest: UnixTime) -> RowResult<Vec<UnixTime>> {
        let mut made = Vec::new();
        for row in self.nodes.values() {
            made.extend((row.run == run).then_some(row.entry.record.asked_at));
            made.extend(row.ceiling_at.filter(|_| row.ceiling_run == run));
        }
        made.extend(self.asked.values().filter(|row| row.run == run).map(|row| row.asked.last));
        made.extend(self.rejections.values().filter(|row| row.run == run).map(|row| row.at));
        let grants = self.grants.values().filter(|row| row.run == run);
        made.extend(grants.map(|row| row.grant.not_before));
        let codes = self.codes.values().filter(|row| row.run == run);
        made.extend(codes.map(|row| row.code.created_at));
        let opened = self.singles.window.opened.map(|opened| opened.at);
        made.extend(opened.filter(|_| self.singles.window_run == run));
        for row in self.sessions.values() {
            made.extend((row.run == run).then_some(row.session.issued_at));
            made.extend(row.renewed.filter(|_| row.end_run == run));
        }
        for row in self.logins.values() {
            made.extend((row.run == run).then_some(row.login.made_at));
            made.extend(row.login.used_at.filter(|_| row.use_run == run));
        }
        let pending = self.pending.values().filter(|row| row.run == run);
        made.extend(pending.map(|row| row.pending.created_at));
        made.extend(self.allowed.values().filter(|row| row.run == run).map(|row| row.at));
        let policies = self.policies.values().filter(|row| row.run == run);
        made.extend(policies.map(|row| row.stored.policy.made_at));
        let dispatches = self.dispatches.values().filter(|row| row.run == run);
        made.extend(dispatches.map(|row| row.stored.made_at));
        made.retain(|made| *made <= latest);
        Ok(made)
    }

    fn mark(&mut self) -> RowResult<Option<UnixTime>> {
        Ok(self.singles.mark)
    }

    fn set_mark(&mut self, mark: UnixTime) -> RowResult<()> {
        self.singles.mark = Some(mark);
        Ok(())
    }

    fn move_times(&mut self, by: i64) -> RowResult<u64> {
        let run = self.singles.run;
        let later = |time: &mut UnixTime| *time = moved(*time, by);
        let mut rows = 0;
        let mut add = |number: usize| rows += number as u64;
        // The end of a setup code under delivery is written in the code itself, so it never moves.
        let deliveries = self
            .deliveries
            .change_all(|_, row| row.run == run, |row| later(&mut row.delivery.ticket.until));
        add(deliveries.len());
        let is_ours = |node: &NodeRow| {
            let under_way = node.entry.record.standing.undelivered();
            under_way.is_some_and(|it| deliveries.contains(&it.ticket.id))
        };
        let tickets = self.nodes.change_all(
            |_, node| is_ours(node),
            |node| ticket(node).into_iter().for_each(|ticket| later(&mut ticket.until)),
        );
        add(tickets.len());
        let nodes = self.nodes.change_all(
            |_, node| node.run == run,
            |node| {
                later(&mut node.entry.record.asked_at);
                request_end(node).into_iter().for_each(later);
            },
        );
        add(nodes.len());
        let ceilings = self.nodes.change_all(
            |_, node| node.ceiling_run == run,
            |node| {
                node.ceiling_at.iter_mut().for_each(later);
                let ceiling = node.entry.ceiling.iter_mut();
                ceiling.filter_map(|ceiling| ceiling.expires.as_mut()).for_each(later);
            },
        );
        add(ceilings.len());
        let asked =
            self.asked.change_all(|_, row| row.run == run, |row| later(&mut row.asked.last));
        add(asked.len());
        let rejections = self.rejections.change_all(
            |_, row| row.run == run,
            |row| {
                later(&mut row.at);
                row.rejection.until.iter_mut().for_each(later);
            },
        );
        add(rejections.len());
        let grants = self.grants.change_all(
            |_, row| row.run == run,
            |row| {
                later(&mut row.grant.not_before);
                row.grant.expires.iter_mut().for_each(later);
                row.grant.moved += by;
                if let State::Offered { until } = &mut row.grant.state {
                    later(until);
                }
            },
        );
        add(grants.len());
        let codes = self.codes.change_all(
            |_, row| row.run == run,
            |row| {
                later(&mut row.code.created_at);
                later(&mut row.code.counted.expires);
                later(&mut row.dead_since);
            },
        );
        add(codes.len());
        if self.singles.window_run == run {
            if let Some(opened) = &mut self.singles.window.opened {
                later(&mut opened.at);
                opened.closes.iter_mut().for_each(later);
            }
            add(1);
        }
        let sessions = self.sessions.change_all(
            |_, row| row.run == run,
            |row| {
                later(&mut row.session.issued_at);
                row.session.prolonged.iter_mut().for_each(|it| later(&mut it.before));
            },
        );
        add(sessions.len());
        let logins = self.logins.change_all(
            |_, row| row.run == run,
            |row| {
                later(&mut row.login.made_at);
                later(&mut row.login.ends_at);
            },
        );
        add(logins.len());
        let uses = self.logins.change_all(
            |_, row| row.use_run == run,
            |row| {
                row.login.used_at.iter_mut().for_each(later);
                later(&mut row.login.expires_at);
            },
        );
        add(uses.len());
        let ends = self.sessions.change_all(
            |_, row| row.end_run == run,
            |row| {
                later(&mut row.session.expires_at);
                row.renewed.iter_mut().for_each(later);
            },
        );
        add(ends.len());
        let spent =
            self.spent.change_all(|_, row| row.run == run, |row| later(&mut row.expires_at));
        add(spent.len());
        let pending = self.pending.change_all(
            |_, row| row.run == run,
            |row| {
                later(&mut row.pending.created_at);
                later(&mut row.pending.told_at);
            },
        );
        add(pending.len());
        let allowed = self.allowed.change_all(
            |_, row| row.run == run,
            |row| {
                later(&mut row.at);
                row.allowed.until.iter_mut().for_each(later);
            },
        );
        add(allowed.len());
        let policies = self.policies.change_all(
            |_, row| row.run == run,
            |row| {
                later(&mut row.stored.policy.made_at);
                later(&mut row.stored.policy.ends_at);
            },
        );
        add(policies.len());
        let dispatches = self.dispatches.change_all(
            |_, row| row.run == run,
            |row| {
                later(&mut row.stored.made_at);
                later(&mut row.stored.life.deadline);
            },
        );
        add(dispatches.len());
        Ok(rows)
    }

    fn end_made_after(&mut self, latest: UnixTime) -> RowResult<u64> {
        let run = self.singles.run;
        let later = |time: Option<UnixTime>| time.is_some_and(|time| time > latest);
        let mut rows = 0;
        let made_later = |node: &NodeRow| node.run != run && node.entry.record.asked_at > latest;
        for id in self.nodes.keys_of(|_, node| made_later(node) && node.end().is_some()) {
            self.nodes.remove(&id);
            self.asked.remove(&id);
            rows += 1;
        }
        let mut add = |number: usize| rows += number as u64;
        let fallbacks = self.nodes.change_all(
            |_, node| made_later(node) && later(waits_again(node)),
            |node| request_end(node).into_iter().for_each(|end| *end = latest),
        );
        add(fallbacks.len());
        let ceilings = self.nodes.change_all(
            |_, node| {
                let end = node.entry.ceiling.as_ref().and_then(|ceiling| ceiling.expires);
                node.ceiling_run != run && later(node.ceiling_at) && later(end)
            },
            |node| {
                (node.ceiling_at, node.ceiling_run) = (Some(latest), run);
                node.entry.ceiling.iter_mut().for_each(|ceiling| ceiling.expires = Some(latest));
            },
        );
        add(ceilings.len());
        let earlier = self.deliveries.keys_of(|_, row| row.run != run);
        let tickets = self.nodes.change_all(
            |_, node| {
                let under_way = node.entry.record.standing.undelivered();
                under_way
                    .is_some_and(|it| it.ticket.until > latest && earlier.contains(&it.ticket.id))
            },
            |node| ticket(node).into_iter().for_each(|ticket| ticket.until = latest),
        );
        add(tickets.len());
        let deliveries = self.deliveries.change_all(
            |_, row| row.run != run && row.settled.is_none() && row.delivery.ticket.until > latest,
            |row| row.delivery.ticket.until = latest,
        );
        add(deliveries.len());
        let rejections = self.rejections.change_all(
            |_, row| row.run != run && row.at > latest && later(row.rejection.until),
            |row| (row.rejection.until, row.at) = (Some(latest), latest),
        );
        add(rejections.len());
        let grants = self.grants.change_all(
            |_, row| row.run != run && row.is_open() && row.grant.not_before > latest,
            |row| row.end(latest),
        );
        add(grants.len());
        let codes = self.codes.change_all(
            |_, row| row.run != run && row.has_uses() && row.code.created_at > latest,
            |row| row.kill(latest),
        );
        add(codes.len());
        let opened = self.singles.window.opened.map(|opened| opened.at);
        if self.singles.window_run != run && later(opened) {
            (self.singles.window.opened, self.singles.window_run) = (None, run);
            add(1);
        }
        let sessions = self.sessions.change_all(
            |_, row| {
                let made = row.run != run && row.session.issued_at > latest;
                let renewed = row.end_run != run && later(row.renewed);
                (made || renewed) && row.session.revoked_at.is_none() && !row.session.over
            },
            |row| row.session.over = true,
        );
        add(sessions.len());
        let logins = self.logins.change_all(
            |_, row| {
                let made = row.run != run && row.login.made_at > latest;
                let used = row.use_run != run && later(row.login.used_at);
                (made || used) && row.login.revoked_at.is_none()
            },
            |row| row.login.revoked_at = Some(latest),
        );
        add(logins.len());
        let policies = self.policies.change_all(
            |_, row| {
                let policy = &row.stored.policy;
                row.run != run && policy.made_at > latest && policy.ended_at.is_none()
            },
            |row| row.stored.policy.ended_at = Some(latest),
        );
        add(policies.len());
        // A permission without an end does not depend on the clock.
        let allowed = self.allowed.change_all(
            |_, row| {
                row.run != run
                    && row.at > latest
                    && row.allowed.until.is_some()
                    && row.allowed.revoked_at.is_none()
            },
            |row| row.allowed.revoked_at = Some(latest),
        );
        add(allowed.len());
        let dispatches = self.dispatches.change_all(
            |_, row| {
                let life = row.stored.life;
                let made_later = row.run != run && row.stored.made_at > latest;
                made_later && !life.state.is_over() && life.deadline > latest
            },
            |row| {
                (row.stored.made_at, row.stored.life.deadline) = (latest, latest);
                row.run = run;
            },
        );
        add(dispatches.len());
        let pending =
            self.pending.remove_all(|_, row| row.run != run && row.pending.created_at > latest);
        Ok(rows + pending)
    }

    fn end_over(&mut self, what: &Over, now: UnixTime) -> RowResult<bool> {
        let is_over = |end: Option<UnixTime>| end.is_some_and(|end| end <= now);
        let rows = match what {
            Over::Session(id) => self
                .sessions
                .change_all(
                    |key, row| {
                        key == id && !row.session.over && is_over(Some(row.session.expires_at))
                    },
                    |row| row.session.over = true,
                )
                .len(),
            Over::Grant(node_id, id) => self
                .grants
                .change_all(
                    |_, row| {
                        (row.grant.node_id, row.grant.id) == (*node_id, *id)
                            && row.is_open()
                            && is_over(row.grant.expires)
                    },
                    |row| row.end(row.grant.expires.unwrap_or(now)),
                )
                .len(),
            Over::Request(id) => {
                let is_over = self.nodes.get(id).is_some_and(|node| is_over(node.end()));
                self.asked.remove_all(|key, _| is_over && key == id);
                usize::from(is_over && self.nodes.remove(id))
            }
            Over::Code(id) => self
                .codes
                .change_all(
                    |_, row| {
                        row.code.id == *id
                            && row.has_uses()
                            && is_over(Some(row.code.counted.expires))
                    },
                    |row| row.kill(now),
                )
                .len(),
            Over::Window => {
                let closes = self.singles.window.opened.and_then(|opened| opened.closes);
                if is_over(closes) {
                    (self.singles.window.opened, self.singles.window_run) =
                        (None, self.singles.run);
                }
                usize::from(is_over(closes))
            }
            Over::SetupCode(end) => {
                let rises = self.singles.setup_mark < *end && is_over(Some(*end));
                if rises {
                    self.singles.setup_mark = *end;
                }
                usize::from(rises)
            }
            Over::Sender(name) => self
                .allowed
                .change_all(
                    |key, row| {
                        key == name
                            && row.allowed.revoked_at.is_none()
                            && is_over(row.allowed.until)
                    },
                    |row| row.allowed.revoked_at = row.allowed.until,
                )
                .len(),
            Over::Policy(id) => {
                let over = |row: &PolicyRow| {
                    let policy = &row.stored.policy;
                    policy.ended_at.is_none() && is_over(Some(policy.ends_at))
                };
                self.policies
                    .change_all(
                        |key, row| key == id && over(row),
                        |row| row.stored.policy.ended_at = Some(row.stored.policy.ends_at),
                    )
                    .len()
            }
            Over::Certificate(serial) => {
                let over = |row: &CertificateRow| {
                    row.is_current() && row.stored.certificate.not_after < now
                };
                self.certificates
                    .change_all(
                        |key, row| key == serial && over(row),
                        |row| {
                            let end = row.stored.certificate.not_after;
                            row.put_out(CertificateState::Superseded, end);
                        },
                    )
                    .len()
            }
        };
        Ok(rows > 0)
    }
}

/// Returns the end of the node's request: of one that waits, or would if it waited again.
fn request_end(node: &mut NodeRow) -> Option<&mut UnixTime> {
    match &mut node.entry.record.standing {
        Standing::Pending { expires } => Some(expires),
        standing @ (Standing::Unapproved { .. }
        | Standing::Paired { .. }
        | Standing::Muted { .. }
        | Standing::Revoked { .. }) => match &mut undelivered(standing)?.before {
            Before::Pending { expires } => Some(expires),
            Before::Unapproved { .. } | Before::Token(_) => None,
        },
    }
}

fn ticket(node: &mut NodeRow) -> Option<&mut Ticket> {
    undelivered(&mut node.entry.record.standing).map(|undelivered| &mut undelivered.ticket)
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
