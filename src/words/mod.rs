//! Words for values: what the rooms below decide and report as data becomes a sentence, a command, a
//! link of the page or the name of a field here, and nowhere else.
//!
//! A [`Phrase`] is a sentence whose settings and commands are still values, so that each surface says
//! them in its own way: the command line and the API as an option or a command, the page as a field
//! or a link. No code reads a sentence.

mod command;
mod diagnosis;
mod link;
mod phrase;
mod policy;
mod setting;
mod warning;

pub use command::command;
pub use diagnosis::{advice, diagnosis, store_error, what_helps};
pub use link::{PageLink, link};
pub use phrase::{Phrase, Piece};
pub use policy::policy;
pub use setting::{link_label, link_option, store_label, store_option};
pub use warning::{concern, warning};
