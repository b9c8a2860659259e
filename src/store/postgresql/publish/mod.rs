//! Publishing: the target's lock, the swap of names, what follows it, and the way back.

pub(in crate::store::postgresql) mod after_swap;
pub(in crate::store::postgresql) mod in_place;
pub(in crate::store::postgresql) mod lock;
pub(in crate::store::postgresql) mod rollback;
pub(in crate::store::postgresql) mod swap;
pub(in crate::store::postgresql) mod swap_in;
