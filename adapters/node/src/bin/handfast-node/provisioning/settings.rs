//! `handfast-node settings`

use std::io::Read;

use handfast_node::provisioning::{SETTINGS_BYTES, SealedSettings, SettingsKey, SharedSettings};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::Failure;
use crate::args::provision::{SettingsArgs, SettingsWay};

/// Sealed settings are longer by a third, and by their members' names.
const MOST_BYTES: u64 = 2 * SETTINGS_BYTES as u64;

pub(crate) fn settings(args: &SettingsArgs) -> Result<(), Failure> {
    let dir = args.state.dir()?;
    if let SettingsWay::Show = args.way {
        return crate::put(&format!("{}\n", SharedSettings::open(dir.path())?.read()?));
    }
    let key = SettingsKey::of(dir.path())?;
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MOST_BYTES {
        return Err(Failure::Failed(format!("standard input has more than {MOST_BYTES} bytes")));
    }
    let no_json = |what: &str, why: serde_json::Error| {
        Failure::Failed(format!("standard input is no {what}: {why}"))
    };
    let out = match args.way {
        SettingsWay::Seal => {
            let settings: Value =
                serde_json::from_str(&text).map_err(|why| no_json("JSON", why))?;
            serde_json::to_string(&key.seal(&settings)?)?
        }
        SettingsWay::Show => return Ok(()),
        SettingsWay::Put => {
            let settings: Value =
                serde_json::from_str(&text).map_err(|why| no_json("JSON", why))?;
            return Ok(SharedSettings::open(dir.path())?.replace(&settings)?);
        }
        SettingsWay::Open => {
            let sealed: SealedSettings = serde_json::from_str(&text).map_err(|why| {
                no_json("object with ciphertext, nonce and tag, each base64url", why)
            })?;
            key.open(&sealed)?.to_string()
        }
    };
    crate::put(&format!("{out}\n"))
}
