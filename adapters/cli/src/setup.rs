//! `handfast setup …`: setup codes for companions, and the sessions that they opened.

use std::io::IsTerminal;
use std::path::Path;

use handfast_cli::qr::{self, NoQrCode};
use handfast_core::time::rfc3339;
use handfast_server::admin::{RevokedSessionsView, SessionList, SessionView, StartedView};
use handfast_server::public_url::GatewayUrl;
use handfast_stdio::note_line;
use hyper::Method;
use serde_json::{Value, json};

use crate::End;
use crate::args::{SetupArgs, SetupVerb, Start};
use crate::client::{ask, encoded, read};
use crate::delivery::{self, SecretDelivery};
use crate::print::{ago, left, put_secret, quoted, safe, show, table};

const SESSIONS: &str = "/api/v1/sessions";
/// Number of digits of an id that distinguish it in lists.
const SHORT: usize = 8;

pub(crate) async fn run(args: SetupArgs) -> Result<(), End> {
    let data = args.data.path()?;
    let json = args.json;
    match args.verb {
        SetupVerb::Start(args) => start(&data, json, &args).await,
        SetupVerb::List { all } => {
            let filter = if all { "all" } else { "live" };
            let answer =
                ask(&data, Method::GET, &format!("{SESSIONS}?filter={filter}"), None).await?;
            show(json, &answer, |list: SessionList| listing(&list, all))
        }
        SetupVerb::Revoke { id: Some(id), sure, .. } => {
            sure.check(&format!("End the session {} for good?", quoted(&id)))?;
            let answer =
                ask(&data, Method::POST, &format!("{SESSIONS}/{}/revoke", named(&id)?), None)
                    .await?;
            show(json, &answer, |view: SessionView| {
                format!("{} {} ended for good\n", view.id, whose(&view))
            })
        }
        SetupVerb::Revoke { id: None, sure, .. } => {
            sure.check("End every session of companions for good?")?;
            let answer = ask(&data, Method::POST, &format!("{SESSIONS}/revoke-all"), None).await?;
            show(json, &answer, |view: RevokedSessionsView| match view.revoked {
                1 => "1 session ended\n".to_owned(),
                n => format!("{n} sessions ended\n"),
            })
        }
        SetupVerb::Refresh { id } => {
            let answer =
                ask(&data, Method::POST, &format!("{SESSIONS}/{}/refresh", named(&id)?), None)
                    .await?;
            show(json, &answer, |view: SessionView| {
                format!("{} {} ends in {}\n", view.id, whose(&view), left(view.expires_at))
            })
        }
        SetupVerb::RotateKey { at_once } => {
            let answer = ask(
                &data,
                Method::POST,
                "/api/v1/setup/rotate",
                Some(json!({ "at_once": at_once })),
            )
            .await?;
            show(json, &answer, |_: Value| {
                match at_once {
                true => "the key is new; setup codes that were made before are worth nothing any more\n".to_owned(),
                false => "the key is new; setup codes that were made with the key before it stay good until their time is over, older ones do not\n".to_owned(),
            }
            })
        }
    }
}

async fn start(data: &Path, json: bool, args: &Start) -> Result<(), End> {
    let body = json!({
        "for_device": args.for_device,
        "profile": args.profile,
        "ttl": args.ttl_secs,
        "public_url": args.public_url,
        "bound": args.bound,
    });
    let answer = ask(data, Method::POST, "/api/v1/setup", Some(body)).await?;
    let mut view: StartedView = read(&answer)?;
    let id = std::mem::take(&mut view.delivery);
    if GatewayUrl::parse(&view.url, &[]).is_ok_and(|url| url.is_loopback()) {
        note_line(&format!(
            "warning: this code leads to this machine alone ({}); for companions elsewhere name where they reach the gateway with --public-url, or start it \
             with --listen 0.0.0.0:8765",
            safe(&view.url)
        ));
    }
    let mut out = String::new();
    if !json && !args.no_qr {
        let columns = columns();
        match qr::render_within(&view.payload, args.invert, columns) {
            Ok(picture) => out += &format!("{picture}\n"),
            Err(NoQrCode::TooWide) => note_line(&format!(
                "note: the QR code of this text does not fit into {columns} columns; widen the terminal, or write an image with --qr-png FILE. The line below \
                 says the same"
            )),
            Err(why) => note_line(&format!("note: {why}")),
        }
    }
    out += &match json {
        true => format!("{}\n", delivery::printed(&view)?),
        false => started(&view, args),
    };
    let delivery = SecretDelivery {
        data,
        id: Some(&id),
        what: "the setup code",
        undone: "nobody can use it; start another one",
    };
    delivery.show(|| written(&view, args, &out)).await
}

/// Writes the image files, and then the printed text. If the code could not be shown everywhere, no
/// file is left.
fn written(view: &StartedView, args: &Start, out: &str) -> Result<(), End> {
    let mut files = Vec::new();
    let mut all = || {
        for path in [&args.qr_png, &args.qr_svg].into_iter().flatten() {
            qr::write_file(path, &view.payload).map_err(End::refused)?;
            files.push(path);
        }
        put_secret(out)
    };
    let outcome = all();
    if outcome.is_err() {
        for file in files {
            if let Err(error) = std::fs::remove_file(file) {
                note_line(&format!(
                    "warning: {}: the image of a code that is worth nothing cannot be removed: {error}",
                    file.display()
                ));
            }
        }
    }
    outcome
}

/// Returns the width of the terminal, if it is known.
fn columns() -> usize {
    let out = std::io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(qr::COLUMNS)
}

fn started(view: &StartedView, args: &Start) -> String {
    let source = match view.url_source.as_str() {
        "public" => "the public URL",
        "tunnel" => "the tunnel's URL",
        "gateway" => "the remote gateway's URL",
        "lan" => "the gateway's address on its network",
        other => other,
    };
    let until = match rfc3339::read(&view.expires_at) {
        Some(at) => format!("{} (in {})", safe(&view.expires_at), left(at.as_secs())),
        None => safe(&view.expires_at),
    };
    let bound = match args.bound {
        true => {
            "A device that binds it to a key of its own takes the line with: handfast-node pair --setup -\n"
        }
        false => "",
    };
    format!(
        "{}\n\nLeads to {} ({source}).\nGood until {until}, once, and shown this once.\nScan it, or paste the line into: handfast companion --code -\n{bound}",
        safe(&view.payload),
        safe(&view.url),
        source = safe(source),
    )
}

/// Returns an id or its beginning as a path segment.
fn named(id: &str) -> Result<String, End> {
    match id.is_empty() {
        true => Err(End::Usage("an empty id names no session; `setup list` shows them".to_owned())),
        false => Ok(encoded(id)),
    }
}

/// Formats a session's profile and device.
fn whose(view: &SessionView) -> String {
    match &view.device_label {
        Some(label) => format!("{} ({})", quoted(label), safe(&view.profile)),
        None => format!("({})", safe(&view.profile)),
    }
}

/// Formats a maker in short.
pub(crate) fn maker(made_by: &str) -> String {
    safe(&made_by.strip_prefix("session ").map_or_else(
        || made_by.to_owned(),
        |id| format!("session {}", id.chars().take(SHORT).collect::<String>()),
    ))
}

fn listing(list: &SessionList, all: bool) -> String {
    if list.sessions.is_empty() {
        return match all {
            true => {
                "no companion ever had a session; make a code for one with: handfast setup start\n"
                    .to_owned()
            }
            false => "no companion has a session; make a code for one with: handfast setup start\n"
                .to_owned(),
        };
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let rows: Vec<Vec<String>> = list
        .sessions
        .iter()
        .map(|view| {
            let (ends, status) = match view.revoked_at {
                Some(at) => (format!("ended {}", ago(at)), "ended"),
                None if view.expires_at <= now => (ago(view.expires_at), "expired"),
                None => (
                    format!("in {}", left(view.expires_at)),
                    if view.linked { "linked" } else { "offline" },
                ),
            };
            vec![
                view.id.chars().take(SHORT).collect(),
                safe(&view.profile),
                view.device_label.as_deref().map_or_else(|| "-".to_owned(), safe),
                ago(view.issued_at),
                ends,
                maker(&view.made_by),
                status.to_owned(),
            ]
        })
        .collect();
    table(&["ID", "PROFILE", "DEVICE", "OPENED", "ENDS", "MADE BY", "STATUS"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, more: Value) -> SessionView {
        let mut view = json!({ "id": id, "profile": "p", "issued_at": 1, "expires_at": u32::MAX, "linked": false });
        view.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn a_list_says_how_each_session_stands_and_no_name_moves_the_cursor() {
        let sessions = vec![
            session(
                "0123456789abcdef",
                json!({ "linked": true, "device_label": "Ana's \u{1b}[2J phone" }),
            ),
            session("1", json!({ "revoked_at": 2 })),
            session("2", json!({ "expires_at": 2 })),
        ];
        let shown = listing(&SessionList { sessions }, true);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("01234567  p") && lines[1].ends_with("linked"), "{shown}");
        assert!(lines[1].contains("Ana's \\u{1b}[2J phone"), "{shown}");
        assert!(lines[2].ends_with("ended") && lines[3].ends_with("expired"), "{shown}");
        assert!(
            listing(&SessionList { sessions: Vec::new() }, false).contains("handfast setup start")
        );
    }
}
