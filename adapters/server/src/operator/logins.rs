//! Operators' access over HTTP: login links, the sessions that they open, and tokens of programs.

use std::net::IpAddr;
use std::time::Duration;

use handfast_core::grant::keyed_secret::{KEYED_SECRET_CHARS, KeyedSecret, SecretUse};
use handfast_core::grant::login_link::{LOGIN_SECRET_CHARS, LoginSecret};
use handfast_core::registry::authority::Role;
use handfast_core::registry::delivery::{DeliveryId, NotSettled};
use handfast_core::registry::logins::{LINK_LIFE, LOGINS, Login, LoginId, LoginKind, LoginUse};
use handfast_core::{Label, Name, Span};
use handfast_store::audit::Who;
use handfast_store::held::Cut;
use handfast_store::{SaveError, StoreError};
use url::Url;
use zeroize::Zeroizing;

use crate::entropy;
use crate::events::Event;
use crate::gateway::login_links::{LinkState, LoginOffer};
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, to_its_end};
use crate::hex::hex;
use crate::operator::final_decisions::FEWEST_FOR_GOOD;

/// The life of a token for which none is named.
pub const TOKEN_LIFE: Duration = Duration::from_secs(30 * 86_400);
/// Maximum number of matches in an error for an ambiguous prefix.
const MOST_MATCHES: usize = 5;

/// Whom a login link reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginReach {
    /// Browsers on any machine that reaches the gateway's URL, over an encrypted connection.
    Elsewhere,
    /// Browsers on the gateway's own machine.
    ThisMachine,
    /// Browsers on any machine, over a connection that everybody on the way can read.
    Plain,
}

/// A login link that was just made.
#[derive(Debug)]
pub struct LoginLinkMade {
    /// Id of the link, and of the delivery of its secret.
    pub id: DeliveryId,
    /// URL with the secret behind `#`.
    pub url: Zeroizing<String>,
    /// The same at the address of this gateway alone, if that is another one and others share the
    /// registry: they do not know the link.
    pub own_url: Option<Zeroizing<String>>,
    /// Name of the operator.
    pub name: Name,
    /// Role of the session that it opens.
    pub role: Role,
    /// Life of the link.
    pub lives: Span,
    /// Whom it reaches.
    pub reach: LoginReach,
    /// SHA-256 fingerprint of the certificate that the browser warns about, where it is one of the
    /// gateway's own authority and the link leads there.
    pub certificate: Option<String>,
}

/// A token that was just made.
#[derive(Debug)]
pub struct TokenMade {
    /// The token's text, which is shown only this once.
    pub text: Zeroizing<String>,
    /// The token as it is listed.
    pub login: Login,
}

/// A session that was just opened.
pub(crate) struct SessionOpened {
    pub(crate) login: Login,
    pub(crate) secret: KeyedSecret,
}

/// The reason for which a login link opens no session.
pub(crate) enum NotOpened {
    /// No link that waits has this secret.
    Unknown,
    /// As many sessions and tokens as may be are valid.
    TooMany,
    /// The session could not be stored; the link waits as before.
    Store(StoreError),
}

impl Gateway {
    /// Makes a link that opens an operator's session, once, within five minutes. Its delivery has
    /// to be [confirmed](Gateway::confirm_delivery) once it was shown.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] for an invalid name, or if too many links wait;
    /// [`OperatorError::NoUrl`] if browsers would reach the gateway only over a connection that is
    /// neither encrypted nor local.
    pub fn make_login_link(
        &self,
        name: Option<&str>,
        role: Role,
    ) -> Result<LoginLinkMade, OperatorError> {
        let name = operator_name(name.unwrap_or(role.as_str()))?;
        let (url, reach) = self.login_url()?;
        // Another URL leads to a proxy or tunnel, which has a certificate of its own.
        let leads_here = self.inner.logins.settings.url.as_deref().and_then(login_page);
        let certificate = self.own_tls_fingerprint().filter(|_| leads_here.as_ref() == Some(&url));
        let (id, secret) = (DeliveryId::new(&entropy::draw()), LoginSecret::mint(&entropy::draw()));
        let times = (LINK_LIFE, self.inner.limits.deliver_within);
        let offer = LoginOffer { name: name.clone(), role };
        let now = self.inner.clock.elapsed();
        if !self.inner.logins.links.add(id, secret.hash(), offer, times, now) {
            return Err(OperatorError::Usage(
                "too many login links wait already; use one of them, or wait until they end"
                    .to_owned(),
            ));
        }
        let mut room = Zeroizing::new([0; LOGIN_SECRET_CHARS]);
        let fragment = secret.write(&mut room);
        let with_secret = |mut page: Url| {
            page.set_fragment(Some(fragment));
            Zeroizing::new(String::from(page))
        };
        let own_url = self.own_login_page().filter(|own| *own != url).map(with_secret);
        let url = with_secret(url);
        Ok(LoginLinkMade { id, url, own_url, name, role, lives: LINK_LIFE, reach, certificate })
    }

    /// Returns the URL of the login page, and whom it reaches.
    fn login_url(&self) -> Result<(Url, LoginReach), OperatorError> {
        let (addresses, settings) =
            (&self.inner.setup.settings.addresses, &self.inner.logins.settings);
        let own = [&addresses.public, &addresses.tunnel, &settings.url];
        let base = own.into_iter().flatten().next().ok_or_else(|| {
            OperatorError::NoUrl(
                "the gateway does not know where browsers reach it: name that in setup.public_url"
                    .to_owned(),
            )
        })?;
        let url = login_page(base).ok_or_else(|| {
            OperatorError::NoUrl(format!("{base:?} leads to no page; see setup.public_url"))
        })?;
        let reach = reach_of(&url, settings.plain).ok_or_else(|| {
            OperatorError::NoUrl(format!(
                "{base} is neither encrypted nor on this machine, so everybody on the way could \
                 take the session over: give the gateway a certificate with --tls-cert and \
                 --tls-key, or one of its own with --tls-own, put a reverse proxy with TLS before \
                 it and name that in --public-url, or let it listen on 127.0.0.1; --plain-login \
                 allows it nevertheless"
            ))
        })?;
        Ok((url, reach))
    }

    /// Returns the login page at the address by which operators find this gateway among those that
    /// share its registry; `None` if there are no others, or a link must not lead there.
    fn own_login_page(&self) -> Option<Url> {
        let own = login_page(self.inner.sharing.as_ref()?.address()?)?;
        reach_of(&own, self.inner.logins.settings.plain).map(|_| own)
    }

    /// Returns the state of a login link; `None` if there is none, or no more.
    pub(crate) fn login_link_state(&self, id: DeliveryId) -> Option<LinkState> {
        self.inner.logins.links.state(id, self.inner.clock.elapsed())
    }

    /// Returns who would log in with a secret. Spends nothing.
    pub(crate) fn look_at_login(&self, secret: &LoginSecret) -> Option<LoginOffer> {
        self.inner.logins.links.look(&secret.hash(), self.inner.clock.elapsed())
    }

    /// Spends a login link and opens its session. It runs to completion even if the connection is
    /// lost.
    ///
    /// # Errors
    /// [`NotOpened`], the reason why not.
    pub(crate) async fn open_login(
        &self,
        secret: &LoginSecret,
        from: Option<IpAddr>,
    ) -> Result<SessionOpened, NotOpened> {
        let (gateway, hash) = (self.clone(), secret.hash());
        let opened = tokio::spawn(async move {
            let inner = &gateway.inner;
            let (now, elapsed) = (inner.clock.unix(), inner.clock.elapsed());
            let links = &inner.logins.links;
            let (link, offer) =
                links.spend(&hash, (now, from), elapsed).ok_or(NotOpened::Unknown)?;
            // Id and secret are fresh, whatever cookie the browser has shown.
            let secret =
                KeyedSecret::mint(SecretUse::OperatorSession, &entropy::draw(), &entropy::draw());
            let ends_at = now.after(span(inner.logins.settings.longest));
            let login = Login {
                id: LoginId::from_bytes(*secret.id()),
                kind: LoginKind::Session,
                hash: secret.hash(),
                name: offer.name.clone(),
                role: offer.role,
                made_at: now,
                used_at: Some(now),
                used_from: from,
                expires_at: ends_at.min(now.after(span(inner.logins.settings.idle))),
                ends_at,
                revoked_at: None,
            };
            // The session speaks for itself from its first entry on.
            let acting = gateway.by(Who::Login(login.id), from);
            match acting.store().insert_login(login.clone(), now).await {
                Ok(true) => {}
                Ok(false) => {
                    links.give_back(link);
                    return Err(NotOpened::TooMany);
                }
                Err(error) => {
                    links.give_back(link);
                    return Err(NotOpened::Store(unsaved(error)));
                }
            }
            gateway.event(Event::LoggedIn {
                login: login.id,
                name: login.name.to_string(),
                role: login.role,
                address: from,
            });
            Ok(SessionOpened { login, secret })
        });
        opened
            .await
            .unwrap_or_else(|error| Err(NotOpened::Store(StoreError::Database(error.to_string()))))
    }

    /// Lists operators' sessions and tokens, ended ones too, in the order of their making.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn logins(&self, kind: LoginKind) -> Result<Vec<Login>, OperatorError> {
        let mut all = self.inner.store.logins().await?;
        all.retain(|login| login.kind == kind);
        Ok(all)
    }

    /// Makes a token for a program. It counts once it is [confirmed](Gateway::confirm_delivery) or
    /// used; until then it ends by itself.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] for an invalid name or life; [`OperatorError::Store`].
    pub async fn make_token(
        &self,
        name: Option<&str>,
        role: Role,
        lives: Option<Duration>,
    ) -> Result<TokenMade, OperatorError> {
        let name = operator_name(name.unwrap_or(role.as_str()))?;
        let lives = span(lives.unwrap_or(TOKEN_LIFE));
        let most = self.inner.pairing.settings.bounds.grant_for;
        if lives < Span::from_secs(60) || lives > most {
            return Err(OperatorError::Usage(format!(
                "a token is good for a minute to {} days",
                most.as_secs() / 86_400
            )));
        }
        let secret =
            KeyedSecret::mint(SecretUse::OperatorToken, &entropy::draw(), &entropy::draw());
        let now = self.inner.clock.unix();
        let ends_at = now.after(lives);
        let login = Login {
            id: LoginId::from_bytes(*secret.id()),
            kind: LoginKind::Token,
            hash: secret.hash(),
            name,
            role,
            made_at: now,
            used_at: None,
            used_from: None,
            // Nobody has seen it yet.
            expires_at: ends_at.min(now.after(self.inner.limits.deliver_within)),
            ends_at,
            revoked_at: None,
        };
        match self.store().insert_login(login.clone(), now).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(OperatorError::Usage(format!(
                    "{LOGINS} sessions and tokens are valid already; revoke some"
                )));
            }
            Err(error) => return Err(unsaved(error).into()),
        }
        let mut room = Zeroizing::new([0; KEYED_SECRET_CHARS]);
        let text = Zeroizing::new(secret.write(&mut room).to_owned());
        Ok(TokenMade { text, login })
    }

    /// Returns the session or token whose id begins so.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchOperator`], [`OperatorError::SeveralOperators`],
    /// [`OperatorError::Usage`] for fewer than [`FEWEST_FOR_GOOD`] digits, or
    /// [`OperatorError::Store`].
    pub async fn login_for_good(
        &self,
        kind: LoginKind,
        which: &str,
    ) -> Result<Login, OperatorError> {
        let lower = which.to_ascii_lowercase();
        let digits = lower.len() <= 32 && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
        if lower.len() < FEWEST_FOR_GOOD || !digits {
            return Err(OperatorError::Usage(format!(
                "what is ended for good takes {FEWEST_FOR_GOOD} or more characters of an id; \
                 {which:?} is none"
            )));
        }
        let mut found = self.logins(kind).await?;
        found.retain(|login| hex(login.id.as_bytes()).starts_with(&lower));
        match found.len() {
            0 => Err(OperatorError::NoSuchOperator { kind, prefix: which.to_owned() }),
            1 => Ok(found.remove(0)),
            _ => Err(OperatorError::SeveralOperators {
                prefix: which.to_owned(),
                matches: found
                    .iter()
                    .take(MOST_MATCHES)
                    .map(|login| hex(login.id.as_bytes()))
                    .collect(),
            }),
        }
    }

    /// Ends an operator's session or token for good, with the streams that it reads, and the codes
    /// and the open window that it made. Returns `false` if it had ended before.
    ///
    /// # Errors
    /// [`OperatorError::Store`], or [`OperatorError::CutNotStored`] if it has ended but that is not
    /// stored yet.
    pub async fn revoke_login(&self, id: LoginId) -> Result<bool, OperatorError> {
        let gateway = self.clone();
        to_its_end(async move {
            let now = gateway.inner.clock.unix();
            let what = format!("the operator's session {}", hex(id.as_bytes()));
            let end = |gateway: &Self| gateway.event(Event::LoginEnded { login: id });
            let store = gateway.store();
            let ended = store.end_login(id, now);
            let (revoked, with) = gateway.cut(Cut::Login(id), what, end, ended).await?;
            gateway.cut_what_ended(with).await;
            Ok(revoked)
        })
        .await
    }

    /// Confirms the delivery of a login link or a token. `None` if the id is of neither.
    pub(crate) async fn confirm_login(&self, id: DeliveryId) -> Result<Option<()>, OperatorError> {
        let late = |why| OperatorError::Delivery { id: hex(id.as_bytes()), why };
        match self.inner.logins.links.confirm(id, self.inner.clock.elapsed()) {
            Some(true) => return Ok(Some(())),
            Some(false) => return Err(late(NotSettled::Late)),
            None => {}
        }
        let Some(token) = self.token_of(id).await? else { return Ok(None) };
        let now = self.inner.clock.unix();
        if token.admits(now).is_err() {
            return Err(late(NotSettled::Late));
        }
        // The end in force becomes the latest end, as at the first use.
        let used = LoginUse {
            at: token.used_at.unwrap_or(token.made_at),
            from: token.used_from,
            expires_at: token.ends_at,
        };
        match self.inner.store.login_used(token.id, used).await? {
            true => Ok(Some(())),
            false => Err(late(NotSettled::Undone)),
        }
    }

    /// Cancels the delivery of a login link or a token. `None` if the id is of neither.
    pub(crate) async fn cancel_login(&self, id: DeliveryId) -> Result<Option<()>, OperatorError> {
        let late =
            || OperatorError::Delivery { id: hex(id.as_bytes()), why: NotSettled::Delivered };
        match self.inner.logins.links.cancel(id) {
            Some(true) => return Ok(Some(())),
            Some(false) => return Err(late()),
            None => {}
        }
        let Some(token) = self.token_of(id).await? else { return Ok(None) };
        if token.used_at.is_some() {
            return Err(late());
        }
        self.revoke_login(token.id).await?;
        Ok(Some(()))
    }

    /// Returns the token with the id of a delivery.
    async fn token_of(&self, id: DeliveryId) -> Result<Option<Login>, OperatorError> {
        let login = self.inner.store.login(LoginId::from_bytes(*id.as_bytes())).await?;
        Ok(login.filter(|login| login.kind == LoginKind::Token))
    }
}

/// Returns whom a link to this page reaches; `None` if everybody on the way could take the session
/// over, and nobody has allowed that.
fn reach_of(url: &Url, plain: bool) -> Option<LoginReach> {
    let near = match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => IpAddr::from(ip).to_canonical().is_loopback(),
        None => false,
    };
    match (near, url.scheme() == "https", plain) {
        (true, _, _) => Some(LoginReach::ThisMachine),
        (false, true, _) => Some(LoginReach::Elsewhere),
        (false, false, true) => Some(LoginReach::Plain),
        (false, false, false) => None,
    }
}

/// Returns the login page of a gateway's URL, which may be one for companions.
fn login_page(base: &str) -> Option<Url> {
    let mut url = Url::parse(base.trim()).ok()?;
    let scheme = match url.scheme() {
        "wss" | "https" => "https",
        "ws" | "http" => "http",
        _ => return None,
    };
    url.set_scheme(scheme).ok()?;
    let path = url.path().strip_suffix('/').unwrap_or(url.path());
    let path = format!("{}/login", path.strip_suffix("/pair").unwrap_or(path));
    url.set_path(&path);
    url.set_query(None);
    Some(url)
}

fn operator_name(text: &str) -> Result<Name, OperatorError> {
    let label = Label::parse(text).filter(|label| label.as_str() == text);
    label.map(Name::from).ok_or_else(|| {
        OperatorError::Usage(
            "a name has 1 to 64 characters, is not blank, and none of them moves a cursor or \
             reorders a line"
                .to_owned(),
        )
    })
}

/// Returns the store's error; a conflict means that 128 random bits collided.
fn unsaved(error: SaveError) -> StoreError {
    match error {
        SaveError::Store(error) => error,
        SaveError::Conflict | SaveError::Missing => {
            StoreError::Database("the id of a new session is taken".to_owned())
        }
    }
}

pub(crate) const fn span(duration: Duration) -> Span {
    Span::from_secs(duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_page_is_beside_the_companions_path() {
        for (base, page) in [
            ("wss://gateway.example", "https://gateway.example/login"),
            ("wss://gateway.example/ours/pair", "https://gateway.example/ours/login"),
            ("https://gateway.example/ours/?x=1", "https://gateway.example/ours/login"),
            ("ws://192.168.1.10:8765/pair", "http://192.168.1.10:8765/login"),
            ("http://[::1]:8765/", "http://[::1]:8765/login"),
        ] {
            assert_eq!(login_page(base).unwrap().as_str(), page);
        }
        assert!(login_page("tcp://192.0.2.1:1").is_none() && login_page("x").is_none());
    }

    #[test]
    fn an_operators_name_is_one_line_for_people() {
        assert_eq!(operator_name("Ana").unwrap().as_str(), "Ana");
        for wrong in ["", "  ", "a\nb", "a\u{202e}b", &"x".repeat(65)] {
            assert!(operator_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
