//! Registration of nodes by provisioning tokens.

use async_trait::async_trait;
use handfast_core::registry::provisioning::{self, NodeKeyId, NotRegistered, Registering};
use handfast_core::registry::record::{Cause, Standing};
use handfast_core::registry::trusted_time::Moment;
use handfast_core::{Name, NodeId};

use super::{Database, Decided, RowResult, Tx, grants, makers, nodes};
use crate::audit::{Detail, Entry, What};
use crate::{
    NewProvisioned, ProvisionedNode, ProvisionedRights, Provisioning, SaveError, StoreError,
    Stored, StoredCode,
};

/// The rows of nodes that registered. Each lives as long as its node.
pub(crate) trait ProvisioningRows {
    /// Returns the key of a node.
    fn provisioned(&mut self, id: NodeId) -> RowResult<Option<ProvisionedNode>>;

    /// Returns the node with this key.
    fn provisioned_with(&mut self, key: NodeKeyId) -> RowResult<Option<ProvisionedNode>>;

    /// Returns `true` if a node that is not revoked has registered by this name.
    fn has_registered(&mut self, external: &Name) -> RowResult<bool>;

    /// Sets the key of a node.
    fn set_provisioned(&mut self, node: &ProvisionedNode) -> RowResult<()>;
}

pub(super) fn register(
    tx: &mut dyn Tx,
    new: &NewProvisioned,
    moment: &Moment,
) -> Result<Decided<Result<(), NotRegistered>>, SaveError> {
    let NewProvisioned { token, shown, node, record, profile, read_at, rights } = new;
    let now = moment.now;
    let code = tx.code(*token)?;
    let standing = match &record.keys {
        Some(keys) => match tx.node_by_key(&keys.channel)? {
            Some(stored) => Some(stored.record.standing),
            // A revoked key outlives its record.
            None => tx
                .is_key_revoked(&keys.channel)?
                .then_some(Standing::Revoked { cause: Cause::Unpaired }),
        },
        None => None,
    };
    let registering = Registering {
        token: code.as_ref().and_then(StoredCode::as_token),
        shown,
        external: node.external.as_str(),
        is_registered: tx.has_registered(&node.external)?,
        standing: standing.as_ref(),
    };
    if let Err(no) = provisioning::register(&registering, moment) {
        return Ok(Decided::nothing(Err(no)));
    }
    // Checked inside the transaction, so that a token of a session that ends meanwhile is void.
    let maker = code.map(|code| code.maker);
    if let Some(maker) = maker
        && makers::end_of(tx, maker, now)?.is_none()
    {
        return Ok(Decided::nothing(Err(NotRegistered::Token)));
    }
    match rights {
        ProvisionedRights::Offer(rights) => {
            let (grant, ceiling) = &**rights;
            // The registration is the decision.
            grants::offer(tx, record, profile, *read_at, grant, Some(ceiling), now)?.within();
        }
        ProvisionedRights::ApprovedBy(maker) => {
            nodes::insert(tx, record, profile, now)?;
            tx.set_approver(record.node_id, *maker)?;
        }
    }
    tx.set_provisioned(node)?;
    // The last use erases the hash.
    tx.set_counters(*token, 0, 0, now)?;
    let details = [Detail::Node(record.node_id), Detail::Code(*token)];
    Ok(Decided::by(Ok(()), Entry::new(What::Register, details).at(now)))
}

#[async_trait]
impl<D: Database> Provisioning for D {
    async fn register(
        &self,
        node: NewProvisioned,
        moment: Moment,
    ) -> Result<Result<(), NotRegistered>, SaveError> {
        self.decide(move |tx| register(tx, &node, &moment)).await
    }

    async fn by_node_key(
        &self,
        id: NodeKeyId,
    ) -> Result<Option<(ProvisionedNode, Stored)>, StoreError> {
        self.point(move |tx| {
            let Some(node) = tx.provisioned_with(id)? else { return Ok(None) };
            Ok(tx.node(node.node_id)?.map(|stored| (node, stored)))
        })
        .await
    }

    async fn provisioned(&self, node_id: NodeId) -> Result<Option<ProvisionedNode>, StoreError> {
        self.point(move |tx| tx.provisioned(node_id)).await
    }
}
