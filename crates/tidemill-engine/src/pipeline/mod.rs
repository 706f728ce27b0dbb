//! From what the user wrote to a checked plan. Read in this order: [`statement`] (a pipeline file),
//! [`sql`] (its queries), [`relation`] and [`expression`] (the one plan as written), [`analysis`]
//! (names and types looked up), [`plan`] (the one plan, checked).

pub mod analysis;
pub mod build;
pub mod catalog;
pub mod explain;
pub mod expression;
pub mod extension;
pub mod join_condition;
pub mod late;
pub mod plan;
pub mod query;
pub mod relation;
pub mod session;
pub mod settings;
pub mod sql;
pub mod statement;
pub mod table_options;
pub mod text;
pub mod variables;
