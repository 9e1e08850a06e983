//! `handfast nodes move`: the addresses at which nodes are to look for the gateway.

use std::time::Duration;

use handfast_server::admin::{MovedList, MovedView};
use hyper::Method;
use serde_json::json;

use crate::End;
use crate::args::MoveArgs;
use crate::client::{ask, ask_all, named, read};
use crate::data::DataPlace;
use crate::print::{quoted, safe, show};
use crate::table::{short_ids, table};

/// Time for which the command waits until linked nodes have stored what they are told. Over a link
/// it takes a round trip and a write.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn run(data: &DataPlace, json: bool, wanted: MoveArgs) -> Result<(), End> {
    let MoveArgs { node, all: _, to } = wanted;
    let path = match &node {
        Some(node) => format!("/api/v1/paired/{}/addresses", named(node, data)?),
        None => "/api/v1/addresses".to_owned(),
    };
    let asks = !to.is_empty();
    if asks {
        ask(data, Method::POST, &path, Some(json!({ "addresses": to }))).await?;
    }
    let waits_until = tokio::time::Instant::now() + ANSWER_WITHIN;
    loop {
        let answer = match &node {
            Some(_) => ask(data, Method::GET, &path, None).await?,
            None => ask_all(data, &path).await?,
        };
        let nodes = match &node {
            Some(_) => vec![read::<MovedView>(&answer)?],
            None => read::<MovedList>(&answer)?.items,
        };
        let waits = nodes.iter().any(|node| node.status == "online" && !is_done(node));
        if asks && waits && tokio::time::Instant::now() < waits_until {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        return match &node {
            Some(_) => show(json, &answer, |node: MovedView| shown(&[node])),
            None => show(json, &answer, |list: MovedList| shown(&list.items)),
        };
    }
}

/// Returns `true` if nothing more is to be heard of a node.
const fn is_done(node: &MovedView) -> bool {
    node.confirmed || node.addresses.is_empty()
}

fn shown(nodes: &[MovedView]) -> String {
    if nodes.is_empty() {
        return "no node is paired by its keys, so there is none to move\n".to_owned();
    }
    let ids: Vec<_> = nodes.iter().map(|node| node.node_id.as_str()).collect();
    let row = |(node, id): (&MovedView, String)| {
        vec![id, safe(&node.friendly_name), standing(node).to_owned()]
    };
    let rows: Vec<Vec<String>> = nodes.iter().zip(short_ids(&ids)).map(row).collect();
    let mut text = table(&["NODE", "NAME", "ADDRESSES"], &rows);
    // Most often all of them are told the same.
    let mut lists: Vec<&[String]> = nodes.iter().map(|node| node.addresses.as_slice()).collect();
    lists.sort_unstable();
    lists.dedup();
    for list in lists.iter().filter(|list| !list.is_empty()) {
        let of: Vec<String> = match lists.len() {
            1 => Vec::new(),
            _ => nodes
                .iter()
                .filter(|node| node.addresses == **list)
                .map(|node| quoted(&node.friendly_name))
                .collect(),
        };
        let whom = if of.is_empty() { String::new() } else { format!("{}: ", of.join(", ")) };
        text += &format!("\n{whom}told {}\n", list.join(" "));
    }
    text
}

/// Returns how far a node is with its addresses.
const fn standing(node: &MovedView) -> &'static str {
    match (node.addresses.is_empty(), node.confirmed, node.status.as_bytes()) {
        (true, _, _) => "none told",
        (false, true, _) => "stored",
        (false, false, b"online") => "linked, not stored yet",
        (false, false, _) => "not linked; hears at its next link",
    }
}
