//! Capabilities: what a node can be asked to do by its gateway's operator.
//!
//! An embedder implements [`CapabilityHandler`] and registers it in a [`Capabilities`]. The node
//! announces what is registered after each link, notes each dispatch durably before its handler
//! runs, and again before its result is sent, so that no dispatch runs twice.

mod built_in;
mod call;
mod executable;
mod runner;

use std::sync::Arc;

use handfast_core::Label;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::wire::native::CapabilityName;

/// The attribute of an implementation of [`CapabilityHandler`].
pub use async_trait::async_trait;
pub use built_in::{Echo, SystemHealth, SystemIdentity};
pub use call::{CapabilityCall, CapabilityOutcome};
pub use executable::{ExecutableHandler, NotExecutable};
pub(crate) use runner::{CapabilityRunner, Task, TaskEvent, TaskReport};

/// Maximum number of capabilities of a node.
pub const MOST_CAPABILITIES: usize = 32;

/// A capability of a node.
#[async_trait::async_trait]
pub trait CapabilityHandler: Send + Sync + 'static {
    /// Returns the name that operators dispatch to, like `lights.switch`.
    fn name(&self) -> &str;

    /// Returns the version, for people.
    fn version(&self) -> &str;

    /// Returns `true` if running it twice does no more than running it once. Only then may the
    /// gateway send a dispatch again whose outcome was lost.
    fn idempotent(&self) -> bool {
        false
    }

    /// Returns `true` if it can be dispatched now. It is asked after each link.
    fn is_available(&self) -> bool {
        true
    }

    /// Runs the capability once. The future is dropped at the call's deadline, and some time after
    /// a cancellation that it does not follow.
    async fn call(&self, call: CapabilityCall) -> CapabilityOutcome;
}

/// The reason for which a capability is not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRegistered {
    /// The name has other characters, or is too long.
    #[error(
        "{0:?} is no name of a capability: it has 1 to 32 lower-case letters, digits, dots, dashes \
         and underscores, like lights.switch"
    )]
    Name(String),
    /// The version is too long or holds control characters.
    #[error(
        "{0:?} is no version of a capability: it has 1 to 64 characters, none of them a control character"
    )]
    Version(String),
    /// Another capability has this name.
    #[error("there are two capabilities named {0}; give each its own name")]
    Twice(String),
    /// The node has the maximum number of capabilities.
    #[error("a node has at most {MOST_CAPABILITIES} capabilities")]
    TooMany,
}

/// The capabilities of a node, in the order in which they are announced.
#[derive(Clone, Default)]
pub struct Capabilities(Vec<Arc<dyn CapabilityHandler>>);

impl std::fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Capabilities {
    /// Returns no capabilities. Such a node takes no dispatch.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Returns the capabilities that every node on Linux can have: [`Echo`], [`SystemHealth`] and
    /// [`SystemIdentity`].
    #[must_use]
    pub fn built_in(keys: &OwnKeys) -> Self {
        Self(vec![Arc::new(Echo), Arc::new(SystemHealth), Arc::new(SystemIdentity::new(keys))])
    }

    /// Registers a capability.
    ///
    /// # Errors
    /// [`NotRegistered`] with the cause.
    pub fn with(mut self, handler: impl CapabilityHandler) -> Result<Self, NotRegistered> {
        let name = handler.name();
        if CapabilityName::parse(name).is_none() {
            return Err(NotRegistered::Name(name.to_owned()));
        }
        let version = handler.version();
        if version.trim().is_empty() || Label::parse(version).is_none() {
            return Err(NotRegistered::Version(version.to_owned()));
        }
        if self.get(name).is_some() {
            return Err(NotRegistered::Twice(name.to_owned()));
        }
        if self.0.len() >= MOST_CAPABILITIES {
            return Err(NotRegistered::TooMany);
        }
        self.0.push(Arc::new(handler));
        Ok(self)
    }

    /// Returns the names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|handler| handler.name())
    }

    /// Returns `true` if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<dyn CapabilityHandler>> {
        self.0.iter().find(|handler| handler.name() == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<dyn CapabilityHandler>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str, &'static str);

    #[async_trait::async_trait]
    impl CapabilityHandler for Named {
        fn name(&self) -> &str {
            self.0
        }

        fn version(&self) -> &str {
            self.1
        }

        async fn call(&self, _: CapabilityCall) -> CapabilityOutcome {
            CapabilityOutcome::Succeeded(Vec::new())
        }
    }

    #[test]
    fn a_capability_has_a_name_and_a_version_of_its_own() {
        let some = Capabilities::none().with(Named("lights.switch", "1")).unwrap();
        assert_eq!(some.names().collect::<Vec<_>>(), ["lights.switch"]);
        for (name, version, why) in [
            ("", "1", NotRegistered::Name(String::new())),
            ("Lights", "1", NotRegistered::Name("Lights".to_owned())),
            ("a", "", NotRegistered::Version(String::new())),
            ("a", "\u{1b}", NotRegistered::Version("\u{1b}".to_owned())),
            ("lights.switch", "2", NotRegistered::Twice("lights.switch".to_owned())),
        ] {
            assert_eq!(some.clone().with(Named(name, version)).unwrap_err(), why);
        }
    }
}
