//! How the nouns look in the `OpenAPI` document: the same rules that their parsers enforce, written
//! as patterns, so that a generated client refuses what the server would.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::{Digest, Drain, FilePath, ScopeName, StoreName};

/// SPEC 2: see `NameError`.
const NAME: &str = "^(?!(?:true|false|none)$)[A-Za-z][A-Za-z0-9._-]{0,62}$";
const DIGEST: &str = "^[0-9a-fA-F]{64}$";
/// SPEC 4: segments that are neither empty nor `.` nor `..`, without control characters.
const PATH: &str = "^(?!\\.{1,2}(?:/|$))[^/\\u0000-\\u001f\\u007f-\\u009f]+\
                    (?:/(?!\\.{1,2}(?:/|$))[^/\\u0000-\\u001f\\u007f-\\u009f]+)*$";

fn text(pattern: &str, what: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .description(Some(what))
        .examples([example])
}

macro_rules! schema {
    ($noun:ident, $schema:expr) => {
        impl PartialSchema for $noun {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $noun {
            fn name() -> Cow<'static, str> {
                stringify!($noun).into()
            }
        }
    };
}

schema!(ScopeName, text(NAME, "The name of a scope.", "media"));
schema!(StoreName, text(NAME, "The name of a store.", "local"));
schema!(
    Digest,
    text(
        DIGEST,
        "The BLAKE3 digest of a file's bytes.",
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    )
);
schema!(
    FilePath,
    text(PATH, "The path of a file in its scope: 1 to 1024 bytes of UTF-8.", "photos/holiday.jpg")
        .max_length(Some(Self::MAX_BYTES))
);
schema!(
    Drain,
    OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::Boolean))
        .item(Ref::from_schema_name("StoreName"))
        .description(Some("false, true, or the store that must end up with the files."))
);
