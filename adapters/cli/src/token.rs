//! `handfast token …`: operations on tokens.

use handfast_core::NodeId;
use handfast_core::grant::token::{HashJob, Token};
use tokio::io::AsyncReadExt;

use crate::End;
use crate::args;
use crate::print::put;

/// Maximum input in bytes. A token and its line end are shorter.
const MOST_INPUT: u64 = 256;

pub(crate) async fn run(args: args::TokenArgs) -> Result<(), End> {
    let args::TokenVerb::Hash { node_id, json } = args.verb;
    let node_id = NodeId::parse(&node_id).ok_or_else(|| {
        End::Usage(format!(
            "{node_id:?} is no node id: it is a UUID in lower case, as `nodes list --json` shows it"
        ))
    })?;
    let mut text = String::new();
    let read = tokio::io::stdin().take(MOST_INPUT).read_to_string(&mut text).await;
    read.map_err(|error| End::Refused(format!("standard input cannot be read: {error}")))?;
    let token = Token::parse(text.trim()).ok_or_else(|| {
        End::Usage(
            "standard input holds no token: 43 characters of A-Z, a-z, 0-9, - and _ are needed"
                .to_owned(),
        )
    })?;
    let hash = HashJob { node_id, token }.run().hash;
    let hex: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    put(&match json {
        true => format!("{}\n", serde_json::json!({ "hash": hex })),
        false => format!("{hex}\n"),
    })
}
