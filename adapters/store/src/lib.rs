//! Where a gateway keeps its registry.
//!
//! [`Store`] is what a gateway needs of a database, in the words of the registry: one atomic,
//! durable write per decision, an optimistic version per record, and work per operation that does
//! not grow with the number of nodes. [`MemoryStore`] forgets when it is dropped; [`SqliteStore`]
//! is a file. [`conformance`] is the suite that every store passes.

pub mod conformance;
mod deliveries;
mod error;
pub mod held;
mod inbound;
mod makers;
mod memory;
mod node;
mod pairing;
mod prefix;
mod rules;
mod sessions;
mod sqlite;
mod time;

use async_trait::async_trait;
use handfast_core::crypto::x25519;
use handfast_core::error::Refusal;
use handfast_core::grant::capability::{self, Held};
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{Asking, RequestKey};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, Guesser, NoGuess, Window};
use handfast_core::registry::grants::{Grant, GrantId};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::time::UnixTime;
use handfast_core::wire::native::pair::Selector;

pub use deliveries::{Delivered, Deliveries, Delivery, Settlement};
pub use error::{BadRecord, SaveError, StoreError};
pub use held::HeldStore;
pub use inbound::{
    Approved, Challenged, Inbound, ListedSender, SenderChange, SenderFilter, SenderName,
    SenderStanding,
};
pub use makers::{EndedWith, via_session};
pub use memory::MemoryStore;
pub use node::{Counts, Entry, Filter, Listed, Observation, Stored, Version, node_id};
pub use pairing::{Activation, CODES, Code, NotMinted, PINS, Revoked};
pub use sessions::{SessionFilter, Sessions, SetupCode, Yield};
pub use sqlite::{Backup, Holder, Lost, Migrated, Restored, SqliteStore, backup, holder, restore};
pub use time::{Over, Run, TakenOver, Timekeeping};

/// A registry that outlives the process.
///
/// Whatever a call has answered `Ok` to is durable, and every read that begins after the answer
/// sees it. Every call is one atomic step: a crash at any moment leaves all of it or nothing. A
/// change whose future is dropped before it answers is made or not; who needs to know reads again.
///
/// One record that cannot be read never hides the others: [`Store::load`] of that node fails with
/// [`StoreError::BadRecord`], listings have it in its place as an `Err` ([`Listed`]), and
/// everything else goes on.
///
/// | concern | calls |
/// |---|---|
/// | nodes | [`admit`](Store::admit) to [`counts`](Store::counts), [`by_key`](Store::by_key) |
/// | grants | [`offer`](Store::offer), [`set_ceiling`](Store::set_ceiling), [`activate`](Store::activate), [`end_grants`](Store::end_grants) and who reads them |
/// | revocation of chains | [`revoke`](Store::revoke), [`is_revoked`](Store::is_revoked) |
/// | PINs and codes | [`window`](Store::window) to [`withdraw`](Store::withdraw) |
/// | the gateways' own secrets | [`vault`](Store::vault) |
/// | whether writing works | [`probe`](Store::probe) |
/// | companions | all of [`Sessions`] |
/// | those who write over channels | all of [`Inbound`] |
/// | time | all of [`Timekeeping`] |
/// | secrets that are shown once | all of [`Deliveries`] |
#[async_trait]
pub trait Store: Sessions + Inbound + Deliveries + Send + Sync + 'static {
    /// Lets a pairing request in: finds the entry with the same key that has not expired, or enters
    /// the record under the caps of `limits` (see [`handfast_core::registry::admission::decide`]).
    /// `profile` is a JSON object. Expired entries make room first.
    ///
    /// Of a record with keys these are the identity: its entry is the one with its static key.
    /// Name, room and profile become what was asked now, so that the operator sees what the device
    /// says today; only if that differs has the entry a new version. Each request that found its
    /// entry is counted.
    ///
    /// Where there is no room, an entry that
    /// [gives way](handfast_core::registry::admission::gives_way) is gone.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; the inner error is
    /// [`Refusal::TooManyPending`]; [`Refusal::Rejected`] or [`Refusal::Barred`] where the same
    /// request was turned down; or, where a record has the static key that waits no longer,
    /// [`Refusal::Revoked`] or [`Refusal::AlreadyPaired`].
    async fn admit(
        &self,
        asking: Asking,
        profile: String,
        limits: Limits,
        now: UnixTime,
    ) -> Result<Result<NodeId, Refusal>, StoreError>;

    /// What is known of whoever has this key, if a request of it was
    /// [turned down](handfast_core::registry::rejection) by [`save`](Store::save).
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn rejection(&self, key: RequestKey) -> Result<Option<Rejection>, StoreError>;

    /// Reads everything about the nodes with exactly this name that are neither revoked nor
    /// expired, in order of their ids, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn named(
        &self,
        name: &str,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError>;

    /// Reads one record. A pending entry that has expired is still there until it is purged; its
    /// standing says so.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read, which is never the same as "there is none";
    /// [`StoreError::BadRecord`] if it is there, but spoiled.
    async fn load(&self, node_id: NodeId) -> Result<Option<Stored>, StoreError>;

    /// Saves a new standing, if the record still has the version it was read at. The answer is its
    /// version from now on. A node that is revoked by it loses its grants; a request that is turned
    /// down by it may be made anew when its [rejection](Store::rejection) says so.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if somebody else changed it first: read it again and decide anew.
    /// [`SaveError::Missing`] if there is no such node (any more).
    async fn save(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        now: UnixTime,
    ) -> Result<Version, SaveError>;

    /// The same for an approval: it is kept who gave it. It ends with a session that did: the node
    /// then waits to be approved again.
    ///
    /// # Errors
    /// As [`save`](Store::save); [`SaveError::Conflict`] also if the session that gives it has
    /// ended.
    async fn save_by(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        maker: Maker,
        now: UnixTime,
    ) -> Result<Version, SaveError>;

    /// Adds a record as it is, for instance from another system.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if the id or the static key is taken; nothing is overwritten.
    async fn insert(&self, record: Record, profile: String, now: UnixTime)
    -> Result<(), SaveError>;

    /// Keeps what a node told; what is `None` (or no number) leaves the last value as it is. Does
    /// not change the record's version. What a node tells that is not in the registry is told in
    /// vain, and no error.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be kept.
    async fn observe(&self, node_id: NodeId, observation: Observation) -> Result<(), StoreError>;

    /// Reads everything about the nodes whose id begins with `prefix` (lower-case hex and dashes;
    /// anything else begins no id), in order of their ids, at most `limit`. The revoked and the
    /// expired are among them.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError>;

    /// Reads a page of nodes in order of their ids, beginning after `after`, at most `limit`. The
    /// next page begins after the [`node_id`] of this one's last.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn list(
        &self,
        filter: Filter,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError>;

    /// How many nodes there are.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    async fn counts(&self, now: UnixTime) -> Result<Counts, StoreError>;

    /// Reads the record with this static key, whatever its standing: a revoked one, too, and one
    /// that has expired until it is purged.
    ///
    /// # Errors
    /// As [`load`](Store::load).
    async fn by_key(&self, key: &x25519::PublicKey) -> Result<Option<Stored>, StoreError>;

    /// Makes a node paired by its keys, and offers it a grant, in one step. Without `read_at` the
    /// record is new. With it, the record of that id gets this one's standing, name, room, address,
    /// keys and profile, if it still has that version. The answer is its version from now on.
    ///
    /// With a ceiling, that is the node's from now on, in the same step: whatever becomes of the
    /// offer, it holds. Without one, it stays as it is.
    ///
    /// Older offers of the node that were never confirmed end. An active grant goes on until the
    /// new one is [activated](Store::activate).
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if somebody else changed the record first or it is gone, if it is
    /// revoked or has another static key, if whoever makes the grant has ended, or if its id (of a
    /// new one) or its static key is another record's: read again and decide anew.
    /// [`StoreError::Database`] for a record without keys, and for another node's grant.
    async fn offer(
        &self,
        record: Record,
        profile: String,
        read_at: Option<Version>,
        grant: Grant,
        ceiling: Option<Ceiling>,
        now: UnixTime,
    ) -> Result<Version, SaveError>;

    /// Says what a node may do at most, without offering it anything. The answer is the record's
    /// version from now on.
    ///
    /// # Errors
    /// As [`save`](Store::save).
    async fn set_ceiling(
        &self,
        node_id: NodeId,
        read_at: Version,
        ceiling: Ceiling,
        now: UnixTime,
    ) -> Result<Version, SaveError>;

    /// The grants of a node, in the order in which they were made. Those that ended more than a
    /// year before the last [`offer`](Store::offer) to any node may be missing; what they allowed
    /// stays revoked until it would have expired.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read; [`StoreError::BadRecord`] if one of them is spoiled.
    async fn grants(&self, node_id: NodeId) -> Result<Vec<Grant>, StoreError>;

    /// Confirms a grant: an offer that has not run out becomes active, and the node's older grants
    /// end. Once more changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn activate(
        &self,
        node_id: NodeId,
        grant: GrantId,
        now: UnixTime,
    ) -> Result<Activation, StoreError>;

    /// Ends one grant of a node, or all. The answer is the capabilities that ended by it.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn end_grants(
        &self,
        node_id: NodeId,
        which: Option<GrantId>,
        now: UnixTime,
    ) -> Result<Vec<capability::Id>, StoreError>;

    /// Finds the grant that this capability is part of. If there are several, because they were
    /// made of the same terms in the same second: the newest that has not ended, or else the
    /// newest.
    ///
    /// # Errors
    /// As [`grants`](Store::grants).
    async fn grant_of(&self, capability: &capability::Id) -> Result<Option<Grant>, StoreError>;

    /// A page of the nodes with keys that are neither revoked nor expired, in order of their ids as
    /// in [`list`](Store::list), each with its grants that count now. A node of which a grant is
    /// spoiled is listed as spoiled.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn list_granted(
        &self,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<(Listed, Vec<Grant>)>, StoreError>;

    /// Revokes a block, or a holder's key, for good. Grants stay as they are.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn revoke(&self, what: Revoked, now: UnixTime) -> Result<(), StoreError>;

    /// Whether any of these is revoked: a block or a key by [`revoke`](Store::revoke), a block
    /// because its grant ended, a key because its node is revoked. A muted node's is not. Nor is
    /// the block of an offer that only ran out: [`Grant::counts`] says that of
    /// [its grant](Store::grant_of).
    ///
    /// # Errors
    /// [`StoreError`] if that is not known.
    async fn is_revoked(&self, held: Vec<Held>) -> Result<bool, StoreError>;

    /// The pairing window; closed, before it was ever set.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn window(&self) -> Result<Window, StoreError>;

    /// Opens or closes the pairing window. Where it has no guesses, no source has any.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn set_window(&self, window: Window) -> Result<(), StoreError>;

    /// Adds a PIN or code with its sealed secret. A PIN needs a
    /// [window that admits it](Window::admits), and an older one for the same key dies; another may
    /// have to make room for it ([`handfast_core::registry::codes::pin_room`]).
    ///
    /// The secrets of codes that have expired are erased, and those dead for longer than a day
    /// removed, at most 32 of each a call.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; the inner error is [`NotMinted`], and then
    /// every live PIN and code lives on.
    async fn mint(&self, code: Code, now: UnixTime) -> Result<Result<(), NotMinted>, StoreError>;

    /// Reads a PIN or code, live or dead.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn code(&self, id: CodeId) -> Result<Option<Code>, StoreError>;

    /// Reads the live code with this selector: one that has not expired and has uses left, whether
    /// or not it may still be guessed.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn code_by_selector(
        &self,
        selector: Selector,
        now: UnixTime,
    ) -> Result<Option<Code>, StoreError>;

    /// All live PINs and codes, the newest first, without their secrets.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn codes(&self, now: UnixTime) -> Result<Vec<Code>, StoreError>;

    /// Who guessed PINs of the window wrong, or is guessing, in the order of their sources.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn guessers(&self) -> Result<Vec<Guesser>, StoreError>;

    /// Reserves a guess of this source before it is compared
    /// ([`handfast_core::registry::codes::reserve`]). The answer is how many more there are if it
    /// is wrong.
    ///
    /// `None` is for a guess at nobody's code: it writes as much as one at a code, so that nobody
    /// can tell the two by how long they take.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable, and then nothing may be compared; the inner
    /// error is why no guess may be made.
    async fn reserve(
        &self,
        code: Option<CodeId>,
        source: Source,
        now: UnixTime,
    ) -> Result<Result<u8, NoGuess>, StoreError>;

    /// The guess that this source reserved at that time was right: gives it back, and takes one use
    /// of the code ([`handfast_core::registry::codes::spend`]). With the last one its secret is
    /// erased. `false` if it was spent or withdrawn meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; then nobody is paired by it.
    async fn spend(
        &self,
        code: CodeId,
        source: Source,
        reserved_at: UnixTime,
        now: UnixTime,
    ) -> Result<bool, StoreError>;

    /// Kills a PIN or code and erases its secret, even if a guess is under way and whatever the
    /// clock says; `false` if it was spent or withdrawn, or there is none.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn withdraw(&self, code: CodeId, now: UnixTime) -> Result<bool, StoreError>;

    /// A named secret that all gateways of this registry share, sealed by the caller: the one that
    /// is there, or else `fresh`, which then is.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn vault(&self, name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, StoreError>;

    /// Writes something that means nothing, to find out whether anything can be written.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn probe(&self) -> Result<(), StoreError>;
}
