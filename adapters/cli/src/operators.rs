//! `handfast operators …` and `handfast tokens …`: operators' sessions, and tokens of programs.

use handfast_server::admin::{LoginView, OperatorList, TokenList, TokenMadeView};
use hyper::Method;
use serde_json::json;

use crate::End;
use crate::args::{OperatorsArgs, OperatorsVerb, TokensArgs, TokensVerb};
use crate::client::{ask, ask_all, encoded, read};
use crate::data::DataPlace;
use crate::delivery::{SecretDelivery, printed};
use crate::hints::Next;
use crate::print::{ago, left, put_secret, quoted, safe, show};
use crate::table::{short_ids, table};

const OPERATORS: &str = "/api/v1/operators";
const TOKENS: &str = "/api/v1/tokens";

pub(crate) async fn run(args: OperatorsArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    match args.verb {
        OperatorsVerb::List { all } => {
            let answer = ask_all(&data, OPERATORS).await?;
            show(json, &answer, |list: OperatorList| {
                let none =
                    format!("no operator is logged in; log in with: {}\n", Next::Login.on(&data));
                listing(&list.operators, all, none)
            })
        }
        OperatorsVerb::Revoke { id, sure } => {
            sure.check(&format!("End the operator's session {} for good?", quoted(&id)))?;
            revoke(&data, json, OPERATORS, &id, Next::Operators).await
        }
    }
}

pub(crate) async fn tokens(args: TokensArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    match args.verb {
        TokensVerb::Create { role, name, expires } => {
            let body =
                json!({ "role": role.word(), "name": name, "expires_seconds": expires.as_secs() });
            let answer = ask(&data, Method::POST, TOKENS, Some(body)).await?;
            let mut view: TokenMadeView = read(&answer)?;
            let delivery = std::mem::take(&mut view.delivery);
            let out = match json {
                true => format!("{}\n", printed(&view)?),
                false => made(&view),
            };
            let delivery = SecretDelivery {
                data: &data,
                ids: &[&delivery],
                what: "the token",
                undone: "nobody can use it; make another one",
            };
            delivery.show(|| put_secret(&out)).await
        }
        TokensVerb::List { all } => {
            let answer = ask_all(&data, TOKENS).await?;
            show(json, &answer, |list: TokenList| {
                let make = Next::CreateToken.on(&data);
                listing(
                    &list.tokens,
                    all,
                    format!("no program has a token; make one with: {make}\n"),
                )
            })
        }
        TokensVerb::Revoke { id, sure } => {
            sure.check(&format!("End the token {} for good?", quoted(&id)))?;
            revoke(&data, json, TOKENS, &id, Next::Tokens).await
        }
    }
}

fn made(view: &TokenMadeView) -> String {
    format!(
        "{}\n\nThe token {} has the role {} until {}, and is shown this once.\nSend it as \
         Authorization: Bearer TOKEN\n",
        safe(&view.token),
        quoted(&view.name),
        safe(&view.role),
        view.ends_at
    )
}

async fn revoke(
    data: &DataPlace,
    json: bool,
    path: &str,
    id: &str,
    list: Next<'_>,
) -> Result<(), End> {
    if id.is_empty() {
        return Err(End::Usage(format!(
            "an empty id names none; see them with: {}",
            list.on(data)
        )));
    }
    let answer = ask(data, Method::POST, &format!("{path}/{}/revoke", encoded(id)), None).await?;
    show(json, &answer, |view: LoginView| {
        format!("{} {} ({}) ended for good\n", safe(&view.id), quoted(&view.name), safe(&view.role))
    })
}

fn listing(logins: &[LoginView], all: bool, none: String) -> String {
    let listed: Vec<&LoginView> =
        logins.iter().filter(|login| all || login.state == "valid").collect();
    if listed.is_empty() {
        return none;
    }
    let ids: Vec<&str> = listed.iter().map(|login| login.id.as_str()).collect();
    let rows: Vec<Vec<String>> = listed
        .iter()
        .zip(short_ids(&ids))
        .map(|(login, id)| {
            let ends = match login.state.as_str() {
                "valid" => format!("in {}", left(login.expires_at)),
                other => safe(other),
            };
            vec![
                id,
                safe(&login.name),
                safe(&login.role),
                ago(login.made_at),
                login.used_at.map_or_else(|| "-".to_owned(), ago),
                login.ip_address.as_deref().map_or_else(|| "-".to_owned(), safe),
                ends,
            ]
        })
        .collect();
    table(&["ID", "NAME", "ROLE", "MADE", "USED", "FROM", "ENDS"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(id: &str, state: &str) -> LoginView {
        let view = json!({
            "id": id, "name": "Ana\u{1b}[2J", "role": "operator", "state": state,
            "made_at": "2026-11-29T14:00:00Z", "expires_at": "2100-01-01T00:00:00Z",
            "ends_at": "2100-01-01T00:00:00Z", "ip_address": "192.0.2.7",
        });
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn a_list_shows_who_is_logged_in_and_no_name_moves_the_cursor() {
        let logins = [login("0123456789abcdef", "valid"), login("1123456789abcdef", "revoked")];
        let shown = listing(&logins, false, String::new());
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 2, "{shown}");
        assert!(lines[1].starts_with("01234567  Ana\\u{1b}[2J  operator"), "{shown}");
        assert!(lines[1].contains("192.0.2.7"), "{shown}");
        let all = listing(&logins, true, String::new());
        assert!(all.lines().last().unwrap().ends_with("revoked"), "{all}");
        assert_eq!(listing(&logins[1..], false, "none\n".to_owned()), "none\n");
    }
}
