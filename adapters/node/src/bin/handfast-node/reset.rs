//! `handfast-node reset`

use handfast_stdio::note_line;

use crate::args;
use crate::hint::Hints;
use crate::{Failure, put};

pub(crate) fn reset(args: &args::Reset, hints: &Hints) -> Result<(), Failure> {
    let dir = args.state.dir()?;
    let place = dir.path().display().to_string();
    if !args.yes {
        return Err(Failure::Usage(format!(
            "reset forgets the node id, the keys, the gateway and a kept token in {place}, and this \
             node then has to be paired again; if that is meant:\n  {}",
            hints.reset()
        )));
    }
    // Taking the lock would create a directory that is not there.
    if !dir.path().exists() {
        return Err(Failure::Failed(format!("nothing is kept in {place}")));
    }
    let held = dir.hold()?;
    // An unreadable store must not prevent the reset of everything else.
    if let Ok(Some((identity, _))) = held.dir().load_native()
        && let Err(why) = crate::native::status::forget_token(&identity, held.dir().path())
    {
        note_line(&format!("handfast-node: warning: the token stays in its store: {why}"));
    }
    if !held.erase()? {
        return Err(Failure::Failed(format!("nothing is kept in {place}")));
    }
    put(
        "Forgotten. The gateway still lists the node; the operator can remove it with handfast nodes revoke.\n",
    )
}
