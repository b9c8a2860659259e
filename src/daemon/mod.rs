//! The daemon: it starts each run as a process of its own when it is due, and never touches data itself.

pub mod planner;
