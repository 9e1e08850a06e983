//! What the operator says about an extension, and what of it is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use url::{Host, Url};

/// Most extensions of one gateway.
pub const MOST_EXTENSIONS: usize = 64;
/// Longest name of an extension, a channel or a prefix, in bytes.
pub(super) const NAME_BYTES: usize = 32;
/// Longest method an operator may call, and longest mount, in bytes.
pub(super) const PATH_BYTES: usize = 256;
/// First words of methods and metrics that are the gateway's own.
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
/// First segments of paths that are the gateway's own.
const OWN_PATHS: [&str; 6] = ["pair", "api", "health", "ready", "metrics", "admin"];

/// One extension, as the operator configures it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionConfig {
    /// What it is called in logs and lists: 1 to 32 of `a-z`, `0-9` and `-`, and the first is no
    /// `-`.
    pub name: String,
    /// What its methods begin with, before a dot, and its metrics, before an underscore: 1 to 32 of
    /// `a-z`, `0-9` and `_`, and the first is a letter.
    pub prefix: String,
    /// How it is spoken to.
    pub transport: Transport,
    /// The channels whose senders it knows; names are as those of extensions, and may hold `_` too.
    pub channels: Vec<String>,
    /// The prefixes of the methods that an operator may call on it, for instance `mail` or
    /// `mail.queue`.
    pub admin: Vec<String>,
    /// The prefixes of the paths whose HTTP requests go to it, for instance `/mail`.
    pub mounts: Vec<String>,
    /// Whether it has metrics to add to the gateway's.
    pub metrics: bool,
    /// How often it is asked for what is new, 100 ms at least; never, if nothing is said.
    pub poll: Option<Duration>,
    /// How long it may take to answer.
    pub timeouts: Timeouts,
}

/// How an extension is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The gateway starts a program, writes to its standard input, and reads its standard output.
    Stdio {
        /// The program, and its arguments. No shell reads it.
        command: Vec<String>,
    },
    /// The gateway sends a POST for each call.
    Http {
        /// Where to; `http` or `https`.
        url: String,
    },
}

/// How long an extension may take. Each is 1 ms to 10 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To answer a call: 30 s.
    pub call: Duration,
    /// To say its metrics: 5 s.
    pub scrape: Duration,
    /// To say what is new: 60 s.
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

/// Extensions that cannot be had as they are configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// One of them is wrong in itself.
    #[error("extension {extension:?}: {field} {value:?} {problem}")]
    Invalid {
        /// Which extension.
        extension: String,
        /// Which of its settings.
        field: &'static str,
        /// What is set.
        value: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// Two want the same.
    #[error(
        "extensions {first:?} and {second:?} both have the {field} {value:?}; give one of them another"
    )]
    Twice {
        /// The first of the two, in the order of the configuration.
        first: String,
        /// The second of the two.
        second: String,
        /// Which of their settings.
        field: &'static str,
        /// What they both want.
        value: String,
    },
    /// There are too many.
    #[error("{0} extensions are configured; at most {MOST_EXTENSIONS} are possible")]
    TooMany(usize),
}

impl ExtensionConfig {
    /// An extension that the gateway starts as a program of its own. It has no channels and nothing
    /// else yet.
    #[must_use]
    pub fn stdio(name: &str, prefix: &str, command: &[&str]) -> Self {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Self::bare(name, prefix, Transport::Stdio { command })
    }

    /// An extension that runs by itself and is asked over HTTP. It has no channels and nothing else
    /// yet.
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

    /// Checks it by itself; [`validate`] checks all of them together.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        let name_rule = "must be 1 to 32 of a-z, 0-9 and -, and begin with a letter or a digit";
        self.check("name", &self.name, word(&self.name, "-", true), name_rule)?;
        let prefix_rule = "must be 1 to 32 of a-z, 0-9 and _, and begin with a letter";
        self.check("prefix", &self.prefix, word(&self.prefix, "_", false), prefix_rule)?;
        // `pairing_x` as well: its metrics would be called like the gateway's.
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
/// prefix or mount is anybody else's.
///
/// # Errors
/// [`ConfigError`], the first that is found.
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
            // `mail` beside `mail_in`: the first could invent metrics of the second.
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

/// A URL to which calls may be sent.
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

/// Whether it is 1 to 32 of `a-z`, `0-9` and `others`, and begins with a letter or, if it may, with
/// a digit.
fn word(text: &str, others: &str, digit_first: bool) -> bool {
    let first = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || (digit_first && byte.is_ascii_digit()));
    let rest =
        text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || others.contains(c));
    first && rest && text.len() <= NAME_BYTES
}

/// Whether its first word is the gateway's.
pub(super) fn own_word(text: &str) -> bool {
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
