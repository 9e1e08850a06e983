//! A node that is provisioned, with a simulated radio, storage and command center around core's
//! machine. The power can be cut between any two effects.

mod fuzz;
mod parts;
mod sealed;

use std::collections::VecDeque;

use handfast_core::flow::provisioning::contract::{
    Answer, Effect, Input, Network, NoAccessPoint, NotStored, ProvisioningSettings,
};
use handfast_core::flow::provisioning::node::ProvisioningNode;
use handfast_core::flow::provisioning::outcome::Outcome;
use handfast_core::flow::provisioning::radio::RadioReport;
use handfast_core::flow::provisioning::retry::RegisterFailure;
use handfast_core::flow::provisioning::status::PublicState;
use handfast_core::wire::provisioning::{
    K2Request, NetworkRequest, ProvisionRequest, RegisterAnswer,
};
use handfast_core::{Entropy, Instant, Label, Machine, Span};

pub use fuzz::{any_body, any_inputs};
pub use parts::{Center, Disk, NETWORKS, Radio, Request, body, k2_body, network_body};
pub use sealed::any_exchanges;

/// What comes back to the machine later.
enum Pending {
    AccessPoint(Result<(), NoAccessPoint>),
    Radio(RadioReport),
    Checked(bool),
    Registered(Result<String, u16>),
    Stored(Result<(), NotStored>),
}

/// The node and all around it.
pub struct Sim {
    now: Instant,
    node: ProvisioningNode,
    settings: ProvisioningSettings,
    pending: VecDeque<Pending>,
    /// What survives a power cut.
    pub disk: Disk,
    /// The radio.
    pub radio: Radio,
    /// The command center.
    pub center: Center,
    /// `true` during normal operation.
    pub operates: bool,
    /// The static key of sealed exchanges.
    pub key: u64,
    /// The answers to the phone.
    pub answers: Vec<Answer>,
    /// The states, percentages and messages that a phone could have read, each once.
    pub told: Vec<(PublicState, u8, String)>,
    /// The number of effects so far.
    pub effects: usize,
    /// The power is cut ahead of the effect of this number.
    pub cut_at: Option<usize>,
}

impl Default for Sim {
    fn default() -> Self {
        Self::new(ProvisioningSettings::default())
    }
}

impl Sim {
    /// Starts a node as it leaves the factory.
    #[must_use]
    pub fn new(settings: ProvisioningSettings) -> Self {
        let (now, disk) = (Instant::from_millis(0), Disk::new());
        let mut sim = Self {
            now,
            node: ProvisioningNode::boot(now, disk.memory(), settings.clone()),
            settings,
            pending: VecDeque::new(),
            disk,
            radio: Radio::new(),
            center: Center::default(),
            operates: false,
            key: 0,
            answers: Vec::new(),
            told: Vec::new(),
            effects: 0,
            cut_at: None,
        };
        sim.note();
        sim
    }

    /// Cuts the power and starts the node again.
    pub fn cut_power(&mut self) {
        self.cut_at = None;
        self.pending.clear();
        self.radio.restart();
        self.operates = false;
        self.key = self.disk.key;
        self.node = ProvisioningNode::boot(self.now, self.disk.memory(), self.settings.clone());
    }

    /// Feeds one input and carries out its effects, up to a cut.
    pub fn feed(&mut self, input: Input<'_>) {
        let mut scratch = [0; 16];
        let before = self.node.state_name();
        let effects = self.node.step(self.now, input, &mut scratch);
        self.note();
        for effect in effects {
            if self.cut_at == Some(self.effects) {
                self.cut_power();
                return;
            }
            self.effects += 1;
            self.carry_out(effect, before);
        }
    }

    fn carry_out(&mut self, effect: Effect<'_>, before: &str) {
        match effect {
            Effect::StartAccessPoint(access_point) => {
                let started = self.radio.start_access_point(access_point);
                self.pending.push_back(Pending::AccessPoint(started));
            }
            Effect::SetCountry(country) => {
                assert_eq!(self.disk.country, Some(country), "a country that is not stored");
                self.radio.blocked = false;
                self.radio.country = Some(country);
            }
            Effect::StopAccessPoint => self.radio.access_point = false,
            Effect::Join(network) => {
                let wanted = match network {
                    Network::Requested => self.disk.requested(),
                    Network::Known => {
                        let known = self.disk.in_force.clone();
                        known.map(|(request, _)| (request.ssid, request.passphrase))
                    }
                };
                let wanted = wanted.unwrap_or_else(|| panic!("nothing to join, from {before}"));
                // One radio: an access point and a join exclude each other.
                assert!(!self.radio.access_point, "joins beside the access point, from {before}");
                self.pending.retain(|pending| !matches!(pending, Pending::Radio(_)));
                let volatile = network == Network::Requested;
                let reports = self.radio.join(&wanted, volatile);
                self.pending.extend(reports.into_iter().map(Pending::Radio));
            }
            Effect::Abandon => {
                self.pending.retain(|pending| match pending {
                    Pending::AccessPoint(_) | Pending::Stored(_) => true,
                    Pending::Radio(_) | Pending::Checked(_) | Pending::Registered(_) => false,
                });
                if self.radio.profile.take().is_some() {
                    self.radio.joined = false;
                }
            }
            Effect::CheckNetwork => {
                assert!(self.radio.joined, "checks a network that is not joined");
                self.pending.push_back(Pending::Checked(self.radio.captive));
            }
            Effect::KeepNetwork => self.radio.keep(),
            Effect::ForgetNetworks => self.radio.kept = None,
            Effect::Register => {
                let request = self.disk.request.clone().expect("a request to register with");
                if let Some(answer) = self.center.register(&request) {
                    self.pending.push_back(Pending::Registered(answer));
                }
            }
            Effect::Store(change) => {
                self.pending.push_back(Pending::Stored(self.disk.store(&change)));
            }
            Effect::RenewKey => self.key = self.disk.key,
            Effect::Answer(answer) => {
                // Whoever hears that all is erased meets a node with another key.
                assert_eq!(self.key, self.disk.key, "answers with an earlier key");
                self.answers.push(answer);
            }
            Effect::Operate => {
                assert!(self.disk.in_force.is_some(), "operates without being provisioned");
                self.operates = true;
            }
            Effect::Rest => self.operates = false,
        }
    }

    fn note(&mut self) {
        let step = self.node.status().step;
        let told = (step.state(), step.percent(), step.to_string());
        if self.told.last() != Some(&told) {
            self.told.push(told);
        }
    }

    /// Advances by one pending answer, or to the next deadline. Returns `false` if there is
    /// neither, or the deadline lies beyond `until`.
    pub fn advance(&mut self, until: Instant) -> bool {
        if let Some(pending) = self.pending.pop_front() {
            self.deliver(pending);
            return true;
        }
        match self.node.deadline() {
            Some((at, _)) if at <= until => {
                self.now = self.now.max(at);
                self.feed(Input::Tick);
                true
            }
            Some(_) | None => false,
        }
    }

    fn deliver(&mut self, pending: Pending) {
        let mut room = [0; 512];
        match pending {
            Pending::AccessPoint(result) => self.feed(Input::AccessPoint(result)),
            Pending::Radio(report) => self.feed(Input::Radio(report)),
            Pending::Checked(captive) => self.feed(Input::Checked { captive }),
            Pending::Stored(result) => self.feed(Input::Stored(result)),
            Pending::Registered(answer) => {
                let entropy = Entropy::from_recorded([0, 0]);
                let result = match &answer {
                    Ok(body) => RegisterAnswer::read(body, &mut room)
                        .map_err(|_| RegisterFailure::Unreadable),
                    Err(0) => Err(RegisterFailure::Unreachable),
                    Err(status) => Err(RegisterFailure::Status {
                        status: *status,
                        detail: Label::parse("Invalid or expired provisioning token"),
                    }),
                };
                self.feed(Input::Registered(result, entropy));
            }
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, span: Span) {
        let until = self.now.after(span);
        while self.advance(until) {}
        self.now = until;
    }

    /// Lets what is under way come to its end, without waiting for what is due only later than in
    /// two minutes.
    pub fn settle(&mut self) {
        for _ in 0..400 {
            let soon = self.now.after(Span::from_secs(100));
            if !self.advance(soon) {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.node);
    }

    /// Sends a request as a phone does, and lets its answer come.
    pub fn provision(&mut self, ssid: &str, passphrase: &str) -> Answer {
        let token = self.center.token();
        let body = body(ssid, passphrase, &token);
        let mut room = [0; 1024];
        let request = ProvisionRequest::read(&body, &mut room).expect("a request");
        self.ask(Input::Provision(request))
    }

    /// Sends a request that names a country, as a phone does.
    pub fn provision_in(&mut self, country: &str, ssid: &str, passphrase: &str) -> Answer {
        let token = self.center.token();
        let body = body(ssid, passphrase, &token);
        let body = body.replacen('{', &format!(r#"{{"wifi_country":"{country}","#), 1);
        let mut room = [0; 1024];
        let request = ProvisionRequest::read(&body, &mut room).expect("a request");
        self.ask(Input::Provision(request))
    }

    /// Sends another network alone, as a phone does.
    pub fn change_network(&mut self, ssid: &str, passphrase: &str) -> Answer {
        let body = network_body(ssid, passphrase);
        let mut room = [0; 256];
        let request = NetworkRequest::read(&body, &mut room).expect("a request");
        self.ask(Input::ChangeNetwork(request))
    }

    /// Sends K2 as a phone does.
    pub fn send_k2(&mut self, node_id: &str) -> Answer {
        let body = k2_body(node_id);
        let mut room = [0; 512];
        let request = K2Request::read(&body, &mut room).expect("a request");
        self.ask(Input::K2(request))
    }

    /// Feeds a request and returns its answer; the one after a power cut is [`Answer::Busy`].
    pub fn ask(&mut self, input: Input<'_>) -> Answer {
        let before = self.answers.len();
        self.feed(input);
        while self.answers.len() == before && self.node.awaits_answer() && self.advance(self.now) {}
        self.answers.get(before).copied().unwrap_or(Answer::Busy)
    }

    /// Returns the state and the failure that a phone reads now.
    pub fn read(&mut self) -> (PublicState, Option<Outcome>) {
        let status = self.node.status();
        let read = (status.step.state(), status.failure.map(|failure| failure.outcome));
        self.feed(Input::StatusRead);
        read
    }

    /// Returns the text of the failure that a phone reads now.
    #[must_use]
    pub fn error(&self) -> String {
        self.node.status().failure.map(ToString::to_string).unwrap_or_default()
    }

    /// Returns the machine.
    #[must_use]
    pub const fn node(&self) -> &ProvisioningNode {
        &self.node
    }

    /// Returns the name of the machine's state.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.node.state_name()
    }

    /// A patient person with a phone: sends the settings whenever the access point is there and the
    /// node waits, until the node operates.
    ///
    /// # Panics
    /// If that never comes.
    pub fn person_completes(&mut self) {
        for _ in 0..20 {
            self.settle();
            if self.operates && self.radio.joined && self.state() == "Operating" {
                return;
            }
            if self.radio.access_point {
                let (state, _) = self.read();
                if matches!(state, PublicState::ApMode | PublicState::Error) {
                    self.feed(Input::Button);
                    self.provision("HomeNetwork", "right");
                }
            }
        }
        panic!("it is never provisioned: {:?}", self.node);
    }
}
