//! The registry as the target of an import: existing entries stay unchanged, missing ones are
//! added.
//!
//! A trial is a real import into a copy of the registry that is thrown away, so its report is
//! exact.

use std::path::Path;
use std::sync::Arc;

use handfast_core::grant::session::SessionHash;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::inbound::{Facts, InboundLimits as Waiting, SenderId};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::sessions::{Maker, Session, SessionId};
use handfast_core::{Entropy, Name, UnixTime};
use handfast_private_file as private_file;
use handfast_store::audit::{Origin, Who};
use handfast_store::{
    ListedSender, Observation, SaveError, SenderStanding, SqliteStore, Store, StoreError,
};

use super::snapshot::Snapshot;
use crate::End;
use crate::data::{self, DATABASE};

/// The outcome of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// The row's entry is in the registry now.
    Imported,
    /// The entry existed and was left unchanged; the text names a difference, if there is one.
    There(Option<String>),
    /// The row has no meaning here.
    Skipped(String),
    /// The row cannot be imported.
    Refused(String),
}

/// A registry, and the time of the whole import.
#[derive(Clone)]
pub(super) struct ImportTarget {
    store: Arc<dyn Store>,
    pub(super) now: UnixTime,
    /// The copy of a trial. It outlives the store.
    _copy: Option<Arc<Snapshot>>,
}

/// A session of another system.
#[derive(Debug)]
pub(super) struct ImportedSession {
    pub(super) hash: SessionHash,
    pub(super) profile: Name,
    pub(super) device_label: Option<Name>,
    pub(super) issued_at: UnixTime,
    pub(super) expires_at: UnixTime,
}

/// Returns the registry for an import. What is imported is recorded as the operator's decision.
fn recorded(store: SqliteStore, now: UnixTime) -> Arc<dyn Store> {
    Arc::new(store).by(Origin::new(Who::Operator, now))
}

impl ImportTarget {
    /// Opens or creates the registry of a data directory; without `apply`, opens a copy.
    ///
    /// # Errors
    /// [`End`] if the registry cannot be opened or copied.
    pub(super) fn open(directory: &Path, apply: bool, now: UnixTime) -> Result<Self, End> {
        let path = directory.join(DATABASE);
        if apply {
            data::prepare(directory)?;
            let store = SqliteStore::open(&path)
                .map_err(|error| End::Refused(explained(&error.to_string())))?;
            return Ok(Self { store: recorded(store, now), now, _copy: None });
        }
        if directory.exists() {
            // For an existing directory this only checks, and reports problems.
            data::prepare(directory)?;
        }
        // The copy is private in any case, so the original is checked here.
        private_file::inspect(&path).map_err(End::refused)?;
        let copy = Snapshot::of(&path, &["-wal", ".lock"], &["generation"])
            .map_err(|problem| End::Refused(format!("{}: {problem}", path.display())))?;
        let [there, here] = [copy.directory(), directory].map(|place| place.display().to_string());
        let store = SqliteStore::open(&copy.path)
            .map_err(|error| End::Refused(error.to_string().replace(&there, &here)))?;
        Ok(Self { store: recorded(store, now), now, _copy: Some(Arc::new(copy)) })
    }

    /// Imports a node that does not wait for a decision, with its last readings.
    pub(super) async fn node(
        self,
        record: Record,
        profile: String,
        told: Option<Observation>,
    ) -> Result<Came, End> {
        if let Some(came) = self.known(&record).await? {
            return Ok(came);
        }
        let node_id = record.node_id;
        match self.store.insert(record, profile, self.now).await {
            Ok(()) => {}
            Err(SaveError::Conflict | SaveError::Missing) => return Ok(Came::There(None)),
            Err(SaveError::Store(error)) => return Err(stopped(&error)),
        }
        if let Some(told) = told {
            self.store.observe(node_id, told).await.map_err(|error| stopped(&error))?;
        }
        Ok(Came::Imported)
    }

    /// Imports a node that waits for the operator. It counts towards the limits of pending
    /// requests.
    pub(super) async fn waiting_node(
        &self,
        asking: PendingRequest,
        profile: String,
        limits: Limits,
    ) -> Result<Came, End> {
        if let Some(came) = self.known(&asking.record).await? {
            return Ok(came);
        }
        let own = asking.record.node_id;
        match self.store.admit(asking, profile, limits, self.now).await.map_err(|error| stopped(&error))? {
            Ok(node_id) if node_id == own => Ok(Came::Imported),
            Ok(other) => Ok(Came::Skipped(format!("the same request waits as node {other}"))),
            Err(_) => Ok(Came::Refused(
                "as many wait as may, in all or from its address; decide about some of them, then import again".to_owned(),
            )),
        }
    }

    /// Returns the outcome for a node that exists already.
    async fn known(&self, record: &Record) -> Result<Option<Came>, End> {
        let there = match self.store.load(record.node_id).await {
            Ok(None) => return Ok(None),
            Ok(Some(stored)) => stored.record.standing,
            Err(StoreError::BadRecord(bad)) => return Ok(Some(Came::Refused(bad.to_string()))),
            Err(error) => return Err(stopped(&error)),
        };
        let differs = match (&there, &record.standing) {
            (Standing::Revoked { .. }, _) => {
                Some("it is revoked here, and an id that is never comes back")
            }
            (there, file) if file.token().is_some() && there.token() != file.token() => {
                Some("it has another token here, and that one counts")
            }
            (there, file) if std::mem::discriminant(there) != std::mem::discriminant(file) => {
                Some("it stands differently here")
            }
            (_, _) => None,
        };
        Ok(Some(Came::There(differs.map(str::to_owned))))
    }

    /// Imports a sender that was allowed, including one that was revoked later.
    pub(super) async fn allowed(self, sender: ListedSender) -> Result<Came, End> {
        let is_active = matches!(sender.standing, SenderStanding::Allowed { revoked_at: None, .. });
        let facts = match self.facts(&sender).await? {
            Ok(facts) => facts,
            Err(came) => return Ok(came),
        };
        if let Some(there) = facts.allowed {
            let differs = match (there.is_active(self.now), is_active) {
                (true, false) => Some("it is let in here".to_owned()),
                (false, true) => Some("that it was let in was taken back here".to_owned()),
                (true, true) | (false, false) => None,
            };
            return Ok(Came::There(differs));
        }
        if facts.blocked && is_active {
            return Ok(Came::Skipped("it is blocked here".to_owned()));
        }
        self.insert(sender).await
    }

    /// Imports a sender that waits. It counts towards the limits of pending senders.
    pub(super) async fn waiting(&self, sender: ListedSender) -> Result<Came, End> {
        let facts = match self.facts(&sender).await? {
            Ok(facts) => facts,
            Err(came) => return Ok(came),
        };
        let SenderStanding::Pending { code, .. } = &sender.standing else {
            return Ok(Came::Refused("it does not wait".to_owned()));
        };
        if let Some(there) = facts.pending {
            return Ok(Came::There(
                (there.code != *code).then(|| "it waits here with another code".to_owned()),
            ));
        }
        if facts.blocked {
            return Ok(Came::Skipped("it is blocked here".to_owned()));
        }
        if facts.allowed.is_some_and(|allowed| allowed.is_active(self.now)) {
            return Ok(Came::Skipped("it is let in already".to_owned()));
        }
        let Waiting { pending_of_account, pending_total, .. } = Waiting::DEFAULT;
        if facts.pending_of_account >= pending_of_account || facts.pending_total >= pending_total {
            return Ok(Came::Refused(
                "as many wait as may, for its account or in all; it gets a code when it writes again".to_owned(),
            ));
        }
        match self.clone().insert(sender).await? {
            Came::There(_) => Ok(Came::Refused(
                "its code is another's; it gets a new one when it writes again".to_owned(),
            )),
            came => Ok(came),
        }
    }

    async fn facts(&self, sender: &ListedSender) -> Result<Result<Facts, Came>, End> {
        let name = &sender.name;
        match SenderId::parse(&name.channel, &name.account, &name.sender) {
            Ok(id) => self
                .store
                .facts(id, &Waiting::DEFAULT, self.now)
                .await
                .map(Ok)
                .map_err(|error| stopped(&error)),
            Err(bad) => Ok(Err(Came::Refused(format!("{bad:?} is none")))),
        }
    }

    async fn insert(self, sender: ListedSender) -> Result<Came, End> {
        match self.store.insert_sender(sender).await {
            Ok(()) => Ok(Came::Imported),
            Err(SaveError::Conflict | SaveError::Missing) => Ok(Came::There(None)),
            Err(SaveError::Store(error)) => Err(stopped(&error)),
        }
    }

    /// Imports a companion's session, under a new id.
    pub(super) async fn session(self, companion: ImportedSession) -> Result<Came, End> {
        let ImportedSession { hash, profile, device_label, issued_at, expires_at } = companion;
        if let Some(there) =
            self.store.session_by_hash(&hash).await.map_err(|error| stopped(&error))?
        {
            return Ok(Came::There(there.revoked_at.map(|_| "it was revoked here".to_owned())));
        }
        let entropy = Entropy::try_draw(&mut getrandom::SysRng).map_err(End::refused)?;
        let id = SessionId::new(&entropy);
        let (maker, prolonged) = (Maker::Operator, None);
        let session = Session {
            id,
            hash,
            profile,
            device_label,
            issued_at,
            expires_at,
            revoked_at: None,
            over: false,
            maker,
            prolonged,
        };
        match self.store.insert_session(session).await {
            Ok(()) => Ok(Came::Imported),
            Err(SaveError::Conflict | SaveError::Missing) => Ok(Came::There(None)),
            Err(SaveError::Store(error)) => Err(stopped(&error)),
        }
    }
}

/// Writes many rows concurrently, so that they share the waits for the disk. Returns their outcomes
/// in the same order.
pub(super) async fn each<T, F>(rows: Vec<T>, write: impl Fn(T) -> F) -> Result<Vec<Came>, End>
where
    F: Future<Output = Result<Came, End>> + Send + 'static,
{
    let tasks: Vec<_> = rows.into_iter().map(|row| tokio::spawn(write(row))).collect();
    let mut came = Vec::with_capacity(tasks.len());
    for task in tasks {
        came.push(task.await.map_err(End::refused)??);
    }
    Ok(came)
}

fn explained(problem: &str) -> String {
    match problem.contains("has this registry open") {
        true => {
            format!(
                "{problem}. An import needs the registry for itself: end `handfast serve`, and start it again afterwards"
            )
        }
        false => problem.to_owned(),
    }
}

fn stopped(error: &StoreError) -> End {
    End::Refused(format!(
        "the import stopped: {error}. What was imported before stays; mend that and run it again for the rest"
    ))
}
