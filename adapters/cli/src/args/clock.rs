//! `handfast clock`.

use clap::{Args as Arguments, Subcommand};
use handfast_core::{UnixTime, rfc3339};

use super::Common;

#[derive(Debug, Arguments)]
pub(crate) struct ClockArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Option<ClockVerb>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClockVerb {
    /// Show what time the gateway goes by, and how far it believes the system's clock (default)
    Show,
    /// Say that the system's clock is right, or what time it is
    Accept {
        /// The true time, as 2026-11-29T14:00:00Z, where the gateway has believed a later one. What
        /// was seen to be over stays so, and what was made under the false time before the gateway
        /// started ends
        #[arg(long, value_name = "TIME", value_parser = time)]
        at: Option<UnixTime>,
    },
}

fn time(text: &str) -> Result<UnixTime, String> {
    rfc3339::read(text)
        .ok_or_else(|| "it must be a time in UTC, as in 2026-11-29T14:00:00Z".to_owned())
}
