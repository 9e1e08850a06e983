//! The file of a session. Its content is enough to act as the companion, so only its owner may read
//! it, and links are refused.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::mem::take;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use handfast_core::grant::session::Token;
use handfast_stdio::Hint;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use zeroize::{Zeroize, Zeroizing};

use crate::End;
use crate::args::CompanionArgs;
use crate::hints::NextCompanion;

/// Maximum size of a session file in bytes.
const MOST_BYTES: u64 = 16 * 1024;

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
    beside: NamedTempFile,
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
        match self.path.symlink_metadata() {
            Ok(there) if there.file_type().is_symlink() => {
                return Err(
                    self.problem("this is a symbolic link, and a session is a secret: name the file itself with --session")
                );
            }
            Ok(there) if !there.is_file() => {
                return Err(self.problem(
                    "this is there already and is no regular file: name another one with --session",
                ));
            }
            Ok(_) if !force => {
                return Err(self.problem(format_args!(
                    "there is a session already; end it with: {}; or name another file with --session, or replace it with --force",
                    self.hints.end
                )));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(self.problem(format_args!("this cannot be looked at: {error}")));
            }
        }
        let directory = self
            .path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        // A named file's directory is the user's choice, so it is not created silently.
        if self.usual {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|error| {
                self.problem(format_args!("its directory cannot be made: {error}"))
            })?;
        }
        let room = || {
            // The file is created exclusively with mode 0600, and removed if it is not used.
            let mut beside = tempfile::Builder::new()
                .prefix(".handfast-")
                .suffix(".new")
                .tempfile_in(directory)?;
            // As large as a session, so that a full disk is noticed now.
            beside.write_all(&[b' '; 4096])?;
            beside.as_file().sync_all()?;
            Ok(beside)
        };
        let beside = room().map_err(|error: io::Error| {
            self.problem(format_args!(
                "a session cannot be kept there: {error}; nothing was shown to the gateway, so the code is still good"
            ))
        })?;
        Ok(NewSessionFile { place: self, beside, replaces: force })
    }

    /// Reads the session.
    pub(super) fn read(&self) -> Result<StoredSession, End> {
        // Opening does not follow a link, and does not wait for the other end of a pipe.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path).map_err(
            |error| match error.raw_os_error() {
                _ if error.kind() == io::ErrorKind::NotFound => self.problem(format_args!(
                    "there is no session; begin one with: {}",
                    self.hints.pair
                )),
                Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
                    self.problem("this is a symbolic link; name the file itself with --session")
                }
                _ => self.problem(format_args!("the session cannot be read: {error}")),
            },
        )?;
        let about = file.metadata().map_err(|error| self.problem(error))?;
        if !about.is_file() {
            return Err(self.problem("this is no regular file, so it holds no session"));
        }
        // A session that others could read may have been copied, so it is not used.
        if about.mode() & 0o077 != 0 {
            return Err(self.problem(format_args!(
                "others can read this session (mode {:03o}): end it with the gateway's operator, or make it yours alone with: chmod 600 {}",
                about.mode() & 0o777,
                self.path.display()
            )));
        }
        self.parse(&file)
    }

    fn parse(&self, file: &File) -> Result<StoredSession, End> {
        let mut text = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize + 1));
        file.take(MOST_BYTES + 1)
            .read_to_end(&mut text)
            .map_err(|error| self.problem(format_args!("the session cannot be read: {error}")))?;
        // The error repeats none of the content, which is secret.
        let form = (text.len() as u64 <= MOST_BYTES)
            .then(|| serde_json::from_slice::<SessionDocument>(&text).ok())
            .flatten();
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
        std::fs::remove_file(&self.path).map_err(|error| {
            self.problem(format_args!(
                "the session has ended, but its file cannot be removed: {error}"
            ))
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
        let write = |file: &mut File| {
            let text = Zeroizing::new(serde_json::to_string(&form)? + "\n");
            file.rewind()?;
            file.write_all(text.as_bytes())?;
            file.set_len(text.len() as u64)?;
            file.sync_all()
        };
        write(beside.as_file_mut()).map_err(|error| {
            place.problem(format_args!(
                "the session cannot be kept: {error}; the code is spent, so ask for another one"
            ))
        })?;
        let persisted = if replaces {
            beside.persist(place.path())
        } else {
            beside.persist_noclobber(place.path())
        };
        // If the rename failed, the token is still valid, so its file is not deleted.
        let Err(lost) = persisted else { return sync_directory(place) };
        let why = lost.error;
        match lost.file.keep() {
            Ok((_, path)) => Err(place.problem(format_args!(
                "the session is not here ({why}), but in {}; use it with --session, or move it",
                path.display()
            ))),
            Err(_) => Err(place.problem(format_args!(
                "the session cannot be kept: {why}; the code is spent, so ask for another one"
            ))),
        }
    }
}

/// Flushes the directory, so that the file's name survives a power cut.
fn sync_directory(place: &SessionFile) -> Result<(), End> {
    let directory = place
        .path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| {
        place
            .problem(format_args!("whether the session outlives a power cut is not known: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

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
        // A link that is created between the check and the write gains nothing.
        let room = place.make_room(true).unwrap();
        symlink(&target, &place.path).unwrap();
        room.keep(&kept()).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert!(place.path.symlink_metadata().unwrap().is_file());
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
