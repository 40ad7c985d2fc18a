//! When tokens were last used: exact in memory, written rarely, so that a request costs no commit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::catalogue::{Catalogue, CatalogueError, Token};
use crate::domain::Timestamp;

/// How much older the stored time may be than the true one.
const GRANULARITY: Duration = Duration::from_hours(1);

/// Uses that are not written yet, by token id.
#[derive(Debug, Default)]
pub struct TokenUses {
    seen: Mutex<HashMap<String, Timestamp>>,
}

impl TokenUses {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, id: &str, at: Timestamp) {
        let mut seen = self.lock();
        match seen.get_mut(id) {
            Some(last) => *last = at.max(*last),
            None => {
                seen.insert(id.to_owned(), at);
            }
        }
    }

    /// Writes the times of tokens whose stored one is too old.
    pub async fn flush(&self, catalogue: &Catalogue) -> Result<(), CatalogueError> {
        let settings = catalogue.settings();
        let due: Vec<(String, Timestamp)> = {
            let mut seen = self.lock();
            seen.retain(|id, _| settings.tokens.contains_key(id));
            let is_due = |id: &str, at: Timestamp| {
                let stored = settings.tokens.get(id).and_then(|t| t.last_used);
                stored.is_none_or(|stored| at.since(stored) >= GRANULARITY)
            };
            seen.iter().filter(|(id, at)| is_due(id, **at)).map(|(k, v)| (k.clone(), *v)).collect()
        };
        if due.is_empty() {
            return Ok(());
        }
        catalogue
            .write(move |tx| {
                for (id, at) in &due {
                    // A token revoked since must not come back.
                    if let Some(token) = tx.token(id) {
                        tx.put_token(Token { last_used: Some(*at), ..token.clone() })?;
                    }
                }
                Ok::<_, CatalogueError>(())
            })
            .await
    }
}
