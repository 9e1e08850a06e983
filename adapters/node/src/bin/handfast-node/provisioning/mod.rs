//! `handfast-node provision` and `handfast-node label`

mod label;
mod settings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_core::flow::native::node::NativeMemory;
use handfast_node::StateDir;
use handfast_node::capability::Capabilities;
use handfast_node::native::{GatewayAt, NativeConfig, NativeNode};
use handfast_node::provisioning::{Provisioner, ProvisionerButton};
use handfast_stdio::note_line;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub(crate) use label::label;
pub(crate) use settings::settings;

use crate::Failure;
use crate::args::provision::Provision;
use crate::kept::Kept;
use crate::stop::Stop;

/// Wait before normal operation is tried again after a failure.
const AGAIN: Duration = Duration::from_secs(10);

pub(crate) async fn provision(args: Provision) -> Result<(), Failure> {
    let stop = Stop::new()?;
    let ca = args.ca.path().map(ToOwned::to_owned);
    if args.skip_check {
        let state = args.state.dir()?.path().to_owned();
        tokio::select! {
            () = operate(&state, ca.as_deref()) => {}
            () = stop.requested() => {}
        }
        return Ok(());
    }
    let config = args.config()?;
    let (state, plain) = (config.state.clone(), config.plain);
    let radio = args.radio()?;
    let provisioner = Provisioner::new(config, radio).await?;
    note_line(&match plain {
        true => format!(
            "Provisioning at http://{} (a page for a phone's browser; the API's documentation: \
             /docs). It is unprotected, and takes settings only in the setup window.",
            provisioner.address()
        ),
        false => format!(
            "Provisioning at http://{}, for phones that have the proof on this node's label.",
            provisioner.address()
        ),
    });
    let (operates, button) = (provisioner.operates(), provisioner.button());
    tokio::select! {
        ended = provisioner.run(stop.requested()) => Ok(ended?),
        pressed = press(button) => pressed,
        () = follow(operates, state, ca) => Ok(()),
    }
}

/// Presses the button at every SIGUSR1.
async fn press(button: ProvisionerButton) -> Result<(), Failure> {
    let mut signals = signal(SignalKind::user_defined1())?;
    while signals.recv().await.is_some() {
        button.press();
    }
    std::future::pending().await
}

/// Is in normal operation whenever core says so.
async fn follow(mut operates: watch::Receiver<bool>, state: PathBuf, ca: Option<PathBuf>) {
    // The sender lives as long as the provisioner.
    while operates.wait_for(|operates| *operates).await.is_ok() {
        tokio::select! {
            () = operate(&state, ca.as_deref()) => {}
            _ = operates.wait_for(|operates| !*operates) => {}
        }
    }
    std::future::pending::<()>().await;
}

/// Keeps the native link, if there is one, until the future is dropped.
async fn operate(state: &Path, ca: Option<&Path>) {
    loop {
        match node(state, ca) {
            Ok(Some(node)) => match node.run(std::future::pending()).await {
                Ok(()) => tracing::warn!("the link has ended"),
                Err(why) => tracing::error!("{why}"),
            },
            Ok(None) => {
                tracing::info!(
                    "the command center named no gateway of its own, so there is no link; later \
                     calls authenticate with the node's key"
                );
                return std::future::pending().await;
            }
            Err(why) => tracing::error!("{why}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Makes the node that the state directory keeps; `None` if it keeps none.
fn node(state: &Path, ca: Option<&Path>) -> Result<Option<NativeNode>, Failure> {
    let dir = StateDir::at(state);
    let identity = match Kept::load(&dir)? {
        Kept::Native(identity, NativeMemory::Asked { .. } | NativeMemory::Paired(_)) => identity,
        Kept::Native(_, NativeMemory::Blank) | Kept::Registration(..) | Kept::Nothing => {
            return Ok(None);
        }
    };
    let is_tls = identity.gateways.iter().any(GatewayAt::is_tls);
    let ca = ca.filter(|_| is_tls).map(ToOwned::to_owned);
    let mut config = NativeConfig { ca, ..NativeConfig::new(identity, state)? };
    config.capabilities = Capabilities::built_in(&config.state.keys()?);
    Ok(Some(NativeNode::new(config)?))
}
