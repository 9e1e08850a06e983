//! The surroundings of the simulated node.

use handfast_core::flow::provisioning::contract::{
    AccessPoint, Change, NoAccessPoint, NotStored, ProvisioningMemory, Unfinished,
};
use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport, Reason, Security, Seen};
use handfast_core::wire::provisioning::{Country, Ssid, Target};

/// The networks in reach, each with its security, its signal and its passphrase.
pub const NETWORKS: [(&str, Security, i16, &str); 4] = [
    ("HomeNetwork", Security::Wpa2, -45, "right"),
    ("Neighbor_5G", Security::Wpa2, -72, "unknown"),
    ("CoffeeShop_Free", Security::Open, -80, ""),
    ("IoT_Network", Security::Wpa3, -55, "right"),
];

/// A stored request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The network.
    pub ssid: String,
    /// The passphrase.
    pub passphrase: String,
    /// The node's id at the command center.
    pub node_id: String,
    /// The token.
    pub token: String,
}

/// What survives a power cut.
#[derive(Clone, Debug)]
pub struct Disk {
    /// K1, which nothing removes.
    pub k1: u64,
    /// The number of the static key, which an erasure replaces.
    pub key: u64,
    /// The country whose rules hold for the radio.
    pub country: Option<Country>,
    /// The node id for which K2 was sent.
    pub k2: Option<String>,
    /// The request beside what is in force.
    pub request: Option<Request>,
    /// Another network beside what is in force, with its passphrase.
    pub network: Option<(String, String)>,
    /// The answer beside what is in force.
    pub answer: Option<String>,
    /// The request and the answer in force.
    pub in_force: Option<(Request, String)>,
    /// `true` if the disk is full.
    pub full: bool,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            k1: 42,
            key: 0,
            country: None,
            k2: None,
            request: None,
            network: None,
            answer: None,
            in_force: None,
            full: false,
        }
    }

    /// Returns the network that is requested, and its passphrase.
    pub(super) fn requested(&self) -> Option<(String, String)> {
        let whole = self.request.clone().map(|request| (request.ssid, request.passphrase));
        whole.or_else(|| self.network.clone())
    }

    pub(super) fn memory(&self) -> ProvisioningMemory {
        let ssid = |request: &Request| Ssid::parse(&request.ssid).expect("an SSID");
        ProvisioningMemory {
            known: self.in_force.as_ref().map(|(request, _)| ssid(request)),
            country: self.country,
            unfinished: match (&self.request, &self.answer) {
                (Some(request), Some(_)) => Unfinished::Registered(ssid(request)),
                (Some(request), None) => Unfinished::Request(ssid(request)),
                (None, _) => match &self.network {
                    Some((name, _)) => Unfinished::Network(Ssid::parse(name).expect("an SSID")),
                    None => Unfinished::Nothing,
                },
            },
        }
    }

    pub(super) fn store(&mut self, change: &Change<'_>) -> Result<(), NotStored> {
        if self.full {
            return Err(NotStored);
        }
        match change {
            Change::Request(request) => {
                self.country = request.country.or(self.country);
                self.request = Some(Request {
                    ssid: request.ssid.as_str().to_owned(),
                    passphrase: request.passphrase.expose().to_owned(),
                    node_id: request.node_id.to_owned(),
                    token: match request.target {
                        Target::CommandCenter { token, .. } => token.expose().to_owned(),
                        Target::Gateway(invitation) => invitation.expose().to_owned(),
                    },
                });
                (self.answer, self.network) = (None, None);
            }
            Change::Network(request) => {
                self.country = request.country.or(self.country);
                (self.request, self.answer) = (None, None);
                let (ssid, passphrase) = (request.ssid.as_str(), request.passphrase.expose());
                self.network = Some((ssid.to_owned(), passphrase.to_owned()));
            }
            Change::CommitNetwork => {
                let (ssid, passphrase) = self.network.take().expect("a network to commit");
                let (request, _) = self.in_force.as_mut().expect("a provisioned node");
                (request.ssid, request.passphrase) = (ssid, passphrase);
            }
            Change::Registration(answer) => {
                self.answer = Some(answer.node_key.expose().to_owned());
            }
            Change::Commit => {
                let request = self.request.take().expect("a request to commit");
                let answer = self.answer.take().expect("an answer to commit");
                self.k2 = self.k2.take().filter(|node_id| *node_id == request.node_id);
                self.in_force = Some((request, answer));
            }
            Change::Discard => (self.request, self.answer, self.network) = (None, None, None),
            Change::K2 { node_id, .. } => self.k2 = Some((*node_id).to_owned()),
            Change::Erase => *self = Self { k1: self.k1, key: self.key + 1, ..Self::new() },
        }
        Ok(())
    }
}

/// The radio.
#[derive(Clone, Debug)]
pub struct Radio {
    /// `true` while the access point runs.
    pub access_point: bool,
    /// How the access point that was started last is protected.
    pub protection: Option<AccessPoint>,
    /// `true` if no protected access point starts, and whether no open one does.
    pub starts_none: (bool, bool),
    /// `true` while a network is joined.
    pub joined: bool,
    /// The network of the profile that is gone after a restart.
    pub profile: Option<String>,
    /// The network whose profile is kept.
    pub kept: Option<String>,
    /// `true` if the network shows a login page.
    pub captive: bool,
    /// Answers that the next access points get instead of a start.
    pub refusals: Vec<NoAccessPoint>,
    /// `true` if no network is in reach.
    pub out_of_reach: bool,
    /// `true` while software blocks the radio.
    pub blocked: bool,
    /// `true` if every start blocks it, until it is told its country.
    pub blocks: bool,
    /// The country that it was told since the start.
    pub country: Option<Country>,
    /// The number of attempts to join.
    pub joins: usize,
}

impl Radio {
    pub(super) fn new() -> Self {
        Self {
            access_point: false,
            protection: None,
            starts_none: (false, false),
            joined: false,
            profile: None,
            kept: None,
            captive: false,
            refusals: Vec::new(),
            out_of_reach: false,
            blocked: false,
            blocks: false,
            country: None,
            joins: 0,
        }
    }

    pub(super) fn restart(&mut self) {
        (self.access_point, self.joined, self.profile) = (false, false, None);
        (self.blocked, self.country) = (self.blocks, None);
    }

    pub(super) fn keep(&mut self) {
        assert!(self.joined, "keeps a network that is not joined");
        self.kept = Some(self.profile.take().expect("a profile to keep"));
    }

    pub(super) fn start_access_point(&mut self, kind: AccessPoint) -> Result<(), NoAccessPoint> {
        if self.blocked {
            return Err(NoAccessPoint::Blocked);
        }
        let starts_none = match kind {
            AccessPoint::Protected => self.starts_none.0,
            AccessPoint::Open => self.starts_none.1,
        };
        if starts_none {
            return Err(NoAccessPoint::NotStarted);
        }
        self.protection = Some(kind);
        match self.refusals.pop() {
            Some(refusal) => Err(refusal),
            None => {
                (self.access_point, self.joined) = (true, false);
                Ok(())
            }
        }
    }

    /// Plays the states that were measured of NetworkManager.
    pub(super) fn join(
        &mut self,
        (wanted, given): &(String, String),
        volatile: bool,
    ) -> Vec<RadioReport> {
        self.joins += 1;
        if self.blocked {
            return vec![RadioReport::Blocked];
        }
        if volatile {
            self.profile = Some(wanted.clone());
        }
        let network = NETWORKS.iter().find(|(ssid, ..)| ssid == wanted && !self.out_of_reach);
        let seen =
            network.map(|(_, security, signal, _)| Seen { security: *security, signal: *signal });
        let states: &[(u32, u32)] = match network {
            None => &[(40, 0), (50, 0), (120, 53)],
            Some((_, _, _, passphrase)) if passphrase == given => {
                self.joined = true;
                &[(40, 0), (50, 0), (60, 0), (70, 0), (80, 0), (90, 0), (100, 0)]
            }
            Some((_, security, ..)) if security.has_sae() => &[(40, 0), (50, 0), (120, 53)],
            Some(_) => &[(40, 0), (50, 0), (60, 8), (40, 0), (50, 0), (60, 8), (120, 7)],
        };
        let changes = states.iter().map(|(state, reason)| RadioReport::Changed {
            state: DeviceState::from_number(*state),
            reason: Reason::from_number(*reason),
        });
        [RadioReport::Scanned(seen)].into_iter().chain(changes).collect()
    }
}

/// The command center.
#[derive(Clone, Debug, Default)]
pub struct Center {
    tokens: Vec<String>,
    made: usize,
    /// The statuses of the next answers, instead of what is right; 0 is none at all.
    pub failures: Vec<u16>,
    /// `true` if it takes requests but never answers.
    pub hangs: bool,
    /// The number of requests to register.
    pub asked: usize,
    /// Members that are added to each answer.
    pub more: String,
}

impl Center {
    /// Makes a token that registers once.
    pub fn token(&mut self) -> String {
        self.made += 1;
        let token = format!("prov_{}", self.made);
        self.tokens.push(token.clone());
        token
    }

    pub(super) fn register(&mut self, request: &Request) -> Option<Result<String, u16>> {
        self.asked += 1;
        if self.hangs {
            return None;
        }
        if let Some(status) = self.failures.pop() {
            return Some(Err(status));
        }
        let before = self.tokens.len();
        self.tokens.retain(|token| *token != request.token);
        if self.tokens.len() == before {
            return Some(Err(401));
        }
        let Request { node_id, token, .. } = request;
        Some(Ok(format!(
            r#"{{"node_id":"{node_id}","node_key":"key_of_{token}","room":"r","user":null,"voice_mode":null{}}}"#,
            self.more
        )))
    }
}

/// Returns the body of a request.
#[must_use]
pub fn body(ssid: &str, passphrase: &str, token: &str) -> String {
    format!(
        r#"{{"wifi_ssid":"{ssid}","wifi_password":"{passphrase}","room":"Kitchen","command_center_url":"http://cc.local:7703","household_id":"h","node_id":"jarvis-1a2b3c4d","provisioning_token":"{token}"}}"#
    )
}

/// Returns the body that sends another network alone.
#[must_use]
pub fn network_body(ssid: &str, passphrase: &str) -> String {
    format!(r#"{{"wifi_ssid":"{ssid}","wifi_password":"{passphrase}"}}"#)
}

/// Returns the body that sends K2.
#[must_use]
pub fn k2_body(node_id: &str) -> String {
    format!(
        r#"{{"node_id":"{node_id}","kid":"k1","k2":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","created_at":"2026-11-30T04:00:00Z"}}"#
    )
}
