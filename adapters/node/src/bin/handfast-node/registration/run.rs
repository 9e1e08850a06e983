//! `handfast-node run`

use std::path::Path;

use handfast_core::flow::registration::node::RegistrationMemory;
use handfast_node::native::GatewayAt;
use handfast_node::{HeldState, Identity, LinuxNode, NodeConfig, StateDir, token_file};

use crate::Failure;
use crate::args;
use crate::stop::Stop;

pub(crate) async fn run(args: args::RunArgs) -> Result<(), Failure> {
    let waits = args.waits();
    let dir = args.state.dir()?;
    if crate::native::run::is_kept(&dir)? {
        return crate::native::run::run(args).await;
    }
    if args.json {
        return Err(Failure::Usage(
            "--json goes with a node that was paired with --pin, --code, --qr or --approval".into(),
        ));
    }
    if kept(&dir)?.is_none() {
        return Err(Failure::Failed(format!(
            "no node id is kept in {}; ask to be paired first:\n  handfast-node pair --pin --gateway URL\nor name \
             the directory that keeps it with --state",
            dir.path().display()
        )));
    }
    let state = dir.hold()?;
    // The state may have changed before the lock was taken.
    let (identity, memory) =
        kept(state.dir())?.ok_or_else(|| Failure::Failed("the node was reset just now".into()))?;
    let gateway = match args.gateway {
        None => identity.gateway,
        Some(GatewayAt::WebSocket(url)) => url,
        Some(other @ (GatewayAt::Tcp { .. } | GatewayAt::Serial { .. })) => {
            return Err(Failure::Usage(format!(
                "a node that was paired by token links over ws:// or wss://, not over {other}"
            )));
        }
    };
    let identity = Identity { gateway, ..identity };
    let ca = args.ca.checked(&identity.gateway)?;

    let (file, entered) = match args.token_file.as_deref() {
        Some(path) if path == Path::new("-") => {
            (None, Some(token_file::read_stdin(std::io::stdin().lock())?))
        }
        Some(path) => (Some(path), None),
        None => (default_file(&state, &memory), None),
    };
    let from_file = file.map(token_file::read).transpose()?;
    let stop = Stop::new()?;
    let profile = "{}".to_owned();
    let node = LinuxNode::new(NodeConfig {
        identity,
        profile,
        state,
        token: from_file,
        ask_anew: false,
        ca,
        waits,
    })?;
    let node = match file {
        Some(path) => node.with_token_file(std::path::absolute(path)?),
        None => node,
    };
    // The node stores a token from standard input itself.
    if let Some(token) = entered {
        node.owner().token_entered(token).await;
    }
    node.run(stop.requested()).await?;
    Ok(())
}

/// Loads the stored identity if a node id belongs to it.
fn kept(dir: &StateDir) -> Result<Option<(Identity, RegistrationMemory)>, Failure> {
    Ok(dir.load()?.filter(|(_, memory)| memory.node_id().is_some()))
}

/// Returns the default token file, unless a token from standard input is stored.
fn default_file(state: &HeldState, memory: &RegistrationMemory) -> Option<&'static Path> {
    let path = Path::new(token_file::DEFAULT_PATH);
    match memory {
        RegistrationMemory::Paired { .. } => {
            if token_file::is_there(path) {
                tracing::warn!(
                    "uses the token kept in {} and not the one in {}; to use that, give --token-file {}",
                    state.dir().path().display(),
                    path.display(),
                    path.display()
                );
            }
            None
        }
        RegistrationMemory::Blank | RegistrationMemory::Asked { .. } => Some(path),
    }
}
