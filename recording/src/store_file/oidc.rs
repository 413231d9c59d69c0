//! `[oidc]`: where the people who work in the store sign in, by OpenID Connect.

use std::path::{Path, PathBuf};

use super::layout::filled;
use super::live::{path, url};
use crate::toml_walk::Node;

/// Roles that a group may get.
pub const OIDC_ROLES: [&str; 4] = ["staff", "manager", "ops", "auditor"];

/// The claim that holds somebody's groups unless `role_claim` says otherwise.
const DEFAULT_ROLE_CLAIM: &str = "groups";

/// `[oidc]`: the provider, and which of its groups get which role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// The provider's issuer identifier, exactly as it writes it itself.
    pub issuer: String,
    /// As whom the store is registered there.
    pub client_id: String,
    /// File that holds the client's secret on its first line; `None` for a public client, which PKCE alone protects.
    pub client_secret_file: Option<PathBuf>,
    /// The console's address as browsers know it, with `/api/oidc/back`; `None` = where the server listens.
    pub redirect: Option<String>,
    /// The claim of the ID token that holds the groups: one text, or a list.
    pub role_claim: String,
    /// Scopes beside `openid`.
    pub scopes: Vec<String>,
    /// Group and role, in the file's order.
    pub roles: Vec<(String, String)>,
}

pub(super) fn read(node: &Node<'_>, folder: &Path) -> Option<OidcConfig> {
    let mut t = node.table("[oidc] with single brackets")?;
    let address = |n: &Node<'_>| {
        let text = url(n, &["https://", "http://"])?;
        let host = text.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
        if host.is_some_and(|h| !matches!(h, "localhost" | "127.0.0.1")) {
            n.mistake("is reached without TLS", "begin it with https://; http:// is for 127.0.0.1 only");
            return None;
        }
        Some(text)
    };
    let issuer = t
        .need("issuer", "write the provider's issuer: https://id.example.com/realms/shop")
        .and_then(|n| address(&n));
    let client_id = t
        .need("client_id", "write the name under which the store is registered at the provider")
        .and_then(|n| filled(&n, "the client's id"));
    let client_secret_file = t.get("client_secret_file").and_then(|n| path(&n, folder));
    let redirect = t.get("redirect").and_then(|n| {
        let text = address(&n)?;
        if !text.ends_with("/api/oidc/back") {
            n.mistake("does not lead back to the console", "end it with /api/oidc/back");
            return None;
        }
        Some(text)
    });
    let role_claim = t.get("role_claim").and_then(|n| filled(&n, "a claim's name"));
    let texts = |n: &Node<'_>| -> Option<Vec<String>> {
        n.array("a list of texts")?.iter().map(|n| filled(n, "a text")).collect()
    };
    let scopes = t.get("scopes").and_then(|n| texts(&n));
    let mut roles = Vec::new();
    for (_, mut role) in t.tables("role") {
        let group = role.need("group", "name the group").and_then(|n| filled(&n, "a group's name"));
        let gets = role.need("is", "write the role that it gets").and_then(|n| {
            let text = filled(&n, "a role")?;
            if !OIDC_ROLES.contains(&text.as_str()) {
                n.mistake(format!("{text:?} is no role"), format!("write one of {}", OIDC_ROLES.join(", ")));
                return None;
            }
            Some(text)
        });
        role.finish();
        roles.extend(group.zip(gets));
    }
    if roles.is_empty() {
        t.mistake(
            "role",
            "is missing: nobody could sign in",
            "say which group gets which role: [[oidc.role]], group = \"shop-ops\", is = \"ops\"",
        );
    }
    t.finish();
    Some(OidcConfig {
        issuer: issuer?,
        client_id: client_id?,
        client_secret_file,
        redirect,
        role_claim: role_claim.unwrap_or_else(|| DEFAULT_ROLE_CLAIM.to_owned()),
        scopes: scopes.unwrap_or_else(|| vec!["profile".to_owned()]),
        roles,
    })
}
