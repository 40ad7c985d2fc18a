//! The public port, spoken to byte by byte (SPEC 4, 5, 6, 10).

mod access;
mod bench;
mod connections;
mod document;
mod door_pages;
mod limits;
mod reads;
mod scope_pages;
mod semantics;
mod store_pages;
mod uploads;
mod vacuum_pages;
