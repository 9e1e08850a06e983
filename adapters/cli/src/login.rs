//! `handfast login`: a link that opens an operator's session in a browser.

use handfast_qr as qr;
use handfast_qr::NoQrCode;
use handfast_server::admin::{LoginLinkView, LoginStateView};
use handfast_stdio::{Waiting, note_line};
use hyper::Method;
use serde_json::json;
use std::time::{Duration, Instant};

use crate::End;
use crate::args::LoginArgs;
use crate::client::{ask, read};
use crate::data::DataPlace;
use crate::delivery::{SecretDelivery, printed};
use crate::hints::Next;
use crate::print::{in_lines, in_words, put, put_secret, quoted, safe, show};
use crate::table::terminal_columns;

/// Time for which one request waits for the link's use.
const WAIT: u64 = 30;

pub(crate) async fn run(args: LoginArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    let body = json!({ "name": args.name, "role": args.role.word() });
    let answer = ask(&data, Method::POST, "/api/v1/logins", Some(body)).await?;
    let mut view: LoginLinkView = read(&answer)?;
    let delivery = std::mem::take(&mut view.delivery);
    for line in reach(&view, &data) {
        note_line(&line);
    }
    let out = match json {
        true => format!("{}\n", printed(&view)?),
        false => shown(&view, &args),
    };
    SecretDelivery {
        data: &data,
        ids: &[&delivery],
        what: "the login link",
        undone: "nobody can log in with it; make another one",
    }
    .show(|| put_secret(&out))
    .await?;
    if args.no_wait {
        return Ok(());
    }
    wait(&data, json, &view).await
}

/// Returns who cannot use the link, and what mends that.
fn reach(view: &LoginLinkView, data: &DataPlace) -> Vec<String> {
    let serve = Next::Serve.on(data);
    let mut lines = match view.reach.as_str() {
        "this_machine" => vec![format!(
            "note: this link opens on this machine alone, not on a phone. For others, start the \
             gateway with a certificate of its own (`{serve} --tls-own --listen 0.0.0.0:8765`) or \
             another one (--tls-cert, --tls-key), or put a reverse proxy with TLS before it and name that \
             (`--public-url https://gateway.example`)"
        )],
        "plain" => vec![format!(
            "warning: this link leads over a connection that is not encrypted: everybody on the \
             way can take the session over, and some browsers refuse to open it. Start the \
             gateway with a certificate of its own, `{serve} --tls-own`, or another one: --tls-cert \
             and --tls-key"
        )],
        _ => Vec::new(),
    };
    if let Some(fingerprint) = &view.certificate {
        lines.push(format!(
            "note: the browser warns that it does not know the gateway's certificate. Compare the \
             SHA-256 fingerprint that it shows before you go on:\n{}",
            in_lines(fingerprint)
        ));
    }
    lines
}

fn shown(view: &LoginLinkView, args: &LoginArgs) -> String {
    let mut out = String::new();
    let columns = terminal_columns().unwrap_or(qr::COLUMNS);
    // A code that only this machine can follow helps no phone.
    if !args.no_qr && view.reach != "this_machine" {
        match qr::render_within(&view.url, args.invert, columns) {
            Ok(picture) => out += &format!("{picture}\n"),
            Err(NoQrCode::TooWide) => note_line(&format!(
                "note: the QR code does not fit into {columns} columns, so it is left out; the \
                 line below says the same"
            )),
            Err(why) => note_line(&format!("note: no QR code is shown: {why}")),
        }
    }
    let name = match view.name == view.role {
        true => String::new(),
        false => format!(" as {}", quoted(&view.name)),
    };
    let own = view.own_url.as_deref().map_or_else(String::new, |url| {
        format!(
            "Only this gateway of the registry knows the link. Where it leads to another one,\n\
             open it here:\n{}\n",
            safe(url)
        )
    });
    out + &format!(
        "{}\n\n{own}Open it to log in{name} with the role {}: once, within {}.\n",
        safe(&view.url),
        safe(&view.role),
        in_words(view.expires_in)
    )
}

/// Waits until the link is used or its time is over.
async fn wait(data: &DataPlace, json: bool, view: &LoginLinkView) -> Result<(), End> {
    let life = Duration::from_secs(view.expires_in);
    let (begun, path) = (Instant::now(), format!("/api/v1/logins/{}?wait_seconds={WAIT}", view.id));
    let waiting = Waiting::at_most("waiting until the link is opened; Ctrl-C ends only this", life);
    let answer = loop {
        let answer = ask(data, Method::GET, &path, None).await?;
        let state: LoginStateView = read(&answer)?;
        if state.state != "waits" || begun.elapsed() > life + Duration::from_secs(WAIT) {
            break answer;
        }
    };
    drop(waiting);
    let state: LoginStateView = read(&answer)?;
    if state.state != "used" {
        if json {
            put(&format!("{}\n", printed(&state)?))?;
        }
        let again = Next::Login.on(data);
        return Err(End::Refused(format!(
            "nobody has used the link, and its time is over; make another one with: {again}"
        )));
    }
    show(json, &answer, |state: LoginStateView| {
        let at = state.used_at.map(|at| at.to_string()).unwrap_or_default();
        let from = state
            .ip_address
            .as_deref()
            .map_or_else(String::new, |ip| format!(" from {}", safe(ip)));
        format!(
            "used at {at}{from}; if that was not you, end the session: {}\n",
            Next::Operators.on(data)
        )
    })
}
