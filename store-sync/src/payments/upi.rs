//! UPI: the shopper pays at the exit by an intent link or a QR code; the bank's side calls back.
//!
//! The link is that of NPCI's "UPI Linking Specifications" 1.6: `upi://pay?` and `pa` (payee address), `pn` (payee name),
//! `mc` (merchant code), `tid`, `tr` (transaction reference), `tn` (note), `am` (amount), `cu` (`INR`). A QR code holds
//! the same text. Nothing is held at the entry: authorising says yes at once, capturing waits for the call-back, refunds
//! are made by people in the bank's own console. A daily file of the bank's is compared with the ledger ([`reconcile`]).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use linefree_domain::payment::{Answer, AskKind};
use sha2::{Digest as _, Sha256};

use super::{Gateway, Question};

/// Why a link cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpiError {
    /// A field does not fit the specification.
    #[error("{field}: {value:?} {why}")]
    Field {
        /// The parameter's name in the link.
        field: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// UPI pays in rupees only.
    #[error("UPI pays in INR, not in {0}")]
    Currency(String),
}

/// Who is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payee {
    address: String,
    name: String,
    merchant_code: Option<String>,
}

fn wrong(field: &'static str, value: &str, why: &'static str) -> UpiError {
    UpiError::Field { field, value: value.chars().take(100).collect(), why }
}

impl Payee {
    /// Checks them: a virtual payment address `name@handle` of at most 255 characters, a name of at most 99, and a
    /// merchant category code of four digits.
    ///
    /// # Errors
    /// [`UpiError`] names the field.
    pub fn new(address: &str, name: &str, merchant_code: Option<&str>) -> Result<Self, UpiError> {
        let part = |text: &str| {
            !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        let fits = address.split_once('@').is_some_and(|(user, handle)| part(user) && part(handle));
        if !fits || address.len() > 255 {
            return Err(wrong("pa", address, "is no payment address (name@handle)"));
        }
        if name.trim().is_empty() || name.chars().count() > 99 || name.chars().any(char::is_control) {
            return Err(wrong("pn", name, "has not 1 to 99 characters"));
        }
        if let Some(code) = merchant_code
            && !(code.len() == 4 && code.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(wrong("mc", code, "is no merchant category code of four digits (ISO 18245)"));
        }
        Ok(Self {
            address: address.to_owned(),
            name: name.to_owned(),
            merchant_code: merchant_code.map(str::to_owned),
        })
    }

    /// From a static link: `upi://pay?pa=...&pn=...&mc=...`.
    ///
    /// # Errors
    /// [`UpiError`].
    pub fn parse(link: &str) -> Result<Self, UpiError> {
        let Some(query) = link.strip_prefix("upi://pay?") else {
            return Err(wrong("link", link, "does not begin with upi://pay?"));
        };
        let fields: BTreeMap<&str, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name, unescape(value)))
            .collect();
        let get = |name: &str| fields.get(name).map(String::as_str);
        Self::new(get("pa").unwrap_or_default(), get("pn").unwrap_or_default(), get("mc"))
    }

    /// The link to pay an amount, paise. `reference` is told again by the bank: 1 to 35 letters and digits; `note` is what
    /// the payer sees, at most 80 characters.
    ///
    /// # Errors
    /// [`UpiError`] names the field.
    pub fn link(&self, amount_minor: i64, reference: &str, note: &str) -> Result<String, UpiError> {
        if reference.is_empty()
            || reference.len() > 35
            || !reference.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            return Err(wrong("tr", reference, "has not 1 to 35 letters and digits"));
        }
        if note.chars().count() > 80 || note.chars().any(char::is_control) {
            return Err(wrong("tn", note, "has more than 80 characters, or a control character"));
        }
        if !(1..=99_999_999_999_999).contains(&amount_minor) {
            return Err(wrong("am", &amount_minor.to_string(), "is no amount in paise"));
        }
        let mut link = format!("upi://pay?pa={}&pn={}", escape(&self.address), escape(&self.name));
        // Writing to a String cannot fail.
        if let Some(code) = &self.merchant_code {
            let _ = write!(link, "&mc={code}");
        }
        let _ = write!(link, "&tid={reference}&tr={reference}");
        if !note.is_empty() {
            let _ = write!(link, "&tn={}", escape(note));
        }
        let _ = write!(link, "&am={}.{:02}&cu=INR", amount_minor / 100, amount_minor % 100);
        Ok(link)
    }
}

/// Everything but RFC 3986's unreserved characters, and the `@` of addresses, which apps expect as it is.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut i) = (Vec::with_capacity(bytes.len()), 0);
    while i < bytes.len() {
        let hex = bytes.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
        match (bytes[i], hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                i += 3;
            }
            (byte, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What the bank's side calls a question: `tr` of its link. Made of the question's key, so that the same question always
/// has the same one.
#[must_use]
pub fn reference_of(key: &str) -> String {
    let sum = Sha256::digest(key.as_bytes());
    sum.iter().take(16).fold(String::from("LF"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Payment by UPI.
#[derive(Debug)]
pub struct Upi {
    payee: Payee,
}

impl Upi {
    /// To a payee.
    #[must_use]
    pub fn new(payee: Payee) -> Self {
        Self { payee }
    }

    /// Who is paid.
    #[must_use]
    pub fn payee(&self) -> &Payee {
        &self.payee
    }
}

impl Gateway for Upi {
    fn name(&self) -> String {
        format!("UPI to {}", self.payee.address)
    }

    fn ask(&self, question: &Question<'_>) -> Answer {
        if question.currency.as_str() != "INR" {
            return Answer::Declined(UpiError::Currency(question.currency.to_string()).to_string());
        }
        match question.kind {
            AskKind::Authorise => Answer::Approved(Some(reference_of(question.key))),
            AskKind::Capture => Answer::Pending,
            AskKind::Release => Answer::Approved(None),
            AskKind::Refund => Answer::Declined("UPI refunds are made in the bank's console".to_owned()),
            AskKind::Contest => Answer::Declined("UPI disputes are told in the bank's console".to_owned()),
        }
    }
}

/// One line of the bank's daily file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// `tr`.
    pub reference: String,
    /// Paise.
    pub amount_minor: i64,
}

/// What a daily file and the ledger say of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// The same in both.
    pub matched: u64,
    /// In the ledger, not in the file: reference and amount.
    pub missing: Vec<(String, i64)>,
    /// In the file, not in the ledger.
    pub extra: Vec<(String, i64)>,
    /// In both, with different amounts: reference, ledger, file.
    pub different: Vec<(String, i64, i64)>,
}

/// Reads a daily file: CSV with a header that has `tr`, `amount` (rupees, two decimals) and `status`; only lines whose
/// status is `SUCCESS` count.
///
/// # Errors
/// Names the line and what is wrong with it.
pub fn read_settled(text: &str) -> Result<Vec<Settled>, String> {
    let mut lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    let Some((_, header)) = lines.next() else { return Err("the file is empty".to_owned()) };
    let columns: Vec<&str> = header.trim_start_matches('\u{feff}').split(',').map(str::trim).collect();
    let column = |name: &str| {
        columns
            .iter()
            .position(|c| c.eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("line 1: there is no column {name:?}"))
    };
    let (tr, amount, status) = (column("tr")?, column("amount")?, column("status")?);
    let mut out: Vec<Settled> = Vec::new();
    for (i, line) in lines {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let field = |at: usize| {
            fields
                .get(at)
                .copied()
                .ok_or_else(|| format!("line {}: {} columns are missing", i + 1, columns.len()))
        };
        if !field(status)?.eq_ignore_ascii_case("SUCCESS") {
            continue;
        }
        let told = field(amount)?;
        let amount_minor = paise(told).ok_or_else(|| format!("line {}: amount {told:?} is none", i + 1))?;
        let reference = field(tr)?.to_owned();
        if out.iter().any(|s| s.reference == reference) {
            return Err(format!("line {}: {reference} stands there twice", i + 1));
        }
        out.push(Settled { reference, amount_minor });
    }
    Ok(out)
}

fn paise(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "00"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 2 {
        return None;
    }
    let part: i64 = format!("{part:0<2}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(part)
}

/// Compares what the ledger has captured (reference and amount) with the bank's file.
#[must_use]
pub fn reconcile(captured: &[(String, i64)], file: &[Settled]) -> Reconciled {
    let mut out = Reconciled::default();
    let ours: BTreeMap<&str, i64> = captured.iter().map(|(r, a)| (r.as_str(), *a)).collect();
    let theirs: BTreeMap<&str, i64> = file.iter().map(|s| (s.reference.as_str(), s.amount_minor)).collect();
    for (reference, amount) in &ours {
        match theirs.get(reference) {
            None => out.missing.push(((*reference).to_owned(), *amount)),
            Some(told) if told == amount => out.matched += 1,
            Some(told) => out.different.push(((*reference).to_owned(), *amount, *told)),
        }
    }
    let extra = theirs.iter().filter(|(reference, _)| !ours.contains_key(*reference));
    out.extra = extra.map(|(reference, amount)| ((*reference).to_owned(), *amount)).collect();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_that_of_the_specification() {
        let payee = Payee::new("fresh.mart@examplebank", "Fresh & Mart 7", Some("5411")).unwrap();
        let link = payee.link(12_345, "LF0a1b", "Visit v1: 3 items").unwrap();
        assert_eq!(
            link,
            "upi://pay?pa=fresh.mart@examplebank&pn=Fresh%20%26%20Mart%207&mc=5411&tid=LF0a1b&tr=LF0a1b\
             &tn=Visit%20v1%3A%203%20items&am=123.45&cu=INR"
        );
        assert_eq!(Payee::parse(&link).unwrap(), payee);
        assert_eq!(payee.link(5, "x", "").unwrap().split("&am=").nth(1), Some("0.05&cu=INR"));
        for (amount, tr, tn, field) in [
            (0, "x", "", "am"),
            (1, "", "", "tr"),
            (1, "a b", "", "tr"),
            (1, &"x".repeat(36), "", "tr"),
            (1, "x", &"n".repeat(81), "tn"),
        ] {
            let error = payee.link(amount, tr, tn).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
        for (pa, pn, mc, field) in [
            ("nobody", "n", None, "pa"),
            ("a@b@c", "n", None, "pa"),
            ("a@b", " ", None, "pn"),
            ("a@b", "n", Some("54"), "mc"),
        ] {
            assert!(Payee::new(pa, pn, mc).unwrap_err().to_string().starts_with(field));
        }
        assert!(Payee::parse("https://x").is_err());
        let tr = reference_of("v1:2");
        assert!(tr.len() == 34 && payee.link(1, &tr, "").is_ok() && tr != reference_of("v1:3"));
    }

    #[test]
    fn a_daily_file_is_compared_line_by_line() {
        let file = "tr,amount,status,utr\nLFa,10.00,SUCCESS,1\nLFb,2.5,SUCCESS,2\nLFc,7.00,FAILURE,3\nLFd,1,SUCCESS,4\n";
        let file = read_settled(file).unwrap();
        let ours = [("LFa".to_owned(), 1000), ("LFb".to_owned(), 300), ("LFc".to_owned(), 700)];
        let found = reconcile(&ours, &file);
        assert_eq!(found.matched, 1);
        assert_eq!(found.different, [("LFb".to_owned(), 300, 250)]);
        assert_eq!(found.missing, [("LFc".to_owned(), 700)]);
        assert_eq!(found.extra, [("LFd".to_owned(), 100)]);
        for (text, words) in [
            ("", "empty"),
            ("a,b\n", "\"tr\""),
            ("tr,amount,status\nx,1.234,SUCCESS\n", "line 2"),
            ("tr,amount,status\nx,1,SUCCESS\nx,1,SUCCESS\n", "twice"),
            ("tr,amount,status\nx\n", "line 2"),
        ] {
            let error = read_settled(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
