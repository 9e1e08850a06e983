//! The last known standing of a node with its gateway: written by the running node, read by other
//! processes.

use handfast_core::UnixTime;
use serde::{Deserialize, Serialize};

use crate::clock::unix_now;
use crate::state::{HeldState, STANDING, StateDir, StateError};

const VERSION: u32 = 1;

/// A node's standing with its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeStanding {
    /// The node was paired, or given a token, and has not linked since.
    Paired,
    /// The node runs and tries to link.
    Connecting,
    /// The link is open.
    Linked,
    /// The operator has muted the node.
    Muted,
    /// The node waits for the operator's approval.
    Waiting,
    /// The grant has expired, and the node asks for a new one.
    Expired,
    /// The gateway does not accept the node's credentials, or has revoked it.
    Refused,
    /// The operator has revoked the node (`unpaired`).
    Unpaired,
}

impl NodeStanding {
    /// Returns the word for machine-readable output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paired => "paired",
            Self::Connecting => "connecting",
            Self::Linked => "linked",
            Self::Muted => "muted",
            Self::Waiting => "waiting",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Unpaired => "unpaired",
        }
    }

    /// Returns `true` if the pairing is no longer valid, whether or not the node runs.
    #[must_use]
    pub const fn is_out(self) -> bool {
        matches!(self, Self::Refused | Self::Unpaired)
    }
}

/// Content of the standing file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stands {
    version: u32,
    /// The node's standing.
    pub standing: NodeStanding,
    /// Start of this standing, in Unix seconds.
    since: u64,
    /// The file that the token came from; `None` if the node needs no token, or it is in the state
    /// directory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_from: Option<String>,
}

impl Stands {
    /// Returns the start of this standing.
    #[must_use]
    pub const fn since(&self) -> UnixTime {
        UnixTime::from_secs(self.since)
    }
}

impl StateDir {
    /// Loads the standing of the last node that ran with this directory; `None` if the file is
    /// missing or unreadable.
    #[must_use]
    pub fn stands(&self) -> Option<Stands> {
        // The file is for people alone, so one that cannot be read counts as none.
        let bytes = self.read_file(STANDING).ok()??;
        serde_json::from_slice(&bytes).ok().filter(|stands: &Stands| stands.version == VERSION)
    }
}

/// A writer that updates the file when the standing changes.
#[derive(Debug)]
pub(crate) struct Teller {
    told: Option<(NodeStanding, Option<String>)>,
    pub(crate) token_from: Option<String>,
}

impl Teller {
    /// Continues from the content of the file.
    pub(crate) fn of(dir: &StateDir) -> Self {
        Self {
            // A restart does not write the same standing again.
            told: dir.stands().map(|stands| (stands.standing, stands.token_from)),
            token_from: None,
        }
    }

    /// Writes the standing if it has changed. A failure is only logged, because the node can work
    /// without the file.
    pub(crate) fn tell(&mut self, state: &HeldState, standing: NodeStanding) {
        let now = (standing, self.token_from.clone());
        // The cause of the last failure tells more than the next attempt does.
        let keeps = standing == NodeStanding::Connecting
            && self.told.as_ref().is_some_and(|(before, _)| before.is_out());
        if keeps || self.told.as_ref() == Some(&now) {
            return;
        }
        // The standing is told to people alone, so a failed write stops nothing.
        if let Err(error) = write(state, &now) {
            tracing::warn!("how this node stands cannot be written down for `status`: {error}");
        }
        self.told = Some(now);
    }
}

fn write(
    state: &HeldState,
    (standing, token_from): &(NodeStanding, Option<String>),
) -> Result<(), StateError> {
    let stands = Stands {
        version: VERSION,
        standing: *standing,
        since: unix_now().as_secs(),
        token_from: token_from.clone(),
    };
    // Serializing a word, a number and a text cannot fail.
    let bytes = serde_json::to_vec_pretty(&stands).unwrap_or_default();
    state.write_file(STANDING, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_learned_is_read_back_and_trying_again_does_not_hide_a_refusal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let state = StateDir::at(&path).hold().unwrap();
        assert_eq!(state.dir().stands(), None);
        let mut teller = Teller { token_from: Some("/t".to_owned()), ..Teller::of(state.dir()) };
        teller.tell(&state, NodeStanding::Linked);
        let stands = StateDir::at(&path).stands().unwrap();
        assert_eq!(
            (stands.standing, stands.token_from.as_deref()),
            (NodeStanding::Linked, Some("/t"))
        );
        teller.tell(&state, NodeStanding::Refused);
        teller.tell(&state, NodeStanding::Connecting);
        Teller::of(state.dir()).tell(&state, NodeStanding::Connecting);
        assert_eq!(state.dir().stands().unwrap().standing, NodeStanding::Refused);
        std::fs::write(path.join(STANDING), b"{").unwrap();
        assert_eq!(state.dir().stands(), None);
    }
}
