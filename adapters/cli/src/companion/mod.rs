//! `handfast companion …`: shows a setup code, stores the resulting session, and uses it.

mod connection;
mod file;
mod link;
mod pair;
mod place;
mod session;

use crate::End;
use crate::args::{CompanionArgs, CompanionVerb};
use crate::hints::NextCompanion;
use file::SessionFile;

pub(crate) async fn run(args: CompanionArgs) -> Result<(), End> {
    let place = SessionFile::of(&args)?;
    match (&args.code, &args.verb) {
        (Some(_), Some(_)) => Err(End::Usage("--code pairs, and needs no verb behind it".to_owned())),
        (None, None) => Err(End::Usage(
            "paste a setup code after --code -, or use a session that is there with status, refresh, end, send or listen".to_owned(),
        )),
        (Some(code), None) => pair::run(&args, code, &place).await,
        (None, Some(verb)) => {
            let kept = place.read()?;
            let way = place::Endpoint::of(&args, &kept)?;
            let anew = NextCompanion::PairAnew.with(&args);
            match verb {
                CompanionVerb::Status => session::status(&way, &kept, &anew, args.json).await,
                CompanionVerb::Refresh => session::refresh(&way, &kept, &anew, args.json).await,
                CompanionVerb::End => session::end(&way, &kept, &anew, &place, args.json).await,
                CompanionVerb::Send { text } => link::send(&way, &kept, &anew, text, args.json).await,
                CompanionVerb::Listen => link::listen(&way, &kept, &anew, args.json).await,
            }
        }
    }
}
