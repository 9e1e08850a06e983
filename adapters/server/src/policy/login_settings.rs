//! Settings of operators' access over HTTP.

use std::time::Duration;

/// Settings of operators' sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginSettings {
    /// Where browsers reach the gateway if there is neither a public URL nor a tunnel, as
    /// `http://127.0.0.1:8765`.
    pub url: Option<String>,
    /// Lifetime of a session without use; a minute to a year.
    pub idle: Duration,
    /// Lifetime of a session in all.
    pub longest: Duration,
    /// `true` if sessions may be used over connections that are neither encrypted nor local, where
    /// everybody on the way can take them over.
    pub plain: bool,
}

impl Default for LoginSettings {
    fn default() -> Self {
        Self {
            url: None,
            idle: Duration::from_secs(12 * 3600),
            longest: Duration::from_secs(7 * 86_400),
            plain: false,
        }
    }
}

impl LoginSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem and its remedy, in a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        let year = 365 * 86_400;
        if !(60..=year).contains(&self.idle.as_secs()) {
            return Err(format!(
                "an operator's session ends after a minute to a year without use, not after {:?}",
                self.idle
            ));
        }
        if self.longest < self.idle || self.longest.as_secs() > year {
            return Err(
                "an operator's session lives for at least the time after which it ends without \
                 use, and a year at most: raise operators.longest or lower operators.idle"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_without_use_no_later_than_in_all() {
        let settings = |idle, longest| LoginSettings {
            idle: Duration::from_secs(idle),
            longest: Duration::from_secs(longest),
            ..LoginSettings::default()
        };
        assert_eq!(LoginSettings::default().check(), Ok(()));
        assert_eq!(settings(60, 60).check(), Ok(()));
        assert!(settings(59, 3600).check().is_err());
        assert!(settings(3600, 3599).check().is_err());
        assert!(settings(3600, 400 * 86_400).check().is_err());
    }
}
