//! The operator's configuration of extensions, and its validation.

use std::collections::BTreeSet;
use std::time::Duration;

use url::{Host, Url};

/// Maximum number of extensions of one gateway.
pub const MOST_EXTENSIONS: usize = 64;
/// Maximum length of the name of an extension, a channel or a prefix, in bytes.
pub(super) const NAME_BYTES: usize = 32;
/// Maximum length of an operator's method and of a mount, in bytes.
pub(super) const PATH_BYTES: usize = 256;
/// Reserved first words of methods and metrics.
const OWN_WORDS: [&str; 25] = [
    "pairing",
    "setup",
    "inbound",
    "devices",
    "device",
    "handfast",
    "paired",
    "nodes",
    "node",
    "certs",
    "companion",
    "sessions",
    "delegates",
    "grants",
    "events",
    "extension",
    "extensions",
    "admin",
    "api",
    "health",
    "metrics",
    "process",
    "gateway",
    "rpc",
    "system",
];
/// Reserved first segments of paths.
const OWN_PATHS: [&str; 10] = [
    "pair",
    "api",
    "health",
    "ready",
    "metrics",
    "admin",
    "login",
    "login.js",
    "login.css",
    "logout",
];

/// The configuration of one extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionConfig {
    /// Name in logs and lists: 1 to 32 of `a-z`, `0-9` and `-`, not beginning with `-`.
    pub name: String,
    /// Prefix of its methods, before a dot, and of its metrics, before an underscore: 1 to 32 of
    /// `a-z`, `0-9` and `_`, beginning with a letter.
    pub prefix: String,
    /// The transport of its calls.
    pub transport: Transport,
    /// Channels whose senders it can spell; names are as those of extensions, and may contain `_`,
    /// too.
    pub channels: Vec<String>,
    /// Prefixes of the methods that an operator may call on it, for instance `mail` or
    /// `mail.queue`.
    pub admin: Vec<String>,
    /// Path prefixes whose HTTP requests are passed to it, for instance `/mail`.
    pub mounts: Vec<String>,
    /// `true` if it adds metrics to the gateway's.
    pub metrics: bool,
    /// Interval of polls for items, 100 ms or more; `None` for no polling.
    pub poll: Option<Duration>,
    /// Time limits for its answers.
    pub timeouts: Timeouts,
}

/// The transport of calls to an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The gateway starts a program, writes to its standard input, and reads its standard output.
    Stdio {
        /// The program and its arguments. No shell interprets them.
        command: Vec<String>,
    },
    /// The gateway sends a POST for each call.
    Http {
        /// URL of the calls; `http` or `https`.
        url: String,
    },
}

/// Time limits for an extension. Each is 1 ms to 10 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Limit for an answer to a call; 30 s by default.
    pub call: Duration,
    /// Limit for its metrics; 5 s by default.
    pub scrape: Duration,
    /// Limit for an answer to a poll; 60 s by default.
    pub poll: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            scrape: Duration::from_secs(5),
            poll: Duration::from_secs(60),
        }
    }
}

/// An invalid configuration of extensions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting of one extension is invalid.
    #[error("extension {extension:?}: {field} {value:?} {problem}")]
    Invalid {
        /// Name of the extension.
        extension: String,
        /// Name of the setting.
        field: &'static str,
        /// The rejected value of the setting.
        value: String,
        /// The problem and its remedy, as part of a sentence.
        problem: String,
    },
    /// Two extensions claim the same value.
    #[error(
        "extensions {first:?} and {second:?} both have the {field} {value:?}; give one of them another"
    )]
    Twice {
        /// Name of the first of the two, in the order of the configuration.
        first: String,
        /// Name of the second of the two.
        second: String,
        /// Name of the setting.
        field: &'static str,
        /// The value that both claim.
        value: String,
    },
    /// More than [`MOST_EXTENSIONS`] extensions are configured.
    #[error("{0} extensions are configured; at most {MOST_EXTENSIONS} are possible")]
    TooMany(usize),
}

impl ExtensionConfig {
    /// Creates an extension that the gateway starts as a program, without channels, methods, mounts
    /// or metrics.
    #[must_use]
    pub fn stdio(name: &str, prefix: &str, command: &[&str]) -> Self {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Self::bare(name, prefix, Transport::Stdio { command })
    }

    /// Creates an extension that runs by itself and is called over HTTP, without channels, methods,
    /// mounts or metrics.
    #[must_use]
    pub fn http(name: &str, prefix: &str, url: &str) -> Self {
        Self::bare(name, prefix, Transport::Http { url: url.to_owned() })
    }

    fn bare(name: &str, prefix: &str, transport: Transport) -> Self {
        Self {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            transport,
            channels: Vec::new(),
            admin: Vec::new(),
            mounts: Vec::new(),
            metrics: false,
            poll: None,
            timeouts: Timeouts::default(),
        }
    }

    /// Checks this extension by itself; [`validate`] checks all of them together.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        let name_rule = "must be 1 to 32 of a-z, 0-9 and -, and begin with a letter or a digit";
        self.check("name", &self.name, word(&self.name, "-", true), name_rule)?;
        let prefix_rule = "must be 1 to 32 of a-z, 0-9 and _, and begin with a letter";
        self.check("prefix", &self.prefix, word(&self.prefix, "_", false), prefix_rule)?;
        // `pairing_x` is refused, too, because its metrics would look like the gateway's.
        self.check(
            "prefix",
            &self.prefix,
            !own_word(&self.prefix),
            "is the gateway's own; choose another",
        )?;
        match &self.transport {
            Transport::Stdio { command } => {
                let program = command.first().map(String::as_str).unwrap_or_default();
                self.check(
                    "command",
                    program,
                    !program.is_empty(),
                    "names no program; give the program and its arguments",
                )?;
                // No argument of a program can contain a zero byte, so it would never start.
                let whole = command.iter().all(|word| !word.contains('\0'));
                self.check("command", program, whole, "holds a zero byte, which no argument can")?;
            }
            Transport::Http { url } => {
                endpoint(url).map_err(|problem| self.invalid("url", url, problem))?;
            }
        }
        for channel in &self.channels {
            let rule = "must be 1 to 32 of a-z, 0-9, - and _, and begin with a letter or a digit";
            self.check("channel", channel, word(channel, "-_", true), rule)?;
        }
        for admin in &self.admin {
            let rule = "must be words of a-z, 0-9, - and _, with one . or / between two, 256 bytes at most";
            let fine = admin.len() <= PATH_BYTES
                && admin.split(['.', '/']).all(|part| word(part, "-_", true));
            self.check("admin method prefix", admin, fine, rule)?;
            self.check(
                "admin method prefix",
                admin,
                !own_word(admin),
                "is the gateway's own; choose another",
            )?;
        }
        for mount in &self.mounts {
            let rule = "must be a path like /mail or /mail/in: segments of letters, digits, -, _, ~ and ., none of them . or .., \
                        no / at its end, 256 bytes at most";
            self.check("mount", mount, is_mount(mount), rule)?;
            self.check("mount", mount, !own_path(mount), "is the gateway's own; choose another")?;
        }
        let once = [
            ("channel", &self.channels),
            ("admin method prefix", &self.admin),
            ("mount", &self.mounts),
        ];
        for (field, values) in once {
            let mut seen = BTreeSet::new();
            if let Some(value) = values.iter().find(|value| !seen.insert(*value)) {
                return Err(self.invalid(field, value, "is there twice; leave one out".to_owned()));
            }
        }
        if let Some(every) = self.poll {
            self.check(
                "poll",
                &format!("{every:?}"),
                every >= Duration::from_millis(100),
                "is too often; 100 ms is the least",
            )?;
        }
        for (field, within) in [
            ("call timeout", self.timeouts.call),
            ("scrape timeout", self.timeouts.scrape),
            ("poll timeout", self.timeouts.poll),
        ] {
            let fine = (Duration::from_millis(1)..=Duration::from_secs(600)).contains(&within);
            self.check(field, &format!("{within:?}"), fine, "must be 1 ms to 10 minutes")?;
        }
        Ok(())
    }

    fn check(
        &self,
        field: &'static str,
        value: &str,
        fine: bool,
        problem: &str,
    ) -> Result<(), ConfigError> {
        if fine { Ok(()) } else { Err(self.invalid(field, value, problem.to_owned())) }
    }

    fn invalid(&self, field: &'static str, value: &str, problem: String) -> ConfigError {
        ConfigError::Invalid {
            extension: self.name.clone(),
            field,
            value: value.to_owned(),
            problem,
        }
    }
}

/// Checks extensions, each by itself and all together: no name, prefix, channel, admin method
/// prefix or mount may occur twice.
///
/// # Errors
/// [`ConfigError`] for the first violation.
pub fn validate(configs: &[ExtensionConfig]) -> Result<(), ConfigError> {
    if configs.len() > MOST_EXTENSIONS {
        return Err(ConfigError::TooMany(configs.len()));
    }
    configs.iter().try_for_each(ExtensionConfig::validate)?;
    for (at, config) in configs.iter().enumerate() {
        for other in &configs[..at] {
            let twice = |field, value: &str| {
                Err(ConfigError::Twice {
                    first: other.name.clone(),
                    second: config.name.clone(),
                    field,
                    value: value.to_owned(),
                })
            };
            if other.name == config.name {
                return twice("name", &config.name);
            }
            // With the prefixes `mail` and `mail_in`, the first could forge metrics of the second.
            let (short, long) = if other.prefix.len() < config.prefix.len() {
                (other, config)
            } else {
                (config, other)
            };
            if format!("{}_", long.prefix).starts_with(&format!("{}_", short.prefix)) {
                return twice("prefix", &short.prefix);
            }
            let both = |ours: &[String], theirs: &[String]| {
                ours.iter().find(|value| theirs.contains(value)).cloned()
            };
            if let Some(value) = both(&config.channels, &other.channels) {
                return twice("channel", &value);
            }
            if let Some(value) = both(&config.admin, &other.admin) {
                return twice("admin method prefix", &value);
            }
            if let Some(value) = both(&config.mounts, &other.mounts) {
                return twice("mount", &value);
            }
        }
    }
    Ok(())
}

/// Parses the URL of an HTTP extension.
///
/// # Errors
/// The problem and its remedy, as part of a sentence.
pub(super) fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| {
        format!("is no URL ({error}); write http://127.0.0.1:9000/ for instance")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or a password, which are not sent; leave them out".to_owned());
    }
    if url.fragment().is_some() {
        return Err("holds a #, and what follows is never sent; leave it out".to_owned());
    }
    match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => Ok(url),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => Ok(url),
        _ => Err("names no host".to_owned()),
    }
}

/// Returns `true` for 1 to 32 of `a-z`, `0-9` and `others`, beginning with a letter or, with
/// `digit_first`, a digit.
fn word(text: &str, others: &str, digit_first: bool) -> bool {
    let first = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || (digit_first && byte.is_ascii_digit()));
    let rest =
        text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || others.contains(c));
    first && rest && text.len() <= NAME_BYTES
}

/// Returns `true` if the first word is reserved for the gateway.
pub(super) fn own_word(text: &str) -> bool {
    // Metrics join words by an underscore, so it separates words here as well.
    let first = text.split(['.', '/', '_']).next().unwrap_or_default();
    OWN_WORDS.iter().any(|own| own.eq_ignore_ascii_case(first))
}

fn own_path(mount: &str) -> bool {
    let first = mount.split('/').nth(1).unwrap_or_default();
    OWN_PATHS.iter().any(|own| own.eq_ignore_ascii_case(first))
}

fn is_mount(mount: &str) -> bool {
    let plain = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || "-_~.".contains(c));
    let segment = |part: &str| !part.is_empty() && part != "." && part != ".." && plain(part);
    mount.len() <= PATH_BYTES
        && mount.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment))
}
