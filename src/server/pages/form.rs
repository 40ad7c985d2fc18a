//! Forms: what was typed, what was wrong with it, and the fields as markup.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use askama::Template;
use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};

use super::super::errors::Failure;
use super::super::query::Query;
use super::show;
use super::show::{escape, url};
use crate::ops::OpError;
use crate::words::Phrase;

/// Longest form.
const LONGEST: usize = 256 << 10;

/// A form as sent, or one to be filled in.
#[derive(Debug, Default)]
pub struct Form {
    values: BTreeMap<String, String>,
    errors: BTreeMap<Cow<'static, str>, Phrase>,
    /// What is wrong with the whole.
    message: Option<Phrase>,
    /// Before the ids of the fields, where a page has fields of one name in several forms.
    ids: &'static str,
    /// Somebody filled it in, not we.
    is_sent: bool,
}

/// The field in which a form carries what the page showed.
pub const SHOWN: &str = "shown";

impl Form {
    /// What was typed into a field, without space around it; empty when there is nothing.
    pub fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |value| value.trim())
    }

    /// The same, or `None` when the field is empty.
    pub fn given(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }

    /// Whether a box is ticked.
    pub fn is_on(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// Fills a field in.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }

    /// Ticks a box, or not.
    #[must_use]
    pub fn ticked(self, name: &str, on: impl Into<bool>) -> Self {
        if on.into() { self.with(name, "on") } else { self }
    }

    /// Sets this form's fields apart from those of the other forms of the page.
    #[must_use]
    pub fn with_ids(self, ids: &'static str) -> Self {
        Self { ids, ..self }
    }

    /// Whether the user changed a field against what the page showed, if it said so with `shown`. What
    /// nobody touched is not sent on, so that a form that was open for long undoes no change of
    /// somebody else.
    pub fn is_touched(&self, name: &str) -> bool {
        let Some(shown) = self.values.get(SHOWN) else { return true };
        let same = |shown: Query| shown.get(name).unwrap_or_default().trim() == self.get(name);
        !Query::parse(shown).is_ok_and(same)
    }

    /// `value` if its field is touched.
    pub fn if_touched<T>(&self, name: &str, value: T) -> Option<T> {
        self.is_touched(name).then_some(value)
    }

    /// Says what is wrong with a field; the first remark stays.
    pub fn blame(&mut self, field: impl Into<Cow<'static, str>>, problem: impl Into<Phrase>) {
        self.errors.entry(field.into()).or_insert_with(|| problem.into());
    }

    /// Reads a field; what it cannot be stands beside it afterwards.
    pub fn read<T, E: fmt::Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.get(field)) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.blame(field, problem.to_string());
                None
            }
        }
    }

    /// Shows why an operation was refused: beside the field it is about, or above the form.
    pub fn refuse(&mut self, error: &OpError) {
        match error.field() {
            Some(field) => self.blame(field.to_owned(), error.detail()),
            None => self.message = Some(error.detail()),
        }
    }

    /// What is wrong with its fields, in one line.
    pub fn wrongs(&self) -> Phrase {
        self.errors.values().fold(Phrase::default(), |all, wrong| {
            let joint = if all.is_empty() { "" } else { "; " };
            all.text(joint).then(wrong.clone())
        })
    }

    // ---- markup ----

    /// What is wrong with the whole form.
    pub fn message(&self) -> Option<Phrase> {
        self.message.clone().or_else(|| {
            (!self.errors.is_empty()).then(|| "Something is not right yet: see below.".into())
        })
    }

    /// What the page shows, for `is_touched`. A form that was sent keeps what it was first, and
    /// nothing of what was typed. Markup.
    pub fn shown(&self) -> String {
        let value = match self.values.get(SHOWN) {
            Some(first) => first.clone(),
            None if self.is_sent => return String::new(),
            None => self.fields(),
        };
        format!("<input type=\"hidden\" name=\"{SHOWN}\" value=\"{}\">", escape(&value))
    }

    /// Its fields as an address has them.
    pub fn fields(&self) -> String {
        let pair = |(name, value): (&String, &String)| format!("{}={}", url(name), url(value));
        self.values.iter().map(pair).collect::<Vec<_>>().join("&")
    }

    pub fn text(&self, name: &str, label: &str, hint: &str) -> String {
        self.field("text", name, label, hint, Vec::new(), false)
    }

    /// A field that must be filled in.
    pub fn must(&self, name: &str, label: &str, hint: &str) -> String {
        self.field("text", name, label, hint, Vec::new(), true)
    }

    /// A field for a secret: never filled in, never sent back.
    pub fn secret(&self, name: &str, label: &str, hint: &str) -> String {
        self.field("password", name, label, hint, Vec::new(), false)
    }

    pub fn tick(&self, name: &str, label: &str, hint: &str) -> String {
        self.field("checkbox", name, label, hint, Vec::new(), false)
    }

    /// A choice; options are (value, text).
    pub fn choice<K: AsRef<str>, V: AsRef<str>>(
        &self,
        name: &str,
        label: &str,
        hint: &str,
        options: &[(K, V)],
    ) -> String {
        let options = options.iter().map(|(k, v)| (k.as_ref(), v.as_ref())).collect();
        self.field("select", name, label, hint, options, false)
    }

    fn field(
        &self,
        kind: &str,
        name: &str,
        label: &str,
        hint: &str,
        options: Vec<(&str, &str)>,
        required: bool,
    ) -> String {
        let value = if kind == "password" { "" } else { self.get(name) };
        let error = self.errors.get(name);
        let id = format!("{}{name}", self.ids);
        let field = Field { kind, id, name, label, hint, value, error, options, required };
        field.render().unwrap_or_default()
    }
}

#[derive(Template)]
#[template(path = "field.html", config = "web/askama.toml")]
struct Field<'a> {
    kind: &'a str,
    id: String,
    name: &'a str,
    label: &'a str,
    hint: &'a str,
    value: &'a str,
    error: Option<&'a Phrase>,
    options: Vec<(&'a str, &'a str)>,
    required: bool,
}

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let body = to_bytes(request.into_body(), LONGEST).await;
        let body = body.map_err(|_| Failure::invalid("malformed-form", "the form is too large"))?;
        let pairs = Query::parse(&String::from_utf8_lossy(&body))?;
        Ok(Self { values: pairs.into_pairs().collect(), is_sent: true, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_keeps_what_was_typed_and_says_what_is_wrong() {
        let mut form = Form::default().with("size", "\"<80XB>");
        assert_eq!(form.read("size", str::parse::<u64>), None);
        let markup = form.text("size", "Limit", "as 80GB");
        assert!(markup.contains("&#60;80XB&#62;") && markup.contains("aria-invalid"), "{markup}");
        assert!(form.message().is_some());
    }

    #[test]
    fn only_what_differs_from_what_was_shown_is_touched() {
        let first = Form::default().with("size", "80 & more").ticked("on", true);
        let markup = first.shown();
        let value = markup.split("value=\"").nth(1).and_then(|v| v.split('"').next());
        let value = value.expect("a value").replace("&amp;", "&");
        let back = Form::default().with(SHOWN, &value).with("size", "80 & more").with("name", "x");
        let touched = ["size", "on", "name", "else"].map(|name| back.is_touched(name));
        assert_eq!(touched, [false, true, true, false]);
        assert!(back.shown().contains("80%20%26%20more"), "{}", back.shown());
        assert!(Form::default().is_touched("size"), "a program sends what it means");
    }

    #[test]
    fn errors_show_code_as_code() {
        let mut form = Form::default();
        form.blame("on", "use `none` <b>");
        let markup = form.tick("on", "On", "");
        assert!(markup.contains("<code>none</code> &lt;b&gt;"), "{markup}");
        assert!(markup.contains("aria-invalid"), "{markup}");
    }

    #[test]
    fn a_secret_is_not_sent_back() {
        let form = Form::default().with("key", "hunter2");
        assert!(!form.secret("key", "Key", "").contains("hunter2"));
    }
}
