//! The gateway's power: when it fails, and what is gone with it.

use handfast_core::link::dispatch::DispatchEvent;

use super::super::World;
use super::super::wires::{ConnId, Side};
use super::replays;

impl World {
    /// Returns power to the gateway.
    pub fn gateway_on(&mut self) {
        if !self.gateway.on {
            self.clocks.begin(self.now);
            // A gateway that starts finds its links lost.
            for task in self.store.tasks.values_mut() {
                task.life = task.life.step(DispatchEvent::LinkLost).0;
            }
        }
        self.gateway.on = true;
        self.gateway.on_at = None;
    }

    /// Takes the gateway's power.
    pub fn gateway_off(&mut self) {
        self.note(|| "the gateway loses power".to_owned());
        let back = self.now + 1 + self.prng.below(20_000);
        if self.gateway.on {
            self.clocks.end(self.now);
        }
        let gateway = &mut self.gateway;
        gateway.on = false;
        gateway.fuel = None;
        gateway.on_at = Some(back);
        gateway.live.clear();
        gateway.replays = replays();
        gateway.proving.clear();
        let conns: Vec<ConnId> = core::mem::take(&mut gateway.seats).into_keys().collect();
        self.jobs.retain(|job| !job.is_of_gateway());
        for conn in conns {
            self.leave(conn, Side::Gateway);
        }
    }

    /// Returns `true` if the gateway has power for one more effect; takes its power otherwise.
    pub(in super::super) fn gateway_may(&mut self) -> bool {
        match self.gateway.fuel {
            Some(0) => {
                self.gateway_off();
                false
            }
            Some(fuel) => {
                self.gateway.fuel = Some(fuel - 1);
                true
            }
            None => true,
        }
    }
}
