//! What an operator has to know before it stops the gateway: room on the disk, certificates that
//! end, and limits that are nearly used up.

use std::path::Path;

use handfast_core::registry::logins::LOGINS;
use handfast_core::{Span, UnixTime};

use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;

/// Free space below which a registry may soon be unable to grow.
const LITTLE_ROOM: u64 = 64 * 1024 * 1024;
/// A certificate that somebody has to renew is near its end for so long.
const SOON: Span = Span::from_secs(14 * 86_400);

/// The health of a gateway, beside that of its store and its clock.
#[derive(Clone, Debug)]
pub(crate) struct HealthReport {
    /// Free bytes on the registry's disk; `None` if the registry has no file, or they cannot be
    /// counted.
    pub(crate) disk_left: Option<u64>,
    /// End of the web listener's certificate; `None` if it has none.
    pub(crate) certificate_ends: Option<UnixTime>,
    /// Ends of the trusted roots, the newest first. The gateway replaces them by itself.
    pub(crate) roots_end: Vec<UnixTime>,
    /// The limits.
    pub(crate) limits: Vec<LimitUse>,
    now: UnixTime,
}

/// The use of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LimitUse {
    /// What is limited, in the plural.
    pub(crate) what: &'static str,
    /// Number of those that are there.
    pub(crate) used: u64,
    /// Maximum number.
    pub(crate) most: u64,
    /// The setting that raises it, if there is one.
    pub(crate) setting: Option<&'static str>,
}

impl LimitUse {
    /// Returns `true` from four fifths on.
    pub(crate) const fn is_near(&self) -> bool {
        // Nothing comes near a limit of none.
        self.most > 0 && self.used.saturating_mul(5) >= self.most.saturating_mul(4)
    }
}

impl HealthReport {
    /// Returns `true` if the registry may soon be unable to grow.
    pub(crate) fn lacks_room(&self) -> bool {
        self.disk_left.is_some_and(|left| left < LITTLE_ROOM)
    }

    /// Returns `true` if the web listener's certificate has to be renewed.
    pub(crate) fn certificate_is_due(&self) -> bool {
        self.certificate_ends.is_some_and(|ends| ends <= self.now.after(SOON))
    }

    /// Returns `true` if that certificate has ended.
    pub(crate) fn certificate_is_over(&self) -> bool {
        self.certificate_ends.is_some_and(|ends| ends <= self.now)
    }
}

impl Gateway {
    /// Returns the health of the gateway.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub(crate) async fn health(&self) -> Result<HealthReport, OperatorError> {
        let (inner, now) = (&self.inner, self.now());
        let summary = self.summary().await?;
        let logins = inner.store.logins().await?;
        let valid = logins.iter().filter(|login| login.admits(now).is_ok()).count();
        let limits = &inner.limits;
        let limit = |what, used: u64, most: u64, setting| LimitUse { what, used, most, setting };
        let directory = inner.surroundings.directory.clone();
        // A disk that does not answer holds up this page, and nothing else.
        let left = tokio::task::spawn_blocking(move || directory.as_deref().and_then(disk_left));
        Ok(HealthReport {
            disk_left: left.await.unwrap_or(None),
            certificate_ends: inner.surroundings.certificate_ends.as_ref().and_then(|ends| ends()),
            roots_end: inner.authority.ends(),
            limits: vec![
                limit(
                    "requests that wait",
                    summary.nodes.pending,
                    u64::from(limits.pending_total),
                    Some("limits.pending_total"),
                ),
                limit(
                    "connections that have not authenticated",
                    summary.waiting as u64,
                    u64::from(limits.waiting_total),
                    Some("limits.waiting_total"),
                ),
                limit(
                    "links",
                    summary.linked as u64,
                    u64::from(limits.linked_total),
                    Some("limits.linked_total"),
                ),
                limit("operators' sessions and tokens", valid as u64, LOGINS as u64, None),
            ],
            now,
        })
    }
}

/// Counts the bytes that the gateway may still write to the disk of a directory. Blocks.
fn disk_left(directory: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(directory).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(disk_left: Option<u64>, certificate_ends: Option<u64>) -> HealthReport {
        let certificate_ends = certificate_ends.map(UnixTime::from_secs);
        let now = UnixTime::from_secs(100 * 86_400);
        HealthReport { disk_left, certificate_ends, roots_end: Vec::new(), limits: Vec::new(), now }
    }

    #[test]
    fn a_limit_is_near_its_end_from_four_fifths_on() {
        let limit = |used, most| LimitUse { what: "links", used, most, setting: None };
        assert!(!limit(7, 10).is_near() && limit(8, 10).is_near() && limit(10, 10).is_near());
        assert!(!limit(u64::MAX / 8, u64::MAX).is_near());
    }

    #[test]
    fn what_has_to_be_done_soon_is_told_before_it_is_too_late() {
        assert!(report(Some(1 << 20), None).lacks_room());
        assert!(!report(Some(1 << 30), None).lacks_room() && !report(None, None).lacks_room());
        let ends = |day: u64| report(None, Some(day * 86_400));
        assert!(!ends(120).certificate_is_due());
        assert!(ends(110).certificate_is_due() && !ends(110).certificate_is_over());
        assert!(ends(99).certificate_is_over());
    }

    #[test]
    fn the_room_on_a_disk_is_counted_where_the_directory_is() {
        let directory = tempfile::tempdir().unwrap();
        assert!(disk_left(directory.path()).is_some());
        assert_eq!(disk_left(&directory.path().join("gone")), None);
    }
}
