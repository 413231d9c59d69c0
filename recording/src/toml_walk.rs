//! Walks a parsed TOML document, collecting every mistake with its line instead of stopping at the first.
//!
//! Each `Table` remembers which keys were asked for; [`Table::finish`] reports the others as unknown, with the
//! nearest known key as the likely intention. A method that returns `None` has already reported why.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::mistake::Mistake;

/// A document being read: where its lines begin, and what was found wrong so far.
pub(crate) struct Doc<'t> {
    file: &'t Path,
    text: &'t str,
    pub(crate) mistakes: RefCell<Vec<Mistake>>,
    pub(crate) warnings: RefCell<Vec<Mistake>>,
}

impl<'t> Doc<'t> {
    pub(crate) fn new(file: &'t Path, text: &'t str) -> Self {
        Self { file, text, mistakes: RefCell::default(), warnings: RefCell::default() }
    }

    /// Parses the text; syntax errors are reported, and the readable rest is returned.
    pub(crate) fn parse(&self) -> Spanned<DeTable<'t>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            self.report(&span, "", error.message().trim(), "correct the TOML (https://toml.io/en/v1.0.0)");
        }
        table
    }

    fn make(&self, span: &Range<usize>, field: &str, what: &str, remedy: &str) -> Mistake {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        Mistake::in_line(self.file, u32::try_from(line).unwrap_or(u32::MAX), field, what, remedy)
            .at_column(u32::try_from(column).unwrap_or(u32::MAX))
    }

    pub(crate) fn report(&self, span: &Range<usize>, field: &str, what: &str, remedy: &str) {
        let mistake = self.make(span, field, what, remedy);
        self.mistakes.borrow_mut().push(mistake);
    }

    pub(crate) fn warn(&self, span: &Range<usize>, field: &str, what: &str, remedy: &str) {
        let warning = self.make(span, field, what, remedy);
        self.warnings.borrow_mut().push(warning);
    }
}

/// A value, where it stands and how its field is called.
#[derive(Clone)]
pub(crate) struct Node<'d> {
    doc: &'d Doc<'d>,
    pub(crate) path: String,
    pub(crate) span: Range<usize>,
    value: &'d DeValue<'d>,
}

impl<'d> Node<'d> {
    pub(crate) fn mistake(&self, what: impl AsRef<str>, remedy: impl AsRef<str>) {
        self.doc.report(&self.span, &self.path, what.as_ref(), remedy.as_ref());
    }

    pub(crate) fn warn(&self, what: impl AsRef<str>, remedy: impl AsRef<str>) {
        self.doc.warn(&self.span, &self.path, what.as_ref(), remedy.as_ref());
    }

    fn wrong_type(&self, wanted: &str) {
        let found = self.value.type_str();
        let article = if found.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
        self.mistake(format!("is {article} {found}"), format!("write {wanted}"));
    }

    pub(crate) fn is_array(&self) -> bool {
        self.value.is_array()
    }

    pub(crate) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(crate) fn str(&self, wanted: &str) -> Option<&'d str> {
        let text = self.value.as_str();
        if text.is_none() {
            let quoted = match self.value {
                DeValue::Integer(i) => format!(": \"{}\"", i.as_str()),
                _ => String::new(),
            };
            self.wrong_type(&format!("{wanted} in quotes{quoted}"));
        }
        text
    }

    /// A text that an id type accepts.
    pub(crate) fn id<T, E: std::fmt::Display>(
        &self,
        wanted: &str,
        new: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.str(wanted)?;
        match new(text) {
            Ok(id) => Some(id),
            Err(error) => {
                self.mistake(error.to_string(), format!("write {wanted}"));
                None
            }
        }
    }

    pub(crate) fn int(&self, wanted: &str) -> Option<i64> {
        if let DeValue::Integer(i) = self.value {
            if let Ok(value) = i64::from_str_radix(i.as_str(), i.radix()) {
                return Some(value);
            }
            self.mistake(format!("{} does not fit", i.as_str()), format!("write {wanted}"));
            return None;
        }
        if let DeValue::Float(f) = self.value {
            self.mistake(format!("is {}, not a whole number", f.as_str()), format!("write {wanted}"));
            return None;
        }
        self.wrong_type(wanted);
        None
    }

    /// A finite number, written with or without a decimal point.
    pub(crate) fn num(&self, wanted: &str) -> Option<f64> {
        let value = match self.value {
            DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(|v| v as f64),
            DeValue::Float(f) => f.as_str().parse().ok(),
            _ => {
                self.wrong_type(wanted);
                return None;
            }
        };
        let value = value.filter(|v: &f64| v.is_finite());
        if value.is_none() {
            self.mistake("is not a finite number", format!("write {wanted}"));
        }
        value
    }

    pub(crate) fn array(&self, wanted: &str) -> Option<Vec<Node<'d>>> {
        let Some(array) = self.value.as_array() else {
            self.wrong_type(wanted);
            return None;
        };
        let node = |(i, v): (usize, &'d Spanned<DeValue<'d>>)| Node {
            doc: self.doc,
            path: format!("{}[{}]", self.path, i + 1),
            span: v.span(),
            value: v.get_ref(),
        };
        Some(array.iter().enumerate().map(node).collect())
    }

    /// Exactly `N` finite numbers.
    pub(crate) fn nums<const N: usize>(&self, wanted: &str) -> Option<[f64; N]> {
        let items = self.array(wanted)?;
        if items.len() != N {
            self.mistake(format!("has {} entries instead of {N}", items.len()), format!("write {wanted}"));
            return None;
        }
        let numbers: Vec<Option<f64>> = items.iter().map(|n| n.num("a finite number")).collect();
        let numbers: Vec<f64> = numbers.into_iter().collect::<Option<_>>()?;
        numbers.try_into().ok()
    }

    pub(crate) fn table(&self, wanted: &str) -> Option<Table<'d>> {
        let Some(table) = self.value.as_table() else {
            self.wrong_type(wanted);
            return None;
        };
        Some(Table {
            doc: self.doc,
            path: self.path.clone(),
            span: self.span.clone(),
            table,
            known: Vec::new(),
        })
    }

    pub(crate) fn datetime(&self) -> Option<String> {
        let datetime = self.value.as_datetime();
        if datetime.is_none() {
            self.wrong_type("a date and time with its offset, not in quotes: 2026-01-28T22:24:00Z");
        }
        datetime.map(ToString::to_string)
    }
}

/// A table whose keys are being asked for.
pub(crate) struct Table<'d> {
    doc: &'d Doc<'d>,
    path: String,
    span: Range<usize>,
    table: &'d DeTable<'d>,
    known: Vec<&'static str>,
}

impl<'d> Table<'d> {
    pub(crate) fn root(doc: &'d Doc<'d>, table: &'d DeTable<'d>) -> Self {
        Self { doc, path: String::new(), span: 0..0, table, known: Vec::new() }
    }

    fn child(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// An optional key.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Node<'d>> {
        self.known.push(key);
        let value = self.table.get(key)?;
        Some(Node { doc: self.doc, path: self.child(key), span: value.span(), value: value.get_ref() })
    }

    /// A key that must be there; its absence is reported with the remedy.
    pub(crate) fn need(&mut self, key: &'static str, remedy: &str) -> Option<Node<'d>> {
        let found = self.get(key);
        if found.is_none() {
            self.doc.report(&self.span, &self.child(key), "is missing", remedy);
        }
        found
    }

    /// The tables of an optional array of tables, each with the node it came from.
    pub(crate) fn tables(&mut self, key: &'static str) -> Vec<(Node<'d>, Table<'d>)> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let wanted = format!("[[{}]] with double brackets", self.child(key));
        let items = node.array(&wanted).unwrap_or_default();
        items.into_iter().filter_map(|n| n.table("a table").map(|t| (n, t))).collect()
    }

    pub(crate) fn mistake(&self, field: &str, what: impl AsRef<str>, remedy: impl AsRef<str>) {
        self.doc.report(&self.span, &self.child(field), what.as_ref(), remedy.as_ref());
    }

    /// Reports every key that was not asked for.
    pub(crate) fn finish(self) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let likely = self.known.iter().map(|k| (distance(name, k), k)).min();
            let remedy = match likely {
                Some((d, k)) if d <= 2 && d < name.chars().count() => format!("did you mean `{k}`?"),
                _ => format!("remove it; known here: {}", self.known.join(", ")),
            };
            self.doc.report(&key.span(), &self.child(name), "is not a known key", &remedy);
        }
    }
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
