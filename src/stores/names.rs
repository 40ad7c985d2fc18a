//! Names of objects inside a store: `ab/cd/<64 hex>`, from the digest and nothing else (SPEC 2).

use crate::domain::Digest;

/// The marker's name under the root or prefix.
pub(super) const MARKER: &str = ".hayloft-store";
/// Probe objects of `check` are called this and a random number.
pub(super) const PROBE: &str = ".hayloft-probe-";

/// `ab/cd/<64 hex>`.
pub(super) fn object_name(digest: &Digest) -> String {
    let hex = digest.to_hex();
    let mut name = String::with_capacity(70);
    name.push_str(&hex[..2]);
    name.push('/');
    name.push_str(&hex[2..4]);
    name.push('/');
    name.push_str(&hex);
    name
}

/// The digest of a name of exactly our shape; `None` for every other name.
pub(super) fn parse_object_name(name: &str) -> Option<Digest> {
    let (directories, hex) = name.rsplit_once('/')?;
    let digest = parse_hex(hex)?;
    let (ab, cd) = directories.split_once('/')?;
    (ab == &hex[..2] && cd == &hex[2..4]).then_some(digest)
}

/// A digest in lower case, as we write it; upper case is a foreign name.
pub(super) fn parse_hex(hex: &str) -> Option<Digest> {
    let ours = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if ours { hex.parse().ok() } else { None }
}

/// A fresh name for a probe object.
pub(super) fn probe_name() -> String {
    format!("{PROBE}{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_exactly_our_shape_are_objects() {
        let digest = Digest(*blake3::hash(b"x").as_bytes());
        let name = object_name(&digest);
        assert_eq!(parse_object_name(&name), Some(digest));
        let upper = name.to_ascii_uppercase();
        let moved = name.replacen(&name[..2], "zz", 1);
        for foreign in [&upper, &moved, &name[3..], &format!("x/{name}"), &format!("{name}x"), ""] {
            assert_eq!(parse_object_name(foreign), None, "{foreign}");
        }
    }
}
