//! The state machine alone, step by step.

use handfast_core::flow::registration::node::{
    Effect, Input, RegistrationMemory, RegistrationNode, Timing,
};
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::wire::token::Token;
use handfast_core::{Instant, Label, Machine, NodeId};

use super::script;
use crate::Measured;

/// Performs every step of a registration once and returns the cost of each. `None` if the script
/// were wrong.
pub fn steps(scratch: &mut [u8], instructions: fn() -> u32) -> Option<Measured> {
    let identity = PairRequest {
        name: Label::parse("Lamp")?,
        room: Label::parse("Kitchen")?,
        profile: Profile::EMPTY,
    };
    let node_id = NodeId::parse(script::NODE_ID)?;
    let token = || Token::parse(script::TOKEN);
    let tick = || Input::Tick(Heartbeat::default());
    let script = [
        ("step: time to connect", tick()),
        ("step: connected, ask", Input::Connected(identity)),
        ("step: pair_pending", Input::Text(script::PAIR_PENDING)),
        ("step: id kept", Input::Kept(RegistrationMemory::Asked { node_id })),
        ("step: token typed", Input::TokenEntered(token()?)),
        ("step: token kept", Input::Kept(RegistrationMemory::Paired { node_id, token: token()? })),
        ("step: time to reconnect", tick()),
        ("step: connected, authenticate", Input::Connected(identity)),
        ("step: auth_ok", Input::Text(script::AUTH_OK)),
        ("step: heartbeat", tick()),
    ];
    let now = Instant::from_millis(0);
    let mut measured = Measured::default();
    let mut node = RegistrationNode::boot(now, RegistrationMemory::Blank, Timing::DEFAULT);
    let mut sent = 0_u32;
    for (name, input) in script {
        let before = instructions();
        let effects = node.step(now, input, scratch);
        measured.note(name, instructions().wrapping_sub(before));
        sent = sent.saturating_add(
            effects.iter().filter(|effect| matches!(effect, Effect::Send(_))).count() as u32,
        );
    }
    (sent == 3).then_some(measured)
}
