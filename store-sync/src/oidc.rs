//! Signing in at a provider of the chain's: OpenID Connect Core 1.0, authorization code flow with PKCE (RFC 7636).
//!
//! The provider says who somebody is and, in one claim, to which groups they belong; store.toml says which role of this
//! store a group gets. Whoever has none is refused. What a sign-in needs until the browser comes back (state, nonce, code
//! verifier) is in memory only, bound to that browser by a cookie, good once and for ten minutes; of more than a thousand the
//! oldest gives way. The provider's keys are read anew for each sign-in. Everything here waits for the network: never on a
//! thread that serves others.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use linefree_recording::OidcConfig;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType, CoreGenderClaim,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IdTokenFields, IssuerUrl,
    Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use crate::desk::accounts::Role;

/// How long somebody may take at the provider, microseconds.
const PATIENCE_US: i64 = 600_000_000;
/// Sign-ins under way that are remembered.
const MAX_WAITING: usize = 1_000;
/// The longest answer of a provider, bytes.
const MAX_ANSWER: u64 = 1 << 20;
/// How long a provider may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The claims that the standard does not name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct More(Map<String, Value>);

impl AdditionalClaims for More {}

type Tokens = StandardTokenResponse<
    IdTokenFields<
        More,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type Provider = Client<
    More,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointMaybeSet,
>;

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The provider cannot be asked, or answers what it must not.
    #[error("the provider: {0}")]
    Provider(String),
    /// The browser did not begin here, or too long ago, or has been here already.
    #[error("this sign-in is not under way: begin again")]
    Stale,
    /// The provider did not let them in.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// They are known, and have no role here.
    #[error("{0} belongs to no group that has a role here")]
    NoRole(String),
}

/// Who the provider says somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The provider.
    pub issuer: String,
    /// Their name there, for machines: it never changes.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// What they may do here.
    pub role: Role,
}

/// Where a browser is to go, and what it is to remember.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The provider's page.
    pub url: String,
    /// The browser's own secret: the cookie.
    pub browser: String,
}

struct Waiting {
    browser: String,
    until_us: i64,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
    provider: Provider,
}

/// Signing in at one provider.
pub struct Oidc {
    config: OidcConfig,
    redirect: String,
    agent: ureq::Agent,
    waiting: Mutex<BTreeMap<String, Waiting>>,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oidc").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Oidc {
    /// At a provider; browsers come back to `redirect`.
    #[must_use]
    pub fn new(config: OidcConfig, redirect: String) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A provider that sends this server elsewhere is not followed.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(ANSWER_WITHIN))
            .build()
            .into();
        Self { config, redirect, agent, waiting: Mutex::default() }
    }

    /// The provider's host, for people.
    #[must_use]
    pub fn host(&self) -> &str {
        let issuer = self.config.issuer.as_str();
        let rest = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    fn ask(&self, request: HttpRequest) -> Result<HttpResponse, OidcError> {
        let told = |e: &dyn std::fmt::Display| OidcError::Provider(e.to_string());
        let answer = self.agent.run(request).map_err(|e| told(&e))?;
        let (parts, body) = answer.into_parts();
        let mut bytes = Vec::new();
        body.into_reader().take(MAX_ANSWER).read_to_end(&mut bytes).map_err(|e| told(&e))?;
        Ok(HttpResponse::from_parts(parts, bytes))
    }

    fn provider(&self) -> Result<Provider, OidcError> {
        let told = |e: &dyn std::fmt::Display| OidcError::Provider(e.to_string());
        let issuer = IssuerUrl::new(self.config.issuer.clone()).map_err(|e| told(&e))?;
        let metadata =
            CoreProviderMetadata::discover(&issuer, &|r| self.ask(r)).map_err(|e| told(&chain(&e)))?;
        let secret = match &self.config.client_secret_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| OidcError::Provider(format!("cannot read {}: {e}", path.display())))?;
                Some(ClientSecret::new(text.lines().next().unwrap_or_default().trim().to_owned()))
            }
        };
        let redirect = RedirectUrl::new(self.redirect.clone()).map_err(|e| told(&e))?;
        let client =
            Client::from_provider_metadata(metadata, ClientId::new(self.config.client_id.clone()), secret);
        // What discovery does not name cannot be asked.
        let token = client
            .token_uri()
            .cloned()
            .ok_or_else(|| OidcError::Provider("it names no token endpoint".into()))?;
        Ok(client.set_redirect_uri(redirect).set_token_uri(token))
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    /// [`OidcError::Provider`].
    pub fn begin(&self, now_us: i64) -> Result<Begun, OidcError> {
        let provider = self.provider()?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = provider
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge);
        for scope in &self.config.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, state, nonce) = request.url();
        let browser = CsrfToken::new_random().secret().clone();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, w| w.until_us > now_us);
        if waiting.len() >= MAX_WAITING {
            let oldest = waiting.iter().min_by_key(|(_, w)| w.until_us).map(|(state, _)| state.clone());
            if let Some(oldest) = oldest {
                waiting.remove(&oldest);
            }
        }
        let until_us = now_us.saturating_add(PATIENCE_US);
        let browser_kept = browser.clone();
        waiting.insert(
            state.secret().clone(),
            Waiting { browser: browser_kept, until_us, nonce, verifier, provider },
        );
        Ok(Begun { url: url.into(), browser })
    }

    /// Ends a sign-in: a browser is back with its cookie and what the provider gave it.
    ///
    /// # Errors
    /// [`OidcError`]; the sign-in is over then, too.
    pub fn finish(&self, browser: &str, state: &str, code: &str, now_us: i64) -> Result<Known, OidcError> {
        let waiting = {
            let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // Another browser's try ends nobody's sign-in.
            let own =
                all.get(state).is_some_and(|w| bool::from(w.browser.as_bytes().ct_eq(browser.as_bytes())));
            if own { all.remove(state) } else { None }
        };
        let waiting = waiting.filter(|w| w.until_us > now_us).ok_or(OidcError::Stale)?;
        let tokens = waiting
            .provider
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(waiting.verifier)
            .request(&|r| self.ask(r))
            .map_err(|e| OidcError::Refused(chain(&e)))?;
        let id = tokens.id_token().ok_or_else(|| OidcError::Refused("it sent no ID token".into()))?;
        let claims = id
            .claims(&waiting.provider.id_token_verifier(), &waiting.nonce)
            .map_err(|e| OidcError::Refused(chain(&e)))?;
        let subject = claims.subject().to_string();
        let name = claims
            .preferred_username()
            .map(|n| n.to_string())
            .or_else(|| claims.email().map(|e| e.to_string()))
            .unwrap_or_else(|| subject.clone());
        let groups = claims.additional_claims().0.get(&self.config.role_claim);
        let role = self.role_of(groups).ok_or_else(|| OidcError::NoRole(name.clone()))?;
        Ok(Known { issuer: self.config.issuer.clone(), subject, name, role })
    }

    /// The most that any of somebody's groups may do. The claim is one text or a list of them.
    fn role_of(&self, groups: Option<&Value>) -> Option<Role> {
        let groups: Vec<&str> = match groups? {
            Value::String(one) => vec![one.as_str()],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        let roles = self.config.roles.iter().filter(|(group, _)| groups.contains(&group.as_str()));
        roles.filter_map(|(_, role)| Role::of_staff(role)).max_by_key(|role| role.rank())
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
