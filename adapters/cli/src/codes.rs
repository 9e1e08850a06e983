//! `handfast codes …` and `handfast pairing …`: codes that are minted in advance, and the pairing
//! window.

mod many;

use std::path::Path;
use std::time::Duration;

use handfast_core::limits::{GUESSES_PER_WINDOW, INVITE_BYTES};
use handfast_core::wire::gateway_address::Host;
use handfast_core::wire::invite::Invite;
use handfast_qr::{self as qr, NoQrCode};
use handfast_server::admin::{
    CodeList, CodeView, GuesserView, MintedView, PairingView, ProvisioningTokenView,
};
use handfast_stdio::note_line;
use hyper::Method;
use serde_json::{Value, json};

use crate::End;
use crate::args::{CodeMethod, CodesArgs, CodesVerb, Common, CreateCode, Minting};
use crate::client::{ask, ask_all, read};
use crate::companions;
use crate::data::DataPlace;
use crate::delivery::{self, SecretDelivery, with_images};
use crate::hints::{Next, NextElsewhere};
use crate::links::{self, LinkPage};
use crate::print::{left, permissions, put, put_secret, safe, show, shown};
use crate::table::{short_ids, table, terminal_columns};

const WINDOW: &str = "/api/v1/pairing";
const CODES: &str = "/api/v1/pairing/codes";
const PROVISIONING: &str = "/api/v0/provisioning/token";

/// A change of pairing by PIN.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Window {
    /// Open it for this long, or as long as the gateway's configuration says.
    Open(Option<Duration>),
    Close,
}

pub(crate) async fn run(args: CodesArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    match args.verb {
        CodesVerb::Create(create) if create.many.is_many() => many::run(&data, json, &create).await,
        CodesVerb::Create(create) => match create.method()? {
            CodeMethod::Qr => scanned(&data, json, &create).await,
            CodeMethod::Code => typed(&data, json, &create.minting, "letters").await,
            CodeMethod::Pin => typed(&data, json, &create.minting, "typed").await,
            CodeMethod::Provisioning => provisioning(&data, json, &create).await,
        },
        CodesVerb::List => list(&data, json).await,
        CodesVerb::Withdraw(code) => withdraw(&data, json, &code.which).await,
    }
}

/// Opens pairing by PIN for a time, or closes it.
pub(crate) async fn window(common: &Common, change: Window) -> Result<(), End> {
    let (data, json) = (common.data.gateway()?, common.json);
    let body = match change {
        Window::Open(lasts) => {
            json!({ "open": true, "for_seconds": lasts.map(|lasts| lasts.as_secs()) })
        }
        Window::Close => json!({ "open": false }),
    };
    let answer = ask(&data, Method::POST, WINDOW, Some(body)).await?;
    show(json, &answer, |view: PairingView| {
        let stands = stands(&view, &data);
        match change {
            Window::Open(_) => {
                format!("{stands}\nsee who asks, and the PINs, with: {}\n", Next::Watch.on(&data))
            }
            Window::Close => format!("{stands}\n{}", guessers(&view, &data)),
        }
    })
}

/// Formats the state of pairing on one line.
pub(crate) fn stands(view: &PairingView, data: &DataPlace) -> String {
    let wrong = match view.wrong_pins {
        0 => String::new(),
        n => format!(" ({n} of {GUESSES_PER_WINDOW} wrong PINs)"),
    };
    let open = || Next::OpenPairing.on(data);
    match (view.locked, view.open, view.closes_at) {
        (true, _, _) => {
            format!(
                "pairing by PIN is locked after too many wrong PINs; open it again with: {}",
                open()
            )
        }
        (false, true, Some(at)) => {
            format!("pairing by PIN is open, and closes in {}{wrong}", left(at))
        }
        (false, true, None) => format!("pairing by PIN is open as long as the gateway runs{wrong}"),
        (false, false, _) => format!("pairing by PIN is closed; open it with: {}", open()),
    }
}

/// Formats the sources of wrong PINs, one line each, with advice once one has guessed too often.
fn guessers(view: &PairingView, data: &DataPlace) -> String {
    let mut lines = String::new();
    for GuesserView { source, wrong_pins, locked } in &view.guessers {
        let locked =
            if *locked { "; PINs are locked for it until pairing is opened anew" } else { "" };
        lines += &format!("  {wrong_pins} wrong from {}{locked}\n", safe(source));
    }
    if view.locked || view.guessers.iter().any(|guesser| guesser.locked) {
        lines += &format!("{}\n", crate::events::beforehand(data));
    }
    lines
}

async fn list(data: &DataPlace, json: bool) -> Result<(), End> {
    let window = ask(data, Method::GET, WINDOW, None).await?;
    let codes = ask_all(data, CODES).await?;
    if json {
        let (window, codes): (Value, Value) = (read(&window)?, read(&codes)?);
        return put(&format!("{}\n", json!({ "pairing": window, "codes": codes["items"] })));
    }
    let (window, list): (PairingView, CodeList) = (read(&window)?, read(&codes)?);
    let mut out = format!(
        "{}\n{}gateway {}\n",
        stands(&window, data),
        guessers(&window, data),
        window.fingerprint
    );
    if list.codes.is_empty() {
        out += "no PIN or code lives\n";
    } else {
        let ids: Vec<&str> = list.codes.iter().map(|code| code.id.as_str()).collect();
        let rows: Vec<Vec<String>> =
            list.codes.iter().zip(short_ids(&ids)).flat_map(|(code, id)| lines(code, id)).collect();
        let heading = ["ID", "KIND", "CODE", "LABEL", "MAY", "EXPIRES", "USES LEFT", "TRIES"];
        out += &format!("\n{}", table(&heading, &rows));
    }
    put(&out)
}

/// Formats a PIN or code, and below it the node that a PIN was shown for, and a maker that is not
/// the operator.
fn lines(code: &CodeView, id: String) -> Vec<Vec<String>> {
    let may = code.permissions.as_ref().map_or_else(|| "as decided".to_owned(), permissions);
    let selector = code.selector.clone().unwrap_or_else(|| "-".to_owned());
    let label = if code.label.is_empty() { "-".to_owned() } else { safe(&code.label) };
    // A provisioning token is long enough that guesses need no counting.
    let tries = if code.node_id.is_some() { "-".to_owned() } else { code.guesses_left.to_string() };
    let uses = code.uses_left.to_string();
    let cells = vec![
        id,
        code.kind.clone(),
        selector,
        label,
        may,
        format!("in {}", left(code.expires_at)),
        uses,
        tries,
    ];
    let name = code.node_id.as_deref().map(safe);
    let node = code.fingerprint.clone().or(name).map(|node| vec![format!("for the node {node}")]);
    let by = companions::maker(&code.made_by);
    let by = (by != "operator").then(|| vec![format!("made by {by}")]);
    std::iter::once(cells).chain(node).chain(by).collect()
}

fn body(minting: &Minting, kind: &str) -> Result<Value, End> {
    Ok(json!({
        "kind": kind,
        "permissions": minting.permissions.view()?,
        "expires_seconds": minting.expires.as_secs(),
        "uses": minting.uses,
        "grant_expires_seconds": minting.grant_for.map(|lasts| lasts.as_secs()),
        "label": minting.label,
    }))
}

fn of_code<'a>(data: &'a Path, ids: &'a [&'a str]) -> SecretDelivery<'a> {
    SecretDelivery { data, ids, what: "the code", undone: "it is withdrawn; mint another one" }
}

/// Formats a minted code with its lifetime and the command that withdraws it.
fn minted(view: &MintedView, how: &str, data: &DataPlace) -> String {
    format!(
        "Code {}, for {}: {how}\nIt is shown this once. End it before its time with: {}\nThe gateway's fingerprint: {}\n",
        view.selector,
        left(view.expires_at),
        Next::Withdraw(&view.selector).on(data),
        view.fingerprint
    )
}

async fn typed(data: &DataPlace, json: bool, minting: &Minting, kind: &str) -> Result<(), End> {
    let answer = ask(data, Method::POST, CODES, Some(body(minting, kind)?)).await?;
    let mut view: MintedView = read(&answer)?;
    let id = std::mem::take(&mut view.delivery);
    let answer = delivery::printed(&view)?;
    let text = shown(json, &answer, |view: MintedView| {
        // An address that is not known is for the reader to put in.
        let gateway = view.addresses.first().map_or("URL", String::as_str);
        let how = format!("type it into: {}", NextElsewhere::TypeCode(gateway).hint());
        format!("{}\n\n{}", safe(&view.code), minted(&view, &how, data))
    });
    of_code(data, &[&id]).show(|| put_secret(&text?)).await
}

/// The life and the uses that `codes create` has without options; a token's are fixed.
const USUAL: (Duration, u8) = (Duration::from_secs(300), 1);

async fn provisioning(data: &DataPlace, json: bool, args: &CreateCode) -> Result<(), End> {
    let minting = &args.minting;
    if (minting.expires, minting.uses) != USUAL {
        return Err(End::Usage(
            "a provisioning token lives for ten minutes and registers one node; leave --expires \
             and --uses out"
                .to_owned(),
        ));
    }
    let body = json!({
        "node_id": args.node_id,
        "permissions": minting.permissions.view()?,
        "grant_expires": minting.grant_for.map(|lasts| lasts.as_secs()),
        "label": minting.label,
    });
    let answer = ask(data, Method::POST, PROVISIONING, Some(body)).await?;
    let text = shown(json, &answer, |view: ProvisioningTokenView| {
        format!(
            "{}\n\nProvisioning token for the node {}, until {}: give it to the phone that sets up the node, with this gateway's https URL.\nIt is shown this once. End it before its time with: {}\n",
            safe(&view.token),
            safe(&view.node_id),
            safe(&view.expires_at),
            Next::Withdraw(&view.id).on(data)
        )
    })?;
    put_secret(&text)
}

fn parsed(text: &str) -> Result<Invite<'_>, End> {
    Invite::parse(text).map_err(|wrong| {
        End::Refused(format!("the gateway made an invitation that is none: {wrong}"))
    })
}

/// Warns of an invitation that no other machine can follow.
fn warn_of_loopback(invite: &Invite<'_>) {
    let loopback = invite.addresses().iter().all(|address| match address.host() {
        Host::V4(ip) => ip.is_loopback(),
        Host::V6(ip) => ip.is_loopback(),
        Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
    });
    if loopback {
        note_line(&format!(
            "warning: this code leads to this machine alone ({}); for nodes elsewhere let the gateway listen on this machine's address in the network (`serve --listen`), or name where they reach it with --address",
            invite.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ));
    }
}

async fn scanned(data: &DataPlace, json: bool, args: &CreateCode) -> Result<(), End> {
    let shown = &args.scanned;
    // Before a code is made that could not be shown.
    let page = match shown.link {
        true => Some(LinkPage::find(data, None).await?),
        false => None,
    };
    let mut body = body(&args.minting, "qr")?;
    body["addresses"] = json!(shown.addresses);
    let answer = ask(data, Method::POST, CODES, Some(body)).await?;
    let mut view: MintedView = read(&answer)?;
    let id = std::mem::take(&mut view.delivery);
    let Some(text) = &view.invitation else {
        end(data, &view.id).await?;
        return Err(End::Usage(
            "the gateway does not know where nodes reach it; name that with --address".to_owned(),
        ));
    };
    let invite = parsed(text)?;
    warn_of_loopback(&invite);
    let link = page.map(|page| page.of(text));
    let text = link.as_ref().unwrap_or(text);
    let mut dense = [0; INVITE_BYTES];
    // A path and a host cannot be written in capitals, as an invitation alone is.
    let dense = match &link {
        Some(link) => Some(link.as_str()),
        None => invite.write_for_qr(&mut dense),
    };
    let mut out = String::new();
    let mut pictured = shown.qr_file.is_some();
    if !json && !shown.text {
        let columns = terminal_columns().unwrap_or(qr::COLUMNS);
        match dense.map(|dense| qr::render_within(dense, shown.invert, columns)) {
            Some(Ok(picture)) => {
                out += &format!("{picture}\n");
                pictured = true;
            }
            Some(Err(NoQrCode::TooWide)) => note_line(&format!(
                "note: the QR code does not fit into {columns} columns, so it is left out; widen the terminal, or write an image with --qr-file FILE"
            )),
            Some(Err(why)) => note_line(&format!("note: no QR code is shown: {why}")),
            None => note_line("note: no QR code is shown: there is no room for a picture"),
        }
    }
    let paste = NextElsewhere::PasteInvitation.hint();
    let how = match (pictured, &shown.qr_file) {
        (true, Some(file)) => format!(
            "scan it (also in {}), or paste the line into: {paste}",
            safe(&file.display().to_string())
        ),
        (true, None) => format!("scan it, or paste the line into: {paste}"),
        (false, _) => format!("paste the line into: {paste}"),
    };
    out += &match json {
        true => format!("{}\n", links::printed(&view, link.as_deref())?),
        false => format!("{text}\n\n{}", minted(&view, &how, data)),
    };
    // An image holds the same text as the picture on a terminal.
    let images: Vec<(&Path, &str)> =
        shown.qr_file.iter().map(|file| (file.as_path(), dense.unwrap_or(text))).collect();
    of_code(data, &[&id]).show(|| with_images(&images, || put_secret(&out))).await
}

/// Minimum number of characters of an id that name a code, because its end is final.
const FEWEST_OF_AN_ID: usize = 6;

async fn withdraw(data: &DataPlace, json: bool, which: &str) -> Result<(), End> {
    let list: CodeList = read(&ask_all(data, CODES).await?)?;
    let id = which.to_ascii_lowercase();
    let by_selector = |code: &CodeView| {
        code.selector.as_deref().is_some_and(|selector| selector.eq_ignore_ascii_case(which))
    };
    let by_id = |code: &CodeView| id.len() >= FEWEST_OF_AN_ID && code.id.starts_with(&id);
    let found: Vec<&CodeView> =
        list.codes.iter().filter(|code| by_selector(code) || by_id(code)).collect();
    match found[..] {
        [] => Err(End::Refused(format!(
            "no PIN or code that lives has the selector {which:?}, or an id that begins so (at least {FEWEST_OF_AN_ID} characters are needed); see them with: {}",
            Next::Codes.on(data)
        ))),
        [code] => {
            let answer = end(data, &code.id).await?;
            show(json, &answer, |_: CodeList| {
                format!("{} withdrawn\n", code.selector.as_deref().unwrap_or(&code.id))
            })
        }
        _ => {
            let ids: Vec<&str> = found.iter().map(|code| code.id.as_str()).collect();
            Err(End::Refused(format!("{which:?} is not enough: it names {}", ids.join(", "))))
        }
    }
}

async fn end(data: &Path, id: &str) -> Result<String, End> {
    ask(data, Method::DELETE, &format!("{CODES}/{id}"), None).await
}
