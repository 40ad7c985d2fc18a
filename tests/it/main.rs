mod cli;
mod config;
mod tidy;
