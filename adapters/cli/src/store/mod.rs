//! `handfast store`: what the gateways of one registry share.

#[cfg(feature = "postgres")]
mod copy;

use std::path::Path;

use handfast_server::keys::file::{self as key_file, Use};

use crate::End;
use crate::args::{CopyStore, StoreArgs, StoreVerb};
use crate::print::{put, safe};

pub(crate) async fn run(args: StoreArgs) -> Result<(), End> {
    match args.verb {
        StoreVerb::MakeKey(make) => make_key(&make.file),
        StoreVerb::Copy(copy) => copied(copy).await,
    }
}

#[cfg(feature = "postgres")]
async fn copied(args: CopyStore) -> Result<(), End> {
    copy::run(args).await
}

#[cfg(not(feature = "postgres"))]
async fn copied(_: CopyStore) -> Result<(), End> {
    Err(End::Refused("this program was built without PostgreSQL (the feature postgres)".to_owned()))
}

/// Makes a store key, and leaves one that is there as it is.
fn make_key(file: &Path) -> Result<(), End> {
    let shown = safe(&file.display().to_string());
    if file.symlink_metadata().is_ok() {
        return Err(End::Refused(format!(
            "{shown}: there is something already, and a key that is lost cannot be made again; name another file"
        )));
    }
    key_file::load_or_create(file, Use::Store).map_err(End::refused)?;
    put(&format!(
        "{shown}: a new store key; copy it to each gateway of the registry, and keep a copy apart from the database\n"
    ))
}
