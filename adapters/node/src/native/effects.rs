//! The effects of a node of the native wire.

mod addresses;
mod standing;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use handfast_core::flow::native::node::{Effect, NativeMemory, Node};
use handfast_core::limits::SUBSCRIPTIONS;
use handfast_core::wire::native::link::App;
use handfast_core::{Machine, NodeId};
use tokio::sync::broadcast;

use self::standing::standing_after;
use super::NativeError;
use super::address::GatewayAt;
use super::address_book::{AddressBook, ToldAddresses, callable};
use super::certificate_keeper::NativeCertificates;
use super::chain::ChainFacts;
use super::context::NativeContext;
use super::dispatching::{DispatchWork, NativeDispatches};
use super::event::{AppMessage, NativeEvent};
use super::incoming_objects::IncomingObjects;
use super::mtls::TlsChannel;
use super::owner::{NotSent, OwnerMessage, Renewable};
use super::record::NativeIdentity;
use super::renewal::RenewalSchedule;
use super::request::{NativeOwnerCommand, NativeRequest};
use super::search::GatewaySearch;
use super::storage::{NativeKeeper, NativeStorageError, ToKeep};
use super::transport::{NativeLink, NativeTarget, open_first};
use crate::capability::TaskEvent;
use crate::connection::Opening;
use crate::driver::{EffectOf, NodeFlow, Work};
use crate::event::Lost;
use crate::standing::Teller;
use crate::waits::Waits;

/// Core's name for the state of a node that waits for its owner.
const IDLE: &str = "Idle";

/// Work that only a node of the native wire has. It owns what an effect borrows, because it awaits
/// the disk.
pub(super) enum NativeWork {
    Dispatch(DispatchWork),
    /// Store the certificate that has come; `None` if its parts did not.
    Certificate(Option<Vec<u8>>),
    /// Keep the found address at which the gateway has proven its key.
    KeepAddress,
    /// Keep the addresses that the gateway tells.
    KeepTold(Vec<GatewayAt>),
}

/// An event of the node's own.
pub(super) enum NativeHappening {
    Task(TaskEvent),
    /// The search for the gateway has ended.
    Searched,
    /// A renewal of the token is due.
    Renewal,
    /// A renewal of the certificate is due.
    CertificateRenewal,
    /// A link with the certificate of this serial number stands.
    CertificateWorked(String),
    /// The gateway has told its name for people.
    GatewayName(String),
    /// The gateway has proven its key at another of the addresses that it told.
    AddressWorked(ToldAddresses),
}

/// What is durable.
pub(super) enum NativeKept {
    /// The memory, and a certificate that came with it.
    All,
    /// The memory; the certificate that came is none of this node's.
    WithoutCertificate,
}

/// The storage, the owner and the connections of a node.
pub(super) struct NativeEffects {
    keeper: Arc<NativeKeeper>,
    pub(super) target: NativeTarget,
    dispatches: NativeDispatches,
    certificates: NativeCertificates,
    search: GatewaySearch,
    book: AddressBook,
    /// A file of CA certificates, for an address that the gateway tells later.
    ca: Option<PathBuf>,
    /// The id under which the node is paired.
    node_id: Option<NodeId>,
    /// The gateway's name, if it has told one since the node started.
    gateway_name: Option<String>,
    /// Index of the address that the present connection was opened at.
    address: usize,
    /// Serial number of the certificate that the present connection was opened with.
    serial: Option<String>,
    /// `true` if the present connection was opened because no certificate was accepted at an
    /// address that needs one.
    passed_over: bool,
    /// `true` if the certificate that came last was not kept.
    uncertified: bool,
    /// What has to be stored when nothing else is to be done.
    unstored: VecDeque<NativeHappening>,
    pub(super) identity: NativeIdentity,
    pub(super) events: broadcast::Sender<NativeEvent>,
    renewal: RenewalSchedule,
    objects: IncomingObjects,
    /// Patterns to subscribe to on every new link, because the gateway drops subscriptions with the
    /// link.
    subscriptions: Vec<String>,
    teller: Teller,
}

/// What a node brings when it starts.
pub(super) struct NativeParts {
    pub(super) keeper: Arc<NativeKeeper>,
    pub(super) target: NativeTarget,
    pub(super) book: AddressBook,
    pub(super) ca: Option<PathBuf>,
    pub(super) node_id: Option<NodeId>,
    pub(super) events: broadcast::Sender<NativeEvent>,
    pub(super) identity: NativeIdentity,
    pub(super) teller: Teller,
    pub(super) dispatches: NativeDispatches,
    pub(super) certificates: NativeCertificates,
    pub(super) facts: Option<ChainFacts>,
}

impl NativeEffects {
    pub(super) fn new(parts: NativeParts) -> Self {
        let NativeParts {
            keeper,
            target,
            book,
            ca,
            node_id,
            events,
            identity,
            teller,
            dispatches,
            certificates,
            facts,
        } = parts;
        let mut renewal = RenewalSchedule::default();
        renewal.plan(facts.as_ref().map(Into::into));
        Self {
            keeper,
            target,
            identity,
            events,
            dispatches,
            certificates,
            search: GatewaySearch::default(),
            book,
            ca,
            node_id,
            gateway_name: None,
            address: 0,
            serial: None,
            passed_over: false,
            uncertified: false,
            unstored: VecDeque::new(),
            renewal,
            objects: IncomingObjects::new(),
            subscriptions: Vec::new(),
            teller,
        }
    }

    /// Runs a task of the storage on a thread that may block, because flushing a file may take long.
    async fn blocking<T: Send + 'static>(
        &self,
        task: impl FnOnce(&NativeKeeper) -> Result<T, NativeStorageError> + Send + 'static,
    ) -> Result<T, NativeError> {
        let keeper = self.keeper.clone();
        let done = tokio::task::spawn_blocking(move || task(&keeper)).await;
        Ok(done.map_err(|_| NativeError::Stopped)??)
    }
}

impl NodeFlow for NativeEffects {
    type Machine = Node;
    type Context = NativeContext;
    type Link = NativeLink;
    type Opened = Option<TlsChannel>;
    type Memory = NativeMemory;
    type Kept = NativeKept;
    type Command = OwnerMessage;
    type Request = NativeRequest;
    type Happening = NativeHappening;
    type Own = NativeWork;
    type Event = NativeEvent;
    type Error = NativeError;

    fn waits(&self) -> Waits {
        self.target.waits
    }

    fn dial(&self) -> Opening<NativeLink> {
        let mut target =
            NativeTarget { certificates: self.certificates.usable(), ..self.target.clone() };
        if let Some(found) = self.search.called() {
            target.gateways = [found.clone()].into();
        }
        Box::pin(open_first(target))
    }

    /// Moves the address that answered to the front. Once the node is paired, the order stays,
    /// because the first address names the token's entry.
    fn opened(&mut self, machine: &Node, link: &NativeLink) -> Option<TlsChannel> {
        self.objects.start_over();
        self.address = link.address;
        if !matches!(machine.memory(), NativeMemory::Paired(_))
            && link.address < self.identity.gateways.len()
        {
            self.address = 0;
            // The other addresses keep their order.
            self.identity.gateways[..=link.address].rotate_right(1);
            self.target.gateways = self.identity.gateways.clone().into();
            self.book.set_own(self.identity.gateways.clone());
        }
        // A found address is that of a search, which has its own order.
        let known = self.search.called().is_none();
        self.book.opened(self.target.gateways.get(self.address).filter(|_| known).cloned());
        self.serial = link.channel.as_ref().map(|channel| channel.serial.clone());
        self.passed_over = link.passed_over;
        if link.passed_over {
            // Another certificate may open the address that was passed over.
            self.certificates.refused();
        }
        link.channel.clone()
    }

    fn command(
        &mut self,
        machine: &Node,
        OwnerMessage { command, answer }: OwnerMessage,
    ) -> Option<NativeRequest> {
        let linked = machine.is_linked();
        let (answered, passes) = match &command {
            // Answered before the message is sent: `Ok` says only that a link was open.
            NativeOwnerCommand::App(_) if linked => (Ok(()), true),
            NativeOwnerCommand::App(_) => (Err(NotSent::NotLinked), false),
            NativeOwnerCommand::Subscribe(pattern) => {
                if self.subscriptions.contains(pattern) {
                    (Ok(()), false)
                } else if self.subscriptions.len() >= SUBSCRIPTIONS {
                    (Err(NotSent::TooMany), false)
                } else {
                    self.subscriptions.push(pattern.clone());
                    // Without a link it is sent with the next one, when all subscriptions are
                    // repeated.
                    (Ok(()), linked)
                }
            }
            NativeOwnerCommand::Pair(..)
            | NativeOwnerCommand::Setup(..)
            | NativeOwnerCommand::Code(_)
            | NativeOwnerCommand::Renew(_)
            | NativeOwnerCommand::Forget
            | NativeOwnerCommand::Vitals(_) => (Ok(()), true),
        };
        if let Some(answer) = answer {
            // The owner may have stopped waiting.
            let _ = answer.send(answered);
        }
        passes.then_some(command.into())
    }

    /// A renewal needs a link. One that becomes due without it is sent after the next connection.
    async fn next(&mut self, machine: &Node) -> NativeHappening {
        if let Some(event) = self.unstored.pop_front() {
            return event;
        }
        let linked = machine.is_linked();
        // A node that has none waits for a gateway that issues some.
        let certifies = machine.gets_certificates() || self.certificates.has_any();
        tokio::select! {
            event = self.dispatches.next() => NativeHappening::Task(event),
            () = self.search.done() => NativeHappening::Searched,
            () = self.renewal.due(), if linked => {
                // This is noted only once it is due, so that a dropped future is no request.
                self.renewal.asked();
                NativeHappening::Renewal
            }
            () = self.certificates.due(), if linked && certifies => NativeHappening::CertificateRenewal,
        }
    }

    async fn happened(
        &mut self,
        _: &Node,
        event: NativeHappening,
    ) -> Result<Option<NativeRequest>, NativeError> {
        match event {
            NativeHappening::Task(event) => self.dispatches.happened(event).await,
            NativeHappening::Searched => Ok(Some(NativeRequest::Found(self.search.count()))),
            NativeHappening::Renewal => {
                Ok(Some(NativeOwnerCommand::Renew(Renewable::Chain).into()))
            }
            NativeHappening::CertificateRenewal => {
                Ok(Some(NativeRequest::RenewCertificate(self.certificates.begin().await?)))
            }
            NativeHappening::CertificateWorked(serial) => {
                self.certificates.worked(&serial).await?;
                Ok(None)
            }
            NativeHappening::AddressWorked(told) => {
                let kept = self.blocking(move |keeper| keeper.keep_addresses(Some(&told))).await;
                // Only the order after a restart depends on it.
                if let Err(error) = kept {
                    tracing::warn!("the address that answers is not kept as the first: {error}");
                }
                Ok(None)
            }
            NativeHappening::GatewayName(name) => {
                let router = self.router();
                let kept = self.blocking(move |keeper| keeper.keep_name(&router, &name)).await;
                // A node whose token store cannot be used still links, so it goes on without.
                if let Err(error) = kept {
                    tracing::warn!("the gateway's name is not kept: {error}");
                }
                Ok(None)
            }
        }
    }

    fn work<'b>(&mut self, machine: &Node, effect: EffectOf<'b, Self>) -> Work<'b, Self> {
        match effect {
            Effect::Connect => {
                self.turn_to_known();
                Work::Connect
            }
            Effect::Search(sought) => {
                self.search.begin(sought, &self.target.gateways, self.target.tls.is_some());
                Work::Nothing
            }
            Effect::ConnectFound(index) => {
                self.search.turn_to(Some(index));
                Work::Connect
            }
            Effect::KeepFound => Work::Own(NativeWork::KeepAddress),
            Effect::KeepAddresses(list) => Work::Own(NativeWork::KeepTold(callable(&list))),
            Effect::Send(frame) => Work::Send(frame),
            Effect::Close(close) => Work::Close(close),
            Effect::Part(part) => {
                self.objects.part(&part);
                Work::Nothing
            }
            // The token is stored together with the memory of the effect that follows.
            Effect::Chain(bytes) => {
                self.objects.complete_chain(bytes);
                Work::Nothing
            }
            Effect::Certificate => {
                Work::Own(NativeWork::Certificate(self.objects.take_certificates()))
            }
            // This machine has a clock, and its certificates are of X.509.
            Effect::CertificateKey(_) | Effect::Time(_) => Work::Nothing,
            Effect::Dispatch(dispatch) => {
                Work::Own(NativeWork::Dispatch(DispatchWork::of(&dispatch)))
            }
            Effect::Cancel(id) => Work::Own(NativeWork::Dispatch(DispatchWork::Cancel(id))),
            Effect::Query(id, number) => {
                Work::Own(NativeWork::Dispatch(DispatchWork::Query(id, number)))
            }
            Effect::Keep => Work::Keep(*machine.memory()),
            Effect::Bearer(token) => Work::Tell(NativeEvent::Bearer(Arc::new(token))),
            Effect::App(App { action, address, bytes }) => {
                Work::Tell(NativeEvent::App(AppMessage {
                    action,
                    address: address.as_str().to_owned(),
                    bytes: bytes.as_bytes().to_vec(),
                }))
            }
            Effect::Tell(event) => Work::Tell(NativeEvent::of(event)),
        }
    }

    async fn carry_out(&mut self, work: NativeWork) -> Result<Vec<NativeRequest>, NativeError> {
        match work {
            NativeWork::Dispatch(work) => self.dispatches.carry_out(work).await,
            NativeWork::KeepAddress => self.keep_found().await.map(|()| Vec::new()),
            NativeWork::KeepTold(told) => self.keep_told(told).await.map(|()| Vec::new()),
            NativeWork::Certificate(object) => {
                let next = match object {
                    Some(object) => self.certificates.receive(&object).await?,
                    None => None,
                };
                // The machine confirms a certificate only if it was kept.
                self.uncertified = next.is_none();
                Ok(next.map(NativeRequest::NextCertificate).into_iter().collect())
            }
        }
    }

    async fn keep(&mut self, memory: NativeMemory) -> Result<NativeKept, NativeError> {
        let what = ToKeep {
            identity: self.identity.clone(),
            memory,
            chain: self.objects.take_chain(),
            gateway_name: self.gateway_name.clone(),
        };
        let facts = self.blocking(move |keeper| keeper.keep(what)).await?;
        self.keep_book(&memory).await?;
        match memory {
            NativeMemory::Paired(_) => self.renewal.plan(facts.as_ref().map(Into::into)),
            NativeMemory::Asked { .. } => self.renewal.plan(None),
            NativeMemory::Blank => {
                self.renewal.plan(None);
                self.certificates.forget().await?;
            }
        }
        // A certificate that came for this memory is stored by now, or it is none of this node's.
        Ok(match std::mem::take(&mut self.uncertified) {
            true => NativeKept::WithoutCertificate,
            false => NativeKept::All,
        })
    }

    fn tell(&mut self, event: NativeEvent) -> Vec<NativeRequest> {
        let mut follow = Vec::new();
        if let NativeEvent::Linked(_) = &event {
            let again = self.subscriptions.iter().cloned().map(NativeOwnerCommand::Subscribe);
            follow.extend(again.map(NativeRequest::Owner));
            follow.extend(self.dispatches.announcements());
            self.certificates.linked();
        }
        if matches!(&event, NativeEvent::Linked(_) | NativeEvent::Expired)
            && let Some(told) = self.book.proven()
        {
            self.unstored.push_back(NativeHappening::AddressWorked(told));
        }
        if matches!(&event, NativeEvent::CertificateNotRenewed) {
            self.certificates.not_renewed();
        }
        if matches!(&event, NativeEvent::CertificateRenewed)
            && std::mem::take(&mut self.passed_over)
        {
            // The address that needed it comes first, so the node tries that again.
            follow.push(NativeRequest::Redial);
        }
        if let (NativeEvent::Linked(_), Some(serial)) = (&event, &self.serial) {
            // Telling does not wait for the disk, so this is stored when the node waits next.
            self.unstored.push_back(NativeHappening::CertificateWorked(serial.clone()));
        }
        if let NativeEvent::GatewayName(name) = &event {
            self.gateway_name = Some(name.clone());
            self.unstored.push_back(NativeHappening::GatewayName(name.clone()));
        }
        if let NativeEvent::Forgotten = &event {
            // The next pairing must not inherit the subscriptions of this one.
            self.subscriptions.clear();
        }
        match self.search.called() {
            Some(found) => super::log::log(&event, std::slice::from_ref(found), 0),
            None => super::log::log(&event, &self.target.gateways, self.address),
        }
        if let Some(standing) = standing_after(&event) {
            self.keeper.tell(&mut self.teller, standing);
        }
        // Nobody may be listening.
        let _ = self.events.send(event);
        follow
    }

    fn connecting() -> NativeEvent {
        NativeEvent::Connecting
    }

    fn lost(why: Lost) -> NativeEvent {
        NativeEvent::Lost(why)
    }

    fn stepped(before: &'static str, machine: &Node) -> Option<NativeEvent> {
        (before != IDLE && machine.state_name() == IDLE).then_some(NativeEvent::Resting)
    }
}

/// Returns the id under which the node is paired.
pub(super) const fn node_id_of(memory: &NativeMemory) -> Option<NodeId> {
    match memory {
        NativeMemory::Paired(paired) => Some(paired.node_id),
        NativeMemory::Asked { .. } | NativeMemory::Blank => None,
    }
}
