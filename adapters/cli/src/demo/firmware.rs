//! The demo's microcontroller.

use std::net::SocketAddr;
use std::path::Path;

use super::stage::Stage;
use crate::End;

pub(crate) async fn play(stage: &mut Stage, _home: &Path, _data: &Path, _gateway: SocketAddr) -> Result<(), End> {
    stage.note("to come");
    Ok(())
}
