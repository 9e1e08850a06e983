//! `handfast senders …`: senders on messaging channels. Their names are chosen by strangers, so
//! they are escaped before they are printed.

use handfast_core::UnixTime;
use handfast_server::admin::{ApprovedView, ChangedView, SeededView, SenderList, SenderView, Time};
use hyper::Method;
use serde_json::json;

use crate::End;
use crate::args::{SenderArgs, SendersArgs, SendersVerb};
use crate::client::{ask, ask_all, encoded, read};
use crate::data::DataPlace;
use crate::gateway_time::now;
use crate::hints::Next;
use crate::print::{ago, left, put, quoted, safe, show};
use crate::table::table;

const SENDERS: &str = "/api/v1/inbound";

pub(crate) async fn run(args: SendersArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    match args.verb {
        SendersVerb::List { channel, all, include_revoked } => {
            let channel = channel
                .map(|channel| format!("&channel={}", encoded(&channel)))
                .unwrap_or_default();
            let path = format!("{SENDERS}?all={all}&include_revoked={include_revoked}{channel}");
            let answer = ask_all(&data, &path).await?;
            show(json, &answer, |list: SenderList| listing(&list))
        }
        SendersVerb::Approve { code, lasts } => {
            let until = lasts.map(|lasts| now().saturating_add(lasts.as_secs()));
            let until = until.map(|until| Time::from(UnixTime::from_secs(until)));
            let body = json!({ "code": code, "until": until });
            let answer =
                ask(&data, Method::POST, &format!("{SENDERS}/approve"), Some(body)).await?;
            show(json, &answer, |view: ApprovedView| {
                let until = until.map(|at| format!(" for {}", left(at))).unwrap_or_default();
                let who = format!(
                    "{} may write over {} to {}{until}",
                    quoted(&view.sender),
                    safe(&view.channel),
                    safe(&view.account)
                );
                format!("{who}\n")
            })
        }
        SendersVerb::Reject(sender) => decide(&data, json, "reject", &sender).await,
        SendersVerb::Block(sender) => decide(&data, json, "block", &sender).await,
        SendersVerb::Unblock(sender) => decide(&data, json, "unblock", &sender).await,
        SendersVerb::Revoke(sender) => decide(&data, json, "revoke", &sender).await,
        SendersVerb::Forget(sender) => decide(&data, json, "forget", &sender).await,
        SendersVerb::Seed { channel, account, senders } => {
            let body = json!({ "channel": channel, "account": account, "senders": senders });
            let answer = ask(&data, Method::POST, &format!("{SENDERS}/seed"), Some(body)).await?;
            show(json, &answer, |view: SeededView| {
                format!(
                    "{} let in over {} to {}\n",
                    new(view.added),
                    safe(&channel),
                    safe(&account)
                )
            })
        }
    }
}

/// Applies a decision about a sender. No change is an error, except for a repeated block.
async fn decide(data: &DataPlace, json: bool, verb: &str, sender: &SenderArgs) -> Result<(), End> {
    let SenderArgs { who, account } = sender;
    let body = json!({ "channel": who.channel, "sender": who.sender, "account": account });
    let answer = ask(data, Method::POST, &format!("{SENDERS}/{verb}"), Some(body)).await?;
    let view: ChangedView = read(&answer)?;
    let place = match account {
        Some(account) => format!("over {} to {}", safe(&who.channel), safe(account)),
        None => format!("over {}", safe(&who.channel)),
    };
    let name = quoted(&who.sender);
    let mut printed = Ok(());
    if json {
        printed = put(&format!("{answer}\n"));
    }
    let missing = match (verb, view.changed) {
        (_, 1..) | ("block", 0) => None,
        ("reject", 0) => Some("does not wait"),
        ("unblock", 0) => Some("is not blocked"),
        ("forget", 0) => {
            Some("is unknown, or waits, is let in or blocked, and cannot be forgotten")
        }
        (_, 0) => Some("is not let in"),
    };
    if let Some(missing) = missing {
        return Err(End::Refused(format!(
            "{name} {missing} {place}; see whom the gateway knows with: {}",
            Next::KnownSenders.on(data)
        )));
    }
    if !json {
        let done = match verb {
            "reject" => "is rejected",
            "block" => "is blocked",
            "unblock" => "is not blocked any more",
            "forget" => "is forgotten",
            _ => "is not let in any more",
        };
        printed = put(&format!("{name} {done} {place}\n"));
    }
    printed
}

fn new(added: u64) -> String {
    if added == 1 { "1 more sender is".to_owned() } else { format!("{added} more senders are") }
}

fn listing(list: &SenderList) -> String {
    if list.senders.is_empty() {
        return "nobody waits to be let in, or is otherwise known here\n".to_owned();
    }
    let rows: Vec<Vec<String>> = list.senders.iter().map(row).collect();
    table(&["CHANNEL", "ACCOUNT", "SENDER", "STATE", "SINCE", "CODE", "DETAILS"], &rows)
}

fn row(view: &SenderView) -> Vec<String> {
    let account = if view.account.is_empty() { "all".to_owned() } else { safe(&view.account) };
    let code = view.code.as_deref().map_or_else(|| "-".to_owned(), safe);
    let via = view.via.as_ref().map(|via| format!("by {}", safe(via)));
    let until = view.until.map(|at| {
        if at.as_secs() <= now() {
            format!("until {}", ago(at))
        } else {
            format!("for {}", left(at))
        }
    });
    let revoked = view.revoked_at.map(|at| format!("taken back {}", ago(at)));
    let told =
        view.meta.as_ref().filter(|meta| meta.as_object().is_none_or(|object| !object.is_empty()));
    let details: Vec<String> = [via, until, revoked, told.map(|meta| safe(&meta.to_string()))]
        .into_iter()
        .flatten()
        .collect();
    // In quotes, so that no name can look like the columns beside it.
    vec![
        safe(&view.channel),
        account,
        quoted(&view.sender),
        view.state.clone(),
        ago(view.since),
        code,
        details.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_say_moves_no_cursor() {
        let stranger = json!({
            "channel": "telegram", "account": "a", "sender": "x\u{202e}y", "state": "pending", "since": "2026-11-30T16:00:00Z", "code": "ABCD2345",
            "meta": { "n": "\u{1b}\ne" },
        });
        let blocked = json!({ "channel": "telegram", "account": "", "sender": "z", "state": "blocked", "since": "2026-11-30T16:00:00Z" });
        let list =
            serde_json::from_value(json!({ "next": null, "items": [stranger, blocked] })).unwrap();
        let shown = listing(&list);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(
            shown.contains("x\\u{202e}y")
                && shown.contains("ABCD2345")
                && !shown.contains('\u{1b}'),
            "{shown}"
        );
        assert!(shown.lines().nth(2).unwrap().starts_with("telegram  all "), "{shown}");
    }
}
