//! `hayloft store …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::presign_ttl;
use super::{CredentialsArg, LimitArg, SecretArg};
use crate::domain::{Checksum, ServeMode, StoreName};

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Create a store
    #[command(after_help = "Example: hayloft store create cold s3 --bucket my-archive --region \
                            eu-central-1 --credentials env")]
    Create(StoreCreateArgs),
    /// Change a store's settings; its location cannot change
    #[command(after_help = "Example: hayloft store manage cold --soft-max-size 500GB")]
    Manage(StoreManageArgs),
    /// List stores
    #[command(after_help = "Example: hayloft store list")]
    List,
    /// Show a store: settings, health, use by each scope
    #[command(after_help = "Example: hayloft store show cold")]
    Show { name: StoreName },
    /// Prove step by step that a store works
    #[command(after_help = "Example: hayloft store check cold")]
    Check { name: StoreName },
    /// Say whether a store can be given up without losing a file
    #[command(after_help = "Example: hayloft store evacuation cold --list\n\n\
                            Exits 0 only when it can.")]
    Evacuation {
        name: StoreName,
        /// Name every file concerned
        #[arg(long)]
        list: bool,
    },
    /// Compare a store with the catalogue and make its marker ours again
    #[command(after_help = "Example: hayloft store reconcile cold")]
    Reconcile { name: StoreName },
    /// Delete objects that no row names
    #[command(after_help = "Example: hayloft store sweep cold --confirm")]
    Sweep {
        name: StoreName,
        /// Go on although a large part of the store would be deleted
        #[arg(long)]
        confirm: bool,
    },
    /// Delete a store that is empty and unlinked
    #[command(after_help = "Example: hayloft store delete cold\n\nWith --force the store is \
                            forgotten as it is: it is not contacted, its bytes stay behind,\nand \
                            files with no other readable replica answer 503 from then on.")]
    Delete(StoreDeleteArgs),
}

#[derive(Debug, Args)]
pub struct StoreCreateArgs {
    pub name: StoreName,
    #[command(subcommand)]
    pub backend: StoreBackendArgs,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum StoreBackendArgs {
    /// A directory on this machine
    #[command(after_help = "Example: hayloft store create big local --root /mnt/big/hayloft")]
    Local {
        /// The directory; created when it does not exist
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
        /// Take a directory that is not empty, keeping what is in it
        #[arg(long)]
        adopt: bool,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// A bucket of an S3 service
    #[command(after_help = "Example: hayloft store create cold s3 --bucket my-archive --prefix \
                            hay --endpoint https://s3.example.org \\\n           --access-key-id \
                            AKIA… --secret-access-key-file /etc/hayloft/secret")]
    S3 {
        /// The bucket; it has to exist
        #[arg(long)]
        bucket: String,
        /// Names of objects begin with this
        #[arg(long)]
        prefix: Option<String>,
        /// Take a location that is not empty, keeping what is in it
        #[arg(long)]
        adopt: bool,
        #[command(flatten)]
        s3: S3Args,
        #[command(flatten)]
        limits: LimitArgs,
    },
}

/// Settings of an S3 store that can change later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "S3")]
pub struct S3Args {
    /// As the provider names it
    #[arg(long)]
    pub region: Option<String>,
    /// Base URL of the service [default: AWS in the region]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Base URL in presigned URLs, as clients reach it; empty unsets
    #[arg(long, value_name = "URL")]
    pub public_endpoint: Option<String>,
    /// Name the bucket in the path, not in the host name
    #[arg(long)]
    pub path_style: bool,
    /// Name the bucket in the host name
    #[arg(long, conflicts_with = "path_style")]
    pub no_path_style: bool,
    /// For instance GLACIER; empty unsets
    #[arg(long, value_name = "CLASS")]
    pub storage_class: Option<String>,
    /// Answer downloads with a redirect, or stream them through this server
    #[arg(long, value_enum)]
    pub serve: Option<ServeMode>,
    /// How long a redirect's URL works: 10s to 1h
    #[arg(long, value_name = "DURATION", value_parser = presign_ttl)]
    pub presign_ttl: Option<u32>,
    /// How writes are proved
    #[arg(long, value_enum)]
    pub checksum: Option<Checksum>,
    /// The key, kept in the catalogue with its secret
    #[arg(long, value_name = "ID", requires = "secret_access_key_file")]
    pub access_key_id: Option<String>,
    /// File with the secret, or - for standard input
    #[arg(long, value_name = "FILE|-", requires = "access_key_id")]
    pub secret_access_key_file: Option<SecretArg>,
    /// Where the server finds the key itself
    #[arg(
        long,
        value_name = "env|file:PATH|systemd:NAME",
        conflicts_with_all = ["access_key_id", "secret_access_key_file"]
    )]
    pub credentials: Option<CredentialsArg>,
}

/// Settings of every store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Store")]
pub struct LimitArgs {
    /// Any scope may link it (as by default)
    #[arg(long)]
    pub instance_wide: bool,
    /// At most one scope may link it
    #[arg(long, conflicts_with = "instance_wide")]
    pub no_instance_wide: bool,
    /// Maintenance brings the store back to this
    #[arg(long, value_name = "SIZE|none")]
    pub soft_max_size: Option<LimitArg>,
    /// Never exceeded
    #[arg(long, value_name = "SIZE|none")]
    pub max_size: Option<LimitArg>,
}

#[derive(Debug, Args)]
#[group(skip)]
pub struct StoreManageArgs {
    pub name: StoreName,
    #[command(flatten)]
    pub s3: S3Args,
    #[command(flatten)]
    pub limits: LimitArgs,
}

#[derive(Debug, Args)]
pub struct StoreDeleteArgs {
    pub name: StoreName,
    /// Forget the store with everything in it
    #[arg(long)]
    pub force: bool,
    /// Write the digests of the files that are lost to this file
    #[arg(long, value_name = "FILE", requires = "force")]
    pub report: Option<PathBuf>,
}
