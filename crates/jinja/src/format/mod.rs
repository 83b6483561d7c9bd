//! Formatting: `'%s' % x`, `'{}'.format(x)` and what both share.

pub(crate) mod braces;
pub(crate) mod number;
pub(crate) mod printf;
mod spec;
