//! The file of a session. Its content is enough to act as the companion, so only its owner may read
//! it, and links are refused.

use std::mem::take;
use std::path::{Path, PathBuf};

use handfast_core::grant::session::Token;
use handfast_private_file::{self as private_file, Beside, Kind, Options};
use handfast_stdio::Hint;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::End;
use crate::args::CompanionArgs;
use crate::hints::NextCompanion;

/// Maximum size of a session file in bytes.
const MOST_BYTES: u64 = 16 * 1024;
/// Space that is reserved for a session before the code is spent, in bytes.
const RESERVED_BYTES: usize = 4096;
/// A file that others could read is no session, so a private one may take its place.
const OPTIONS: Options = Options::PRIVATE.replacing_open_files();

/// Path of a session file, existing or not.
pub(super) struct SessionFile {
    path: PathBuf,
    /// `true` for the default path, whose directory is created if it is missing.
    usual: bool,
    /// Commands that begin a session here, replace it, and end it.
    hints: SessionHints,
}

/// The commands that errors about a session file advise.
struct SessionHints {
    pair: Hint,
    pair_anew: Hint,
    end: Hint,
}

/// A session as it is stored.
pub(super) struct StoredSession {
    /// Address of the gateway, from the setup code.
    pub(super) url: String,
    pub(super) token: Token,
    /// File of CA certificates that are trusted besides the system's.
    pub(super) ca: Option<PathBuf>,
    /// Hosts that may be reached without TLS.
    pub(super) plain_hosts: Vec<String>,
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
pub(super) struct NewSessionFile<'p> {
    place: &'p SessionFile,
    beside: Beside,
    replaces: bool,
}

impl SessionFile {
    /// Returns the path that is named by the arguments, or the default one.
    pub(super) fn of(args: &CompanionArgs) -> Result<Self, End> {
        let hints = SessionHints {
            pair: NextCompanion::Pair.with(args),
            pair_anew: NextCompanion::PairAnew.with(args),
            end: NextCompanion::End.with(args),
        };
        if let Some(path) = args.session.clone() {
            return Ok(Self { path, usual: false, hints });
        }
        let set =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("XDG_STATE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local/state")))
            .map(|base| Self { path: base.join("handfast/companion.json"), usual: true, hints })
            .ok_or_else(|| {
                End::Usage("there is no home directory to keep a session in: name a file with --session FILE".to_owned())
            })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn problem(&self, what: impl std::fmt::Display) -> End {
        End::Refused(format!("{}: {what}", self.path.display()))
    }

    /// Reserves a place for a session. Changes no existing file.
    pub(super) fn make_room(&self, force: bool) -> Result<NewSessionFile<'_>, End> {
        match private_file::inspect(&self.path) {
            Ok(false) => {}
            Err(error) if error.kind() != Kind::TooOpen => return Err(End::refused(error)),
            Ok(true) | Err(_) if force => {}
            Ok(true) | Err(_) => {
                return Err(self.problem(format_args!(
                    "there is a session already; end it with: {}; or name another file with \
                     --session, or replace it with --force",
                    self.hints.end
                )));
            }
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
        let beside = room().map_err(|error: private_file::Error| {
            End::Refused(format!(
                "no session can be kept: {error}; nothing was shown to the gateway, so the code \
                 is still good"
            ))
        })?;
        Ok(NewSessionFile { place: self, beside, replaces: force })
    }

    /// Reads the session.
    pub(super) fn read(&self) -> Result<StoredSession, End> {
        let text = match private_file::read(&self.path, MOST_BYTES) {
            Ok(Some(text)) => Zeroizing::new(text),
            Ok(None) => {
                return Err(self.problem(format_args!(
                    "there is no session; begin one with: {}",
                    self.hints.pair
                )));
            }
            // The form below fails in the same words.
            Err(error) if error.kind() == Kind::Content => Zeroizing::default(),
            // A session that others could read may have been copied, so it is not used.
            Err(error) if error.kind() == Kind::TooOpen => {
                return Err(End::Refused(format!(
                    "{error}\nOthers may have copied this session; it is safer to end it with \
                     the gateway's operator"
                )));
            }
            Err(error) => return Err(End::refused(error)),
        };
        // The error repeats none of the content, which is secret.
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
        kept.ok_or_else(|| {
            self.problem(format_args!(
                "this holds no session; begin one with: {}",
                self.hints.pair_anew
            ))
        })
    }

    /// Removes the file, because its session has ended.
    pub(super) fn remove(&self) -> Result<(), End> {
        private_file::remove(&self.path).map(drop).map_err(|error| {
            End::Refused(format!("the session has ended, but its file is still here: {error}"))
        })
    }
}

impl NewSessionFile<'_> {
    /// Stores the session. If another file took the place meanwhile, it is stored beside it, and
    /// the error names the path.
    pub(super) fn keep(self, kept: &StoredSession) -> Result<(), End> {
        let Self { place, mut beside, replaces } = self;
        let form = SessionDocument {
            url: kept.url.clone(),
            session_token: kept.token.expose().to_owned(),
            ca: kept.ca.clone(),
            plain_hosts: kept.plain_hosts.clone(),
        };
        let lost = |error: private_file::Error| {
            End::Refused(format!(
                "the session cannot be kept: {error}; the code is spent, so ask for another one"
            ))
        };
        let text = Zeroizing::new(serde_json::to_string(&form).map_err(End::refused)? + "\n");
        beside.write(text.as_bytes()).map_err(lost)?;
        let named = if replaces { beside.replace() } else { beside.create() };
        // The token is valid, so it is not lost with the name.
        named.map_err(|why| match beside.keep() {
            Ok(path) => place.problem(format_args!(
                "the session is not here ({}), but in {}; use it with --session, or move it",
                why.problem(),
                path.display()
            )),
            Err(error) => lost(error),
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

    fn hints() -> SessionHints {
        let hint = |verb| Hint::new("handfast", verb);
        SessionHints {
            pair: hint("companion --code -"),
            pair_anew: hint("companion --code - --force"),
            end: hint("companion end"),
        }
    }

    fn place(folder: &tempfile::TempDir) -> SessionFile {
        SessionFile { path: folder.path().join("companion.json"), usual: false, hints: hints() }
    }

    fn said<T>(result: Result<T, End>) -> String {
        match result {
            Err(End::Refused(message)) => message,
            Err(End::Usage(message)) => panic!("not a matter of usage: {message}"),
            Err(End::Unwritten(why)) => panic!("{why}"),
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
        place.make_room(false).unwrap().keep(&kept()).unwrap();
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
        assert!(said(place.make_room(false)).contains("--force"));
        drop(place.make_room(true).unwrap());
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "mine", "nothing came of it");
        place.make_room(true).unwrap().keep(&kept()).unwrap();
        assert_eq!(place.read().unwrap().token.expose(), TOKEN);
        assert_eq!(names(&folder), ["companion.json"]);
    }

    #[test]
    fn one_that_comes_meanwhile_is_not_overwritten_and_the_new_one_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let room = place.make_room(false).unwrap();
        fs::write(&place.path, "another's").unwrap();
        let told = said(room.keep(&kept()));
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "another's");
        let beside = names(&folder).into_iter().find(|name| name != "companion.json").unwrap();
        assert!(told.contains(&beside) && !told.contains(TOKEN), "{told}");
        let beside = SessionFile { path: folder.path().join(beside), usual: false, hints: hints() };
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
            assert!(said(place.make_room(true)).contains("symbolic link"));
            assert!(said(place.read()).contains("symbolic link"));
            fs::remove_file(&place.path).unwrap();
        }
        // A link that is created between the check and the write gains nothing, and the session
        // is kept beside it.
        let room = place.make_room(true).unwrap();
        symlink(&target, &place.path).unwrap();
        assert!(said(room.keep(&kept())).contains("use it with --session"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        fs::remove_file(&place.path).unwrap();
        fs::create_dir(&place.path).unwrap();
        assert!(
            said(place.make_room(true)).contains("no regular file")
                && said(place.read()).contains("no regular file")
        );
    }

    #[test]
    fn where_no_session_can_be_kept_that_is_said_before_the_code_is_spent() {
        let folder = tempfile::tempdir().unwrap();
        let place =
            SessionFile { path: folder.path().join("missing/companion.json"), ..place(&folder) };
        assert!(said(place.make_room(false)).contains("the code is still good"));
        let usual = SessionFile { usual: true, ..place };
        drop(usual.make_room(false).unwrap());
        assert_eq!(fs::metadata(folder.path().join("missing")).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_that_others_can_read_or_that_holds_no_session_is_refused_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        assert!(said(place.read()).contains("handfast companion --code"));
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
