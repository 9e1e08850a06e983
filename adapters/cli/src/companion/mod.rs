//! `handfast companion …`: shows a setup code, stores the resulting session, and uses it. The
//! client is the node crate's; here are its verbs and texts.

mod errors;
mod link;
mod pair;
mod session;

use std::path::Path;

use handfast_node::companion::{Endpoint, ExtraHost, SessionFile, StoredSession};

use crate::End;
use crate::args::{CompanionArgs, CompanionVerb};
use errors::{failed, not_kept};

pub(crate) async fn run(args: CompanionArgs) -> Result<(), End> {
    let file = match args.session.clone() {
        Some(path) => SessionFile::at(path),
        None => SessionFile::usual().ok_or_else(|| {
            End::Usage(
                "there is no home directory to keep a session in: name a file with --session FILE"
                    .to_owned(),
            )
        })?,
    };
    match (&args.code, &args.verb) {
        (Some(_), Some(_)) => Err(End::Usage("--code pairs, and needs no verb behind it".to_owned())),
        (None, None) => Err(End::Usage(
            "paste a setup code after --code -, or use a session that is there with status, refresh, end, send or listen".to_owned(),
        )),
        (Some(code), None) => pair::run(&args, code, &file).await,
        (None, Some(verb)) => {
            let session = file.read().map_err(|error| not_kept(error, &args))?;
            let used = Used { endpoint: endpoint_of(&args, &session)?, session, args: &args };
            match verb {
                CompanionVerb::Status => session::status(&used).await,
                CompanionVerb::Refresh => session::refresh(&used).await,
                CompanionVerb::End => session::end(&used, &file).await,
                CompanionVerb::Send { text } => link::send(used, text).await,
                CompanionVerb::Listen => link::listen(used).await,
            }
        }
    }
}

/// A session in use.
struct Used<'a> {
    endpoint: Endpoint,
    session: StoredSession,
    args: &'a CompanionArgs,
}

/// Returns the endpoint of a session's gateway.
fn endpoint_of(args: &CompanionArgs, session: &StoredSession) -> Result<Endpoint, End> {
    let hosts = args.allow_plain.iter().chain(&session.plain_hosts);
    endpoint(&session.url, hosts, args.ca.as_deref().or(session.ca.as_deref()), args)
}

/// Returns the endpoint at this address. A plain one that is not allowed is refused before anything
/// is sent there.
fn endpoint<'h>(
    url: &str,
    plain: impl Iterator<Item = &'h String>,
    ca: Option<&Path>,
    args: &CompanionArgs,
) -> Result<Endpoint, End> {
    let plain: Vec<ExtraHost> = plain.filter_map(|host| host.parse().ok()).collect();
    Endpoint::new(url, &plain, ca).map_err(|error| failed(error, args))
}
