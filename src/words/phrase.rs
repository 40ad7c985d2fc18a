//! A sentence whose settings and commands are still values.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::command::{command, store_change};
use super::{link_option, store_option};
use crate::domain::{Change, LinkSetting, Remedy, StoreSetting};

/// A part of a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// What is typed or read as it stands: a path, a value, a line of another program.
    Code(String),
    StoreSetting(StoreSetting),
    LinkSetting(LinkSetting),
    /// A setting with the value that it should have.
    StoreChange(Change<StoreSetting>),
    /// What to do, said as the command that does it.
    Command(Remedy),
    /// "with --force", "by force".
    Force,
}

/// A sentence for people. It is shown as the command line says it, and is that text in JSON; the page
/// takes it by its pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phrase(Vec<Piece>);

impl Phrase {
    pub fn new(text: impl Into<String>) -> Self {
        Self::default().text(text)
    }

    /// Adds words.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        match self.0.last_mut() {
            Some(Piece::Text(before)) => before.push_str(&text),
            _ if text.is_empty() => {}
            _ => self.0.push(Piece::Text(text)),
        }
        self
    }

    #[must_use]
    pub fn code(self, code: impl Into<String>) -> Self {
        self.piece(Piece::Code(code.into()))
    }

    #[must_use]
    pub fn setting(self, setting: StoreSetting) -> Self {
        self.piece(Piece::StoreSetting(setting))
    }

    #[must_use]
    pub fn link_setting(self, setting: LinkSetting) -> Self {
        self.piece(Piece::LinkSetting(setting))
    }

    #[must_use]
    pub fn change(self, change: Change<StoreSetting>) -> Self {
        self.piece(Piece::StoreChange(change))
    }

    #[must_use]
    pub fn command(self, remedy: Remedy) -> Self {
        self.piece(Piece::Command(remedy))
    }

    /// Adds commands, one and the other.
    #[must_use]
    pub fn commands(self, remedies: impl IntoIterator<Item = Remedy>) -> Self {
        remedies.into_iter().enumerate().fold(self, |phrase, (at, remedy)| {
            phrase.text(if at == 0 { "" } else { " and " }).command(remedy)
        })
    }

    #[must_use]
    pub fn force(self) -> Self {
        self.piece(Piece::Force)
    }

    /// Adds another phrase.
    #[must_use]
    pub fn then(self, more: Self) -> Self {
        more.0.into_iter().fold(self, |phrase, piece| match piece {
            Piece::Text(text) => phrase.text(text),
            other => phrase.piece(other),
        })
    }

    fn piece(mut self, piece: Piece) -> Self {
        self.0.push(piece);
        self
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The first thing that it says to do.
    pub fn remedy(&self) -> Option<&Remedy> {
        self.0.iter().find_map(|piece| match piece {
            Piece::Command(remedy) => Some(remedy),
            _ => None,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Code(code) => write!(f, "`{code}`"),
            Piece::StoreSetting(setting) => f.write_str(store_option(*setting)),
            Piece::LinkSetting(setting) => f.write_str(link_option(*setting)),
            Piece::StoreChange(change) => f.write_str(&store_change(change)),
            Piece::Command(remedy) => write!(f, "`{}`", command(remedy)),
            Piece::Force => f.write_str("with --force"),
        })
    }
}

impl From<&str> for Phrase {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Phrase {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl Serialize for Phrase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a server said: its pieces stayed there.
impl<'de> Deserialize<'de> for Phrase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
impl utoipa::PartialSchema for Phrase {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

#[cfg(test)]
impl utoipa::ToSchema for Phrase {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::StoreName;

    #[test]
    fn a_phrase_is_a_text_in_json_and_names_options_there() {
        let store = StoreName::new("cold").expect("a name");
        let phrase = Phrase::new("correct ")
            .setting(StoreSetting::Region)
            .text(", or run ")
            .command(Remedy::CheckStore { store })
            .text(" again");
        let text = "correct --region, or run `hayloft store check cold` again";
        assert_eq!(serde_json::to_value(&phrase).expect("JSON"), text);
        assert_eq!(serde_json::from_value::<Phrase>(text.into()).expect("read"), text.into());
    }

    #[test]
    fn words_beside_each_other_are_one_piece() {
        let phrase = Phrase::new("a").text("b").then(Phrase::new("c").force());
        assert_eq!(phrase.pieces(), [Piece::Text("abc".to_owned()), Piece::Force]);
    }
}
