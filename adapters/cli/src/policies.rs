//! `handfast approve --from` and `handfast policies`: approvals in advance.

use handfast_server::admin::{PolicyList, PolicyView};
use hyper::Method;
use serde_json::json;

use crate::End;
use crate::args::{Approval, PoliciesArgs, PoliciesVerb};
use crate::client::{ask, ask_all, read};
use crate::data::DataPlace;
use crate::hints::Next;
use crate::print::{left, permissions, safe, show};
use crate::table::{short_ids, table};

const POLICIES: &str = "/api/v1/pairing/policies";

/// Makes a policy for a network.
pub(crate) async fn make(
    data: &DataPlace,
    json: bool,
    from: &str,
    what: &Approval,
) -> Result<(), End> {
    let body = json!({
        "from": from,
        "for_seconds": what.until.map(|lasts| lasts.as_secs()),
        "max": what.max,
        "permissions": what.permissions.view()?,
        "grant_expires_seconds": what.expires.map(|lasts| lasts.as_secs()),
    });
    let answer = ask(data, Method::POST, POLICIES, Some(body)).await?;
    show(json, &answer, |view: PolicyView| {
        format!(
            "Whoever asks from {} and has keys is approved, for {} and {} nodes at most, without being looked at.\nEnd it before its time with: {}\n",
            safe(&view.from),
            time_left(&view),
            view.left,
            Next::EndPolicy(&view.id).on(data)
        )
    })
}

pub(crate) async fn run(args: PoliciesArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    match args.verb {
        PoliciesVerb::List => {
            let answer = ask_all(&data, POLICIES).await?;
            show(json, &answer, |list: PolicyList| listing(&list.policies))
        }
        PoliciesVerb::End { id } => {
            let list: PolicyList = read(&ask_all(&data, POLICIES).await?)?;
            let begins = id.to_ascii_lowercase();
            let found: Vec<&str> = list
                .policies
                .iter()
                .map(|view| view.id.as_str())
                .filter(|known| !begins.is_empty() && known.starts_with(&begins))
                .collect();
            match found[..] {
                [] => Err(End::Refused(format!(
                    "no policy has an id that begins with {id:?}; see them with: {}",
                    Next::Policies.on(&data)
                ))),
                [one] => {
                    let path = format!("{POLICIES}/{one}");
                    let answer = ask(&data, Method::DELETE, &path, None).await?;
                    show(json, &answer, |_: PolicyList| {
                        format!("{one} ended; nodes that it has approved stay approved\n")
                    })
                }
                _ => Err(End::Refused(format!(
                    "{id:?} is not enough: it begins the ids of {}",
                    found.join(", ")
                ))),
            }
        }
    }
}

fn listing(policies: &[PolicyView]) -> String {
    if policies.is_empty() {
        return "nobody is approved in advance\n".to_owned();
    }
    let ids: Vec<&str> = policies.iter().map(|view| view.id.as_str()).collect();
    let row = |(view, id): (&PolicyView, String)| {
        let may = view.permissions.as_ref().map_or_else(|| "as configured".to_owned(), permissions);
        let time = if view.state == "in force" { time_left(view) } else { "-".to_owned() };
        vec![
            id,
            safe(&view.from),
            safe(&view.state),
            time,
            view.left.to_string(),
            view.used.to_string(),
            may,
        ]
    };
    let rows: Vec<Vec<String>> = policies.iter().zip(short_ids(&ids)).map(row).collect();
    table(&["ID", "FROM", "STATE", "ENDS IN", "LEFT", "USED", "MAY"], &rows)
}

/// Formats what is left of a policy's time.
pub(crate) fn time_left(view: &PolicyView) -> String {
    left(view.ends_at)
}
