//! The `castra` command.

fn main() {}
