//! The demo's nodes with keys, made of the same library as `handfast-node`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_core::Label;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::PairMethod;
use handfast_node::capability::Capabilities;
use handfast_node::native::{
    GatewayAt, NativeConfig, NativeError, NativeEvent, NativeEvents, NativeIdentity, NativeNode,
    NativeOwner, open_tokens,
};
use handfast_node::tokens::SecretText;
use handfast_node::{StateDir, Waits};
use tokio::task::JoinHandle;

use crate::End;

/// Limit for every step; only a defect takes this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A node with keys and its own state directory.
pub(super) struct Phone {
    pub(super) name: &'static str,
    pub(super) owner: NativeOwner,
    identity: NativeIdentity,
    state: PathBuf,
    events: NativeEvents,
    task: JoinHandle<Result<(), NativeError>>,
}

impl Phone {
    /// Starts a node that knows only the address of a gateway.
    pub(super) fn start(home: &Path, gateways: &[&str], name: &'static str) -> Result<Self, End> {
        Self::start_in(&home.join(name.replace(' ', "-")), gateways, name, Capabilities::none())
    }

    /// Starts a node with its state in this directory, which can be asked to do this.
    pub(super) fn start_in(
        state: &Path,
        gateways: &[&str],
        name: &'static str,
        capabilities: Capabilities,
    ) -> Result<Self, End> {
        let label =
            |text| Label::parse(text).ok_or_else(|| End::Refused(format!("{text:?} is no name")));
        let state = state.to_owned();
        let gateways = gateways.iter().map(|at| at.parse().map_err(End::refused));
        let identity = NativeIdentity {
            gateways: gateways.collect::<Result<Vec<GatewayAt>, _>>()?,
            name: label(name)?.into(),
            room: label("Study")?.into(),
            tokens: state.join("tokens.json"),
            plain_tokens: false,
        };
        let mut config = NativeConfig::new(identity.clone(), &state).map_err(End::refused)?;
        config.capabilities = capabilities;
        config.waits = Waits { heartbeat_every: Duration::from_secs(1), ..Waits::DEFAULT };
        let node = NativeNode::new(config).map_err(End::refused)?;
        let (owner, events) = (node.owner(), node.events());
        let task = tokio::spawn(node.run(std::future::pending()));
        Ok(Self { name, owner, identity, state, events, task })
    }

    /// Returns the fingerprint that people compare with the operator's view.
    pub(super) fn fingerprint(&self) -> Result<Fingerprint, End> {
        Ok(Fingerprint::of(self.keys()?.channel.public()))
    }

    pub(super) fn keys(&self) -> Result<OwnKeys, End> {
        let keys = StateDir::at(&self.state).load_keys().map_err(End::refused)?;
        keys.ok_or_else(|| End::Refused(format!("{} has no keys", self.name)))
    }

    /// Returns the stored capability token.
    pub(super) fn token(&self) -> Result<SecretText, End> {
        let store = open_tokens(&self.identity, &self.state).map_err(End::refused)?;
        let router = self.identity.gateways.first().map(GatewayAt::router).unwrap_or_default();
        let entry = store.get(&router).map_err(End::refused)?;
        entry
            .map(|entry| entry.token)
            .ok_or_else(|| End::Refused(format!("{} keeps no token", self.name)))
    }

    /// Switches the node off without a goodbye, and returns its state directory.
    pub(super) async fn off(mut self) -> PathBuf {
        self.task.abort();
        // The state directory is locked until the task is gone.
        let _ = (&mut self.task).await;
        std::mem::take(&mut self.state)
    }

    pub(super) async fn asks(&self, wish: PairMethod, expect: Option<Fingerprint>) {
        self.owner.pair(wish, expect).await;
    }

    pub(super) async fn types(&self, code: &str) -> Result<(), End> {
        let code =
            Code::parse(code).map_err(|_| End::Refused("what was shown is no code".to_owned()))?;
        self.owner.enter_code(code).await;
        Ok(())
    }

    /// Waits until the node is paired and linked.
    pub(super) async fn is_paired(&mut self) -> Result<(), End> {
        self.until("be paired", |event| matches!(event, NativeEvent::Granted { .. }).then_some(()))
            .await?;
        self.is_linked().await
    }

    pub(super) async fn is_linked(&mut self) -> Result<(), End> {
        self.until("link", |event| matches!(event, NativeEvent::Linked(_)).then_some(())).await
    }

    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&NativeEvent) -> Option<T>,
    ) -> Result<T, End> {
        let name = self.name;
        let mut last = None;
        let waiting = async {
            while let Some(event) = self.events.next().await {
                if let Some(found) = wanted(&event) {
                    return Ok(found);
                }
                last = Some(event);
            }
            Err(End::Refused(format!("{name} ended before it could {what}")))
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.map_err(|_| {
            End::Refused(format!("{name} did not {what} in time; the last it said was {last:?}"))
        })?
    }
}

impl Drop for Phone {
    /// Ends the task without a goodbye, as in a power cut.
    fn drop(&mut self) {
        self.task.abort();
    }
}
