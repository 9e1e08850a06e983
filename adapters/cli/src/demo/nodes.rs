//! The demo's Linux nodes, made of the same library as `handfast-node`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_core::wire::token::Token;
use handfast_core::{Label, NodeId, Refusal};
use handfast_node::{Events, Identity, LinuxNode, NodeConfig, NodeError, Owner, RegistrationEvent};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::End;

/// Limit for every step; only a defect takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node with its own state directory.
pub(crate) struct Pi {
    pub(crate) name: &'static str,
    identity: Identity,
    state: PathBuf,
    id: Option<NodeId>,
    running: Option<NodeRun>,
}

struct NodeRun {
    owner: Owner,
    events: Events,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), NodeError>>,
}

impl Pi {
    pub(crate) fn start(
        home: &Path,
        gateway: SocketAddr,
        name: &'static str,
        room: &'static str,
    ) -> Result<Self, End> {
        let label =
            |text| Label::parse(text).ok_or_else(|| End::Refused(format!("{text:?} is no name")));
        let identity = Identity {
            gateway: format!("ws://{gateway}").parse().map_err(End::refused)?,
            name: label(name)?.into(),
            room: label(room)?.into(),
        };
        let mut pi = Self { name, identity, state: home.join(room), id: None, running: None };
        pi.run()?;
        Ok(pi)
    }

    /// Stops without a goodbye, as in a power cut, and starts again from the stored state.
    pub(crate) async fn restart(&mut self) -> Result<(), End> {
        if let Some(run) = self.running.take() {
            run.task.abort();
            // The state directory is locked until the task is gone.
            let _ = run.task.await;
        }
        self.run()
    }

    fn run(&mut self) -> Result<(), End> {
        let config = NodeConfig::new(self.identity.clone(), &self.state).map_err(End::refused)?;
        let node = LinuxNode::new(config).map_err(End::refused)?;
        let (owner, events) = (node.owner(), node.events());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(node.run(async { drop(stopped.await) }));
        self.running = Some(NodeRun { owner, events, stop, task });
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> Result<(), End> {
        let Some(run) = self.running.take() else { return Ok(()) };
        let _ = run.stop.send(());
        run.task.await.map_err(End::refused)?.map_err(End::refused)
    }

    pub(crate) fn id(&self) -> Result<NodeId, End> {
        self.id.ok_or_else(|| End::Refused(format!("{} has no id yet", self.name)))
    }

    pub(crate) async fn enter(&self, token: &str) -> Result<(), End> {
        let token = Token::parse(token).ok_or_else(|| {
            End::Refused("the gateway issued something that is no token".to_owned())
        })?;
        if let Some(run) = &self.running {
            run.owner.token_entered(token).await;
        }
        Ok(())
    }

    pub(crate) async fn waits_for_approval(&mut self) -> Result<NodeId, End> {
        let id = self.until("ask to be paired", |event| match event {
            RegistrationEvent::WaitsForApproval(id) => Some(*id),
            _ => None,
        });
        let id = id.await?;
        self.id = Some(id);
        Ok(id)
    }

    pub(crate) async fn linked(&mut self) -> Result<(), End> {
        self.until("link", |event| matches!(event, RegistrationEvent::Linked { .. }).then_some(()))
            .await
    }

    pub(crate) async fn refused(&mut self, expected: Refusal) -> Result<(), End> {
        self.until("be refused", |event| {
            (*event == RegistrationEvent::Refused(expected)).then_some(())
        })
        .await
    }

    async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&RegistrationEvent) -> Option<T>,
    ) -> Result<T, End> {
        let name = self.name;
        let ended = || End::Refused(format!("{name} ended before it could {what}"));
        let Some(run) = self.running.as_mut() else { return Err(ended()) };
        let events = &mut run.events;
        let waiting = async {
            loop {
                match events.next().await {
                    Some(event) => {
                        if let Some(found) = wanted(&event) {
                            return Ok(found);
                        }
                    }
                    None => return Err(ended()),
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .map_err(|_| End::Refused(format!("{name} did not {what} in time")))?
    }
}
