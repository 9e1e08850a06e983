//! `handfast certs …`: certificates of nodes, and the authority that issues them.

use std::path::Path;

use handfast_private_file::Options;
use handfast_server::admin::{
    AuthorityView, CertificateList, CertificateView, RevocationListsView, RevokedCertificatesView,
};
use hyper::Method;
use serde_json::json;

use crate::End;
use crate::args::{CertsArgs, CertsVerb, RevokeCerts};
use crate::client::{ask, ask_all, read};
use crate::data::DataPlace;
use crate::print::{ago, in_lines, left, quoted, safe, show};
use crate::table::{short_ids, table};

pub(crate) async fn run(args: CertsArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    match args.verb {
        CertsVerb::List { all } => {
            let path = format!("/api/v1/certs?all={all}");
            let answer = ask_all(&data, &path).await?;
            show(json, &answer, |list: CertificateList| listing(&list))
        }
        CertsVerb::Rotate { at_once, sure } => {
            if at_once {
                sure.check("Trust no certificate that was issued until now?")?;
            }
            let body = Some(json!({ "at_once": at_once }));
            let answer = ask(&data, Method::POST, "/api/v1/ca/rotate", body).await?;
            show(json, &answer, |view: AuthorityView| {
                format!("there is a new root\n{}", authority(&view))
            })
        }
        CertsVerb::Crl { out } => {
            let answer = ask(&data, Method::GET, "/api/v1/certs/crl", None).await?;
            match out {
                Some(file) => write_lists(json, &answer, &file),
                None => show(json, &answer, |view: RevocationListsView| view.pem),
            }
        }
        CertsVerb::Revoke(which) => revoke(&data, json, which).await,
    }
}

async fn revoke(data: &DataPlace, json: bool, revoke: RevokeCerts) -> Result<(), End> {
    let RevokeCerts { which, key, node, all_before_now, sure } = revoke;
    let what = match (&which, &key, &node) {
        (Some(which), _, _) => format!("certificate {}", safe(which)),
        (None, Some(key), _) => format!("every certificate with the key {}", safe(key)),
        (None, None, Some(node)) => format!("every certificate of {}", quoted(node)),
        (None, None, None) => "every certificate that was issued until now".to_owned(),
    };
    sure.check(&format!("Revoke {what} for good?"))?;
    let (path, body) = match all_before_now {
        true => ("/api/v1/certs/revoke-all", json!({})),
        false => {
            ("/api/v1/certs/revoke", json!({ "certificate": which, "key": key, "node": node }))
        }
    };
    let answer = ask(data, Method::POST, path, Some(body)).await?;
    show(json, &answer, |view: RevokedCertificatesView| match view.revoked.len() {
        0 => "nothing was left to revoke\n".to_owned(),
        1 => "1 certificate revoked\n".to_owned(),
        n => format!("{n} certificates revoked\n"),
    })
}

/// Writes the lists to a file, which readers find whole at any moment.
fn write_lists(json: bool, answer: &str, file: &Path) -> Result<(), End> {
    let RevocationListsView { pem, .. } = read(answer)?;
    let written = Options::PRIVATE.replacing_open_files().replace(file, pem.as_bytes());
    written.map_err(|error| End::Refused(error.to_string()))?;
    show(json, answer, |view: RevocationListsView| {
        let (file, next) = (safe(&file.display().to_string()), left(view.next_update));
        match view.revoked {
            1 => format!("{file} names 1 revoked certificate; write it anew within {next}\n"),
            n => format!("{file} names {n} revoked certificates; write it anew within {next}\n"),
        }
    })
}

fn authority(view: &AuthorityView) -> String {
    let older = match view.roots {
        0 | 1 => String::new(),
        2 => "; 1 older root is still trusted".to_owned(),
        roots => format!("; {} older roots are still trusted", roots - 1),
    };
    format!("authority{older}\n{}\n", in_lines(&view.fingerprint))
}

fn listing(list: &CertificateList) -> String {
    let mut out = authority(&list.authority);
    if list.certificates.is_empty() {
        return out + "no certificate is in force\n";
    }
    let ids: Vec<&str> = list.certificates.iter().map(|one| one.node_id.as_str()).collect();
    let row = |(one, id): (&CertificateView, String)| {
        let ends = match (one.ended_at, one.state.as_str()) {
            (Some(at), _) => format!("ended {}", ago(at)),
            (None, _) => format!("in {}", left(one.not_after)),
        };
        let name = one.friendly_name.as_deref().map_or_else(|| "-".to_owned(), safe);
        let state = match one.is_foreign {
            true => format!("{}, of another authority", one.state),
            false => one.state.clone(),
        };
        let cells = vec![one.serial.clone(), id, name, state, ends];
        [cells, vec![format!("fingerprint {}", one.fingerprint)], vec![format!("key {}", one.key)]]
    };
    let rows: Vec<Vec<String>> =
        list.certificates.iter().zip(short_ids(&ids)).flat_map(row).collect();
    out += &table(&["SERIAL", "NODE", "NAME", "STATE", "ENDS"], &rows);
    out
}
