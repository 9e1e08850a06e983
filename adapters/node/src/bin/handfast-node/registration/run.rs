//! `handfast-node run` for a node that was registered for a token.

use std::io::IsTerminal;
use std::path::Path;

use handfast_core::Refusal;
use handfast_core::flow::registration::node::RegistrationMemory;
use handfast_core::wire::token::Token;
use handfast_node::native::GatewayAt;
use handfast_node::{
    Events, HeldState, Identity, LinuxNode, NodeConfig, RegistrationEvent, StateDir, token_file,
};
use handfast_stdio::Hint;

use crate::Failure;
use crate::args;
use crate::ask::Question;
use crate::hint::Hints;
use crate::stop::Stop;

pub(crate) async fn run(args: args::RunArgs, hints: &Hints) -> Result<(), Failure> {
    let waits = args.waits();
    let dir = args.state.dir()?;
    if args.json {
        return Err(Failure::Usage(
            "--json goes with a node that was paired with --pin, --code, --qr or --approval".into(),
        ));
    }
    // Taking the lock would create a directory that is not there.
    if kept(&dir)?.is_none() {
        return Err(Failure::Failed(format!(
            "no node id is kept in {}; {}",
            dir.path().display(),
            hints.pair_first(&[])
        )));
    }
    let state = dir.hold()?;
    // The state may have changed before the lock was taken.
    let (identity, memory) =
        kept(state.dir())?.ok_or_else(|| Failure::Failed("the node was reset just now".into()))?;
    let gateway = match args.gateway {
        None => identity.gateway,
        Some(GatewayAt::WebSocket(url)) => url,
        Some(
            other @ (GatewayAt::Tcp { .. } | GatewayAt::Mtls { .. } | GatewayAt::Serial { .. }),
        ) => {
            return Err(Failure::Usage(format!(
                "a node that was paired by token links over ws:// or wss://, not over {other}"
            )));
        }
    };
    let identity = Identity { gateway, ..identity };
    let ca = args.ca.checked(&identity.gateway)?;

    let (file, entered) = match args.token_file.as_deref() {
        Some(path) if path == Path::new("-") => (None, Some(entered().await?)),
        Some(path) => (Some(path), None),
        None => (default_file(&state, &memory, hints), None),
    };
    let mounted = args.token_file_readable_by_others;
    let read = if mounted { token_file::read_mounted } else { token_file::read };
    let from_file = file.map(read).transpose()?;
    if let Some(path) = file.filter(|_| mounted) {
        tracing::warn!(
            "others may read the token file {}; whoever does can act as this node",
            path.display()
        );
    }
    let stop = Stop::new()?;
    let again = (identity.name.clone(), identity.room.clone(), identity.gateway.clone());
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
        Some(path) if mounted => node.with_mounted_token_file(std::path::absolute(path)?),
        Some(path) => node.with_token_file(std::path::absolute(path)?),
        None => node,
    };
    // The node stores a token from standard input itself.
    if let Some(token) = entered {
        node.owner().token_entered(token).await;
    }
    let events = node.events();
    let again = hints.pair_by_token(again.0.as_str(), again.1.as_str(), &again.2);
    tokio::select! {
        ended = node.run(stop.requested()) => Ok(ended?),
        () = advise(events, again) => Ok(()),
    }
}

/// Logs the next command after a refusal that the node cannot mend. Never ends.
async fn advise(mut events: Events, again: Hint) {
    while let Some(event) = events.next().await {
        if let RegistrationEvent::Refused(Refusal::InvalidCredentials) = event {
            tracing::error!("if the node was unpaired, ask to be paired again: {again}");
        }
    }
    std::future::pending::<()>().await;
}

/// Reads the token: asked for on a terminal, else from standard input up to its end.
async fn entered() -> Result<Token, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(token_file::read_stdin(std::io::stdin().lock())?);
    }
    let mut question = Question::ask("Token");
    let typed = tokio::select! {
        typed = question.answer(None) => typed,
        _ = tokio::signal::ctrl_c() => None,
    };
    let typed = typed.ok_or_else(|| Failure::Failed("nothing was typed".into()))?;
    Ok(token_file::read_stdin(typed.as_bytes())?)
}

/// Loads the stored identity if a node id belongs to it.
fn kept(dir: &StateDir) -> Result<Option<(Identity, RegistrationMemory)>, Failure> {
    Ok(dir.load()?.filter(|(_, memory)| memory.node_id().is_some()))
}

/// Returns the default token file, unless a token from standard input is stored.
fn default_file(
    state: &HeldState,
    memory: &RegistrationMemory,
    hints: &Hints,
) -> Option<&'static Path> {
    let path = Path::new(token_file::DEFAULT_PATH);
    match memory {
        RegistrationMemory::Paired { .. } => {
            if token_file::is_there(path) {
                tracing::warn!(
                    "uses the token kept in {} and not the one in {}; to use that: {}",
                    state.dir().path().display(),
                    path.display(),
                    hints.run().option("--token-file", Some(path))
                );
            }
            None
        }
        RegistrationMemory::Blank | RegistrationMemory::Asked { .. } => Some(path),
    }
}
