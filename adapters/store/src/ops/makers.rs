//! Consequences of a session's end for the things that it made.

use handfast_core::grant::capability;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::sessions::{LoginId, Maker, SessionId};
use handfast_core::{NodeId, UnixTime};

use super::{RowResult, Tx, deliveries};
use crate::makers::Ending;
use crate::{EndedWith, SenderName, StoreError};

/// The things of a session that end: those with a later end than this time, or all.
pub(crate) type Outlasting = Option<UnixTime>;

/// The rows of all concerns by the session that made them. Damaged rows end too.
pub(crate) trait MakerRows {
    /// Revokes the sessions that this one's codes opened. Returns them.
    fn end_sessions_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<Vec<SessionId>>;

    /// Takes back the time that this session added to others. Returns them with their new end.
    fn shorten_prolonged_by(
        &mut self,
        by: SessionId,
        outlasting: Outlasting,
    ) -> RowResult<Vec<(SessionId, UnixTime)>>;

    /// [Kills](super::CodeRows::kill_code) the codes of this session. Returns their number.
    fn kill_codes_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<u64>;

    /// Closes the window if this session opened it; `false` if it did not.
    fn close_window_of(&mut self, maker: SessionId, outlasting: Outlasting) -> RowResult<bool>;

    /// Ends the grants of this session. Returns them with their capabilities.
    fn end_grants_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<Vec<(NodeId, GrantId, Option<capability::Id>)>>;

    /// Makes the nodes with tokens that this session approved [wait for approval again], and raises
    /// their versions. Returns them.
    ///
    /// [wait for approval again]: handfast_core::registry::lifecycle::unapproved
    fn unapprove_of(&mut self, maker: SessionId, now: UnixTime) -> RowResult<Vec<NodeId>>;

    /// Revokes the permissions of the senders that this session allowed
    /// ([`via_session`](crate::via_session)). Returns them.
    fn revoke_senders_of(
        &mut self,
        maker: SessionId,
        outlasting: Outlasting,
        now: UnixTime,
    ) -> RowResult<Vec<SenderName>>;

    /// Returns the sessions that made anything that has not ended, or prolonged a session.
    fn makers(&mut self, now: UnixTime) -> RowResult<Vec<SessionId>>;
}

/// Returns the latest end of a thing that this maker makes now. The outer `None` means that the
/// maker has ended. A change that writes something for its maker calls this inside its transaction.
pub(super) fn end_of(
    tx: &mut dyn Tx,
    maker: Maker,
    now: UnixTime,
) -> Result<Option<Option<UnixTime>>, StoreError> {
    match maker {
        Maker::Operator => Ok(Some(None)),
        Maker::Session(id) => {
            let session = tx.session(id)?.filter(|session| session.admits(now).is_ok());
            Ok(session.map(|session| Some(session.expires_at)))
        }
        // Each use moves the end of a login, so it bounds nothing that is made now.
        Maker::Login(id) => {
            Ok(tx.login(id)?.filter(|login| login.admits(now).is_ok()).map(|_| None))
        }
    }
}

/// Ends what a login has made: its codes, and the window that it opened. What it approved stays.
pub(super) fn end_made_by_login(
    tx: &mut dyn Tx,
    id: LoginId,
    now: UnixTime,
) -> Result<EndedWith, StoreError> {
    let (codes, window) = (tx.kill_codes_of_login(id, now)?, tx.close_window_of_login(id)?);
    Ok(EndedWith { codes, window, ..EndedWith::NOTHING })
}

/// Ends all that these sessions have made, and all that was made by that.
pub(super) fn end_made_by(
    tx: &mut dyn Tx,
    first: Vec<Ending>,
    now: UnixTime,
) -> Result<EndedWith, StoreError> {
    let mut with = EndedWith::default();
    let mut work = first;
    // Made things may be makers themselves, so the search continues until nothing new ends.
    while let Some(Ending { session, outlasting }) = work.pop() {
        for ended in tx.end_sessions_of(session, outlasting, now)? {
            with.sessions.push(ended);
            work.push(Ending::whole(ended));
        }
        for (shorter, end) in tx.shorten_prolonged_by(session, outlasting)? {
            with.shortened.push((shorter, end));
            work.push(Ending { session: shorter, outlasting: Some(end) });
        }
        with.codes += tx.kill_codes_of(session, outlasting, now)?;
        with.window |= tx.close_window_of(session, outlasting)?;
        for (node_id, grant, capability) in tx.end_grants_of(session, outlasting, now)? {
            with.grants.push((node_id, grant));
            if let Some(capability) = capability
                && !with.capabilities.contains(&capability)
                && !tx.is_continued(&capability)?
            {
                with.capabilities.push(capability);
            }
        }
        // An approval ends only with its session, not when that is shortened.
        if outlasting.is_none() {
            for node_id in tx.unapprove_of(session, now)? {
                deliveries::follow(tx, node_id, None, now)?;
                with.unapproved.push(node_id);
            }
        }
        with.senders.extend(tx.revoke_senders_of(session, outlasting, now)?);
    }
    if !with.senders.is_empty() {
        tx.facts_changed();
    }
    Ok(with)
}

/// Ends what was made by sessions and logins that have ended.
pub(super) fn end_orphans(tx: &mut dyn Tx, now: UnixTime) -> Result<EndedWith, StoreError> {
    let mut ended = Vec::new();
    for session in tx.makers(now)? {
        if end_of(tx, Maker::Session(session), now)?.is_none() {
            ended.push(Ending::whole(session));
        }
    }
    let mut with = end_made_by(tx, ended, now)?;
    for login in tx.login_makers(now)? {
        if end_of(tx, Maker::Login(login), now)?.is_none() {
            let EndedWith { codes, window, .. } = end_made_by_login(tx, login, now)?;
            with.codes += codes;
            with.window |= window;
        }
    }
    Ok(with)
}
