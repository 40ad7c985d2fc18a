//! Who asks, and what they may do (SPEC 10, access).

use super::OpError;
use crate::api::Role;
use crate::domain::ScopeId;

/// What an actor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// A role in one scope, or in all of them. `Admin` of the instance may do everything.
    Role { role: Role, scope: Option<ScopeId> },
    /// No credentials: GET and HEAD of known paths in scopes with `public_read`.
    Anonymous,
}

/// Whoever makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// For the audit list: `socket`, `cli`, `token:NAME (ID)`, `session of token NAME (ID)`,
    /// `session by link`, `anonymous`.
    pub who: String,
    pub grant: Grant,
}

impl Actor {
    /// Instance admin without a token: the admin socket and the in-process command line.
    pub fn instance_admin(who: &str) -> Self {
        Self { who: who.to_owned(), grant: Grant::Role { role: Role::Admin, scope: None } }
    }

    pub fn anonymous() -> Self {
        Self { who: "anonymous".to_owned(), grant: Grant::Anonymous }
    }

    pub fn is_anonymous(&self) -> bool {
        self.grant == Grant::Anonymous
    }

    /// True when the actor has at least `role` in `scope`.
    pub fn may(&self, role: Role, scope: ScopeId) -> bool {
        match self.grant {
            Grant::Role { role: has, scope: None } => has >= role,
            Grant::Role { role: has, scope: Some(own) } => own == scope && has >= role,
            Grant::Anonymous => false,
        }
    }

    pub fn is_instance_admin(&self) -> bool {
        self.grant == Grant::Role { role: Role::Admin, scope: None }
    }

    /// `Forbidden` unless the actor is admin of the instance.
    pub fn require_instance_admin(&self) -> Result<(), OpError> {
        if self.is_instance_admin() {
            Ok(())
        } else {
            Err(OpError::Forbidden("this needs an admin token of the whole instance".into()))
        }
    }

    /// `Forbidden` unless the actor is admin of the instance or of a scope.
    pub fn require_some_admin(&self) -> Result<(), OpError> {
        match self.grant {
            Grant::Role { role: Role::Admin, .. } => Ok(()),
            Grant::Role { .. } | Grant::Anonymous => {
                Err(OpError::Forbidden("this needs an admin token".into()))
            }
        }
    }

    /// `Forbidden` unless the actor has at least `role` in `scope`.
    pub fn require(&self, role: Role, scope: ScopeId) -> Result<(), OpError> {
        if self.may(role, scope) {
            Ok(())
        } else {
            Err(OpError::Forbidden("the token does not allow this in this scope".into()))
        }
    }
}
