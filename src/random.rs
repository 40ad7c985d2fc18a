//! Secrets and ids from the operating system's random numbers.

use rand::TryRng;
use rand::rngs::SysRng;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// `bytes` random bytes as lower-case hex digits.
///
/// # Panics
/// When the operating system has no random numbers to give: nothing safe can be done then.
pub fn hex(bytes: usize) -> String {
    let mut raw = vec![0u8; bytes];
    SysRng.try_fill_bytes(&mut raw).expect("the operating system gives random numbers");
    raw.iter().fold(String::with_capacity(bytes * 2), |mut text, byte| {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
        text
    })
}
