//! How a node stands with its gateway, as it learned last: written by the node that runs, read by
//! whoever wants to know, in another process.

use handfast_core::time::UnixTime;
use serde::{Deserialize, Serialize};

use crate::native::unix_now;
use crate::state::{HeldState, StateDir, StateError};

/// The file in the state directory.
pub(crate) const FILE: &str = "standing.json";
const VERSION: u32 = 1;

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// It was paired, or given a token, and has not linked since.
    Paired,
    /// It runs and tries to link.
    Connecting,
    /// Its link is open.
    Linked,
    /// It is muted: the operator has to unmute it.
    Muted,
    /// It waits for the operator.
    Waiting,
    /// Its grant ran out, and it asks for it anew.
    Expired,
    /// The gateway does not know it with what it shows, or has revoked it.
    Refused,
    /// The operator has put it out.
    Unpaired,
}

impl Standing {
    /// The word for it, as programs read it.
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

    /// Whether it says that the pairing counts no more, whether or not the node runs.
    #[must_use]
    pub const fn is_out(self) -> bool {
        matches!(self, Self::Refused | Self::Unpaired)
    }
}

/// What a running node wrote of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stands {
    version: u32,
    /// How it stands.
    pub standing: Standing,
    /// Since when, in Unix seconds.
    since: u64,
    /// The file that it has its token from; none if it needs none, or it is kept in the state
    /// directory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_from: Option<String>,
}

impl Stands {
    /// Since when.
    #[must_use]
    pub const fn since(&self) -> UnixTime {
        UnixTime::from_secs(self.since)
    }
}

impl StateDir {
    /// How the node stood that ran here last; `None` if that is not known. What cannot be read is
    /// not known.
    #[must_use]
    pub fn stands(&self) -> Option<Stands> {
        let bytes = self.read_file(FILE).ok()??;
        serde_json::from_slice(&bytes).ok().filter(|stands: &Stands| stands.version == VERSION)
    }
}

/// Keeps the file in step with what a node learns.
#[derive(Debug)]
pub(crate) struct Teller {
    told: Option<(Standing, Option<String>)>,
    pub(crate) token_from: Option<String>,
}

impl Teller {
    /// One that goes on from what was written down last.
    pub(crate) fn of(dir: &StateDir) -> Self {
        Self {
            told: dir.stands().map(|stands| (stands.standing, stands.token_from)),
            token_from: None,
        }
    }

    /// Writes it down where it is news. That nobody can be told is no reason to stop: it is said in
    /// the log.
    pub(crate) fn tell(&mut self, state: &HeldState, standing: Standing) {
        let now = (standing, self.token_from.clone());
        // That it tries again says less than why the last attempt failed.
        let keeps = standing == Standing::Connecting
            && self.told.as_ref().is_some_and(|(before, _)| before.is_out());
        if keeps || self.told.as_ref() == Some(&now) {
            return;
        }
        if let Err(error) = write(state, &now) {
            tracing::warn!("how this node stands cannot be written down for `status`: {error}");
        }
        self.told = Some(now);
    }
}

fn write(
    state: &HeldState,
    (standing, token_from): &(Standing, Option<String>),
) -> Result<(), StateError> {
    let stands = Stands {
        version: VERSION,
        standing: *standing,
        since: unix_now().as_secs(),
        token_from: token_from.clone(),
    };
    // A word, a number and a text: there is nothing that could fail.
    let bytes = serde_json::to_vec_pretty(&stands).unwrap_or_default();
    state.write_file(FILE, &bytes)
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
        teller.tell(&state, Standing::Linked);
        let stands = StateDir::at(&path).stands().unwrap();
        assert_eq!((stands.standing, stands.token_from.as_deref()), (Standing::Linked, Some("/t")));
        teller.tell(&state, Standing::Refused);
        teller.tell(&state, Standing::Connecting);
        Teller::of(state.dir()).tell(&state, Standing::Connecting);
        assert_eq!(state.dir().stands().unwrap().standing, Standing::Refused);
        std::fs::write(path.join(FILE), b"{").unwrap();
        assert_eq!(state.dir().stands(), None);
    }
}
