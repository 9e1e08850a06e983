//! `handfast-node status` and `handfast-node reset`

use std::path::Path;

use handfast_core::flow::native::node::NativeMemory as Native;
use handfast_core::flow::registration::node::RegistrationMemory;
use handfast_node::token_file;
use handfast_stdio::note_line;
use serde_json::json;

use crate::args;
use crate::{Failure, put};

pub(crate) fn status(args: &args::Status) -> Result<(), Failure> {
    let dir = args.state.dir()?;
    if let Some((identity, memory)) = dir.load_native()?
        && (memory != Native::Blank || crate::native::status::was_put_out(&dir))
    {
        return crate::native::status::status(&dir, &identity, &memory, args.json);
    }
    let place = dir.path().display();
    let Some((identity, memory)) = dir.load()? else {
        if args.json {
            put(&format!(
                "{}\n",
                json!({ "state": place.to_string(), "node_id": null, "running": false })
            ))?;
        }
        return Err(Failure::Failed(format!(
            "nothing is kept in {place}; ask to be paired first: handfast-node pair"
        )));
    };
    let node_id = memory.node_id().map(|id| id.to_string());
    let running = dir.is_held();
    let default_file = token_file::DEFAULT_PATH;
    let stands = dir.stands();
    // The token file of the running node takes precedence over the one that the next run would
    // read.
    let used = stands.as_ref().filter(|_| running).and_then(|stands| stands.token_from.clone());
    let last = stands.as_ref().and_then(|stands| stands.token_from.clone());
    let (token, file, told) = match (&memory, used, last) {
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
                format!("in {last}, which was used last; run with --token-file {last}"),
            )
        }
        (RegistrationMemory::Blank | RegistrationMemory::Asked { .. }, None, _) => {
            ("none", None, format!("none kept, and none in {default_file}"))
        }
    };
    let standing = stands.as_ref().filter(|stands| running || stands.standing.is_out());
    let stands = crate::native::status::in_words(standing, running);
    if args.json {
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

pub(crate) fn reset(args: &args::Reset) -> Result<(), Failure> {
    let dir = args.state.dir()?;
    let place = dir.path().display().to_string();
    if !args.yes {
        return Err(Failure::Usage(format!(
            "reset forgets the node id, the keys, the gateway and a kept token in {place}, and this node then has to be paired again; if that \
             is meant, add --yes"
        )));
    }
    if !dir.path().exists() {
        return Err(Failure::Failed(format!("nothing is kept in {place}")));
    }
    let held = dir.hold()?;
    // An unreadable store must not prevent the reset of everything else.
    if let Ok(Some((identity, _))) = held.dir().load_native()
        && let Err(why) = crate::native::status::forget_token(&identity, held.dir().path())
    {
        note_line(&format!("handfast-node: warning: the token stays in its store: {why}"));
    }
    if !held.erase()? {
        return Err(Failure::Failed(format!("nothing is kept in {place}")));
    }
    put(
        "Forgotten. The gateway still lists the node; the operator can remove it with handfast devices unpair.\n",
    )
}
