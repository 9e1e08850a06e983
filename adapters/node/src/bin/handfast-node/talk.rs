//! `handfast-node send` and `handfast-node listen`: a link for manual tests.

use std::time::Duration;

use handfast_core::wire::path::Action;
use handfast_node::Waits;
use handfast_node::native::{
    AppMessage, NativeEvent, NativeEvents, NativeNode, NativeOwner, NotSent,
};
use handfast_stdio::note_line;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::args::native::{Listen, Send};
use crate::hint::Hints;
use crate::native::run::{app_as_json, node};
use crate::{Failure, put};

/// Limit for an objection. A gateway refuses a message at once and does not confirm an allowed one.
const OBJECTS_WITHIN: Duration = Duration::from_secs(1);
/// Limit for opening the link.
const LINK_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn send(args: Send, hints: &Hints) -> Result<(), Failure> {
    let Send { action, address, text, state, ca } = args;
    let node = node(state.dir()?, None, ca, Waits::DEFAULT, None, false, hints)?;
    let mut linked = LinkedNode::open(node, hints).await?;
    let outcome = async {
        linked.owner.send_app(action, &address, text.into_bytes()).await.map_err(not_sent)?;
        let objection = tokio::time::timeout(OBJECTS_WITHIN, async {
            while let Some(event) = linked.events.next().await {
                objection(&event, hints)?;
            }
            Err(Failure::Failed("the link ended".into()))
        });
        // A gateway that is silent for a while does not object.
        objection.await.unwrap_or(Ok(()))
    };
    let outcome = outcome.await;
    linked.close().await;
    outcome
}

pub(crate) async fn listen(args: Listen, hints: &Hints) -> Result<(), Failure> {
    let Listen { pattern, json, state, ca } = args;
    let stop = crate::stop::Stop::new()?;
    let node = node(state.dir()?, None, ca, Waits::DEFAULT, None, false, hints)?;
    let mut linked = LinkedNode::open(node, hints).await?;
    linked.owner.subscribe(&pattern).await.map_err(not_sent)?;
    if !json {
        note_line(&format!("Listens at {pattern} until Ctrl-C."));
    }
    let heard = async {
        while let Some(event) = linked.events.next().await {
            objection(&event, hints)?;
            if let NativeEvent::App(message) = event {
                print_message(&message, json)?;
            }
        }
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = heard => outcome,
        () = stop.requested() => Ok(()),
    };
    linked.close().await;
    outcome
}

pub(crate) fn not_sent(why: NotSent) -> Failure {
    match why {
        NotSent::Address(_) | NotSent::Pattern(_) | NotSent::TooLong | NotSent::TooMany => {
            Failure::Usage(why.to_string())
        }
        NotSent::NotLinked | NotSent::Ended => Failure::Failed(why.to_string()),
    }
}

pub(crate) fn not_allowed(action: Action, pattern: &str, hints: &Hints) -> Failure {
    Failure::Failed(format!(
        "not allowed: no scope of this node's token covers {action}:{pattern}, or the node is \
         muted; the scopes are shown by:\n  {}",
        hints.status()
    ))
}

pub(crate) fn print_message(message: &AppMessage, json: bool) -> Result<(), Failure> {
    if json {
        put(&format!("{}\n", app_as_json(message)))
    } else {
        // Control characters of a peer's message could move the cursor or change colours.
        let text: String = String::from_utf8_lossy(&message.bytes)
            .chars()
            .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
            .collect();
        put(&format!("{} {} {text}\n", message.action, message.address))
    }
}

fn objection(event: &NativeEvent, hints: &Hints) -> Result<(), Failure> {
    if let NativeEvent::NotAllowed { action, pattern } = event {
        return Err(not_allowed(*action, pattern, hints));
    }
    if let NativeEvent::Unpaired = event {
        let anew = hints.pair_anew(&[]);
        return Err(Failure::Failed(format!("the operator unpaired this node; {anew}")));
    }
    Ok(())
}

/// A node with an open link, which runs in a task of its own.
struct LinkedNode {
    owner: NativeOwner,
    events: NativeEvents,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl LinkedNode {
    async fn open(node: NativeNode, hints: &Hints) -> Result<Self, Failure> {
        let (owner, events) = (node.owner(), node.events());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let ended = node.run(async {
                let _ = stopped.await;
            });
            if let Err(why) = ended.await {
                note_line(&format!("handfast-node: {why}"));
            }
        });
        let mut linked = Self { owner, events, stop, running };
        let opened = tokio::time::timeout(LINK_WITHIN, linked.until_linked(hints)).await;
        match opened.unwrap_or_else(|_| {
            Err(Failure::Failed("not linked: the gateway does not answer".into()))
        }) {
            Ok(()) => Ok(linked),
            Err(failure) => {
                linked.close().await;
                Err(failure)
            }
        }
    }

    async fn until_linked(&mut self, hints: &Hints) -> Result<(), Failure> {
        let mut why = "the gateway does not answer".to_owned();
        while let Some(event) = self.events.next().await {
            match event {
                NativeEvent::Linked(_) => return Ok(()),
                NativeEvent::Lost(lost) => why = lost.to_string(),
                NativeEvent::TurnedAway => {
                    why = "turned away, unsigned; try again later".to_owned();
                }
                NativeEvent::OtherVersion => {
                    why = "told, unsigned, that another version is spoken there".to_owned();
                }
                NativeEvent::Broken => {
                    why = "what came was not what this node's gateway would send".to_owned();
                }
                NativeEvent::PairAgain => {
                    why = format!(
                        "the gateway does not know this node any more, or has revoked it; {}",
                        hints.pair_anew(&[])
                    );
                }
                // A single command does not wait for the next attempt.
                NativeEvent::RetryIn(_) | NativeEvent::Resting => {
                    return Err(Failure::Failed(format!("not linked: {why}")));
                }
                NativeEvent::OtherGateway(_)
                | NativeEvent::Connecting
                | NativeEvent::Expired
                | NativeEvent::Gateway { .. }
                | NativeEvent::TypeThePin { .. }
                | NativeEvent::WrongCode { .. }
                | NativeEvent::CodeConfirmed
                | NativeEvent::GatewayUnproven
                | NativeEvent::WaitsForApproval { .. }
                | NativeEvent::PairingRefused(_)
                | NativeEvent::Granted { .. }
                | NativeEvent::Muted
                | NativeEvent::Replaced
                | NativeEvent::Unmuted
                | NativeEvent::Unpaired
                | NativeEvent::NotAllowed { .. }
                | NativeEvent::Renewed
                | NativeEvent::NotRenewed
                | NativeEvent::Bearer(_)
                | NativeEvent::App(_)
                | NativeEvent::Forgotten => {}
                // An event of a newer library is no answer to this wait.
                _ => {}
            }
        }
        Err(Failure::Failed(format!("not linked: {why}")))
    }

    async fn close(self) {
        drop(self.stop);
        let _ = self.running.await;
    }
}
