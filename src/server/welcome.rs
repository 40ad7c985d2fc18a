//! What whoever starts a server wants to know first: what was made, where it is, what to type next.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Server;
use crate::api::SignInLink;
use crate::app::App;
use crate::domain::Remedy;
use crate::ops;
use crate::words;

/// The facts of a server that is about to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Welcome {
    pub version: &'static str,
    /// True when this start made the instance.
    pub created: bool,
    pub data_dir: PathBuf,
    pub catalogue: PathBuf,
    /// The first local store's directory.
    pub local_store: PathBuf,
    pub admin_socket: PathBuf,
    /// With the port that the system chose for port 0.
    pub address: SocketAddr,
    /// Where the admin page is.
    pub page: String,
    /// The page's address is one of this machine only, although others may connect.
    pub local_name: bool,
    /// Tokens would travel unencrypted through a network.
    pub exposed: bool,
    /// At the first start of a server only.
    pub link: Option<SignInLink>,
}

impl Server {
    /// The facts, with the sign-in link of a fresh instance.
    pub(super) async fn welcome(&self) -> Welcome {
        let app = &self.site().app;
        let link = ops::tokens::first_sign_in_link(app).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the sign-in link could not be made");
            None
        });
        facts(app, self.local_addr(), link)
    }
}

fn facts(app: &App, address: SocketAddr, link: Option<SignInLink>) -> Welcome {
    let config = &app.config;
    Welcome {
        version: env!("CARGO_PKG_VERSION"),
        created: app.created,
        data_dir: config.data_dir.clone(),
        catalogue: config.catalogue(),
        local_store: config.local_store(),
        admin_socket: config.admin_socket.clone(),
        address,
        page: format!("{}/", app.base_url()),
        local_name: config.public_url.is_none() && config.listen.ip().is_unspecified(),
        exposed: config.tls.is_none() && !config.listen.ip().is_loopback(),
        link,
    }
}

impl Welcome {
    /// The same as lines of the log, for a journal or a pipe.
    pub fn log(&self) {
        if self.created {
            tracing::info!(
                data_dir = %self.data_dir.display(),
                catalogue = %self.catalogue.display(),
                local_store = %self.local_store.display(),
                "created a new instance"
            );
        }
        tracing::info!(
            address = %self.address,
            page = %self.page,
            admin_socket = %self.admin_socket.display(),
            version = self.version,
            "listening"
        );
        if self.exposed {
            tracing::warn!(
                "listening without TLS: tokens travel unencrypted unless a proxy adds it"
            );
        }
        if let Some(link) = &self.link {
            tracing::info!(
                expires_at = %link.expires_at,
                "a new instance: sign in once at {}",
                link.url
            );
            let [create, look] =
                [Remedy::CreateScope, Remedy::ShowStatus].map(|r| words::command(&r));
            tracing::info!("next: {create}; then: {look}");
        }
    }
}
