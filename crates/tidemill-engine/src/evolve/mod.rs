//! A changed query and the checkpoint it had: which state is kept, changed, started anew or let go. Read in this
//! order: [`identity`] (what an operator computes, whatever its number), [`compare`] (the decision, from facts
//! alone), [`settle`] (operators get the names they have in the checkpoint), [`calls`] (saved values of an aggregate
//! whose functions have changed), [`saved`] and [`report`] (the answer of `tidemill plan`).
//!
//! An operator is called after the first table its rows reach and its kind, `counts/aggregate`, when it is first
//! seen. From then on the checkpoint remembers what it computes, and finds it again by that.

pub mod calls;
pub mod compare;
pub mod identity;
pub mod report;
pub mod saved;
pub mod settle;
