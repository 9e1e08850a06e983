//! A database with the origin of the decisions that are made over it.

use std::sync::Arc;

use super::{Database, RowResult, Tx};
use crate::audit::Origin;
use crate::{Shared, StoreError};

/// A handle of a database. Its decisions are recorded with its origin.
pub(crate) struct By<D> {
    base: Arc<D>,
    origin: Origin,
}

impl<D: Database> By<D> {
    pub(crate) const fn new(base: Arc<D>, origin: Origin) -> Self {
        Self { base, origin }
    }
}

impl<D: Database<Base = D>> Database for By<D> {
    type Base = D;

    fn base(self: Arc<Self>) -> Arc<D> {
        Arc::clone(&self.base)
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    async fn change<T, E>(
        &self,
        operation: impl FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.base.change(operation).await
    }

    async fn point<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Tx) -> RowResult<T> + Send + 'static,
    ) -> RowResult<T> {
        self.base.point(read).await
    }

    async fn page<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Tx) -> RowResult<T> + Send + 'static,
    ) -> RowResult<T> {
        self.base.page(read).await
    }

    fn epoch(&self) -> u64 {
        self.base.epoch()
    }

    fn forgets(&self) -> bool {
        self.base.forgets()
    }

    fn shared(self: Arc<Self>) -> Option<Arc<dyn Shared>> {
        Database::shared(Arc::clone(&self.base))
    }
}
