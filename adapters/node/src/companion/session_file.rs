//! The file of a session. Its content is enough to act as the companion, so only its owner may read
//! it, and links are refused.

use std::mem::take;
use std::path::{Path, PathBuf};

use handfast_core::grant::session::Token;
use handfast_private_file::{self as private_file, Beside, Kind, Options};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// Maximum size of a session file in bytes.
const MOST_BYTES: u64 = 16 * 1024;
/// Space that is reserved for a session before the code is spent, in bytes.
const RESERVED_BYTES: usize = 4096;
/// A file that others could read is no session, so a private one may take its place.
const OPTIONS: Options = Options::PRIVATE.replacing_open_files();

/// Path of a session file, existing or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFile {
    path: PathBuf,
    /// `true` for the default path, whose directory is created if it is missing.
    usual: bool,
}

/// The reason for which a session is not stored, or not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionFileError {
    /// The file holds something already.
    #[error("{path}: there is a session already")]
    Exists {
        /// Path of the file.
        path: PathBuf,
    },
    /// There is no file.
    #[error("{path}: there is no session")]
    Missing {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file holds something else than a session.
    #[error("{path}: this holds no session")]
    Damaged {
        /// Path of the file.
        path: PathBuf,
    },
    /// Others could read the file, so they may have copied the session. It is not used.
    #[error("{0}")]
    Open(private_file::Error),
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] private_file::Error),
    /// No place can be reserved. The code was not shown to the gateway.
    #[error(
        "no session can be kept: {0}; nothing was shown to the gateway, so the code is still good"
    )]
    NotReserved(private_file::Error),
    /// The session cannot be stored. The code is spent.
    #[error("the session cannot be kept: {0}; the code is spent, so ask for another one")]
    NotStored(private_file::Error),
    /// The session has no JSON form, because the path of the CA file is not UTF-8. The code is spent.
    #[error("the session cannot be kept: {0}; the code is spent, so ask for another one")]
    Unwritable(serde_json::Error),
    /// Another file took the place meanwhile, so the session is in a file beside it.
    #[error("{path}: the session is not here ({why}), but in {beside}")]
    StoredBeside {
        /// Path of the file.
        path: PathBuf,
        /// Path of the file that holds the session.
        beside: PathBuf,
        /// The reason for which the place was not taken.
        why: String,
    },
    /// The file of a session that has ended cannot be removed.
    #[error("the session has ended, but its file is still here: {0}")]
    NotRemoved(private_file::Error),
}

/// A session as it is stored.
#[derive(Debug)]
pub struct StoredSession {
    /// Address of the gateway, from the setup code.
    pub url: String,
    /// The session's token.
    pub token: Token,
    /// File of CA certificates that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// Hosts that may be reached without TLS.
    pub plain_hosts: Vec<String>,
}

/// The JSON form of a session. Unknown fields are ignored.
#[derive(Serialize, Deserialize)]
struct SessionDocument {
    url: String,
    session_token: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    plain_hosts: Vec<String>,
}

impl Drop for SessionDocument {
    fn drop(&mut self) {
        self.session_token.zeroize();
    }
}

/// A reserved place for a future session. It is reserved before the code is spent, so that a
/// failure leaves the code valid.
#[derive(Debug)]
pub struct NewSessionFile<'p> {
    place: &'p SessionFile,
    beside: Beside,
    replaces: bool,
}

impl SessionFile {
    /// Names the file at this path. Does not access it.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), usual: false }
    }

    /// Names the default file: `$XDG_STATE_HOME/handfast/companion.json`, else
    /// `~/.local/state/handfast/companion.json`. `None` if there is no home directory either.
    #[must_use]
    pub fn usual() -> Option<Self> {
        let set =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("XDG_STATE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local/state")))
            .map(|base| Self { path: base.join("handfast/companion.json"), usual: true })
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reserves a place for a session. Changes no existing file; with `replace` the session will
    /// take the place of one.
    ///
    /// # Errors
    /// [`SessionFileError`] with the cause.
    pub fn reserve(&self, replace: bool) -> Result<NewSessionFile<'_>, SessionFileError> {
        match private_file::inspect(&self.path) {
            Ok(false) => {}
            Err(error) if error.kind() != Kind::TooOpen => return Err(error.into()),
            Ok(true) | Err(_) if replace => {}
            Ok(true) | Err(_) => return Err(SessionFileError::Exists { path: self.path.clone() }),
        }
        let room = || {
            // A named file's directory is the user's choice, so it is not created silently.
            if self.usual {
                private_file::create_directory(private_file::directory(&self.path))?;
            }
            let mut beside = Beside::with(&self.path, &OPTIONS)?;
            // As large as a session, so that a full disk is noticed now.
            beside.reserve(RESERVED_BYTES)?;
            Ok(beside)
        };
        let beside = room().map_err(SessionFileError::NotReserved)?;
        Ok(NewSessionFile { place: self, beside, replaces: replace })
    }

    /// Reads the session.
    ///
    /// # Errors
    /// [`SessionFileError`] with the cause. It repeats none of the content, which is secret.
    pub fn read(&self) -> Result<StoredSession, SessionFileError> {
        let text = match private_file::read(&self.path, MOST_BYTES) {
            Ok(Some(text)) => Zeroizing::new(text),
            Ok(None) => return Err(SessionFileError::Missing { path: self.path.clone() }),
            // The form below fails in the same words.
            Err(error) if error.kind() == Kind::Content => Zeroizing::default(),
            Err(error) if error.kind() == Kind::TooOpen => {
                return Err(SessionFileError::Open(error));
            }
            Err(error) => return Err(error.into()),
        };
        // The error is dropped, because it could repeat a part of the token.
        let form = serde_json::from_slice::<SessionDocument>(&text).ok();
        let kept = form.and_then(|mut form| {
            let token = Token::parse(&form.session_token)?;
            Some(StoredSession {
                url: take(&mut form.url),
                token,
                ca: form.ca.take(),
                plain_hosts: take(&mut form.plain_hosts),
            })
        });
        kept.ok_or_else(|| SessionFileError::Damaged { path: self.path.clone() })
    }

    /// Removes the file, because its session has ended.
    ///
    /// # Errors
    /// [`SessionFileError::NotRemoved`] if the system refuses.
    pub fn remove(&self) -> Result<(), SessionFileError> {
        private_file::remove(&self.path).map(drop).map_err(SessionFileError::NotRemoved)
    }
}

impl NewSessionFile<'_> {
    /// Stores the session durably. If another file took the place meanwhile, it is stored beside
    /// it, because the token is valid.
    ///
    /// # Errors
    /// [`SessionFileError::StoredBeside`] names that file; [`SessionFileError::NotStored`] if the
    /// system refuses.
    pub fn store(self, session: &StoredSession) -> Result<(), SessionFileError> {
        let Self { place, mut beside, replaces } = self;
        let form = SessionDocument {
            url: session.url.clone(),
            session_token: session.token.expose().to_owned(),
            ca: session.ca.clone(),
            plain_hosts: session.plain_hosts.clone(),
        };
        let text = serde_json::to_string(&form).map_err(SessionFileError::Unwritable)?;
        let text = Zeroizing::new(text + "\n");
        beside.write(text.as_bytes()).map_err(SessionFileError::NotStored)?;
        // A file that came after the check is not replaced without leave.
        let named = if replaces { beside.replace() } else { beside.create() };
        named.map_err(|why| match beside.keep() {
            Ok(beside) => SessionFileError::StoredBeside {
                path: place.path.clone(),
                beside,
                why: why.problem().to_owned(),
            },
            Err(error) => SessionFileError::NotStored(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

    fn kept() -> StoredSession {
        StoredSession {
            url: "ws://127.0.0.1:8765".to_owned(),
            token: Token::parse(TOKEN).unwrap(),
            ca: Some("/ca.pem".into()),
            plain_hosts: vec!["*.vpn.example".to_owned()],
        }
    }

    fn place(folder: &tempfile::TempDir) -> SessionFile {
        SessionFile::at(folder.path().join("companion.json"))
    }

    fn said<T>(result: Result<T, SessionFileError>) -> String {
        match result {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it is not refused"),
        }
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_session_reads_back_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        place.reserve(false).unwrap().store(&kept()).unwrap();
        assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o7777, 0o600);
        let read = place.read().unwrap();
        assert_eq!((read.url.as_str(), read.token.expose()), ("ws://127.0.0.1:8765", TOKEN));
        assert_eq!((read.ca, read.plain_hosts), (kept().ca, kept().plain_hosts));
        assert_eq!(names(&folder), ["companion.json"]);
    }

    #[test]
    fn one_that_is_there_stays_unless_it_is_to_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        fs::write(&place.path, "mine").unwrap();
        assert!(matches!(place.reserve(false), Err(SessionFileError::Exists { .. })));
        drop(place.reserve(true).unwrap());
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "mine", "nothing came of it");
        place.reserve(true).unwrap().store(&kept()).unwrap();
        assert_eq!(place.read().unwrap().token.expose(), TOKEN);
        assert_eq!(names(&folder), ["companion.json"]);
    }

    #[test]
    fn one_that_comes_meanwhile_is_not_overwritten_and_the_new_one_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let room = place.reserve(false).unwrap();
        fs::write(&place.path, "another's").unwrap();
        let told = said(room.store(&kept()));
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "another's");
        let beside = names(&folder).into_iter().find(|name| name != "companion.json").unwrap();
        assert!(told.contains(&beside) && !told.contains(TOKEN), "{told}");
        let beside = SessionFile::at(folder.path().join(beside));
        assert_eq!(beside.read().unwrap().token.expose(), TOKEN);
    }

    #[test]
    fn links_and_what_is_no_file_are_refused_even_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let target = folder.path().join("target");
        for exists in [false, true] {
            if exists {
                fs::write(&target, "mine").unwrap();
            }
            symlink(&target, &place.path).unwrap();
            assert!(said(place.reserve(true)).contains("symbolic link"));
            assert!(said(place.read()).contains("symbolic link"));
            fs::remove_file(&place.path).unwrap();
        }
        // A link that is created between the check and the write gains nothing, and the session
        // is kept beside it.
        let room = place.reserve(true).unwrap();
        symlink(&target, &place.path).unwrap();
        assert!(matches!(room.store(&kept()), Err(SessionFileError::StoredBeside { .. })));
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        fs::remove_file(&place.path).unwrap();
        fs::create_dir(&place.path).unwrap();
        assert!(
            said(place.reserve(true)).contains("no regular file")
                && said(place.read()).contains("no regular file")
        );
    }

    #[test]
    fn where_no_session_can_be_kept_that_is_said_before_the_code_is_spent() {
        let folder = tempfile::tempdir().unwrap();
        let place = SessionFile::at(folder.path().join("missing/companion.json"));
        assert!(said(place.reserve(false)).contains("the code is still good"));
        let usual = SessionFile { usual: true, ..place };
        drop(usual.reserve(false).unwrap());
        assert_eq!(fs::metadata(folder.path().join("missing")).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_that_others_can_read_or_that_holds_no_session_is_refused_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        assert!(matches!(place.read(), Err(SessionFileError::Missing { .. })));
        let good = format!(
            r#"{{"url":"ws://127.0.0.1:1","session_token":"{TOKEN}","expires_at":"later"}}"#
        );
        fs::write(&place.path, &good).unwrap();
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(said(place.read()).contains("chmod 600"));
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(place.read().is_ok(), "what is not known is left alone");
        for bad in [
            String::new(),
            "{}".to_owned(),
            good.replace("HTrG", "HTr/"),
            format!("{good}{}", " ".repeat(17_000)),
        ] {
            fs::write(&place.path, &bad).unwrap();
            let told = said(place.read());
            assert!(told.contains("no session") && !told.contains("LwHno"), "{told}");
        }
    }
}
