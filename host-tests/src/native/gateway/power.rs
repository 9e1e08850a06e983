//! The gateway's power: when it fails, and what is gone with it.

use handfast_core::link::dispatch::DispatchEvent;

use super::super::World;
use super::super::wires::{ConnId, Side};
use super::replays;

impl World {
    /// Returns power to a gateway.
    pub fn gateway_on(&mut self, at: usize) {
        let starts = !self.gateways[at].on;
        if starts {
            // Gateways that share a registry go by its clock.
            if self.sharing.is_none() {
                self.clocks.begin(self.now);
            }
            // A gateway that starts finds its links lost. Others may have links, too: a node's next
            // one asks for what was sent over its last one.
            let tasks = self.store.tasks.values_mut().filter(|_| self.sharing.is_none());
            for task in tasks {
                task.life = task.life.step(DispatchEvent::LinkLost).0;
            }
        }
        self.gateways[at].on = true;
        (self.gateways[at].on_at, self.gateways[at].off_since) = (None, None);
        if starts {
            self.follow_anew(at);
        }
    }

    /// Takes a gateway's power.
    pub fn gateway_off(&mut self, at: usize) {
        self.note(|| format!("gateway {at} loses power"));
        let back = self.now + 1 + self.prng.below(20_000);
        if self.gateways[at].on && self.sharing.is_none() {
            self.clocks.end(self.now);
        }
        let since = self.now;
        let gateway = &mut self.gateways[at];
        gateway.off_since.get_or_insert(since);
        if let Some(follower) = &mut gateway.follower {
            follower.ends();
        }
        gateway.on = false;
        gateway.fuel = None;
        gateway.on_at = Some(back);
        gateway.live.clear();
        gateway.replays = replays();
        gateway.proving.clear();
        let conns: Vec<ConnId> = core::mem::take(&mut gateway.seats).into_keys().collect();
        self.jobs.retain(|job| !conns.iter().any(|conn| job.is_of_conn(*conn)));
        for conn in conns {
            self.leave(conn, Side::Gateway);
        }
    }

    /// Returns `true` if a gateway has power for one more effect; takes its power otherwise.
    pub(in super::super) fn gateway_may(&mut self, at: usize) -> bool {
        match self.gateways[at].fuel {
            Some(0) => {
                self.gateway_off(at);
                false
            }
            Some(fuel) => {
                self.gateways[at].fuel = Some(fuel - 1);
                true
            }
            None => true,
        }
    }
}
