//! `handfast paired …`: nodes that are paired by keys, and the end of their grants.

use handfast_server::admin::{InForceView, PairedList, PairedView, RevokedAllView, RevokedView};
use hyper::Method;

use crate::End;
use crate::args::{PairedArgs, PairedVerb};
use crate::client::{ask, encoded, read};
use crate::print::{ago, left, permissions, put, quoted, safe, show, table};

pub(crate) async fn run(args: PairedArgs) -> Result<(), End> {
    let data = args.data.path()?;
    match args.verb {
        PairedVerb::List => {
            let answer = ask(&data, Method::GET, "/api/v1/paired", None).await?;
            show(args.json, &answer, |list: PairedList| listing(&list))
        }
        PairedVerb::Permissions(permit) => crate::nodes::decide(&data, args.json, permit).await,
        PairedVerb::Revoke { which, sure } => {
            if which.is_empty() {
                return Err(End::Usage(
                    "an empty name names nobody; `paired list` shows who is paired".to_owned(),
                ));
            }
            sure.check(&format!(
                "Put {} out for good, with all that it passed on?",
                quoted(&which)
            ))?;
            let answer = ask(
                &data,
                Method::POST,
                &format!("/api/v1/paired/{}/revoke", encoded(&which)),
                None,
            )
            .await?;
            show(args.json, &answer, |view: RevokedView| revoked(&view))
        }
        PairedVerb::RevokeAll { sure } => {
            if !sure.yes {
                let list: PairedList =
                    read(&ask(&data, Method::GET, "/api/v1/paired", None).await?)?;
                let who = count(list.paired.len());
                sure.check(&format!("End the pairing of {who} for good? Each has to be reset before it can pair again."))?;
            }
            let answer = ask(&data, Method::POST, "/api/v1/paired/revoke-all", None).await?;
            let view: RevokedAllView = read(&answer)?;
            let printed = put(&if args.json {
                format!("{answer}\n")
            } else {
                format!("{} revoked\n", count(view.revoked))
            });
            let failed: Vec<String> = view
                .failed
                .iter()
                .map(|one| format!("{}: {}", one.node_id, safe(&one.problem)))
                .collect();
            if failed.is_empty() {
                printed
            } else {
                Err(End::Refused(format!("not revoked: {}", failed.join("; "))))
            }
        }
    }
}

fn count(nodes: usize) -> String {
    if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") }
}

fn listing(list: &PairedList) -> String {
    let damaged = list.damaged.iter().map(|one| {
        format!(
            "damaged: what is stored of node {} cannot be read: {}\n",
            one.node_id,
            safe(&one.problem)
        )
    });
    let mut out: String = damaged.collect();
    if list.paired.is_empty() {
        return out + "no node is paired by its keys; open pairing with: handfast pairing open\n";
    }
    let rows: Vec<Vec<String>> = list.paired.iter().flat_map(lines).collect();
    out +=
        &table(&["ID", "NAME", "DOOR", "FINGERPRINT", "MAY", "EXPIRES", "SEEN", "STATUS"], &rows);
    out
}

/// Formats a node with its permissions in force, and below it its offer and the holders that linked
/// with tokens it delegated.
fn lines(view: &PairedView) -> Vec<Vec<String>> {
    let device = &view.device;
    let seen = |at: Option<u64>| at.map_or_else(|| "never".to_owned(), ago);
    let ends =
        |at: Option<u64>| at.map_or_else(|| "never".to_owned(), |at| format!("in {}", left(at)));
    let (may, expires) = match (&view.in_force, &view.offered) {
        (Some(in_force), _) => (may(in_force), ends(in_force.expires_at)),
        (None, Some(_)) => ("nothing yet".to_owned(), String::new()),
        (None, None) => ("nothing".to_owned(), String::new()),
    };
    let status =
        if device.standing == "muted" { "muted".to_owned() } else { device.status.clone() };
    let own = device.fingerprint.clone().unwrap_or_default();
    let mut rows = vec![vec![
        device.node_id.clone(),
        safe(&device.friendly_name),
        device.door.clone(),
        own,
        may,
        expires,
        seen(device.last_seen),
        status,
    ]];
    rows.extend(view.offered.iter().map(|offered| {
        let told = [String::new(), "  offered".to_owned(), String::new(), String::new()];
        let mut row = told.to_vec();
        row.extend([
            permissions(&offered.permissions),
            ends(offered.expires_at),
            String::new(),
            "not confirmed".to_owned(),
        ]);
        row
    }));
    rows.extend(view.delegates.iter().map(|delegate| {
        let told = [
            String::new(),
            "  delegate".to_owned(),
            String::new(),
            safe(&delegate.fingerprint),
            String::new(),
            String::new(),
        ];
        let mut row = told.to_vec();
        row.extend([seen(Some(delegate.last_seen)), delegate.status.clone()]);
        row
    }));
    rows
}

fn may(view: &InForceView) -> String {
    let within =
        view.within.as_ref().map(|within| format!(", and no more than: {}", permissions(within)));
    permissions(&view.permissions) + &within.unwrap_or_default()
}

fn revoked(view: &RevokedView) -> String {
    match (&view.node_id, &view.friendly_name, &view.capability) {
        (Some(node_id), Some(name), _) => {
            format!(
                "{node_id}: {} revoked; its key is out for good, and so is all that it passed on\n",
                quoted(name)
            )
        }
        (Some(node_id), None, Some(capability)) => {
            format!("{capability} of node {node_id} revoked, and all that was passed on from it\n")
        }
        (_, _, Some(capability)) => {
            format!("{capability} revoked, and all that was passed on from it\n")
        }
        (_, _, None) => "revoked\n".to_owned(),
    }
}
