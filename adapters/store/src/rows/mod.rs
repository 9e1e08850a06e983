//! Conversion between rows and records, for every backend that has SQL. Reading any row ends in a
//! record or in a description of its damage.

pub(crate) mod addresses;
pub(crate) mod certificates;
pub(crate) mod clones;
pub(crate) mod deliveries;
pub(crate) mod dispatches;
pub(crate) mod logins;
pub(crate) mod nodes;
pub(crate) mod policies;
pub(crate) mod provisioning;
pub(crate) mod replacements;
pub(crate) mod senders;
pub(crate) mod time;

use handfast_core::crypto::{ed25519, x25519};
use handfast_core::grant::capability::{self, Holder};
use handfast_core::grant::certificate::KeyHash;
use handfast_core::grant::scope::{AskedScopesBuf, ScopesBuf};
use handfast_core::grant::session::SessionHash;
use handfast_core::grant::token::TokenHash;
use handfast_core::registry::admission::Repetitions;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, Counted, Kind, Opened, Window};
use handfast_core::registry::delivery::{Before, DeliveryId, Ticket, Undelivered};
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::{
    AskMethod, Asked, Cause, Credential, Mode, Record, Standing,
};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::{LoginId, Maker, Prolonged, Session, SessionId};
use handfast_core::wire::native::pair::Selector;
use handfast_core::wire::registration::Profile;
use handfast_core::{Label, Name, NodeId, Source, UnixTime};

use crate::value::FromSql;
use crate::{BadRecord, Entry, Listed, Observation, StoreError, Stored, StoredCode, Version};

/// A row of a result.
pub(crate) trait Row {
    /// The backend's error.
    type Error: std::fmt::Display + Into<StoreError>;

    /// Returns the value of the column with this name.
    fn get<T: FromSql>(&self, column: &str) -> Result<T, Self::Error>;

    /// Returns the value of the column at this place.
    fn at<T: FromSql>(&self, place: usize) -> Result<T, Self::Error>;
}

/// The columns of a standing.
pub(crate) struct Columns<'a> {
    pub(crate) standing: &'static str,
    pub(crate) expires: Option<i64>,
    pub(crate) token_hash: Option<&'a [u8; 32]>,
    pub(crate) mode: Option<&'static str>,
    pub(crate) cause: Option<&'static str>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(standing: &'a Standing) -> Self {
        let empty = |word| Self {
            standing: word,
            expires: None,
            token_hash: standing.token().map(TokenHash::as_bytes),
            mode: None,
            cause: None,
        };
        match standing {
            Standing::Pending { expires } => {
                Self { expires: Some(integer(*expires)), ..empty("pending") }
            }
            Standing::Unapproved { .. } => empty("unapproved"),
            Standing::Paired { mode, .. } => Self { mode: Some(mode.as_str()), ..empty("paired") },
            Standing::Muted { restore, .. } => {
                Self { mode: Some(restore.as_str()), ..empty("muted") }
            }
            Standing::Revoked { cause } => Self { cause: Some(cause.as_str()), ..empty("revoked") },
        }
    }
}

/// Converts a time to a column's value. SQLite's integers end 292 billion years after the epoch; a
/// later time is stored as the last one.
pub(crate) fn integer(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// Converts a limit to a parameter.
pub(crate) fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Converts a column's value to a time.
pub(crate) fn seconds(stored: i64) -> UnixTime {
    UnixTime::from_secs(u64::try_from(stored).unwrap_or(0))
}

/// Converts a maker to a column's value: the session's id.
pub(crate) fn session(maker: Maker) -> Option<[u8; 16]> {
    maker.session().map(|id| *id.as_bytes())
}

/// Converts a maker to the value of a column for operators' sessions and tokens.
pub(crate) fn login(maker: Maker) -> Option<[u8; 16]> {
    maker.login().map(|id| *id.as_bytes())
}

fn maker(row: &impl Row, column: &str) -> Result<Maker, String> {
    get(row, column).map(Maker::stored)
}

/// Reads a maker that may also be a login, which has a column of its own.
fn maker_or_login(row: &impl Row, session: &str, login: &str) -> Result<Maker, String> {
    match get::<Option<[u8; 16]>>(row, login)? {
        Some(id) => Ok(Maker::Login(LoginId::from_bytes(id))),
        None => maker(row, session),
    }
}

/// Reads the first column. The schema allows only 16 bytes there, so other content is a damaged
/// database, not a bad record.
fn node_id<R: Row>(row: &R) -> Result<NodeId, R::Error> {
    row.get("node_id").map(NodeId::from_bytes)
}

/// Reads a record from its columns, by name; the id comes first.
pub(crate) fn stored<R: Row>(row: &R) -> Result<Result<Stored, BadRecord>, R::Error> {
    let node_id = node_id(row)?;
    Ok(try_stored(row, node_id).map_err(|problem| BadRecord { node_id, problem }))
}

/// Reads the record, the profile, the time of the last change, and the observation.
pub(crate) fn listed<R: Row>(row: &R) -> Result<Listed, R::Error> {
    let node_id = node_id(row)?;
    Ok(try_listed(row, node_id).map_err(|problem| BadRecord { node_id, problem }))
}

fn try_stored(row: &impl Row, node_id: NodeId) -> Result<Stored, String> {
    let keys = keys(row)?;
    let token = || get(row, "token_hash").map(TokenHash::from_bytes);
    let credential = || match get::<Option<[u8; 32]>>(row, "token_hash")? {
        Some(hash) => match get::<Option<[u8; 16]>>(row, "delivery_id")? {
            None => Ok(Credential::Token(TokenHash::from_bytes(hash))),
            Some(id) => undelivered(row, TokenHash::from_bytes(hash), DeliveryId::from_bytes(id))
                .map(Credential::Undelivered),
        },
        None if keys.is_some() => Ok(Credential::Keys),
        None => Err("token_hash is missing, and there are no keys".to_owned()),
    };
    let mode = || word(row, "mode", Mode::parse);
    let standing = match get::<String>(row, "standing")?.as_str() {
        "pending" => Standing::Pending { expires: time(row, "expires")? },
        "unapproved" => Standing::Unapproved { token: token()? },
        "paired" => Standing::Paired { credential: credential()?, mode: mode()? },
        "muted" => Standing::Muted { credential: credential()?, restore: mode()? },
        "revoked" => Standing::Revoked { cause: word(row, "cause", Cause::parse)? },
        other => return Err(format!("standing {other:?} is unknown")),
    };
    let address = word(row, "address", |text| text.parse().ok())?;
    let version = u64::try_from(get::<i64>(row, "version")?).map_err(|_| "version is negative")?;
    let record = Record {
        node_id,
        name: name(row, "name")?,
        room: name(row, "room")?,
        address,
        keys,
        asked_at: time(row, "asked_at")?,
        asked: asked(row, keys.is_some())?,
        standing,
    };
    Ok(Stored { record, version: Version(version), ceiling: ceiling(row)? })
}

/// Reads the content of a node's request. An older version has stored none.
fn asked(row: &impl Row, has_keys: bool) -> Result<Asked, String> {
    let permissions: String = get(row, "asked_permissions")?;
    let method = match get::<Option<String>>(row, "asked_method")? {
        Some(_) => word(row, "asked_method", AskMethod::parse)?,
        None if has_keys => AskMethod::Approval,
        None => AskMethod::Token,
    };
    Ok(Asked {
        permissions: AskedScopesBuf::parse(&permissions)
            .map_err(|_| format!("asked_permissions {permissions:?} are none"))?,
        csr_key: get::<Option<_>>(row, "asked_csr_key")?.map(KeyHash::from_bytes),
        method,
    })
}

/// Reads the state of a token under delivery.
fn undelivered(row: &impl Row, token: TokenHash, id: DeliveryId) -> Result<Undelivered, String> {
    let older = || get(row, "fallback_token").map(TokenHash::from_bytes);
    let before = match get::<String>(row, "fallback")?.as_str() {
        "pending" => Before::Pending { expires: time(row, "fallback_expires")? },
        "unapproved" => Before::Unapproved { token: older()? },
        "token" => Before::Token(older()?),
        other => return Err(format!("fallback {other:?} is unknown")),
    };
    Ok(Undelivered { token, ticket: Ticket { id, until: time(row, "delivery_until")? }, before })
}

fn try_listed(row: &impl Row, node_id: NodeId) -> Result<Entry, String> {
    let Stored { record, version, ceiling } = try_stored(row, node_id)?;
    let profile: String = get(row, "profile")?;
    Profile::parse(&profile).ok_or("profile is not a JSON object of at most 4 KiB")?;
    let observed = match get::<Option<i64>>(row, "last_seen")? {
        None => None,
        Some(_) => Some(Observation {
            last_seen: time(row, "last_seen")?,
            occupancy: get(row, "occupancy")?,
            noise_level: get(row, "noise_level")?,
            wake_word_fp: get(row, "wake_word_fp")?,
        }),
    };
    let asked = match get::<Option<u32>>(row, "times")? {
        None => None,
        Some(times) => Some(Repetitions {
            times,
            last: time(row, "last")?,
            request: get::<i64>(row, "request")?.cast_unsigned(),
        }),
    };
    let rejection = match get::<Option<i64>>(row, "rejected")? {
        None => None,
        // A key whose request was approved later is not rejected any more.
        Some(_) if !matches!(record.standing, Standing::Revoked { .. }) => None,
        Some(times) => Some(rejection(times, get(row, "until")?)),
    };
    let more: String = get(row, "asks_more")?;
    let asks_more =
        AskedScopesBuf::parse(&more).map_err(|_| format!("asks_more {more:?} are none"))?;
    let maker = maker(row, "approved_by")?;
    Ok(Entry {
        record,
        version,
        ceiling,
        profile,
        changed_at: time(row, "changed_at")?,
        asked,
        rejection,
        asks_more,
        observed,
        maker,
    })
}

/// Converts the columns of a rejection.
pub(crate) fn rejection(times: i64, until: Option<i64>) -> Rejection {
    Rejection { times: u8::try_from(times).unwrap_or(u8::MAX), until: until.map(seconds) }
}

/// Reads a node's ceiling.
fn ceiling(row: &impl Row) -> Result<Option<Box<Ceiling>>, String> {
    let Some(text) = get::<Option<String>>(row, "ceiling")? else { return Ok(None) };
    let scopes = ScopesBuf::parse(&text).map_err(|_| format!("ceiling {text:?} is unknown"))?;
    Ok(Some(Box::new(Ceiling {
        scopes,
        expires: perhaps(row, "ceiling_expires")?,
        named: get(row, "ceiling_named")?,
        maker: maker(row, "ceiling_by")?,
    })))
}

/// The column of a node without a signing key: no key has this form.
pub(crate) const NO_SIGNING_KEY: [u8; 32] = [0; 32];

/// Reads a node's keys: both columns, or none.
fn keys(row: &impl Row) -> Result<Option<Holder>, String> {
    let (channel, signing) = (get(row, "static_key")?, get(row, "signing_key")?);
    match (channel, signing) {
        (None, None) => Ok(None),
        (Some(channel), Some(signing)) => Ok(Some(Holder {
            channel: x25519::PublicKey::parse(&channel).map_err(|_| "static_key is no key")?,
            signing: match signing {
                NO_SIGNING_KEY => None,
                key => Some(ed25519::PublicKey::parse(&key).map_err(|_| "signing_key is no key")?),
            },
        })),
        (None, Some(_)) => Err("static_key is missing".to_owned()),
        (Some(_), None) => Err("signing_key is missing".to_owned()),
    }
}

/// Reads a grant.
pub(crate) fn grant<R: Row>(row: &R) -> Result<Result<Grant, BadRecord>, R::Error> {
    let node_id = row.get("node_id").map(NodeId::from_bytes)?;
    Ok(try_grant(row, node_id)
        .map_err(|problem| BadRecord { node_id, problem: format!("grant: {problem}") }))
}

fn try_grant(row: &impl Row, node_id: NodeId) -> Result<Grant, String> {
    let state = match get::<String>(row, "state")?.as_str() {
        "offered" => State::Offered { until: time(row, "until")? },
        "active" => State::Active,
        "ended" => State::Ended,
        other => return Err(format!("state {other:?} is unknown")),
    };
    Ok(Grant {
        id: get(row, "grant_id").map(GrantId::from_bytes)?,
        node_id,
        capability: get::<Option<_>>(row, "capability")?.map(capability::Id::from_bytes),
        scopes: scopes(row)?,
        not_before: time(row, "not_before")?,
        expires: perhaps(row, "expires")?,
        moved: get(row, "moved")?,
        state,
        maker: maker(row, "maker")?,
    })
}

/// Reads a PIN or code. The schema allows only 16 bytes as its id.
pub(crate) fn code<R: Row>(row: &R) -> Result<Result<StoredCode, StoreError>, R::Error> {
    let id: [u8; 16] = row.get("code_id")?;
    let id = CodeId::from_bytes(id);
    Ok(try_code(row, id).map_err(|problem| {
        StoreError::Database(format!("a stored PIN or code cannot be read: {problem}"))
    }))
}

fn try_code(row: &impl Row, id: CodeId) -> Result<StoredCode, String> {
    let provisions = match get::<Option<String>>(row, "provisions")? {
        Some(text) => Some(Label::parse(&text).ok_or("provisions is no name")?.into()),
        None => None,
    };
    let kind = match get::<Option<[u8; 32]>>(row, "pin_for")? {
        Some(key) => Kind::Pin(x25519::PublicKey::parse(&key).map_err(|_| "pin_for is no key")?),
        None if provisions.is_some() => Kind::Provisioning,
        None => Kind::Code(word(row, "selector", Selector::parse)?),
    };
    let counted = Counted {
        kind,
        expires: time(row, "expires")?,
        guesses: get(row, "guesses")?,
        uses_left: get(row, "uses_left")?,
    };
    Ok(StoredCode {
        id,
        counted,
        sealed: get::<Option<_>>(row, "sealed")?.unwrap_or_default(),
        scopes: scopes(row)?,
        grant_for: perhaps(row, "grant_for")?.map(UnixTime::as_secs),
        created_at: time(row, "created_at")?,
        label: get(row, "label")?,
        maker: maker_or_login(row, "maker", "login")?,
        source: get::<Option<_>>(row, "source")?.map(Source::from_bytes),
        provisions,
    })
}

/// Reads the pairing window.
pub(crate) fn window<R: Row>(row: &R) -> Result<Result<Window, StoreError>, R::Error> {
    let read = || {
        let opened = match perhaps(row, "opened_at")? {
            Some(at) => {
                let by = maker_or_login(row, "opened_by", "opened_login")?;
                Some(Opened { at, closes: perhaps(row, "closes")?, by })
            }
            None => None,
        };
        Ok(Window { opened, guesses: get(row, "guesses")? })
    };
    Ok(read().map_err(|problem: String| {
        StoreError::Database(format!("the pairing window cannot be read: {problem}"))
    }))
}

/// Reads a companion's session. The schema allows only 16 bytes as its id.
pub(crate) fn companion<R: Row>(row: &R) -> Result<Result<Session, StoreError>, R::Error> {
    let id: [u8; 16] = row.get("session_id")?;
    let id = SessionId::from_bytes(id);
    Ok(try_session(row, id).map_err(|problem| {
        let id = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        StoreError::Database(format!("the stored session {id} cannot be read: {problem}"))
    }))
}

fn try_session(row: &impl Row, id: SessionId) -> Result<Session, String> {
    let device_label = match get::<Option<String>>(row, "device_label")? {
        Some(_) => Some(name(row, "device_label")?),
        None => None,
    };
    Ok(Session {
        id,
        hash: SessionHash::from_bytes(get(row, "hash")?),
        profile: name(row, "profile")?,
        device_label,
        issued_at: time(row, "issued_at")?,
        expires_at: time(row, "expires_at")?,
        revoked_at: perhaps(row, "revoked_at")?,
        over: get(row, "over")?,
        maker: maker(row, "maker")?,
        prolonged: match get::<Option<[u8; 16]>>(row, "prolonged_by")? {
            Some(by) => {
                Some(Prolonged { by: SessionId::from_bytes(by), before: time(row, "own_end")? })
            }
            None => None,
        },
    })
}

pub(crate) fn name(row: &impl Row, column: &str) -> Result<Name, String> {
    let text: String = get(row, column)?;
    let label = Label::parse(&text).filter(|label| label.as_str() == text);
    label.map(Name::from).ok_or_else(|| format!("{column} is not allowed"))
}

fn scopes(row: &impl Row) -> Result<ScopesBuf, String> {
    word(row, "scopes", |text| ScopesBuf::parse(text).ok())
}

/// Reads scopes from a text.
fn scopes_of(text: &str) -> Result<ScopesBuf, String> {
    ScopesBuf::parse(text).map_err(|_| format!("scopes {text:?} are none"))
}

pub(crate) fn get<T: FromSql>(row: &impl Row, column: &str) -> Result<T, String> {
    row.get(column).map_err(|problem| format!("{column}: {problem}"))
}

pub(crate) fn time(row: &impl Row, column: &str) -> Result<UnixTime, String> {
    u64::try_from(get::<i64>(row, column)?)
        .map(UnixTime::from_secs)
        .map_err(|_| format!("{column} lies before 1970"))
}

pub(crate) fn perhaps(row: &impl Row, column: &str) -> Result<Option<UnixTime>, String> {
    get::<Option<i64>>(row, column)?.map(|_| time(row, column)).transpose()
}

pub(crate) fn word<T>(
    row: &impl Row,
    column: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, String> {
    let text: String = get(row, column)?;
    parse(&text).ok_or_else(|| format!("{column} {text:?} is unknown"))
}
