//! `handfast companions …`: setup codes for companions, and the sessions that they opened.

use std::path::{Path, PathBuf};

use handfast_qr::{self as qr, NoQrCode};
use handfast_server::admin::{
    RevokedSessionsView, SessionList, SessionView, StartedView, StatusView,
};
use handfast_server::public_url::GatewayUrl;
use handfast_stdio::{Hint, note_line};
use hyper::Method;
use serde_json::{Value, json};

use crate::End;
use crate::args::{CompanionsArgs, CompanionsVerb, Invite};
use crate::client::{ask, ask_all, encoded, read};
use crate::data::DataPlace;
use crate::delivery::{SecretDelivery, with_images};
use crate::gateway_time::now;
use crate::hints::{Next, NextElsewhere};
use crate::links::{self, LinkPage};
use crate::print::{ago, left, put_secret, quoted, safe, show};
use crate::table::{short_ids, table, terminal_columns};

const SESSIONS: &str = "/api/v1/sessions";
/// Number of digits of an id that distinguish it in lists.
const SHORT: usize = 8;

pub(crate) async fn run(args: CompanionsArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    match args.verb {
        CompanionsVerb::Invite(args) => invite(&data, json, &args).await,
        CompanionsVerb::List { all } => {
            let filter = if all { "all" } else { "live" };
            let answer = ask_all(&data, &format!("{SESSIONS}?filter={filter}")).await?;
            // Without an address of its own, the gateway makes no code unless one is named.
            let status = ask(&data, Method::GET, "/api/v1/status", None).await?;
            let invite = match read::<StatusView>(&status)?.companion_url {
                Some(_) => Next::Invite,
                None => Next::InviteAt("URL"),
            };
            show(json, &answer, |list: SessionList| listing(&list, all, &invite.on(&data)))
        }
        CompanionsVerb::Revoke { id: Some(id), sure, .. } => {
            sure.check(&format!("End the session {} for good?", quoted(&id)))?;
            let answer = ask(
                &data,
                Method::POST,
                &format!("{SESSIONS}/{}/revoke", named(&id, &data)?),
                None,
            )
            .await?;
            show(json, &answer, |view: SessionView| {
                format!("{} {} ended for good\n", view.id, whose(&view))
            })
        }
        CompanionsVerb::Revoke { id: None, sure, .. } => {
            sure.check("End every session of companions for good?")?;
            let answer = ask(&data, Method::POST, &format!("{SESSIONS}/revoke-all"), None).await?;
            show(json, &answer, |view: RevokedSessionsView| match view.revoked {
                1 => "1 session ended\n".to_owned(),
                n => format!("{n} sessions ended\n"),
            })
        }
        CompanionsVerb::Refresh { id } => {
            let answer = ask(
                &data,
                Method::POST,
                &format!("{SESSIONS}/{}/refresh", named(&id, &data)?),
                None,
            )
            .await?;
            show(json, &answer, |view: SessionView| {
                format!("{} {} ends in {}\n", view.id, whose(&view), left(view.expires_at))
            })
        }
        CompanionsVerb::RotateKey { at_once } => {
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

async fn invite(data: &DataPlace, json: bool, args: &Invite) -> Result<(), End> {
    // Before a code is made that could not be shown.
    let page = match args.link {
        true => Some(LinkPage::find(data, args.public_url.as_deref()).await?),
        false => None,
    };
    let body = json!({
        "for_device": args.for_device,
        "profile": args.profile,
        "ttl_seconds": args.ttl_secs,
        "public_url": args.public_url,
        "bound": args.bound,
    });
    let answer = ask(data, Method::POST, "/api/v1/setup", Some(body)).await?;
    let mut view: StartedView = read(&answer)?;
    let id = std::mem::take(&mut view.delivery);
    if GatewayUrl::parse(&view.url, &[]).is_ok_and(|url| url.is_loopback()) {
        note_line(&format!(
            "warning: this code leads to this machine alone ({}); for companions elsewhere name where they reach the gateway with --public-url, or let it \
             listen on this machine's address in the network (`serve --listen`)",
            safe(&view.url)
        ));
    }
    let link = page.map(|page| page.of(&view.payload));
    let text = link.as_deref().unwrap_or(&view.payload);
    let mut out = String::new();
    let images: Vec<&Path> =
        [&args.qr_png, &args.qr_svg].into_iter().flatten().map(PathBuf::as_path).collect();
    let mut pictured = !images.is_empty();
    if !json && !args.no_qr {
        let columns = terminal_columns().unwrap_or(qr::COLUMNS);
        match qr::render_within(text, args.invert, columns) {
            Ok(picture) => {
                out += &format!("{picture}\n");
                pictured = true;
            }
            Err(NoQrCode::TooWide) => note_line(&format!(
                "note: the QR code does not fit into {columns} columns, so it is left out; widen the terminal, or write an image with --qr-png FILE. The line \
                 below says the same"
            )),
            Err(why) => note_line(&format!("note: no QR code is shown: {why}")),
        }
    }
    out += &match json {
        true => format!("{}\n", links::printed(&view, link.as_deref())?),
        false => started(&view, text, args.bound, pictured),
    };
    let delivery = SecretDelivery {
        data,
        ids: &[&id],
        what: "the setup code",
        undone: "nobody can use it; start another one",
    };
    let images: Vec<(&Path, &str)> = images.into_iter().map(|path| (path, text)).collect();
    delivery.show(|| with_images(&images, || put_secret(&out))).await
}

/// Formats a setup code with its way, its end, and where it is put in.
fn started(view: &StartedView, text: &str, bound: bool, pictured: bool) -> String {
    let source = match view.url_source.as_str() {
        "public" => "the public URL",
        "tunnel" => "the tunnel's URL",
        "gateway" => "the remote gateway's URL",
        "lan" => "the gateway's address on its network",
        other => other,
    };
    let until = format!("{} (in {})", view.expires_at, left(view.expires_at));
    // A companion refuses a code that only a device may use.
    let (who, paste) = match bound {
        true => ("a device binds it to its own key", NextElsewhere::PasteBoundSetupCode.hint()),
        false => ("a companion takes it", NextElsewhere::PasteSetupCode.hint()),
    };
    let scan = if pictured { "Scan it, or paste" } else { "Paste" };
    format!(
        "{}\n\nLeads to {} ({source}).\nGood until {until}, once, and shown this once.\n{scan} the line where {who}: {paste}\n",
        safe(text),
        safe(&view.url),
        source = safe(source),
    )
}

/// Returns an id or its beginning as a path segment.
fn named(id: &str, data: &DataPlace) -> Result<String, End> {
    match id.is_empty() {
        true => Err(End::Usage(format!(
            "an empty id names no session; see them with: {}",
            Next::Companions.on(data)
        ))),
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
    let short = ["session", "login"].iter().find_map(|kind| {
        let id = made_by.strip_prefix(kind)?.strip_prefix(' ')?;
        Some(format!("{kind} {}", id.chars().take(SHORT).collect::<String>()))
    });
    safe(short.as_deref().unwrap_or(made_by))
}

fn listing(list: &SessionList, all: bool, invite: &Hint) -> String {
    if list.sessions.is_empty() {
        let none = match all {
            true => "no companion ever had a session",
            false => "no companion has a session",
        };
        return format!("{none}; make a code for one with: {invite}\n");
    }
    let now = now();
    let ids: Vec<&str> = list.sessions.iter().map(|view| view.id.as_str()).collect();
    let rows: Vec<Vec<String>> = list
        .sessions
        .iter()
        .zip(short_ids(&ids))
        .map(|(view, id)| {
            let (ends, status) = match view.revoked_at {
                Some(at) => (format!("ended {}", ago(at)), "ended"),
                None if view.expires_at.as_secs() <= now => (ago(view.expires_at), "expired"),
                None => (
                    format!("in {}", left(view.expires_at)),
                    if view.linked { "linked" } else { "offline" },
                ),
            };
            vec![
                id,
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
    use handfast_core::UnixTime;
    use handfast_server::admin::Time;

    use super::*;

    fn at(secs: u64) -> Time {
        UnixTime::from_secs(secs).into()
    }

    fn session(id: &str, more: Value) -> SessionView {
        let now = now();
        let mut view = json!({ "id": id, "profile": "p", "issued_at": at(now), "expires_at": at(now + 60), "linked": false });
        view.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn a_list_says_how_each_session_stands_and_no_name_moves_the_cursor() {
        let sessions = vec![
            session(
                "0123456789abcdef",
                json!({ "linked": true, "device_label": "Ana's \u{1b}[2J" }),
            ),
            session("1123456789abcdef", json!({ "revoked_at": at(now()) })),
            session("2123456789abcdef", json!({ "expires_at": at(now() - 9) })),
        ];
        let invite = Next::Invite.on(&DataPlace::named(Path::new("/d")));
        let shown = listing(&SessionList { sessions, next: None }, true, &invite);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("01234567  p") && lines[1].ends_with("linked"), "{shown}");
        assert!(lines[1].contains("Ana's \\u{1b}[2J"), "{shown}");
        assert!(lines[2].ends_with("ended") && lines[3].ends_with("expired"), "{shown}");
        let none = listing(&SessionList { sessions: Vec::new(), next: None }, false, &invite);
        assert!(none.ends_with("handfast companions invite --data /d\n"), "{none}");
    }
}
