//! Trees in archives: tar streams that `tar` itself reads, a list of all that is in them, and the way back.
//!
//! A snapshot of a tree has parts of three kinds: batches of files and links, as a tar stream each; the list, with which a pull
//! is planned before any file is fetched; and the directories, as the last tar stream, for people who restore by hand.

pub(super) mod codec;
pub(super) mod cut;
pub(super) mod definitions;
pub(super) mod entry;
pub(super) mod header;
pub(super) mod index;
pub(super) mod parse;
pub(super) mod pax;
pub(super) mod read;
pub(super) mod tree;
pub(super) mod unpack;
