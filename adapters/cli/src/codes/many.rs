//! Many codes at once, as a list for labels.

use handfast_server::admin::{MintedList, MintedView};
use hyper::Method;
use serde_json::json;

use super::{CODES, body, parsed, warn_of_loopback};
use crate::End;
use crate::args::{CodeMethod, CreateCode, Many, Scanned};
use crate::client::{ask, read};
use crate::data::DataPlace;
use crate::delivery::{self, SecretDelivery};
use crate::hints::Next;
use crate::links::LinkPage;
use crate::print::{permissions, put_secret};

const HEADING: [&str; 7] =
    ["id", "selector", "payload", "method", "permissions", "label", "expires_at"];

/// Makes the codes, and prints them as CSV or JSON.
pub(super) async fn run(data: &DataPlace, json: bool, args: &CreateCode) -> Result<(), End> {
    let Many { count, csv } = args.many;
    let usage = |problem: &str| Err(End::Usage(problem.to_owned()));
    if csv == json {
        return usage(
            "many codes are printed as CSV or as JSON; name one of --csv and --json, and not both",
        );
    }
    let method = args.method()?;
    let Scanned { qr_file, addresses, link, invert, text: _ } = &args.scanned;
    if qr_file.is_some() || *invert {
        return usage("a list of codes has no pictures; leave --qr-file and --invert out");
    }
    let (kind, method) = match method {
        CodeMethod::Pin => ("typed", "pin"),
        CodeMethod::Code => ("letters", "code"),
        CodeMethod::Qr => ("qr", "qr"),
        CodeMethod::Provisioning => {
            return usage(
                "a provisioning token is for one node; make each by a command of its own",
            );
        }
    };
    // Before codes are made that could not be shown.
    let page = match link {
        true => Some(LinkPage::find(data, None).await?),
        false => None,
    };
    let mut body = body(&args.minting, kind)?;
    body["addresses"] = json!(addresses);
    body["count"] = json!(count.unwrap_or(1));
    let answer = ask(data, Method::POST, &format!("{CODES}/batch"), Some(body)).await?;
    let mut list: MintedList = read(&answer)?;
    let ids: Vec<String> =
        list.codes.iter_mut().map(|code| std::mem::take(&mut code.delivery)).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let out = match json {
        true => as_json(&list, page.as_ref()),
        false => as_csv(&list, method, &args.minting.label, page.as_ref()),
    };
    // A reader of half a list must not take it for a whole one, so none of its codes counts then.
    let selectors: Vec<&str> = list.codes.iter().map(|code| code.selector.as_str()).collect();
    let first = selectors.first().copied().unwrap_or_default();
    let (what, undone) = (
        format!("each of the {} codes", list.codes.len()),
        format!(
            "{} withdrawn; should one of them be listed still, end it with: {}",
            match selectors[..] {
                [one] => format!("{one} is"),
                _ => format!("{} are", selectors.join(", ")),
            },
            Next::Withdraw(first).on(data)
        ),
    );
    let delivery = SecretDelivery { data, ids: &ids, what: &what, undone: &undone };
    delivery.show(|| put_secret(&out?)).await
}

fn as_json(list: &MintedList, page: Option<&LinkPage>) -> Result<String, End> {
    let mut view = serde_json::to_value(list).map_err(End::refused)?;
    for (number, code) in list.codes.iter().enumerate() {
        if let (Some(page), Some(invitation)) = (page, &code.invitation) {
            view["codes"][number]["link"] = json!(page.of(invitation));
        }
    }
    delivery::printed(&view).map(|list| list + "\n")
}

/// Formats the codes as CSV (RFC 4180) with a heading. With a page their payloads are links to it.
fn as_csv(
    list: &MintedList,
    method: &str,
    label: &str,
    page: Option<&LinkPage>,
) -> Result<String, End> {
    if method == "qr" {
        let Some(first) = list.codes.first().and_then(|code| code.invitation.as_deref()) else {
            return Err(End::Usage(
                "the gateway does not know where nodes reach it; name that with --address"
                    .to_owned(),
            ));
        };
        warn_of_loopback(&parsed(first)?);
    }
    let mut out = row(HEADING);
    for code in &list.codes {
        let MintedView { id, selector, expires_at, invitation, .. } = code;
        let ends = expires_at.to_string();
        let link = page.zip(invitation.as_deref()).map(|(page, text)| page.of(text));
        let payload = link.as_deref().or(invitation.as_deref()).unwrap_or(&code.code);
        let may = code.permissions.as_ref().map(permissions).unwrap_or_default();
        out += &row([id, selector, payload, method, &may, label, &ends]);
    }
    Ok(out)
}

fn row(cells: [&str; 7]) -> String {
    cells.map(cell).join(",") + "\r\n"
}

/// Quotes a cell that would not be read as one otherwise.
fn cell(text: &str) -> String {
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_with_a_comma_or_a_quotation_mark_stays_one_cell() {
        assert_eq!(cell("read /a/**"), "read /a/**");
        assert_eq!(cell("read /a, write /b"), "\"read /a, write /b\"");
        assert_eq!(cell("the \"big\" one"), "\"the \"\"big\"\" one\"");
        assert_eq!(row(["", "a", "", "", "", "", "b"]), ",a,,,,,b\r\n");
    }
}
