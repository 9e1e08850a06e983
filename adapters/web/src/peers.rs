//! At most one node and one companion.

use handfast_core::flow::setup_code::companion::{self as machine, Companion};
use handfast_core::wire::local_host;
use handfast_core::{Machine, Span};

use crate::call::Call;
use crate::clock::Clock;
use crate::node::WebNode;
use crate::reply::Reply;
use crate::{companion, texts};

/// A node and a companion, if they are used.
#[derive(Default)]
pub(crate) struct Peers {
    node: Option<WebNode>,
    companion: Option<Companion>,
}

impl Peers {
    pub(crate) const fn new() -> Self {
        Self { node: None, companion: None }
    }

    /// Carries out a call.
    pub(crate) fn call(&mut self, call: Call<'_>, clock: Clock, reply: &mut Reply<'_>) {
        match call {
            Call::ReadInvite { text } => texts::invite(text, reply),
            Call::ReadSetup { text } => texts::setup(text, reply),
            Call::Matches { pattern, address } => texts::matches(pattern, address, reply),
            Call::IsNear { host } => {
                reply.event(if local_host::is_local(host) { "near" } else { "far" });
            }
            Call::Companion { token } => {
                self.companion = companion::begin(clock.now, token, reply);
            }
            Call::CompanionText { text } => {
                self.companion_input(clock, machine::Input::Text(text), reply);
            }
            Call::CompanionBinary => {
                self.companion_input(clock, machine::Input::Binary, reply);
            }
            Call::CompanionClosed => {
                self.companion_input(clock, machine::Input::Closed, reply);
            }
            Call::Tick => {
                self.companion_input(clock, machine::Input::Tick, reply);
                if let Some(node) = &mut self.node {
                    node.call(Call::Tick, clock, reply);
                }
            }
            Call::Boot { entropy, stored, name, room, profile, wants } => {
                let about = (name, room, profile, wants);
                self.node = WebNode::boot(entropy, stored, about, clock, reply);
            }
            call @ (Call::Connected { .. }
            | Call::Frame { .. }
            | Call::Disconnected { .. }
            | Call::Kept
            | Call::Pair { .. }
            | Call::Code { .. }
            | Call::App { .. }
            | Call::Subscribe { .. }
            | Call::Renew
            | Call::Bearer
            | Call::Forget
            | Call::Readings { .. }
            | Call::Describe) => match &mut self.node {
                Some(node) => node.call(call, clock, reply),
                None => reply.refuse("no_node", ""),
            },
        }
    }

    fn companion_input(&mut self, clock: Clock, input: machine::Input<'_>, reply: &mut Reply<'_>) {
        if let Some(companion) = &mut self.companion {
            companion::step(companion, clock.now, input, reply);
        }
    }

    /// Returns the time until the next call of `Tick` is due; `None` if none is.
    pub(crate) fn deadline_in(&self, clock: Clock) -> Option<Span> {
        let node = self.node.as_ref().and_then(|node| node.due_in(clock));
        let companion = self
            .companion
            .as_ref()
            .and_then(|companion| companion.deadline())
            .map(|(at, _)| at.since(clock.now));
        node.into_iter().chain(companion).min()
    }
}
