//! The pairing that a state directory keeps.

use handfast_core::flow::native::node::NativeMemory;
use handfast_core::flow::registration::node::RegistrationMemory;
use handfast_node::native::NativeIdentity;
use handfast_node::{Identity, NodeStanding, StateDir};

use crate::Failure;

/// The flow in which a node is paired, with what it keeps of it.
pub(crate) enum Kept {
    /// Nothing is kept.
    Nothing,
    /// The node has paired or asked in the native flow, or was paired in it and is revoked.
    Native(NativeIdentity, NativeMemory),
    /// The node was registered for a token.
    Registration(Identity, RegistrationMemory),
}

impl Kept {
    /// Loads what the directory keeps.
    pub(crate) fn load(dir: &StateDir) -> Result<Self, Failure> {
        // A revoked node keeps its identity, so that its owner is told what has happened.
        let revoked =
            || dir.stands().is_some_and(|stands| stands.standing == NodeStanding::Unpaired);
        match dir.load_native()? {
            Some((identity, memory)) if memory != NativeMemory::Blank || revoked() => {
                Ok(Self::Native(identity, memory))
            }
            Some(_) | None => Ok(match dir.load()? {
                Some((identity, memory)) => Self::Registration(identity, memory),
                None => Self::Nothing,
            }),
        }
    }
}
