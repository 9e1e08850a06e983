//! The permissions in force of nodes that are linked.

use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::ceiling::{Ceiling, Entitled, InForce, entitled};
use handfast_core::registry::grants::Grant;
use handfast_core::wire::path::Pattern;
use handfast_core::{NodeId, Span, UnixTime};

use super::super::World;
use super::GateIn;

impl World {
    /// Applies what the registry says of a node's permissions to its live link at a gateway.
    pub(in super::super) fn bound(&mut self, at: usize, node_id: NodeId) {
        let Some(&conn) = self.gateways[at].live.get(&node_id) else { return };
        let (grants, ceiling) =
            (self.store.grants_of(node_id), self.store.ceilings.get(&node_id).cloned());
        let within = self.limits.renew_after_expiry;
        let (until, renews) = match entitled(&grants, ceiling.as_ref(), within, self.unix()) {
            Entitled::InForce(_, until) => (until, false),
            Entitled::Renewal => (None, true),
            Entitled::Nothing => (None, false),
        };
        let scopes = in_force(&grants, ceiling.as_ref(), within, self.unix());
        let Some(seat) = self.gateways[at].seats.get_mut(&conn) else { return };
        let covers = |text: &String| {
            let pattern = Pattern::parse(text).expect("a pattern");
            scopes.as_ref().is_some_and(|(scopes, bounds)| {
                InForce { scopes, bounds }.allows_subscription(&pattern)
            })
        };
        let (kept, ended): (Vec<_>, Vec<_>) =
            std::mem::take(&mut seat.subscribed).into_iter().partition(covers);
        (seat.subscribed, seat.scopes) = (kept, scopes);
        for pattern in ended {
            self.feed_gateway(conn, GateIn::Unsubscribed(pattern));
        }
        self.feed_gateway(conn, GateIn::Bounded(until, renews));
    }
}

/// Returns a node's scopes in force, as core computes them.
pub(in super::super) fn in_force(
    grants: &[Grant],
    ceiling: Option<&Ceiling>,
    within: Span,
    now: UnixTime,
) -> Option<(ScopesBuf, Vec<ScopesBuf>)> {
    match entitled(grants, ceiling, within, now) {
        Entitled::InForce(in_force, _) => Some((in_force.scopes.clone(), in_force.bounds.to_vec())),
        Entitled::Renewal | Entitled::Nothing => None,
    }
}
