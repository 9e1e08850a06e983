//! The driver: feeds core's machine with what the phone, the radio, the command center and the clock
//! report, and carries out its effects.

mod effects;

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use getrandom::SysRng;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::provisioning::contract::{
    AccessPointPolicy, Answer, Input, NotStored, ProvisioningSettings,
};
use handfast_core::flow::provisioning::node::ProvisioningNode;
use handfast_core::flow::provisioning::retry::RegisterFailure;
use handfast_core::flow::provisioning::settings::Openness;
use handfast_core::flow::provisioning::status::OPEN_INSTEAD;
use handfast_core::wire::provisioning::{
    Country, K2Request, NativeGateway, NetworkRequest, RegisterAnswer, refusal_detail,
};
use handfast_core::{Entropy, Instant, Machine, Span};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::ProvisionerError;
use super::api::{ApiRequest, Asked, AskedSender, StatusSnapshot};
use super::files::{ProvisioningFiles, StoredRequest};
use super::http::{self, ApiState, Exchanges, Port};
use super::info::NodeInfo;
use super::label::NodeLabel;
use super::radio::WifiCredentials;
use super::radio_task::{RadioEvent, RadioRequest, Scanner};
use super::register::RegisterReply;

/// A node that is provisioned, and everything around it.
pub struct Provisioner {
    node: ProvisioningNode,
    started: tokio::time::Instant,
    files: ProvisioningFiles,
    ca: Option<PathBuf>,
    access_point: WifiCredentials,
    /// The id that the command center gave the node.
    assigned: Option<String>,
    requests: mpsc::Receiver<Asked>,
    /// The place for the answer to the request that is being carried out.
    answer: Option<oneshot::Sender<Answer>>,
    radio: mpsc::UnboundedSender<RadioRequest>,
    radio_events: mpsc::UnboundedReceiver<RadioEvent>,
    radio_task: Option<RadioTask>,
    /// The number of the join, or the check, whose answers count.
    attempt: u64,
    registering: Option<JoinHandle<RegisterReply>>,
    stored: VecDeque<Result<(), NotStored>>,
    status: watch::Sender<StatusSnapshot>,
    operates: watch::Sender<bool>,
    open: watch::Sender<Openness>,
    share_settings: bool,
    button: Arc<Notify>,
    exchanges: Arc<Exchanges>,
    address: SocketAddr,
    api: Option<(TcpListener, ApiState)>,
    /// The port where phones look for a page by themselves.
    captive: Option<TcpListener>,
}

type RadioTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The button that opens the setup window.
#[derive(Clone, Debug)]
pub struct ProvisionerButton(Arc<Notify>);

impl ProvisionerButton {
    /// Opens the setup window, and the access point if the node is provisioned.
    pub fn press(&self) {
        self.0.notify_one();
    }
}

/// What a provisioner is made of.
pub(super) struct Parts {
    pub(super) files: ProvisioningFiles,
    pub(super) info: NodeInfo,
    pub(super) window: Duration,
    pub(super) gateway_key: Option<PublicKey>,
    pub(super) country: Option<Country>,
    pub(super) ca: Option<PathBuf>,
    pub(super) label: NodeLabel,
    /// `true` if the owner has chosen the plain mode.
    pub(super) plain: bool,
    /// `true` if the access point is never open in the secure mode.
    pub(super) protected_only: bool,
    /// `true` if settings are shared outside the setup window.
    pub(super) share_settings: bool,
    pub(super) listener: TcpListener,
    pub(super) captive: Option<TcpListener>,
    pub(super) address: SocketAddr,
    pub(super) requests: (AskedSender, mpsc::Receiver<Asked>),
    pub(super) radio_in: mpsc::UnboundedSender<RadioRequest>,
    pub(super) radio_events: mpsc::UnboundedReceiver<RadioEvent>,
    pub(super) radio: RadioTask,
    pub(super) operates: (watch::Sender<bool>, watch::Receiver<bool>),
}

impl Parts {
    pub(super) fn assemble(self) -> Result<Provisioner, ProvisionerError> {
        let window = Span::from_millis(u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX));
        let access_points = match (self.plain, self.protected_only) {
            // The plain mode's clients know open access points alone.
            (true, _) => AccessPointPolicy::Open,
            (false, true) => AccessPointPolicy::Protected,
            (false, false) => AccessPointPolicy::ProtectedOrOpen,
        };
        let settings =
            ProvisioningSettings { window, gateway_key: self.gateway_key, access_points };
        let mut memory = self.files.memory()?;
        memory.country = self.country.or(memory.country);
        let node = ProvisioningNode::boot(Instant::from_millis(0), memory, settings);
        let assigned = self.files.config()?.map(|config| config.node_id.clone());
        let status = watch::Sender::new(StatusSnapshot::of(&node, assigned.clone()));
        let access_point = WifiCredentials {
            ssid: self.info.access_point().to_owned(),
            passphrase: Zeroizing::new(self.label.passphrase().to_owned()),
        };
        let exchanges = Arc::new(Exchanges::new(self.files.keys()?.channel, self.label));
        let api = ApiState::new(
            self.info.clone(),
            self.requests.0,
            status.subscribe(),
            Scanner::new(self.radio_in.clone()),
            exchanges.clone(),
            self.files.folders().0,
            self.plain,
        );
        Ok(Provisioner {
            node,
            started: tokio::time::Instant::now(),
            access_point,
            assigned,
            files: self.files,
            ca: self.ca,
            requests: self.requests.1,
            answer: None,
            radio: self.radio_in,
            radio_events: self.radio_events,
            radio_task: Some(self.radio),
            attempt: 0,
            registering: None,
            stored: VecDeque::new(),
            status,
            operates: self.operates.0,
            open: watch::Sender::new(Openness::Setup),
            share_settings: self.share_settings,
            button: Arc::default(),
            exchanges,
            address: self.address,
            api: Some((self.listener, api)),
            captive: self.captive,
        })
    }
}

/// What happened around the machine.
enum Occurrence {
    Tick,
    Asked(Asked),
    Radio(RadioEvent),
    Registered(RegisterReply),
    Button,
}

impl Provisioner {
    /// Returns the address of the API.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the button.
    #[must_use]
    pub fn button(&self) -> ProvisionerButton {
        ProvisionerButton(self.button.clone())
    }

    /// Returns a receiver that holds `true` while the node is in normal operation.
    #[must_use]
    pub fn operates(&self) -> watch::Receiver<bool> {
        self.operates.subscribe()
    }

    /// Runs until `shutdown` is ready.
    ///
    /// # Errors
    /// [`ProvisionerError`] if the operating system gives no random bytes.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), ProvisionerError> {
        let radio = self.radio_task.take().map(tokio::spawn);
        let (mut api, mut captive) = (None, None);
        if let Some((listener, shared)) = self.api.take() {
            captive = self.captive.take().map(|listener| {
                let (shared, open) = (shared.clone(), self.open.subscribe());
                tokio::spawn(http::serve(listener, Port::Captive, shared, open))
            });
            let open = self.open.subscribe();
            api = Some(tokio::spawn(http::serve(listener, Port::Api, shared, open)));
        }
        let exchanges = self.exchanges.clone();
        let expiring = Some(tokio::spawn(async move { exchanges.expire().await }));
        let ended = tokio::select! {
            failed = self.drive() => failed,
            () = shutdown => Ok(()),
        };
        if let Some(registering) = self.registering.take() {
            registering.abort();
        }
        for task in [radio, api, captive, expiring].into_iter().flatten() {
            task.abort();
            // The access point has ended when this has.
            let _ = task.await;
        }
        ended
    }

    /// Runs until there is no randomness.
    async fn drive(&mut self) -> Result<(), ProvisionerError> {
        // The machine starts before it hears of a phone.
        self.take_in(Occurrence::Tick)?;
        loop {
            let occurrence = self.next().await;
            self.take_in(occurrence)?;
        }
    }

    fn now(&self) -> Instant {
        let elapsed = self.started.elapsed().as_millis();
        Instant::from_millis(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    async fn next(&mut self) -> Occurrence {
        // The closing of the window is no deadline of the machine, but closes the API.
        let deadline = self.node.deadline().map(|(at, _)| at);
        let window = self.node.window_ends();
        let window = (self.now() < window).then_some(window);
        let wake = [deadline, window].into_iter().flatten().min();
        let Self { node, started, requests, radio_events, registering, button, .. } = self;
        let registered = async {
            match registering {
                // A task that was cancelled or failed gave no answer.
                Some(task) => task.await.unwrap_or(RegisterReply::Unreachable),
                None => std::future::pending().await,
            }
        };
        let tick = async {
            match wake {
                Some(at) => {
                    tokio::time::sleep_until(*started + Duration::from_millis(at.as_millis()))
                        .await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(event) = radio_events.recv() => Occurrence::Radio(event),
            reply = registered => Occurrence::Registered(reply),
            () = button.notified() => Occurrence::Button,
            () = tick => Occurrence::Tick,
            Some(asked) = requests.recv(), if !node.awaits_answer() => Occurrence::Asked(asked),
        }
    }

    fn take_in(&mut self, occurrence: Occurrence) -> Result<(), ProvisionerError> {
        match occurrence {
            Occurrence::Tick => self.feed(Input::Tick),
            Occurrence::Button => self.feed(Input::Button),
            Occurrence::Asked((request, answer)) => {
                self.answer = answer;
                self.on_request(request);
            }
            Occurrence::Radio(RadioEvent::AccessPoint(result)) => {
                self.feed(Input::AccessPoint(result));
            }
            Occurrence::Radio(RadioEvent::Report(attempt, report)) if attempt == self.attempt => {
                self.feed(Input::Radio(report));
            }
            Occurrence::Radio(RadioEvent::Checked(attempt, captive)) if attempt == self.attempt => {
                self.feed(Input::Checked { captive });
            }
            // Of an attempt that was given up.
            Occurrence::Radio(RadioEvent::Report(..) | RadioEvent::Checked(..)) => {}
            Occurrence::Registered(reply) => {
                self.registering = None;
                self.on_registered(&reply)?;
            }
        }
        // An answer of the storage can make the machine store again.
        while let Some(stored) = self.stored.pop_front() {
            self.feed(Input::Stored(stored));
        }
        let window_open = self.node.is_window_open(self.now());
        let open = Openness::of(window_open, self.is_settled(), self.share_settings);
        self.open.send_if_modified(|before| std::mem::replace(before, open) != open);
        Ok(())
    }

    /// Returns `true` if the node is provisioned and in normal operation, so that the API has nothing
    /// to do outside the setup window.
    fn is_settled(&self) -> bool {
        *self.operates.borrow() && !self.node.status().hotspot
    }

    fn on_request(&mut self, request: ApiRequest) {
        match request {
            ApiRequest::Provision(body, form) => {
                let mut room = Zeroizing::new(vec![0; body.len()]);
                if let Ok(request) = form.read(&body, &mut room) {
                    self.feed(Input::Provision(request));
                }
            }
            ApiRequest::Network(body) => {
                let mut room = Zeroizing::new(vec![0; body.len()]);
                if let Ok(request) = NetworkRequest::read(&body, &mut room) {
                    self.feed(Input::ChangeNetwork(request));
                }
            }
            ApiRequest::K2(body) => {
                let mut room = Zeroizing::new(vec![0; body.len()]);
                if let Ok(request) = K2Request::read(&body, &mut room) {
                    self.feed(Input::K2(request));
                }
            }
            ApiRequest::FactoryReset => self.feed(Input::FactoryReset),
            ApiRequest::StatusRead => self.feed(Input::StatusRead),
        }
    }

    fn on_registered(&mut self, reply: &RegisterReply) -> Result<(), ProvisionerError> {
        let entropy = Entropy::try_draw(&mut SysRng)?;
        let text = match reply {
            RegisterReply::Agreed(text) => text.as_str(),
            RegisterReply::Refused(_, text) => text,
            RegisterReply::Unreachable
            | RegisterReply::NoUrl
            | RegisterReply::Paired(_)
            | RegisterReply::NotPaired => "",
        };
        let invited = self.files.request()?;
        let address = invited.as_ref().and_then(StoredRequest::first_address);
        let mut room = Zeroizing::new(vec![0; text.len()]);
        let result = match reply {
            RegisterReply::Agreed(text) => RegisterAnswer::read(text, &mut room).map_err(|why| {
                tracing::warn!("the command center's answer cannot be read: {why:?}");
                RegisterFailure::Unreadable
            }),
            RegisterReply::Refused(status, text) => {
                let detail = refusal_detail(text, &mut room);
                Err(RegisterFailure::Status { status: *status, detail })
            }
            RegisterReply::Unreachable => Err(RegisterFailure::Unreachable),
            RegisterReply::NoUrl => Err(RegisterFailure::NoUrl),
            RegisterReply::Paired(key) => match (&invited, &address) {
                (Some(request), Some(address)) => {
                    let gateway = NativeGateway { key: *key, address };
                    Ok(RegisterAnswer::paired(&request.node_id, gateway))
                }
                (Some(_) | None, _) => Err(RegisterFailure::NoUrl),
            },
            RegisterReply::NotPaired => Err(RegisterFailure::NotPaired),
        };
        self.feed(Input::Registered(result, entropy));
        Ok(())
    }

    fn feed(&mut self, input: Input<'_>) {
        let now = self.now();
        let effects = self.node.step(now, input, &mut []);
        // What a phone reads after its answer is never older than the answer.
        self.tell_status();
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn tell_status(&self) {
        let told = StatusSnapshot::of(&self.node, self.assigned.clone());
        self.status.send_if_modified(|before| {
            if *before == told {
                return false;
            }
            if (before.state, before.progress_percent) != (told.state, told.progress_percent) {
                tracing::info!(
                    "{} {}%: {}",
                    told.state.as_str(),
                    told.progress_percent,
                    told.message
                );
            }
            if told.open_instead && !before.open_instead {
                tracing::warn!("{OPEN_INSTEAD}");
            }
            if let Some(error) = told.error.as_ref().filter(|_| before.error != told.error) {
                tracing::warn!("{error}");
            }
            *before = told;
            true
        });
    }
}
