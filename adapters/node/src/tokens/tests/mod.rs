use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use handfast_core::UnixTime;

use super::*;

mod keeping;
mod refusing;

const ROUTER: &str = "192.168.1.100:7330";
const TOKEN: &str = "hf1.AbCdEfGhIjKlMnOpQrStUvWxYz0123456789";
const DOCUMENTED: &str = r#"{
  "routers": {
    "192.168.1.100:7330": {
      "token": "eyJhbGciOi...",
      "paired_at": "2024-01-15T10:30:00Z",
      "name": "Studio Router"
    }
  }
}"#;

/// A directory with the paths of a store and its key file, which do not exist yet.
struct Place {
    _dir: tempfile::TempDir,
    store: PathBuf,
    key: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, key) = (dir.path().join("tokens.json"), dir.path().join("tokens.key"));
        Self { _dir: dir, store, key }
    }

    fn holding(content: &str) -> Self {
        let place = Self::new();
        write(&place.store, content.as_bytes(), 0o600);
        place
    }

    fn sealed(&self) -> TokenStore {
        TokenStore::open(&self.store, KeySource::beside(&self.store)).unwrap()
    }

    fn plain(&self) -> TokenStore {
        TokenStore::open(&self.store, KeySource::Plain).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.store).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text()).unwrap()
    }
}

fn write(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn entry(token: &str) -> TokenEntry {
    TokenEntry::new(
        SecretText::new(token.to_owned()),
        UnixTime::from_secs(1_705_314_600),
        "Studio Router",
    )
}

fn token(store: &TokenStore, router: &str) -> Option<String> {
    store.get(router).unwrap().map(|entry| entry.token.expose().to_owned())
}
