//! Events for the owner of a node, as JSON.

use handfast_core::flow::native::node::{NativeNodeEvent, NotAsked, Trust};
use handfast_core::wire::json_write::ObjectWriter;
use handfast_core::wire::native::pair::PairRefusal;

use crate::reply::{Kind, Reply, number, with_fingerprint};

/// Adds an event of core's machine.
pub(crate) fn tell(event: &NativeNodeEvent<'_>, reply: &mut Reply<'_>) {
    reply.object(Kind::Event, |object| members(event, object));
}

fn members<'o>(event: &NativeNodeEvent<'_>, object: ObjectWriter<'o>) -> ObjectWriter<'o> {
    let named = |name| object.text("event", name);
    match event {
        NativeNodeEvent::Gateway { fingerprint, trust } => {
            with_fingerprint(named("gateway"), "fingerprint", fingerprint)
                .text("trust", word_of(*trust))
        }
        NativeNodeEvent::OtherGateway(fingerprint) => {
            with_fingerprint(named("other_gateway"), "fingerprint", fingerprint)
        }
        NativeNodeEvent::NotAsked(why) => named("not_asked").text(
            "reason",
            match why {
                NotAsked::NoSetupCode => "no_setup_code",
                NotAsked::BufferTooSmall => "buffer_too_small",
            },
        ),
        NativeNodeEvent::TypeThePin { expires_in, attempts } => {
            let object = number(named("pin"), "expires_in", (*expires_in).into());
            number(object, "attempts", (*attempts).into())
        }
        NativeNodeEvent::WrongCode { attempts_left } => {
            number(named("wrong_code"), "attempts_left", (*attempts_left).into())
        }
        NativeNodeEvent::CodeConfirmed => named("code_confirmed"),
        NativeNodeEvent::GatewayUnproven => named("gateway_unproven"),
        NativeNodeEvent::WaitsForApproval { expires_in } => {
            number(named("waiting"), "expires_in", (*expires_in).into())
        }
        NativeNodeEvent::PairingRefused(refusal) => refused(refusal, named("refused")),
        NativeNodeEvent::Granted { node_id, room, message } => {
            let object = named("granted")
                .text("node_id", node_id.text().as_str())
                .text("room", room.as_str());
            match message {
                Some(message) => object.text("message", message.as_str()),
                None => object,
            }
        }
        NativeNodeEvent::Linked(node_id) => {
            named("linked").text("node_id", node_id.text().as_str())
        }
        NativeNodeEvent::PairAgain => named("pair_again"),
        NativeNodeEvent::Expired => named("expired"),
        NativeNodeEvent::TurnedAway => named("turned_away"),
        NativeNodeEvent::OtherVersion => named("other_version"),
        NativeNodeEvent::Broken => named("broken"),
        NativeNodeEvent::Muted => named("muted"),
        NativeNodeEvent::Unmuted => named("unmuted"),
        NativeNodeEvent::Replaced => named("replaced"),
        NativeNodeEvent::Unpaired => named("unpaired"),
        NativeNodeEvent::NotAllowed { action, pattern } => {
            named("not_allowed").text("action", action.as_str()).text("pattern", pattern.as_str())
        }
        NativeNodeEvent::GatewayName(name) => named("gateway_name").text("name", name.as_str()),
        NativeNodeEvent::CertificateRenewed => named("certificate_renewed"),
        NativeNodeEvent::CertificateNotRenewed => named("certificate_not_renewed"),
        NativeNodeEvent::Renewed => named("renewed"),
        NativeNodeEvent::NotRenewed => named("not_renewed"),
        NativeNodeEvent::RetryIn(wait) => number(named("retry"), "in_millis", wait.as_millis()),
        NativeNodeEvent::Forgotten => named("forgotten"),
    }
}

fn refused<'o>(refusal: &PairRefusal<'_>, object: ObjectWriter<'o>) -> ObjectWriter<'o> {
    let because = |reason| object.text("reason", reason);
    match refusal {
        PairRefusal::WrongCode { attempts_left } => {
            number(because("wrong_code"), "attempts_left", (*attempts_left).into())
        }
        PairRefusal::Expired => because("expired"),
        PairRefusal::Locked => because("locked"),
        PairRefusal::Closed => because("closed"),
        PairRefusal::Denied { reason } => match reason {
            Some(words) => because("denied").text("message", words.as_str()),
            None => because("denied"),
        },
        PairRefusal::Revoked => because("revoked"),
        PairRefusal::Busy { retry_in } => number(because("busy"), "retry_in", (*retry_in).into()),
        PairRefusal::Protocol => because("protocol"),
        PairRefusal::Spent => because("spent"),
        PairRefusal::CannotStore { retry_in } => {
            number(because("cannot_store"), "retry_in", (*retry_in).into())
        }
        PairRefusal::Unsigned => because("unsigned"),
    }
}

const fn word_of(trust: Trust) -> &'static str {
    match trust {
        Trust::Pinned => "pinned",
        Trust::Code => "code",
        Trust::FirstUse => "first_use",
    }
}
