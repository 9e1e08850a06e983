//! `handfast gateway …`: the gateway's key, and its rotation.

use handfast_server::admin::{GatewayKeyView, PairingView, RotationView};
use hyper::Method;
use serde_json::json;

use crate::End;
use crate::args::{GatewayArgs, GatewayVerb, RotateKey};
use crate::client::{ask, read};
use crate::data::DataPlace;
use crate::hints::Next;
use crate::print::{safe, show};

pub(crate) async fn run(args: GatewayArgs) -> Result<(), End> {
    let data = args.common.data.gateway()?;
    match args.verb {
        GatewayVerb::Fingerprint => {
            let answer = ask(&data, Method::GET, "/api/v1/pairing", None).await?;
            let fingerprint = read::<PairingView>(&answer)?.fingerprint;
            let json = json!({ "fingerprint": fingerprint }).to_string();
            show(args.common.json, &json, |_: serde_json::Value| format!("{fingerprint}\n"))
        }
        GatewayVerb::RotateKey(rotate) => rotate_key(&data, args.common.json, rotate).await,
    }
}

async fn rotate_key(data: &DataPlace, json: bool, rotate: RotateKey) -> Result<(), End> {
    let RotateKey { overlap, finish, sure } = rotate;
    if !finish {
        let body = Some(json!({ "overlap_seconds": overlap.as_secs() }));
        let answer = ask(data, Method::POST, "/api/v1/key/rotate", body).await?;
        return show(json, &answer, |view| rotated(&view, data));
    }
    let before = read::<GatewayKeyView>(&ask(data, Method::GET, "/api/v1/key", None).await?)?;
    let Some(rotation) = before.rotation else {
        return Err(End::Refused(
            "no rotation of the gateway's key is under way, so there is none to finish".to_owned(),
        ));
    };
    sure.check(&question(&rotation))?;
    let answer = ask(data, Method::POST, "/api/v1/key/finish", Some(json!({}))).await?;
    show(json, &answer, |view: GatewayKeyView| {
        format!("the older key is erased\nfingerprint: {}\n", safe(&view.fingerprint))
    })
}

/// Returns the question before an overlap is ended early.
fn question(rotation: &RotationView) -> String {
    let lost = match rotation.missing {
        0 => "Every paired node has taken the new key.".to_owned(),
        1 => "1 node has not taken the new key and loses this gateway: it has to be paired again."
            .to_owned(),
        n => format!(
            "{n} nodes have not taken the new key and lose this gateway: they have to be paired \
             again."
        ),
    };
    format!("{lost} Erase the older key {} now?", safe(&rotation.older_fingerprint))
}

fn rotated(view: &GatewayKeyView, data: &DataPlace) -> String {
    let mut text = format!("fingerprint: {}\n", safe(&view.fingerprint));
    if let Some(rotation) = &view.rotation {
        text += &stands(rotation);
    }
    text + &format!(
        "codes that were made before have ended; follow the nodes with: {}\n",
        Next::Status.on(data)
    )
}

/// Returns how a rotation stands, a line each.
pub(crate) fn stands(rotation: &RotationView) -> String {
    let RotationView { older_fingerprint, until, confirmed, missing, .. } = rotation;
    format!(
        "older key:   {}, for nodes that were away, until {}\n\
         new key:     taken by {confirmed} of {} nodes\n",
        safe(older_fingerprint),
        until,
        confirmed.saturating_add(*missing),
    )
}

#[cfg(test)]
mod tests {
    use handfast_core::UnixTime;

    use super::*;

    fn rotation(missing: u64) -> RotationView {
        RotationView {
            older_fingerprint: "AAAA-BBBB".to_owned(),
            begun: UnixTime::from_secs(1_800_000_000).into(),
            until: UnixTime::from_secs(1_802_592_000).into(),
            confirmed: 3,
            missing,
            loses_nodes_soon: false,
        }
    }

    #[test]
    fn the_question_names_how_many_nodes_lose_their_gateway() {
        assert!(question(&rotation(0)).starts_with("Every paired node has taken the new key."));
        assert!(question(&rotation(1)).starts_with("1 node has not taken"));
        assert!(question(&rotation(12)).starts_with("12 nodes have not taken"));
        assert!(stands(&rotation(2)).contains("taken by 3 of 5 nodes"));
    }
}
