//! The admin API through its router, on real stores: the rules of SPEC 2, 3, 8, 9 and 10.

mod access;
mod house;
mod leaving;
mod links;
mod maintenance;
mod previews;
mod scopes;
mod stores;
