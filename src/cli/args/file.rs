//! `hayloft file …`

use std::path::PathBuf;

use clap::Subcommand;

use crate::domain::{FilePath, ScopeName};

#[derive(Debug, Subcommand)]
pub enum FileCommand {
    /// Upload a file
    #[command(
        after_help = "Examples:\n  hayloft file put media holiday.jpg photos/2026/holiday.jpg\
                            \n  pg_dump app | hayloft file put backups - app.sql"
    )]
    Put {
        scope: ScopeName,
        /// The file, or - for standard input
        file: PathBuf,
        /// Its path in the scope [default: the file's name]
        path: Option<FilePath>,
        /// Kept and sent with every download
        #[arg(long, value_name = "TYPE")]
        content_type: Option<String>,
    },
    /// Download a file and check its digest
    #[command(
        after_help = "Example: hayloft file get media photos/2026/holiday.jpg -o holiday.jpg"
    )]
    Get {
        scope: ScopeName,
        path: FilePath,
        /// Written whole or not at all [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Through the server, without a redirect
        #[arg(long)]
        proxy: bool,
    },
    /// List files in path order
    #[command(after_help = "Example: hayloft file list media photos/2026/")]
    List {
        scope: ScopeName,
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Show a file and its replicas
    #[command(after_help = "Example: hayloft file show media photos/2026/holiday.jpg")]
    Show { scope: ScopeName, path: FilePath },
    /// Say which store serves a file, and why each replica stays or goes
    #[command(after_help = "Example: hayloft file explain media photos/2026/holiday.jpg")]
    Explain { scope: ScopeName, path: FilePath },
    /// Delete a file; it can be brought back during the grace period
    #[command(after_help = "Example: hayloft file delete media photos/2026/holiday.jpg")]
    Delete { scope: ScopeName, path: FilePath },
    /// Bring a deleted or replaced file back
    #[command(after_help = "Example: hayloft file undelete media photos/2026/holiday.jpg")]
    Undelete { scope: ScopeName, path: FilePath },
}
