//! `hayloft scope …`

use clap::{Args, Subcommand};

use super::{LimitArg, PolicyArg, PriorityArg};
use crate::domain::{ScopeName, StoreName};

#[derive(Debug, Subcommand)]
pub enum ScopeCommand {
    /// Create a scope, linked to the store `local` unless told otherwise
    #[command(after_help = "Example: hayloft scope create media --store cold")]
    Create(ScopeCreateArgs),
    /// List scopes
    #[command(after_help = "Example: hayloft scope list")]
    List,
    /// Show a scope's stores: priorities, policies, what they hold and what they lack
    #[command(after_help = "Example: hayloft scope show media")]
    Show { name: ScopeName },
    /// Change a scope or one of its links
    #[command(after_help = "Example: hayloft scope manage media edit-store local \
                            --soft-max-size 80GB")]
    Manage {
        name: ScopeName,
        #[command(subcommand)]
        change: ScopeChangeArgs,
    },
    /// Delete a scope that is empty
    #[command(after_help = "Example: hayloft scope delete media")]
    Delete {
        name: ScopeName,
        /// Delete its entries (the grace period applies) and its links too
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub struct ScopeCreateArgs {
    pub name: ScopeName,
    /// Link this store too; may be repeated
    #[arg(long = "store", value_name = "STORE")]
    pub stores: Vec<StoreName>,
    /// Do not link the store `local`
    #[arg(long)]
    pub no_local: bool,
    /// Let anyone read files whose path they know
    #[arg(long)]
    pub public_read: bool,
}

#[derive(Debug, Subcommand)]
pub enum ScopeChangeArgs {
    /// Link a store
    #[command(after_help = "Example: hayloft scope manage media add-store cold --populate")]
    AddStore {
        store: StoreName,
        #[command(flatten)]
        link: LinkArgs,
    },
    /// Change a link; what is not named stays as it is
    #[command(after_help = "Example: hayloft scope manage media edit-store cold --read-only \
                            --drain-to local")]
    EditStore {
        store: StoreName,
        /// Go through although another link drains into this one
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        link: LinkArgs,
    },
    /// Unlink a store, if every file stays readable without it
    #[command(after_help = "Example: hayloft scope manage media remove-store cold")]
    RemoveStore {
        store: StoreName,
        /// Unlink although files lose their last readable replica in this scope
        #[arg(long)]
        force: bool,
    },
    /// Make a store the first choice for uploads
    #[command(after_help = "Example: hayloft scope manage media default-store big")]
    DefaultStore { store: StoreName },
    /// Change settings of the scope itself
    #[command(after_help = "Example: hayloft scope manage media set --public-read")]
    #[group(required = true, multiple = false)]
    Set {
        /// Let anyone read files whose path they know
        #[arg(long)]
        public_read: bool,
        /// Ask every reader for a token
        #[arg(long)]
        no_public_read: bool,
    },
}

/// Settings of a link.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Link")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct LinkArgs {
    /// Higher is tried first for uploads
    #[arg(long, value_name = "N|none", allow_negative_numbers = true)]
    pub upload_priority: Option<PriorityArg>,
    /// Higher is tried first for downloads
    #[arg(long, value_name = "N|none", allow_negative_numbers = true)]
    pub download_priority: Option<PriorityArg>,
    /// Copy every file of the scope here
    #[arg(long)]
    pub populate: bool,
    /// Stop copying every file here
    #[arg(long, conflicts_with = "populate")]
    pub no_populate: bool,
    /// Move the scope's files out, to wherever uploads would go
    #[arg(long, group = "draining")]
    pub drain: bool,
    /// Move the scope's files into this store
    #[arg(long, value_name = "STORE", group = "draining")]
    pub drain_to: Option<StoreName>,
    /// Stop moving files out
    #[arg(long, group = "draining")]
    pub no_drain: bool,
    /// Accept no new files
    #[arg(long)]
    pub read_only: bool,
    /// Accept new files again
    #[arg(long, conflicts_with = "read_only")]
    pub no_read_only: bool,
    /// Never read from here, as for an archive
    #[arg(long)]
    pub write_only: bool,
    /// Read from here again
    #[arg(long, conflicts_with = "write_only")]
    pub no_write_only: bool,
    /// Maintenance keeps the scope's files here at or below this
    #[arg(long, value_name = "SIZE|none")]
    pub soft_max_size: Option<LimitArg>,
    /// The whole policy as a JSON object, instead of the options above
    #[arg(
        long,
        value_name = "JSON",
        conflicts_with_all = [
            "populate", "no_populate", "drain", "drain_to", "no_drain", "read_only",
            "no_read_only", "write_only", "no_write_only", "soft_max_size",
        ]
    )]
    pub policy: Option<PolicyArg>,
}
