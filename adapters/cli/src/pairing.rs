//! `handfast pairing …`: the pairing window, and codes that are minted in advance.

use std::path::Path;

use handfast_cli::qr;
use handfast_core::limits::{GUESSES_PER_WINDOW, INVITE_BYTES};
use handfast_core::wire::gateway_address::Host;
use handfast_core::wire::invite::Invite;
use handfast_server::admin::{CodeList, CodeView, GuesserView, MintedView, PairingView};
use handfast_stdio::note_line;
use hyper::Method;
use serde_json::{Value, json};

use crate::End;
use crate::args::{Minting, PairingArgs, PairingVerb, Qr};
use crate::client::{ask, read};
use crate::delivery::{self, SecretDelivery};
use crate::print::{left, permissions, put, put_secret, safe, show, shown, table};
use crate::setup;

const WINDOW: &str = "/api/v1/pairing";
const CODES: &str = "/api/v1/pairing/codes";

pub(crate) async fn run(args: PairingArgs) -> Result<(), End> {
    let data = args.data.path()?;
    let json = args.json;
    match args.verb {
        PairingVerb::Open { open_for } => {
            let body = json!({ "open": true, "for": open_for.map(|lasts| lasts.as_secs()) });
            let answer = ask(&data, Method::POST, WINDOW, Some(body)).await?;
            show(json, &answer, |view: PairingView| {
                format!(
                    "{}\nsee who asks, and the PINs, with: handfast watch --data {}\n",
                    stands(&view),
                    safe(&data.display().to_string())
                )
            })
        }
        PairingVerb::Close => {
            let answer = ask(&data, Method::POST, WINDOW, Some(json!({ "open": false }))).await?;
            show(json, &answer, |view: PairingView| {
                format!("{}\n{}", stands(&view), guessers(&view, &data))
            })
        }
        PairingVerb::List => list(&data, json).await,
        PairingVerb::Qr(args) => scanned(&data, json, args).await,
        PairingVerb::Code(args) => {
            let answer = ask(&data, Method::POST, CODES, Some(body(&args, "typed")?)).await?;
            let mut view: MintedView = read(&answer)?;
            let id = std::mem::take(&mut view.delivery);
            let answer = delivery::printed(&view)?;
            let text = shown(json, &answer, |view: MintedView| {
                format!(
                    "{}\n\n{}",
                    safe(&view.code),
                    minted(&view, "type it into: handfast-node pair --code")
                )
            });
            of_code(&data, &id).show(|| put_secret(&text?)).await
        }
        PairingVerb::Withdraw { which } => withdraw(&data, json, &which).await,
    }
}

/// Formats the state of pairing on one line.
fn stands(view: &PairingView) -> String {
    let wrong = match view.wrong_pins {
        0 => String::new(),
        n => format!(" ({n} of {GUESSES_PER_WINDOW} wrong PINs)"),
    };
    match (view.locked, view.open, view.closes_at) {
        (true, _, _) => {
            "pairing by PIN is locked after too many wrong PINs; open it again with: handfast pairing open".to_owned()
        }
        (false, true, Some(at)) => format!("pairing by PIN is open, and closes in {}{wrong}", left(at)),
        (false, true, None) => format!("pairing by PIN is open as long as the gateway runs{wrong}"),
        (false, false, _) => "pairing by PIN is closed; open it with: handfast pairing open".to_owned(),
    }
}

/// Formats the sources of wrong PINs, one line each, with advice once one has guessed too often.
fn guessers(view: &PairingView, data: &Path) -> String {
    let mut lines = String::new();
    for GuesserView { source, wrong_pins, locked } in &view.guessers {
        let locked =
            if *locked { "; PINs are locked for it until pairing is opened anew" } else { "" };
        lines += &format!("  {wrong_pins} wrong from {}{locked}\n", safe(source));
    }
    if view.locked || view.guessers.iter().any(|guesser| guesser.locked) {
        let data = safe(&data.display().to_string());
        lines += &format!("{}\n", crate::events::beforehand(&data));
    }
    lines
}

async fn list(data: &Path, json: bool) -> Result<(), End> {
    let window = ask(data, Method::GET, WINDOW, None).await?;
    let codes = ask(data, Method::GET, CODES, None).await?;
    if json {
        let (window, codes): (Value, Value) = (read(&window)?, read(&codes)?);
        return put(&format!("{}\n", json!({ "pairing": window, "codes": codes["codes"] })));
    }
    let (window, list): (PairingView, CodeList) = (read(&window)?, read(&codes)?);
    let mut out =
        format!("{}\n{}gateway {}\n", stands(&window), guessers(&window, data), window.fingerprint);
    if list.codes.is_empty() {
        out += "no PIN or code lives\n";
    } else {
        let rows: Vec<Vec<String>> = list.codes.iter().map(line).collect();
        out += &format!(
            "\n{}",
            table(
                &[
                    "ID",
                    "KIND",
                    "SELECTOR",
                    "LABEL",
                    "FOR",
                    "MAY",
                    "EXPIRES",
                    "USES LEFT",
                    "TRIES LEFT",
                    "MADE BY"
                ],
                &rows
            )
        );
    }
    put(&out)
}

fn line(code: &CodeView) -> Vec<String> {
    let whom = code.fingerprint.clone().unwrap_or_else(|| "whoever has it".to_owned());
    let may = code.permissions.as_ref().map_or_else(|| "as decided".to_owned(), permissions);
    let selector = code.selector.clone().unwrap_or_else(|| "-".to_owned());
    let label = if code.label.is_empty() { "-".to_owned() } else { safe(&code.label) };
    let id: String = code.id.chars().take(8).collect();
    let (uses, tries) = (code.uses_left.to_string(), code.guesses_left.to_string());
    vec![
        id,
        code.kind.clone(),
        selector,
        label,
        whom,
        may,
        format!("in {}", left(code.expires_at)),
        uses,
        tries,
        setup::maker(&code.made_by),
    ]
}

fn body(minting: &Minting, kind: &str) -> Result<Value, End> {
    Ok(json!({
        "kind": kind,
        "permissions": minting.permissions.view()?,
        "expires": minting.expires.as_secs(),
        "uses": minting.uses,
        "grant_expires": minting.grant_for.map(|lasts| lasts.as_secs()),
        "label": minting.label,
    }))
}

fn of_code<'a>(data: &'a Path, id: &'a str) -> SecretDelivery<'a> {
    SecretDelivery {
        data,
        id: Some(id),
        what: "the code",
        undone: "it is withdrawn; mint another one",
    }
}

/// Formats a minted code with its lifetime and the command that withdraws it.
fn minted(view: &MintedView, how: &str) -> String {
    format!(
        "Code {}, for {}: {how}\nIt is shown this once. End it before its time with: handfast pairing withdraw {}\nThe gateway's fingerprint: {}\n",
        view.selector,
        left(view.expires_at),
        view.selector,
        view.fingerprint
    )
}

async fn scanned(data: &Path, json: bool, args: Qr) -> Result<(), End> {
    let mut body = body(&args.minting, "qr")?;
    body["addresses"] = json!(args.addresses);
    let answer = ask(data, Method::POST, CODES, Some(body)).await?;
    let mut view: MintedView = read(&answer)?;
    let id = std::mem::take(&mut view.delivery);
    let Some(text) = &view.invitation else {
        end(data, &view.id).await?;
        return Err(End::Usage(
            "the gateway does not know where nodes reach it; name that with --address".to_owned(),
        ));
    };
    let invite = Invite::parse(text).map_err(|wrong| {
        End::Refused(format!("the gateway made an invitation that is none: {wrong}"))
    })?;
    let loopback = invite.addresses().iter().all(|address| match address.host() {
        Host::V4(ip) => ip.is_loopback(),
        Host::V6(ip) => ip.is_loopback(),
        Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
    });
    if loopback {
        note_line(&format!(
            "warning: this code leads to this machine alone ({}); for nodes elsewhere start the gateway with --listen 0.0.0.0:8765, or name \
             where they reach it with --address",
            invite.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ));
    }
    let mut out = String::new();
    if !json && !args.text {
        let mut dense = [0; INVITE_BYTES];
        let shown = invite.write_for_qr(&mut dense).map(|dense| qr::render(dense, args.invert));
        match shown {
            Some(Ok(picture)) => out += &format!("{picture}\n"),
            Some(Err(why)) => note_line(&format!("warning: {why}")),
            None => note_line("warning: there is no room for a picture"),
        }
    }
    out += &match json {
        true => format!("{}\n", delivery::printed(&view)?),
        false => format!(
            "{text}\n\n{}",
            minted(&view, "scan it, or paste the line into: handfast-node pair --qr -")
        ),
    };
    of_code(data, &id).show(|| put_secret(&out)).await
}

async fn withdraw(data: &Path, json: bool, which: &str) -> Result<(), End> {
    let list: CodeList = read(&ask(data, Method::GET, CODES, None).await?)?;
    let id = which.to_ascii_lowercase();
    let by_selector = |code: &&CodeView| {
        code.selector.as_deref().is_some_and(|selector| selector.eq_ignore_ascii_case(which))
    };
    let found: Vec<&CodeView> = match list.codes.iter().find(by_selector) {
        Some(code) => vec![code],
        None => {
            list.codes.iter().filter(|code| !id.is_empty() && code.id.starts_with(&id)).collect()
        }
    };
    match found[..] {
        [] => Err(End::Refused(format!(
            "no PIN or code that lives has the selector {which:?} or an id that begins so; `pairing list` shows them"
        ))),
        [code] => {
            let answer = end(data, &code.id).await?;
            show(json, &answer, |_: CodeList| {
                format!("{} withdrawn\n", code.selector.as_deref().unwrap_or(&code.id))
            })
        }
        _ => Err(End::Refused(format!(
            "{which:?} is not enough: it begins the ids of {} PINs and codes",
            found.len()
        ))),
    }
}

async fn end(data: &Path, id: &str) -> Result<String, End> {
    ask(data, Method::DELETE, &format!("{CODES}/{id}"), None).await
}
