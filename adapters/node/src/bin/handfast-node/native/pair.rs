//! `handfast-node pair` with `--pin`, `--code`, `--qr`, `--setup` or `--approval`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::{NativeMemory, PairMethod};
use handfast_core::limits::SETUP_PAYLOAD_CHARS;
use handfast_core::wire::invite::{Invite, TypedCode};
use handfast_core::wire::phone_link;
use handfast_core::wire::setup::Payload;
use handfast_core::{Label, Name};
use handfast_node::capability::Capabilities;
use handfast_node::native::{GatewayAt, NativeConfig, NativeIdentity, NativeNode};
use handfast_node::{StateDir, Waits, tokens};
use handfast_stdio::note_line;
use zeroize::Zeroizing;

use crate::Failure;
use crate::args::{self, native::Chosen};
use crate::ask::Question;
use crate::hint::Hints;
use crate::native::dialogue::{PairingDialogue, PairingTexts};

pub(crate) async fn pair(args: args::Pair, way: Chosen, hints: &Hints) -> Result<(), Failure> {
    let args::Pair { flow, name, room, profile, gateway, tokens, state: place, ca } = args;
    let profile = crate::registration::pair::read_profile(&profile)?;
    let dir = place.dir()?;
    let personal = place.is_personal();
    let kept = kept(&dir, hints)?;
    let kept = kept.map(|(identity, _)| identity);
    // Before anything secret is asked for.
    let found = match (&gateway, &kept) {
        (None, None) if way.lacks_address() => {
            Some(found(&way, flow.gateway_key.as_ref(), hints).await?)
        }
        (_, _) => None,
    };
    let (found, expect) = match found {
        Some((gateways, key)) => (Some(gateways), Some(key)),
        None => (None, flow.gateway_key),
    };
    let wanted = wanted(way, expect).await?;
    let gateways = match (wanted.gateways.or(found), gateway, &kept) {
        (Some(gateways), _, _) => gateways,
        (None, Some(gateway), _) => vec![gateway],
        (None, None, Some(identity)) => identity.gateways.clone(),
        (None, None, None) => return Err(unnamed()),
    };
    if let Some(other) = gateways.iter().find(|gateway| gateway.needs_certificate()) {
        return Err(Failure::Usage(format!(
            "at {other} a node links with the certificate that it got when it was paired; pair at \
             another address of the gateway, then: {}",
            hints.run()
        )));
    }
    let ca = ca.checked_for(&gateways)?;
    let named = |given: Option<Name>, kept: Option<&Name>, otherwise: Name| {
        given.or_else(|| kept.cloned()).unwrap_or(otherwise)
    };
    let identity = NativeIdentity {
        name: named(name, kept.as_ref().map(|it| &it.name), host_name()),
        room: named(room, kept.as_ref().map(|it| &it.room), Label::UNKNOWN.into()),
        tokens: tokens_path(tokens.path, kept.as_ref(), dir.path(), personal)?,
        plain_tokens: tokens.plain_tokens || kept.as_ref().is_some_and(|it| it.plain_tokens),
        gateways,
    };
    let state = dir.hold()?;
    let own = Fingerprint::of(state.keys()?.channel.public());
    let shown = PairingTexts { own, gateways: identity.gateways.clone(), hints: hints.clone() };
    let mut pairing = PairingDialogue::new(shown, wanted.asks);
    let node = NativeNode::new(NativeConfig {
        identity,
        profile,
        state,
        via: None,
        ca,
        waits: Waits::DEFAULT,
        // What is dispatched meanwhile waits for `run`.
        capabilities: Capabilities::none(),
        certificate: !flow.no_certificate,
    })?;
    let (owner, events) = (node.owner(), node.events());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    match (wanted.setup, wanted.expect) {
        (Some(token), Some(gateway)) => owner.pair_with_setup(token, gateway).await,
        (_, expect) => owner.pair(wanted.wish, expect).await,
    }
    let mut running = tokio::spawn(node.run(async {
        let _ = stopped.await;
    }));
    let outcome = tokio::select! {
        outcome = pairing.follow(owner, events) => outcome,
        ended = &mut running => match ended {
            Ok(ended) => ended.map_err(Failure::from).and(Err(Failure::Failed("the node ended before it was paired".into()))),
            Err(_) => Err(Failure::Failed("the node ended before it was paired".into())),
        },
        _ = tokio::signal::ctrl_c() => Err(Failure::Failed("interrupted; what was asked stays asked at the gateway until it runs out".into())),
    };
    // Ends the node in order, with a goodbye to the gateway.
    drop(stop);
    // A handle that has answered must not be awaited again.
    if !running.is_finished() {
        let _ = running.await;
    }
    outcome
}

/// Returns the addresses and the key of a gateway on the network.
#[cfg(feature = "discovery")]
async fn found(
    way: &Chosen,
    key: Option<&Fingerprint>,
    hints: &Hints,
) -> Result<(Vec<GatewayAt>, Fingerprint), Failure> {
    let choice = super::discover::choose(way, key, hints).await?;
    Ok((choice.gateways, choice.fingerprint))
}

#[cfg(not(feature = "discovery"))]
async fn found(
    _: &Chosen,
    _: Option<&Fingerprint>,
    _: &Hints,
) -> Result<(Vec<GatewayAt>, Fingerprint), Failure> {
    Err(unnamed())
}

fn unnamed() -> Failure {
    Failure::Usage("name the gateway with --gateway, like --gateway ws://gateway.local:8765".into())
}

/// Loads the stored native pairing. An error if the node was paired by token, because that pairing
/// must not be overwritten.
fn kept(dir: &StateDir, hints: &Hints) -> Result<Option<(NativeIdentity, NativeMemory)>, Failure> {
    if dir.load()?.is_some_and(|(_, memory)| memory.node_id().is_some()) {
        return Err(Failure::Failed(format!(
            "{} keeps a node that was paired by token; to pair it in this way, {}",
            dir.path().display(),
            hints.forget_first()
        )));
    }
    Ok(dir.load_native()?)
}

/// The pairing method, and the question that the owner may have to answer again.
struct PairingPlan {
    wish: PairMethod,
    expect: Option<Fingerprint>,
    gateways: Option<Vec<GatewayAt>>,
    /// Bootstrap token of a setup code.
    setup: Option<Zeroizing<String>>,
    asks: crate::native::dialogue::Asks,
}

async fn wanted(way: Chosen, expect: Option<Fingerprint>) -> Result<PairingPlan, Failure> {
    use crate::native::dialogue::Asks;
    let plain = |wish, asks| PairingPlan { wish, expect, gateways: None, setup: None, asks };
    match way {
        Chosen::Pin => Ok(plain(PairMethod::Pin, Asks::Pin)),
        Chosen::Approval => Ok(plain(PairMethod::Approval, Asks::Nothing)),
        Chosen::Code => loop {
            let typed = line("Code").await?;
            match TypedCode::parse(&typed) {
                Ok(TypedCode { selector, code }) => {
                    return Ok(plain(PairMethod::Code { selector, code }, Asks::Code(selector)));
                }
                Err(_) => {
                    note_line(
                        "that is no code: it has four letters and digits, a dash, and at least six more, like K7QF-847291",
                    );
                }
            }
        },
        Chosen::Qr(text) => {
            let text = match text == "-" {
                true => {
                    asked(Question::until(
                        "Invitation (handfast:1?…; an empty line ends it)",
                        is_invitation_or_none,
                    ))
                    .await?
                }
                false => Zeroizing::new(text),
            };
            let text = unwrapped(&text);
            let invite = Invite::parse(phone_link::payload(&text)).map_err(|why| {
                Failure::Usage(format!(
                    "that is no invitation: {why}; copy the whole text that begins with handfast:1?"
                ))
            })?;
            let gateways = invite.addresses().iter().filter_map(GatewayAt::of_invite).collect();
            let expect = Some(*invite.gateway());
            let TypedCode { selector, code } = invite.into_code();
            Ok(PairingPlan {
                wish: PairMethod::Code { selector, code },
                expect,
                gateways: Some(gateways),
                setup: None,
                asks: Asks::Nothing,
            })
        }
        Chosen::Setup(text) => {
            let is_whole = |text: &str| {
                let mut scratch = Zeroizing::new([0; 2 * SETUP_PAYLOAD_CHARS]);
                Payload::decode(phone_link::payload(text), &mut scratch[..]).is_some()
            };
            let text = match text == "-" {
                true => {
                    asked(Question::until("Setup code (an empty line ends it)", is_whole)).await?
                }
                false => Zeroizing::new(text),
            };
            setup(&text)
        }
    }
}

/// Returns `true` for a whole invitation, and for a text that can never become one.
fn is_invitation_or_none(text: &str) -> bool {
    const BEGINNING: &str = "handfast:1?";
    let text = unwrapped(text);
    // A link is whole once its payload is; until the `#` nothing says whether it is one.
    let text = phone_link::payload(&text);
    if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("http")) {
        return false;
    }
    let length = text.len().min(BEGINNING.len());
    let begins = text.get(..length).is_some_and(|start| {
        BEGINNING.get(..length).is_some_and(|part| part.eq_ignore_ascii_case(start))
    });
    !begins || Invite::parse(text).is_ok()
}

/// Reads a setup code. One that does not name its gateway's fingerprint is refused, because any
/// gateway at its address would receive it.
fn setup(text: &str) -> Result<PairingPlan, Failure> {
    let mut scratch = Zeroizing::new([0; 2 * SETUP_PAYLOAD_CHARS]);
    let text = phone_link::payload(text);
    let payload = Payload::decode(text, &mut scratch[..]).ok_or_else(|| {
        Failure::Usage("that is no setup code; copy the whole text under the QR code".into())
    })?;
    let Some(gateway) = payload.fingerprint else {
        return Err(Failure::Usage(
            "this setup code does not name its gateway's fingerprint, so whoever answers at that address would be given it; have one made \
             with: handfast companions invite --bound"
                .into(),
        ));
    };
    // The URL in a code may begin with http or https, but a node connects by WebSocket.
    let (scheme, rest) = payload.url.split_once("://").unwrap_or_default();
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => "wss",
        _ => "ws",
    };
    let at: GatewayAt =
        format!("{scheme}://{}", rest.trim_end_matches('/')).parse().map_err(|why| {
            Failure::Usage(format!("the address in this setup code cannot be used: {why}"))
        })?;
    let token = Zeroizing::new(payload.bootstrap_token.to_owned());
    Ok(PairingPlan {
        wish: PairMethod::Setup,
        expect: Some(gateway),
        gateways: Some(vec![at]),
        setup: Some(token),
        asks: crate::native::dialogue::Asks::Nothing,
    })
}

async fn line(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    asked(Question::ask(prompt)).await
}

/// Removes the white space that line wrapping has put into pasted text.
fn unwrapped(text: &str) -> Zeroizing<String> {
    // The capacity suffices, so that growth leaves no copies of a code behind.
    let mut whole = Zeroizing::new(String::with_capacity(text.len()));
    text.split_whitespace().for_each(|part| whole.push_str(part));
    whole
}

async fn asked(mut question: Question) -> Result<Zeroizing<String>, Failure> {
    let answer = tokio::select! {
        answer = question.answer(None) => answer,
        _ = tokio::signal::ctrl_c() => None,
    };
    answer.ok_or_else(|| Failure::Failed("nothing was typed".into()))
}

/// Parses a typed PIN.
pub(crate) fn pin(typed: &str) -> Result<Code, &'static str> {
    Code::parse(typed)
        .map_err(|_| "that is no PIN: it has 4 to 64 digits or letters, as the gateway shows it")
}

fn host_name() -> Name {
    let system = rustix::system::uname();
    let name = system
        .nodename()
        .to_str()
        .ok()
        .and_then(Label::parse)
        .filter(|name| !name.as_str().is_empty());
    name.unwrap_or(Label::UNKNOWN).into()
}

/// Returns the path of the token store: one file for all programs of a person; a file in the state
/// directory for a service, so that no two nodes share an entry.
fn tokens_path(
    given: Option<PathBuf>,
    kept: Option<&NativeIdentity>,
    state: &Path,
    personal: bool,
) -> Result<PathBuf, Failure> {
    let path = match (given, kept) {
        (Some(path), _) => path,
        (None, Some(kept)) => kept.tokens.clone(),
        (None, None) if personal => tokens::default_path()?,
        (None, None) => state.join("tokens.json"),
    };
    let path = std::path::absolute(path)?;
    match path.to_str() {
        Some(_) => Ok(path),
        None => Err(Failure::Usage(
            "the path of the token store must be text (UTF-8); name another with --tokens".into(),
        )),
    }
}

/// Limit for the first link after pairing; after it, linking is left to `run`.
pub(crate) const LINK_WITHIN: Duration = Duration::from_secs(20);
