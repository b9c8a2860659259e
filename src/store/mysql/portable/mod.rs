//! Definitions that rest in an archive, and as scripts for people who have nothing but the store's own client.

pub(super) mod manual_restore;
mod stored;

pub(in crate::store) use self::stored::{
    catalogue, load_statement, put_away, reframe, refuse_gaps, scripts, take_out, unframe,
};
