//! Virtual time: it jumps from deadline to deadline, and due machines run.

use handfast_core::flow::native::gateway::NativeConnection;
use handfast_core::{Instant, Machine, Span};

use super::World;
use super::gateway::{GateIn, GatewayHost, Seat};
use super::node::NodeIn;

impl World {
    /// Lets time pass, with all events that are due meanwhile.
    pub fn pass(&mut self, span: Span) {
        let end = self.now + span.as_millis();
        self.run();
        while let Some(at) = self.next_deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.run();
        }
        self.now = end;
    }

    /// Runs events until a condition holds; `false` if it never does.
    pub fn run_until(&mut self, is_so: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..20_000 {
            if is_so(self) {
                return true;
            }
            if !self.happen() {
                let Some(at) = self.next_deadline() else { return false };
                self.now = self.now.max(at);
            }
        }
        false
    }

    fn deadlines(&self) -> impl Iterator<Item = u64> {
        let due = |deadline: Option<(Instant, _)>| {
            deadline.map(|(at, _)| at.as_millis()).filter(|&at| at < u64::MAX)
        };
        let nodes = self
            .nodes
            .iter()
            .filter_map(move |host| host.on_at.or_else(|| due(host.machine.as_ref()?.deadline())));
        let seats = self.gateways.iter().flat_map(move |gateway| {
            let due_here = move |seat: &Seat| {
                // Each gateway has a clock of its own.
                due(seat.machine.as_ref()?.deadline()).map(|at| at.saturating_sub(gateway.ahead))
            };
            gateway.seats.values().filter_map(due_here)
        });
        let power = self.gateways.iter().filter_map(|gateway| gateway.on_at);
        nodes.chain(seats).chain(power).chain(self.sharing_deadlines())
    }

    fn next_deadline(&self) -> Option<u64> {
        self.deadlines().min()
    }

    /// Runs one machine whose deadline has passed; `false` if there is none.
    pub(super) fn tick(&mut self) -> bool {
        let now = self.instant();
        let due = |deadline: Option<(Instant, _)>| deadline.is_some_and(|(at, _)| at <= now);
        if self.sharing_ticks() {
            self.check();
            return true;
        }
        let starts = |gateway: &GatewayHost| gateway.on_at.is_some_and(|at| at <= self.now);
        if let Some(at) = self.gateways.iter().position(starts) {
            self.gateway_on(at);
            return true;
        }
        if let Some(at) =
            self.nodes.iter().position(|host| host.on_at.is_some_and(|at| at <= self.now))
        {
            self.node_on(at);
            return true;
        }
        if let Some(at) = self
            .nodes
            .iter()
            .position(|host| host.machine.as_ref().is_some_and(|m| due(m.deadline())))
        {
            self.feed_node(at, NodeIn::Tick);
            self.check();
            return true;
        }
        let seat = (0..self.gateways.len()).find_map(|at| {
            let now = self.instant_at(at);
            let late = |machine: &NativeConnection| {
                machine.deadline().is_some_and(|(deadline, _)| deadline <= now)
            };
            let mut seats = self.gateways[at].seats.iter();
            let seat = seats.find(|(_, seat)| seat.machine.as_ref().is_some_and(late));
            seat.map(|(conn, _)| *conn)
        });
        if let Some(conn) = seat {
            self.feed_gateway(conn, GateIn::Tick);
            self.check();
        }
        seat.is_some()
    }
}
