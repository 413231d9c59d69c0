//! The chain's app, as the demo plays it: a channel of the store's that signs what it posts, as Standard Webhooks says, and
//! knows the code that the order is handed over for.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// What the store calls it.
pub const CHANNEL: &str = "app";

/// A channel with its secret.
pub struct App {
    url: String,
    secret: String,
    /// The last order's code.
    code: Option<String>,
}

impl App {
    /// Has the store let it place orders: `add` is `store-sync channel add`, which prints its secret once.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn join(add: &mut Command, url: String) -> Result<Self> {
        let output = add.output().context("run store-sync channel add")?;
        let told = String::from_utf8_lossy(&output.stdout);
        let secret = told.lines().find(|line| line.starts_with("whsec_")).map(str::to_owned);
        let Some(secret) = secret.filter(|_| output.status.success()) else {
            bail!("store-sync channel add: {}", String::from_utf8_lossy(&output.stderr));
        };
        Ok(Self { url, secret, code: None })
    }

    /// Places an order.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn place(&mut self, order: &Value) -> Result<()> {
        let placed = self.post("", order)?;
        self.code = placed["handover_code"].as_str().map(str::to_owned);
        Ok(())
    }

    /// The customer opens the locker.
    ///
    /// # Errors
    /// When the store refuses: it is not ready, or the code is wrong.
    pub fn open_locker(&self, order: &str) -> Result<()> {
        let code = self.code.as_deref().context("the store gave no code with the order")?;
        self.post("/hand-over", &json!({ "order": order, "code": code })).map(drop)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let at_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let (id, body) = (format!("demo-{at_s}"), body.to_string());
        let signature = sign(&self.secret, &id, &at_s, &body)?;
        let mut answer = ureq::post(&url)
            .config()
            .http_status_as_error(false)
            .build()
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at_s)
            .header("webhook-signature", signature)
            .send(body)
            .with_context(|| format!("POST {url}"))?;
        let said: Value =
            answer.body_mut().read_json().with_context(|| format!("read the answer of {url}"))?;
        if !answer.status().is_success() {
            bail!("POST {url}: {}: {}", answer.status(), said["error"].as_str().unwrap_or("no reason"));
        }
        Ok(said)
    }
}

/// HMAC-SHA256 over `id.timestamp.body`, as Standard Webhooks says.
fn sign(secret: &str, id: &str, at_s: &str, body: &str) -> Result<String> {
    let key = secret.strip_prefix("whsec_").context("a secret begins with whsec_")?;
    let key = BASE64.decode(key).context("a secret is base64")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).context("the secret is no key")?;
    mac.update(format!("{id}.{at_s}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_request_is_signed_as_standard_webhooks_says() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signature =
            sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
