//! Where the broker is, and who we are to it: `mqtt://[user@]host[:port]` and a password file.
//!
//! A password never stands in a URL, because URLs end up in logs, process lists and screenshots; it stands in a
//! file of its own, whose first line it is. `Display` and `Debug` do not show it. `mqtts://` is MQTT over mutual TLS:
//! a client for it needs an identity, see [`identity`](crate::identity).

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

/// MQTT's registered port.
pub const DEFAULT_PORT: u16 = 1883;

/// MQTT's registered port over TLS.
pub const DEFAULT_TLS_PORT: u16 = 8883;

/// Why a text is no URL of a bus.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// The URL cannot be used.
    #[error(
        "{url:?} is no bus URL: {why}; wanted mqtt://[user@]host[:port] or mqtts://..., for example \
         mqtt://127.0.0.1:1883"
    )]
    Bad {
        /// The URL, without what stood before an `@`.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The password file cannot be used.
    #[error("password file {path}: {why}")]
    PasswordFile {
        /// Which file.
        path: String,
        /// What is wrong.
        why: String,
    },
}

/// A user and a password. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).field("password", &"***").finish()
    }
}

/// Where the broker is, and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusUrl {
    host: String,
    port: u16,
    tls: bool,
    username: Option<String>,
    login: Option<Login>,
}

impl BusUrl {
    /// Reads `mqtt://[user@]host[:port]` or `mqtts://...`; IPv6 addresses stand in brackets.
    ///
    /// # Errors
    /// [`UrlError::Bad`], also for passwords within the URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        // Whatever stands before '@' may be a secret, so no error repeats it.
        let shown = match text.rsplit_once('@') {
            Some((before, host)) => {
                let scheme = if before.starts_with("mqtts:") { "mqtts" } else { "mqtt" };
                format!("{scheme}://...@{host}")
            }
            None => text.to_owned(),
        };
        let bad = |why| Err(UrlError::Bad { url: shown.clone(), why });
        let (tls, rest) = match (text.strip_prefix("mqtt://"), text.strip_prefix("mqtts://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return bad("it does not start with mqtt:// or mqtts://"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (username, address) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => {
                return bad("a password must not stand in it; put it into a file (password_file)");
            }
            Some(("", _)) => return bad("the user before '@' is empty"),
            Some((user, address)) => (Some(user.to_owned()), address),
            None => (None, rest),
        };
        let (host, port) = if let Some(rest) = address.strip_prefix('[') {
            let Some((host, after)) = rest.split_once(']') else { return bad("']' is missing") };
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return bad("after ']' only a port may follow"),
            }
        } else {
            match address.split_once(':') {
                Some((_, port)) if port.contains(':') => return bad("an IPv6 address stands in brackets"),
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            }
        };
        if host.is_empty() {
            return bad("there is no host");
        }
        if host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#')) {
            return bad("the host holds a character that hosts do not have (a path is not allowed)");
        }
        let port = match port.map(str::parse::<u16>) {
            None if tls => DEFAULT_TLS_PORT,
            None => DEFAULT_PORT,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => return bad("the port is no number from 1 to 65535"),
        };
        Ok(Self { host: host.to_owned(), port, tls, username, login: None })
    }

    /// The broker at an address, without a login.
    #[must_use]
    pub fn of_addr(addr: SocketAddr) -> Self {
        Self { host: addr.ip().to_string(), port: addr.port(), tls: false, username: None, login: None }
    }

    /// Over TLS?
    #[must_use]
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The same, with a login.
    #[must_use]
    pub fn with_login(mut self, login: Login) -> Self {
        self.username = Some(login.username.clone());
        self.login = Some(login);
        self
    }

    /// Reads the password of the URL's user from the first line of a file.
    ///
    /// # Errors
    /// [`UrlError::PasswordFile`] when the URL names no user, or the file is unreadable or empty.
    pub fn with_password_file(self, path: &Path) -> Result<Self, UrlError> {
        let bad = |why: String| UrlError::PasswordFile { path: path.display().to_string(), why };
        let Some(username) = self.username.clone() else {
            return Err(bad("the URL names no user it belongs to; write mqtt://user@host".to_owned()));
        };
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        let password = text.lines().next().unwrap_or_default().to_owned();
        if password.is_empty() {
            return Err(bad("its first line, which is the password, is empty".to_owned()));
        }
        Ok(self.with_login(Login { username, password }))
    }

    /// Name or address of the broker.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port of the broker.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The login, once its password is known.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "mqtts://" } else { "mqtt://" })?;
        if let Some(user) = &self.username {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for BusUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_go_there_and_back() {
        for (text, shown) in [
            ("mqtt://127.0.0.1:1884", "mqtt://127.0.0.1:1884"),
            ("mqtt://store-server", "mqtt://store-server:1883"),
            ("mqtt://cam@broker:99/", "mqtt://cam@broker:99"),
            ("mqtt://[::1]:1884", "mqtt://[::1]:1884"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtts://broker", "mqtts://broker:8883"),
            ("mqtts://[::1]:99", "mqtts://[::1]:99"),
        ] {
            assert_eq!(BusUrl::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn bad_urls_are_refused_and_secrets_not_repeated() {
        for bad in [
            "",
            "http://a",
            "mqtt://",
            "mqtt://a:b",
            "mqtt://a:0",
            "mqtt://a:70000",
            "mqtt://::1",
            "mqtt://a/b",
            "mqtts://",
            "mqtt://@a",
            "mqtt://[::1",
        ] {
            assert!(BusUrl::parse(bad).is_err(), "{bad:?} was taken for a URL");
        }
        let error = BusUrl::parse("mqtt://u:hunter2@a").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("password_file"), "{error}");
    }

    #[test]
    fn a_password_comes_from_a_file_and_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let url = BusUrl::parse("mqtt://cam@a").unwrap().with_password_file(&path).unwrap();
        assert_eq!(url.login().unwrap().password, "hunter2");
        assert!(!format!("{url} {url:?}").contains("hunter2"));
        assert!(BusUrl::parse("mqtt://a").unwrap().with_password_file(&path).is_err());
        std::fs::write(&path, "\n").unwrap();
        assert!(BusUrl::parse("mqtt://cam@a").unwrap().with_password_file(&path).is_err());
    }
}
