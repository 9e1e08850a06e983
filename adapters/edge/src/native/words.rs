//! Words for the reports of a node of the native wire.

use core::fmt::{Display, Formatter, Result};

use handfast_core::flow::native::node::{NativeNodeEvent, NotAsked, Trust};
use handfast_core::link::dispatch::DispatchEnd;
use handfast_core::wire::native::pair::PairRefusal;

use super::{CapabilityError, NativeReport, NotSent, TaskNews};
use crate::words::{Harmless, Seconds};

impl Display for NativeReport<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::News(event) => news(event, f),
            Self::App(app) => {
                let (length, address) = (app.bytes.as_bytes().len(), app.address.as_str());
                write!(f, "{} of {length} bytes on {}", app.action, Harmless(address))
            }
            Self::Addresses(list) => {
                f.write_str("the gateway is reached at")?;
                list.iter().try_for_each(|address| write!(f, " {address}"))
            }
            Self::NotSent(why) => write!(f, "not sent: {why}"),
            Self::Task(news) => Display::fmt(news, f),
            #[cfg(feature = "identity")]
            Self::Certificate(news) => Display::fmt(news, f),
            Self::NotLoaded(error) => write!(f, "the pairing cannot be read: {error}"),
            Self::TasksNotLoaded(error) => {
                write!(f, "earlier tasks cannot be read, so none is taken: {error}")
            }
            Self::NotKept(error) => write!(f, "the pairing cannot be stored yet: {error}"),
            Self::NoConnection(broken) => write!(f, "no connection: {broken}"),
        }
    }
}

impl Display for NotSent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::NoLink => "there is no link",
            Self::NoMessage => "the board has nothing under this number",
        })
    }
}

impl Display for CapabilityError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Name => "the name must be 1 to 32 of a-z, 0-9, '.', '-' and '_'",
            Self::Version => "the version must be at most 64 printable characters",
        })
    }
}

impl core::error::Error for CapabilityError {}

impl Display for TaskNews<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Taken { capability, .. } => write!(f, "does {}", Harmless(capability)),
            Self::Ended(_, end) => f.write_str(match end {
                DispatchEnd::Succeeded => "a task is done",
                DispatchEnd::Failed => "a task has failed",
                DispatchEnd::Rejected => "a task is rejected",
                DispatchEnd::TimedOut => "a task was not done in time",
                DispatchEnd::Cancelled => "a task was cancelled",
            }),
        }
    }
}

fn news(event: &NativeNodeEvent<'_>, f: &mut Formatter<'_>) -> Result {
    match event {
        NativeNodeEvent::Gateway { fingerprint, trust: Trust::FirstUse } => {
            write!(f, "the gateway is {fingerprint}: compare it, for it is trusted on first use")
        }
        NativeNodeEvent::Gateway { fingerprint, trust: Trust::Pinned | Trust::Code } => {
            write!(f, "the gateway is {fingerprint}")
        }
        NativeNodeEvent::OtherGateway(fingerprint) => {
            write!(f, "another gateway answers and was told nothing: {fingerprint}")
        }
        NativeNodeEvent::NotAsked(why) => {
            write!(f, "did not ask to be paired: {}", not_asked(*why))
        }
        NativeNodeEvent::TypeThePin { expires_in, attempts } => {
            write!(f, "type the PIN that the gateway shows: {attempts} attempts in {expires_in} s")
        }
        NativeNodeEvent::WrongCode { attempts_left } => {
            write!(f, "the code was wrong; {attempts_left} attempts are left")
        }
        NativeNodeEvent::CodeConfirmed => f.write_str("the gateway knows the code as well"),
        NativeNodeEvent::GatewayUnproven => {
            f.write_str("what answered does not know the code: it is not your gateway")
        }
        NativeNodeEvent::WaitsForApproval { expires_in } => {
            write!(f, "waits for the operator's approval, for {expires_in} s")
        }
        NativeNodeEvent::PairingRefused(refusal) => refused(refusal, f),
        NativeNodeEvent::Granted { node_id, room, .. } => {
            write!(f, "paired as {node_id} in room {}", Harmless(room.as_str()))
        }
        NativeNodeEvent::Linked(node_id) => write!(f, "linked as {node_id}"),
        NativeNodeEvent::PairAgain => {
            f.write_str("the gateway does not know this node: pair again")
        }
        NativeNodeEvent::Expired => f.write_str("the grant has expired; asks for a new one"),
        NativeNodeEvent::TurnedAway => f.write_str("turned away for now"),
        NativeNodeEvent::OtherVersion => f.write_str("the gateway speaks another version"),
        NativeNodeEvent::Broken => f.write_str("what answered broke the protocol"),
        NativeNodeEvent::Muted => f.write_str("muted by the operator"),
        NativeNodeEvent::Unmuted => f.write_str("unmuted by the operator"),
        NativeNodeEvent::Replaced => f.write_str("another board links with the key of this one"),
        NativeNodeEvent::Unpaired => {
            f.write_str("revoked by the operator; the pairing is forgotten")
        }
        NativeNodeEvent::NotAllowed { action, pattern } => {
            write!(f, "not allowed: {action} on {}", Harmless(pattern.as_str()))
        }
        NativeNodeEvent::GatewayName(name) => {
            write!(f, "the gateway is called {}", Harmless(name.as_str()))
        }
        NativeNodeEvent::CertificateRenewed => f.write_str("the new certificate is stored"),
        NativeNodeEvent::CertificateNotRenewed => f.write_str("the certificate is not renewed"),
        NativeNodeEvent::Renewed => f.write_str("the new grant is stored"),
        NativeNodeEvent::NotRenewed => {
            f.write_str("the grant is not renewed: pair again before it expires")
        }
        NativeNodeEvent::RetryIn(wait) => write!(f, "tries again in {}", Seconds(*wait)),
        NativeNodeEvent::Forgotten => f.write_str("the pairing is forgotten"),
    }
}

const fn not_asked(why: NotAsked) -> &'static str {
    match why {
        NotAsked::NoSetupCode => "there is no setup code",
        NotAsked::BufferTooSmall => {
            "the buffer is too small: a setup code needs NativeBuffers::for_setup_codes"
        }
    }
}

fn refused(refusal: &PairRefusal<'_>, f: &mut Formatter<'_>) -> Result {
    f.write_str("refused: ")?;
    f.write_str(match refusal {
        PairRefusal::WrongCode { .. } => "the code is wrong",
        PairRefusal::Expired => "the PIN, the code or the request has expired",
        PairRefusal::Locked => "too many codes were wrong",
        PairRefusal::Closed => "pairing is not open at the gateway",
        PairRefusal::Denied { reason: Some(reason) } => {
            return write!(f, "{}", Harmless(reason.as_str()));
        }
        PairRefusal::Denied { reason: None } => "the operator said no",
        PairRefusal::Revoked => "the key of this node was revoked for good",
        PairRefusal::Busy { retry_in } => {
            return write!(f, "the gateway is busy for {retry_in} s");
        }
        PairRefusal::Protocol => "a message was out of place",
        PairRefusal::Spent => "another device has used the setup code",
        PairRefusal::CannotStore { retry_in } => {
            return write!(f, "the gateway cannot store anything for {retry_in} s");
        }
        PairRefusal::Unsigned => "a certificate needs a signing key",
    })
}

#[cfg(feature = "identity")]
mod certificate {
    use core::fmt::{Display, Formatter, Result};

    use handfast_core::flow::identity::held::NotHeld;
    use handfast_core::grant::certificate::CompactDefect;
    use handfast_core::rfc3339;

    use crate::native::CertificateNews;

    impl Display for CertificateNews {
        fn fmt(&self, f: &mut Formatter<'_>) -> Result {
            match self {
                Self::Held(held) => {
                    write!(f, "the certificate is valid until {}", rfc3339::write(held.not_after))
                }
                Self::Refused(why) => write!(f, "a certificate is not used: {}", not_held(why)),
                Self::NotLoaded(error) => write!(f, "the certificate cannot be read: {error}"),
            }
        }
    }

    const fn not_held(why: &NotHeld) -> &'static str {
        match why {
            NotHeld::Incomplete => "a part of it is missing",
            NotHeld::NoSigner => "the gateway has not told its key",
            NotHeld::Defect(CompactDefect::Expired) => "it has expired",
            NotHeld::Defect(CompactDefect::NotYet) => "it is not valid yet",
            NotHeld::Defect(CompactDefect::Signature) => "the gateway did not sign it",
            NotHeld::Defect(CompactDefect::Malformed(_) | CompactDefect::Life) => "it is malformed",
            NotHeld::OtherNode => "it is another node's",
            NotHeld::OtherKeys => "it is for other keys",
        }
    }
}
