//! What a run costs: what it used, times a price book. The book is data; nothing is ever asked of a
//! provider while a pipeline runs.

mod bill;
mod book;
#[cfg(test)]
mod tests;

pub use bill::{Bill, Line, Used, short};
pub use book::{Price, PriceBook};
