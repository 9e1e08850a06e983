//! `handfast-node identity`, `delegate` and `present`: tokens that one holder delegates to another.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use handfast_core::Name;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::grant::capability::Holder;
use handfast_node::native::{self, DelegateEvent, DelegateLink, GatewayAt, NotDelegated};
use handfast_node::tokens::SecretText;
use handfast_node::{StateDir, Waits};
use handfast_stdio::{note_line, put_secret};
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::native as args;
use crate::hint::Hints;
use crate::talk::{not_allowed, not_sent, print_message};
use crate::{Failure, put};

/// Limit for an objection: a gateway refuses at once and confirms nothing.
const OBJECTS_WITHIN: Duration = Duration::from_secs(1);
/// Maximum size of a token in bytes.
const MOST_BYTES: u64 = 4096;

pub(crate) fn identity(args: &args::IdentityArgs) -> Result<(), Failure> {
    let keys = keys(args.state.dir()?)?;
    let (channel, signing) = (
        native::write_public(keys.channel.public().as_bytes()),
        native::write_public(keys.signing.public().as_bytes()),
    );
    let fingerprint = Fingerprint::of(keys.channel.public());
    if args.json {
        put(&format!(
            "{}\n",
            json!({ "channel_key": channel, "signing_key": signing, "fingerprint": fingerprint.to_string() })
        ))
    } else {
        put(&format!(
            "channel key  {channel}\nsigning key  {signing}\nfingerprint  {fingerprint}\n"
        ))
    }
}

/// Loads the node's keys, or generates them. Reading them does not need the lock of a running node.
fn keys(dir: StateDir) -> Result<OwnKeys, Failure> {
    match dir.load_keys()? {
        Some(keys) => Ok(keys),
        // A node without keys gets some, so that a token can be made for them.
        None => Ok(dir.hold()?.keys()?),
    }
}

pub(crate) fn delegate(args: &args::DelegateArgs, hints: &Hints) -> Result<(), Failure> {
    let dir = args.state.dir()?;
    let none = || {
        Failure::Failed(format!(
            "no token is kept in {}; {}",
            dir.path().display(),
            hints.pair_first(&[])
        ))
    };
    let (identity, _) = dir.load_native()?.ok_or_else(none)?;
    let keys = dir.load_keys()?.ok_or_else(none)?;
    let entry = crate::native::status::entry(&identity, dir.path())?.ok_or_else(none)?;
    let to = Holder { channel: args.to_channel_key, signing: Some(args.to_signing_key) };
    let audience = args.audience.as_ref().map(Name::label);
    let made = native::delegate(&keys, &entry.token, &to, &args.scope, args.lasts, audience);
    let made = made.map_err(|why| match why {
        NotDelegated::Scope(_) | NotDelegated::NoTime => Failure::Usage(why.to_string()),
        NotDelegated::Malformed(_)
        | NotDelegated::Expired
        | NotDelegated::WiderScopes
        | NotDelegated::Longer
        | NotDelegated::OtherAudience
        | NotDelegated::NotTheHolder
        | NotDelegated::TooDeep
        | NotDelegated::TooLong => Failure::Failed(why.to_string()),
    })?;
    // A token that nobody was given is no success, also where the reader of a pipe has gone.
    put_secret(&format!("{}\n", made.expose()))?;
    note_line(&format!(
        "It counts only for the holder of those keys, at {}. The gateway's fingerprint, for --gateway-key there: {}",
        crate::native::run::gateway_of(&identity),
        entry.fingerprint.map(|it| it.to_string()).unwrap_or_default()
    ));
    Ok(())
}

pub(crate) async fn present(args: args::PresentArgs, hints: &Hints) -> Result<(), Failure> {
    let dir = args.state.dir()?;
    let token = read_token(&args.token)?;
    let (gateways, expect) = whom(&dir, args.gateway, args.gateway_key)?;
    let ca = args.ca.checked_for(&gateways)?;
    let keys = keys(dir)?;
    let stop = crate::stop::Stop::new()?;
    let mut link = DelegateLink::open(gateways, &keys, &token, expect, ca, Waits::DEFAULT).await?;
    if expect.is_none() {
        note_line(&format!(
            "The gateway is {} (trust on first use; name it with --gateway-key)",
            link.gateway()
        ));
    }
    let outcome = match (args.send.as_deref(), args.listen) {
        (Some([action, address, text]), _) => send(&mut link, action, address, text, hints).await,
        (_, Some(pattern)) => tokio::select! {
            outcome = listen(&mut link, &pattern, args.json, hints) => outcome,
            () = stop.requested() => Ok(()),
        },
        (_, None) => put("The gateway accepts the token.\n"),
    };
    link.close().await;
    outcome
}

/// Returns the named gateway, or the one that this node is paired with.
fn whom(
    dir: &StateDir,
    gateway: Option<GatewayAt>,
    key: Option<Fingerprint>,
) -> Result<(Vec<GatewayAt>, Option<Fingerprint>), Failure> {
    if let Some(gateway) = gateway {
        return Ok((vec![gateway], key));
    }
    match dir.load_native()? {
        Some((identity, NativeMemory::Paired(paired))) => {
            Ok((identity.gateways, Some(key.unwrap_or_else(|| Fingerprint::of(&paired.gateway)))))
        }
        Some((_, NativeMemory::Blank | NativeMemory::Asked { .. })) | None => Err(Failure::Usage(
            "name the gateway with --gateway, like --gateway ws://gateway.local:8765".into(),
        )),
    }
}

async fn send(
    link: &mut DelegateLink,
    action: &str,
    address: &str,
    text: &str,
    hints: &Hints,
) -> Result<(), Failure> {
    let action = args::action(action).map_err(Failure::Usage)?;
    link.send_app(action, address, text.as_bytes()).await.map_err(not_sent)?;
    let objection = async {
        loop {
            match link.next().await? {
                DelegateEvent::NotAllowed { action, pattern } => {
                    return Err(not_allowed(action, &pattern, hints));
                }
                DelegateEvent::Ended(bye) => {
                    return Err(Failure::Failed(format!("the gateway ended the link ({bye:?})")));
                }
                DelegateEvent::App(_) => {}
                _ => {}
            }
        }
    };
    tokio::time::timeout(OBJECTS_WITHIN, objection).await.unwrap_or(Ok(()))
}

async fn listen(
    link: &mut DelegateLink,
    pattern: &str,
    json: bool,
    hints: &Hints,
) -> Result<(), Failure> {
    link.subscribe(pattern).await.map_err(not_sent)?;
    loop {
        match link.next().await? {
            DelegateEvent::NotAllowed { action, pattern } => {
                return Err(not_allowed(action, &pattern, hints));
            }
            DelegateEvent::Ended(bye) => {
                return Err(Failure::Failed(format!("the gateway ended the link ({bye:?})")));
            }
            DelegateEvent::App(message) => print_message(&message, json)?,
            _ => {}
        }
    }
}

fn read_token(path: &Path) -> Result<SecretText, Failure> {
    let shown = path.display().to_string();
    if shown.starts_with("hf1.") {
        return Err(Failure::Usage(
            "a token does not belong on the command line, where every user of this machine can see it: name a file that holds it, or - for \
             standard input"
                .into(),
        ));
    }
    // The capacity suffices, so that growth leaves no copies of the token behind.
    let mut text = Zeroizing::new(String::with_capacity(MOST_BYTES as usize + 1));
    let unreadable = |why: std::io::Error| {
        Failure::Failed(format!("the token in {shown} cannot be read: {why}"))
    };
    if shown == "-" {
        std::io::stdin().lock().take(MOST_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
            .map_err(unreadable)?;
    }
    Ok(SecretText::new(Zeroizing::new(text.trim().to_owned())))
}
