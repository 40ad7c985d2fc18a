//! The command line, as clap reads it (SPEC 9).

mod file;
mod scope;
mod store;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

pub use file::FileCommand;
pub use scope::{LinkArgs, ScopeChangeArgs, ScopeCommand, ScopeCreateArgs};
pub use store::{
    LimitArgs, S3Args, StoreBackendArgs, StoreCommand, StoreCreateArgs, StoreDeleteArgs,
    StoreManageArgs,
};
pub use values::{CredentialsArg, LimitArg, PolicyArg, PriorityArg, SecretArg};

use crate::api::Role;
use crate::domain::ScopeName;

/// Storage appliance for one server: plain files on the local disk, cold ones in S3, under
/// policies per scope.
#[derive(Debug, Parser)]
#[command(
    name = "hayloft",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done; 1 refused, failed, or an incomplete run; 2 wrong usage.\n\
                  Commands speak to the running server (admin socket, or --server URL); without \
                  one they\nwork on the catalogue themselves.\n\n\
                  Example: hayloft scope show media"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses, and refuses what the derived parser cannot: clap would count the global options too
    /// if the options of `vacuum` were declared to exclude its subcommands.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut cli = Self::try_parse_from(arguments)?;
        cli.global.forget_what_is_empty();
        match cli.command.complaint() {
            Some((path, kind, why)) => Err(error_of(path, kind, why)),
            None => Ok(cli),
        }
    }
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Configuration file [default: /etc/hayloft/config.toml if it exists, else built-in values]
    #[arg(long, global = true, value_name = "FILE", env = "HAYLOFT_CONFIG",
          value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub config: Option<PathBuf>,
    /// Base URL of a remote server, instead of the admin socket
    #[arg(long, global = true, value_name = "URL", env = "HAYLOFT_SERVER")]
    pub server: Option<String>,
    /// File with the token for --server [default: the variable `HAYLOFT_TOKEN`]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print JSON for programs; errors as a problem document on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more: the moves of a run, the log of a command that works without a server
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// A variable that is set to nothing counts as not set; an option that is given has to say something.
    fn forget_what_is_empty(&mut self) {
        let is_empty = |name| std::env::var_os(name).is_some_and(|value| value.is_empty());
        if is_empty("HAYLOFT_CONFIG") {
            self.config.take_if(|config| config.as_os_str().is_empty());
        }
        if is_empty("HAYLOFT_SERVER") {
            self.server.take_if(|server| server.is_empty());
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    ///
    /// Serves files and the admin page over HTTP, the admin API on its socket, and runs maintenance
    /// by the schedule. In an empty data directory it makes a new instance, and says what it made,
    /// where the page is, and how to sign in.
    #[command(after_help = "Example: hayloft --config /etc/hayloft/config.toml serve\n\n\
                            SIGTERM ends it in order, SIGHUP reloads TLS files and the log level.")]
    Serve,
    /// Check the configuration and the catalogue, and print the effective values as TOML
    #[command(after_help = "Example: hayloft --config ./config.toml check-config\n\n\
                            Secrets are not shown. While no server runs, the catalogue is opened as a \
                            start would,\nan upgrade to this version's format included, without \
                            changing it.")]
    CheckConfig,
    /// Show what is wrong and what there is: the command to look at first
    ///
    /// What does not work comes first, each with the command that mends it; then stores with their
    /// use and limits, how many files are readable from two stores, one or none, the last and the
    /// next run, and advice on settings. Without a server it looks at the catalogue itself. The
    /// exit code says whether it could look, not how it is: for that, --json has `attention`.
    #[command(after_help = "Example: hayloft status --json | jq .safety")]
    Status,
    /// Prove that every recorded replica is there and every counter right
    ///
    /// Asks every store for every replica, recounts, and lists what no row names. With --read every
    /// byte is read and hashed, which takes as long as that takes, and is traffic that remote
    /// providers charge for.
    #[command(after_help = "Example: hayloft verify --read --repair\n\n\
                            Exits 1 for lost, missing or corrupt files and wrong counters.")]
    Verify {
        /// Read and hash all bytes too
        #[arg(long)]
        read: bool,
        /// Heal from other replicas and correct counters
        #[arg(long)]
        repair: bool,
    },
    /// Scopes and their links to stores
    ///
    /// A scope is a named set of files with stores, policies and tokens of its own. Its link to a
    /// store has two priorities, for uploads and downloads, and a policy: have everything there
    /// (populate), have nothing there (drain), nothing new (read-only), never read (write-only),
    /// not more than so much (soft-max-size).
    #[command(subcommand)]
    Scope(ScopeCommand),
    /// Stores: directories and buckets
    ///
    /// A store is a named place for bytes: a directory on this machine, or a bucket of an S3 service
    /// below a prefix. Its max-size is never exceeded; its soft-max-size is what maintenance brings
    /// it back to. A store that cannot be used says which setting is wrong, and how that is known.
    #[command(
        subcommand,
        after_help = "`store create` and `store delete` are also known as create-file-store and \
                      delete-file-store."
    )]
    Store(StoreCommand),
    #[command(hide = true)]
    CreateFileStore(StoreCreateArgs),
    #[command(hide = true)]
    DeleteFileStore(StoreDeleteArgs),
    /// Run storage maintenance now, and look at past runs
    ///
    /// The vacuum makes the stores agree with the policies: it copies, verifies, and only then
    /// removes, never the last readable copy. It runs by the schedule too. A second start attaches
    /// to the run at work; an interrupt asks whether to detach or to cancel.
    #[command(
        visible_alias = "vacuum-file-store",
        after_help = "Examples:\n  hayloft vacuum --dry-run    what the next run would do\n  \
                      hayloft vacuum              run, or attach to the running one\n  \
                      hayloft vacuum show 12 -v   a past run with its moves\n\n\
                      Exits 1 when the run is not complete."
    )]
    Vacuum(VacuumArgs),
    /// Put, get and examine files
    ///
    /// A file has a path in a scope. The same bytes are stored once per store, whoever uploads them.
    /// Deleted and replaced files can be brought back during the grace period.
    #[command(subcommand)]
    File(FileCommand),
    /// Access tokens for the HTTP interface
    ///
    /// A token has a role (read, write, admin), for one scope or the whole instance. Only its digest
    /// is kept: it is shown once. The admin socket needs none.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Receivers of notifications
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Take over files or settings from elsewhere
    ///
    /// Whole directories, or scopes and links from a list of workspaces; a list that contradicts
    /// itself changes nothing.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Print a completion script for a shell
    #[command(after_help = "Example: hayloft completions bash > \
                            /usr/share/bash-completion/completions/hayloft")]
    Completions { shell: clap_complete::Shell },
    /// Write the manual pages into a directory
    #[command(after_help = "Example: hayloft man /usr/local/share/man/man1")]
    Man { dir: PathBuf },
}

/// An error with the usage of the command at `path`.
fn error_of(path: &[&str], kind: ErrorKind, why: &str) -> clap::Error {
    let mut root = Cli::command();
    root.build();
    let mut command = &mut root;
    for name in path {
        // A path that is none leaves it at the command above.
        if command.find_subcommand(name).is_none() {
            break;
        }
        command = command.find_subcommand_mut(name).expect("it was just found");
    }
    command.error(kind, why)
}

/// What is wrong: the command that it is wrong with, and how.
type Complaint = (&'static [&'static str], ErrorKind, &'static str);

impl Command {
    fn complaint(&self) -> Option<Complaint> {
        let nothing = (ErrorKind::MissingRequiredArgument, "nothing to change: name an option");
        match self {
            Self::Vacuum(args) if args.command.is_some() && (args.dry_run || args.detach) => {
                Some((
                    &["vacuum"],
                    ErrorKind::ArgumentConflict,
                    "--dry-run and --detach belong to a new run, not to a look at others",
                ))
            }
            Self::Scope(ScopeCommand::Manage {
                change: ScopeChangeArgs::EditStore { link, .. },
                ..
            }) if *link == LinkArgs::default() => {
                Some((&["scope", "manage", "edit-store"], nothing.0, nothing.1))
            }
            Self::Store(StoreCommand::Manage(args))
                if args.s3 == S3Args::default() && args.limits == LimitArgs::default() =>
            {
                Some((&["store", "manage"], nothing.0, nothing.1))
            }
            _ => None,
        }
    }
}

#[derive(Debug, Args)]
pub struct VacuumArgs {
    #[command(subcommand)]
    pub command: Option<VacuumCommand>,
    /// Change nothing; list what the next run would do
    #[arg(long)]
    pub dry_run: bool,
    /// Start the run and do not wait for it
    #[arg(long, conflicts_with = "dry_run")]
    pub detach: bool,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum VacuumCommand {
    /// List past runs, newest first
    #[command(after_help = "Example: hayloft vacuum history")]
    History,
    /// Show one run (with -v: its moves)
    #[command(after_help = "Example: hayloft vacuum show 12 -v")]
    Show { id: u64 },
    /// Pause the running run between two files
    #[command(after_help = "Example: hayloft vacuum pause")]
    Pause,
    /// Go on with a paused run
    #[command(after_help = "Example: hayloft vacuum resume")]
    Resume,
    /// End the running run between two files
    #[command(after_help = "Example: hayloft vacuum cancel")]
    Cancel,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and show it, this once
    #[command(after_help = "Example: hayloft token create --name ci --role write --scope media \
                            --expires 90d")]
    Create {
        /// For people, in lists and in the audit
        #[arg(long)]
        name: String,
        /// read: GET and lists; write: uploads and deletions too; admin: everything
        #[arg(long, value_enum)]
        role: Role,
        /// Limit it to one scope [default: the whole instance]
        #[arg(long)]
        scope: Option<ScopeName>,
        /// Lifetime: 24h, 90d [default: for ever]
        #[arg(long, value_name = "DURATION", value_parser = values::duration_text)]
        expires: Option<String>,
    },
    /// List tokens
    #[command(after_help = "Example: hayloft token list")]
    List,
    /// Revoke a token at once
    #[command(after_help = "Example: hayloft token revoke 01JD5")]
    Revoke { id: String },
    /// Print a one-time link that signs a browser in to the admin page
    #[command(after_help = "Example: hayloft token link")]
    Link,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum NotifyCommand {
    /// Send a test to every receiver in the configuration
    #[command(after_help = "Example: hayloft notify test\n\n\
                            Exits 1 when a receiver did not take it, or none is configured.")]
    Test,
}

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Create scopes and links from a list of workspaces
    #[command(after_help = "Example: hayloft import workspaces workspaces.json\n\nThe file holds \
                            [{\"scope\":\"s\",\"workspace\":\"w\",\"default_file_store\":\"local\",\
                            \"other_file_stores\":[\"x\"]}].")]
    Workspaces {
        /// JSON file, or - for standard input
        file: PathBuf,
    },
    /// Upload every file below a directory
    #[command(after_help = "Example: hayloft import directory media /srv/photos --prefix photos")]
    Directory {
        scope: ScopeName,
        dir: PathBuf,
        /// Put before each path
        #[arg(long, default_value = "")]
        prefix: String,
    },
}
