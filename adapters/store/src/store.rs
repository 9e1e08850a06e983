//! The database interface of a gateway.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_core::crypto::x25519;
use handfast_core::grant::capability::{self, Held};
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, Guesser, NoGuess, Window};
use handfast_core::registry::delivery::Ticket;
use handfast_core::registry::grants::{Grant, GrantId};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Name, NodeId, Refusal, Source, UnixTime};

use crate::audit::{Audit, Origin};
use crate::{
    Activation, Addresses, Certificates, Clones, Counts, Deliveries, Dispatches, Filter, Inbound,
    KnownKeys, Listed, Logins, NotMinted, NotStored, Observation, Policies, Provisioning,
    Replacements, Revoked, SaveError, Sessions, Shared, StoreError, Stored, StoredCertificate,
    StoredCode, Vault, Version,
};
#[cfg(doc)]
use crate::{Timekeeping, node_id};

/// A registry that outlives the process.
///
/// A call that answers `Ok` is durable, and every read that begins after the answer sees it. Every
/// call is one atomic step: a crash at any moment leaves all of it or nothing. If the future of a
/// change is dropped before it answers, the change may or may not have been made; a caller that has
/// to know reads again.
///
/// A record that cannot be read never hides the others: [`Store::load`] of that node fails with
/// [`StoreError::BadRecord`], listings have it in its place as an `Err` ([`Listed`]), and
/// everything else works.
///
/// | concern | calls |
/// |---|---|
/// | nodes | [`admit`](Store::admit) to [`counts`](Store::counts), [`by_key`](Store::by_key) |
/// | grants | [`offer`], [`set_ceiling`], [`activate`], [`end_grants`] and their reads |
/// | revocation of chains | [`revoke`](Store::revoke), [`is_revoked`](Store::is_revoked) |
/// | PINs and codes | [`window`](Store::window) to [`withdraw`](Store::withdraw) |
/// | the gateways' own secrets | all of [`Vault`] |
/// | test of writing | [`probe`](Store::probe) |
/// | companions | all of [`Sessions`] |
/// | operators over HTTP | all of [`Logins`] |
/// | senders on messaging channels | all of [`Inbound`] |
/// | time | all of [`Timekeeping`] |
/// | secrets that are shown once | all of [`Deliveries`] |
/// | certificates of nodes | all of [`Certificates`] |
/// | copied nodes | all of [`Clones`] |
/// | nodes that took the place of others | all of [`Replacements`] |
/// | the gateway's key as nodes know it | all of [`KnownKeys`] |
/// | the gateway's addresses as nodes know them | all of [`Addresses`] |
/// | tasks for nodes | all of [`Dispatches`] |
/// | approvals in advance | all of [`Policies`] |
/// | nodes that registered over HTTP | all of [`Provisioning`] |
/// | audit log | [`by`](Store::by), all of [`Audit`] |
///
/// [`offer`]: Store::offer
/// [`set_ceiling`]: Store::set_ceiling
/// [`activate`]: Store::activate
/// [`end_grants`]: Store::end_grants
#[async_trait]
pub trait Store:
    Sessions
    + Logins
    + Inbound
    + Deliveries
    + Certificates
    + Clones
    + Replacements
    + KnownKeys
    + Addresses
    + Dispatches
    + Policies
    + Provisioning
    + Audit
    + Vault
    + Send
    + Sync
    + 'static
{
    /// Returns a handle whose decisions are recorded with this origin in the audit log. Over a
    /// handle without one, they are recorded as the gateway's own.
    fn by(self: Arc<Self>, origin: Origin) -> Arc<dyn Store>;

    /// Admits a pairing request: finds the unexpired entry with the same key, or adds the record
    /// under the caps of `limits` (see [`handfast_core::registry::admission::decide`]). `profile`
    /// is a JSON object. Expired entries are removed first.
    ///
    /// A record with keys is identified by them: its entry is the one with its static key. Name,
    /// room and profile are updated from the request, so that the operator sees the device's latest
    /// description; the entry gets a new version only if they differ. Each request that found its
    /// entry is counted.
    ///
    /// If there is no room, an entry that
    /// [gives way](handfast_core::registry::admission::gives_way) is removed.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable. The inner error is
    /// [`Refusal::TooManyPending`]; [`Refusal::Rejected`] or [`Refusal::Barred`] if the same
    /// request was rejected; or, if a record that no longer waits has the static key,
    /// [`Refusal::Revoked`] or [`Refusal::AlreadyPaired`].
    async fn admit(
        &self,
        asking: PendingRequest,
        profile: String,
        limits: Limits,
        now: UnixTime,
    ) -> Result<Result<NodeId, Refusal>, StoreError>;

    /// Returns the [rejection](handfast_core::registry::rejection) of requests with this key, if
    /// [`save`](Store::save) rejected one.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn rejection(&self, key: RequestKey) -> Result<Option<Rejection>, StoreError>;

    /// Reads everything about the nodes with exactly this name that are neither revoked nor
    /// expired, ordered by id, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn named(
        &self,
        name: &str,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError>;

    /// Reads one record. A pending entry that has expired stays until it is purged; its standing
    /// says that it expired.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read, which never means that there is none;
    /// [`StoreError::BadRecord`] if it is damaged.
    async fn load(&self, node_id: NodeId) -> Result<Option<Stored>, StoreError>;

    /// Saves a new standing if the record still has the version that was read. Returns the new
    /// version. A node that is revoked by it loses its grants; a request that is rejected by it may
    /// be repeated when its [rejection](Store::rejection) allows that.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if another writer changed it first: read it again and decide anew.
    /// [`SaveError::Missing`] if the node does not exist (any more).
    async fn save(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        now: UnixTime,
    ) -> Result<Version, SaveError>;

    /// Saves an approval as [`save`](Store::save) does, with its maker. If the maker is a session,
    /// the approval ends with it: the node then waits to be approved again.
    ///
    /// # Errors
    /// As [`save`](Store::save); [`SaveError::Conflict`] also if the maker's session has ended.
    async fn save_by(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        maker: Maker,
        now: UnixTime,
    ) -> Result<Version, SaveError>;

    /// Adds a record as given, for instance from another system.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if the id or the static key is taken, or the key is revoked; nothing
    /// is overwritten.
    async fn insert(&self, record: Record, profile: String, now: UnixTime)
    -> Result<(), SaveError>;

    /// Stores a node's readings. A field that is `None` or not a number leaves the last value
    /// unchanged. The record's version does not change. Readings of an unknown node are dropped
    /// without an error.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be stored.
    async fn observe(&self, node_id: NodeId, observation: Observation) -> Result<(), StoreError>;

    /// Reads everything about the nodes whose id begins with `prefix` (lower-case hex and dashes;
    /// other text begins no id), ordered by id, at most `limit`. Revoked and expired nodes are
    /// included.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError>;

    /// Reads a page of nodes after `after`, ordered by id, at most `limit`. The next page begins
    /// after the [`node_id`] of this one's last.
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

    /// Counts the nodes by standing.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    async fn counts(&self, now: UnixTime) -> Result<Counts, StoreError>;

    /// Reads the record with this static key in any standing, including a revoked one, and an
    /// expired one until it is purged.
    ///
    /// # Errors
    /// As [`load`](Store::load).
    async fn by_key(&self, key: &x25519::PublicKey) -> Result<Option<Stored>, StoreError>;

    /// Pairs a node by its keys and offers it a grant, in one step. Without `read_at` the record is
    /// new. With it, the record of that id gets this one's standing, name, room, address, keys and
    /// profile, if it still has that version. Returns the new version.
    ///
    /// A given ceiling becomes the node's in the same step, and holds even if the offer is never
    /// confirmed. Without one, the node's ceiling stays.
    ///
    /// Older offers of the node that were never confirmed end. An active grant stays in force until
    /// the new one is [activated](Store::activate).
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if another writer changed or removed the record first, if it is
    /// revoked or has another static key, if the grant's maker has ended, or if the id of a new
    /// record or its static key belongs to another record: read again and decide anew.
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

    /// Enters a node with an offer as [`offer`](Store::offer) does, and in the same step its first
    /// certificate as [`issue`](crate::Certificates::issue) does. The inner error is the reason for
    /// which the certificate was not stored; the offer was.
    ///
    /// # Errors
    /// As [`offer`](Store::offer).
    async fn offer_certified(
        &self,
        record: Record,
        profile: String,
        grant: Grant,
        ceiling: Option<Ceiling>,
        certificate: StoredCertificate,
        now: UnixTime,
    ) -> Result<(Version, Result<(), NotStored>), SaveError>;

    /// Sets a node's ceiling without an offer. Returns the record's new version.
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

    /// Sets the name or the profile of a paired or muted node; `None` leaves it as it is. Returns
    /// the record's new version.
    ///
    /// # Errors
    /// As [`save`](Store::save); [`SaveError::Conflict`] also for a node that is neither.
    async fn relabel(
        &self,
        node_id: NodeId,
        read_at: Version,
        name: Option<Name>,
        profile: Option<String>,
        now: UnixTime,
    ) -> Result<Version, SaveError>;

    /// Removes a revoked record with its readings. A key that
    /// [is barred](handfast_core::registry::record::Standing::bars) stays
    /// [revoked](Store::is_key_revoked) without it; a key whose request was rejected may ask again.
    /// Capabilities stay revoked.
    ///
    /// # Errors
    /// As [`save`](Store::save); [`SaveError::Conflict`] also for a record that is not revoked.
    async fn forget(
        &self,
        node_id: NodeId,
        read_at: Version,
        now: UnixTime,
    ) -> Result<(), SaveError>;

    /// Stores what a paired or muted node asks for beyond its ceiling, until the next decision about
    /// its permissions. The record's version does not change. Returns `true` if it asked for
    /// something else before.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn set_asks_more(
        &self,
        node_id: NodeId,
        more: AskedScopesBuf,
    ) -> Result<bool, StoreError>;

    /// Reads the grants of a node, in the order in which they were made. Grants that ended more
    /// than a year before the last [`offer`](Store::offer) to any node may be missing; their
    /// capabilities stay revoked until they would have expired.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read; [`StoreError::BadRecord`] if one of them is damaged.
    async fn grants(&self, node_id: NodeId) -> Result<Vec<Grant>, StoreError>;

    /// Confirms a grant: an offer that has not expired becomes active, and the node's older grants
    /// end. Repeating the call changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn activate(
        &self,
        node_id: NodeId,
        grant: GrantId,
        now: UnixTime,
    ) -> Result<Activation, StoreError>;

    /// Confirms a grant as [`activate`](Store::activate) does, and in the same step records that the
    /// node has stored its certificate with this number. A certificate that does not exist, or was
    /// superseded or revoked, stays as it is.
    ///
    /// # Errors
    /// As [`activate`](Store::activate).
    async fn activate_certified(
        &self,
        node_id: NodeId,
        grant: GrantId,
        certificate: u64,
        now: UnixTime,
    ) -> Result<Activation, StoreError>;

    /// Ends one grant of a node, or all. Returns the capabilities that ended with them.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn end_grants(
        &self,
        node_id: NodeId,
        which: Option<GrantId>,
        now: UnixTime,
    ) -> Result<Vec<capability::Id>, StoreError>;

    /// Finds the grant that this capability belongs to. If several grants were made of the same
    /// terms in the same second, it returns the newest that has not ended, or else the newest.
    ///
    /// # Errors
    /// As [`grants`](Store::grants).
    async fn grant_of(&self, capability: &capability::Id) -> Result<Option<Grant>, StoreError>;

    /// Reads a page of the nodes with keys that are neither revoked nor expired, ordered by id as
    /// in [`list`](Store::list), each with its grants in force. A node with a damaged grant is
    /// listed as damaged.
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

    /// Returns `true` if this static key was revoked by itself: by [`revoke`](Store::revoke), or by
    /// [`forget`](Store::forget). No record with it is added any more.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be read.
    async fn is_key_revoked(&self, key: &x25519::PublicKey) -> Result<bool, StoreError>;

    /// Returns `true` if any of these is revoked: a block or a key by [`revoke`](Store::revoke), a
    /// block because its grant ended, a key because its node is revoked. A muted node's key is not
    /// revoked. The block of an offer that merely expired is not revoked either; [`Grant::counts`]
    /// of [its grant](Store::grant_of) tells that.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be read.
    async fn is_revoked(&self, held: Vec<Held>) -> Result<bool, StoreError>;

    /// Reads the pairing window, which is closed until it is first set.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn window(&self) -> Result<Window, StoreError>;

    /// Opens or closes the pairing window. A window without counted guesses resets those of every
    /// source.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn set_window(&self, window: Window) -> Result<(), StoreError>;

    /// Adds a PIN or code with its sealed secret. A PIN needs a
    /// [window that admits it](Window::admits), and ends an older PIN for the same key; another PIN
    /// may have to make room for it ([`handfast_core::registry::codes::pin_room`]).
    ///
    /// Each call also erases the secrets of at most 32 expired codes, and removes at most 32 that
    /// have been dead for more than a day.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable. The inner error is [`NotMinted`], and then
    /// every live PIN and code stays live.
    async fn mint(
        &self,
        code: StoredCode,
        now: UnixTime,
    ) -> Result<Result<(), NotMinted>, StoreError>;

    /// Adds many codes as [`mint`](Store::mint) does, each with its delivery under way: all of them
    /// or none, in one step. They are no PINs, at most [`CODES_AT_ONCE`](crate::CODES_AT_ONCE), and
    /// have one maker.
    ///
    /// # Errors
    /// As [`mint`](Store::mint); [`NotMinted::Taken`] also if two of them have one selector.
    async fn mint_all(
        &self,
        codes: Vec<(StoredCode, Ticket)>,
        now: UnixTime,
    ) -> Result<Result<(), NotMinted>, StoreError>;

    /// Reads a PIN or code, live or dead.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn code(&self, id: CodeId) -> Result<Option<StoredCode>, StoreError>;

    /// Reads the live code with this selector: one that has not expired and has uses left, even if
    /// it may no longer be guessed.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn code_by_selector(
        &self,
        selector: Selector,
        now: UnixTime,
    ) -> Result<Option<StoredCode>, StoreError>;

    /// Reads all live PINs and codes without their secrets, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn codes(&self, now: UnixTime) -> Result<Vec<StoredCode>, StoreError>;

    /// Reads the sources with wrong or reserved guesses at PINs of the window, ordered by source.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn guessers(&self) -> Result<Vec<Guesser>, StoreError>;

    /// Reserves a guess of this source before it is compared
    /// ([`handfast_core::registry::codes::reserve`]). Returns the number of guesses that are left
    /// if this one is wrong.
    ///
    /// A `code` of `None` is a guess at no existing code. It writes as much as a real guess, so
    /// that timing does not tell the two apart.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable, and then nothing may be compared. The inner
    /// error is the reason for which no guess may be made.
    async fn reserve(
        &self,
        code: Option<CodeId>,
        source: Source,
        now: UnixTime,
    ) -> Result<Result<u8, NoGuess>, StoreError>;

    /// Records that the guess this source reserved at that time was right: gives it back, and takes
    /// one use of the code ([`handfast_core::registry::codes::spend`]). The last use erases the
    /// secret. `false` if the code was spent or withdrawn meanwhile.
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

    /// Withdraws a PIN or code and erases its secret, even during a guess and regardless of the
    /// clock. `false` if it was spent or withdrawn before, or does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn withdraw(&self, code: CodeId, now: UnixTime) -> Result<bool, StoreError>;

    /// Writes a meaningless value, to find out if writing works.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Returns `true` if nothing of the registry outlives this process. Its secrets then need no
    /// key that does.
    fn forgets(&self) -> bool {
        false
    }

    /// Returns what gateways share, if several may use this registry at the same time.
    fn shared(self: Arc<Self>) -> Option<Arc<dyn Shared>> {
        None
    }
}
