//! GS1 identifiers: GTINs with their check digit, and GS1 Digital Link URIs of products and places.
//!
//! Sources: GS1 General Specifications 7.9 (check digit), GS1 Digital Link Standard: URI Syntax 1.4 (application
//! identifiers 01, 414 and 254 in the path), CBV 2.0 section 8 (URIs of what has no GS1 key).
//! A SKU that is no GTIN, and a store without a GLN, gets a URN of Linefree's own: never a GS1 link to something else.

/// The resolver under which GS1 Digital Link URIs are canonical.
const RESOLVER: &str = "https://id.gs1.org";

/// Does the last digit follow from the others (weights 3 and 1 from the right, modulo 10)?
#[must_use]
pub fn has_check_digit(digits: &str) -> bool {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let weighted = digits.bytes().rev().zip([1, 3].into_iter().cycle());
    weighted.map(|(digit, weight)| u32::from(digit - b'0') * weight).sum::<u32>() % 10 == 0
}

/// A GTIN-8, -12, -13 or -14 as 14 digits; `None` for a SKU that is none.
#[must_use]
pub fn gtin14(sku: &str) -> Option<String> {
    (matches!(sku.len(), 8 | 12 | 13 | 14) && has_check_digit(sku)).then(|| format!("{sku:0>14}"))
}

/// The URI of a product's class: a GS1 Digital Link for a GTIN.
#[must_use]
pub fn product_uri(sku: &str) -> String {
    match gtin14(sku) {
        Some(gtin) => format!("{RESOLVER}/01/{gtin}"),
        None => format!("urn:linefree:sku:{}", percent(sku)),
    }
}

/// A store as GS1 sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    store: String,
    gln: Option<String>,
}

/// Why a number is no GLN.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no GLN: it has 13 digits, the last of which is the check digit")]
pub struct NoGln(String);

impl Place {
    /// A store, with its Global Location Number where it has one.
    ///
    /// # Errors
    /// [`NoGln`].
    pub fn new(store: &str, gln: Option<&str>) -> Result<Self, NoGln> {
        if let Some(gln) = gln
            && (gln.len() != 13 || !has_check_digit(gln))
        {
            return Err(NoGln(gln.to_owned()));
        }
        Ok(Self { store: store.to_owned(), gln: gln.map(str::to_owned) })
    }

    /// The store's id.
    #[must_use]
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The store.
    #[must_use]
    pub fn uri(&self) -> String {
        match &self.gln {
            Some(gln) => format!("{RESOLVER}/414/{gln}"),
            None => format!("urn:linefree:store:{}", percent(&self.store)),
        }
    }

    /// A plate of it (`gondola/shelf/plate`), as the GLN's extension component.
    #[must_use]
    pub fn plate_uri(&self, plate: &str) -> String {
        match &self.gln {
            Some(gln) => format!("{RESOLVER}/414/{gln}/254/{}", percent(plate)),
            None => format!("urn:linefree:plate:{}:{}", percent(&self.store), percent(plate)),
        }
    }

    /// Something of the store's that a document is about: a receipt, an order.
    #[must_use]
    pub fn document_uri(&self, what: &str, id: &str) -> String {
        format!("urn:linefree:{what}:{}:{}", percent(&self.store), percent(id))
    }
}

/// RFC 3986: everything but unreserved characters as `%XX`.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gtins_by_the_standards_own_examples() {
        for (sku, gtin) in [
            ("9521321000012", None),
            ("09506000134352", Some("09506000134352")),
            ("9506000134352", Some("09506000134352")),
            ("632565000012", Some("00632565000012")),
            ("96385074", Some("00000096385074")),
            ("96385075", None),
            ("milk", None),
            ("", None),
            ("１２３４", None),
        ] {
            assert_eq!(gtin14(sku).as_deref(), gtin, "{sku}");
        }
        assert_eq!(product_uri("9506000134352"), "https://id.gs1.org/01/09506000134352");
        assert_eq!(product_uri("oat milk/1"), "urn:linefree:sku:oat%20milk%2F1");
    }

    #[test]
    fn places_need_a_sound_gln() {
        let place = Place::new("nano", Some("9506000134352")).unwrap();
        assert_eq!(place.uri(), "https://id.gs1.org/414/9506000134352");
        assert_eq!(place.plate_uri("1/5/10"), "https://id.gs1.org/414/9506000134352/254/1%2F5%2F10");
        assert_eq!(
            Place::new("nano", None).unwrap().plate_uri("1/5/10"),
            "urn:linefree:plate:nano:1%2F5%2F10"
        );
        for bad in ["", "9506000134353", "96385074", "950600013435x"] {
            assert!(Place::new("nano", Some(bad)).is_err(), "{bad}");
        }
    }
}
