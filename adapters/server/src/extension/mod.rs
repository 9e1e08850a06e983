//! Extensions: programs outside the gateway's process that handle a channel, answer operators,
//! serve HTTP, have metrics, or deliver items.
//!
//! They use line-delimited JSON, over the standard streams of a program that the gateway starts, or
//! over HTTP. `EXTENSIONS.md` beside this crate describes the protocol for their authors, and
//! `examples/extension.py` is an example. No action or failure of an extension stalls the gateway
//! or another extension: calls, bytes, lines, requests and restarts are limited, and every failure
//! is a typed error.
//!
//! | file | content |
//! |---|---|
//! | `config` | the operator's configuration and its validation |
//! | `wire`, `lines` | the envelope, and lines of limited length |
//! | `rules` | limits, and the back-off |
//! | `handle` | one extension: calls, errors, status |
//! | `stdio`, `child`, `connection` | a program: its pending calls, process group and streams |
//! | `http` | calls over HTTP |
//! | `host` | the traits that the gateway implements |
//! | `channel` | [`ChannelAdapter`](crate::inbound::adapter::ChannelAdapter) over an extension |
//! | `admin` | methods for operators |
//! | `proxy`, `path`, `readers` | forwarded HTTP requests |
//! | `scrape`, `prometheus` | metrics |
//! | `poll` | polled items |
//! | `pending` | a program that is run when something begins to wait for a person |
//! | `set` | all extensions of a gateway |

mod admin;
mod channel;
mod child;
mod config;
mod connection;
mod handle;
mod host;
mod http;
mod lines;
mod path;
mod pending;
mod poll;
mod proxy;
mod readers;
mod rules;
mod scrape;
mod set;
mod stdio;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod wire;

#[cfg(test)]
mod tests;

pub use admin::{AdminAnswer, AdminRequest, AdminRouter, OnBehalfOf};
pub use channel::ExtensionChannel;
pub use config::{ConfigError, ExtensionConfig, MOST_EXTENSIONS, Timeouts, Transport, validate};
pub use handle::{Extension, ExtensionError, ExtensionStatus, Problem};
pub use host::{Cursors, ExtensionHost, Items, NoHost};
pub use pending::PendingProgram;
pub(crate) use pending::observed;
pub use proxy::{BODY_BYTES, Proxy};
pub use scrape::scrape;
pub use set::{Extensions, Services};
pub use wire::LINE_BYTES;
