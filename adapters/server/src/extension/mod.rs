//! Extensions: programs outside the gateway's process that know a channel, answer operators, serve
//! HTTP, have metrics, or bring news.
//!
//! They speak line-delimited JSON, over the standard streams of a program that the gateway starts,
//! or over HTTP. `EXTENSIONS.md` beside this crate is the protocol, for whoever writes one, and
//! `examples/extension.py` is one. Nothing that an extension does or fails to do stalls the gateway
//! or another extension: calls, bytes, lines, requests and restarts are bounded, and every failure
//! is an error with a type.
//!
//! | file | concern |
//! |---|---|
//! | `config` | what the operator says, and what of it is refused |
//! | `wire`, `lines` | the envelope, and lines of bounded length |
//! | `rules` | bounds, and the back-off |
//! | `handle` | one extension: calls, errors, status |
//! | `stdio`, `child`, `connection` | a program: who waits for it, its process group, its streams |
//! | `http` | calls over HTTP |
//! | `host` | the traits that the gateway plugs in |
//! | `channel` | [`ChannelAdapter`](crate::inbound::adapter::ChannelAdapter) over an extension |
//! | `admin` | methods for operators |
//! | `proxy`, `path`, `readers` | HTTP requests passed on |
//! | `scrape`, `prometheus` | metrics |
//! | `poll` | news |
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
mod poll;
mod prometheus;
mod proxy;
mod readers;
mod rules;
mod scrape;
mod set;
mod stdio;
mod wire;

#[cfg(test)]
mod tests;

pub use admin::{AdminAnswer, AdminRequest, AdminRouter, OnBehalfOf};
pub use channel::ExtensionChannel;
pub use config::{ConfigError, ExtensionConfig, MOST_EXTENSIONS, Timeouts, Transport, validate};
pub use handle::{Extension, ExtensionError, ExtensionStatus, Problem};
pub use host::{Cursors, Host, Items, NoHost};
pub use proxy::{BODY_BYTES, Proxy};
pub use scrape::scrape;
pub use set::{Extensions, Services};
pub use wire::LINE_BYTES;
