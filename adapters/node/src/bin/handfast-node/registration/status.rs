//! `handfast-node status` for a node that was registered for a token.

use std::path::Path;

use handfast_core::flow::registration::node::RegistrationMemory;
use handfast_node::{Identity, StateDir, token_file};
use serde_json::json;

use crate::hint::Hints;
use crate::{Failure, put};

pub(crate) fn status(
    dir: &StateDir,
    identity: &Identity,
    memory: &RegistrationMemory,
    as_json: bool,
    hints: &Hints,
) -> Result<(), Failure> {
    let place = dir.path().display();
    let node_id = memory.node_id().map(|id| id.to_string());
    let running = dir.is_held();
    let default_file = token_file::DEFAULT_PATH;
    let stands = dir.stands();
    // The token file of the running node takes precedence over the one that the next run would
    // read.
    let used = stands.as_ref().filter(|_| running).and_then(|stands| stands.token_from.clone());
    let last = stands.as_ref().and_then(|stands| stands.token_from.clone());
    let (token, file, told) = match (memory, used, last) {
        (_, Some(used), _) => {
            ("file", Some(used.clone()), format!("in {used}, which the running node uses"))
        }
        (RegistrationMemory::Paired { .. }, None, _) => {
            ("kept", None, "kept in the state directory".to_owned())
        }
        (RegistrationMemory::Blank | RegistrationMemory::Asked { .. }, None, _)
            if token_file::is_there(Path::new(default_file)) =>
        {
            ("file", Some(default_file.to_owned()), format!("in {default_file}"))
        }
        (RegistrationMemory::Blank | RegistrationMemory::Asked { .. }, None, Some(last))
            if token_file::is_there(Path::new(&last)) =>
        {
            (
                "file",
                Some(last.clone()),
                format!(
                    "in {last}, which was used last: {}",
                    hints.run().option("--token-file", Some(&last))
                ),
            )
        }
        (RegistrationMemory::Blank | RegistrationMemory::Asked { .. }, None, _) => {
            ("none", None, format!("none kept, and none in {default_file}"))
        }
    };
    let standing = stands.as_ref().filter(|stands| running || stands.standing.is_out());
    let mut stands = crate::native::status::in_words(standing, running);
    if standing.is_some_and(|stands| stands.standing.is_out()) {
        let Identity { gateway, name, room } = identity;
        let again = hints.pair_by_token(name.as_str(), room.as_str(), gateway);
        stands += &format!("; ask to be paired again:\n  {again}");
    }
    if as_json {
        let shown = json!({
            "state": place.to_string(),
            "node_id": node_id,
            "gateway": identity.gateway.to_string(),
            "name": identity.name.as_str(),
            "room": identity.room.as_str(),
            "standing": standing.map(|stands| stands.standing.as_str()),
            "token": token,
            "token_file": file,
            "running": running,
        });
        return put(&format!("{shown}\n"));
    }
    let rows = [
        ("node id", node_id.unwrap_or_else(|| "none yet".to_owned())),
        ("gateway", identity.gateway.to_string()),
        ("name", identity.name.to_string()),
        ("room", identity.room.to_string()),
        ("standing", stands),
        ("token", told),
        ("state", place.to_string()),
        ("running", if running { "yes" } else { "no" }.to_owned()),
    ];
    put(&rows.into_iter().map(|(label, value)| format!("{label:<10}{value}\n")).collect::<String>())
}
