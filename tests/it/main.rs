mod cli;
mod cli_faults;
mod config;
mod tidy;
