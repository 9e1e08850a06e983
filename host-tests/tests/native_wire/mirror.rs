//! The messages of the native wire as declarations without checks, to write what core never does.

#![allow(dead_code, reason = "the variants that no test writes keep the numbers of the others")]

use serde::Serialize;

pub(crate) type Key = [u8; 32];
/// 64 bytes in two halves: serde has no arrays of 64.
pub(crate) type Long = (Key, Key);
pub(crate) type Id = [u8; 16];

#[derive(Serialize)]
pub(crate) struct Open {
    pub(crate) version: u8,
    pub(crate) intent: Intent,
}

#[derive(Serialize)]
pub(crate) enum Intent {
    Pair,
    Link,
    Delegate,
}

#[derive(Clone, Serialize)]
pub(crate) struct Ask<'b> {
    pub(crate) features: u64,
    pub(crate) name: &'b str,
    pub(crate) room: &'b str,
    pub(crate) profile: &'b str,
    pub(crate) method: Method,
    pub(crate) wants: &'b str,
    pub(crate) csr: Option<&'b [u8]>,
    pub(crate) signer: Option<Signer>,
}

#[derive(Clone, Serialize)]
pub(crate) struct Signer {
    pub(crate) ed25519: Key,
    pub(crate) signature: Long,
}

#[derive(Clone, Serialize)]
pub(crate) enum Method {
    Approval,
    Pin,
    Code { selector: [u8; 4] },
    Setup,
}

#[derive(Serialize)]
pub(crate) enum PairFromNode<'b> {
    Ask(Ask<'b>),
    Ya(Key),
    Ta(Long),
    Stored(Id),
    SetupCode(&'b str),
}

#[derive(Serialize)]
pub(crate) enum PairFromGateway<'b> {
    Waiting { expires_in: u32 },
    PinShown { expires_in: u32, attempts: u8 },
    Yb(Key),
    Tb(Long),
    Refused(Refusal<'b>),
    Part(Part<'b>),
    Grant(Grant<'b>),
    Active(Id),
    NotPaired,
    Name(&'b str),
    CertificateKey(Key),
}

#[derive(Serialize)]
pub(crate) enum Refusal<'b> {
    WrongCode { attempts_left: u8 },
    Expired,
    Locked,
    Closed,
    Denied { reason: Option<&'b str> },
    Revoked,
    Busy { retry_in: u32 },
    Protocol,
    Spent,
    CannotStore { retry_in: u32 },
    Unsigned,
}

#[derive(Serialize)]
pub(crate) struct Grant<'b> {
    pub(crate) id: Id,
    pub(crate) node_id: Id,
    pub(crate) room: &'b str,
    pub(crate) token: Option<&'b str>,
    pub(crate) chain: Option<Chain<'b>>,
    pub(crate) certificates: bool,
    pub(crate) message: Option<&'b str>,
}

#[derive(Serialize)]
pub(crate) enum Chain<'b> {
    Here(&'b [u8]),
    InParts,
}

#[derive(Serialize)]
pub(crate) enum Object {
    Certificates,
    Chain,
    Profile,
    CompactCertificate,
}

#[derive(Serialize)]
pub(crate) struct Part<'b> {
    pub(crate) object: Object,
    pub(crate) index: u8,
    pub(crate) last: bool,
    pub(crate) bytes: &'b [u8],
}

#[derive(Serialize)]
pub(crate) enum Admission {
    Welcome,
    NotPaired,
    Expired,
}

#[derive(Serialize)]
pub(crate) enum LinkFromNode<'b> {
    Heartbeat { occupancy: Option<bool>, noise_level: Option<&'b str>, wake_word_fp: Option<bool> },
    Announce { capability: &'b str, version: &'b str, available: bool, idempotent: bool },
    DispatchResult { id: Id, outcome: Outcome<'b> },
    Renew(Renew<'b>),
    Present { chain: Chain<'b> },
    App(App<'b>),
    Subscribe { pattern: &'b str },
    Part(Part<'b>),
    Stored(Id),
    Bye(Bye),
    Hello { features: u64, mark: Option<Mark>, holds: Option<Id> },
    Pong { number: u32 },
    MarkStored(Mark),
    Progress { id: Id, percent: Option<u8>, note: Option<&'b str> },
    Answer { id: Id, number: u64, known: Known<'b> },
    Identify { node_id: Id, signature: Long },
    CertificateStored { number: u64 },
}

/// The 24 bytes of a mark.
pub(crate) type Mark = [u8; 24];

#[derive(Serialize)]
pub(crate) enum Known<'b> {
    Running,
    AwaitingMediation,
    Done(Outcome<'b>),
    NotKept,
    Interrupted,
    NeverCame,
    Forgotten,
}

#[derive(Serialize)]
pub(crate) enum Outcome<'b> {
    AwaitingMediation,
    Succeeded(&'b [u8]),
    Failed(&'b str),
    Rejected(&'b str),
    TimedOut,
    Started,
    Cancelled,
}

#[derive(Serialize)]
pub(crate) enum Renew<'b> {
    Token,
    Chain,
    Certificate { csr: Option<&'b [u8]>, signature: Long },
}

#[derive(Serialize)]
pub(crate) enum Action {
    Read,
    Write,
    Admin,
}

#[derive(Serialize)]
pub(crate) struct App<'b> {
    pub(crate) action: Action,
    pub(crate) address: &'b str,
    pub(crate) bytes: &'b [u8],
}

#[derive(Serialize)]
pub(crate) enum Bye {
    Done,
    ShuttingDown,
    Replaced,
    Protocol,
    Busy,
    Internal,
}

#[derive(Serialize)]
pub(crate) enum LinkFromGateway<'b> {
    Heartbeat {
        time: Option<u64>,
    },
    Policy(Policy),
    Dispatch {
        id: Id,
        number: u64,
        capability: &'b str,
        remaining_ms: u32,
        max_payload: u16,
        input: &'b [u8],
    },
    App(App<'b>),
    NotAllowed {
        action: Action,
        pattern: &'b str,
    },
    Admission(Admission),
    Part(Part<'b>),
    Grant(Grant<'b>),
    NotRenewed,
    Active(Id),
    Bye(Bye),
    Ping {
        number: u32,
    },
    Mark(Mark),
    Cancel {
        id: Id,
    },
    Query {
        id: Id,
        number: u64,
    },
    Name(&'b str),
    Admitted {
        admission: Admission,
        features: u64,
    },
    Certificate {
        number: u64,
    },
    NotIssued,
    CertificateKey(Key),
}

#[derive(Serialize)]
pub(crate) enum Policy {
    Mute,
    Unmute,
    Unpair,
    GatewayKey(Key),
    GatewayAddress(String),
}

/// Returns postcard's encoding.
pub(crate) fn bytes(message: &impl Serialize) -> Vec<u8> {
    postcard::to_slice(message, &mut [0; 8192]).expect("it fits").to_vec()
}
