//! `handfast nodes …`: permissions of paired nodes.

use std::path::Path;

use handfast_server::admin::{InForceView, OfferedView, PairedView, PermissionsView};
use hyper::Method;
use serde_json::json;

use crate::End;
use crate::args::{NodesArgs, NodesVerb, PermissionsVerb, PermitArgs, UntilArg};
use crate::client::{ask, encoded};
use crate::print::{left, permissions, quoted, show};

pub(crate) async fn run(args: NodesArgs) -> Result<(), End> {
    let data = args.data.path()?;
    match args.verb {
        NodesVerb::Permissions(permit) => decide(&data, args.json, permit).await,
    }
}

pub(crate) async fn only_permissions(args: PermissionsVerb) -> Result<(), End> {
    let data = args.data.path()?;
    decide(&data, args.json, args.permit).await
}

pub(crate) async fn decide(data: &Path, json: bool, permit: PermitArgs) -> Result<(), End> {
    if permit.node.is_empty() {
        return Err(End::Usage(
            "an empty name names nobody; `paired list` shows who is paired".to_owned(),
        ));
    }
    let path = format!("/api/v1/paired/{}/permissions", encoded(&permit.node));
    let named = match permit.none {
        true => json!(PermissionsView::default()),
        false => permit.permissions.view()?,
    };
    let expires = match permit.expires {
        None => json!(null),
        Some(UntilArg::After(lasts)) => json!(lasts.as_secs()),
        Some(UntilArg::Never) => json!("never"),
    };
    let answer = match (named.is_null(), expires.is_null()) {
        (true, true) => ask(data, Method::GET, &path, None).await?,
        _ => {
            ask(
                data,
                Method::POST,
                &path,
                Some(json!({ "permissions": named, "expires": expires })),
            )
            .await?
        }
    };
    show(json, &answer, |view: PairedView| {
        let PairedView { device, in_force, offered, .. } = &view;
        format!(
            "{} (node {})\n{}",
            quoted(&device.friendly_name),
            device.node_id,
            both(in_force.as_ref(), offered.as_ref())
        )
    })
}

/// Formats the permissions in force and the offered ones.
pub(crate) fn both(in_force: Option<&InForceView>, offered: Option<&OfferedView>) -> String {
    let mut out =
        format!("In force  {}\n", in_force.map_or_else(|| "nothing".to_owned(), in_force_text));
    if let Some(offered) = offered {
        out += &format!(
            "Offered   {}; in force once the node has confirmed it\n",
            offered_text(offered)
        );
    }
    out
}

/// Formats a node's permissions in force on one line.
pub(crate) fn in_force_text(view: &InForceView) -> String {
    let within = view
        .within
        .as_ref()
        .map(|within| format!(", and no more than: {}", permissions(within)))
        .unwrap_or_default();
    format!("{}{within}, {}", permissions(&view.permissions), lasts(view.expires_at))
}

/// Formats the permissions that a node has once it confirms its offer.
pub(crate) fn offered_text(view: &OfferedView) -> String {
    format!("{}, {}", permissions(&view.permissions), lasts(view.expires_at))
}

fn lasts(expires_at: Option<u64>) -> String {
    expires_at.map_or_else(|| "without end".to_owned(), |at| format!("for {}", left(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(read: &str) -> PermissionsView {
        PermissionsView { read: vec![read.to_owned()], ..PermissionsView::default() }
    }

    #[test]
    fn what_is_offered_is_never_told_as_what_is_in_force() {
        let offered = OfferedView { permissions: of("/wide/**"), expires_at: None };
        assert_eq!(both(None, Some(&offered)).lines().next(), Some("In force  nothing"));
        let narrow = InForceView { permissions: of("/only/**"), within: None, expires_at: None };
        let text = both(Some(&narrow), Some(&offered));
        assert_eq!(
            text,
            "In force  read /only/**, without end\nOffered   read /wide/**, without end; in force once the node has confirmed it\n"
        );
        let crossing = InForceView { within: Some(of("/*/b")), ..narrow };
        assert_eq!(
            in_force_text(&crossing),
            "read /only/**, and no more than: read /*/b, without end"
        );
    }
}
