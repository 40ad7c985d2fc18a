//! The tests that are to catch the mutants.

mod planner;
