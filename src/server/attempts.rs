//! Failed attempts to authenticate, limited in rate per peer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::errors::Failure;

/// Failures granted to one peer in one window.
const FAILURES: u32 = 10;
const WINDOW: Duration = Duration::from_mins(1);
/// Peers remembered; when there are more, those whose window has passed are forgotten.
const REMEMBERED: usize = 4096;

/// The address on the other side; `None` in this process and on the socket.
pub type Peer = Option<IpAddr>;

/// A peer, and the token that it failed with when that exists: behind a proxy, one client with an
/// outdated token must not lock out the others.
type Attempter = (IpAddr, Option<String>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    times: u32,
    since: Instant,
}

/// Recent failures.
#[derive(Debug, Default)]
pub struct Attempts {
    failed: Mutex<HashMap<Attempter, Failures>>,
}

impl Attempts {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Attempter, Failures>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// 429 when the peer has failed too often with this token; then it is not even checked.
    pub fn check(&self, peer: Peer, token: Option<&str>) -> Result<(), Failure> {
        let Some(peer) = peer else { return Ok(()) };
        let failed = self.lock();
        if failed.is_empty() {
            return Ok(());
        }
        let Some(seen) = failed.get(&key(peer, token)) else { return Ok(()) };
        let left = WINDOW.saturating_sub(seen.since.elapsed());
        if seen.times < FAILURES || left.is_zero() {
            return Ok(());
        }
        let detail = "too many attempts with bad credentials from this address: wait a minute";
        let failure = Failure::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", detail);
        Err(failure.retry_after(left))
    }

    pub fn failed(&self, peer: Peer, token: Option<&str>) {
        let Some(peer) = peer else { return };
        let mut failed = self.lock();
        if failed.len() >= REMEMBERED {
            failed.retain(|_, seen| seen.since.elapsed() < WINDOW);
            if failed.len() >= REMEMBERED {
                failed.clear();
            }
        }
        let fresh = Failures { times: 0, since: Instant::now() };
        let seen = failed.entry(key(peer, token)).or_insert(fresh);
        if seen.since.elapsed() >= WINDOW {
            *seen = fresh;
        }
        seen.times += 1;
        if seen.times == FAILURES {
            tracing::warn!(%peer, "too many attempts with bad credentials");
        }
    }
}

/// One customer has a whole /64 of IPv6 addresses.
fn key(peer: IpAddr, token: Option<&str>) -> Attempter {
    let peer = match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    };
    (peer, token.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_stopped_after_ten_failures_and_others_are_not() {
        let attempts = Attempts::default();
        let peer: Peer = "192.0.2.1".parse().ok();
        for _ in 0..FAILURES {
            assert!(attempts.check(peer, None).is_ok());
            attempts.failed(peer, None);
        }
        let stopped = attempts.check(peer, None).expect_err("too many");
        assert_eq!(stopped.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(attempts.check(peer, Some("good")).is_ok(), "another token of the same proxy");
        assert!(attempts.check("192.0.2.2".parse().ok(), None).is_ok());
        assert!(attempts.check(None, None).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_peer() {
        let of = |text: &str| key(text.parse().expect("an address"), None);
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
